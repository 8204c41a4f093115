//! A `/dev/shm` without space, through which every client of corosync talks to it.

use crate::common::{LONG, Lab, Node, degraded, stays, until};
use serde_json::Value;
use std::time::Duration;

/// Leaves so many KiB free in the node's own /dev/shm, which has no more than 64 MiB from then on.
#[track_caller]
fn leave(node: &Node<'_>, free: u64) {
    let script = format!(
        "mount -n -o remount,size=64m /dev/shm && rm -f /dev/shm/filler &&
         all=$(df --output=avail -k /dev/shm | tail -1) &&
         fallocate -l $((all - {free}))k /dev/shm/filler && df --output=avail -k /dev/shm | tail -1"
    );
    let left = node.sh(&script).ok();
    assert_eq!(left.trim(), free.to_string());
}

#[track_caller]
fn make_room(node: &Node<'_>) {
    node.sh("rm /dev/shm/filler").ok();
}

/// The codes of `why`, and its text.
fn why(node: &Node<'_>) -> (Vec<String>, String) {
    let ran = node.ctl(&["why", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let all = report["verdicts"].as_array().unwrap();
    let codes: Vec<_> = all
        .iter()
        .map(|v| v["code"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ran.code == 0, codes == ["healthy"], "{ran:?}");
    (codes, ran.out)
}

fn quorate(s: &Value) -> bool {
    s["service"]["state"] == "running" && s["cluster"]["quorate"] == true
}

#[test]
fn a_dev_shm_that_is_nearly_full_is_told_and_hurts_nobody_who_is_connected() {
    let lab = Lab::up("shm-nearly", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait("well", |s| quorate(s) && degraded(s).is_empty());
    let pid = n1.pid();
    leave(&n1, 8 << 10);
    let s = n1.wait("told", |s| degraded(s) == ["shm-full"]);
    let detail = s["degraded"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("/dev/shm has 8192 KiB free"), "{detail}");
    assert!(quorate(&s), "{s:#}");
    assert_eq!(n1.ctl(&["status"]).code, 151);
    let (codes, text) = why(&n1);
    assert_eq!(codes, ["shm-full"]);
    assert!(text.contains("make room in /dev/shm"), "{text}");
    assert_eq!(n1.wait_event("degraded", 1)["fields"]["reason"], "shm-full");
    // With nothing left at all, what is connected stays so.
    leave(&n1, 0);
    let reload = n1.latest();
    stays("connected", Duration::from_secs(3), || {
        let s = n1.status();
        quorate(&s) && degraded(&s) == ["shm-full"]
    });
    assert_eq!(n1.latest(), reload);
    make_room(&n1);
    n1.wait_event("degraded.ended", 1);
    assert_eq!(why(&n1).0, ["healthy"]);
    assert_eq!(n1.pid(), pid);
}

#[test]
fn a_corosync_that_starts_while_dev_shm_is_full_is_reached_once_there_is_room() {
    let lab = Lab::up("shm-full", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait("well", quorate);
    let daemon = n1.daemon_pid();
    // For no connection at all; and for the first of those that clusmgr has, but not for all.
    for (round, free) in [(1, 0), (2, 9 << 10)] {
        n1.ctl(&["stop", "--wait"]).ok();
        until("corosync's own files are gone", LONG, || {
            (n1.sh("compgen -G '/dev/shm/qb-*'").code != 0).then_some(())
        });
        // What clusmgr still maps of them is free only when it lets go.
        until("clusmgr has let go of them", LONG, || {
            let script = format!("grep -q /dev/shm/qb- /proc/{daemon}/maps");
            (n1.sh(&script).code == 1).then_some(())
        });
        leave(&n1, free);
        let seq = n1.latest();
        n1.ctl(&["start", "--no-wait"]).ok();
        let s = n1.wait("it runs, and cannot be reached", |s| {
            let mut told = degraded(s);
            told.sort_unstable();
            s["service"]["state"] == "running" && told == ["no-answer", "shm-full"]
        });
        let pid = s["service"]["pid"].clone();
        assert_eq!(s["cluster"], Value::Null);
        let times: Vec<u64> = n1
            .events_of("degraded")
            .iter()
            .filter(|e| e["seq"].as_u64() > Some(seq))
            .map(|e| e["at"].as_u64().unwrap())
            .collect();
        // The space is looked at at once, not only with the next look of every half a minute.
        assert!(times[1].abs_diff(times[0]) < 5000, "{times:?}");
        // The root first.
        assert_eq!(why(&n1).0, ["shm-full", "no-answer"]);
        // It is tried again, and now and then only.
        let before = n1.wake_ups();
        stays("so", Duration::from_secs(12), || {
            degraded(&n1.status()).len() == 2
        });
        let woke = n1.wake_ups() - before;
        assert!(woke < 1000, "{woke} wake-ups in 12 s");
        make_room(&n1);
        let s = n1.wait("it is reached", |s| quorate(s) && degraded(s).is_empty());
        assert_eq!(s["service"]["pid"], pid);
        assert_eq!(n1.daemon_pid(), daemon);
        assert_eq!(why(&n1).0, ["healthy"]);
        assert_eq!(
            n1.wait_event("quorum.gained", round + 1)["severity"],
            "notice"
        );
    }
    for kind in ["service.hung", "service.killed", "service.exited"] {
        assert_eq!(n1.events_of(kind).len(), 0, "{kind}");
    }
}
