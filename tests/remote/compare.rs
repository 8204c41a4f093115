//! How a node compares with the others: told on both sides, shown, explained, and over when it is.

use crate::bed::{after, formed, has, peer, verdict, wait_after};
use crate::common::{Lab, Node, degraded};
use serde_json::{Value, json};

const CONF: &str = "/etc/corosync/corosync.conf";
const KEY: &str = "/etc/corosync/authkey";

/// Nodes that have found each other in the comparison too; and each one's latest event.
#[track_caller]
fn compared(name: &str, nodes: u32) -> (Lab, Vec<u64>) {
    let lab = formed(name, &nodes.to_string(), nodes);
    let began = (1..=nodes).map(|k| {
        let like = |p: &Value| p["config_version"] == 1 && p["differs"] == json!([]);
        lab.node(k).wait("compared", |s| {
            let peers = s["peers"].as_array().unwrap();
            peers.len() == nodes as usize - 1 && peers.iter().all(like)
        });
        lab.node(k).latest()
    });
    let began = began.collect();
    (lab, began)
}

/// Applies the node's own file with a newer version, on it alone.
#[track_caller]
fn apply(node: &Node<'_>, version: u32) {
    let text = String::from_utf8(node.read(CONF)).unwrap();
    let old = text.lines().find(|l| l.contains("config_version")).unwrap();
    let new = text.replace(old, &format!("\tconfig_version: {version}"));
    node.put("/tmp/new.conf", new);
    node.ctl(&["config", "apply", "--this-node-only", "/tmp/new.conf"])
        .ok();
}

/// One node's side of a difference: event, degraded reason, verdict and status say the same.
#[track_caller]
fn differs(node: &Node<'_>, seq: u64, other: &str, reason: &str, fields: &[(&str, Value)]) {
    let of = |e: &Value| e["fields"]["node"] == other && has(e, fields);
    let told = wait_after(node, seq, "peer.differs", of);
    assert!(told["text"].as_str().unwrap().contains(other), "{told}");
    let item = wait_after(node, seq, "degraded", |e| e["fields"]["reason"] == reason);
    assert!(item["text"].as_str().unwrap().contains(other), "{item}");
    let s = node.status();
    let mut items = s["degraded"].as_array().unwrap().iter();
    let detail = items.find(|d| d["reason"] == reason);
    let detail = detail.unwrap_or_else(|| panic!("{s:#}"))["detail"]
        .as_str()
        .unwrap();
    assert!(detail.contains(other), "{detail}");
    let what = fields.iter().find(|f| f.0 == "what").unwrap();
    assert_eq!(peer(&s, other)["differs"], json!([what.1]), "{s:#}");
    let why = verdict(node, reason).expect("a verdict of it");
    assert!(why["what_to_do"][0].is_string(), "{why}");
    let why = why.to_string();
    assert!(why.contains(other), "{why}");
    // Both values are in both, as long as they are known.
    for (_, value) in fields.iter().filter(|f| f.0 == "ours" || f.0 == "theirs") {
        let brief = match value {
            Value::String(text) => text[..12].to_owned(),
            Value::Null => continue,
            other => other.to_string(),
        };
        assert!(detail.contains(&brief), "{brief} is not in {detail}");
        assert!(why.contains(&brief), "{brief} is not in {why}");
    }
    assert_eq!(after(node, seq, "peer.agrees").len(), 0, "{}", node.name);
}

/// That it is over, in all of them, and was told once.
#[track_caller]
fn agrees(node: &Node<'_>, seq: u64, other: &str, what: &str, reason: &str) {
    let of = |e: &Value| e["fields"]["node"] == other && e["fields"]["what"] == what;
    let told = wait_after(node, seq, "peer.agrees", of);
    assert_eq!(told["fields"]["ours"], told["fields"]["theirs"], "{told}");
    wait_after(node, seq, "degraded.ended", |e| {
        e["fields"]["reason"] == reason
    });
    let s = node.wait("over", |s| !degraded(s).contains(&reason));
    assert_eq!(peer(&s, other)["differs"], json!([]), "{s:#}");
    assert_eq!(verdict(node, reason), None, "{}", node.name);
    for kind in ["peer.differs", "peer.agrees"] {
        let all = after(node, seq, kind);
        assert_eq!(all.iter().filter(|e| of(e)).count(), 1, "{all:#?}");
    }
}

#[test]
fn another_version_is_told_on_both_sides_and_over_when_the_other_follows() {
    let (lab, began) = compared("compare-version", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    let pids = [n1.pid(), n2.pid()];
    apply(&n1, 2);
    let what = ("what", json!("config-version"));
    let (newer, older) = (json!(2), json!(1));
    let sides = [
        (&n1, "n2", newer.clone(), older.clone()),
        (&n2, "n1", older, newer),
    ];
    for ((node, other, ours, theirs), seq) in sides.into_iter().zip(&began) {
        let fields = [what.clone(), ("ours", ours), ("theirs", theirs.clone())];
        differs(node, *seq, other, "peer-config", &fields);
        let s = node.status();
        assert_eq!(peer(&s, other)["config_version"], theirs, "{s:#}");
        assert_eq!(node.ctl(&["status"]).code, 151);
        // Who is behind.
        let detail = verdict(node, "peer-config").unwrap().to_string();
        let behind = match node.name.as_str() {
            "n2" => "this node is behind",
            _ => "the next start of corosync there would fail",
        };
        assert!(detail.contains(behind), "{detail}");
    }
    apply(&n2, 2);
    for ((node, other), seq) in [(&n1, "n2"), (&n2, "n1")].into_iter().zip(&began) {
        agrees(node, *seq, other, "config-version", "peer-config");
    }
    assert_eq!([n1.pid(), n2.pid()], pids, "nothing is changed by itself");
}

#[test]
fn the_same_version_with_other_content_is_told_with_both_hashes() {
    let (lab, began) = compared("compare-content", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    let hash = n1.status()["config"]["sha256"].clone();
    let timer = |from: &'static str, to: &'static str| {
        n2.edit_conf(|t| t.replace(from, to));
        n2.wait("drift", |s| s["config"]["drift"] == true);
        n2.ctl(&["config", "adopt"]).ok();
        n2.status()["config"]["sha256"].clone()
    };
    let other = timer("token: 1000", "token: 1500");
    assert_ne!(other, hash);
    let what = ("what", json!("config"));
    let sides = [
        (&n1, "n2", hash.clone(), other.clone()),
        (&n2, "n1", other, hash.clone()),
    ];
    for ((node, name, ours, theirs), seq) in sides.into_iter().zip(&began) {
        let fields = [what.clone(), ("ours", ours), ("theirs", theirs.clone())];
        differs(node, *seq, name, "peer-config", &fields);
        let s = node.status();
        assert_eq!(peer(&s, name)["sha256"], theirs, "{s:#}");
        assert_eq!(peer(&s, name)["config_version"], 1, "{s:#}");
    }
    assert_eq!(timer("token: 1500", "token: 1000"), hash);
    for ((node, other), seq) in [(&n1, "n2"), (&n2, "n1")].into_iter().zip(&began) {
        agrees(node, *seq, other, "config", "peer-config");
    }
}

#[test]
fn another_key_is_told_on_both_sides_and_over_when_it_is_put_right() {
    let (lab, began) = compared("compare-key", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    n2.ctl(&["stop"]).ok();
    let old = n2.read(KEY);
    let new: Vec<u8> = old.iter().map(|b| b ^ 0x55).collect();
    n2.put(KEY, &new);
    let ours = n1.status()["key"]["fingerprint"].clone();
    for ((node, other), seq) in [(&n1, "n2"), (&n2, "n1")].into_iter().zip(&began) {
        let mut fields = vec![("what", json!("key")), ("theirs", Value::Null)];
        if node.name == "n1" {
            fields.push(("ours", ours.clone()));
        }
        differs(node, *seq, other, "peer-key", &fields);
        let s = node.status();
        assert_eq!(peer(&s, other)["unreachable"], "wrong-key", "{s:#}");
        let told = wait_after(node, *seq, "peer.unreachable", |e| {
            e["fields"]["reason"] == "wrong-key"
        });
        assert_eq!(told["severity"], "err", "{told}");
        assert_eq!(told["fields"]["node"], other, "{told}");
    }
    n2.put(KEY, &old);
    for ((node, other), seq) in [(&n1, "n2"), (&n2, "n1")].into_iter().zip(&began) {
        agrees(node, *seq, other, "key", "peer-key");
        wait_after(node, *seq, "peer.reachable", |e| {
            e["fields"]["node"] == other
        });
        assert_eq!(peer(&node.status(), other)["unreachable"], Value::Null);
    }
}

#[test]
fn a_version_below_that_of_another_node_is_refused_and_the_number_to_write_is_named() {
    let lab = formed("compare-below", "2", 2);
    let [n1, n2] = &[1, 2].map(|k| lab.node(k));
    let text = String::from_utf8(n1.read(CONF)).unwrap();
    let apply = |node: &Node<'_>, version: u64| {
        let line = format!("config_version: {version}\n");
        node.put("/tmp/new.conf", text.replace("config_version: 1\n", &line));
        node.ctl(&["config", "apply", "--this-node-only", "/tmp/new.conf"])
    };
    apply(n2, 5).ok();
    n1.wait("it knows", |s| s["peers"][0]["config_version"] == 5);
    let pid = n1.pid();
    let ran = apply(n1, 4);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    for part in [
        "its config_version 4 is below 5, which another node has",
        "write 'config_version: 5'",
    ] {
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
    }
    // The same as there is what all nodes are to have.
    apply(n1, 5).ok();
    n1.wait("the same", |s| s["peers"][0]["differs"] == json!([]));
    assert_eq!(n1.pid(), pid);
}
