//! An apply that is killed, or that meets a full disk, at any of its steps. The faults are real: strace
//! kills clusmgr at a system call, or has it fail.

use crate::common::{LONG, Lab, Node, Ran, degraded, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CONF: &str = "/etc/corosync/corosync.conf";
const CHANGE: &str = "/var/lib/clusmgr/change.json";
const FLAGS: [&str; 2] = ["--poll-interval", "0.2"];

/// Each text is a new one: what an apply that failed has kept is not found again.
static TEXTS: AtomicU64 = AtomicU64::new(1);

/// The live text under a higher version, with another value of a timer (or of what else has two).
pub fn next(node: &Node<'_>, key: &str, values: [&str; 2]) -> String {
    let text = String::from_utf8(node.read(CONF)).unwrap();
    let version = version_of(&text);
    let text = text.replace(
        &format!("config_version: {version}\n"),
        &format!(
            "config_version: {}\n",
            version + TEXTS.fetch_add(1, Ordering::Relaxed)
        ),
    );
    let line = |value: &str| format!("\t{key}: {value}\n");
    let [one, other] = values;
    let edited = if text.contains(&line(one)) {
        text.replace(&line(one), &line(other))
    } else {
        text.replace(&line(other), &line(one))
    };
    assert_ne!(edited, text, "{key}");
    node.put("/tmp/new.conf", &edited);
    edited
}

pub fn value_of<'t>(text: &'t str, key: &str) -> &'t str {
    let line = text
        .lines()
        .find_map(|l| l.trim().strip_prefix(key)?.strip_prefix(": "));
    line.unwrap()
}

pub fn version_of(text: &str) -> u64 {
    value_of(text, "config_version").parse().unwrap()
}

/// strace on the node's clusmgr: these words, and what it saw in `/tmp/trace`. Gives its pid.
pub fn strace(node: &Node<'_>, words: &str) -> i64 {
    let pid = node.daemon_pid();
    node.sh("rm -f /tmp/trace").ok();
    let tracer = node.spawn(&format!("strace -f -qq -o /tmp/trace {words} -p {pid}"));
    let untraced =
        format!("cat /proc/{pid}/task/*/status | grep ^TracerPid: | grep -vc '\\s{tracer}$'");
    until("strace has every thread", LONG, || {
        assert!(
            node.lives(tracer),
            "strace: {:?}",
            node.sh("cat /tmp/spawned.out")
        );
        (node.sh(&untraced).out.trim() == "0").then_some(())
    });
    tracer
}

/// strace lets go of what it still has. Where a thread ends just then it may wait for that one for ever;
/// what it has seen is written by then, and the kernel lets go for one that is killed.
pub fn let_go(node: &Node<'_>, tracer: i64) {
    let (began, mut signal) = (Instant::now(), "TERM");
    until("strace has gone", LONG, || {
        if !node.lives(tracer) {
            return Some(());
        }
        node.sh(&format!("kill -{signal} {tracer}; true")).ok();
        if began.elapsed() > Duration::from_secs(10) {
            signal = "KILL";
        }
        None
    });
}

pub fn apply(node: &Node<'_>) -> Ran {
    unhindered(
        node,
        &["--timeout", "60", "config", "apply", "/tmp/new.conf"],
    )
}

/// A change that is not refused because the one before it has left the disk and is not over yet.
pub fn unhindered(node: &Node<'_>, words: &[&str]) -> Ran {
    until("the change before it is over", LONG, || {
        let ran = node.ctl(words);
        (!ran.err.contains("another change is under way")).then_some(ran)
    })
}

/// The system calls of an apply at which the state on disk changes, and how many there are of each:
/// as one apply made them.
pub fn steps(node: &Node<'_>, key: &str, values: [&str; 2]) -> BTreeMap<&'static str, usize> {
    next(node, key, values);
    let tracer = strace(node, "-e trace=rename,fsync,unlink");
    apply(node).ok();
    let_go(node, tracer);
    let trace = String::from_utf8(node.read("/tmp/trace")).unwrap();
    // The thread that applies is the one that writes change.json.
    let line = trace.lines().find(|l| l.contains("/change.json")).unwrap();
    let thread = line.split_whitespace().next().unwrap();
    let calls = ["rename", "fsync", "unlink"].map(|call| {
        let made = |l: &&str| {
            l.split_whitespace().next() == Some(thread) && l.contains(&format!(" {call}("))
        };
        (call, trace.lines().filter(made).count())
    });
    calls.into()
}

/// The configuration is whole, the old or the new one: in the file, in corosync, in what clusmgr
/// holds. Gives whether it is the new one.
#[track_caller]
fn whole(node: &Node<'_>, what: &str, key: &str, old: &str, new: &str) -> bool {
    let live = String::from_utf8(node.read(CONF)).unwrap();
    assert!(
        live == old || live == new,
        "{what}: neither the old nor the new one:\n{live}"
    );
    let s = node.wait("running and well", |s| {
        s["service"]["state"] == "running" && s["config"]["drift"] == false
    });
    assert_eq!(s["config"]["version"], json!(version_of(&live)), "{what}");
    let running = node.cmap(&format!("totem.{key}"));
    assert_eq!(
        running,
        value_of(&live, key),
        "{what}: in the running corosync"
    );
    // What the new clusmgr is writing just now has such a name for a moment too.
    until(&format!("nothing is left over of {what}"), LONG, || {
        let left = node.sh(
            "find /var/lib/clusmgr /etc/corosync /run/clusmgr -name '.clusmgr-tmp.*' -o -name 'check.*'",
        );
        left.ok().is_empty().then_some(())
    });
    let history = node.ctl(&["config", "history", "--json"]).ok();
    let history: Value = serde_json::from_str(&history).unwrap();
    let entries = history["entries"].as_array().unwrap();
    let kept = entries.iter().rfind(|e| e["undone"].is_null()).unwrap();
    if !degraded(&s).contains(&"history") {
        assert_eq!(kept["sha256"], s["config"]["sha256"], "{what}: {history:#}");
    }
    assert_eq!(history["damaged"], 0, "{what}");
    live == new
}

/// Kills clusmgr at the K-th call of an apply, starts another one, and holds that it ends with one
/// configuration, whole, and says which. Gives whether it is the new one, and whether corosync has lived
/// through it.
fn killed_at(node: &Node<'_>, call: &str, k: usize, key: &str, values: [&str; 2]) -> (bool, bool) {
    let what = format!("kill -9 at {call} {k}");
    let old = String::from_utf8(node.read(CONF)).unwrap();
    let new = next(node, key, values);
    let before = node.latest();
    let (daemon, pid) = (node.daemon_pid(), node.pid());
    let tracer = strace(
        node,
        &format!("-e trace={call} -e inject={call}:signal=KILL:when={k}"),
    );
    let ran = apply(node);
    assert_ne!(ran.code, 0, "{what}: {ran:?}");
    node.wait_gone(daemon);
    let_go(node, tracer);
    let begun = node.file(CHANGE).exists();
    node.start_daemon(&FLAGS);
    until("the change is over", LONG, || {
        (!node.file(CHANGE).exists()).then_some(())
    });
    let is_new = whole(node, &what, key, &old, &new);
    let kinds = node.kinds_after(before);
    let said = |kind: &str| kinds.iter().any(|k| k == kind);
    if is_new {
        assert!(
            said("config.changed") && !said("config.undone"),
            "{what}: {kinds:?}"
        );
    } else {
        assert_eq!(said("config.undone"), begun, "{what}: {kinds:?}");
        assert!(!said("config.changed"), "{what}: {kinds:?}");
    }
    (is_new, node.pid() == pid)
}

#[test]
fn killed_at_every_step_of_an_apply_by_reload_it_ends_old_or_new() {
    let lab = Lab::up("kill-reload", "1", &FLAGS);
    let n1 = lab.node(1);
    let pid = n1.wait_state("running")["service"]["pid"].clone();
    let token = ("token", ["1000", "1500"]);
    let steps = steps(&n1, token.0, token.1);
    // Of the copy for -t, the text, change.json, the live file, the record and the history.
    assert!(
        steps["rename"] >= 6 && steps["fsync"] >= 10 && steps["unlink"] >= 1,
        "{steps:?}"
    );
    let mut ended = [0, 0];
    for (call, count) in &steps {
        for k in 1..=*count {
            let (is_new, lived) = killed_at(&n1, call, k, token.0, token.1);
            assert!(lived, "killed at {call} {k}");
            ended[usize::from(is_new)] += 1;
        }
    }
    assert!(ended[0] > 3 && ended[1] > 3, "{ended:?} ended old and new");
    assert_eq!(
        n1.status()["service"]["pid"],
        pid,
        "and corosync ran all the time"
    );
}

#[test]
fn killed_at_every_step_of_an_apply_by_restart_it_ends_old_or_new() {
    let lab = Lab::up("kill-restart", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let name = ("cluster_name", ["clab", "other"]);
    let steps = steps(&n1, name.0, name.1);
    assert!(
        steps["rename"] >= 6 && steps["fsync"] >= 10 && steps["unlink"] >= 1,
        "{steps:?}"
    );
    let mut ended = [0, 0];
    let mut restarted = Vec::new();
    for (call, count) in &steps {
        for k in 1..=*count {
            let (is_new, lived) = killed_at(&n1, call, k, name.0, name.1);
            ended[usize::from(is_new)] += 1;
            if !is_new && !lived {
                restarted.push((call, k));
            }
        }
    }
    assert!(ended[0] > 3 && ended[1] > 3, "{ended:?} ended old and new");
    // A corosync that was never told of the new one runs on, also where that was in its place already.
    // What was killed before the record of an apply that had restarted it goes back by another restart.
    assert!(restarted.len() <= 2, "{restarted:?} of {steps:?}");
}

#[test]
fn a_revert_that_is_killed_gives_the_hand_edit_back_or_is_done() {
    let lab = Lab::up("kill-revert", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let ours = n1.read(CONF);
    n1.edit_conf(|t| t.replace("token: 1000", "token: 3000"));
    let edited = n1.read(CONF);
    // Before the live file is replaced (after the copy for -t, the text that was, its backup, and
    // change.json), and after the whole was done but for its end.
    for (call, k) in [("rename", 5), ("unlink", 1)] {
        n1.wait("drift", |s| s["config"]["drift"] == true);
        let before = n1.latest();
        let daemon = n1.daemon_pid();
        let tracer = strace(
            &n1,
            &format!("-e trace={call} -e inject={call}:signal=KILL:when={k}"),
        );
        let ran = unhindered(&n1, &["config", "revert"]);
        assert_ne!(ran.code, 0, "{ran:?}");
        n1.wait_gone(daemon);
        let_go(&n1, tracer);
        assert!(n1.file(CHANGE).exists());
        n1.start_daemon(&FLAGS);
        until("the change is over", LONG, || {
            (!n1.file(CHANGE).exists()).then_some(())
        });
        let (text, said, not) = if call == "unlink" {
            (&ours, "config.changed", "config.undone")
        } else {
            (&edited, "config.undone", "config.changed")
        };
        assert!(n1.read(CONF) == *text, "killed at {call}");
        let kinds = n1.kinds_after(before);
        assert!(kinds.iter().any(|k| k == said), "{kinds:?}");
        assert!(!kinds.iter().any(|k| k == not), "{kinds:?}");
    }
    let s = n1.wait_state("running");
    assert_eq!(
        (&s["config"]["drift"], &s["degraded"]),
        (&json!(false), &json!([]))
    );
    assert_eq!(n1.cmap("totem.token"), "1000");
}

/// An apply that met a fault: either it failed, in one line, with the old configuration whole, or
/// what failed was not needed. Without the fault the next one works.
fn failed_or_done(node: &Node<'_>, what: &str, ran: &Ran, key: &str, old: &str, new: &str) -> bool {
    let is_new = whole(node, what, key, old, new);
    assert_eq!(ran.code, i32::from(!is_new), "{what}: {ran:?}");
    if !is_new {
        assert_eq!(ran.err.lines().count(), 1, "{what}: {ran:?}");
        assert!(ran.err.starts_with("clusmgrctl: "), "{what}: {ran:?}");
        assert!(
            ran.err.contains("No space left on device"),
            "{what}: {ran:?}"
        );
        assert!(!node.file(CHANGE).exists(), "{what}");
    }
    is_new
}

/// An apply that meets a full disk at each of its steps, and another one after it; and what is on disk
/// at the end is what was in memory.
fn no_space_at_every_step(node: &Node<'_>, key: &str, values: [&str; 2]) {
    node.wait_state("running");
    let steps = steps(node, key, values);
    let mut ended = [0, 0];
    for (call, count) in &steps {
        for k in 1..=*count {
            let what = format!("no space at {call} {k}");
            let old = String::from_utf8(node.read(CONF)).unwrap();
            let new = next(node, key, values);
            let tracer = strace(
                node,
                &format!("-e trace={call} -e inject={call}:error=ENOSPC:when={k}"),
            );
            let ran = apply(node);
            let_go(node, tracer);
            ended[usize::from(failed_or_done(node, &what, &ran, key, &old, &new))] += 1;
            let old = String::from_utf8(node.read(CONF)).unwrap();
            let new = next(node, key, values);
            apply(node).ok();
            assert!(whole(node, &what, key, &old, &new), "{what}");
            assert!(!node.file(CHANGE).exists(), "{what}");
        }
    }
    assert!(ended[0] > 10, "{ended:?} ended old and new");
    node.end_daemon("KILL");
    node.start_daemon(&FLAGS);
    let live = String::from_utf8(node.read(CONF)).unwrap();
    assert!(whole(node, "at the end", key, &live, &live));
}

#[test]
fn no_space_at_any_step_of_an_apply_by_reload_leaves_the_old_configuration() {
    let lab = Lab::up("nospace-reload", "1", &FLAGS);
    let n1 = lab.node(1);
    let pid = n1.wait_state("running")["service"]["pid"].clone();
    no_space_at_every_step(&n1, "token", ["1000", "1500"]);
    assert_eq!(n1.status()["service"]["pid"], pid);
}

#[test]
fn no_space_at_any_step_of_an_apply_by_restart_leaves_the_old_configuration() {
    let lab = Lab::up("nospace-restart", "1", &FLAGS);
    no_space_at_every_step(&lab.node(1), "cluster_name", ["clab", "other"]);
}

#[test]
fn a_full_disk_during_an_apply_leaves_the_old_configuration() {
    let lab = Lab::up("nospace-real", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    for (dir, least) in [
        ("/var/lib/clusmgr", 3),
        ("/etc/corosync", 1),
        ("/run/clusmgr", 1),
    ] {
        n1.sh(&format!(
            "mkdir -p {dir} && cp -a {dir} /tmp/kept && mount -n -t tmpfs -o size=1m,mode=755 tiny {dir} \
             && cp -a /tmp/kept/. {dir}/ && rm -rf /tmp/kept"
        ))
        .ok();
        n1.start_daemon(&FLAGS);
        n1.wait_state("running");
        let read = || n1.sh(&format!("cat {CONF}")).ok();
        let mut failed = 0;
        // So many pages are free, from none to enough.
        for pages in 0.. {
            let what = format!("{pages} pages free in {dir}");
            let old = read();
            let new = next_of(&n1, &old);
            n1.sh(&format!(
                "dd if=/dev/zero of={dir}/filler bs=4k 2>/dev/null; truncate -s -{} {dir}/filler",
                pages * 4096
            ))
            .ok();
            let ran = apply(&n1);
            let live = read();
            assert!(live == old || live == new, "{what}: {live}");
            assert_eq!(ran.code, i32::from(live == old), "{what}: {ran:?}");
            assert_eq!(n1.cmap("totem.token"), value_of(&live, "token"), "{what}");
            n1.sh(&format!("rm {dir}/filler; ! test -e {CHANGE}")).ok();
            if live == new {
                break;
            }
            failed += 1;
            assert!(pages < 100, "{what}: {ran:?}");
            assert_eq!(ran.err.lines().count(), 1, "{what}: {ran:?}");
            assert!(
                ran.err.contains("No space left on device"),
                "{what}: {ran:?}"
            );
            // With space it goes through.
            apply(&n1).ok();
            assert_eq!(
                (read(), n1.cmap("totem.token")),
                (new.clone(), value_of(&new, "token").to_owned())
            );
        }
        assert!(failed >= least, "{failed} failed in {dir}");
        let s = n1.wait("no drift", |s| s["config"]["drift"] == false);
        assert_eq!(s["config"]["version"], json!(version_of(&read())));
        // Its pid file may be where only the node sees it.
        let pid = n1.status()["daemon_pid"].as_i64().unwrap();
        n1.kill("TERM", pid);
        n1.wait_gone(pid);
    }
}

/// As [`next`], of a text that cannot be seen from outside.
fn next_of(node: &Node<'_>, old: &str) -> String {
    let version = version_of(old);
    let token = value_of(old, "token");
    let new = old
        .replace(
            &format!("config_version: {version}\n"),
            &format!("config_version: {}\n", version + 1),
        )
        .replace(
            &format!("\ttoken: {token}\n"),
            &format!("\ttoken: {}\n", if token == "1000" { 1500 } else { 1000 }),
        );
    assert_ne!(new, old);
    node.put("/tmp/new.conf", &new);
    new
}
