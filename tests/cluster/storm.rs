//! A ring that does not come to rest: two nodes do not hear each other, and a third hears both.

use crate::bed::formed;
use crate::common::{Lab, Node, pause};
use std::time::{Duration, Instant};

/// corosync forms the ring again and again meanwhile, and may serve nobody for longer than the hang
/// time-out, which is a short one here. It works, and a kill would cost its peers their quorum.
#[test]
fn a_corosync_that_is_busy_with_its_ring_is_not_killed_for_serving_nobody() {
    let lab = Lab::up("storm", "3", &["--hang-timeout", "2"]);
    let pids = formed(&lab, 3);
    lab.verb(&["cut", "--one-way", "n1", "n2"]).ok();
    let nodes = [1, 2, 3].map(|k| lab.node(k));
    let end = Instant::now() + Duration::from_secs(40);
    while Instant::now() < end {
        let now = nodes.each_ref().map(Node::pid);
        assert_eq!(now.to_vec(), pids);
        pause(Duration::from_millis(500));
    }
    for node in &nodes {
        assert_eq!(node.events_of("service.hung").len(), 0, "{}", node.name);
    }
    lab.verb(&["heal"]).ok();
    assert_eq!(formed(&lab, 3), pids);
}
