//! What happened while clusmgr was away is told when it is back: once, and marked so.

use crate::bed::{
    Follower, formed, kinds, members, none_of, of_kinds, token, up_edited, wait_after, well,
};
use crate::common::{LONG, Node, stays, until};
use serde_json::{Value, json};
use std::time::Duration;

const FLAGS: [&str; 2] = ["--poll-interval", "0.2"];

/// All that is told of the cluster.
const OF_THE_CLUSTER: [&str; 9] = [
    "quorum.gained",
    "quorum.lost",
    "ring.changed",
    "node.joined",
    "node.left",
    "node.config_version",
    "link.up",
    "link.down",
    "sched.pause",
];

/// Runs something while the node's clusmgr is away; gives the number of the last event before.
#[track_caller]
fn while_away(node: &Node<'_>, what: impl FnOnce()) -> u64 {
    let seq = node.latest();
    node.end_daemon("KILL");
    what();
    node.start_daemon(&FLAGS);
    wait_after(node, seq, "service.adopted", |_| true);
    seq
}

/// Waits until corosync's own tool says so.
#[track_caller]
fn wait_tool(node: &Node<'_>, text: &str) {
    until(&format!("{}: {text}", node.name), LONG, || {
        let out = node.run(&["corosync-quorumtool", "-s"]).out;
        out.contains(text).then_some(())
    });
}

/// Long enough for anything that would be told twice, or late.
#[track_caller]
fn is_quiet(node: &Node<'_>) {
    let seq = node.latest();
    stays("nothing more", Duration::from_secs(3), || {
        of_kinds(node, seq, &OF_THE_CLUSTER).is_empty()
    });
}

fn all_away(events: &[Value]) -> bool {
    events.iter().all(|e| e["fields"]["away"] == true)
}

#[test]
fn what_happened_while_clusmgr_was_away_is_told_once_and_marked() {
    let lab = up_edited("away", (3, 1), &FLAGS, token(2000));
    let pids = formed(&lab, 3);
    let [n1, n2, n3] = [1, 2, 3].map(|k| lab.node(k));

    // Nothing happened: nothing is told.
    let seq = while_away(&n1, || ());
    n1.wait("well", |s| well(s, 3) && s["service"]["adopted"] == true);
    is_quiet(&n1);
    none_of(&n1, seq, &OF_THE_CLUSTER);
    assert_eq!(n1.pid(), pids[0]);

    // A peer died.
    let seq = while_away(&n1, || {
        n3.sh(&format!("kill -9 {} {}", n3.daemon_pid(), pids[2]))
            .ok();
        wait_tool(&n1, "Nodes:            2");
    });
    wait_after(&n1, seq, "node.left", |_| true);
    is_quiet(&n1);
    let told = of_kinds(&n1, seq, &["ring.changed", "node.left", "node.joined"]);
    assert_eq!(kinds(&told), ["ring.changed", "node.left"], "{told:#?}");
    assert!(all_away(&told), "{told:#?}");
    assert_eq!(told[0]["fields"]["members"], json!([1, 2]));
    assert_eq!(told[0]["fields"]["left"], json!([3]));
    assert_eq!(told[1]["fields"]["nodeid"], 3);
    assert_eq!(told[1]["fields"]["name"], "n3");
    let text = told[1]["text"].as_str().unwrap();
    assert_eq!(text, "while clusmgr was away: n3 (3) left");
    none_of(&n1, seq, &["quorum.lost", "quorum.gained"]);

    // Quorum was lost too.
    let seq = while_away(&n1, || {
        lab.verb(&["cut", "n1", "n2"]).ok();
        wait_tool(&n1, "Quorate:          No");
    });
    wait_after(&n1, seq, "quorum.lost", |_| true);
    wait_after(&n1, seq, "node.left", |_| true);
    is_quiet(&n1);
    let told = of_kinds(
        &n1,
        seq,
        &["quorum.lost", "quorum.gained", "ring.changed", "node.left"],
    );
    let mut sorted = kinds(&told);
    sorted.sort_unstable();
    assert_eq!(sorted, ["node.left", "quorum.lost", "ring.changed"]);
    assert!(all_away(&told), "{told:#?}");

    // What happens from then on is told as ever.
    let seq = n1.latest();
    lab.verb(&["heal"]).ok();
    wait_after(&n1, seq, "quorum.gained", |e| {
        e["fields"].get("away").is_none()
    });
    wait_after(&n1, seq, "node.joined", |e| {
        e["fields"]["nodeid"] == 2 && e["fields"].get("away").is_none()
    });

    // corosync itself died meanwhile.
    let seq = while_away_dead(&n1, pids[0]);
    let lost = wait_after(&n1, seq, "quorum.lost", |_| true);
    assert_eq!(lost["fields"]["ended"], true);
    wait_after(&n1, seq, "quorum.gained", |_| true);
    n1.wait("back", |s| members(s) == [1, 2]);
    let told = of_kinds(&n1, seq, &["quorum.lost", "quorum.gained"]);
    assert_eq!(kinds(&told), ["quorum.lost", "quorum.gained"]);
    assert_eq!(n2.pid(), pids[1]);
}

#[track_caller]
fn while_away_dead(node: &Node<'_>, pid: i64) -> u64 {
    let seq = node.latest();
    node.end_daemon("KILL");
    node.kill("KILL", pid);
    node.wait_gone(pid);
    node.start_daemon(&FLAGS);
    seq
}

#[test]
fn killed_in_a_flood_of_events_the_journal_has_neither_a_gap_nor_a_repeat() {
    let lab = up_edited("flood", (1, 1), &FLAGS, token(3000));
    formed(&lab, 1);
    let n1 = lab.node(1);
    // corosync's own database has another version of this node, again and again.
    let script = "for ((i = 10; i < 1000000; i++)); do
        corosync-cmapctl -s runtime.members.1.config_version u64 $i || exit 1; done";
    let flood = n1.spawn(&format!("bash -c '{script}'"));
    let seen = |seq| of_kinds(&n1, seq, &["node.config_version"]).len();
    let mut all = Vec::new();
    for _ in 0..5 {
        let seq = n1.latest();
        let follower = Follower::since(&n1, seq);
        let mut told = 0;
        let got = follower.until("a flood", |e| {
            told += 1;
            e["kind"] == "node.config_version" && told > 60
        });
        all.extend(got);
        n1.end_daemon("KILL");
        n1.start_daemon(&FLAGS);
        let seq = n1.latest();
        until("more of it", LONG, || (seen(seq) > 0).then_some(()));
    }
    n1.kill("KILL", flood);
    n1.wait_gone(flood);
    // From the first one on, or from the first that the journal still has.
    let kept = n1.events();
    let numbers: Vec<u64> = kept.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers[0], 1);
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    // Who listened got the same under the same numbers.
    assert!(all.len() > 300);
    for event in &all {
        let seq = event["seq"].as_u64().unwrap();
        assert_eq!(kept[usize::try_from(seq).unwrap() - 1], *event);
    }
    // And none was told twice in a row, whoever told it.
    let versions: Vec<u64> = kept
        .iter()
        .filter(|e| e["kind"] == "node.config_version")
        .map(|e| e["fields"]["version"].as_u64().unwrap())
        .collect();
    assert!(versions.windows(2).all(|v| v[0] != v[1]), "{versions:?}");
}
