//! The real `clusmgrctl` against the real local service, with a manager that is made of data.

#![allow(clippy::unwrap_used)]

mod bed;
mod nodes;
mod rolling;
mod scripted;

use bed::{Bed, Running, SOON, needs_root};
use clusmgr::service::{Command, Hold};
use clusmgr::wire::ServiceState;
use serde_json::{Value, json};
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn status_has_words_json_and_exit_codes() {
    let bed = Bed::new();
    let (code, out, err) = bed.run("status");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with(
            "n1 is in CLUSTER mode and quorate, with 2 of 2 nodes: corosync runs (pid 2)"
        ),
        "{out}"
    );
    assert!(!out.contains('\x1b'), "colours without a terminal");
    let (code, out, _) = bed.run("status --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["service"]["pid"]), (0, &json!(2)));
    bed.manager.turn(ServiceState::Backoff);
    assert_eq!(bed.run("status").0, 151);
    bed.manager.turn(ServiceState::Running);
    bed.manager.quorum(false);
    let (code, out, _) = bed.run("status");
    assert_eq!(code, 151);
    assert!(
        out.contains("NOT quorate") && out.contains("n2         2  left"),
        "{out}"
    );
    *bed.manager.quorate.lock() = None;
    assert_eq!(bed.run("status").0, 151, "not known is not quorate");
}

#[test]
fn why_has_one_verdict_and_its_exit_code_says_whether_all_is_well() {
    let bed = Bed::new();
    let (code, out, err) = bed.run("why");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("healthy: "), "{out}");
    bed.manager.quorum(false);
    let (code, out, _) = bed.run("why");
    assert_eq!(code, 1);
    assert!(
        out.starts_with("not-quorate: no quorum: 1 of 2 votes needed; n2 missing\n"),
        "{out}"
    );
    assert!(out.contains("\n  What to do:\n    - "), "{out}");
    let (code, out, _) = bed.run("why --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["ok"]), (1, &json!(false)));
    assert_eq!(value["verdicts"][0]["code"], "not-quorate");
    assert_eq!(value["verdicts"][0]["severity"], "crit");
}

#[test]
fn why_knows_a_daemon_that_is_away() {
    let bed = Bed::dead();
    let (code, out, err) = bed.run("why");
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(
        out.starts_with("no-clusmgr: clusmgr does not run."),
        "{out}"
    );
    std::fs::write(bed.dir.path().join("clusmgr.pid"), "4711\n").unwrap();
    let (code, out, _) = bed.run("why --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["ok"]), (1, &json!(false)));
    assert_eq!(value["verdicts"][0]["code"], "clusmgr-dead");
}

#[test]
fn links_are_a_table() {
    let bed = Bed::new();
    let (code, out, err) = bed.run("link list");
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out.lines().nth(1),
        Some("n2         2     0  yes         1397    250 us      1")
    );
    let (code, out, _) = bed.run("link list --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["links"][0]["nodeid"]), (0, &json!(2)));
    bed.manager.turn(ServiceState::Backoff);
    let (code, out, _) = bed.run("link list");
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "no links: corosync does not run; see clusmgrctl status\n"
        )
    );
}

#[test]
fn status_answers_without_a_daemon() {
    let bed = Bed::dead();
    let (code, out, err) = bed.run("status");
    assert_eq!((code, err.as_str()), (3, ""));
    assert!(out.starts_with("clusmgr does not run."), "{out}");
    assert!(out.contains("What to do: "), "{out}");
    std::fs::write(bed.dir.path().join("clusmgr.pid"), "4711\n").unwrap();
    let (code, out, _) = bed.run("status --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["daemon"]["pid_file"]), (1, &json!("stale")));
}

#[test]
fn other_verbs_say_in_one_line_that_there_is_no_daemon() {
    let bed = Bed::dead();
    for verb in [
        "start",
        "stop",
        "restart",
        "events",
        "link list",
        "config show",
        "key fingerprint",
    ] {
        let (code, out, err) = bed.run(verb);
        assert_eq!((code, out.as_str()), (7, ""), "{verb}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(
            err.starts_with("clusmgrctl: ") && err.contains("; "),
            "{err}"
        );
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_unknown_after_the_time_out() {
    let bed = Bed::dead();
    // Connections are taken by the kernel, and by nobody else.
    let _deaf = UnixListener::bind(bed.socket()).unwrap();
    let (code, out, err) = bed.run("status --timeout 0.2");
    assert_eq!((code, out.as_str()), (4, ""));
    assert!(err.contains("does not answer in time"), "{err}");
    assert_eq!(bed.run("start --no-wait --timeout 0.2").0, 1);
    let (code, _, err) = bed.run("status --wait=0.5 --timeout 0.2");
    assert_eq!(code, 4);
    assert!(
        err.contains("wait for a quorate cluster: this node is no member of one after 0.5 s"),
        "{err}"
    );
}

#[test]
fn unknown_words_are_usage_errors_in_one_line() {
    let bed = Bed::dead();
    for args in ["statsu", "status --jsno", "config", "start --wait=x"] {
        let (code, out, err) = bed.run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.contains("--help"), "{err}");
    }
    assert_eq!(bed.run("--help").0, 0);
}

#[test]
fn commands_wait_as_told_and_fail_with_the_daemons_words() {
    needs_root();
    let bed = Bed::new();
    let (code, out, _) = bed.run("start --wait=7");
    assert_eq!(code, 0);
    assert!(out.contains("corosync runs"), "{out}");
    let (code, out, _) = bed.run("stop --no-wait");
    assert_eq!(code, 0);
    assert!(out.contains("has the order"), "{out}");
    let (code, _, err) = bed.run("restart");
    let words = "clusmgrctl: restart corosync: it did not start in time; see its log\n";
    assert_eq!((code, err.as_str()), (1, words));
    assert_eq!(bed.run("stop --runtime --wait=5").0, 0);
    assert_eq!(bed.run("start --runtime").0, 0);
    let s = Duration::from_secs;
    assert_eq!(
        *bed.manager.commands.lock(),
        [
            (Command::Start(Hold::Kept), s(7)),
            (Command::Stop(Hold::Kept), s(0)),
            (Command::Restart, s(20)),
            (Command::Stop(Hold::UntilBoot), s(5)),
            (Command::Start(Hold::UntilBoot), s(10)),
        ]
    );
}

#[test]
fn configuration_and_key() {
    let bed = Bed::new();
    let (code, out, _) = bed.run("config show");
    assert_eq!(
        (code, out.as_str()),
        (0, "totem {\n\tversion: 2\n}\n\u{fffd}\n")
    );
    let (code, out, _) = bed.run("config check");
    assert_eq!(code, 1);
    assert!(out.starts_with("/c:3:1: error: totem: m\n"), "{out}");
    assert_eq!(bed.run("key fingerprint").0, 6);
    let file = bed.dir.path().join("c.conf");
    std::fs::write(&file, "totem {\n").unwrap();
    let dead = Bed::dead();
    let (code, out, _) = dead.run(&format!("config check {}", file.display()));
    assert_eq!(code, 1);
    assert!(out.contains("c.conf:"), "{out}");
    let (code, _, err) = dead.run("config check /nowhere/corosync.conf");
    assert_eq!(code, 1);
    assert!(err.contains("/nowhere/corosync.conf"), "{err}");
}

#[test]
fn wait_ends_when_the_node_is_a_quorate_member_by_an_event() {
    let bed = Bed::new();
    *bed.manager.state.lock() = ServiceState::Starting;
    let waiting = Running::new(bed.command("status --wait=20"));
    bed.connected(2);
    *bed.manager.quorate.lock() = None;
    bed.manager.turn(ServiceState::Running);
    bed.manager.quorum(false);
    let early = waiting.lines.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "{early:?}");
    let told = std::time::Instant::now();
    bed.manager.quorum(true);
    waiting.expect("and quorate, with 2 of 2 nodes: corosync runs");
    assert!(told.elapsed() < Duration::from_secs(5), "by no event");
    let mut waiting = waiting;
    assert_eq!(waiting.child.wait().unwrap().code(), Some(0));
    *bed.manager.state.lock() = ServiceState::Starting;
    let (code, out, err) = bed.run("status --wait=0.2");
    assert_eq!(code, 151);
    assert!(
        out.contains("is starting") && err.lines().count() == 1,
        "{out}{err}"
    );
}

#[test]
fn wait_looks_now_and_then_even_if_no_event_comes() {
    let bed = Bed::new();
    *bed.manager.quorate.lock() = Some(false);
    let mut waiting = Running::new(bed.command("status --wait=60"));
    bed.connected(2);
    std::thread::sleep(Duration::from_millis(500));
    *bed.manager.quorate.lock() = Some(true);
    waiting.expect("and quorate");
    assert_eq!(waiting.child.wait().unwrap().code(), Some(0));
}

#[test]
fn watch_follows_events_and_outlives_the_daemon() {
    let mut bed = Bed::new();
    let watching = Running::new(bed.command("status --watch"));
    watching.expect("corosync runs");
    bed.connected(2);
    bed.manager.quorum(false);
    watching.expect("NOT quorate");
    bed.manager.turn(ServiceState::Backoff);
    watching.expect("corosync will be started");
    bed.stop();
    watching.expect("clusmgr does not answer");
    *bed.manager.state.lock() = ServiceState::Starting;
    bed.serve();
    watching.expect("corosync is starting");
}

#[test]
fn events_are_the_last_or_all_since_a_number() {
    let bed = Bed::new();
    for seq in 1..=60 {
        bed.manager.publish(seq);
    }
    // A crash leaves reserved numbers unused.
    bed.manager.publish(5000);
    let (code, out, _) = bed.run("events");
    assert_eq!((code, out.lines().count()), (0, 50), "{out}");
    assert!(
        out.ends_with("service.ready        event number 5000\n"),
        "{out}"
    );
    assert!(
        out.lines().next().unwrap().contains("event number 12"),
        "{out}"
    );
    let (_, out, err) = bed.run("events --since 59 --json");
    let seqs: Vec<Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!((seqs.len(), err.as_str()), (2, ""));
    assert_eq!(seqs[1]["seq"], 5000);
    bed.manager.journal.lock().drain(..9);
    let (_, out, err) = bed.run("events --since 4");
    assert_eq!(out.lines().count(), 52);
    assert_eq!(
        err,
        "clusmgrctl: read events: those from 5 to 9 are gone; it goes on with 10\n"
    );
    let (_, out, err) = bed.run("events --since 4 --json");
    assert_eq!(
        (out.lines().next(), err.as_str()),
        (Some(r#"{"lagged":{"from":5,"next":10}}"#), "")
    );
    let (code, out, err) = bed.run("events --since 9000");
    assert_eq!((code, out.as_str()), (0, ""));
    assert_eq!(
        err,
        "clusmgrctl: read events: number 9000 was not used yet, the newest is 5000\n"
    );
    let kept = std::mem::take(&mut *bed.manager.journal.lock());
    let (code, out, err) = bed.run("events --since 4");
    assert_eq!((code, out.as_str()), (0, ""), "a journal that has none");
    assert_eq!(
        err,
        "clusmgrctl: read events: those from 5 to 5000 are gone; it goes on with 5001\n"
    );
    *bed.manager.journal.lock() = kept;
    for seq in 5001..=7500 {
        bed.manager.publish(seq);
    }
    let (_, out, _) = bed.run("events --since 0");
    assert_eq!(out.lines().count(), 2552, "more than one page");
}

#[test]
fn following_goes_on_where_it_was_when_the_daemon_returns() {
    let mut bed = Bed::new();
    bed.manager.publish(1);
    let following = Running::new(bed.command("events -f"));
    following.expect("event number 1");
    bed.connected(1);
    bed.manager.publish(2);
    following.expect("event number 2");
    bed.stop();
    bed.manager.publish(3);
    bed.serve();
    assert!(
        following
            .lines
            .recv_timeout(SOON)
            .unwrap()
            .contains("event number 3")
    );
}

#[test]
fn a_follower_that_asks_for_what_is_gone_is_told_once_where_it_goes_on() {
    let bed = Bed::new();
    for seq in 1..=2000 {
        bed.manager.publish(seq);
    }
    // Memory has the last thousand.
    bed.manager.journal.lock().drain(..1500);
    let following = Running::new(bed.command("events -f --since 7 --json"));
    let first = following.lines.recv_timeout(SOON).unwrap();
    assert_eq!(first, r#"{"lagged":{"from":8,"next":1501}}"#);
    for seq in 1501..=2000 {
        let line: Value =
            serde_json::from_str(&following.lines.recv_timeout(SOON).unwrap()).unwrap();
        assert_eq!(line["seq"], seq);
    }
    bed.connected(1);
    bed.manager.publish(2001);
    following.expect("event number 2001");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let bed = Bed::new();
    for seq in 1..=5000 {
        bed.manager.publish(seq);
    }
    let mut command = bed.command("events --since 0");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}
