//! Deaths in a row: the back-off, STANDALONE after too many, and the way out.

use crate::common::{Lab, Node};
use serde_json::Value;

/// Kills the node's corosync; gives its pid.
fn kill(node: &Node<'_>, last: i64) -> i64 {
    let pid = node.wait_other(last);
    node.kill("KILL", pid);
    node.wait_gone(pid);
    pid
}

/// The waits that were told, in milliseconds, rounded to tenths of a second: a thousandth or two pass
/// between the plan and the telling.
fn waits(node: &Node<'_>) -> Vec<u64> {
    let told = node.events_of("service.retry");
    told.iter()
        .map(|e| (e["fields"]["in_ms"].as_u64().unwrap() + 50) / 100 * 100)
        .collect()
}

fn at(event: &Value) -> u64 {
    event["at"].as_u64().unwrap()
}

#[test]
fn unstable_deaths_are_answered_after_a_doubling_wait_and_a_stable_one_at_once() {
    let lab = Lab::up("backoff", "1", &["--stable-after", "3"]);
    let n1 = lab.node(1);
    let mut last = 0;
    for n in 1..=3 {
        last = kill(&n1, last);
        let s = n1.wait("the death is seen", |s| {
            s["service"]["restarts"] == n || s["service"]["state"] == "backoff"
        });
        assert_eq!(s["mode"], "cluster");
    }
    let s = n1.wait_state("backoff");
    assert!(s["service"]["next_retry_ms"].as_u64() <= Some(4000));
    assert_eq!(s["service"]["pid"], Value::Null);
    assert_eq!(n1.ctl(&["status"]).code, 151);
    n1.wait_event("service.retry", 3);
    assert_eq!(waits(&n1), [1000, 2000, 4000]);

    let last = n1.wait_other(last);
    assert_eq!(n1.status()["service"]["restarts"], 3);
    // What was told is what was done.
    let exits = n1.events_of("service.exited");
    let starts = n1.events_of("service.starting");
    for (i, wait) in [1000, 2000, 4000].into_iter().enumerate() {
        let real = at(&starts[i + 1]) - at(&exits[i]);
        assert!(real + 5 >= wait && real < wait + 1500, "{real} for {wait}");
    }

    // Once it has lived long enough, a death is answered at once, and the count begins anew.
    n1.wait_age(last, 5);
    n1.kill("KILL", last);
    let last = n1.wait_other(last);
    assert_eq!(waits(&n1).len(), 3, "no wait after a stable run");
    kill(&n1, 0);
    n1.wait_event("service.retry", 4);
    assert_eq!(waits(&n1)[3], 1000);
    n1.wait_other(last);
}

#[test]
fn too_many_deaths_lead_to_standalone_and_doubling_retries_and_a_run_that_lives_out_of_it() {
    let flags = [
        "--restart-limit",
        "3/60",
        "--standalone-retry",
        "1:2",
        "--stable-after",
        "4",
    ];
    let lab = Lab::up("crash-loop", "1", &flags);
    let n1 = lab.node(1);
    let mut last = kill(&n1, 0);
    last = kill(&n1, last);
    last = kill(&n1, last);
    let s = n1.wait("STANDALONE", |s| s["mode"] == "standalone");
    assert_eq!(s["mode_reason"], "start-failed");
    assert_eq!(s["service"]["state"], "failed");
    assert!(s["service"]["next_retry_ms"].as_u64() <= Some(1000));
    assert_eq!(
        s["service"]["last_exit"]["cause"],
        "killed by signal 9 (SIGKILL)"
    );
    let detail = s["mode_detail"].as_str().unwrap();
    assert!(
        detail.starts_with("killed by signal 9 (SIGKILL)"),
        "{detail}"
    );
    assert_eq!(n1.ctl(&["status"]).code, 150);

    // Each retry that dies leads straight back; the waits double up to their maximum.
    last = kill(&n1, last);
    n1.wait_event("mode.changed", 4);
    last = kill(&n1, last);
    n1.wait_event("mode.changed", 6);
    let last = n1.wait_other(last);
    let s = n1.status();
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["mode_reason"], Value::Null);
    assert_eq!(waits(&n1), [1000, 2000, 1000, 2000, 2000]);
    let modes: Vec<Value> = n1
        .events_of("mode.changed")
        .into_iter()
        .map(|e| match e["fields"]["reason"].as_str() {
            Some(reason) => reason.into(),
            None => e["fields"]["mode"].clone(),
        })
        .collect();
    let (c, f) = ("cluster", "start-failed");
    assert_eq!(modes, [c, f, c, f, c, f, c]);
    n1.wait_ring(1);

    // The run that lives clears the past.
    n1.wait_age(last, 6);
    n1.kill("KILL", last);
    n1.wait_other(last);
    assert_eq!(waits(&n1).len(), 5);
    assert_eq!(n1.status()["mode"], "cluster");
}

#[test]
fn start_ends_a_backoff_at_once_and_forgives() {
    let flags = [
        "--restart-limit",
        "2/60",
        "--stable-after",
        "60",
        "--restart-delay",
        "60",
    ];
    let lab = Lab::up("start-backoff", "1", &flags);
    let n1 = lab.node(1);
    let mut last = 0;
    // Without the command between them, the second death would lead to STANDALONE.
    for _ in 0..2 {
        last = kill(&n1, last);
        let s = n1.wait_state("backoff");
        assert!(s["service"]["next_retry_ms"].as_u64() > Some(50_000));
        n1.ctl(&["start"]).ok();
        assert_ne!(n1.pid(), last);
    }
    assert_eq!(n1.status()["mode"], "cluster");
    n1.wait_ring(1);
}

#[test]
fn the_restart_delay_outlives_clusmgr_and_counts_for_a_death_that_nobody_saw() {
    let flags = ["--restart-delay", "600", "--poll-interval", "0.2"];
    let lab = Lab::up("delay-kept", "1", &flags);
    let n1 = lab.node(1);
    let left = || {
        let s = n1.wait_state("backoff");
        assert!(n1.corosyncs().is_empty());
        s["service"]["next_retry_ms"].as_u64().unwrap()
    };
    // A death that clusmgr saw: the next one waits for what is left.
    kill(&n1, 0);
    let first = left();
    assert!(first > 500_000, "{first}");
    n1.end_daemon("KILL");
    n1.start_daemon(&flags);
    let then = left();
    assert!(then > 500_000 && then < first, "{then} after {first}");
    assert_eq!(n1.status()["mode"], "cluster");
    // A death while none runs: the whole delay.
    n1.ctl(&["start"]).ok();
    let pid = n1.wait_other(0);
    n1.end_daemon("QUIT");
    n1.kill("KILL", pid);
    n1.wait_gone(pid);
    n1.start_daemon(&flags);
    let unseen = left();
    assert!(unseen > then, "{unseen} after {then}");
    // Who asked for the end asks for no delay, and neither does who gives none.
    n1.ctl(&["start"]).ok();
    n1.wait_other(0);
    n1.end_daemon("TERM");
    assert!(n1.corosyncs().is_empty());
    let kept = String::from_utf8(n1.read("/var/lib/clusmgr/manager.json")).unwrap();
    assert!(!kept.contains("alive"), "{kept}");
    n1.start_daemon(&flags);
    n1.wait_state("running");
    assert!(n1.events_of("service.retry").len() == 3);
    n1.end_daemon("QUIT");
    n1.start_daemon(&["--poll-interval", "0.2"]);
    n1.wait_state("running");
    let kept = String::from_utf8(n1.read("/var/lib/clusmgr/manager.json")).unwrap();
    assert!(!kept.contains("alive"), "{kept}");
}

#[test]
fn start_ends_a_standalone_at_once() {
    let flags = [
        "--restart-limit",
        "1/60",
        "--stable-after",
        "60",
        "--standalone-retry",
        "600",
    ];
    let lab = Lab::up("start-standalone", "1", &flags);
    let n1 = lab.node(1);
    kill(&n1, 0);
    let s = n1.wait_state("failed");
    assert_eq!(s["mode_reason"], "start-failed");
    n1.ctl(&["start"]).ok();
    let s = n1.status();
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["service"]["state"], "running");
    n1.wait_ring(1);
}
