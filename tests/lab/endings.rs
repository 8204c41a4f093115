//! The daemon's own end at awkward moments.

use crate::common::{Lab, Node, stays};
use std::time::Duration;

/// No time-out comes in between: what is stopped stays stopped.
const PATIENT: [&str; 4] = ["--hang-timeout", "0", "--stop-timeout", "50"];

fn is_over(node: &Node<'_>) {
    assert!(node.corosyncs().is_empty());
    assert_eq!(node.ctl(&["status"]).code, 3);
    for path in ["clusmgr.pid", "clusmgr.sock"] {
        assert!(
            !node.file(&format!("/run/clusmgr/{path}")).exists(),
            "{path}"
        );
    }
}

/// The kinds of the journal of a node whose clusmgr has ended.
fn journal(node: &Node<'_>) -> Vec<String> {
    node.start_daemon(&["--standalone"]);
    node.wait_state("stopped");
    let kinds = node.kinds_after(0);
    node.end_daemon("TERM");
    let starts = |k: &String| k == "daemon.started";
    let last = kinds.iter().rposition(starts).unwrap();
    kinds[..last].to_vec()
}

#[test]
fn term_while_corosync_starts_ends_both_cleanly() {
    let lab = Lab::up("term-starting", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("clusmgr && kill -TERM $(</run/clusmgr/clusmgr.pid) &&
           while [[ -e /run/clusmgr/clusmgr.pid ]]; do read -rt 0.05 <> <(:) || :; done")
        .ok();
    is_over(&n1);
    let kinds = journal(&n1);
    assert_eq!(kinds.last().unwrap(), "daemon.stopped");
    assert!(!kinds.iter().any(|k| k == "service.exited"), "{kinds:?}");
    let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
    assert_eq!(
        count("service.starting"),
        count("service.stopped"),
        "{kinds:?}"
    );
}

#[test]
fn a_second_term_changes_nothing_and_corosync_ends_in_its_own_time() {
    let lab = Lab::up("term-twice", "1", &PATIENT);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let (daemon, pid) = (n1.daemon_pid(), n1.pid());
    n1.kill("STOP", pid);
    n1.kill("TERM", daemon);
    n1.wait_state("stopping");
    n1.kill("TERM", daemon);
    n1.kill("INT", daemon);
    stays("both live", Duration::from_secs(1), || {
        n1.lives(pid) && n1.status()["service"]["state"] == "stopping"
    });
    // It still answers, and takes no orders.
    let ran = n1.ctl(&["start", "--no-wait"]);
    assert!(n1.lives(pid), "{ran:?}");
    n1.kill("CONT", pid);
    n1.wait_gone(daemon);
    is_over(&n1);
    let kinds = journal(&n1);
    // The cluster's own events come as they come.
    let of_the_end = |k: &&String| k.starts_with("service.") || k.starts_with("daemon.");
    let last: Vec<_> = kinds.iter().rev().filter(of_the_end).take(2).collect();
    assert_eq!(last, ["daemon.stopped", "service.stopped"]);
    assert_eq!(kinds.last().unwrap(), "daemon.stopped");
    assert!(!kinds.iter().any(|k| k == "service.killed"), "{kinds:?}");
}

#[test]
fn quit_while_corosync_is_being_stopped_ends_clusmgr_at_once() {
    let lab = Lab::up("quit-stopping", "1", &PATIENT);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let (daemon, pid) = (n1.daemon_pid(), n1.pid());
    n1.kill("STOP", pid);
    n1.kill("TERM", daemon);
    n1.wait_state("stopping");
    n1.kill("QUIT", daemon);
    n1.wait_gone(daemon);
    assert_eq!(n1.corosyncs(), [pid], "QUIT leaves corosync");
    assert_eq!(n1.ctl(&["status"]).code, 3);
    // The TERM that it was sent counts once it goes on.
    n1.kill("CONT", pid);
    n1.wait_gone(pid);
    n1.start_daemon(&[]);
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["adopted"], false);
    assert_eq!(s["service"]["hold"], false, "TERM is no hold");
    n1.wait_ring(1);
}

#[test]
fn a_stop_under_way_is_gone_on_with_by_the_next_clusmgr() {
    let lab = Lab::up("kill-stopping", "1", &PATIENT);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let (daemon, pid) = (n1.daemon_pid(), n1.pid());
    n1.kill("STOP", pid);
    n1.ctl(&["stop", "--no-wait"]).ok();
    n1.wait_state("stopping");
    n1.kill("KILL", daemon);
    n1.wait_gone(daemon);
    n1.start_daemon(&PATIENT);
    n1.kill("CONT", pid);
    // The hold was on disk before the signal: nothing is started in its place.
    let s = n1.wait_state("stopped");
    assert_eq!(s["mode_reason"], "held");
    assert!(n1.corosyncs().is_empty());
    stays("held", Duration::from_secs(1), || n1.corosyncs().is_empty());
}
