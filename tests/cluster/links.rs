//! Links that go down and up: alone, again and again, and in one direction.

use crate::bed::{
    Follower, formed, in_state, kinds, none_of, of_kinds, token, up_edited, wait_after, well,
};
use crate::common::{Lab, Node, degraded};
use serde_json::Value;

const TOLD: [&str; 4] = ["link.down", "link.up", "link.flapping", "link.steady"];

fn link(status: &Value, number: u64) -> Value {
    let all = status["links"].as_array().unwrap();
    let found = all.iter().find(|l| l["link"] == number);
    found.cloned().unwrap_or_default()
}

/// Waits until both nodes of the pair see a link so.
#[track_caller]
fn both_see(lab: &Lab, number: u64, connected: bool) {
    for k in [1, 2] {
        lab.node(k).wait("the link is so", |s| {
            link(s, number)["connected"] == connected
        });
    }
}

#[track_caller]
fn only(node: &Node<'_>, seq: u64, number: u64, expected: &[&str]) {
    let told = of_kinds(node, seq, &TOLD);
    assert_eq!(kinds(&told), expected, "{}", node.name);
    assert!(
        told.iter().all(|e| e["fields"]["link"] == number),
        "{told:#?}"
    );
}

#[test]
fn one_link_of_two_is_told_down_up_one_way_and_flapping_and_costs_no_quorum() {
    let lab = up_edited("links", (2, 2), &["--poll-interval", "0.2"], token(3000));
    let pids = formed(&lab, 2);
    // knet may count one for a link that took its time at the start.
    let counts = [1, 2].map(|k| {
        let n = lab.node(k);
        n.wait("both links", |s| s["links"].as_array().unwrap().len() == 2);
        let s = n.wait("measured", |s| {
            (0..2).all(|l| link(s, l)["connected"] == true && link(s, l)["mtu"] != 0)
        });
        [0, 1].map(|l| link(&s, l)["down_count"].as_u64().unwrap())
    });
    let nodes = [1, 2].map(|k| lab.node(k));
    let began = nodes.each_ref().map(Node::latest);
    let names = ["n2", "n1"];

    // Down and up, with its count.
    lab.verb(&["cut", "n1", "n2", "1"]).ok();
    both_see(&lab, 1, false);
    for (((n, seq), other), count) in nodes.iter().zip(began).zip(names).zip(counts) {
        let down = wait_after(n, seq, "link.down", |_| true);
        assert_eq!(down["fields"]["link"], 1);
        assert_eq!(down["fields"]["down_count"], count[1] + 1);
        assert_eq!(down["text"], format!("link 1 to {other} is down"));
        let s = n.wait("degraded", |s| degraded(s) == ["link-down"]);
        assert_eq!(s["cluster"]["quorate"], true);
        assert_eq!(n.ctl(&["status"]).code, 151);
        assert_eq!(n.ctl(&["status", "--wait=1"]).code, 0);
        let list = n.ctl(&["link", "list"]).ok();
        let states: Vec<_> = list
            .lines()
            .skip(1)
            .map(|l| l.split_whitespace().collect::<Vec<_>>())
            .map(|l| {
                (
                    l[2].to_owned(),
                    l[3].to_owned(),
                    l.last().unwrap().to_string(),
                )
            })
            .collect();
        let downs = [count[0], count[1] + 1].map(|n| n.to_string());
        let expected = [("0", "yes"), ("1", "NO")].map(|(l, c)| (l.to_owned(), c.to_owned()));
        let expected = expected.into_iter().zip(downs);
        let expected: Vec<_> = expected.map(|((l, c), n)| (l, c, n)).collect();
        assert_eq!(states, expected, "{list}");
    }
    lab.verb(&["heal"]).ok();
    for ((n, seq), count) in nodes.iter().zip(began).zip(counts) {
        n.wait("up again", |s| well(s, 2));
        only(n, seq, 1, &["link.down", "link.up"]);
        assert_eq!(link(&n.status(), 1)["down_count"], count[1] + 1);
        assert_eq!(n.ctl(&["status"]).code, 0);
    }

    // Nobody answers a ping that nobody hears: a one-way cut is one for both.
    let seq = nodes.each_ref().map(Node::latest);
    lab.verb(&["cut", "--one-way", "n1", "n2", "0"]).ok();
    both_see(&lab, 0, false);
    // But who of them still hears the other is told, and of the links that are up nothing is.
    for (n, heard, state) in [(&nodes[0], true, "NO, heard"), (&nodes[1], false, "NO  ")] {
        let s = n.wait("heard or not", |s| link(s, 0)["heard"] == heard);
        assert_eq!(link(&s, 0)["connected"], false);
        assert_eq!(link(&s, 1).get("heard"), None);
        assert!(n.ctl(&["link", "list"]).ok().contains(state), "{heard}");
    }
    lab.verb(&["heal"]).ok();
    for (n, seq) in nodes.iter().zip(seq) {
        let s = n.wait("up again", |s| well(s, 2));
        assert_eq!(link(&s, 0).get("heard"), None);
        only(n, seq, 0, &["link.down", "link.up"]);
    }

    // The second down of link 1 is told, the third one says that it flaps; after that, nothing.
    let seq = nodes.each_ref().map(Node::latest);
    for n in 2..=4 {
        lab.verb(&["cut", "n1", "n2", "1"]).ok();
        both_see(&lab, 1, false);
        lab.verb(&["heal"]).ok();
        both_see(&lab, 1, true);
        for (node, count) in nodes.iter().zip(counts) {
            let s = node.status();
            assert_eq!(link(&s, 1)["down_count"], count[1] + n);
            assert_eq!(link(&s, 1)["flapping"], n >= 3, "{n}");
            let expected: &[&str] = if n >= 3 { &["link-flapping"] } else { &[] };
            assert_eq!(degraded(&s), expected);
        }
    }
    for (n, seq) in nodes.iter().zip(seq) {
        only(n, seq, 1, &["link.down", "link.up", "link.flapping"]);
        let why: Value = serde_json::from_str(&n.ctl(&["why", "--json"]).out).unwrap();
        assert_eq!(why["verdicts"][0]["code"], "flapping");
        assert!(n.ctl(&["link", "list"]).ok().contains("  flapping\n"));
    }

    // Until it has been quiet for a minute.
    let (n1, seq) = (&nodes[0], seq[0]);
    let follower = Follower::since(n1, seq);
    follower.until("steady", |e| e["kind"] == "link.steady");
    only(
        n1,
        seq,
        1,
        &["link.down", "link.up", "link.flapping", "link.steady"],
    );
    n1.wait("well", |s| well(s, 2));
    for ((n, seq), pid) in nodes.iter().zip(began).zip(pids) {
        none_of(
            n,
            seq,
            &["quorum.lost", "ring.changed", "node.left", "service.hung"],
        );
        assert_eq!(n.pid(), pid);
    }
}

#[test]
fn a_peer_that_restarts_once_or_twice_does_not_flap_and_one_that_leaves_three_times_a_minute_does()
{
    let flags = [
        "--poll-interval",
        "0.2",
        "--stable-after",
        "0.1",
        "--restart-limit",
        "0",
    ];
    let lab = up_edited("peer-restarts", (3, 1), &flags, token(2000));
    let pids = formed(&lab, 3);
    let [n1, n2, n3] = [1, 2, 3].map(|k| lab.node(k));
    let leaves = || {
        let seq = n1.latest();
        n3.ctl(&["stop", "--wait"]).ok();
        n1.wait("without n3", |s| in_state(s, "left") == [3]);
        n1.wait("the link is down", |s| {
            let all = s["links"].as_array().unwrap();
            all.iter()
                .any(|l| l["nodeid"] == 3 && l["connected"] == false)
        });
        n3.ctl(&["start", "--wait"]).ok();
        wait_after(&n1, seq, "node.joined", |_| true);
        n1.wait("all links up", |s| {
            let all = s["links"].as_array().unwrap();
            all.iter().all(|l| l["connected"] == true)
        });
    };
    // At once, and after the others have lost it.
    let seq = n1.latest();
    n3.kill("KILL", pids[2]);
    n3.wait_other(pids[2]);
    wait_after(&n1, seq, "node.joined", |_| true);
    formed(&lab, 3);
    leaves();
    formed(&lab, 3);
    for n in [&n1, &n2] {
        none_of(n, 0, &["link.flapping", "link.steady"]);
    }
    // A busy machine may need longer than a minute for the first three.
    let flaps = |n: &Node<'_>| !of_kinds(n, 0, &["link.flapping"]).is_empty();
    for _ in 0..5 {
        if flaps(&n1) && flaps(&n2) {
            break;
        }
        leaves();
    }
    for (n, pid) in [(&n1, pids[0]), (&n2, pids[1])] {
        let told = of_kinds(n, 0, &["link.flapping"]);
        assert!(!told.is_empty(), "{}", n.name);
        assert!(told.iter().all(|e| e["fields"]["nodeid"] == 3), "{told:#?}");
        assert_eq!(n.pid(), pid, "{}", n.name);
    }
}
