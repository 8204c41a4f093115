//! Changes on a node whose corosync does not run, or not as it should: each ends with the new
//! configuration in effect or with the old one, and says truly which.

use crate::apply_faults::{next, value_of, version_of};
use crate::common::{LONG, Lab, Node, Ran, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const CONF: &str = "/etc/corosync/corosync.conf";
/// A corosync of our own for clusmgr to run: it dies with exit 15 while its configuration has the
/// line that `/tmp/broken` holds.
const BROKEN: &str = "#!/bin/sh\ncase \"$*\" in *-t*) exec /usr/sbin/corosync \"$@\";; esac\n\
     if grep -qF -f /tmp/broken /etc/corosync/corosync.conf; then exit 15; fi\n\
     exec /usr/sbin/corosync \"$@\"\n";
const OPS: [&str; 3] = ["apply", "revert", "rollback"];

/// What a change is to come to.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Ends {
    /// Done, and a running corosync has it.
    Runs,
    /// Done; nothing runs, and the next start uses it.
    Waits,
    /// The live file was that already.
    Same,
    /// Refused, and nothing was touched.
    Refused,
}

/// One node that holds a configuration and an earlier one, and whose clusmgr got these flags.
fn lab(name: &str, flags: &[&str]) -> Lab {
    let lab = Lab::up(name, "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("mkdir -p /tmp/bin && cp /usr/sbin/corosync-c* /tmp/bin/ && : >/tmp/broken")
        .ok();
    n1.put("/tmp/bin/corosync", BROKEN);
    n1.sh("sed -i '$a config_version: none' /tmp/broken; chmod 755 /tmp/bin/corosync")
        .ok();
    let own = [
        "--poll-interval",
        "0.2",
        "--corosync-bin",
        "/tmp/bin/corosync",
    ];
    n1.start_daemon(&[&own[..], flags].concat());
    n1.wait_state("running");
    next(&n1, "token", ["1000", "1500"]);
    change(&n1, "apply").ok();
    lab
}

fn live(node: &Node<'_>) -> String {
    String::from_utf8(node.read(CONF)).unwrap()
}

fn change(node: &Node<'_>, op: &str) -> Ran {
    let mut words = vec!["--timeout", "90", "config", op];
    if op == "apply" {
        words.push("/tmp/new.conf");
    }
    words.push("--json");
    node.ctl(&words)
}

fn entries(node: &Node<'_>) -> Vec<Value> {
    let page = node.ctl(&["config", "history", "--json"]).ok();
    let page: Value = serde_json::from_str(&page).unwrap();
    page["entries"].as_array().unwrap().clone()
}

/// Does it, and holds that what is said is what is.
#[track_caller]
fn comes_to(node: &Node<'_>, what: &str, op: &str, ends: Ends) -> Ran {
    let (before, told) = (live(node), node.latest());
    let known = entries(node).len();
    let ran = change(node, op);
    let what = format!("{op} on a node that is {what}: {ran:?}");
    let done = matches!(ends, Ends::Runs | Ends::Waits);
    assert_eq!(ran.code != 0, ends == Ends::Refused, "{what}");
    let added = entries(node).split_off(known);
    let kinds = node.kinds_after(told);
    assert!(!kinds.iter().any(|k| k == "config.undone"), "{what}");
    if !done {
        assert_eq!(live(node), before, "{what}");
        assert_eq!(added.len(), 0, "{what}");
    }
    if ends == Ends::Refused {
        assert_eq!(ran.err.lines().count(), 1, "{what}");
        return ran;
    }
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["done"], done, "{what}");
    if !done {
        return ran;
    }
    assert_eq!(added.len(), 1, "{what}");
    assert_eq!(
        (&added[0]["what"], &added[0]["undone"]),
        (&json!(op), &json!(null)),
        "{what}"
    );
    let text = live(node);
    assert_eq!(report["version"], json!(version_of(&text)), "{what}");
    let s = node.status();
    assert_eq!(
        (&s["config"]["drift"], &s["config"]["version"]),
        (&json!(false), &report["version"]),
        "{what}"
    );
    match ends {
        Ends::Runs => {
            // As it is told, so it is in the history; and what started corosync is not "nothing".
            assert_eq!(report["how"], added[0]["how"], "{what}");
            assert!(
                ["start", "restart"].contains(&report["how"].as_str().unwrap()),
                "{what}"
            );
            assert_eq!(s["service"]["state"], "running", "{what}");
            assert_eq!(node.cmap("totem.token"), value_of(&text, "token"), "{what}");
            assert_eq!(
                node.cmap("totem.config_version"),
                version_of(&text).to_string(),
                "{what}"
            );
        }
        _ => {
            assert_eq!(
                (&report["how"], &added[0]["how"]),
                (&json!("next-start"), &json!("next-start")),
                "{what}"
            );
            assert!(node.corosyncs().is_empty(), "{what}");
        }
    }
    ran
}

/// What `apply` and `revert` are to be about.
fn ready_for(node: &Node<'_>, op: &str) {
    match op {
        "apply" => drop(next(node, "token", ["1000", "1500"])),
        "revert" => node.edit_conf(|t| t.replace("\ttoken: ", "\tjoin: 70\n\ttoken: ")),
        _ => {}
    }
}

#[test]
fn unconfigured_a_node_takes_a_first_apply_and_has_nothing_to_go_back_to() {
    let lab = Lab::up("state-none", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh(&format!("mv {CONF} /tmp/new.conf")).ok();
    n1.start_daemon(&["--poll-interval", "0.2"]);
    n1.wait("unconfigured", |s| s["mode_reason"] == "unconfigured");
    for op in ["revert", "rollback"] {
        let ran = change(&n1, op);
        assert_eq!((ran.code, ran.err.lines().count()), (6, 1), "{ran:?}");
        assert!(
            ran.err.contains("clusmgr holds no configuration yet"),
            "{ran:?}"
        );
        assert!(!n1.file(CONF).exists() && n1.corosyncs().is_empty());
        assert_eq!(n1.status()["mode_reason"], "unconfigured");
    }
    change(&n1, "apply").ok();
    assert_eq!(n1.status()["service"]["state"], "running");
    assert_eq!(n1.cmap("totem.config_version"), "1");
    assert_eq!(entries(&n1).len(), 1);
}

#[test]
fn a_first_apply_that_does_not_start_leaves_the_node_unconfigured() {
    let lab = lab("state-first", &["--restart-limit", "1/60"]);
    let n1 = lab.node(1);
    n1.end_daemon("TERM");
    n1.sh(&format!(
        "mv {CONF} /tmp/new.conf; rm -rf /var/lib/clusmgr/*; echo config_version >/tmp/broken"
    ))
    .ok();
    n1.start_daemon(&[
        "--poll-interval",
        "0.2",
        "--corosync-bin",
        "/tmp/bin/corosync",
    ]);
    let began = Instant::now();
    let ran = change(&n1, "apply");
    assert!(began.elapsed() < Duration::from_secs(20), "{ran:?}");
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    for said in [
        "exit 15",
        "what was there before is back, and corosync does not run",
    ] {
        assert!(ran.err.contains(said), "{ran:?}");
    }
    assert!(!n1.file(CONF).exists() && n1.corosyncs().is_empty());
    assert_eq!(n1.status()["mode_reason"], "unconfigured");
}

/// A corosync that lives and does not become ready with the text that is to be applied next.
fn never_ready(node: &Node<'_>) {
    node.put("/tmp/bin/new", BROKEN.replace("exit 15", "exec sleep 600"));
    node.sh("chmod 755 /tmp/bin/new && mv /tmp/bin/new /tmp/bin/corosync")
        .ok();
    let text = next(node, "cluster_name", ["clab", "other"]);
    node.put(
        "/tmp/broken",
        format!("config_version: {}\n", version_of(&text)),
    );
}

/// Applies, and does something when the new corosync was started.
fn meanwhile(node: &Node<'_>, what: impl FnOnce()) -> Ran {
    let began = Instant::now();
    let ran = std::thread::scope(|s| {
        let ran = s.spawn(|| change(node, "apply"));
        until("the new one was started", LONG, || {
            (node.sh("pgrep -x sleep").code == 0).then_some(())
        });
        what();
        ran.join().unwrap()
    });
    assert!(began.elapsed() < Duration::from_secs(20), "{ran:?}");
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    ran
}

#[test]
fn a_stop_in_the_middle_of_an_apply_ends_it_with_the_old_configuration_and_the_hold() {
    let lab = lab("state-stop", &[]);
    let n1 = lab.node(1);
    let before = live(&n1);
    never_ready(&n1);
    let ran = meanwhile(&n1, || drop(n1.ctl(&["stop"]).ok()));
    for said in [
        "an operator stopped it meanwhile",
        "the old configuration is back, and corosync does not run",
    ] {
        assert!(ran.err.contains(said), "{ran:?}");
    }
    assert_eq!(live(&n1), before);
    let s = n1.status();
    assert_eq!(
        (&s["mode_reason"], &s["config"]["drift"]),
        (&json!("held"), &json!(false))
    );
    n1.ctl(&["start"]).ok();
    assert_eq!(n1.cmap("totem.cluster_name"), "clab");
}

#[test]
fn a_bad_configuration_is_left_by_any_change() {
    let lab = lab("state-bad", &["--standalone-retry", "600"]);
    let n1 = lab.node(1);
    for round in 0..2 {
        for op in OPS {
            ready_for(&n1, "apply");
            n1.ctl(&["stop"]).ok();
            n1.edit_conf(|t| t.replace("\ttoken: 1", "\ttoken: 7\n# was 1"));
            let ran = n1.ctl(&["start"]);
            assert_ne!(ran.code, 0, "{ran:?}");
            let s = n1.status();
            assert_eq!(s["mode_reason"], "bad-config", "{round}");
            comes_to(&n1, "in bad-config", op, Ends::Runs);
        }
    }
}

#[test]
fn a_start_that_failed_too_often_is_left_by_what_starts() {
    let flags = ["--standalone-retry", "600", "--restart-limit", "1/60"];
    let lab = lab("state-failed", &flags);
    let n1 = lab.node(1);
    for op in ["apply", "rollback", "revert"] {
        ready_for(&n1, "apply");
        n1.put(
            "/tmp/broken",
            format!("config_version: {}\n", version_of(&live(&n1))),
        );
        n1.kill("KILL", n1.pid());
        n1.wait("start-failed", |s| s["mode_reason"] == "start-failed");
        let ends = if op == "revert" {
            Ends::Same
        } else {
            Ends::Runs
        };
        comes_to(&n1, "in start-failed", op, ends);
    }
    // What does not start either is undone, and nothing is said to run.
    let text = next(&n1, "token", ["1000", "1500"]);
    let before = live(&n1);
    n1.put(
        "/tmp/broken",
        format!(
            "config_version: {}\nconfig_version: {}\n",
            version_of(&before),
            version_of(&text)
        ),
    );
    let ran = change(&n1, "apply");
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    assert!(
        ran.err
            .contains("the old configuration is back, but not proved"),
        "{ran:?}"
    );
    assert_eq!(live(&n1), before);
    assert!(n1.corosyncs().is_empty());
}

#[test]
fn an_end_of_clusmgr_in_the_middle_of_an_apply_is_told_by_the_next_start() {
    let lab = lab("state-end", &[]);
    let n1 = lab.node(1);
    for signal in ["TERM", "QUIT"] {
        let before = live(&n1);
        never_ready(&n1);
        let (told, known) = (n1.latest(), entries(&n1).len());
        let ran = meanwhile(&n1, || n1.end_daemon(signal));
        assert!(!ran.err.contains("not ready within"), "{signal}: {ran:?}");
        assert!(n1.file("/var/lib/clusmgr/change.json").exists(), "{signal}");
        let own = [
            "--poll-interval",
            "0.2",
            "--corosync-bin",
            "/tmp/bin/corosync",
        ];
        n1.start_daemon(&own);
        until("the change is over", LONG, || {
            (!n1.file("/var/lib/clusmgr/change.json").exists()).then_some(())
        });
        assert_eq!(live(&n1), before, "{signal}");
        n1.wait_state("running");
        assert_eq!(
            n1.cmap("totem.config_version"),
            version_of(&before).to_string()
        );
        let added = entries(&n1).split_off(known);
        assert_eq!(
            (added.len(), &added[0]["undone"]),
            (1, &json!("clusmgr ended in the middle of it")),
            "{signal}"
        );
        let undone = n1
            .kinds_after(told)
            .iter()
            .filter(|k| *k == "config.undone")
            .count();
        assert_eq!(undone, 1, "{signal}");
    }
}

#[test]
fn without_a_binary_nothing_is_changed_and_it_says_what_is_missing() {
    let lab = lab("state-nobin", &["--standalone-retry", "600"]);
    let n1 = lab.node(1);
    n1.sh("mv /tmp/bin/corosync /tmp/bin/away").ok();
    n1.kill("KILL", n1.pid());
    n1.wait("no-binary", |s| s["mode_reason"] == "no-binary");
    for op in ["apply", "rollback", "revert"] {
        ready_for(&n1, op);
        let ran = comes_to(&n1, "in no-binary", op, Ends::Refused);
        assert!(
            ran.err.contains("/tmp/bin/corosync") && ran.err.contains("install corosync"),
            "{ran:?}"
        );
    }
    n1.sh("mv /tmp/bin/away /tmp/bin/corosync").ok();
    n1.wait_state("running");
}

#[test]
fn a_wait_for_the_next_start_is_ended_by_a_change() {
    let flags = ["--restart-limit", "0/60", "--stable-after", "600"];
    let lab = lab("state-backoff", &flags);
    let n1 = lab.node(1);
    for op in OPS {
        ready_for(&n1, op);
        n1.wait("the edit is seen", |s| {
            s["config"]["drift"] == (op == "revert")
        });
        // Twice: the second wait is 2 s.
        for _ in 0..2 {
            let pid = n1.wait_state("running")["service"]["pid"].as_i64().unwrap();
            n1.kill("KILL", pid);
            n1.wait("backoff", |s| s["service"]["pid"] != pid);
        }
        comes_to(&n1, "in backoff", op, Ends::Runs);
    }
}

#[test]
fn a_change_starts_nothing_before_the_restart_delay_is_over() {
    let lab = lab("state-delay", &["--restart-delay", "20"]);
    let n1 = lab.node(1);
    n1.kill("KILL", n1.pid());
    let s = n1.wait_state("backoff");
    assert!(s["service"]["next_retry_ms"].as_u64() > Some(10_000), "{s}");
    for op in OPS {
        ready_for(&n1, op);
        comes_to(&n1, "waiting for its fencing", op, Ends::Waits);
        assert_eq!(n1.status()["service"]["state"], "backoff", "{op}");
    }
    n1.wait_state("running");
    assert_eq!(
        n1.cmap("totem.config_version"),
        version_of(&live(&n1)).to_string()
    );
}

#[test]
fn held_a_node_takes_a_change_and_stays_held() {
    let lab = lab("state-held", &[]);
    let n1 = lab.node(1);
    n1.ctl(&["stop"]).ok();
    for op in OPS {
        ready_for(&n1, op);
        comes_to(&n1, "held", op, Ends::Waits);
        assert_eq!(n1.status()["mode_reason"], "held", "{op}");
    }
    n1.ctl(&["start"]).ok();
    until("it runs with it", LONG, || {
        (n1.cmap("totem.config_version") == version_of(&live(&n1)).to_string()).then_some(())
    });
}

#[test]
fn what_was_there_before_the_first_apply_is_taken_over_or_backed_up() {
    for (name, bad, flag) in [
        ("state-alone", "", "--standalone"),
        ("state-first-bad", "totem {\n", "--debug"),
    ] {
        let lab = Lab::up(name, "1 --no-clusmgr", &[]);
        let n1 = lab.node(1);
        let new = live(&n1).replace("config_version: 1\n", "config_version: 2\n");
        n1.put("/tmp/new.conf", new.replace("token: 1000", "token: 1500"));
        n1.edit_conf(|t| format!("# by hand\n\n{t}{bad}"));
        let first = n1.read(CONF);
        n1.start_daemon(&["--poll-interval", "0.2", flag]);
        n1.wait("STANDALONE", |s| s["mode"] == "standalone");
        change(&n1, "apply").ok();
        let kept = std::fs::read_dir(n1.file("/var/lib/clusmgr/backup")).unwrap();
        let mut kept = kept.map(|f| std::fs::read(f.unwrap().path()).unwrap());
        assert!(kept.any(|k| k == first), "{name}: byte for byte");
        let what: Vec<Value> = entries(&n1).iter().map(|e| e["what"].clone()).collect();
        if bad.is_empty() {
            assert_eq!(what, ["take-over", "apply"]);
            change(&n1, "rollback").ok();
            assert_eq!(value_of(&live(&n1), "token"), "1000");
        } else {
            assert_eq!(what, ["apply"]);
        }
        if flag == "--standalone" {
            n1.ctl(&["start"]).ok();
        }
        assert_eq!(
            n1.cmap("totem.config_version"),
            version_of(&live(&n1)).to_string()
        );
    }
}
