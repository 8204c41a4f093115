//! A cluster without a quorum provider: corosync counts no votes and calls every node quorate.

use crate::bed::{formed, in_state, kinds, none_of, of_kinds, token, up_edited, wait_after, well};
use crate::common::{Node, stays};
use serde_json::{Value, json};
use std::time::Duration;

fn conf(text: &str) -> String {
    let edited = token(2000)(text)
        .replace("    provider: corosync_votequorum\n", "")
        .replace("    two_node: 1\n", "");
    assert!(edited.contains("quorum {\n}"), "{edited}");
    edited
}

/// The codes of `why`, and its text.
fn why(node: &Node<'_>) -> (Vec<String>, String) {
    let ran = node.ctl(&["why", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let all = report["verdicts"].as_array().unwrap();
    let codes = all.iter().map(|v| v["code"].as_str().unwrap().to_owned());
    (codes.collect(), ran.out)
}

/// No votes, and everything else as ever.
fn no_votes(s: &Value) -> bool {
    let c = &s["cluster"];
    let votes = ["expected_votes", "total_votes", "quorum"];
    c["quorate"] == true
        && votes.iter().all(|v| c[v] == 0)
        && c["flags"] == json!([])
        && c["members"][0]["votes"] == 0
}

#[test]
fn without_a_quorum_provider_a_node_is_quorate_and_no_votes_are_counted() {
    let lab = up_edited("no-provider", (2, 1), &["--poll-interval", "0.2"], conf);
    let pids = formed(&lab, 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    for n in [&n1, &n2] {
        let s = n.status();
        assert!(no_votes(&s), "{s:#}");
        assert_eq!(n.ctl(&["status"]).code, 0);
        assert_eq!(n.ctl(&["status", "--wait=1"]).code, 0);
        let (codes, text) = why(n);
        assert_eq!(codes, ["healthy"]);
        assert!(text.contains("without a quorum provider"), "{text}");
        let told = of_kinds(n, 0, &["quorum.gained", "quorum.lost"]);
        assert_eq!(kinds(&told), ["quorum.gained"]);
        none_of(n, 0, &["degraded"]);
    }
    let words = n1.ctl(&["status"]).ok();
    assert!(words.contains("no quorum provider"), "{words}");

    // It is connected, and stays so: nothing goes round in circles.
    let (before, seq) = (n1.wake_ups(), n1.latest());
    stays("known", Duration::from_secs(4), || no_votes(&n1.status()));
    let woke = n1.wake_ups() - before;
    assert!(woke < 400, "{woke} wake-ups in 4 s");
    assert_eq!(n1.latest(), seq);

    // Alone it is quorate too.
    lab.verb(&["cut", "n1", "n2"]).ok();
    let s = n1.wait("alone", |s| in_state(s, "left") == [2]);
    assert!(no_votes(&s), "{s:#}");
    wait_after(&n1, seq, "node.left", |e| e["fields"]["nodeid"] == 2);
    assert_eq!(why(&n1).0, ["no-link"]);
    none_of(&n1, seq, &["quorum.lost"]);
    lab.verb(&["heal"]).ok();
    n1.wait("together", |s| well(s, 2));
    none_of(&n1, seq, &["quorum.lost", "quorum.gained"]);

    // And after a restart.
    n1.kill("KILL", pids[0]);
    n1.wait_other(pids[0]);
    n1.wait("together", |s| well(s, 2) && no_votes(s));
    let told = of_kinds(&n1, seq, &["quorum.gained", "quorum.lost"]);
    assert_eq!(kinds(&told), ["quorum.lost", "quorum.gained"]);
    assert_eq!(told[0]["fields"]["ended"], true);
    assert_eq!(n2.pid(), pids[1]);
}
