//! corosync's check of a configuration, `-t`: it has corosync's name and executable, and is none.

use crate::change::{edited, stand_in};
use crate::common::{LONG, Lab, Node, until};

/// The checks that the node sees.
fn checks(node: &Node<'_>) -> Vec<i64> {
    let all = node.corosyncs().into_iter();
    let checks = |pid: &i64| {
        let words = node.sh(&format!("tr '\\0' ' ' </proc/{pid}/cmdline")).out;
        words.contains("fifo")
    };
    all.filter(checks).collect()
}

#[test]
fn somebodys_check_is_neither_adopted_nor_stopped() {
    let lab = Lab::up("check-foreign", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    // A file that nobody writes to keeps a check waiting.
    n1.sh("mkfifo /tmp/fifo").ok();
    for words in ["-t -c /tmp/fifo", "-tc /tmp/fifo", "-c/tmp/fifo -ft"] {
        n1.spawn(&format!("setsid corosync {words}"));
    }
    let three = || {
        let all = checks(&n1);
        (all.len() == 3).then_some(all)
    };
    let theirs = until("the checks wait", LONG, three);
    n1.start_daemon(&[]);
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["adopted"], false, "{s:#}");
    assert!(!theirs.contains(&n1.pid()));
    n1.wait_ring(1);
    // One that runs is found among them.
    let pid = n1.pid();
    n1.end_daemon("KILL");
    for name in ["/run/clusmgr/corosync.id", "/run/corosync.pid"] {
        std::fs::remove_file(n1.file(name)).unwrap();
    }
    n1.start_daemon(&[]);
    assert_eq!(n1.wait_state("running")["service"]["pid"], pid);
    n1.ctl(&["stop"]).ok();
    assert!(!n1.lives(pid));
    assert_eq!(checks(&n1), theirs);
    n1.end_daemon("TERM");
    assert_eq!(checks(&n1), theirs);
}

#[test]
fn a_check_of_ours_ends_with_clusmgr_however_that_ends() {
    let lab = Lab::up("check-orphan", "1 --no-clusmgr", &[]);
    let script = "#!/bin/sh\ncase \"$*\" in *-t*) exec /usr/sbin/corosync -t -c /tmp/fifo;; esac\n\
                  exec /usr/sbin/corosync \"$@\"\n";
    stand_in(&lab, "corosync", script);
    let n1 = lab.node(1);
    n1.sh("mkfifo /tmp/fifo").ok();
    let pid = n1.pid();
    let next = [
        ("config_version: 1\n", "config_version: 2\n"),
        ("token: 1000", "token: 2000"),
    ];
    let file = edited(&n1, &next);
    std::thread::scope(|s| {
        let apply = s.spawn(|| n1.ctl(&["--timeout", "60", "config", "apply", &file]));
        let hangs = || checks(&n1).pop();
        until("the check hangs", LONG, hangs);
        n1.end_daemon("KILL");
        assert_ne!(apply.join().unwrap().code, 0);
    });
    until("the check is gone", LONG, || {
        checks(&n1).is_empty().then_some(())
    });
    assert!(n1.lives(pid));
}
