//! What the remote service is told of the cluster: it follows the live files, whoever changes them and
//! whatever runs.

use crate::common::{LONG, Lab, Node, pause, until};
use std::time::Duration;

const CONF: &str = "/etc/corosync/corosync.conf";
const KEY: &str = "/etc/corosync/authkey";

/// The lines of the log that tell of it.
fn told(node: &Node<'_>) -> Vec<String> {
    let log = String::from_utf8_lossy(&node.read("/tmp/spawned.out")).into_owned();
    let of = |l: &str| l.find("cluster ").map(|at| l[at..].to_owned());
    let ours = log.lines().filter(|l| l.contains(", this one is "));
    ours.filter_map(of).collect()
}

/// Waits for the snapshot of a number, and checks what it tells.
#[track_caller]
fn is(node: &Node<'_>, number: usize, peer: &str, key: &str) {
    let all = until(&format!("snapshot {number}"), LONG, || {
        let all = told(node);
        (all.len() >= number).then_some(all)
    });
    let expected =
        format!("cluster {number}: 2 nodes (10.77.0.1, {peer}), this one is n1, {key} key");
    assert_eq!(all[number - 1], expected, "{all:#?}");
}

#[test]
fn it_follows_the_live_files_in_standalone_through_edits_changes_and_faults() {
    let lab = Lab::up("remote-view", "2 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.spawn("clusmgr -f -d --standalone --poll-interval 0.2");
    // Before any start, with nothing held.
    is(&n1, 1, "10.77.0.2", "a");
    n1.wait("it serves", |s| s["mode"] == "standalone");
    n1.ctl(&["start"]).ok();
    n1.wait_state("running");
    n1.ctl(&["stop"]).ok();
    n1.wait("it is stopped", |s| s["service"]["state"] == "stopped");

    // A hand edit, a file that is no good or not there, and the way back.
    let good = n1.read(CONF);
    n1.edit_conf(|t| t.replace("10.77.0.2", "10.77.0.9"));
    is(&n1, 2, "10.77.0.9", "a");
    n1.put(CONF, "totem {\n");
    is(&n1, 3, "10.77.0.2", "a");
    n1.sh(&format!("rm {CONF}")).ok();
    pause(Duration::from_secs(1));
    n1.put(CONF, &good);
    pause(Duration::from_secs(1));
    assert_eq!(told(&n1).len(), 3, "{:#?}", told(&n1));

    // The key: gone, another one, and the old one again.
    let key = n1.read(KEY);
    n1.sh(&format!("rm {KEY}")).ok();
    is(&n1, 4, "10.77.0.2", "no");
    n1.put(KEY, [9; 128]);
    is(&n1, 5, "10.77.0.2", "a");
    n1.put(KEY, &key);
    is(&n1, 6, "10.77.0.2", "a");

    // A change, and what takes it back.
    let text = String::from_utf8(good).unwrap();
    let text = text.replace("config_version: 1\n", "config_version: 2\n");
    n1.put("/tmp/new.conf", text.replace("10.77.0.2", "10.77.0.7"));
    n1.ctl(&["config", "apply", "--this-node-only", "/tmp/new.conf"])
        .ok();
    is(&n1, 7, "10.77.0.7", "a");
    n1.ctl(&["config", "rollback", "--this-node-only"]).ok();
    is(&n1, 8, "10.77.0.2", "a");

    // A start puts the key that is held in its place.
    n1.sh(&format!("rm {KEY}")).ok();
    is(&n1, 9, "10.77.0.2", "no");
    n1.ctl(&["start"]).ok();
    is(&n1, 10, "10.77.0.2", "a");
    n1.wait_state("running");
    pause(Duration::from_secs(1));
    assert_eq!(told(&n1).len(), 10, "{:#?}", told(&n1));
}
