//! `link matrix`, with faults of a pair, of one direction, and of a node.

use crate::bed::{formed, reached, wait_all};
use crate::common::{LONG, Lab, until};
use serde_json::Value;

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
    // A node, as the two others see it.
    lab.verb(&["cut", "n2"]).ok();
    says(&lab, 3, &["n2"]);
    lab.verb(&["heal"]).ok();
}
