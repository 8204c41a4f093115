//! The key under a change of the configuration: another one comes into effect by an adopt, or where
//! the text names another file; never along with a change of something else.

use crate::apply_faults::{let_go, next, strace, unhindered};
use crate::common::{LONG, Lab, Node, degraded, until};
use serde_json::Value;

const CONF: &str = "/etc/corosync/corosync.conf";
const KEY: &str = "/etc/corosync/authkey";
const OTHER: &str = "/etc/corosync/other";
const FLAGS: [&str; 2] = ["--poll-interval", "0.2"];
const APPLY: [&str; 3] = ["apply", "/tmp/new.conf", "--this-node-only"];

fn config(node: &Node<'_>, words: &[&str]) -> Value {
    let all = [&["--timeout", "90", "config"], words, &["--json"]].concat();
    serde_json::from_str(&unhindered(node, &all).ok()).unwrap()
}

#[track_caller]
fn refused(node: &Node<'_>, words: &[&str], said: &[&str]) {
    let ran = node.ctl(&[&["--timeout", "90", "config"], words].concat());
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    for part in said {
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
    }
}

/// A key that nobody else has, in a file of the node. Gives its bytes.
fn other_key(node: &Node<'_>, path: &str) -> Vec<u8> {
    let key: Vec<u8> = (1..=200u8).collect();
    node.put(path, &key);
    key
}

/// Why the node is degraded by itself: how it compares with its peers follows within seconds.
fn own(status: &Value) -> Vec<&str> {
    let mut all = degraded(status);
    all.retain(|reason| !reason.starts_with("peer-"));
    all
}

fn drifts(node: &Node<'_>) -> String {
    let s = node.wait("key drift", |s| s["key"]["drift"] == true);
    s["key"]["fingerprint"].as_str().unwrap().to_owned()
}

fn fingerprint(node: &Node<'_>) -> String {
    node.ctl(&["key", "fingerprint"]).ok().trim().to_owned()
}

fn kept(node: &Node<'_>, dir: &str) -> Vec<String> {
    let dir = std::fs::read_dir(node.file(&format!("/var/lib/clusmgr/{dir}"))).unwrap();
    let name =
        |e: std::io::Result<std::fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
    dir.map(name).collect()
}

#[test]
fn a_foreign_key_never_comes_along_with_a_change_of_something_else() {
    let lab = Lab::up("key-along", "2 --no-clusmgr", &[]);
    let nodes = [lab.node(1), lab.node(2)];
    let (n1, n2) = (&nodes[0], &nodes[1]);
    for node in &nodes {
        node.start_daemon(&FLAGS);
    }
    n1.wait_ring(2);
    next(n1, "token", ["1000", "1500"]);
    config(n1, &APPLY);
    let (ours, held) = (n1.read(KEY), fingerprint(n1));
    let before = (
        n1.read(CONF),
        n1.pid(),
        n1.read("/var/lib/clusmgr/corosync.json"),
    );
    let foreign = other_key(n1, KEY);
    let fingerprint = drifts(n1);
    assert_ne!(fingerprint, held);
    next(n1, "token", ["1000", "1500"]);
    let both = [fingerprint.as_str(), &held, "config revert", "config adopt"];
    refused(n1, &APPLY, &both);
    next(n1, "cluster_name", ["clab", "other"]);
    refused(n1, &APPLY, &both);
    refused(n1, &["rollback", "--this-node-only"], &both);
    let now = (
        n1.read(CONF),
        n1.pid(),
        n1.read("/var/lib/clusmgr/corosync.json"),
    );
    assert!(now == before && n1.read(KEY) == foreign);
    assert_eq!(kept(n1, "keys"), [held.as_str()]);
    n1.wait_ring(2);

    // The one that is held is put back; the other is not lost.
    let back = config(n1, &["revert"]);
    let line = format!("fingerprint of the key: {fingerprint} → {held} (reload)");
    assert_eq!(back["plan"], serde_json::json!([line]), "{back}");
    assert!(n1.read(KEY) == ours && n1.mode(KEY) == 0o400);
    let backup = format!("/var/lib/clusmgr/backup/authkey.{fingerprint}");
    assert!(n1.read(&backup) == foreign && n1.mode(&backup) == 0o600);
    assert_eq!(own(&n1.status()), Vec::<&str>::new());
    // What is no key at all, and none: the same way back.
    n1.put(KEY, "short");
    config(n1, &["revert"]);
    assert!(n1.read(KEY) == ours);
    n1.sh(&format!("rm {KEY}")).ok();
    assert_eq!(config(n1, &["revert"])["how"], "nothing");
    assert!(n1.read(KEY) == ours);
    next(n1, "token", ["1000", "1500"]);
    config(n1, &APPLY);
    assert_eq!(n1.pid(), before.1);
    n1.wait_ring(2);
    n2.wait_ring(2);
}

#[test]
fn a_key_that_comes_in_the_middle_of_a_change_is_not_taken_in_with_it() {
    let lab = Lab::up("key-middle", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    // Somebody writes the key as corosync's own check runs: what is live was looked at already.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-t*) test -e /tmp/key && cat /tmp/key >{KEY};; esac\n\
         exec /usr/sbin/corosync \"$@\"\n"
    );
    crate::change::stand_in(&lab, "corosync", &script);
    let held = fingerprint(&n1);
    n1.sh(&format!("chmod 600 {KEY}")).ok();
    let before = (n1.read(CONF), n1.pid());
    let other = other_key(&n1, "/tmp/key");
    next(&n1, "token", ["1000", "1500"]);
    refused(&n1, &APPLY, &["somebody else changed it", &held]);
    assert!((n1.read(CONF), n1.pid()) == before && n1.read(KEY) == other);
    drifts(&n1);
    assert_eq!(kept(&n1, "keys"), [held.as_str()]);
}

#[test]
fn another_keyfile_is_another_key_and_the_old_one_stays_for_the_way_back() {
    let lab = Lab::up("key-file", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let (pid, held) = (n1.pid(), fingerprint(&n1));
    let told = n1.latest();
    other_key(&n1, OTHER);
    let text = next(&n1, "token", ["1000", "1500"]);
    let text = text.replace("\ttoken:", &format!("\tkeyfile: {OTHER}\n\ttoken:"));
    n1.put("/tmp/new.conf", text);
    let done = config(&n1, &APPLY);
    let new = fingerprint(&n1);
    let plan = done["plan"].to_string();
    assert!(
        plan.contains(&format!("fingerprint of the key: {held} → {new} (reload)")),
        "{plan}"
    );
    assert_eq!((n1.pid(), degraded(&n1.status())), (pid, vec![]));
    let mut names = kept(&n1, "keys");
    names.sort();
    let mut both = vec![held.clone(), new];
    both.sort();
    assert_eq!(names, both, "a text of the history needs the old one");
    config(&n1, &["rollback"]);
    assert_eq!((n1.pid(), fingerprint(&n1)), (pid, held));
    let kinds = n1.kinds_after(told);
    assert!(!kinds.iter().any(|k| k == "key.drift"), "{kinds:?}");
}

#[test]
fn a_change_that_was_killed_brings_no_foreign_key_into_effect() {
    let lab = Lab::up("key-killed", "1", &FLAGS);
    let n1 = lab.node(1);
    let pid = n1.wait_state("running")["service"]["pid"].clone();
    let old = n1.read(CONF);
    let steps = crate::apply_faults::steps(&n1, "token", ["1000", "1500"]);
    let old_token = n1.cmap("totem.token");
    assert!(n1.read(CONF) != old);
    next(&n1, "token", ["1000", "1500"]);
    let daemon = n1.daemon_pid();
    // The new text is in effect, and not kept yet.
    let when = steps["rename"] - 1;
    let fault = format!("-e trace=rename -e inject=rename:signal=KILL:when={when}");
    let tracer = strace(&n1, &fault);
    n1.ctl(&[&["config"], &APPLY[..]].concat());
    n1.wait_gone(daemon);
    let_go(&n1, tracer);
    let new_token = n1.cmap("totem.token");
    assert_ne!(new_token, old_token);
    let foreign = other_key(&n1, KEY);
    n1.start_daemon(&FLAGS);
    let undone = n1.wait_event("config.undone", 1);
    let text = undone["text"].as_str().unwrap();
    assert!(
        text.contains("not proved: bring into effect /etc/corosync/authkey: somebody else"),
        "{text}"
    );
    let s = n1.status();
    assert!(degraded(&s).contains(&"key-drift"), "{s:#}");
    assert_eq!(
        (&s["service"]["pid"], n1.cmap("totem.token")),
        (&pid, new_token)
    );
    until("the change is over", LONG, || {
        (!n1.file("/var/lib/clusmgr/change.json").exists()).then_some(())
    });
    assert!(n1.read(KEY) == foreign);
    // With the right one again it is brought in line.
    config(&n1, &["revert"]);
    assert_eq!(
        (n1.pid(), n1.cmap("totem.token")),
        (pid.as_i64().unwrap(), old_token)
    );
}

#[test]
fn another_key_that_is_taken_in_comes_into_effect() {
    let lab = Lab::up("key-adopted", "2 --no-clusmgr", &[]);
    let nodes = [lab.node(1), lab.node(2)];
    let (n1, n2) = (&nodes[0], &nodes[1]);
    for node in &nodes {
        // What tells of a warning is the log.
        node.spawn("clusmgr -f --poll-interval 0.2");
        node.wait_state("running");
    }
    n1.wait_ring(2);
    let pid = n1.pid();
    let held = fingerprint(n1);
    for node in &nodes {
        other_key(node, KEY);
        drifts(node);
    }
    n1.kill("HUP", n1.daemon_pid());
    let s = n1.wait("taken in", |s| s["key"]["drift"] == false);
    let new = s["key"]["fingerprint"].as_str().unwrap().to_owned();
    n1.wait_event("reload.ok", 1);
    let changed = n1.wait_event("config.changed", 1);
    let line = format!("fingerprint of the key: {held} → {new} (reload)");
    assert_eq!(
        changed["fields"]["plan"],
        serde_json::json!([line]),
        "{changed}"
    );
    let log = String::from_utf8(n1.read("/tmp/spawned.out")).unwrap();
    assert!(log.contains("SIGHUP: the key becomes another one"), "{log}");
    let dry = config(n2, &["adopt", "--dry-run"]);
    assert_eq!(
        (&dry["how"], &dry["done"]),
        (&"reload".into(), &false.into())
    );
    let said = dry["warnings"].to_string();
    assert!(
        said.contains("compare 'clusmgrctl key fingerprint'"),
        "{said}"
    );
    config(n2, &["adopt"]);
    // A node that starts has the new key: it would not get into a ring that has the old one.
    n2.ctl(&["restart"]).ok();
    n2.wait_ring(2);
    n1.wait_ring(2);
    assert_eq!(n1.pid(), pid);
    for node in &nodes {
        assert_eq!(own(&node.status()), Vec::<&str>::new());
    }

    // With what needs a restart it waits for that, and says so.
    n2.ctl(&["stop"]).ok();
    n1.edit_conf(|t| t.replace("cluster_name: clab", "cluster_name: other"));
    n1.put(KEY, (2..=210u8).collect::<Vec<u8>>());
    n1.wait("both", |s| {
        s["key"]["drift"] == true && s["config"]["drift"] == true
    });
    assert_eq!(config(n1, &["adopt"])["how"], "restart");
    assert_eq!(degraded(&n1.status())[0], "restart-needed");
}
