//! The way back of a change that fails: over a live file that is no good, or that somebody edits.

use crate::apply_faults::{apply, let_go, next, steps, strace, value_of};
use crate::change::{edited, stand_in, stand_in_reload};
use crate::common::{LONG, Lab, Node, until};
use serde_json::json;

const CONF: &str = "/etc/corosync/corosync.conf";
const FLAGS: [&str; 2] = ["--poll-interval", "0.2"];
const NEXT: (&str, &str) = ("config_version: 1\n", "config_version: 2\n");
const OTHER: (&str, &str) = ("cluster_name: clab", "cluster_name: other");

/// A hand edit that is no good, in the place of the live file.
fn spoil(node: &Node<'_>) -> Vec<u8> {
    let bad = [&node.read(CONF)[..], b"\n# half an edit\ntotem {\n"].concat();
    node.put(CONF, &bad);
    node.wait("drift", |s| s["config"]["drift"] == true);
    bad
}

/// A corosync that runs the text it has, and does not start with another cluster name.
fn refuses_other(lab: &Lab, with_other: &str) {
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-t*) exec /usr/sbin/corosync \"$@\";; esac\n\
         if grep -q 'cluster_name: other' {CONF}; then {with_other}; fi\n\
         exec /usr/sbin/corosync \"$@\"\n"
    );
    stand_in(lab, "corosync", &script);
}

#[test]
fn a_running_corosync_is_never_left_with_a_file_that_is_no_good() {
    let lab = Lab::up("undo-bad", "1 --no-clusmgr", &[]);
    refuses_other(&lab, "exit 1");
    let n1 = lab.node(1);
    let ours = n1.read(CONF);
    let file = edited(&n1, &[NEXT, OTHER]);
    let bad = spoil(&n1);
    let ran = n1.ctl(&["--timeout", "60", "config", "apply", &file]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    let said = "does not pass the checks: it is kept as /var/lib/clusmgr/backup/corosync.conf.";
    assert!(
        ran.err.contains(said) && ran.err.contains("is in its place, and proved"),
        "{ran:?}"
    );
    assert!(n1.read(CONF) == ours, "the last good text is live");
    let s = n1.wait_state("running");
    assert_eq!(
        (&s["mode"], &s["config"]["drift"], &s["config"]["version"]),
        (&json!("cluster"), &json!(false), &json!(1))
    );
    assert_eq!(s["degraded"], json!([]));
    assert_eq!(n1.cmap("totem.cluster_name"), "clab");
    let undone = n1.wait_event("config.undone", 1);
    assert!(undone["text"].as_str().unwrap().contains(said), "{undone}");
    let kept = said.rsplit(' ').next().unwrap();
    let path = ran.err[ran.err.find(kept).unwrap()..]
        .split([',', ' '])
        .next()
        .unwrap();
    assert!(n1.read(path) == bad, "the hand edit is in {path}");
    assert_eq!(n1.mode(path), 0o600);

    // One that does not run before is left as it was, and so is the file.
    let bad = spoil(&n1);
    n1.kill("KILL", n1.pid());
    n1.wait("bad-config", |s| s["mode_reason"] == "bad-config");
    let ran = n1.ctl(&["--timeout", "60", "config", "apply", &file]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    assert!(
        ran.err
            .contains("what was there before is back, and corosync does not run"),
        "{ran:?}"
    );
    assert!(n1.read(CONF) == bad, "byte for byte");
    let s = n1.status();
    assert_eq!(
        (&s["mode_reason"], &s["config"]["drift"]),
        (&json!("bad-config"), &json!(true))
    );
    // The way out is as ever.
    n1.ctl(&["config", "revert"]).ok();
    n1.wait_state("running");
    assert!(n1.read(CONF) == ours);
}

#[test]
fn a_failed_apply_without_a_restart_gives_a_file_that_is_no_good_back_byte_for_byte() {
    let lab = Lab::up("undo-bytes", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.ctl(&["stop"]).ok();
    let mut failed = 0;
    for call in ["rename", "fsync"] {
        for k in 1.. {
            let what = format!("no space at {call} {k}");
            next(&n1, "token", ["1000", "1500"]);
            let bad = spoil(&n1);
            let fault = format!("-e trace={call} -e inject={call}:error=ENOSPC:when={k}");
            let tracer = strace(&n1, &fault);
            let ran = apply(&n1);
            let_go(&n1, tracer);
            let hit = String::from_utf8(n1.read("/tmp/trace")).unwrap();
            if !hit.contains("(INJECTED)") {
                break;
            }
            assert!(k < 40, "{what}");
            if ran.code == 0 {
                continue;
            }
            failed += 1;
            assert!(n1.read(CONF) == bad, "{what}: {ran:?}");
            assert_eq!(n1.status()["config"]["drift"], true, "{what}");
            n1.ctl(&["config", "revert"]).ok();
        }
        n1.wait("no drift", |s| s["config"]["drift"] == false);
    }
    assert!(failed > 8, "{failed}");
    assert!(n1.corosyncs().is_empty());
}

#[test]
fn what_a_full_disk_keeps_from_being_put_back_is_put_back_at_the_next_start_of_corosync() {
    let lab = Lab::up("undo-owed", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("cp -a /etc/corosync /tmp/kept && mount -n -t tmpfs -o size=1m,mode=755 tiny /etc/corosync && cp -a /tmp/kept/. /etc/corosync/").ok();
    let full = "[ -e /tmp/filled ] || dd if=/dev/zero of=/etc/corosync/filler bs=4k 2>/dev/null; \
                touch /tmp/filled; exit 1";
    refuses_other(&lab, full);
    let live = || n1.sh(&format!("cat {CONF}")).ok();
    let old = live();
    let new = old.replace(NEXT.0, NEXT.1).replace(OTHER.0, OTHER.1);
    n1.put("/tmp/new.conf", &new);
    let ran = apply(&n1);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    let said = "the old configuration is not back: ";
    assert!(
        ran.err.contains(said) && ran.err.contains("No space left"),
        "{ran:?}"
    );
    assert!(live() == new && n1.file("/var/lib/clusmgr/change.json").exists());
    n1.wait("drift", |s| s["config"]["drift"] == true);
    let before = n1.latest();
    n1.sh("rm /etc/corosync/filler").ok();
    n1.ctl(&["start"]).ok();
    n1.wait("the old one runs", |s| {
        s["service"]["state"] == "running" && s["config"]["drift"] == false
    });
    assert!(live() == old && !n1.file("/var/lib/clusmgr/change.json").exists());
    let mut told = n1.events_of("config.undone");
    told.retain(|e| e["seq"].as_u64() > Some(before));
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_change_that_corosync_did_not_take_is_put_back_though_corosync_runs() {
    let lab = Lab::up("undo-refused", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("cp -a /etc/corosync /tmp/kept && mount -n -t tmpfs -o size=1m,mode=755 tiny /etc/corosync && cp -a /tmp/kept/. /etc/corosync/").ok();
    stand_in_reload(
        &lab,
        "#!/bin/sh\ndd if=/dev/zero of=/etc/corosync/filler bs=4k 2>/dev/null\nexit 1\n",
    );
    let live = || n1.sh(&format!("cat {CONF}")).ok();
    let old = live();
    let new = old
        .replace(NEXT.0, NEXT.1)
        .replace("token: 1000", "token: 1500");
    n1.put("/tmp/new.conf", &new);
    let pid = n1.pid();
    let ran = apply(&n1);
    assert!(
        ran.code == 1 && ran.err.contains("the old configuration is not back"),
        "{ran:?}"
    );
    let s = n1.wait("drift", |s| s["config"]["drift"] == true);
    assert_eq!(s["service"]["pid"], pid);
    assert!(live() == new && n1.file("/var/lib/clusmgr/change.json").exists());
    n1.sh("rm /etc/corosync/filler").ok();
    n1.ctl(&["restart"]).ok();
    n1.wait_other(pid);
    n1.wait("no drift", |s| s["config"]["drift"] == false);
    assert!(live() == old && !n1.file("/var/lib/clusmgr/change.json").exists());
    assert_eq!(n1.cmap("totem.token"), "1000");
}

#[test]
fn what_runs_well_is_not_taken_back_later_because_a_full_disk_kept_it_from_being_held() {
    let lab = Lab::up("undo-runs", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let made = steps(&n1, "token", ["1000", "1500"]);
    let new = next(&n1, "token", ["1000", "1500"]);
    let pid = n1.pid();
    // From the record on: corosync has the new values by then, and the way back fails too.
    let from = made["rename"] - 1;
    let fault = format!("-e trace=rename -e inject=rename:error=ENOSPC:when={from}+");
    let tracer = strace(&n1, &fault);
    let ran = apply(&n1);
    let_go(&n1, tracer);
    assert!(
        ran.code == 1 && ran.err.contains("the old configuration is not back"),
        "{ran:?}"
    );
    n1.wait("drift", |s| s["config"]["drift"] == true);
    until("the change is over", LONG, || {
        (!n1.file("/var/lib/clusmgr/change.json").exists()).then_some(())
    });
    let token = value_of(&new, "token");
    assert_eq!(n1.cmap("totem.token"), token);
    // Neither the next corosync nor the next clusmgr brings the old one back.
    n1.ctl(&["restart"]).ok();
    let pid = n1.wait_other(pid);
    n1.end_daemon("QUIT");
    n1.start_daemon(&FLAGS);
    n1.wait_state("running");
    assert_eq!(n1.pid(), pid);
    assert!(n1.read(CONF) == new.as_bytes());
    assert_eq!(n1.cmap("totem.token"), token);
}

#[test]
fn a_file_that_somebody_edits_during_an_apply_is_left_alone() {
    let lab = Lab::up("undo-foreign", "1 --no-clusmgr", &[]);
    // Somebody edits it as the new corosync starts.
    refuses_other(&lab, &format!("sed -i 's/token: 1000/token: 4000/' {CONF}"));
    let n1 = lab.node(1);
    let file = edited(&n1, &[NEXT, OTHER]);
    let ran = n1.ctl(&["--timeout", "60", "config", "apply", &file]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    let said = "somebody else changed it meanwhile; it stays";
    assert!(
        ran.err.contains(said) && ran.err.contains("the old configuration is not back"),
        "{ran:?}"
    );
    let live = String::from_utf8(n1.read(CONF)).unwrap();
    assert!(
        live.contains("token: 4000") && live.contains("cluster_name: other"),
        "{live}"
    );
    let s = n1.wait("drift", |s| s["config"]["drift"] == true);
    assert_eq!(s["config"]["version"], 1, "nothing of it was taken in");
    n1.wait_event("config.undone", 1);
    until("the change is over", LONG, || {
        (!n1.file("/var/lib/clusmgr/change.json").exists()).then_some(())
    });
    n1.ctl(&["--timeout", "60", "config", "revert"]).ok();
    assert_eq!(n1.cmap("totem.token"), "1000");
}

#[test]
fn a_file_that_is_edited_while_it_is_adopted_is_not_taken_in() {
    let lab = Lab::up("undo-adopt", "1 --no-clusmgr", &[]);
    // Somebody edits it again during the check, and corosync sees no difference.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-t*) echo '# again' >>{CONF};; esac\n\
         exec /usr/sbin/corosync \"$@\"\n"
    );
    stand_in(&lab, "corosync", &script);
    let n1 = lab.node(1);
    n1.edit_conf(|t| t.replace("token: 1000", "token: 3000"));
    n1.wait("drift", |s| s["config"]["drift"] == true);
    let ran = n1.ctl(&["--timeout", "60", "config", "adopt"]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    assert!(
        ran.err.contains("somebody else changed it meanwhile"),
        "{ran:?}"
    );
    let s = n1.wait("drift", |s| s["config"]["drift"] == true);
    assert_eq!(s["service"]["state"], "running");
    let held = n1.ctl(&["config", "show"]).ok();
    assert!(held.contains("token: 1000"), "{held}");
}
