//! A corosync that is stopped: by a signal for too long, for a short time, by a debugger.

use crate::common::{Lab, stays};
use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_corosync_stopped_for_longer_than_the_hang_timeout_is_killed_and_replaced() {
    let flags = [
        "--hang-timeout",
        "1",
        "--stable-after",
        "0.1",
        "--poll-interval",
        "0.2",
    ];
    let lab = Lab::up("hang", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    n1.kill("STOP", first);
    n1.wait_other(first);
    assert!(!n1.lives(first));
    let s = n1.status();
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["service"]["restarts"], 1);
    assert_eq!(s["degraded"], json!([]));
    let exit = &s["service"]["last_exit"];
    assert_eq!(exit["cause"], "hung: killed by clusmgr");
    assert_eq!(exit["signal"], 9);

    let hung = n1.wait_event("service.hung", 1);
    assert_eq!(hung["fields"]["pid"], first);
    assert_eq!(hung["severity"], "err");
    let killed = n1.wait_event("service.killed", 1);
    assert_eq!(killed["fields"]["pid"], first);
    let exited = n1.wait_event("service.exited", 1);
    assert_eq!(exited["fields"]["cause"], "hung: killed by clusmgr");
    assert_eq!(exited["fields"]["pid"], first);
    assert_eq!(n1.events_of("service.hung").len(), 1);
    n1.wait_ring(1);
}

#[test]
fn a_corosync_that_goes_on_before_the_hang_timeout_is_left_alone_however_often_it_is_stopped() {
    let flags = ["--hang-timeout", "3", "--poll-interval", "0.1"];
    let lab = Lab::up("hang-short", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let pid = n1.pid();
    let untouched = || {
        let s = n1.status();
        s["service"]["state"] == "running" && s["service"]["pid"] == pid
    };
    // Three times 1.3 s are more than the time-out, but no one of them is.
    for _ in 0..3 {
        n1.kill("STOP", pid);
        n1.wait_letter(pid, "T");
        stays("stopped, and let be", Duration::from_millis(1300), || {
            untouched() && n1.letter(pid) == "T"
        });
        n1.kill("CONT", pid);
        stays("goes on", Duration::from_millis(400), untouched);
    }
    n1.wait_ring(1);
    assert!(untouched());
    for kind in ["service.hung", "service.killed", "service.exited"] {
        assert_eq!(n1.events_of(kind).len(), 0, "{kind}");
    }
}

/// A period that is longer than the time-out, which holds all the same.
const RARE: [&str; 6] = [
    "--hang-timeout",
    "1",
    "--stable-after",
    "0.1",
    "--poll-interval",
    "10",
];

#[test]
fn a_hang_is_found_in_time_however_long_the_period_is() {
    let lab = Lab::up("hang-rare", "1", &RARE);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    let begin = Instant::now();
    n1.kill("STOP", first);
    n1.wait_event("service.hung", 1);
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(950), "{took:?}");
    // Not by the next look of the period.
    assert!(took < Duration::from_secs(9), "{took:?}");
    n1.wait_other(first);
}

#[test]
fn short_stops_are_never_added_up() {
    let lab = Lab::up("hang-often", "1", &RARE);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let pid = n1.pid();
    let script = format!(
        "for ((i = 0; i < 38; i++)); do
             kill -STOP {pid} && sleep .25 && kill -CONT {pid} && sleep .02 || exit 1
         done"
    );
    n1.sh(&script).ok();
    assert_eq!(n1.pid(), pid);
    for kind in ["service.hung", "service.killed", "service.exited"] {
        assert_eq!(n1.events_of(kind).len(), 0, "{kind}");
    }
    n1.wait_ring(1);
}

#[test]
fn a_hang_that_ended_is_not_the_cause_of_a_later_death() {
    let flags = ["--poll-interval", "0.2", "--hang-timeout", "0.6"];
    let lab = Lab::up("hang-over", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.ctl(&["stop"]).ok();
    let pid = n1.spawn("setsid corosync -f");
    n1.wait("it is shown", |s| s["service"]["pid"] == pid);
    n1.wait_ring(1);
    n1.kill("STOP", pid);
    stays("left alone", Duration::from_millis(1500), || n1.lives(pid));
    n1.kill("CONT", pid);
    n1.wait_ring(1);
    n1.kill("KILL", pid);
    let s = n1.wait_state("stopped");
    let cause = s["service"]["last_exit"]["cause"].as_str().unwrap();
    assert!(cause.starts_with("unknown: it was adopted"), "{cause}");
}

#[test]
fn a_corosync_in_the_hands_of_a_debugger_is_left_alone() {
    let flags = ["--hang-timeout", "0.5", "--poll-interval", "0.1"];
    let lab = Lab::up("hang-debugger", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let pid = n1.pid();
    let outside = Pid::from_raw(n1.outside(pid));
    ptrace::attach(outside).expect("this test may trace processes of its own lab");
    waitpid(outside, None).unwrap();
    n1.wait_letter(pid, "t");
    stays("a debugger holds it", Duration::from_secs(2), || {
        n1.letter(pid) == "t" && n1.pid() == pid
    });
    ptrace::detach(outside, None).unwrap();
    n1.wait_ring(1);
    assert_eq!(n1.pid(), pid);
    assert_eq!(n1.events_of("service.hung").len(), 0);
    assert_eq!(n1.events_of("service.exited").len(), 0);
}
