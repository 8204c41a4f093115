//! `isolated`: a corosync that delivers nothing, while its peers are quorate without it, is restarted
//! once; and nothing less than both has it restarted. These take the time that the product takes.

use crate::bed::{after, verdict, wait_after};
use crate::common::{Lab, Node, degraded, pause, stays, until};
use crate::deaf;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longer than all that the decision waits for: nothing delivered for twice token and consensus, 30 s
/// of it, and two rounds of 10 s after that.
const ENOUGH: Duration = Duration::from_secs(80);
/// Of a busy machine.
const LATE: Duration = Duration::from_secs(150);

/// Nodes n1 to n3 that have formed; these have a libcpg that can be made silent.
#[track_caller]
fn up(name: &str, deaf_ones: &[u32], edit: impl Fn(&str) -> String) -> Lab {
    let lab = Lab::up(name, "3 --no-clusmgr", &[]);
    for k in 1..=3 {
        let node = lab.node(k);
        // A long token is not lost when this machine has a lot to do.
        node.edit_conf(|t| edit(&t.replace("token: 1000", "token: 3000")));
        match deaf_ones.contains(&k) {
            true => deaf::start(&node),
            false => node.start_daemon(&[]),
        }
    }
    for k in 1..=3 {
        lab.node(k).wait_ring(3);
        lab.node(k).wait("compared, and delivering", |s| {
            let peers = s["peers"].as_array().unwrap();
            peers.len() == 2 && peers.iter().all(|p| p["config_version"] == 1)
        });
    }
    lab
}

fn members(node: &Node<'_>) -> Value {
    let s = node.status();
    let all = s["cluster"]["members"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let them = all.iter().filter(|m| m["state"] == "member");
    them.map(|m| m["nodeid"].clone()).collect()
}

/// The detail of a degraded reason.
fn detail(status: &Value, reason: &str) -> Option<String> {
    let all = status["degraded"].as_array()?;
    let item = all.iter().find(|d| d["reason"] == reason)?;
    Some(item["detail"].as_str()?.to_owned())
}

fn of(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |e| e["fields"]["reason"] == reason
}

/// Holds that the same corosync runs for so long, and was never called isolated.
#[track_caller]
fn is_let_be(node: &Node<'_>, seq: u64, time: Duration) {
    let pid = node.pid();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let s = node.status();
        assert_eq!(s["service"]["pid"], pid, "{s:#}");
        assert!(!degraded(&s).contains(&"isolated"), "{s:#}");
        pause(Duration::from_secs(1));
    }
    let starts = after(node, seq, "service.starting");
    assert_eq!(starts.len(), 0, "{starts:#?}");
    let told = after(node, seq, "degraded");
    assert!(!told.iter().any(of("isolated")), "{told:#?}");
}

#[test]
fn a_node_that_delivers_nothing_while_its_peers_are_quorate_without_it_is_restarted_once() {
    let lab = up("isolated", &[3], str::to_owned);
    let [n1, n3] = [1, 3].map(|k| lab.node(k));
    let (pid, seq) = (n3.pid(), n3.latest());
    let pids = [n1.pid(), lab.node(2).pid()];
    let began = Instant::now();
    deaf::silent(&n3);
    deaf::cut_udp(&n3);
    until("the peers are quorate without n3", LATE, || {
        (members(&n1) == json!([1, 2])).then_some(())
    });
    assert_eq!(n1.status()["cluster"]["quorate"], true);
    let s = until("isolated", LATE, || {
        Some(n3.status()).filter(|s| degraded(s).contains(&"isolated"))
    });
    let silent = began.elapsed();
    assert!(silent >= Duration::from_secs(30), "after {silent:?}");
    let text = detail(&s, "isolated").unwrap();
    assert!(text.contains("n1, n2"), "{text}");
    let told = wait_after(&n3, seq, "degraded", of("isolated"));
    assert_eq!(told["severity"], "crit", "{told}");
    let why = verdict(&n3, "isolated").expect("a verdict of it");
    assert!(why["what_to_do"][0].is_string(), "{why}");

    let start = wait_after(&n3, seq, "service.starting", |_| true);
    assert!(start["seq"].as_u64() > told["seq"].as_u64(), "{start}");
    let second = n3.wait_other(pid);
    assert!(!n3.lives(pid));
    // It is as bad with the next one: that is told, and left to people.
    until("isolated again, and not restarted for it", LATE, || {
        let text = detail(&n3.status(), "isolated")?;
        text.contains("was restarted for it").then_some(())
    });
    stays("let be", Duration::from_secs(25), || {
        let same = n3.status()["service"]["pid"] == second;
        pause(Duration::from_secs(1));
        same
    });
    assert_eq!(after(&n3, seq, "service.starting").len(), 1);

    // Put right, it is over, and nobody else was touched.
    deaf::hears(&n3);
    deaf::heal_udp(&n3);
    n3.wait("over", |s| !degraded(s).contains(&"isolated"));
    wait_after(&n3, seq, "degraded.ended", of("isolated"));
    n3.wait_ring(3);
    assert_eq!(n3.pid(), second);
    assert_eq!([n1.pid(), lab.node(2).pid()], pids);
}

#[test]
fn two_that_are_isolated_at_once_restart_one_after_the_other_the_lowest_nodeid_first() {
    // n1 is quorate by itself.
    let votes = |text: &str| {
        let n1 = "name: n1\n";
        assert!(text.contains(n1), "{text}");
        text.replace(n1, "name: n1\n        quorum_votes: 3\n")
    };
    let lab = up("isolated-two", &[2, 3], votes);
    let nodes = [2, 3].map(|k| lab.node(k));
    let pids = nodes.each_ref().map(Node::pid);
    let seqs = nodes.each_ref().map(Node::latest);
    for node in &nodes {
        deaf::silent(node);
        deaf::cut_udp(node);
    }
    for (node, seq) in nodes.iter().zip(seqs) {
        until("isolated", LATE, || {
            let told = after(node, seq, "degraded");
            told.into_iter().find(of("isolated"))
        });
    }
    for (node, pid) in nodes.iter().zip(pids) {
        until("another corosync runs", LATE, || {
            let s = node.status();
            let other = s["service"]["pid"] != pid && s["service"]["state"] == "running";
            other.then_some(())
        });
    }
    let at = |n: usize, kind: &str| {
        let event = after(&nodes[n], seqs[n], kind).swap_remove(0);
        event["at"].as_u64().unwrap()
    };
    let (ready, stopping) = (at(0, "service.ready"), at(1, "service.stopping"));
    assert!(
        ready < stopping,
        "n2 was back at {ready}, n3 went at {stopping}"
    );
    for (node, seq) in nodes.iter().zip(seqs) {
        assert_eq!(after(node, seq, "service.starting").len(), 1);
    }
}

#[test]
fn a_healthy_node_that_its_peers_do_not_hear_is_never_restarted() {
    // All of the fault of the tests above, but that its corosync delivers, to itself alone.
    let lab = up("healthy-cut", &[3], str::to_owned);
    let (n1, n3) = (lab.node(1), lab.node(3));
    let seq = n3.latest();
    deaf::cut_udp(&n3);
    until("the peers are quorate without n3", LATE, || {
        (members(&n1) == json!([1, 2])).then_some(())
    });
    is_let_be(&n3, seq, ENOUGH);
}

#[test]
fn a_node_that_delivers_nothing_among_peers_that_have_it_is_never_restarted() {
    let lab = up("healthy-silent", &[3], str::to_owned);
    let n3 = lab.node(3);
    let seq = n3.latest();
    deaf::silent(&n3);
    n3.wait("silent", |s| degraded(s).contains(&"not-delivering"));
    is_let_be(&n3, seq, ENOUGH);
    assert!(degraded(&n3.status()).contains(&"not-delivering"));
}

#[test]
fn a_node_that_delivers_nothing_while_all_peers_are_down_is_never_restarted() {
    let lab = up("healthy-alone", &[3], str::to_owned);
    let n3 = lab.node(3);
    let seq = n3.latest();
    deaf::silent(&n3);
    // One with its clusmgr, that says it is not quorate; one without.
    lab.node(1).ctl(&["stop"]).ok();
    lab.node(2).end_daemon("TERM");
    n3.wait("silent", |s| degraded(s).contains(&"not-delivering"));
    is_let_be(&n3, seq, ENOUGH);
}
