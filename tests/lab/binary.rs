//! The corosync program itself: missing, not executable, replaced while it runs.

use crate::common::{LONG, Lab, until};
use serde_json::{Value, json};

const FLAGS: [&str; 6] = [
    "--corosync-bin",
    "/tmp/corosync",
    "--standalone-retry",
    "600",
    "--poll-interval",
    "0.2",
];

#[test]
fn without_the_binary_it_is_standalone_no_binary_and_starts_when_one_appears() {
    let lab = Lab::up("no-binary", "1", &FLAGS);
    let n1 = lab.node(1);
    let s = n1.wait("STANDALONE", |s| s["mode_reason"] == "no-binary");
    assert_eq!(s["mode"], "standalone");
    assert_eq!(s["service"]["state"], "failed");
    assert_eq!(s["service"]["pid"], Value::Null);
    let detail = s["mode_detail"].as_str().unwrap();
    for part in ["/tmp/corosync", "exec", "No such file or directory"] {
        assert!(detail.contains(part), "no {part} in {detail}");
    }
    assert_eq!(n1.ctl(&["status"]).code, 150);
    let failed = n1.wait_event("service.start-failed", 1);
    assert_eq!(failed["severity"], "err");
    assert_eq!(failed["text"], detail);
    let mode = n1.wait_event("mode.changed", 1);
    assert_eq!(
        mode["fields"],
        json!({"mode": "standalone", "reason": "no-binary"})
    );
    assert_eq!(n1.ctl(&["start"]).code, 5, "not installed");

    n1.sh("cp /usr/sbin/corosync /tmp/c.new && mv /tmp/c.new /tmp/corosync")
        .ok();
    let s = n1.wait_state("running");
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["mode_reason"], Value::Null);
    let pid = n1.pid();
    let exe = n1.run(&["readlink", &format!("/proc/{pid}/exe")]).ok();
    assert_eq!(exe.trim(), "/tmp/corosync");
    n1.wait_ring(1);
    assert_eq!(
        n1.wait_event("mode.changed", 2)["fields"]["mode"],
        "cluster"
    );
}

#[test]
fn a_binary_that_cannot_be_executed_is_no_binary_and_says_why() {
    let lab = Lab::up("not-executable", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("cp /usr/sbin/corosync /tmp/corosync && chmod 644 /tmp/corosync")
        .ok();
    n1.start_daemon(&FLAGS);
    let s = n1.wait("STANDALONE", |s| s["mode_reason"] == "no-binary");
    let detail = s["mode_detail"].as_str().unwrap();
    for part in ["/tmp/corosync", "exec", "ermission denied"] {
        assert!(detail.contains(part), "no {part} in {detail}");
    }
    n1.wait_event("service.start-failed", 1);
    n1.sh("chmod 755 /tmp/corosync").ok();
    n1.wait_state("running");
    n1.wait_ring(1);
}

#[test]
fn a_binary_replaced_while_it_runs_changes_nothing_until_the_next_start() {
    let lab = Lab::up("replaced-binary", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("cp /usr/sbin/corosync /tmp/corosync").ok();
    n1.start_daemon(&FLAGS);
    n1.wait_state("running");
    let pid = n1.pid();
    n1.sh("cp /usr/sbin/corosync /tmp/c.new && mv /tmp/c.new /tmp/corosync")
        .ok();
    let exe = format!("/proc/{pid}/exe");
    let link = n1.run(&["readlink", &exe]).ok();
    assert_eq!(link.trim(), "/tmp/corosync (deleted)");
    // The next clusmgr knows it all the same.
    n1.end_daemon("QUIT");
    std::fs::remove_file(n1.file("/run/clusmgr/corosync.id")).unwrap();
    n1.start_daemon(&FLAGS);
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["pid"], pid);
    assert_eq!(s["service"]["adopted"], true);
    n1.ctl(&["restart"]).ok();
    let next = n1.wait_other(pid);
    let exe = format!("/proc/{next}/exe");
    until("the new one runs", LONG, || {
        (n1.run(&["readlink", &exe]).out.trim() == "/tmp/corosync").then_some(())
    });
}

const WRAPPER: &str = "#!/bin/sh\nsleep .3\nexec /usr/sbin/corosync \"$@\"\n";

#[test]
fn a_wrapper_that_execs_corosync_is_watched_and_adopted_like_corosync() {
    let lab = Lab::up("wrapper", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.put("/tmp/corosync", WRAPPER);
    n1.sh("chmod 755 /tmp/corosync").ok();
    let mut flags = FLAGS.to_vec();
    flags.extend(["--hang-timeout", "1", "--stable-after", "0.1"]);
    n1.start_daemon(&flags);
    n1.wait_state("running");
    let first = n1.pid();
    n1.kill("STOP", first);
    let second = n1.wait_other(first);
    assert_eq!(
        n1.status()["service"]["last_exit"]["cause"],
        "hung: killed by clusmgr"
    );
    n1.wait_ring(1);
    n1.end_daemon("QUIT");
    n1.start_daemon(&flags);
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["pid"], second);
    assert_eq!(s["service"]["adopted"], true);
    assert_eq!(n1.corosyncs(), [second]);

    // Without the record it is found by its lock, when another one does not start beside it.
    n1.end_daemon("QUIT");
    std::fs::remove_file(n1.file("/run/clusmgr/corosync.id")).unwrap();
    n1.start_daemon(&flags);
    let seen = n1.wait_event("service.exited", 2);
    let text = seen["text"].as_str().unwrap();
    for part in [
        "exit 18 (already running)",
        &format!("pid {second}"),
        "/usr/sbin/corosync",
        "not /tmp/corosync",
        "/run/corosync.pid",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let s = n1.wait("adopted", |s| s["service"]["pid"] == second);
    assert_eq!(s["service"]["adopted"], true);
    n1.end_daemon("QUIT");
    n1.start_daemon(&flags);
    n1.wait("known from then on", |s| s["service"]["pid"] == second);
    assert_eq!(n1.events_of("service.exited").len(), 2);
    n1.end_daemon("TERM");
    assert!(!n1.lives(second));
}
