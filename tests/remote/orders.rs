//! start, stop and restart from another node, and of all nodes in turn.

use crate::bed::{formed, reached, wait_all};
use crate::common::{LONG, Node, until};
use serde_json::Value;

fn last(node: &Node<'_>, kind: &str) -> Value {
    node.events_of(kind).pop().unwrap_or_default()
}

#[test]
fn another_node_may_stop_start_and_restart_and_is_named_and_changes_no_configuration() {
    let lab = formed("remote-orders", "3", 3);
    let (n1, n2) = (lab.node(1), lab.node(2));
    wait_all(&n1, "all there", |n| reached(n) == ["ok"; 3]);
    n1.ctl(&["--node", "n2", "stop"]).ok();
    assert_eq!(n2.status()["service"]["hold"], true);
    let held = last(&n2, "hold.set");
    assert!(
        held["text"].as_str().unwrap().contains("n1 (10.77.0.1)"),
        "{held}"
    );
    let asked = last(&n2, "peer.asked");
    assert_eq!(asked["fields"]["from"], "n1", "{asked}");
    assert_eq!(asked["fields"]["address"], "10.77.0.1");
    assert_eq!(asked["fields"]["what"], "stop");
    n1.ctl(&["--node", "2", "start"]).ok();
    let pid = n2.pid();
    n1.ctl(&["--node", "n2", "restart"]).ok();
    assert_ne!(n2.pid(), pid);
    // And once more soon after, which is told too.
    n1.ctl(&["--node", "n2", "restart"]).ok();
    let mut restarts = n2.events_of("peer.asked");
    restarts.retain(|e| e["fields"]["what"] == "restart" && e["fields"]["from"] == "n1");
    assert_eq!(restarts.len(), 2, "{restarts:?}");
    for verb in ["adopt", "revert", "rollback"] {
        let ran = n1.ctl(&["--node", "n2", "config", verb]);
        assert_ne!(ran.code, 0, "{ran:?}");
    }
    // Events of another node, as they come.
    let latest = n2.latest();
    let ran = n1.ctl(&[
        "--node",
        "n2",
        "events",
        "--since",
        &(latest - 1).to_string(),
        "--json",
    ]);
    assert!(ran.out.contains(&format!("\"seq\":{latest}")), "{ran:?}");
}

#[test]
fn all_are_restarted_one_at_a_time_or_none_where_quorum_has_no_margin() {
    let lab = formed("remote-rolling", "3", 3);
    let nodes = [1, 2, 3].map(|k| lab.node(k));
    wait_all(&nodes[0], "all well", |n| {
        n.iter().all(|n| n["ok"]["cluster"]["quorate"] == true)
    });
    let pids = nodes.each_ref().map(Node::pid);
    let began = nodes.each_ref().map(Node::latest);
    let ran = nodes[0].ctl(&["restart", "--all", "--dry-run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(nodes.each_ref().map(Node::pid), pids, "a dry run");
    let ran = nodes[0].ctl(&["restart", "--all"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for (node, pid) in nodes.iter().zip(pids) {
        assert_ne!(node.pid(), pid, "{}", node.name);
    }
    // Never two at a time: the two others were quorate throughout.
    for (n, (node, seq)) in nodes.iter().zip(began).enumerate() {
        let lost = node.events_of("quorum.lost");
        let lost = lost.iter().filter(|e| e["seq"].as_u64() > Some(seq));
        let others = lost.filter(|e| e["fields"]["ended"] != true).count();
        assert_eq!(others, 0, "n{}", n + 1);
    }

    // Two of three: no margin, and nothing is touched.
    nodes[2].ctl(&["stop"]).ok();
    until("two are left", LONG, || {
        (nodes[0].status()["cluster"]["total_votes"] == 2).then_some(())
    });
    let pids = [nodes[0].pid(), nodes[1].pid()];
    let ran = nodes[0].ctl(&["restart", "--all"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!([nodes[0].pid(), nodes[1].pid()], pids, "{ran:?}");
}

#[test]
fn of_two_rounds_at_once_one_gives_way_and_quorum_stays() {
    let lab = formed("remote-rounds", "3", 3);
    let nodes = [1, 2, 3].map(|k| lab.node(k));
    wait_all(&nodes[0], "all well", |n| {
        n.iter().all(|n| n["ok"]["cluster"]["quorate"] == true)
    });
    for round in 0..3 {
        let began = nodes.each_ref().map(Node::latest);
        let ran = std::thread::scope(|scope| {
            let both = [&nodes[0], &nodes[2]]
                .map(|node| scope.spawn(|| node.ctl(&["restart", "--all", "--wait=40"])));
            both.map(|one| one.join().unwrap())
        });
        for ran in ran.iter().filter(|r| r.code != 0) {
            let told = ran.err.contains("not now") || ran.err.contains("refused");
            assert!(told, "{ran:?}");
        }
        let codes = ran.each_ref().map(|r| r.code);
        assert!(codes.contains(&1), "round {round}: both went on: {ran:?}");
        for node in &nodes {
            node.wait_ring(3);
        }
        // Where corosync went on, it was quorate throughout.
        for (node, seq) in nodes.iter().zip(began) {
            let lost = node.events_of("quorum.lost");
            let lost = lost.iter().filter(|e| e["seq"].as_u64() > Some(seq));
            let others = lost.filter(|e| e["fields"]["ended"] != true).count();
            assert_eq!(others, 0, "round {round}, {}: {ran:?}", node.name);
        }
        wait_all(&nodes[0], "all well", |n| {
            n.iter().all(|n| n["ok"]["cluster"]["quorate"] == true)
        });
    }
}
