//! corosync's executable.

use crate::bed::{Before, corosyncs, one_error, refused};
use crate::common::Lab;

/// The stage and the error number are told by `--test`, by the mode, and by an order to start.
fn cannot_be_executed(name: &str, make: &str, cause: &str) {
    let lab = Lab::up(name, "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh(make).ok();
    let bin = "/tmp/corosync";
    let before = Before::now(&n1);
    let parts = [
        bin,
        cause,
        "install corosync there, or name it with --corosync-bin",
    ];
    refused(
        &n1.run(&["clusmgr", "-t", "--corosync-bin", bin]),
        "clusmgr",
        5,
        &parts,
    );
    before.is_so_still(&n1);
    n1.start_daemon(&["--corosync-bin", bin]);
    let s = n1.wait("STANDALONE", |s| s["mode_reason"] == "no-binary");
    assert_eq!(s["mode"], "standalone");
    let detail = s["mode_detail"].as_str().unwrap();
    one_error(&format!("x: {detail}"), "x", &parts);
    refused(&n1.ctl(&["start"]), "clusmgrctl", 5, &parts);
    let failed = n1.events_of("service.start-failed");
    assert!(
        failed[0]["text"].as_str().unwrap().contains(cause),
        "{failed:?}"
    );
    assert!(corosyncs(&n1).is_empty());
    // It appears: the node leaves STANDALONE by itself.
    n1.sh("ln -sf /sbin/corosync /tmp/corosync").ok();
    n1.wait_state("running");
}

#[test]
fn a_missing_corosync() {
    cannot_be_executed(
        "bad-nobin",
        ":",
        "exec: No such file or directory (errno 2)",
    );
}

#[test]
fn a_corosync_that_is_not_executable() {
    cannot_be_executed(
        "bad-noexec",
        "cp /sbin/corosync /tmp/corosync && chmod 644 /tmp/corosync",
        "exec: Permission denied (errno 13)",
    );
}
