//! `link matrix`, with faults of a pair, of one direction, and of a node.

use crate::bed::{formed, reached, wait_all};
use crate::common::{LONG, Lab, until};
use serde_json::{Value, json};

/// The sentences of `link matrix` once they name all of these words.
#[track_caller]
fn says(lab: &Lab, node: u32, words: &[&str]) -> String {
    let mut last = String::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the matrix says so", LONG, || {
            let text = lab.node(node).ctl(&["link", "matrix"]).out;
            let found = words.iter().all(|w| text.contains(w));
            last.clone_from(&text);
            found.then_some(text)
        })
    }));
    found.unwrap_or_else(|_| panic!("{words:?} not in:\n{last}"))
}

#[test]
fn the_matrix_names_the_pair_the_direction_and_the_node() {
    let lab = formed("remote-matrix", "3", 3);
    let n3 = lab.node(3);
    wait_all(&n3, "all there", |n| reached(n) == ["ok"; 3]);
    until("all links are up", LONG, || {
        let ran = n3.ctl(&["link", "matrix", "--json"]);
        let value: Value = serde_json::from_str(&ran.out).ok()?;
        let faults = value["concluded"]["faults"].as_array()?;
        (faults.is_empty() && ran.code == 0).then_some(())
    });
    // A pair.
    lab.verb(&["cut", "n1", "n2"]).ok();
    let text = says(&lab, 3, &["n1 and n2"]);
    assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
    let ran = n3.ctl(&["link", "matrix", "--json"]);
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    let faults = value["concluded"]["faults"].as_array().unwrap();
    assert!(!faults.is_empty() && ran.code == 1, "{value:#}");
    lab.verb(&["heal"]).ok();
    says(&lab, 3, &["All 3 nodes hear each other"]);
    // One direction: n2 no longer hears n1.
    lab.verb(&["cut", "--one-way", "n1", "n2"]).ok();
    says(&lab, 3, &["n1", "n2", "one-way"]);
    lab.verb(&["heal"]).ok();
    says(&lab, 3, &["All 3 nodes hear each other"]);
}

/// Waits until `link matrix` has this fault of these nodes.
#[track_caller]
fn finds(lab: &Lab, node: u32, code: &str, nodes: &[&str]) {
    let mut last = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the matrix has it", LONG, || {
            let ran = lab.node(node).ctl(&["link", "matrix", "--json"]);
            last = serde_json::from_str(&ran.out).ok()?;
            let mut faults = last["concluded"]["faults"].as_array()?.iter();
            faults.find(|f| f["code"] == code && f["nodes"] == json!(nodes))?;
            Some(())
        });
    }));
    assert!(found.is_ok(), "{code} of {nodes:?}: {last:#}");
}

#[test]
fn the_matrix_names_a_node_that_is_off_held_of_another_key_or_without_its_clusmgr_and_a_split() {
    let lab = formed("remote-shapes", "3", 3);
    let (n2, n3) = (lab.node(2), lab.node(3));
    wait_all(&n3, "all there", |n| reached(n) == ["ok"; 3]);
    says(&lab, 3, &["All 3 nodes hear each other"]);
    // It is off, as the others see it; and a whole split, from its smaller side.
    lab.verb(&["cut", "n2"]).ok();
    finds(&lab, 3, "node-off", &["n2"]);
    finds(&lab, 2, "alone", &["n1", "n3"]);
    lab.verb(&["heal"]).ok();
    says(&lab, 3, &["All 3 nodes hear each other"]);
    // Its corosync is down, and its clusmgr is not.
    n2.ctl(&["stop"]).ok();
    finds(&lab, 3, "not-running", &["n2"]);
    // It has another key.
    let key = n2.read("/etc/corosync/authkey");
    let other: Vec<u8> = key.iter().map(|b| b ^ 0x55).collect();
    n2.put("/etc/corosync/authkey", &other);
    finds(&lab, 3, "wrong-key", &["n2"]);
    n2.put("/etc/corosync/authkey", &key);
    finds(&lab, 3, "not-running", &["n2"]);
    // It has no clusmgr either.
    n2.end_daemon("TERM");
    finds(&lab, 3, "node-down", &["n2"]);
    n2.start_daemon(&[]);
    n2.ctl(&["start"]).ok();
    says(&lab, 3, &["All 3 nodes hear each other"]);
}
