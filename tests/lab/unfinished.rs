//! What the next start makes of an apply that clusmgr was killed in, in the harder cases: the first
//! one of a node, one over a file that is no good, and with nothing that could be taken back.

use crate::apply_faults::{apply, let_go, next, steps, strace, unhindered};
use crate::common::{LONG, Lab, Node, until};
use serde_json::json;

const CONF: &str = "/etc/corosync/corosync.conf";
const CHANGE: &str = "/var/lib/clusmgr/change.json";
const FLAGS: [&str; 2] = ["--poll-interval", "0.2"];

/// Kills clusmgr at the K-th call of an apply of `/tmp/new.conf`; false if there are not so many.
fn kill_at(node: &Node<'_>, call: &str, k: usize) -> bool {
    let daemon = node.daemon_pid();
    let fault = format!("-e trace={call} -e inject={call}:signal=KILL:when={k}");
    let tracer = strace(node, &fault);
    let ran = apply(node);
    let killed = ran.code != 0;
    if killed {
        node.wait_gone(daemon);
    }
    let_go(node, tracer);
    killed
}

fn wait_over(node: &Node<'_>) {
    until("the change is over", LONG, || {
        (!node.file(CHANGE).exists()).then_some(())
    });
}

/// The text of the last event of this kind after a number; none if there is none.
fn said(node: &Node<'_>, after: u64, kind: &str) -> Option<String> {
    let mut found = node.events_of(kind);
    found.retain(|e| e["seq"].as_u64() > Some(after));
    found.pop().map(|e| e["text"].as_str().unwrap().to_owned())
}

#[test]
fn killed_at_every_step_of_the_first_apply_a_node_ends_unconfigured_or_configured() {
    let lab = Lab::up("kill-first", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    // As clusmgr writes it.
    n1.start_daemon(&FLAGS);
    n1.wait_state("running");
    n1.end_daemon("TERM");
    n1.sh(&format!(
        "mv {CONF} /tmp/new.conf; rm -rf /var/lib/clusmgr/*"
    ))
    .ok();
    let new = n1.read("/tmp/new.conf");
    n1.start_daemon(&FLAGS);
    let mut ended = [0, 0];
    for call in ["rename", "fsync", "unlink"] {
        for k in 1.. {
            let what = format!("kill -9 at {call} {k}");
            assert_eq!(n1.status()["mode_reason"], "unconfigured", "{what}");
            let before = n1.latest();
            let killed = kill_at(&n1, call, k);
            if killed {
                let begun = n1.file(CHANGE).exists();
                n1.start_daemon(&FLAGS);
                wait_over(&n1);
                let undone = said(&n1, before, "config.undone");
                let changed = said(&n1, before, "config.changed");
                let is_new = n1.file(CONF).exists();
                ended[usize::from(is_new)] += 1;
                if is_new {
                    let s = n1.wait_state("running");
                    let live = n1.read(CONF);
                    assert!(live == new, "{what}");
                    assert_eq!(s["config"]["drift"], false, "{what}");
                    assert!(changed.is_some() && undone.is_none(), "{what}: {undone:?}");
                    assert_eq!(n1.cmap("totem.config_version"), "1", "{what}");
                } else {
                    let s = n1.wait("at rest", |s| s["service"]["state"] == "stopped");
                    assert_eq!(
                        (&s["mode_reason"], &s["config"]["version"], &s["degraded"]),
                        (&json!("unconfigured"), &json!(null), &json!([])),
                        "{what}"
                    );
                    assert!(n1.corosyncs().is_empty(), "{what}");
                    assert!(changed.is_none(), "{what}: {changed:?}");
                    let want = "was undone: clusmgr ended in the middle of it";
                    match undone {
                        Some(text) => assert!(text.ends_with(want), "{what}: {text}"),
                        None => assert!(!begun, "{what}"),
                    }
                    assert_eq!(said(&n1, before, "config.bad"), None, "{what}");
                }
            }
            // As a node that was never configured.
            n1.end_daemon("TERM");
            n1.sh(&format!("rm -rf {CONF} /var/lib/clusmgr/*")).ok();
            n1.start_daemon(&FLAGS);
            if !killed {
                break;
            }
            assert!(k < 60, "{what}");
        }
    }
    assert!(ended[0] > 5 && ended[1] > 1, "{ended:?} ended old and new");
}

#[test]
fn killed_in_an_apply_over_a_file_that_is_no_good_corosync_runs_on() {
    let lab = Lab::up("kill-bad", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let name = ("cluster_name", ["clab", "other"]);
    let steps = steps(&n1, name.0, name.1);
    let (renames, syncs) = (steps["rename"], steps["fsync"]);
    let mut ended = [0, 0, 0];
    for (call, k) in [
        ("rename", renames - 3),
        ("rename", renames - 2),
        ("rename", renames - 1),
        ("rename", renames),
        ("fsync", syncs - 8),
        ("fsync", syncs - 7),
        ("fsync", syncs - 4),
        ("unlink", steps["unlink"]),
    ] {
        // The copy of the bad file takes a rename and two fsyncs more.
        for k in [k, k + 1, k + 2] {
            let what = format!("kill -9 at {call} {k}");
            let ours = n1.read(CONF);
            next(&n1, name.0, name.1);
            let new = n1.read("/tmp/new.conf");
            let bad = [&ours[..], b"totem {\n"].concat();
            let pid = n1.pid();
            n1.put(CONF, &bad);
            n1.wait("drift", |s| s["config"]["drift"] == true);
            let killed = kill_at(&n1, call, k);
            if killed {
                n1.start_daemon(&FLAGS);
                wait_over(&n1);
            }
            let live = n1.read(CONF);
            let s = n1.wait_state("running");
            assert_eq!(s["mode"], "cluster", "{what}");
            if live == bad {
                // It was not touched, and neither was corosync.
                assert_eq!(s["service"]["pid"], pid, "{what}");
                unhindered(&n1, &["--timeout", "60", "config", "revert"]).ok();
                ended[0] += 1;
            } else {
                assert!(live == ours || live == new, "{what}");
                assert_eq!(s["config"]["drift"], false, "{what}");
                ended[1 + usize::from(live == new)] += 1;
            }
            let text = String::from_utf8(n1.read(CONF)).unwrap();
            let want = crate::apply_faults::value_of(&text, name.0);
            assert_eq!(n1.cmap("totem.cluster_name"), want, "{what}");
        }
    }
    assert!(
        ended.iter().all(|n| *n > 1),
        "{ended:?} ended bad, old and new"
    );
}

#[test]
fn a_start_that_takes_a_change_back_does_not_restart_the_corosync_that_it_starts() {
    let lab = Lab::up("kill-both", "1", &FLAGS);
    let n1 = lab.node(1);
    let pid = n1.wait_state("running")["service"]["pid"].as_i64().unwrap();
    let name = ("cluster_name", ["clab", "other"]);
    let steps = steps(&n1, name.0, name.1);
    let old = n1.read(CONF);
    next(&n1, name.0, name.1);
    let before = n1.latest();
    let pid = n1.wait_other(pid);
    // The new text is in place, and not kept yet.
    assert!(kill_at(&n1, "rename", steps["rename"] - 1));
    for pid in n1.corosyncs() {
        assert!(n1.read(CONF) != old);
        n1.kill("KILL", pid);
        n1.wait_gone(pid);
    }
    assert!(!n1.lives(pid));
    let seen = n1.read("/var/lib/clusmgr/events.jsonl");
    n1.start_daemon(&FLAGS);
    wait_over(&n1);
    n1.wait_state("running");
    assert!(n1.read(CONF) == old);
    let begun = n1.events_of("daemon.started").pop().unwrap()["seq"].as_u64();
    let kinds = n1.kinds_after(begun.unwrap());
    let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
    assert_eq!(
        (count("service.starting"), count("service.stopping")),
        (1, 0),
        "{kinds:?}, and before {}",
        String::from_utf8_lossy(&seen)
    );
    let text = said(&n1, before, "config.undone").unwrap();
    assert!(
        text.ends_with("was undone: clusmgr ended in the middle of it"),
        "{text}"
    );
}

#[test]
fn a_change_that_cannot_be_taken_back_at_a_start_is_told_and_shown_and_taken_back_by_the_next() {
    let lab = Lab::up("kill-full", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("cp -a /etc/corosync /tmp/kept && mount -n -t tmpfs -o size=1m,mode=755 tiny /etc/corosync && cp -a /tmp/kept/. /etc/corosync/").ok();
    n1.start_daemon(&FLAGS);
    n1.wait_state("running");
    let live = || n1.sh(&format!("cat {CONF}")).ok();
    // As `steps` and `next`, of a text that only the node sees.
    let old = live();
    let new = old
        .replace("config_version: 1\n", "config_version: 2\n")
        .replace("token: 1000", "token: 1500");
    n1.put("/tmp/new.conf", &new);
    // The first step at which the new text is live and not kept.
    for k in 3.. {
        assert!(k < 20 && kill_at(&n1, "rename", k), "{k}");
        if live() == new {
            break;
        }
        n1.start_daemon(&FLAGS);
        wait_over(&n1);
        n1.wait_state("running");
    }
    assert!(n1.file(CHANGE).exists());
    n1.sh("dd if=/dev/zero of=/etc/corosync/filler bs=4k 2>/dev/null; true")
        .ok();

    n1.spawn("clusmgr -f --poll-interval 0.2");
    n1.wait("drift, and corosync adopted", |s| {
        s["config"]["drift"] == true && s["service"]["state"] == "running"
    });
    assert!(live() == new && n1.file(CHANGE).exists());
    let log = String::from_utf8(n1.read("/tmp/spawned.out")).unwrap();
    let told = |l: &str| l.contains(CONF) && l.contains("No space left on device");
    assert!(log.lines().any(told), "{log}");
    let before = n1.latest();
    n1.sh("rm /etc/corosync/filler").ok();
    n1.end_daemon("QUIT");
    n1.start_daemon(&FLAGS);
    wait_over(&n1);
    n1.wait("no drift", |s| s["config"]["drift"] == false);
    assert!(live() == old);
    assert_eq!(n1.cmap("totem.token"), "1000");
    assert!(said(&n1, before, "config.undone").is_some());
}

/// clusmgr is killed in an apply when the new text is in effect and not kept yet.
fn killed(node: &Node<'_>, key: &str, values: [&str; 2]) {
    let steps = steps(node, key, values);
    next(node, key, values);
    node.wait_state("running");
    assert!(kill_at(node, "rename", steps["rename"] - 1));
    assert!(node.file(CHANGE).exists());
}

#[test]
fn a_change_that_was_killed_is_not_settled_over_somebody_elses_file() {
    let lab = Lab::up("kill-foreign", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let (token, name) = (
        ("token", ["1000", "1500"]),
        ("cluster_name", ["clab", "other"]),
    );
    for (what, (key, values)) in [
        ("edited", token),
        ("edited", name),
        ("typo", token),
        ("typo", name),
        ("gone", token),
        ("gone", name),
    ] {
        let case = format!("{what}, {key}");
        killed(&n1, key, values);
        match what {
            "edited" => n1.edit_conf(|t| t.replace("\ttoken: ", "\tjoin: 70\n\ttoken: ")),
            "typo" => n1.edit_conf(|t| t.replace("quorum {", "quorum {{")),
            _ => std::fs::remove_file(n1.file(CONF)).unwrap(),
        }
        let there = || n1.file(CONF).exists().then(|| n1.read(CONF));
        let left = there();
        let runs =
            || ["totem.token", "totem.cluster_name", "totem.config_version"].map(|k| n1.cmap(k));
        let (pids, ran) = (n1.corosyncs(), runs());
        n1.start_daemon(&FLAGS);
        wait_over(&n1);
        let begun = n1.events_of("daemon.started").pop().unwrap()["seq"].as_u64();
        let text = said(&n1, begun.unwrap(), "config.undone").unwrap();
        assert!(
            text.contains("was given up: clusmgr ended in the middle of it; undo")
                && text.contains("somebody else changed it meanwhile; it stays"),
            "{case}: {text}"
        );
        assert_eq!(said(&n1, begun.unwrap(), "reload.ok"), None, "{case}");
        assert_eq!(said(&n1, begun.unwrap(), "reload.stuck"), None, "{case}");
        let s = n1.wait_state("running");
        assert_eq!((n1.corosyncs(), runs()), (pids, ran), "{case}: {s:#}");
        assert_eq!(s["mode"], "cluster", "{case}");
        assert!(there() == left, "{case}");
        assert_eq!(s["config"]["drift"], what != "gone", "{case}");
        unhindered(&n1, &["--timeout", "60", "config", "revert"]).ok();
        let s = n1.wait("no drift", |s| s["config"]["drift"] == false);
        assert_eq!(s["degraded"], json!([]), "{case}");
    }
}

#[test]
fn what_is_adopted_after_a_change_that_could_not_be_taken_back_is_not_settled_again() {
    let lab = Lab::up("kill-adopted", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    killed(&n1, "cluster_name", ["clab", "other"]);
    // It cannot be taken back.
    n1.sh(
        "mount -n --bind /etc/corosync /etc/corosync && mount -n -o remount,ro,bind /etc/corosync",
    )
    .ok();
    n1.start_daemon(&FLAGS);
    n1.wait("drift", |s| s["config"]["drift"] == true);
    assert!(n1.file(CHANGE).exists());
    n1.sh("umount -n /etc/corosync").ok();
    n1.edit_conf(|t| t.replace("\ttoken: ", "\tjoin: 70\n\ttoken: "));
    let pid = n1.pid();
    unhindered(&n1, &["--timeout", "60", "config", "adopt"]).ok();
    assert!(!n1.file(CHANGE).exists());
    let live = n1.read(CONF);
    n1.end_daemon("QUIT");
    let before = n1.read("/var/lib/clusmgr/history.jsonl");
    n1.start_daemon(&FLAGS);
    let s = n1.wait_state("running");
    n1.wait("settled", |s| s["service"]["state"] == "running");
    crate::common::stays("it runs on", std::time::Duration::from_secs(2), || {
        n1.pid() == pid && n1.read(CONF) == live
    });
    assert_eq!(
        (&s["service"]["pid"], &s["config"]["drift"]),
        (&json!(pid), &json!(false))
    );
    assert!(n1.read("/var/lib/clusmgr/history.jsonl") == before);
    let undone = String::from_utf8(before).unwrap();
    assert!(
        undone.contains("what was live then was adopted"),
        "{undone}"
    );
}
