//! Changes of the configuration on a real corosync: apply, undo, adopt, revert, rollback.

use crate::common::{Lab, Node};
use serde_json::{Value, json};

const CONF: &str = "/etc/corosync/corosync.conf";

/// A lab of one node whose corosync runs.
fn one(name: &str) -> Lab {
    let lab = Lab::up(name, "1", &["--poll-interval", "0.2"]);
    lab.node(1).wait_state("running");
    lab
}

/// The live text with these replacements, as a file of the node for `config apply`.
pub fn edited(node: &Node<'_>, edits: &[(&str, &str)]) -> String {
    let mut text = String::from_utf8(node.read(CONF)).unwrap();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, to);
    }
    node.put("/tmp/new.conf", &text);
    "/tmp/new.conf".to_owned()
}

fn cmap(node: &Node<'_>, key: &str) -> String {
    let out = node.run(&["corosync-cmapctl", "-g", key]).ok();
    out.trim().rsplit_once(" = ").unwrap().1.to_owned()
}

pub fn report(node: &Node<'_>, words: &[&str]) -> Value {
    let mut all = vec!["config"];
    all.extend(words);
    all.push("--json");
    let out = node.ctl(&all).ok();
    serde_json::from_str(&out).unwrap()
}

const NEXT: (&str, &str) = ("config_version: 1\n", "config_version: 2\n");

#[test]
fn a_timer_is_applied_by_reload_proved_and_in_the_history() {
    let lab = one("apply-reload");
    let n1 = lab.node(1);
    let pid = n1.pid();
    let file = edited(&n1, &[NEXT, ("token: 1000", "token: 2000")]);
    let dry = report(&n1, &["apply", &file, "--dry-run"]);
    assert_eq!(
        (&dry["done"], &dry["how"]),
        (&json!(false), &json!("reload"))
    );
    assert_eq!(cmap(&n1, "totem.token"), "1000");
    let done = report(&n1, &["apply", &file]);
    assert_eq!(
        (&done["done"], &done["how"], &done["version"]),
        (&json!(true), &json!("reload"), &json!(2))
    );
    let plan = done["plan"].to_string();
    assert!(plan.contains("totem.token: 1000 → 2000 (reload)"), "{plan}");
    assert_eq!(cmap(&n1, "totem.token"), "2000");
    let s = n1.status();
    assert_eq!(s["service"]["pid"], pid, "a reload leaves corosync alone");
    assert_eq!(
        (&s["config"]["version"], &s["config"]["drift"]),
        (&json!(2), &json!(false))
    );
    let changed = n1.wait_event("config.changed", 1);
    assert_eq!(changed["fields"]["version"], 2);
    assert!(n1.events_of("config.drift").is_empty());

    // Back again: the old content under a newer version.
    let back = report(&n1, &["rollback"]);
    assert_eq!((&back["done"], &back["version"]), (&json!(true), &json!(3)));
    assert_eq!(cmap(&n1, "totem.token"), "1000");
    assert_eq!(n1.status()["service"]["pid"], pid);
    let history = report(&n1, &["history"]);
    let what: Vec<&str> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["what"].as_str().unwrap())
        .collect();
    assert_eq!(what, ["take-over", "apply", "rollback"]);
    assert!(
        history["entries"][1]["by"]
            .as_str()
            .unwrap()
            .starts_with("uid 0")
    );
    // The same again is nothing to do.
    let same = edited(&n1, &[]);
    assert_eq!(report(&n1, &["apply", &same])["done"], false);
}

#[test]
fn what_cannot_be_reloaded_is_applied_by_restart() {
    let lab = one("apply-restart");
    let n1 = lab.node(1);
    let pid = n1.pid();
    let file = edited(&n1, &[NEXT, ("cluster_name: clab", "cluster_name: other")]);
    let done = report(&n1, &["apply", &file]);
    assert_eq!(
        (&done["done"], &done["how"]),
        (&json!(true), &json!("restart"))
    );
    let s = n1.wait_state("running");
    assert_ne!(s["service"]["pid"], pid);
    assert_eq!(
        s["service"]["last_exit"]["cause"],
        "exit 0 (stopped as asked)"
    );
    assert_eq!(cmap(&n1, "totem.cluster_name"), "other");
    n1.wait_event("service.stopped", 1);
    assert!(
        n1.events_of("service.exited").is_empty(),
        "a restart is no failure"
    );
}

#[test]
fn what_is_refused_touches_nothing() {
    let lab = Lab::up("apply-refused", "2", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_ring(2);
    n1.wait_state("running");
    let (pid, before) = (n1.pid(), n1.read(CONF));
    let refused = |edits: &[(&str, &str)], words: &[&str], said: &[&str]| {
        let file = edited(&n1, edits);
        let mut all = vec!["config", "apply", &file];
        all.extend(words);
        let ran = n1.ctl(&all);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        for part in said {
            assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
        }
        assert_eq!(n1.read(CONF), before);
        assert_eq!(n1.pid(), pid);
    };
    let only = ["--this-node-only"];
    // A version that is equal, and one that is lower.
    refused(
        &[("token: 1000", "token: 2000")],
        &only,
        &[
            "config_version 1 is not above 1",
            "write 'config_version: 2'",
        ],
    );
    refused(
        &[("config_version: 1\n", "config_version: 0\n")],
        &only,
        &["config_version 0 is not above 1"],
    );
    // The cluster has another node.
    refused(&[NEXT], &[], &["2 nodes", "--this-node-only"]);
    // An address of a link that stands.
    refused(
        &[NEXT, ("10.77.0.2", "10.77.0.7")],
        &only,
        &["ring0_addr", "refuses", "remove the link"],
    );
    // What the rules forbid, and what only corosync -t knows.
    refused(&[NEXT, ("nodeid: 2", "nodeid: 1")], &only, &["nodeid"]);
    refused(
        &[
            NEXT,
            (
                "quorum {",
                "uidgid {\n\tuid: nobody-of-this-name\n}\nquorum {",
            ),
        ],
        &only,
        &["corosync -t", "nobody-of-this-name"],
    );
    assert!(n1.events_of("config.undone").is_empty());
    assert!(!n1.file("/var/lib/clusmgr/change.json").exists());
    // A second node learns nothing of all that.
    assert_eq!(lab.node(2).status()["config"]["version"], 1);
    // And a change that is right goes through, with a word about whom the reload reaches.
    let file = edited(&n1, &[NEXT, ("token: 1000", "token: 1500")]);
    let reaches = |report: &Value| {
        let said = report["warnings"].to_string();
        said.contains("the reload is not of this node only: node 2 will read")
    };
    let dry = report(&n1, &["apply", &file, "--this-node-only", "--dry-run"]);
    assert!(reaches(&dry), "{dry}");
    let done = report(&n1, &["apply", &file, "--this-node-only"]);
    assert!(done["done"] == true && reaches(&done), "{done}");
    assert_eq!(cmap(&n1, "totem.token"), "1500");
    assert_eq!(cmap(&lab.node(2), "totem.token"), "1000");
    // With nobody else in the ring there is no such word.
    lab.node(2).ctl(&["stop"]).ok();
    crate::common::until("n2 has left", crate::common::LONG, || {
        (cmap(&n1, "runtime.members.2.status") == "left").then_some(())
    });
    let back = report(&n1, &["rollback", "--this-node-only", "--dry-run"]);
    assert!(back["how"] == "reload" && !reaches(&back), "{back}");
}

#[test]
fn a_hand_edit_is_shown_and_then_adopted_or_reverted() {
    let lab = one("adopt-revert");
    let n1 = lab.node(1);
    let (pid, ours) = (n1.pid(), n1.read(CONF));
    n1.edit_conf(|t| t.replace("token: 1000", "token: 3000"));
    n1.wait("drift", |s| s["config"]["drift"] == true);
    let diff = n1.ctl(&["config", "diff"]).ok();
    assert!(diff.contains("-\ttoken: 1000\n+\ttoken: 3000\n"), "{diff}");
    // Nothing else is applied over it.
    let file = edited(&n1, &[NEXT]);
    let ran = n1.ctl(&["config", "apply", &file]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("config adopt"), "{ran:?}");

    let back = report(&n1, &["revert"]);
    assert_eq!(back["done"], true);
    assert_eq!(n1.read(CONF), ours);
    let s = n1.wait("no drift", |s| s["config"]["drift"] == false);
    assert_eq!(s["service"]["pid"], pid);
    assert_eq!(s["degraded"], json!([]));

    n1.edit_conf(|t| t.replace("token: 1000", "token: 3000"));
    n1.wait("drift", |s| s["config"]["drift"] == true);
    let edited_text = n1.read(CONF);
    let taken = report(&n1, &["adopt"]);
    assert_eq!(
        (&taken["done"], &taken["how"]),
        (&json!(true), &json!("reload"))
    );
    let s = n1.wait("no drift", |s| s["config"]["drift"] == false);
    assert_eq!(s["service"]["pid"], pid);
    assert_eq!(
        n1.read(CONF),
        edited_text,
        "adopting leaves the file as it is"
    );
    assert_eq!(cmap(&n1, "totem.token"), "3000", "what can be reloaded is");
    assert_eq!(s["degraded"], json!([]));

    // What needs a restart is taken in too, and waits for the operator.
    n1.edit_conf(|t| t.replace("cluster_name: clab", "cluster_name: other"));
    n1.wait("drift", |s| s["config"]["drift"] == true);
    assert_eq!(report(&n1, &["adopt"])["how"], "restart");
    let s = n1.wait("restart-needed", |s| {
        s["degraded"][0]["reason"] == "restart-needed"
    });
    assert_eq!(s["service"]["pid"], pid);
    assert_eq!(cmap(&n1, "totem.cluster_name"), "clab");
    n1.ctl(&["restart"]).ok();
    assert_eq!(cmap(&n1, "totem.cluster_name"), "other");
    assert_eq!(n1.status()["degraded"], json!([]));
}

/// A stand-in for one of corosync's tools or corosync itself, in a directory of its own with links to
/// the real ones: what the real ones do only in rare faults.
pub fn stand_in(lab: &Lab, tool: &str, script: &str) {
    let node = lab.node(1);
    node.sh("mkdir -p /tmp/bin && cp /usr/sbin/corosync /tmp/bin/corosync")
        .ok();
    node.put(&format!("/tmp/{tool}.new"), script);
    node.sh(&format!("chmod 755 /tmp/{tool}.new")).ok();
    node.start_daemon(&[
        "--poll-interval",
        "0.2",
        "--stable-after",
        "1",
        "--corosync-bin",
        "/tmp/bin/corosync",
    ]);
    node.wait_state("running");
    node.sh(&format!("mv /tmp/{tool}.new /tmp/bin/{tool}")).ok();
}

/// As [`stand_in`], with a libcfg of our own beside the binary, whose reload runs this script: 0 says
/// that it went well. corosync's own other libraries are used as they are.
#[track_caller]
pub fn stand_in_reload(lab: &Lab, script: &str) {
    const C: &str = "#include <fcntl.h>\n#include <stdint.h>\n#include <stdlib.h>\n\
        int corosync_cfg_initialize(uint64_t *h, const void *c) { (void)c; *h = 1; return 1; }\n\
        int corosync_cfg_finalize(uint64_t h) { (void)h; return 1; }\n\
        int corosync_cfg_fd_get(uint64_t h, int *fd) { (void)h; *fd = open(\"/dev/null\", O_RDONLY | O_CLOEXEC); return 1; }\n\
        int corosync_cfg_local_get(uint64_t h, unsigned *id) { (void)h; *id = 1; return 1; }\n\
        int corosync_cfg_reload_config(uint64_t h) { (void)h; return system(\"/tmp/reload\") == 0 ? 1 : 21; }\n";
    let node = lab.node(1);
    node.put("/tmp/cfg.c", C);
    node.sh("mkdir -p /tmp/lib").ok();
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(node.file("/tmp/lib/libcfg.so.7"))
        .arg(node.file("/tmp/cfg.c"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    node.put("/tmp/reload", script);
    node.sh("chmod 755 /tmp/reload").ok();
    stand_in(lab, "unused", "");
}

#[track_caller]
fn undone(lab: &Lab, edits: &[(&str, &str)], said: &str) {
    let n1 = lab.node(1);
    let before = n1.read(CONF);
    let file = edited(&n1, edits);
    let ran = n1.ctl(&["--timeout", "60", "config", "apply", &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains(said) && ran.err.contains("the old configuration is back"),
        "{ran:?}"
    );
    assert_eq!(n1.read(CONF), before);
    let s = n1.wait_state("running");
    assert_eq!(
        (&s["config"]["version"], &s["config"]["drift"]),
        (&json!(1), &json!(false))
    );
    n1.wait_event("config.undone", 1);
    let history = report(&n1, &["history"]);
    let last = history["entries"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert!(last["undone"].as_str().unwrap().contains(said), "{last}");
    assert!(!n1.file("/var/lib/clusmgr/change.json").exists());
    assert_eq!(cmap(&n1, "totem.token"), "1000");
}

#[test]
fn a_reload_that_reports_success_and_changes_nothing_is_undone() {
    let lab = Lab::up("reload-lies", "1 --no-clusmgr", &[]);
    stand_in_reload(&lab, "#!/bin/sh\nexit 0\n");
    undone(
        &lab,
        &[NEXT, ("token: 1000", "token: 2000")],
        "in the running corosync, not 2",
    );
}

#[test]
fn a_value_that_was_changed_by_hand_in_corosync_and_stays_so_is_no_success() {
    let lab = Lab::up("reload-leaves", "1 --no-clusmgr", &[]);
    // As a reload that takes the version and leaves the rest.
    stand_in_reload(
        &lab,
        "#!/bin/sh\ncorosync-cmapctl -s totem.config_version u64 2\n",
    );
    let n1 = lab.node(1);
    let by_hand = "corosync-cmapctl -s totem.token u32 1500";
    n1.sh(by_hand).ok();
    let before = n1.read(CONF);
    let file = edited(&n1, &[NEXT]);
    let ran = n1.ctl(&["--timeout", "60", "config", "apply", &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = "totem.token is 1500 in the running corosync, not 1000";
    assert!(ran.err.contains(said), "{ran:?}");
    assert_eq!(n1.read(CONF), before);
    // And a reload that does its work brings it back.
    n1.put("/tmp/reload", "#!/bin/sh\n/usr/sbin/corosync-cfgtool -R\n");
    n1.sh(&format!("chmod 755 /tmp/reload && {by_hand}")).ok();
    let file = edited(&n1, &[("config_version: 1", "config_version: 3")]);
    n1.ctl(&["--timeout", "60", "config", "apply", &file]).ok();
    assert_eq!(cmap(&n1, "totem.token"), "1000");
}

#[test]
fn a_reload_that_corosync_refuses_late_is_undone() {
    let lab = Lab::up("reload-late", "1 --no-clusmgr", &[]);
    // The real reload of the new file, and then the answer of one that was refused past parsing.
    let script = "#!/bin/sh\n/usr/sbin/corosync-cfgtool -R\n\
                  ! grep -q 'token: 2000' /etc/corosync/corosync.conf\n";
    stand_in_reload(&lab, script);
    undone(
        &lab,
        &[NEXT, ("token: 1000", "token: 2000")],
        "CS_ERR_FAILED_OPERATION",
    );
}

#[test]
fn a_configuration_that_starts_and_does_not_become_ready_is_undone() {
    let lab = Lab::up("never-ready", "1 --no-clusmgr", &[]);
    // With the new file it lives and says nothing; with the old one it is the real one.
    let script = "#!/bin/sh\ncase \"$*\" in *-t*) exec /usr/sbin/corosync \"$@\";; esac\n\
                  if grep -q 'cluster_name: other' /etc/corosync/corosync.conf; then exec sleep 600; fi\n\
                  exec /usr/sbin/corosync \"$@\"\n";
    stand_in(&lab, "corosync", script);
    undone(
        &lab,
        &[NEXT, ("cluster_name: clab", "cluster_name: other")],
        "not ready within",
    );
}

#[test]
fn a_check_that_hangs_ends_with_an_error_and_changes_nothing() {
    let lab = Lab::up("t-hangs", "1 --no-clusmgr", &[]);
    let script =
        "#!/bin/sh\ncase \"$*\" in *-t*) exec sleep 600;; esac\nexec /usr/sbin/corosync \"$@\"\n";
    stand_in(&lab, "corosync", script);
    let n1 = lab.node(1);
    let (pid, before) = (n1.pid(), n1.read(CONF));
    let file = edited(&n1, &[NEXT, ("token: 1000", "token: 2000")]);
    let first = std::thread::scope(|s| {
        let first = s.spawn(|| n1.ctl(&["--timeout", "60", "config", "apply", &file]));
        // A second change during the first is refused at once.
        let hangs = || (n1.sh("pgrep -x sleep").code == 0).then_some(());
        crate::common::until("the check hangs", crate::common::LONG, hangs);
        let busy = n1.ctl(&["config", "revert"]);
        assert!(
            busy.err
                .contains("another change is under way (apply by uid 0"),
            "{busy:?}"
        );
        assert_eq!(busy.code, 1);
        first.join().unwrap()
    });
    assert_eq!(first.code, 1);
    assert!(first.err.contains("did not end within 15 s"), "{first:?}");
    assert_eq!((n1.pid(), n1.read(CONF)), (pid, before));
    let left = n1.sh("pgrep -x sleep | wc -l").ok();
    assert_eq!(left.trim(), "0", "the check that hung is gone");
}

#[test]
fn what_needs_a_restart_is_refused_where_a_held_corosync_runs() {
    let lab = one("change-held");
    let n1 = lab.node(1);
    let (pid, before) = (n1.pid(), n1.read(CONF));
    n1.end_daemon("QUIT");
    n1.start_daemon(&["--poll-interval", "0.2", "--standalone"]);
    n1.wait("it runs, and is held", |s| {
        s["service"]["state"] == "running" && s["service"]["hold"] == true
    });
    let file = edited(&n1, &[NEXT, ("cluster_name: clab", "cluster_name: other")]);
    let ran = n1.ctl(&["--timeout", "60", "config", "apply", &file]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    assert!(
        ran.err.contains("'clusmgrctl start' ends the hold"),
        "{ran:?}"
    );
    assert_eq!((n1.pid(), n1.read(CONF)), (pid, before));
    // What a reload brings into effect needs no start.
    let file = edited(&n1, &[NEXT, ("token: 1000", "token: 1500")]);
    assert_eq!(report(&n1, &["apply", &file])["done"], true);
    assert_eq!(n1.pid(), pid);
}

#[test]
fn a_damaged_history_is_told_and_goes_on() {
    let lab = one("history-damaged");
    let n1 = lab.node(1);
    let file = edited(&n1, &[NEXT]);
    report(&n1, &["apply", &file]);
    let path = n1.file("/var/lib/clusmgr/history.jsonl");
    let first = report(&n1, &["history"])["entries"][0].clone();
    // Of the first entry a brace is lost.
    let mut text = std::fs::read(&path).unwrap();
    text[0] = b' ';
    text.extend(b"{\"id\":9,\"at\n\xff\xfe\n");
    std::fs::write(&path, &text).unwrap();
    let page = report(&n1, &["history"]);
    assert_eq!(
        (page["entries"].as_array().unwrap().len(), &page["damaged"]),
        (1, &json!(3))
    );
    let file = edited(&n1, &[("config_version: 2\n", "config_version: 3\n")]);
    assert_eq!(report(&n1, &["apply", &file])["done"], true);
    let page = report(&n1, &["history"]);
    assert_eq!(
        (page["entries"].as_array().unwrap().len(), &page["damaged"]),
        (2, &json!(0))
    );
    // Who mends it by hand has what it stands for.
    for (dir, name) in [("conf", "sha256"), ("keys", "key")] {
        let name = first[name].as_str().unwrap();
        let kept = format!("/var/lib/clusmgr/{dir}/{name}");
        assert!(n1.file(&kept).exists(), "{kept}");
    }
    assert_eq!(
        std::fs::read(n1.file("/var/lib/clusmgr/history.jsonl.damaged")).unwrap(),
        text
    );
}
