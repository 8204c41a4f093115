//! This node's own corosync ends: who was seen is not seen any more, and what it said last is told.

use crate::bed::{formed, kinds, of_kinds, token, up_edited, wait_after};
use crate::common::{LONG, until};

#[test]
fn who_left_around_the_end_of_this_nodes_own_corosync_is_told() {
    let flags = ["--poll-interval", "0.2", "--stable-after", "0.1"];
    let lab = up_edited("own-end", (3, 1), &flags, token(2000));
    let pids = formed(&lab, 3);
    let (n1, n3) = (lab.node(1), lab.node(3));
    let left = ["quorum.lost", "node.left"];

    // It dies, and one of the others goes at the same time.
    let seq = n1.latest();
    n1.kill("KILL", pids[0]);
    n3.ctl(&["stop", "--wait"]).ok();
    let other = n1.wait_other(pids[0]);
    n1.wait("with n2", |s| crate::bed::members(s) == [1, 2]);
    let told = of_kinds(&n1, seq, &left);
    assert_eq!(kinds(&told)[..3], ["quorum.lost", "node.left", "node.left"]);
    for (event, id) in told[1..3].iter().zip([2, 3]) {
        assert_eq!(event["fields"]["nodeid"], id);
        assert_eq!(event["fields"]["name"], format!("n{id}"));
        assert_eq!(event["fields"]["ended"], true);
    }
    n3.ctl(&["start", "--wait"]).ok();
    n1.wait("with all", |s| crate::bed::well(s, 3));

    // What it told while clusmgr did not get to run is told, though it is dead by then.
    let seq = n1.latest();
    let daemon = n1.daemon_pid();
    n1.kill("STOP", daemon);
    n3.ctl(&["stop", "--wait"]).ok();
    until("a ring without n3", LONG, || {
        let out = n1.run(&["corosync-quorumtool", "-s"]).out;
        out.contains("Nodes:            2").then_some(())
    });
    n1.kill("KILL", other);
    n1.kill("CONT", daemon);
    n1.wait_other(other);
    let ring = wait_after(&n1, seq, "ring.changed", |_| true);
    assert_eq!(ring["fields"]["left"], serde_json::json!([3]));
    let told = of_kinds(&n1, seq, &left);
    assert_eq!(kinds(&told)[..3], ["node.left", "quorum.lost", "node.left"]);
    assert_eq!(told[0]["fields"]["nodeid"], 3);
    assert!(told[0]["fields"].get("ended").is_none(), "{told:#?}");
    assert_eq!(told[2]["fields"]["nodeid"], 2);
    assert_eq!(told[2]["fields"]["ended"], true);
}
