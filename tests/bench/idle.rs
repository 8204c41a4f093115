//! What the daemon costs over a quiet minute, with a real corosync on three nodes.

use crate::agent::{Agent, Usage, ask_all};
use crate::stats::{Row, Samples, remark, table};
use std::thread;
use std::time::Duration;

/// From a ring to quiet.
const SETTLE: Duration = Duration::from_secs(8);
const SLICES: u32 = 20;
const SLICE: Duration = Duration::from_secs(3);

pub fn run(lab: &str, dir: &str) {
    let mut agents = Agent::three(lab, dir);
    ask_all(&mut agents, "daemon");
    ask_all(&mut agents, "ring");
    thread::sleep(SETTLE);
    let mut anonymous = Samples::default();
    let begin = look(&mut agents);
    let mut end = begin.clone();
    for _ in 0..SLICES {
        thread::sleep(SLICE);
        end = look(&mut agents);
        for usage in &end {
            anonymous.push(f64::from(usage.anonymous_kib) / 1024.0);
        }
    }
    // What the threads that end do is known only when all is over.
    let lives = ask_all(&mut agents, "life");
    agents.into_iter().for_each(Agent::end);
    let [mut voluntary, mut lasting, mut switches, mut cpu] = [(); 4].map(|()| Samples::default());
    for ((a, b), life) in begin.iter().zip(&end).zip(&lives) {
        let minutes = b.at.since(a.at).as_secs_f64() / 60.0;
        let (of_life, all) = life.split_once(' ').unwrap();
        let since = |total: &str, then: u32| f64::from(total.parse::<u32>().unwrap() - then);
        voluntary.push(since(of_life, a.voluntary) / minutes);
        switches.push(since(all, a.switches) / minutes);
        lasting.push((f64::from(b.voluntary) - f64::from(a.voluntary)) / minutes);
        cpu.push((b.run - a.run).as_secs_f64() * 1e3 / minutes);
    }
    let worst = |s: &Samples| s.percentile(100);
    table(
        "a quiet minute: anonymous memory, every 3 s on each of 3 nodes",
        "MiB",
        &[Row::judged(
            "clusmgr",
            &anonymous,
            "< 3 MiB",
            worst(&anonymous) < 3.0,
        )],
    );
    let (mut shared, mut mapped) = (Samples::default(), Samples::default());
    for usage in &end {
        shared.push(f64::from(usage.shared_kib) / 1024.0);
        mapped.push(f64::from(usage.mapped_kib) / 1024.0);
    }
    table(
        "the rings in /dev/shm that corosync's libraries share with it, of 3 nodes",
        "MiB",
        &[
            Row::other("in memory", &shared),
            Row::other("mapped", &mapped),
        ],
    );
    table(
        "a quiet minute: context switches, of 3 nodes, at most",
        "a minute",
        &[
            Row::judged(
                "voluntary: it woke up",
                &voluntary,
                "<= 200",
                worst(&voluntary) <= 200.0,
            ),
            Row::other("of it threads that last", &lasting),
            Row::other("all", &switches),
        ],
    );
    table(
        "a quiet minute: CPU, of 3 nodes",
        "ms a minute",
        &[Row::judged(
            "clusmgr",
            &cpu,
            "<= 30 ms",
            worst(&cpu) <= 30.0,
        )],
    );
    remark(&format!("{} threads", end[0].threads));
}

fn look(agents: &mut [Agent]) -> Vec<Usage> {
    let answers = ask_all(agents, "usage");
    answers.iter().map(|a| Usage::parse(a)).collect()
}
