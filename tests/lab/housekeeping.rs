//! What others remove, and what the dead leave behind.

use crate::common::{LONG, Lab, Node, stays, until};
use std::time::Duration;

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
    // Of strangers: a dead corosync that was never ours may be a living one of a container.
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
    // One that dies while clusmgr is away.
    n1.end_daemon("KILL");
    n1.kill("KILL", pid);
    n1.wait_gone(pid);
    n1.start_daemon(&flags);
    pid = n1.wait_other(pid);
    until("the blackboxes of the dead are gone", LONG, || {
        let mut left = blackboxes(&n1);
        left.retain(|p| *p != 32001);
        (left == [pid]).then_some(())
    });
    // But for the connections to the one that lives: clusmgr has some.
    let others = format!("cd /dev/shm && ls -d * | grep -v ^qb-{pid}-");
    let left = n1.sh(&others).ok();
    let mut left: Vec<&str> = left.lines().collect();
    left.sort_unstable();
    let own = ["data", "header"].map(|kind| format!("qb-corosync-{pid}-blackbox-{kind}"));
    let mut wanted = vec![
        "precious",
        "qb-32002-1-31-abcdef",
        "qb-corosync-32001-blackbox-data",
        "qb-corosync-32001-blackbox-header",
        "qb-other-32001-blackbox-data",
    ];
    wanted.extend(own.iter().map(String::as_str));
    wanted.sort_unstable();
    assert_eq!(left, wanted);
    n1.wait_ring(1);
}

#[test]
fn what_has_the_number_of_a_living_process_of_a_container_stays_in_shared_memory() {
    let flags = ["--stable-after", "0.1", "--poll-interval", "0.2"];
    let lab = Lab::up("shm-container", "1", &flags);
    let n1 = lab.node(1);
    let pid = n1.wait_state("running")["service"]["pid"].as_i64().unwrap();
    // A process of that number in a pid namespace of its own, which sees the same /dev/shm.
    let script = format!(
        "echo {} > /proc/sys/kernel/ns_last_pid; sleep 900 & echo $! > /tmp/inner; wait",
        pid - 1
    );
    n1.put("/tmp/container.sh", script);
    let container = n1.spawn("unshare --pid --fork --kill-child bash /tmp/container.sh");
    let inner = || {
        String::from_utf8_lossy(&n1.read("/tmp/inner"))
            .trim()
            .to_owned()
    };
    until("the container runs", LONG, || {
        (n1.file("/tmp/inner").exists() && inner() == pid.to_string()).then_some(())
    });
    n1.kill("KILL", pid);
    let next = n1.wait_other(pid);
    stays("its files are there", Duration::from_secs(2), || {
        blackboxes(&n1).contains(&pid)
    });
    // And go with it. A clusmgr that has just come looks at once.
    n1.kill("KILL", container);
    n1.wait_gone(container);
    n1.end_daemon("KILL");
    n1.start_daemon(&flags);
    until("they are gone", LONG, || {
        (blackboxes(&n1) == [next]).then_some(())
    });
}
