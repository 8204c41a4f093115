//! Directories and file systems that take nothing.

use crate::bed::{Before, corosyncs, degraded, one_error, refused};
use crate::common::{LONG, Lab, Node, until};
use std::fs;

/// A node whose corosync runs, without a clusmgr: QUIT left it.
fn left_alone(lab: &Lab) -> Node<'_> {
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.end_daemon("QUIT");
    n1
}

/// With every way to start, the same refusal; nothing changes, and without the fault the next
/// clusmgr adopts the corosync that ran all the time.
fn no_start(node: &Node<'_>, flags: &[&str], parts: &[&str], undo: &str) {
    let before = Before::now(node);
    for also in [&["-f"][..], &[]] {
        let words = [&["clusmgr"], flags, also].concat();
        refused(&node.run(&words), "clusmgr", 1, parts);
    }
    before.is_so_still(node);
    node.sh(undo).ok();
    node.start_daemon(&[]);
    let s = node.wait_state("running");
    assert_eq!(s["service"]["adopted"], true);
    before.is_so_still(node);
}

#[test]
fn an_unwritable_state_directory() {
    let lab = Lab::up("bad-sdir", "1", &[]);
    let n1 = left_alone(&lab);
    // Not even root can make a directory below a file.
    let test = n1.run(&["clusmgr", "-t", "-S", "/etc/hosts/state"]);
    let parts = ["/etc/hosts/state", "Not a directory", "--state-dir"];
    assert_eq!(test.code, 1, "{test:?}");
    one_error(test.err.lines().next().unwrap(), "clusmgr", &parts);
    for line in test.err.lines() {
        one_error(line, "clusmgr", &parts[..2]);
    }
    no_start(&n1, &["-S", "/etc/hosts/state"], &parts, ":");
}

#[test]
fn an_unwritable_run_directory() {
    let lab = Lab::up("bad-rdir", "1", &[]);
    let n1 = left_alone(&lab);
    let parts = ["/etc/hosts/run", "Not a directory", "--run-dir"];
    let test = n1.run(&["clusmgr", "-t", "-R", "/etc/hosts/run"]);
    refused(&test, "clusmgr", 1, &parts);
    no_start(&n1, &["-R", "/etc/hosts/run"], &parts, ":");
}

#[test]
fn a_read_only_file_system_under_the_state() {
    let lab = Lab::up("bad-ro", "1", &[]);
    let n1 = left_alone(&lab);
    n1.sh("mount -n --bind /var/lib/clusmgr /var/lib/clusmgr && mount -n -o remount,ro,bind /var/lib/clusmgr")
        .ok();
    let parts = [
        "/var/lib/clusmgr",
        "Read-only file system",
        "remount it read-write",
    ];
    refused(&n1.run(&["clusmgr", "-t"]), "clusmgr", 1, &parts);
    no_start(&n1, &[], &parts, "umount -n /var/lib/clusmgr");
}

#[test]
fn a_read_only_etc_corosync() {
    let lab = Lab::up("bad-ro-etc", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let conf = n1.file("/etc/corosync/corosync.conf");
    let live = fs::read(&conf).unwrap();
    n1.sh(
        "mount -n --bind /etc/corosync /etc/corosync && mount -n -o remount,ro,bind /etc/corosync",
    )
    .ok();
    n1.start_daemon(&[]);
    // The files are fine as they are: corosync runs with them.
    let s = n1.wait_state("running");
    assert_eq!(s["mode"], "cluster");
    assert_eq!(degraded(&s), ["config-unwritable"]);
    assert_eq!(fs::read(&conf).unwrap(), live);
    let detail = s["degraded"][0]["detail"].as_str().unwrap();
    for part in [
        "/etc/corosync/corosync.conf",
        "Read-only file system",
        "remount it read-write",
    ] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(n1.ctl(&["status"]).code, 151);
    n1.wait_ring(1);
    let told = n1.events_of("degraded");
    assert_eq!(told.len(), 1, "{told:?}");
    n1.sh("umount -n /etc/corosync").ok();
    // Written at the next start, and well again.
    n1.ctl(&["restart", "--wait"]).ok();
    n1.wait("nothing is degraded", |s| degraded(s).is_empty());
    assert_ne!(fs::read(&conf).unwrap(), live);
}

/// A state directory of so many pages, and nothing in it.
const TINY: &str =
    "mkdir -p /var/lib/clusmgr && mount -n -t tmpfs -o size=516k tiny /var/lib/clusmgr";
/// Takes all the space there is.
const FILL: &str =
    "dd if=/dev/zero of=/var/lib/clusmgr/filler bs=4k 2>/dev/null; ! echo x >/var/lib/clusmgr/one";

#[test]
fn a_full_disk_at_the_start() {
    let lab = Lab::up("bad-full", "1", &[]);
    let n1 = left_alone(&lab);
    let corosync = corosyncs(&n1);
    n1.sh(TINY).ok();
    n1.sh(FILL).ok();
    let parts = [
        "/var/lib/clusmgr",
        "No space left on device",
        "free some space there",
    ];
    for flags in [&["-f"][..], &[]] {
        let words = [&["clusmgr"], flags].concat();
        refused(&n1.run(&words), "clusmgr", 1, &parts);
    }
    n1.sh("umount -n /var/lib/clusmgr").ok();
    // The run directory is no better.
    n1.sh("mkdir /run/full && mount -n -t tmpfs -o size=4k tiny /run/full && dd if=/dev/zero of=/run/full/filler bs=4k 2>/dev/null; :")
        .ok();
    let ran = n1.run(&["clusmgr", "-R", "/run/full"]);
    refused(
        &ran,
        "clusmgr",
        1,
        &[
            "/run/full/",
            "No space left on device",
            "free some space there",
        ],
    );
    assert_eq!(
        n1.sh("ls /run/full").ok(),
        "filler\n",
        "nothing is left behind"
    );
    assert_eq!(corosyncs(&n1), corosync);
    n1.start_daemon(&[]);
    assert_eq!(n1.wait_state("running")["service"]["adopted"], true);
    assert_eq!(corosyncs(&n1), corosync);
}

#[test]
fn a_disk_that_fills_while_corosync_runs() {
    let lab = Lab::up("bad-fills", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh(TINY).ok();
    let log = n1.file("/run/clusmgr.log");
    n1.sh("setsid clusmgr -f --stable-after 0.1 --restart-limit 0 </dev/null >/run/clusmgr.log 2>&1 &")
        .ok();
    n1.wait_state("running");
    n1.sh(FILL).ok();
    let said = |what: &str| {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().filter(|l| l.contains(what)).count()
    };
    let once = "events go on, without this record of them";
    let mut deaths = 0;
    // The last page of the journal takes a few events yet.
    while said(once) == 0 {
        assert!(deaths < 20, "{}", fs::read_to_string(&log).unwrap());
        another_death(&n1);
        deaths += 1;
    }
    for _ in 0..3 {
        another_death(&n1);
        deaths += 1;
    }
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(said(once), 1, "said once: {text}");
    let line = text.lines().find(|l| l.contains(once)).unwrap();
    for part in [
        "/var/lib/clusmgr/events.jsonl",
        "No space left on device",
        "free some space",
    ] {
        assert!(line.contains(part), "{line}");
    }
    let s = n1.status();
    assert_eq!(s["service"]["restarts"], deaths);
    assert!(degraded(&s).contains(&"state-dir-full".to_owned()), "{s:#}");
    // A hold works, and says that it will not last.
    let ran = n1.ctl(&["stop"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("will not survive a restart"), "{ran:?}");
    let s = n1.wait("hold-unsaved", |s| {
        degraded(s).contains(&"hold-unsaved".to_owned())
    });
    assert_eq!(s["service"]["hold"], true);
    let left = n1.sh("ls -A /var/lib/clusmgr").ok();
    assert!(!left.contains("tmp"), "half a file is left: {left}");
    assert!(corosyncs(&n1).is_empty());
    n1.sh("rm /var/lib/clusmgr/filler").ok();
    n1.ctl(&["start", "--wait"]).ok();
    n1.wait("no hold is unsaved", |s| {
        !degraded(s).contains(&"hold-unsaved".to_owned())
    });
    // A record as long as the first that found no room.
    another_death(&n1);
    until("the journal is written again", LONG, || {
        (said("is written again") == 1).then_some(())
    });
}

/// Kills corosync and waits for the next.
#[track_caller]
fn another_death(node: &Node<'_>) {
    let pid = node.pid();
    node.kill("KILL", pid);
    node.wait("another corosync runs", |s| {
        s["service"]["state"] == "running" && s["service"]["pid"] != pid
    });
}
