//! kill -9 of corosync until the node is back in a quorate ring of three, with the real corosync:
//! clusmgr on one node and a bare immediate restart on another one, in turns; after half of the
//! rounds the two nodes change roles.

use crate::agent::{Agent, ask_all};
use crate::stats::{Row, Samples, remark, table};
use std::thread;
use std::time::Duration;

const ROUNDS: u32 = 26;

pub fn run(lab: &str, dir: &str) {
    let mut agents = Agent::three(lab, dir);
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    agents[0].ask("keep clusmgr");
    for (our_node, bare_node) in [(1, 2), (2, 1)] {
        agents[our_node].ask("keep clusmgr");
        agents[bare_node].ask("keep bare");
        ask_all(&mut agents, "ring");
        thread::sleep(Duration::from_secs(2));
        for round in 0..ROUNDS / 2 {
            for (node, times) in [(our_node, &mut ours), (bare_node, &mut bare)] {
                // Not in step with anybody's period.
                thread::sleep(Duration::from_millis(u64::from(150 + round * 137 % 250)));
                let ns: u64 = agents[node].ask("kill").parse().unwrap();
                times.push_ms(Duration::from_nanos(ns));
                ask_all(&mut agents, "ring");
            }
        }
        agents[our_node].ask("leave");
        agents[bare_node].ask("leave");
    }
    agents[0].ask("leave");
    agents.into_iter().for_each(Agent::end);
    let ratio = ours.median() / bare.median();
    table(
        "kill -9 of corosync until its node is in a quorate ring of three",
        "ms",
        &[
            Row::judged("clusmgr", &ours, "<= 1.05 x bare", ratio <= 1.05),
            Row::other("bare immediate restart", &bare),
        ],
    );
    remark(&format!("clusmgr / bare: {ratio:.3} of the median"));
}
