//! What an operator orders: start, stop, restart, in every order, and the exit codes of `status`.

use crate::apply_faults::{let_go, strace};
use crate::common::{Lab, degraded, stays};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn stop_is_a_hold_that_survives_a_restart_of_the_daemon_and_start_ends_it() {
    let lab = Lab::up("hold", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    for _ in 0..2 {
        n1.ctl(&["stop"]).ok();
        let s = n1.status();
        assert_eq!(s["mode"], "standalone");
        assert_eq!(s["mode_reason"], "held");
        assert_eq!(s["service"]["state"], "stopped");
        assert_eq!(s["service"]["hold"], true);
        assert_eq!(s["service"]["pid"], Value::Null);
        assert_eq!(
            s["service"]["last_exit"]["cause"],
            "exit 0 (stopped as asked)"
        );
        assert_eq!(n1.ctl(&["status"]).code, 150);
    }
    assert!(!n1.lives(first));
    assert_eq!(
        n1.events_of("hold.set").len(),
        1,
        "the second stop did nothing"
    );
    let stopped = n1.wait_event("service.stopped", 1);
    assert_eq!(stopped["fields"]["cause"], "exit 0 (stopped as asked)");
    assert_eq!(stopped["fields"]["pid"], first);
    assert_eq!(n1.events_of("service.exited").len(), 0);

    for signal in ["TERM", "KILL", "QUIT"] {
        n1.end_daemon(signal);
        let code = if signal == "KILL" { 1 } else { 3 };
        assert_eq!(n1.ctl(&["status"]).code, code, "after {signal}");
        n1.start_daemon(&["--poll-interval", "0.2"]);
        let held = || {
            let s = n1.status();
            s["mode_reason"] == "held" && s["service"]["state"] == "stopped"
        };
        stays("held", Duration::from_millis(500), held);
        assert!(n1.corosyncs().is_empty());
    }
    assert_eq!(n1.events_of("service.starting").len(), 1);

    for _ in 0..2 {
        n1.ctl(&["start"]).ok();
        let s = n1.status();
        assert_eq!(s["mode"], "cluster");
        assert_eq!(s["service"]["state"], "running");
        assert_eq!(s["service"]["hold"], false);
    }
    assert_eq!(
        n1.events_of("service.starting").len(),
        2,
        "the second start did nothing"
    );
    assert_eq!(n1.events_of("hold.ended").len(), 1);
    assert_eq!(n1.ctl(&["status", "--wait"]).code, 0);
    n1.wait_ring(1);
    // It has ended for good.
    n1.end_daemon("TERM");
    n1.start_daemon(&[]);
    n1.wait_state("running");
}

#[test]
fn restart_gives_a_new_corosync_and_ends_a_hold() {
    let lab = Lab::up("restart", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    n1.ctl(&["restart"]).ok();
    let s = n1.status();
    assert_eq!(s["service"]["state"], "running");
    assert_ne!(s["service"]["pid"], first);
    assert!(!n1.lives(first));
    assert_eq!(s["service"]["restarts"], 0, "it was no death");
    assert_eq!(
        s["service"]["last_exit"]["cause"],
        "exit 0 (stopped as asked)"
    );
    assert_eq!(n1.events_of("service.exited").len(), 0);
    assert_eq!(n1.events_of("hold.set").len(), 0);
    n1.ctl(&["stop"]).ok();
    n1.ctl(&["restart"]).ok();
    let s = n1.status();
    assert_eq!(s["service"]["state"], "running");
    assert_eq!(s["service"]["hold"], false);
    assert_eq!(s["mode"], "cluster");
    assert_eq!(n1.events_of("hold.ended").len(), 1);
    n1.wait_ring(1);
}

#[test]
fn stop_while_starting_and_start_while_stopping_do_as_the_last_one_says() {
    let lab = Lab::up("stop-start", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.ctl(&["stop"]).ok();

    // Stop while starting.
    let before = n1.latest();
    n1.sh("clusmgrctl start --no-wait && clusmgrctl stop").ok();
    let s = n1.status();
    assert_eq!(s["service"]["state"], "stopped");
    assert_eq!(s["mode_reason"], "held");
    assert!(n1.corosyncs().is_empty());
    let kinds = n1.kinds_after(before);
    let begun = kinds.iter().position(|k| k == "service.starting").unwrap();
    let ended = kinds.iter().position(|k| k == "service.stopping").unwrap();
    assert!(begun < ended, "{kinds:?}");
    assert!(!kinds.iter().any(|k| k == "service.exited"), "{kinds:?}");
    n1.wait_event("service.stopped", 2);

    // Start while stopping.
    n1.ctl(&["start"]).ok();
    let first = n1.pid();
    let before = n1.latest();
    n1.sh("clusmgrctl stop --no-wait && clusmgrctl start").ok();
    let s = n1.status();
    assert_eq!(s["service"]["state"], "running");
    assert_eq!(s["service"]["hold"], false);
    assert_eq!(s["mode"], "cluster");
    assert_ne!(s["service"]["pid"], first, "it was stopped already");
    assert!(!n1.lives(first));
    let kinds = n1.kinds_after(before);
    for kind in [
        "service.stopping",
        "hold.set",
        "hold.ended",
        "service.stopped",
        "service.starting",
        "service.ready",
    ] {
        assert!(kinds.iter().any(|k| k == kind), "no {kind} in {kinds:?}");
    }
    assert!(!kinds.iter().any(|k| k == "service.exited"), "{kinds:?}");
    n1.wait_ring(1);
}

#[test]
fn a_corosync_that_does_not_end_in_time_is_killed_and_a_slow_disk_does_not_shorten_its_time() {
    let flags = ["--stop-timeout", "1", "--hang-timeout", "0"];
    let lab = Lab::up("stop-timeout", "1", &flags);
    let n1 = lab.node(1);
    for slow in [false, true] {
        n1.ctl(&["start"]).ok();
        n1.wait_state("running");
        let pid = n1.pid();
        n1.kill("STOP", pid);
        // The hold is kept before corosync is told to end.
        let tracer = slow.then(|| {
            let late = "-e trace=fsync -e inject=fsync:delay_enter=400ms";
            strace(&n1, late)
        });
        n1.ctl(&["stop"]).ok();
        if let Some(tracer) = tracer {
            let_go(&n1, tracer);
        }
        assert!(!n1.lives(pid));
        let s = n1.status();
        let cause = "killed by signal 9 (SIGKILL)";
        assert_eq!(s["service"]["state"], "stopped");
        assert_eq!(s["service"]["last_exit"]["cause"], cause);
        let nth = |kind: &str| n1.wait_event(kind, 1 + usize::from(slow));
        let at = |kind: &str| nth(kind)["at"].as_u64().unwrap();
        let wait = at("service.killed") - at("service.stopping");
        assert!((990..5000).contains(&wait), "slow: {slow}, {wait} ms");
        assert_eq!(nth("service.stopped")["fields"]["cause"], cause);
    }
}

#[test]
fn the_exit_code_of_status_tells_the_state() {
    let lab = Lab::up("status-codes", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    let code = || n1.ctl(&["status"]).code;
    // Running is not enough: it must be a quorate member.
    let quorate = || assert_eq!(n1.ctl(&["status", "--wait"]).code, 0);
    quorate();
    n1.wait_ring(1);
    assert_eq!(code(), 0);
    let good = n1.read("/etc/corosync/corosync.conf");
    n1.edit_conf(|t| t.replace("token: 1000", "token: 1100"));
    let s = n1.wait("degraded", |s| s["degraded"] != json!([]));
    assert_eq!(degraded(&s), ["drift"]);
    assert_eq!(code(), 151);
    n1.put("/etc/corosync/corosync.conf", &good);
    n1.wait("no longer degraded", |s| s["degraded"] == json!([]));
    assert_eq!(code(), 0);
    n1.ctl(&["stop"]).ok();
    assert_eq!(code(), 150);
    n1.ctl(&["start"]).ok();
    quorate();
    assert_eq!(code(), 0);
    n1.end_daemon("KILL");
    assert_eq!(code(), 1);
    n1.start_daemon(&[]);
    quorate();
    assert_eq!(code(), 0);
    n1.end_daemon("TERM");
    assert_eq!(code(), 3);
}

#[test]
fn the_first_status_after_the_start_of_clusmgr_is_what_is_and_no_default() {
    let lab = Lab::up("first-status", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    for held in [false, true] {
        for _ in 0..4 {
            let out = n1.sh("clusmgr && clusmgrctl status --json; exit 0").ok();
            let s: Value = serde_json::from_str(&out).unwrap();
            let (mode, reason) = if held {
                ("standalone", json!("held"))
            } else {
                ("cluster", Value::Null)
            };
            assert_eq!(s["mode"], mode, "{s:#}");
            assert_eq!(s["mode_reason"], reason);
            n1.end_daemon("QUIT");
        }
        n1.start_daemon(&[]);
        n1.ctl(&["stop"]).ok();
        n1.end_daemon("TERM");
    }
}

#[test]
fn a_stop_that_clusmgr_was_killed_in_is_gone_on_with_and_a_stranger_is_left_alone() {
    let lab = Lab::up("hold-cut-off", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let pid = n1.pid();
    // As a clusmgr leaves it that is killed between keeping the hold and telling corosync to end.
    let kept = |ends: i64| format!("{{\"version\":\"s01\",\"hold\":true,\"ends\":{ends}}}\n");
    n1.end_daemon("KILL");
    n1.put("/var/lib/clusmgr/manager.json", kept(pid + 100_000));
    n1.start_daemon(&[]);
    let s = n1.wait("held", |s| s["mode_reason"] == "held");
    assert_eq!(s["service"]["pid"], pid, "not the one that was to end");
    assert_eq!(s["service"]["state"], "running");

    n1.end_daemon("KILL");
    n1.put("/var/lib/clusmgr/manager.json", kept(pid));
    n1.start_daemon(&[]);
    n1.wait_state("stopped");
    assert!(!n1.lives(pid));
    assert!(n1.events_of("service.exited").is_empty(), "an asked stop");
    assert_eq!(n1.ctl(&["start"]).code, 0);
}

#[test]
fn a_held_node_tells_what_is_live() {
    let lab = Lab::up("hold-drift", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let before = n1.status();
    n1.ctl(&["stop"]).ok();
    n1.end_daemon("TERM");
    n1.edit_conf(|t| format!("{t}\n# by hand\n"));
    n1.start_daemon(&[]);
    let s = n1.status();
    assert_eq!(s["mode_reason"], "held");
    assert_eq!(s["config"]["drift"], true);
    assert_eq!(s["node"]["nodeid"], 1);
    assert_eq!(s["key"]["fingerprint"], before["key"]["fingerprint"]);
}
