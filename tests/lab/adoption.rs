//! A corosync that runs already: which one is adopted, and which one is not touched.

use crate::common::{LONG, Lab, Node, stays, until};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::json;
use std::time::Duration;

const UNKNOWN: &str = "unknown: it was adopted, and the kernel tells its status to nobody else";

#[test]
fn a_corosync_is_adopted_after_kill_9_of_clusmgr_and_after_quit_and_its_death_is_answered() {
    let flags = ["--stable-after", "0.1"];
    let lab = Lab::up("adoption", "2", &flags);
    let n1 = lab.node(1);
    n1.wait_ring(2);
    n1.wait_state("running");
    let first = n1.pid();
    for (n, (signal, code)) in [("KILL", 1), ("QUIT", 3)].into_iter().enumerate() {
        n1.end_daemon(signal);
        assert!(n1.lives(first), "{signal} of clusmgr must leave corosync");
        assert_eq!(n1.ctl(&["status"]).code, code, "after {signal}");
        n1.start_daemon(&flags);
        let s = n1.wait_state("running");
        assert_eq!(s["service"]["pid"], first);
        assert_eq!(s["service"]["adopted"], true);
        assert_eq!(s["service"]["restarts"], 0);
        assert_eq!(s["service"]["hold"], false);
        assert_eq!(s["config"]["drift"], false);
        assert_eq!(s["degraded"], json!([]));
        let adopted = n1.wait_event("service.adopted", n + 1);
        assert_eq!(adopted["fields"]["pid"], first);
    }
    assert_eq!(n1.events_of("service.starting").len(), 1);
    assert_eq!(n1.events_of("config.taken-over").len(), 1);

    n1.kill("KILL", first);
    n1.wait_other(first);
    let s = n1.status();
    assert_eq!(s["service"]["adopted"], false);
    assert_eq!(s["service"]["restarts"], 1);
    assert_eq!(s["service"]["last_exit"]["cause"], UNKNOWN);
    let exited = n1.wait_event("service.exited", 1);
    assert_eq!(exited["fields"]["cause"], UNKNOWN);
    assert_eq!(exited["fields"]["pid"], first);
    n1.wait_ring(2);
    lab.node(2).wait_ring(2);
}

#[test]
fn a_hang_of_an_adopted_corosync_ends_it_too() {
    let flags = [
        "--stable-after",
        "0.1",
        "--hang-timeout",
        "1",
        "--poll-interval",
        "0.2",
    ];
    let lab = Lab::up("adoption-hang", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    n1.end_daemon("QUIT");
    n1.kill("STOP", first);
    n1.start_daemon(&flags);
    n1.wait_other(first);
    assert!(!n1.lives(first));
    let s = n1.status();
    assert_eq!(
        s["service"]["last_exit"]["cause"],
        "hung: killed by clusmgr"
    );
    assert_eq!(n1.wait_event("service.hung", 1)["fields"]["pid"], first);
    n1.wait_ring(1);
}

#[test]
fn a_corosync_that_ran_before_clusmgr_came_is_adopted_and_its_files_are_left_as_they_are() {
    let lab = Lab::up("adoption-first", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let conf = n1.read("/etc/corosync/corosync.conf");
    let identity = n1.identity("/etc/corosync/corosync.conf");
    let pid = n1.spawn("setsid corosync -f");
    n1.wait_ring(1);
    n1.start_daemon(&[]);
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["pid"], pid);
    assert_eq!(s["service"]["adopted"], true);
    assert_eq!(s["config"]["version"], 1);
    assert_eq!(s["config"]["drift"], false);
    n1.wait_event("config.taken-over", 1);
    assert_eq!(n1.wait_event("service.adopted", 1)["fields"]["pid"], pid);
    assert_eq!(n1.read("/etc/corosync/corosync.conf"), conf);
    assert_eq!(n1.identity("/etc/corosync/corosync.conf"), identity);
    // And it is ours from here on.
    n1.end_daemon("TERM");
    assert!(!n1.lives(pid));
}

#[test]
fn a_corosync_with_a_private_tmp_is_adopted_as_that_of_debians_unit() {
    let lab = Lab::up("adoption-tmp", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.put(
        "/tmp/unit",
        "mount -n -t tmpfs none /tmp && mount -n -t tmpfs none /var/tmp && exec corosync -f\n",
    );
    let pid = n1.spawn("setsid unshare -m bash /tmp/unit");
    n1.wait_ring(1);
    n1.start_daemon(&["--stable-after", "0.1"]);
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["pid"], pid);
    assert_eq!(s["service"]["adopted"], true);
    assert_eq!(n1.events_of("service.exited").len(), 0);
    // By its record, too.
    n1.end_daemon("QUIT");
    n1.start_daemon(&["--stable-after", "0.1"]);
    assert_eq!(n1.wait_state("running")["service"]["pid"], pid);
    n1.kill("KILL", pid);
    n1.wait_other(pid);
    n1.wait_ring(1);
}

#[test]
fn a_corosync_with_another_root_configuration_or_shared_memory_is_not_adopted() {
    for (n, private) in ["/dev/shm", "/etc/corosync", "/"].into_iter().enumerate() {
        let lab = Lab::up(&format!("adoption-root-{n}"), "1 --no-clusmgr", &[]);
        let n1 = lab.node(1);
        // The pid file is shared, so that ours cannot start beside it and says who is there.
        let script = match private {
            "/" => {
                "mkdir /tmp/root && mount -n -t tmpfs root /tmp/root && cd /tmp/root &&\n\
                 for d in usr etc run dev proc sys var tmp; do mkdir $d; mount -n --rbind /$d $d; done\n\
                 for d in bin sbin lib lib64; do ln -s usr/$d $d; done\n\
                 exec chroot . corosync -f\n"
            }
            "/dev/shm" => "mount -n -t tmpfs shm /dev/shm && exec corosync -f\n",
            _ => {
                "cp -a /etc/corosync /tmp/etc && mount -n --bind /tmp/etc /etc/corosync &&\n\
                 exec corosync -f\n"
            }
        };
        n1.put("/tmp/container", script);
        n1.spawn("setsid unshare -m bash /tmp/container");
        let other = until("it holds the pid file", LONG, || {
            let text = std::fs::read_to_string(n1.file("/run/corosync.pid")).ok()?;
            text.trim().parse::<i64>().ok()
        });
        n1.start_daemon(&[]);
        let exited = n1.wait_event("service.exited", 1);
        let text = exited["text"].as_str().unwrap();
        assert!(text.contains("it sees other files"), "{private}: {text}");
        assert_eq!(n1.events_of("service.adopted").len(), 0);
        n1.end_daemon("TERM");
        assert!(n1.lives(other), "{private}: nobody may signal it");
    }
}

/// Another program under corosync's name.
fn stranger(n1: &Node<'_>) -> i64 {
    n1.sh("cp $(command -v sleep) /tmp/corosync").ok();
    n1.spawn("/tmp/corosync 900")
}

/// Ends clusmgr, puts something in the place of both records, and starts it again.
fn again(n1: &Node<'_>, pid_file: &str, record: Option<&str>) {
    n1.end_daemon("QUIT");
    n1.put("/run/corosync.pid", pid_file);
    match record {
        Some(text) => n1.put("/run/clusmgr/corosync.id", text),
        None => std::fs::remove_file(n1.file("/run/clusmgr/corosync.id")).unwrap_or_default(),
    }
    n1.start_daemon(&[]);
}

#[test]
fn a_pid_file_with_rubbish_or_a_foreign_pid_confuses_nobody() {
    let lab = Lab::up("adoption-pid-file", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let pid = n1.pid();
    let stranger = stranger(&n1);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let recycled =
        json!({"pid": stranger, "starttime": 1, "exe": "/usr/sbin/corosync", "boot": boot.trim()});
    let recycled = recycled.to_string();
    let foreign = format!("{stranger}\n");
    for (pid_file, record) in [
        ("rubbish", None),
        ("", Some("rubbish")),
        ("1\n", None),
        ("-1\n", Some("{}")),
        (foreign.as_str(), None),
        (foreign.as_str(), Some(recycled.as_str())),
        ("99999999999999999999\n", None),
    ] {
        again(&n1, pid_file, record);
        let s = n1.wait_state("running");
        assert_eq!(s["service"]["pid"], pid, "{pid_file:?} {record:?}");
        assert_eq!(s["service"]["adopted"], true);
    }
    // A lock that somebody outside holds on it says nothing of a process here.
    n1.end_daemon("QUIT");
    n1.put("/run/corosync.pid", &foreign);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(n1.file("/run/corosync.pid"))
        .unwrap();
    let lock = libc::flock {
        l_type: libc::F_WRLCK.try_into().unwrap(),
        l_whence: libc::SEEK_SET.try_into().unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_SETLK(&lock)).unwrap();
    n1.start_daemon(&[]);
    assert_eq!(n1.wait_state("running")["service"]["pid"], pid);
    drop(file);
    assert_eq!(n1.events_of("service.starting").len(), 1);
    n1.end_daemon("TERM");
    assert!(!n1.lives(pid));
    assert!(n1.lives(stranger), "nobody may signal a stranger");
}

#[test]
fn a_pid_file_of_a_stranger_does_not_keep_corosync_from_starting() {
    let lab = Lab::up("pid-file-stranger", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let stranger = stranger(&n1);
    n1.put("/run/corosync.pid", format!("{stranger}\n"));
    n1.start_daemon(&[]);
    let s = n1.wait_state("running");
    assert_ne!(s["service"]["pid"], stranger);
    assert_eq!(s["service"]["adopted"], false);
    assert_eq!(n1.events_of("service.adopted").len(), 0);
    n1.end_daemon("TERM");
    assert!(n1.lives(stranger));
}

#[test]
fn a_corosync_in_a_child_pid_namespace_is_neither_adopted_nor_signalled() {
    let lab = Lab::up("child-namespace", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    // As a container would: everything of its own but the files in /etc.
    n1.put(
        "/tmp/container",
        "mount -n -t tmpfs run /run && mount -n -t tmpfs shm /dev/shm && mkdir /run/lock &&\n\
         mount -n -t tmpfs lib /var/lib && mkdir /var/lib/corosync && ip link set lo up &&\n\
         exec corosync -f\n",
    );
    n1.spawn("setsid unshare -m -n -i -p -u --fork --mount-proc bash /tmp/container");
    let other = until("the container's corosync runs", LONG, || {
        n1.corosyncs().first().copied()
    });
    until("it is ready", LONG, || {
        let out = n1.read("/tmp/spawned.out");
        String::from_utf8_lossy(&out)
            .contains("Completed service synchronization")
            .then_some(())
    });

    n1.start_daemon(&["--poll-interval", "0.2", "--stable-after", "0.1"]);
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["adopted"], false);
    assert_ne!(s["service"]["pid"], other);
    assert_eq!(n1.corosyncs().len(), 2);
    n1.ctl(&["restart"]).ok();
    n1.kill("KILL", n1.pid());
    n1.wait_event("service.exited", 1);
    n1.wait_state("running");
    n1.ctl(&["stop"]).ok();
    assert_eq!(n1.corosyncs(), [other]);
    stays(
        "held, and the other one lives",
        Duration::from_secs(1),
        || n1.status()["service"]["state"] == "stopped" && n1.lives(other),
    );
    n1.ctl(&["start"]).ok();
    assert_eq!(n1.events_of("service.adopted").len(), 0);
    n1.end_daemon("TERM");
    assert_eq!(n1.corosyncs(), [other]);
    // It ends by our hand alone.
    let out = n1.read("/tmp/spawned.out");
    assert!(!String::from_utf8_lossy(&out).contains("exiting"));
}

#[test]
fn a_corosync_started_by_hand_while_held_is_left_alone_and_shown() {
    let flags = ["--poll-interval", "0.2", "--hang-timeout", "0.6"];
    let lab = Lab::up("by-hand", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.ctl(&["stop"]).ok();
    let pid = n1.spawn("setsid corosync -f");
    n1.wait_ring(1);

    // Also by a clusmgr that finds it at its start.
    for restart in [false, true] {
        if restart {
            n1.end_daemon("TERM");
            assert!(n1.lives(pid), "TERM while held");
            n1.start_daemon(&flags);
        }
        let s = n1.wait("it is shown", |s| s["service"]["pid"] == pid);
        assert_eq!(s["mode"], "standalone");
        assert_eq!(s["mode_reason"], "held");
        assert_eq!(s["service"]["hold"], true);
        assert_eq!(s["service"]["state"], "running");
        assert_eq!(s["service"]["adopted"], true);
        assert_eq!(n1.ctl(&["status"]).code, 150);
        for verb in ["status", "why"] {
            let said = n1.ctl(&[verb]).out;
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                said.contains(&format!("and yet one runs (pid {pid})")),
                "{said}"
            );
        }
        n1.kill("STOP", pid);
        stays("left alone", Duration::from_millis(1500), || n1.lives(pid));
        n1.kill("CONT", pid);
    }
    assert_eq!(n1.events_of("service.hung").len(), 0);
    n1.wait_ring(1);

    // Its end is its owner's business.
    n1.kill("TERM", pid);
    let s = n1.wait_state("stopped");
    assert_eq!(s["mode_reason"], "held");
    stays("nothing is started", Duration::from_secs(1), || {
        n1.corosyncs().is_empty()
    });

    // One that runs when the hold ends is adopted.
    let pid = n1.spawn("setsid corosync -f");
    n1.wait_ring(1);
    n1.ctl(&["start"]).ok();
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["pid"], pid);
    assert_eq!(s["service"]["adopted"], true);
    assert_eq!(s["mode"], "cluster");
    assert_eq!(n1.corosyncs(), [pid]);
}

/// What the last death left of the output, as lines.
fn last_output(n1: &Node<'_>) -> Vec<String> {
    let s = n1.status();
    let lines = s["service"]["last_exit"]["output"].as_array().unwrap();
    lines
        .iter()
        .map(|l| l.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_adopted_run_has_its_own_output_and_no_other() {
    let flags = ["--stable-after", "0.1"];
    let lab = Lab::up("adoption-output", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    // Ours, adopted: its lines, and none from before it began.
    let first = n1.pid();
    n1.sh("echo 'of the first run' >>/run/clusmgr/corosync.out")
        .ok();
    n1.kill("KILL", first);
    let second = n1.wait_other(first);
    assert!(last_output(&n1).iter().any(|l| l == "of the first run"));
    n1.end_daemon("QUIT");
    n1.sh("echo 'of the second run' >>/run/clusmgr/corosync.out")
        .ok();
    n1.start_daemon(&flags);
    n1.wait("adopted", |s| s["service"]["pid"] == second);
    n1.kill("KILL", second);
    let third = n1.wait_other(second);
    let lines = last_output(&n1);
    assert!(lines.iter().any(|l| l == "of the second run"), "{lines:?}");
    assert!(!lines.iter().any(|l| l == "of the first run"), "{lines:?}");
    // One that was started by hand writes elsewhere.
    n1.end_daemon("TERM");
    assert!(!n1.lives(third));
    let pid = n1.spawn("setsid corosync -f");
    n1.wait_ring(1);
    n1.start_daemon(&flags);
    n1.wait("adopted", |s| s["service"]["pid"] == pid);
    n1.kill("KILL", pid);
    n1.wait_other(pid);
    assert_eq!(last_output(&n1), Vec::<String>::new());
}

#[test]
fn who_keeps_corosync_from_starting_and_is_not_adopted_is_named() {
    let lab = Lab::up("adoption-rival", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh("cp /usr/sbin/corosync /tmp/other").ok();
    let pid = n1.spawn("setsid /tmp/other -f");
    n1.wait_ring(1);
    n1.start_daemon(&[]);
    let exited = n1.wait_event("service.exited", 1);
    let text = exited["text"].as_str().unwrap();
    for part in [
        "exit 18 (already running)",
        &format!("pid {pid}, executable /tmp/other"),
        "not a corosync of this node",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    n1.end_daemon("TERM");
    assert!(n1.lives(pid), "nobody may signal it");
}
