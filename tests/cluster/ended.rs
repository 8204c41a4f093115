//! This node's own corosync ends: who was seen is not seen any more.

use crate::bed::{formed, members, of_kinds, token, up_edited, wait_after};
use crate::common::{LONG, until};
use serde_json::Value;

#[test]
fn who_left_around_the_end_of_this_nodes_own_corosync_is_told() {
    let flags = ["--poll-interval", "0.2", "--stable-after", "0.1"];
    let lab = up_edited("own-end", (3, 1), &flags, token(2000));
    let pids = formed(&lab, 3);
    let (n1, n3) = (lab.node(1), lab.node(3));
    // Quorum is lost, and with it everybody goes who has not gone before.
    let told_left = |seq| {
        let mut told = of_kinds(&n1, seq, &["quorum.lost", "node.left", "node.joined"]);
        let ended = |e: &Value| e["fields"]["ended"] == true;
        let lost = told.iter().position(ended).unwrap();
        assert_eq!(told[lost]["kind"], "quorum.lost", "{told:#?}");
        let last = told.iter().rposition(ended).unwrap();
        told.truncate(last + 1);
        let left = told.iter().filter(|e| e["kind"] == "node.left");
        let left = left.map(|e| {
            let id = e["fields"]["nodeid"].as_u64().unwrap();
            assert_eq!(e["fields"]["name"], format!("n{id}"));
            id
        });
        let mut left: Vec<_> = left.collect();
        left.sort_unstable();
        left
    };

    // It dies, and one of the others goes at the same time.
    let seq = n1.latest();
    n1.kill("KILL", pids[0]);
    n3.ctl(&["stop", "--wait"]).ok();
    let other = n1.wait_other(pids[0]);
    n1.wait("with n2", |s| members(s) == [1, 2]);
    assert_eq!(told_left(seq), [2, 3]);
    n3.ctl(&["start", "--wait"]).ok();
    n1.wait("with all", |s| members(s) == [1, 2, 3]);

    // One left while clusmgr did not get to run. What corosync said of that is gone with it, or not.
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
    wait_after(&n1, seq, "node.joined", |e| e["fields"]["nodeid"] == 2);
    assert_eq!(told_left(seq), [2, 3]);
}
