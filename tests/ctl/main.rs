//! The real `clusmgrctl` against the real local service, with a manager that is made of data.

#![allow(clippy::unwrap_used)]

mod bed;
mod elsewhere;
mod events;
mod nodes;
mod rolling;
mod scripted;
mod wait;

use bed::{Bed, needs_root};
use clusmgr::service::{Command, Hold};
use clusmgr::wire::ServiceState;
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
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
fn that_nobody_reads_does_not_change_the_exit_code() {
    let bed = Bed::new();
    let unread = |bed: &Bed, args: &str| {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let mut command = bed.command(args);
        command.stdout(OwnedFd::from(writer)).stderr(Stdio::null());
        let run = command.status();
        run.unwrap().code().unwrap()
    };
    assert_eq!(unread(&bed, "status"), 0);
    bed.manager.quorum(false);
    for (args, code) in [
        ("status", 151),
        ("status --json", 151),
        ("status --wait=0.1", 151),
        ("why", 1),
        ("why --json", 1),
        ("config check", 1),
        ("events", 0),
    ] {
        assert_eq!(unread(&bed, args), code, "{args}");
    }
    let dead = Bed::dead();
    assert_eq!(unread(&dead, "status"), 3);
    assert_eq!(unread(&dead, "why"), 1);
}

#[test]
fn a_program_gets_an_object_from_a_daemon_that_does_not_answer_too() {
    let bed = Bed::dead();
    // Connections are taken by the kernel, and by nobody else.
    let _listener = UnixListener::bind(bed.socket()).unwrap();
    let (code, out, _) = bed.run("why --json --timeout 0.2");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["ok"]), (1, &json!(false)));
    assert_eq!(value["verdicts"][0]["code"], "clusmgr-deaf");
    let (code, out, _) = bed.run("why --timeout 0.2");
    assert_eq!(code, 1);
    assert!(
        out.starts_with("clusmgr-deaf: clusmgr does not answer\n"),
        "{out}"
    );
    let (code, out, err) = bed.run("status --json --timeout 0.2");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["daemon"]["answers"]), (4, &json!(false)));
    assert_eq!(err.lines().count(), 1, "{err}");
}
