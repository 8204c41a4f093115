//! What others remove, and what the dead leave behind.

use crate::common::{LONG, Lab, Node, until};

#[test]
fn a_run_directory_that_is_removed_does_not_keep_corosync_from_being_started_again() {
    let flags = ["--stable-after", "0.1", "--poll-interval", "0.2"];
    let lab = Lab::up("run-removed", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    n1.sh("rm -rf /run/clusmgr").ok();
    until("the notify socket is there again", LONG, || {
        n1.file("/run/clusmgr/notify.sock").exists().then_some(())
    });
    n1.kill("KILL", first);
    let others = || {
        let mut all = n1.corosyncs();
        all.retain(|p| *p != first);
        all
    };
    until("another corosync runs", LONG, || others().first().copied());
    n1.wait_ring(1);
    assert_eq!(n1.mode("/run/clusmgr"), 0o755);
    assert!(!n1.read("/run/clusmgr/corosync.out").is_empty());
    let journal = || String::from_utf8(n1.read("/var/lib/clusmgr/events.jsonl")).unwrap();
    until("it has said that it is ready", LONG, || {
        (journal().matches("service.ready").count() == 2).then_some(())
    });
    assert!(!journal().contains("service.start-failed"));
}

#[test]
fn a_socket_and_a_pid_file_that_are_removed_are_made_again() {
    let lab = Lab::up("socket-removed", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    let corosync = n1.wait_state("running")["service"]["pid"].clone();
    let daemon = n1.daemon_pid();
    // A client that is being served stays so.
    let follower = n1.spawn("clusmgrctl events -f");
    until("it follows", LONG, || {
        (!n1.read("/tmp/spawned.out").is_empty()).then_some(())
    });
    let made = |what: &str| {
        until(what, LONG, || {
            n1.file("/run/clusmgr/clusmgr.pid").exists().then_some(())
        });
        assert_eq!(n1.daemon_pid(), daemon, "{what}");
        let s = n1.wait(what, |s| s["service"]["state"] == "running");
        assert_eq!(
            (&s["service"]["pid"], &s["daemon_pid"]),
            (&corosync, &serde_json::json!(daemon)),
            "{what}"
        );
        assert_eq!(n1.mode("/run/clusmgr/clusmgr.sock"), 0o660, "{what}");
    };
    for what in [
        "rm -rf /run/clusmgr",
        "rm /run/clusmgr/clusmgr.sock",
        "rm /run/clusmgr/clusmgr.pid",
        "rm -rf /run/clusmgr /run/clusmgr-*.lock",
    ] {
        n1.sh(what).ok();
        made(what);
        // And they keep a second one away.
        let second = n1.run(&["clusmgr"]);
        assert_eq!(second.code, 1, "{what}: {second:?}");
        let said = format!("clusmgr already runs with pid {daemon}");
        assert!(second.err.contains(&said), "{what}: {second:?}");
    }
    assert!(n1.lives(follower));
    let log = n1.ctl(&["events"]).ok();
    assert_eq!(log.matches("daemon.started").count(), 1, "{log}");
    n1.end_daemon("TERM");
    for name in ["clusmgr.sock", "clusmgr.pid"] {
        assert!(!n1.file(&format!("/run/clusmgr/{name}")).exists(), "{name}");
    }
}

/// The pids that files of corosync in shared memory are named after.
fn blackboxes(n1: &Node<'_>) -> Vec<i64> {
    let script = "cd /dev/shm && printf '%s\\n' qb-corosync-*-blackbox-header";
    let out = n1.sh(script).ok();
    out.lines()
        .filter_map(|l| l.split('-').nth(2)?.parse().ok())
        .collect()
}

#[test]
fn what_a_killed_corosync_leaves_in_shared_memory_is_removed_and_nothing_else() {
    let flags = ["--stable-after", "0.1", "--poll-interval", "0.2"];
    let lab = Lab::up("shm", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    // Of a corosync before clusmgr's time; of strangers, the first of them dead too.
    n1.sh(
        "cd /dev/shm && touch qb-corosync-32001-blackbox-{data,header} \
           qb-other-32001-blackbox-data precious && mkdir qb-32002-1-31-abcdef",
    )
    .ok();
    n1.start_daemon(&flags);
    let mut pid = n1.wait_state("running")["service"]["pid"].as_i64().unwrap();
    for _ in 0..3 {
        // A client that is connected, killed with it.
        let client = n1.spawn("bash -c 'exec corosync-cmapctl -T totem. < <(sleep 900)'");
        let connected = format!("compgen -G '/dev/shm/qb-{pid}-{client}-*'");
        until("the client is connected", LONG, || {
            (n1.sh(&connected).code == 0).then_some(())
        });
        n1.run(&["kill", "-9", &client.to_string(), &pid.to_string()])
            .ok();
        pid = n1.wait_other(pid);
    }
    until("the blackboxes of the dead are gone", LONG, || {
        (blackboxes(&n1) == [pid]).then_some(())
    });
    // But for the connections to the one that lives: clusmgr has some.
    let others = format!("cd /dev/shm && ls -d * | grep -v ^qb-{pid}-");
    let left = n1.sh(&others).ok();
    let wanted = format!(
        "precious\nqb-32002-1-31-abcdef\nqb-corosync-{pid}-blackbox-data\n\
         qb-corosync-{pid}-blackbox-header\nqb-other-32001-blackbox-data\n"
    );
    assert_eq!(left, wanted);
    n1.wait_ring(1);
}
