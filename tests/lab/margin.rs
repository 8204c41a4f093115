//! A change that restarts corosync, and the quorum of the nodes that go on.

use crate::apply_faults::{let_go, strace};
use crate::common::{LONG, Lab, Node, Ran, degraded, until};
use serde_json::{Value, json};

const CONF: &str = "/etc/corosync/corosync.conf";
const FILE: &str = "/tmp/new.conf";

/// The next version of the file, with a setting that takes a restart.
fn by_restart(node: &Node<'_>) {
    let text = String::from_utf8(node.read(CONF)).unwrap();
    let text = text.replace("config_version: 1\n", "config_version: 2\n");
    node.put(
        FILE,
        text.replace("system {\n", "system {\n\tsched_rr: no\n"),
    );
}

fn apply(node: &Node<'_>, more: &[&str]) -> Ran {
    let words = [
        "--timeout",
        "90",
        "config",
        "apply",
        FILE,
        "--this-node-only",
        "--json",
    ];
    node.ctl(&[&words, more].concat())
}

fn done(ran: Ran) -> Value {
    serde_json::from_str(&ran.ok()).unwrap()
}

#[test]
fn a_restart_that_would_cost_the_others_their_quorum_is_refused() {
    let lab = Lab::up("margin", "3", &["--poll-interval", "0.2"]);
    let nodes = [1, 2, 3].map(|k| lab.node(k));
    let [n1, n2, n3] = &nodes;
    for node in &nodes {
        node.wait_state("running");
        node.wait_ring(3);
    }
    n3.ctl(&["stop"]).ok();
    for node in [n1, n2] {
        node.wait("a ring of two", |s| s["cluster"]["total_votes"] == 2);
    }
    by_restart(n1);
    let (pid, live) = (n1.pid(), n1.read(CONF));
    for more in [&[][..], &["--dry-run"]] {
        let ran = apply(n1, more);
        assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
        for part in [
            "the other nodes would lose their quorum meanwhile: 2 of 3 votes are there with this node's 1, and 2 are needed",
            "bring n3 back first; or",
            "'clusmgrctl stop'",
        ] {
            assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
        }
    }
    assert_eq!((n1.pid(), n1.read(CONF)), (pid, live));
    // What is told is the way: with the node back, or with corosync stopped by who means it.
    n3.ctl(&["start"]).ok();
    for node in &nodes {
        node.wait("a ring of three", |s| s["cluster"]["total_votes"] == 3);
    }
    let report = done(apply(n1, &[]));
    assert_eq!(
        (&report["done"], &report["how"], &report["warnings"]),
        (&json!(true), &json!("restart"), &json!([]))
    );
    assert_ne!(n1.pid(), pid);
    assert_eq!(n2.events_of("quorum.lost").len(), 0);
    for node in [n2, n3] {
        node.wait("a ring of three", |s| s["cluster"]["total_votes"] == 3);
    }
    n3.ctl(&["stop"]).ok();
    n2.wait("a ring of two", |s| s["cluster"]["total_votes"] == 2);
    by_restart(n2);
    assert_eq!(apply(n2, &[]).code, 1);
    n2.ctl(&["stop"]).ok();
    assert_eq!(done(apply(n2, &[]))["how"], "next-start");
    n2.ctl(&["start"]).ok();
    assert_eq!(n2.cmap("system.sched_rr"), "no");
}

#[test]
fn a_killed_change_is_not_taken_back_by_a_restart_that_would_cost_the_others_their_quorum() {
    const CHANGE: &str = "/var/lib/clusmgr/change.json";
    let flags = ["--poll-interval", "0.2"];
    let lab = Lab::up("margin-killed", "3", &flags);
    let nodes = [1, 2, 3].map(|k| lab.node(k));
    let [n1, n2, n3] = &nodes;
    for node in &nodes {
        node.wait_state("running");
        node.wait_ring(3);
    }
    let (old, was) = (n1.read(CONF), n1.pid());
    by_restart(n1);
    // The new corosync is ready, and what clusmgr holds is still the old text: its record is looked at before
    // it is replaced.
    let daemon = n1.daemon_pid();
    let record = "-P /var/lib/clusmgr/corosync.json -e trace=readlink";
    let kill = format!("{record} -e inject=readlink:signal=KILL:when=1");
    let tracer = strace(n1, &kill);
    assert_ne!(apply(n1, &[]).code, 0);
    n1.wait_gone(daemon);
    let_go(n1, tracer);
    assert!(n1.file(CHANGE).exists() && n1.read(CONF) != old);
    n3.ctl(&["stop"]).ok();
    n2.wait("a ring of two", |s| s["cluster"]["total_votes"] == 2);
    n1.start_daemon(&flags);
    until("the change is over", LONG, || {
        (!n1.file(CHANGE).exists()).then_some(())
    });
    let pid = n1.pid();
    assert!(pid != was && n1.corosyncs() == [pid]);
    assert!(n1.read(CONF) == old);
    let undone = n1.wait_event("config.undone", 1);
    let said = "the new one may be in effect still: ";
    assert!(undone["text"].as_str().unwrap().contains(said), "{undone}");
    let s = n1.wait("it needs a restart", |s| {
        degraded(s).contains(&"restart-needed")
    });
    assert_eq!(s["service"]["pid"], pid, "{s}");
    assert_eq!(n2.status()["cluster"]["quorate"], true);
    // The operator may.
    n1.ctl(&["restart"]).ok();
    n1.wait("it is well", |s| {
        s["service"]["state"] == "running" && !degraded(s).contains(&"restart-needed")
    });
}

#[test]
fn the_last_of_a_pair_keeps_the_quorum_that_a_restart_would_cost_it() {
    // The lab's pairs are of two_node, which implies wait_for_all.
    let lab = Lab::up("margin-pair", "2", &["--poll-interval", "0.2"]);
    let nodes = [1, 2].map(|k| lab.node(k));
    let [n1, n2] = &nodes;
    for node in &nodes {
        node.wait("a quorate pair", |s| {
            s["cluster"]["quorate"] == true && s["cluster"]["total_votes"] == 2
        });
    }
    n2.ctl(&["stop"]).ok();
    n1.wait("alone", |s| s["cluster"]["total_votes"] == 1);
    assert_eq!(n1.status()["cluster"]["quorate"], true);
    by_restart(n1);
    let (pid, live) = (n1.pid(), n1.read(CONF));
    let ran = apply(n1, &[]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    for part in [
        "by wait_for_all this node would have no quorum after it",
        "bring n2 back first; or",
    ] {
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
    }
    assert_eq!((n1.pid(), n1.read(CONF)), (pid, live));
    assert_eq!(n1.status()["cluster"]["quorate"], true);
    // What counts is what it starts with: the survivor may be told to do without the other.
    let text = String::from_utf8(n1.read(FILE)).unwrap();
    n1.put(
        FILE,
        text.replace("two_node: 1\n", "two_node: 1\n\twait_for_all: 0\n"),
    );
    let report = done(apply(n1, &[]));
    assert_eq!(
        (&report["done"], &report["how"]),
        (&json!(true), &json!("restart"))
    );
    assert_ne!(n1.pid(), pid);
    n1.wait("quorate alone", |s| s["cluster"]["quorate"] == true);
    // And not to wait for it again, since that would be the end of its quorum.
    let text = text.replace("config_version: 2\n", "config_version: 3\n");
    n1.put(FILE, text);
    let ran = apply(n1, &[]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    let said = "by wait_for_all this node would have no quorum after it";
    assert!(ran.err.contains(said), "{}", ran.err);
}
