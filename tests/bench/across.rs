//! `status --all` in clusters of several sizes: a client on the local socket of one node, and the whole
//! `clusmgrctl status --all`. Beside them, in turns: the status of that node alone, and what an operator
//! does without it, `corosync-quorumtool -s` in one node after the other (by way of the lab, which costs
//! less than ssh). Then with one node that does not answer: its programs frozen, its links cut.

use crate::agent::{Agent, SOCKET};
use crate::stats::{Row, Samples, remark, table};
use clusmgr::sys::procfs::Proc;
use nix::sys::signal::{Signal, kill};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 60;
/// Of them, those in which every node is asked by hand.
const BY_HAND: u32 = 20;
const DEAD_ROUNDS: u32 = 10;
/// How long a node may take to show that it has our key, and what may come on top of it.
const TIME_OUT: f64 = 1000.0;
const ON_TOP: f64 = 100.0;
const LIMIT: Duration = Duration::from_secs(60);

pub fn run(lab: &str, dir: &str, nodes: u32) {
    let script = lab;
    let lab = |words: &[&str]| {
        let done = Command::new(script)
            .args(["--dir", dir])
            .args(words)
            .output();
        succeeded(words, &done.unwrap());
    };
    let last = format!("n{nodes}");
    let mut n1 = Agent::start(script, dir, "n1");
    let mut end = Agent::start(script, dir, &last);
    n1.ask(&format!("across {nodes}"));
    let [mut all, mut ctl, mut one, mut by_hand] = [(); 4].map(|()| Samples::default());
    for round in 0..ROUNDS {
        // Not in step with anybody's period.
        thread::sleep(Duration::from_millis(u64::from(20 + round * 37 % 50)));
        all.push_ms(answered(&n1.ask("all"), nodes));
        one.push_ms(time(&n1.ask("status")));
        ctl.push_ms(time(&n1.ask("ctl")));
        if round < BY_HAND {
            let began = Instant::now();
            for k in 1..=nodes {
                lab(&["exec", &format!("n{k}"), "corosync-quorumtool", "-s"]);
            }
            by_hand.push_ms(began.elapsed());
        }
    }
    let target = if nodes == 8 { "<= 100 ms" } else { "" };
    let judged = |s: &Samples| (nodes == 8).then(|| s.median() <= 100.0);
    table(
        &format!("status --all of {nodes} nodes"),
        "ms",
        &[
            Row {
                what: "over the local socket",
                samples: &all,
                target: target.to_owned(),
                reached: judged(&all),
            },
            Row {
                what: "clusmgrctl, the whole process",
                samples: &ctl,
                target: target.to_owned(),
                reached: judged(&ctl),
            },
            Row::other("status of that node alone", &one),
            Row::other("quorumtool -s, node by node", &by_hand),
        ],
    );
    let cut = {
        lab(&["cut", &last]);
        let cut = dead(&mut n1, nodes);
        lab(&["heal"]);
        n1.ask(&format!("across {nodes}"));
        cut
    };
    end.ask("freeze");
    let frozen = dead(&mut n1, nodes);
    end.ask("thaw");
    let target = format!("<= {:.0} ms", TIME_OUT + ON_TOP);
    let within = |s: &Samples| s.median() <= TIME_OUT + ON_TOP;
    table(
        &format!(
            "status --all of {nodes} nodes, one of them dead: its time-out is {TIME_OUT:.0} ms"
        ),
        "ms",
        &[
            Row::judged("its links cut", &cut, &target, within(&cut)),
            Row::judged("its programs frozen", &frozen, &target, within(&frozen)),
        ],
    );
    let most = cut.within(TIME_OUT + ON_TOP) + frozen.within(TIME_OUT + ON_TOP);
    remark(&format!(
        "{most} of {} within that",
        cut.len() + frozen.len()
    ));
    n1.end();
    end.end();
}

/// All but one answer.
fn dead(n1: &mut Agent, nodes: u32) -> Samples {
    let mut times = Samples::default();
    for _ in 0..DEAD_ROUNDS {
        times.push_ms(answered(&n1.ask("all"), nodes - 1));
    }
    times
}

fn succeeded(words: &[&str], done: &Output) {
    assert!(done.status.success(), "{words:?}: {done:?}");
}

fn time(answer: &str) -> Duration {
    Duration::from_nanos(answer.parse().unwrap())
}

/// The time of an answer that so many nodes are in.
fn answered(answer: &str, nodes: u32) -> Duration {
    let (ns, ok) = answer.split_once(' ').unwrap();
    assert_eq!(ok, nodes.to_string(), "nodes that answered");
    time(ns)
}

/// A client on the node's local socket, in the agent.
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// Once every one of so many nodes answers.
    pub fn connect(nodes: &str) -> Client {
        let stream = UnixStream::connect(SOCKET).unwrap();
        let mut client = Client(BufReader::with_capacity(64 << 10, stream));
        let deadline = Instant::now() + LIMIT;
        while client.all().split_once(' ').unwrap().1 != nodes {
            assert!(Instant::now() < deadline, "not all of {nodes} answer");
            thread::sleep(Duration::from_millis(100));
        }
        client
    }

    /// `NS NODES`: the time, and how many have answered.
    pub fn all(&mut self) -> String {
        let (took, line) = self.ask("{\"id\":1,\"req\":\"status\",\"all\":true}\n");
        let reply: serde_json::Value = serde_json::from_str(&line).unwrap();
        let nodes = reply["ok"]["nodes"].as_array().unwrap();
        let ok = nodes.iter().filter(|n| n["ok"].is_object()).count();
        format!("{took} {ok}")
    }

    pub fn status(&mut self) -> String {
        self.ask("{\"id\":1,\"req\":\"status\"}\n").0.to_string()
    }

    fn ask(&mut self, request: &str) -> (u128, String) {
        let mut line = String::new();
        let began = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        self.0.read_line(&mut line).unwrap();
        (began.elapsed().as_nanos(), line)
    }
}

/// From fork to exit.
pub fn ctl() -> String {
    let began = Instant::now();
    let done = Command::new("clusmgrctl")
        .args(["status", "--all"])
        .output();
    let took = began.elapsed();
    succeeded(&["clusmgrctl"], &done.unwrap());
    took.as_nanos().to_string()
}

/// To clusmgr and corosync of this node.
pub fn signal(signal: Signal) -> String {
    for name in ["clusmgr", "corosync"] {
        let found = Proc::default().find_process(name, None).unwrap();
        assert!(!found.is_empty(), "{name} does not run");
        for process in found {
            kill(nix::unistd::Pid::from_raw(process.pid.0), signal).unwrap();
        }
    }
    "ok".to_owned()
}
