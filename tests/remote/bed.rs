//! What these tests share: what a node says of all of them.

use crate::common::{LONG, Lab, Node, pause};
use serde_json::Value;
use std::time::Instant;

pub const PART: &str = "REMOTE_PART";

/// The words that run a part of this program in a node.
pub fn words(part: &str) -> Vec<String> {
    let exe = std::env::current_exe().unwrap();
    let name = exe.file_name().unwrap().to_str().unwrap();
    let exe = format!("/run/lab/bin/deps/{name}");
    let part = format!("{PART}={part}");
    let words = [
        "env",
        &part,
        &exe,
        "--ignored",
        "--exact",
        "inside",
        "--nocapture",
    ];
    words.map(str::to_owned).to_vec()
}

/// A lab whose nodes have found each other.
#[track_caller]
pub fn formed(name: &str, what: &str, nodes: u32) -> Lab {
    let lab = Lab::up(name, what, &[]);
    for k in 1..=nodes {
        lab.node(k).wait_ring(nodes);
    }
    lab
}

/// `VERB --all --json` of a node: each node's part, whatever the exit code.
#[track_caller]
pub fn all(node: &Node<'_>, verb: &[&str]) -> Vec<Value> {
    let mut words = verb.to_vec();
    words.extend(["--all", "--json"]);
    let ran = node.ctl(&words);
    let value: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    value["nodes"]
        .as_array()
        .unwrap_or_else(|| panic!("{ran:?}"))
        .clone()
}

/// What became of each node in `status --all`: `ok`, or why it could not be asked.
pub fn reached(nodes: &[Value]) -> Vec<&str> {
    let one = |n: &'_ Value| match n["unreachable"].as_str() {
        Some("refused") => "refused",
        Some("timed-out") => "timed-out",
        Some("wrong-key") => "wrong-key",
        Some("other-protocol") => "other-protocol",
        Some(_) => "other",
        None if n["ok"].is_object() => "ok",
        None => "error",
    };
    nodes.iter().map(one).collect()
}

/// Waits until `status --all` of a node is as wanted, and gives it.
#[track_caller]
pub fn wait_all(node: &Node<'_>, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + LONG;
    loop {
        let nodes = all(node, &["status"]);
        if wanted(&nodes) {
            return nodes;
        }
        assert!(
            Instant::now() < deadline,
            "{}: not {what}: {nodes:#?}",
            node.name
        );
        pause(std::time::Duration::from_millis(50));
    }
}

/// Waits for the first event of a kind after a number that is as wanted.
#[track_caller]
pub fn wait_after(node: &Node<'_>, seq: u64, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let limit = 2 * LONG;
    crate::common::until(&format!("{}: {kind}", node.name), limit, || {
        after(node, seq, kind).into_iter().find(|e| wanted(e))
    })
}

/// The events of a kind after a number.
#[track_caller]
pub fn after(node: &Node<'_>, seq: u64, kind: &str) -> Vec<Value> {
    let mut all = node.events_of(kind);
    all.retain(|e| e["seq"].as_u64() > Some(seq));
    all
}

/// Whether an event has these fields.
pub fn has(event: &Value, fields: &[(&str, Value)]) -> bool {
    fields.iter().all(|(k, v)| event["fields"][*k] == *v)
}

/// What a status says of another node.
pub fn peer<'s>(status: &'s Value, name: &str) -> &'s Value {
    let peers = status["peers"].as_array().unwrap();
    let found = peers.iter().find(|p| p["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is no peer: {status:#}"))
}

/// The verdict of `why` of this code, if there is one.
#[track_caller]
pub fn verdict(node: &Node<'_>, code: &str) -> Option<Value> {
    let ran = node.ctl(&["why", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let all = report["verdicts"].as_array().unwrap();
    all.iter().find(|v| v["code"] == code).cloned()
}
