//! What a node really runs with, and who was let in: across a hand edit, a boot and a change of the key.

use crate::bed::{formed, reached, wait_all};
use crate::common::{LONG, Lab, stays, until};
use std::time::Duration;

/// The file of a node with a newer version.
fn newer(text: &str) -> String {
    text.replace("config_version: 1", "config_version: 9")
}

/// Edits a node's file by hand and has its corosync read it.
fn edited(lab: &Lab, node: u32) {
    let node = lab.node(node);
    node.edit_conf(newer);
    node.run(&["corosync-cfgtool", "-R"]).ok();
    node.wait("it runs with the edit", |s| {
        s["cluster"]["config_version"] == 9 && s["config"]["drift"] == true
    });
}

#[test]
fn a_hand_edit_that_runs_elsewhere_is_seen_by_the_others() {
    let lab = formed("remote-edit", "2", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    wait_all(&n1, "both", |n| reached(n) == ["ok"; 2]);
    // n1 is away: a reload reaches all that run.
    n1.ctl(&["stop"]).ok();
    edited(&lab, 2);
    let s = n1.wait("n2 is newer", |s| {
        s["peers"][0]["differs"] == serde_json::json!(["config-version"])
    });
    assert_eq!(s["peers"][0]["config_version"], 9, "{s:#}");
    let ran = n1.ctl(&["config", "diff", "--all"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in ["corosync runs with config version 9", "not what it holds"] {
        assert!(ran.out.contains(part), "{ran:?}");
    }
    let ran = n2.ctl(&["restart", "--all"]);
    assert!(ran.code == 1 && ran.err.contains("drift"), "{ran:?}");
    // What n1 goes back to is no older than that, or its corosync would end as it joins.
    n1.edit_conf(|t| t.replace("token: 1000", "token: 1200"));
    n1.wait("drift", |s| s["config"]["drift"] == true);
    n1.ctl(&["config", "revert"]).ok();
    assert_eq!(n1.status()["config"]["version"], 9);
    n1.ctl(&["start"]).ok();
    n1.wait_ring(2);
}

#[test]
fn what_differs_is_told_before_the_first_start_though_a_node_is_off() {
    let lab = formed("remote-boot", "3", 3);
    let n1 = lab.node(1);
    wait_all(&n1, "all", |n| reached(n) == ["ok"; 3]);
    // n1 is off with its corosync, n3 is out of its reach, and n2 gets a newer configuration meanwhile.
    let latest = n1.latest();
    n1.end_daemon("TERM");
    lab.verb(&["cut", "n1", "n3"]).ok();
    edited(&lab, 2);
    n1.start_daemon(&[]);
    until("corosync is started", LONG, || {
        let kinds = n1.kinds_after(latest);
        kinds.contains(&"service.starting".to_owned()).then_some(())
    });
    let kinds = n1.kinds_after(latest);
    let at = |kind: &str| kinds.iter().position(|k| k == kind);
    assert!(at("peer.differs").is_some(), "{kinds:?}");
    assert!(at("peer.differs") < at("service.starting"), "{kinds:?}");
}

#[test]
fn who_follows_by_a_key_that_is_none_any_more_hears_nothing_more() {
    let lab = formed("remote-follow", "2", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    wait_all(&n1, "both", |n| reached(n) == ["ok"; 2]);
    n1.spawn("clusmgrctl --node n2 events -f --since 0 --json");
    let followed = || String::from_utf8(n1.read("/tmp/spawned.out")).unwrap_or_default();
    let sees = |seq: u64| followed().contains(&format!("\"seq\":{seq},"));
    n2.ctl(&["stop"]).ok();
    let last = n2.latest();
    until("n1 follows n2", LONG, || sees(last).then_some(()));
    // Another key there, and not here.
    let key: Vec<u8> = n2.read("/etc/corosync/authkey");
    let other: Vec<u8> = key.iter().map(|b| b ^ 0x55).collect();
    n2.put("/etc/corosync/authkey", &other);
    wait_all(&n1, "another key", |n| reached(n) == ["ok", "wrong-key"]);
    n2.ctl(&["start"]);
    let later = n2.latest();
    assert!(later > last);
    stays("not told", Duration::from_secs(2), || !sees(later));
}
