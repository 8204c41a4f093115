//! Before its first start of corosync a node looks at the others, and is not kept by it.

use crate::bed::{after, formed, has, wait_after};
use crate::common::{Lab, Node, stays};
use serde_json::{Value, json};
use std::time::Duration;

const CONF: &str = "/etc/corosync/corosync.conf";

/// From the daemon's start to that of corosync, in milliseconds, by the journal of one that began after
/// this event.
#[track_caller]
fn took(node: &Node<'_>, seq: u64) -> u64 {
    let at = |kind: &str| {
        let event = wait_after(node, seq, kind, |_| true);
        event["at"].as_u64().unwrap_or_else(|| panic!("{event}"))
    };
    at("service.starting") - at("daemon.started")
}

/// Its first start comes, and nothing is told of others before.
#[track_caller]
fn starts_alone(node: &Node<'_>) {
    let start = wait_after(node, 0, "service.starting", |_| true);
    let events = node.events();
    let before = events.iter().take_while(|e| e["seq"] != start["seq"]);
    let of_others = |e: &&Value| {
        let peer = e["kind"].as_str().is_some_and(|k| k.starts_with("peer."));
        peer || e["fields"]["reason"]
            .as_str()
            .is_some_and(|r| r.starts_with("peer"))
    };
    let told: Vec<&Value> = before.filter(of_others).collect();
    assert!(told.is_empty(), "{told:#?}");
    node.wait_state("running");
}

#[test]
fn a_node_that_was_away_is_told_of_the_newer_version_before_its_corosync_starts() {
    let lab = formed("first-away", "3", 3);
    let nodes = [1, 2, 3].map(|k| lab.node(k));
    let n3 = &nodes[2];
    let seq = n3.latest();
    n3.end_daemon("TERM");
    assert_eq!(n3.corosyncs(), [0; 0], "both are down");
    let text = String::from_utf8(nodes[0].read(CONF)).unwrap();
    for node in &nodes[..2] {
        node.put(
            "/tmp/new.conf",
            text.replace("config_version: 1\n", "config_version: 2\n"),
        );
        node.ctl(&["config", "apply", "--this-node-only", "/tmp/new.conf"])
            .ok();
    }
    n3.start_daemon(&[]);
    let start = wait_after(n3, seq, "service.starting", |_| true);
    let start = start["seq"].as_u64().unwrap();
    for other in ["n1", "n2"] {
        let fields = [
            ("node", json!(other)),
            ("what", json!("config-version")),
            ("ours", json!(1)),
            ("theirs", json!(2)),
        ];
        let told = after(n3, seq, "peer.differs");
        let told = told.iter().find(|e| has(e, &fields));
        let told = told.unwrap_or_else(|| panic!("{other}: {:#?}", n3.events()));
        let number = told["seq"].as_u64().unwrap();
        assert!(number < start, "{other}: {number} comes after {start}");
    }
    let of_it = |e: &Value| e["fields"]["reason"] == "peer-config";
    let told = wait_after(n3, seq, "degraded", of_it);
    assert!(told["seq"].as_u64() < Some(start), "{told}");
}

#[test]
fn an_older_file_that_was_put_there_meanwhile_is_told_before_corosync_starts_with_it() {
    let lab = formed("first-edit", "2", 2);
    let [n1, n2] = &[1, 2].map(|k| lab.node(k));
    let text = String::from_utf8(n1.read(CONF)).unwrap();
    for node in [n1, n2] {
        node.put(
            "/tmp/new.conf",
            text.replace("config_version: 1\n", "config_version: 2\n"),
        );
        node.ctl(&["config", "apply", "--this-node-only", "/tmp/new.conf"])
            .ok();
    }
    let seq = n2.latest();
    n2.end_daemon("TERM");
    n2.edit_conf(|t| t.replace("config_version: 2\n", "config_version: 1\n"));
    n2.start_daemon(&[]);
    let start = wait_after(n2, seq, "service.starting", |_| true);
    let told = after(n2, seq, "peer.differs");
    let fields = [
        ("node", json!("n1")),
        ("what", json!("config-version")),
        ("ours", json!(1)),
        ("theirs", json!(2)),
    ];
    let told = told.iter().find(|e| has(e, &fields));
    let told = told.unwrap_or_else(|| panic!("{:#?}", n2.events()));
    assert!(told["seq"].as_u64() < start["seq"].as_u64(), "{told}");
    assert_eq!(n2.status()["config"]["file_version"], 1);
}

#[test]
fn a_configuration_that_comes_later_is_compared_before_the_first_start_too() {
    let lab = formed("first-late", "2", 2);
    let [n1, n2] = &[1, 2].map(|k| lab.node(k));
    n2.end_daemon("TERM");
    let text = String::from_utf8(n1.read(CONF)).unwrap();
    n1.put(
        "/tmp/new.conf",
        text.replace("config_version: 1\n", "config_version: 2\n"),
    );
    n1.ctl(&["config", "apply", "--this-node-only", "/tmp/new.conf"])
        .ok();
    n2.sh(&format!(
        "rm -r /var/lib/clusmgr && mv {CONF} /tmp/late.conf"
    ))
    .ok();
    n2.start_daemon(&[]);
    n2.wait("unconfigured", |s| s["mode_reason"] == "unconfigured");
    let seq = n2.latest();
    n2.sh(&format!("mv /tmp/late.conf {CONF}")).ok();
    let start = wait_after(n2, seq, "service.starting", |_| true);
    let told = after(n2, seq, "peer.differs");
    let of_it = [("node", json!("n1")), ("theirs", json!(2))];
    let told = told.iter().find(|e| has(e, &of_it));
    let told = told.unwrap_or_else(|| panic!("{:#?}", n2.events()));
    assert!(told["seq"].as_u64() < start["seq"].as_u64(), "{told}");
}

#[test]
fn a_node_with_nobody_to_ask_starts_without_a_word_about_others() {
    // No other node.
    let lab = Lab::up("first-alone", "1", &[]);
    starts_alone(&lab.node(1));
    drop(lab);
    // Others, and no key.
    let lab = Lab::up("first-keyless", "2 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("rm /etc/corosync/authkey").ok();
    n1.edit_conf(|t| {
        t.replace("crypto_cipher: aes256", "crypto_cipher: none")
            .replace("crypto_hash: sha256", "crypto_hash: none")
    });
    n1.start_daemon(&[]);
    starts_alone(&n1);
}

#[test]
fn silent_peers_delay_the_first_start_for_a_moment_and_an_order_meanwhile_counts() {
    let lab = Lab::up("first-silent", "2 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    // What is cut off does not even refuse.
    lab.verb(&["cut", "n1", "n2"]).ok();
    n1.start_daemon(&[]);
    let ms = took(&n1, 0);
    assert!(ms >= 600, "it waited for nobody's answer: {ms} ms");
    n1.wait_state("running");

    // A stop right after the daemon serves: it holds, and nothing is started under it.
    let seq = n1.latest();
    n1.end_daemon("TERM");
    let ran = n1.sh("clusmgr && clusmgrctl stop >&2 && clusmgrctl status --json");
    let s: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(s["service"]["state"], "stopped", "{s:#}");
    assert_eq!(s["service"]["hold"], true, "{s:#}");
    stays("held", Duration::from_secs(3), || {
        n1.status()["service"]["state"] == "stopped"
    });
    assert_eq!(after(&n1, seq, "service.starting").len(), 0);
    // And a start.
    n1.ctl(&["start"]).ok();
    n1.wait_state("running");
    assert_eq!(after(&n1, seq, "service.starting").len(), 1);

    // A start right after the daemon serves does not wait for the others' answers, nor start twice.
    let seq = n1.latest();
    n1.end_daemon("TERM");
    n1.sh("clusmgr && clusmgrctl start").ok();
    n1.wait_state("running");
    let pid = n1.pid();
    stays("started once", Duration::from_secs(3), || n1.pid() == pid);
    assert_eq!(after(&n1, seq, "service.starting").len(), 1);
}
