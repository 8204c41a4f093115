//! Quorum, rings and members, as `status` shows them and as they are told.

use crate::bed::{Follower, formed, in_state, kinds, members, none_of, of_kinds, wait_after, well};
use crate::common::{LONG, Lab, Node, stays, until};
use serde_json::{Value, json};
use std::time::Duration;

/// The first verdict of `why`, and its exit code.
#[track_caller]
fn why(node: &Node<'_>) -> (i32, Value) {
    let ran = node.ctl(&["why", "--json"]);
    let mut report: Value = serde_json::from_str(&ran.out).unwrap();
    (ran.code, report["verdicts"][0].take())
}

/// What corosync's own tool says the ring is.
#[track_caller]
fn ring_of(node: &Node<'_>) -> String {
    let out = node.run(&["corosync-quorumtool", "-s"]).out;
    let line = out.lines().find_map(|l| l.strip_prefix("Ring ID:"));
    line.unwrap_or_else(|| panic!("{out}")).trim().to_owned()
}

fn votes(status: &Value) -> [&Value; 3] {
    let c = &status["cluster"];
    [&c["expected_votes"], &c["total_votes"], &c["quorum"]]
}

#[test]
fn a_cut_and_a_fast_restart_are_seen_by_all_and_told_in_order() {
    let lab = Lab::up("quorum", "3", &["--poll-interval", "0.2"]);
    let pids = formed(&lab, 3);
    let [n1, n2, n3] = [1, 2, 3].map(|k| lab.node(k));
    let s = n1.status();
    assert_eq!(s["cluster"]["name"], "clab");
    assert_eq!(s["cluster"]["config_version"], 1);
    assert_eq!(votes(&s), [3, 3, 2]);
    for (m, k) in s["cluster"]["members"].as_array().unwrap().iter().zip(1..) {
        let wanted = json!({"nodeid": k, "name": format!("n{k}"), "votes": 1, "state": "member",
            "local": k == 1, "config_version": 1, "left_at": null});
        assert_eq!(*m, wanted);
    }
    for n in [&n1, &n2, &n3] {
        assert_eq!(n.ctl(&["status"]).code, 0, "{}", n.name);
        assert_eq!(n.ctl(&["status", "--wait=1"]).code, 0, "{}", n.name);
        assert_eq!(n.status()["cluster"]["ring_id"], ring_of(n), "{}", n.name);
    }

    // Lost: on the one side all of it, on the other only a member.
    let seq = [&n1, &n3].map(Node::latest);
    let at_1 = Follower::since(&n1, seq[0]);
    let at_3 = Follower::since(&n3, seq[1]);
    lab.verb(&["cut", "n3"]).ok();
    // A node that is cut off may lose the others one by one.
    let alone = |e: &Value| e["kind"] == "ring.changed" && e["fields"]["members"] == json!([3]);
    let mut told = at_3.until("alone", alone);
    let gone = |e: &Value| e["kind"] == "node.left";
    for _ in told.iter().filter(|e| gone(e)).count()..2 {
        told.extend(at_3.until("both left", gone));
    }
    if !kinds(&told).contains(&"quorum.lost") {
        told.extend(at_3.until("quorum.lost", |e| e["kind"] == "quorum.lost"));
    }
    let numbers: Vec<u64> = told.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (seq[1] + 1..).take(told.len()).collect();
    assert_eq!(numbers, expected, "without a gap");
    let lost = told.iter().filter(|e| e["kind"] == "quorum.lost");
    assert!(lost.clone().all(|e| e["severity"] == "crit"));
    assert_eq!(lost.count(), 1, "{told:#?}");
    let left = told.iter().filter(|e| gone(e));
    let mut left: Vec<_> = left
        .map(|e| e["fields"]["nodeid"].as_u64().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left, [1, 2]);

    let s = n3.wait("it shows that, and its links", |s| {
        let links = s["links"].as_array().unwrap();
        s["cluster"]["quorate"] == false && links.iter().all(|l| l["connected"] == false)
    });
    assert_eq!((members(&s), in_state(&s, "left")), (vec![3], vec![1, 2]));
    assert_eq!(votes(&s), [3, 1, 2]);
    assert_eq!(n3.ctl(&["status"]).code, 151);
    assert_ne!(n3.ctl(&["status", "--wait=0.3"]).code, 0);
    let (code, first) = why(&n3);
    assert_eq!((code, &first["code"]), (1, &json!("not-quorate")));
    let summary = first["summary"].as_str().unwrap();
    assert!(summary.contains("n1 and n2 missing"), "{summary}");
    assert_eq!(s["service"]["pid"], pids[2]);

    let told = at_1.until("n3 left", gone);
    assert_eq!(told.last().unwrap()["fields"]["name"], "n3");
    let s = n1.wait("without n3", |s| in_state(s, "left") == [3]);
    assert_eq!(s["cluster"]["quorate"], true);
    assert_eq!(members(&s), [1, 2]);
    assert_eq!(votes(&s), [3, 2, 2]);
    none_of(&n1, seq[0], &["quorum.lost", "quorum.gained"]);

    // Regained.
    lab.verb(&["heal"]).ok();
    at_3.until("quorate again", |e| e["kind"] == "quorum.gained");
    formed(&lab, 3);
    let told = of_kinds(&n3, seq[1], &["quorum.lost", "quorum.gained"]);
    assert_eq!(kinds(&told), ["quorum.lost", "quorum.gained"]);
    for k in [1, 2] {
        wait_after(&n3, seq[1], "node.joined", |e| e["fields"]["nodeid"] == k);
    }
    wait_after(&n1, seq[0], "node.joined", |e| e["fields"]["nodeid"] == 3);

    // A restart that is faster than the token: the member list may stay as it is, the ring does not.
    let before = [&n1, &n2, &n3].map(|n| (n.latest(), ring_of(n)));
    n3.kill("KILL", pids[2]);
    n3.wait_other(pids[2]);
    for (n, (seq, ring)) in [&n1, &n2, &n3].into_iter().zip(&before) {
        let s = n.wait("a new ring of three", |s| {
            s["cluster"]["ring_id"] != ring.as_str() && well(s, 3)
        });
        assert_eq!(s["cluster"]["ring_id"], ring_of(n), "{}", n.name);
        let rings = of_kinds(n, *seq, &["ring.changed"]);
        let ids: Vec<_> = rings.iter().map(|e| &e["fields"]["ring_id"]).collect();
        assert_eq!(**ids.last().unwrap(), s["cluster"]["ring_id"], "{rings:#?}");
        assert!(ids.iter().all(|id| **id != ring.as_str()), "{rings:#?}");
    }
    for (n, (seq, _)) in [&n1, &n2].into_iter().zip(&before) {
        let rings = of_kinds(n, *seq, &["ring.changed"]);
        let names = |key: &str| rings.iter().any(|e| e["fields"][key] == json!([3]));
        assert!(names("joined") && names("left"), "{}: {rings:#?}", n.name);
        let told = of_kinds(n, *seq, &["node.left", "node.joined"]);
        assert_eq!(kinds(&told), ["node.left", "node.joined"], "{told:#?}");
        none_of(n, *seq, &["quorum.lost", "service.starting"]);
    }
    let told = of_kinds(&n3, before[2].0, &["quorum.lost", "quorum.gained"]);
    assert_eq!(kinds(&told), ["quorum.lost", "quorum.gained"]);
    assert_eq!(told[0]["fields"]["ended"], true);
}

#[test]
fn a_pair_waits_for_all_and_says_for_whom() {
    let lab = Lab::up("wait-for-all", "2 --no-clusmgr", &[]);
    let (n1, n2) = (lab.node(1), lab.node(2));
    n1.start_daemon(&["--poll-interval", "0.2"]);
    let flags = |s: &Value| {
        let all = s["cluster"]["flags"].as_array().cloned();
        let all = all.unwrap_or_default();
        all.contains(&json!("2node")) && all.contains(&json!("wait-for-all"))
    };
    let s = n1.wait("alone", |s| members(s) == [1] && flags(s));
    assert_eq!(s["cluster"]["quorate"], false);
    assert_eq!(in_state(&s, "missing"), [2]);
    assert_eq!(n1.ctl(&["status"]).code, 151);
    let (code, first) = why(&n1);
    assert_eq!((code, &first["code"]), (1, &json!("not-quorate")));
    let text = first.to_string();
    assert!(
        text.contains("wait_for_all") && text.contains("not seen since the start of corosync: n2"),
        "{text}"
    );
    assert!(n1.events_of("quorum.lost").is_empty(), "there was none");

    // The gate opens when the other one has come.
    n1.spawn("bash -c 'clusmgrctl status --wait=50; echo code $?'");
    let said = || String::from_utf8(n1.read("/tmp/spawned.out")).unwrap();
    stays("the gate is shut", Duration::from_secs(2), || {
        !said().contains("code")
    });
    n2.start_daemon(&["--poll-interval", "0.2"]);
    until("the gate opens", LONG, || {
        said().contains("code 0").then_some(())
    });
    formed(&lab, 2);
    assert!(flags(&n1.status()));
    assert_eq!(n1.ctl(&["status"]).code, 0);
    assert_eq!(why(&n1).0, 0);

    // A pair of which one leaves stays quorate; who was stopped is in STANDALONE.
    n2.ctl(&["stop", "--wait"]).ok();
    assert_eq!(n2.ctl(&["status"]).code, 150);
    assert_eq!(why(&n2).1["code"], "held");
    let s = n1.wait("the other one left", |s| in_state(s, "left") == [2]);
    assert_eq!(s["cluster"]["quorate"], true);
    assert_eq!(votes(&s), [2, 1, 1]);

    // But not one that starts alone.
    n1.kill("KILL", n1.pid());
    let lost = n1.wait_event("quorum.lost", 1);
    assert_eq!(lost["fields"]["ended"], true);
    let s = n1.wait("alone", |s| members(s) == [1]);
    assert_eq!(s["cluster"]["quorate"], false);
    assert_eq!(in_state(&s, "missing"), [2]);
    n2.ctl(&["start", "--wait"]).ok();
    n1.wait_event("quorum.gained", 2);
}
