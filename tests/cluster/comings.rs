//! Nodes that come and go: over several links that makes nobody degraded, and again and again it is flapping.

use crate::bed::{Follower, formed, of_kinds, token, up_edited, well};
use serde_json::Value;

#[test]
fn a_peer_that_comes_and_goes_over_two_links_degrades_nobody() {
    let flags = ["--poll-interval", "0.2"];
    let lab = up_edited("comings", (3, 2), &flags, token(2000));
    let pids = formed(&lab, 3);
    let (n1, n3) = (lab.node(1), lab.node(3));
    let seq = n1.latest();
    let follower = Follower::since(&n1, seq);
    for round in 0..3 {
        match round {
            0 => drop(n3.ctl(&["stop", "--wait"]).ok()),
            1 => n3.kill("KILL", n3.pid()),
            _ => drop(lab.verb(&["cut", "n3"]).ok()),
        }
        if round != 1 {
            n1.wait("without n3", |s| crate::bed::members(s) == [1, 2]);
            follower.until("both links down", |e| {
                e["kind"] == "link.down" && e["fields"]["nodeid"] == 3
            });
        }
        match round {
            0 => drop(n3.ctl(&["start", "--wait"]).ok()),
            1 => drop(n3.wait_other(pids[2])),
            _ => drop(lab.verb(&["heal"]).ok()),
        }
        n1.wait("with n3", |s| well(s, 3));
    }
    let told = of_kinds(&n1, seq, &["degraded"]);
    let links = told.iter().filter(|e| e["fields"]["reason"] == "link-down");
    assert_eq!(links.count(), 0, "{told:#?}");
}

#[test]
fn a_node_whose_sole_link_is_cut_again_and_again_flaps_though_each_time_it_leaves() {
    let flags = ["--poll-interval", "0.2"];
    let lab = up_edited("sole-link", (2, 1), &flags, str::to_owned);
    formed(&lab, 2);
    let n1 = lab.node(1);
    let seq = n1.latest();
    let follower = Follower::since(&n1, seq);
    let of = |e: &Value, kind: &str| e["kind"] == kind && e["fields"]["nodeid"] == 2;
    let mut told = Vec::new();
    for _ in 0..3 {
        lab.verb(&["cut", "n1", "n2"]).ok();
        let (mut left, mut down) = (false, false);
        told.extend(follower.until("it left, and its link is down", |e| {
            left |= of(e, "node.left");
            down |= of(e, "link.down") || of(e, "link.flapping");
            left && down
        }));
        lab.verb(&["heal"]).ok();
        told.extend(follower.until("it is back", |e| of(e, "node.joined")));
    }
    let flaps = |e: &&Value| of(e, "link.flapping");
    assert_eq!(told.iter().filter(flaps).count(), 1, "{told:#?}");
    n1.wait("it says so", |s| {
        crate::common::degraded(s).contains(&"link-flapping")
    });
}
