//! Whose answer it is, and what becomes of who follows a node that is gone.

use crate::bed::{all, formed, reached, wait_after, wait_all};
use crate::common::{LONG, degraded, until};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What is meant for n2's clusmgr comes to n3's.
const TURNED: &str = "nft -f - <<'END'
table ip turned {
  chain out {
    type nat hook output priority -100;
    ip daddr 10.77.0.2 tcp dport 5407 dnat to 10.77.0.3:5407
  }
}
END";

#[test]
fn who_answers_at_another_nodes_address_is_named_and_does_nothing() {
    let lab = formed("remote-elsewhere", "3", 3);
    let (n1, n3) = (lab.node(1), lab.node(3));
    wait_all(&n1, "all there", |n| reached(n) == ["ok"; 3]);
    let pid = n3.pid();
    n1.sh(TURNED).ok();
    let nodes = all(&n1, &["status"]);
    assert_eq!(nodes[1]["unreachable"], "wrong-node", "{}", nodes[1]);
    assert_eq!(nodes[2]["ok"]["node"]["name"], "n3");
    let ran = n1.ctl(&["--node", "n2", "restart"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = "n3 (nodeid 3) answers at this address, and n2 was asked";
    assert!(ran.err.contains(said), "{ran:?}");
    assert_eq!(n3.pid(), pid);
    assert!(n3.events_of("peer.asked").is_empty());
    // The comparison asks by a connection that stands, which may be from before for a minute.
    let of_it = |e: &Value| e["fields"]["what"] == "identity";
    wait_after(&n1, 0, "peer.differs", of_it);
    n1.wait("an identity", |s| degraded(s).contains(&"peer-identity"));
    let ran = n1.ctl(&["why"]);
    assert!(ran.out.contains("peer-identity"), "{ran:?}");
    assert!(ran.out.contains("/etc/hosts"), "{ran:?}");
    let told = n1.events_of("peer.differs");
    let told = told.iter().find(|e| e["fields"]["what"] == "identity");
    assert_eq!(told.unwrap()["fields"]["theirs"], "n3 (nodeid 3)");
    n1.sh("nft delete table ip turned").ok();
    wait_all(&n1, "all there", |n| reached(n) == ["ok"; 3]);
    n1.wait("no identity", |s| !degraded(s).contains(&"peer-identity"));
}

#[test]
fn a_follower_of_a_node_that_is_gone_is_told_and_goes_on_with_it() {
    let lab = formed("remote-follow", "2", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    wait_all(&n1, "both", |n| reached(n) == ["ok"; 2]);
    n1.spawn("clusmgrctl --node n2 events -f --json");
    let out = || String::from_utf8_lossy(&n1.read("/tmp/spawned.out")).into_owned();
    until("it follows", LONG, || {
        let said: Vec<Value> = out()
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        (!said.is_empty()).then_some(())
    });
    // The quiet: neither side has anything to send.
    lab.verb(&["cut", "n2"]).ok();
    let began = Instant::now();
    until("it is told", LONG, || {
        out().contains("trying again").then_some(())
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    lab.verb(&["heal"]).ok();
    n2.ctl(&["stop"]).ok();
    until("it goes on", LONG, || {
        out().contains("\"hold.set\"").then_some(())
    });
}
