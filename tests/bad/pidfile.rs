//! The daemon's own pid file.

use crate::bed::{Before, refused};
use crate::common::{LONG, Lab, Node, until};
use std::fs;

const PID_FILE: &str = "/run/clusmgr/clusmgr.pid";

/// A stand-in for a clusmgr that was killed while one of its threads waits for a disk: its first thread is
/// gone, and what it locked is locked as long as the other one lives.
const DYING: &str = "
import ctypes, fcntl, os, threading, time
f = open('/run/clusmgr/clusmgr.pid', 'w+')
fcntl.lockf(f, fcntl.LOCK_EX)
f.write('%d\\n' % os.getpid())
f.flush()
def rest():
    while not os.path.exists('/tmp/go'):
        time.sleep(.01)
    time.sleep(1.5)
    os._exit(0)
threading.Thread(target=rest).start()
# exit(2), which ends this thread alone.
number = {'x86_64': 60}.get(os.uname().machine, 93)
ctypes.CDLL(None).syscall(ctypes.c_long(number), 0)
";

#[test]
fn one_that_is_dead_but_for_a_thread_is_waited_for() {
    let lab = Lab::up("bad-dying", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.put("/tmp/dying.py", DYING);
    n1.sh("mkdir -p /run/clusmgr").ok();
    let pid = n1.spawn("python3 /tmp/dying.py");
    until("it is a zombie that holds the lock", LONG, || {
        (n1.letter(pid) == "Z").then_some(())
    });
    assert_eq!(
        n1.sh(&format!("ls /proc/{pid}/task | wc -l")).ok().trim(),
        "2"
    );
    n1.sh("touch /tmp/go").ok();
    n1.start_daemon(&[]);
    n1.wait_state("running");
}

#[test]
fn a_second_clusmgr() {
    let lab = Lab::up("bad-second", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let first = n1.daemon_pid();
    let parts = [
        PID_FILE,
        &format!("already runs with pid {first};"),
        "stop that one first",
    ];
    for flags in [
        &["-f"][..],
        &[],
        &["-S", "/tmp/other"],
        &["-s", "/tmp/other.sock"],
    ] {
        let words = [&["clusmgr"], flags].concat();
        refused(&n1.run(&words), "clusmgr", 1, &parts);
    }
    // Its own directories do not make it another node's.
    for (flags, what) in [
        (&["-R", "/run/two"][..], "lock /etc/corosync/corosync.conf"),
        (
            &["-R", "/run/two", "-S", "/tmp/other"],
            "lock /etc/corosync/corosync.conf",
        ),
        (
            &[
                "-R",
                "/run/two",
                "-S",
                "/tmp/other",
                "--corosync-conf",
                "/tmp/c",
            ],
            "lock /var/run/corosync.pid",
        ),
        (
            &[
                "-R",
                "/run/two",
                "--corosync-conf",
                "/tmp/c",
                "--corosync-pid",
                "/tmp/p",
            ],
            "lock /var/lib/clusmgr (by /var/lib/clusmgr/clusmgr.lock)",
        ),
    ] {
        for also in [&["-f"][..], &[]] {
            let words = [&["clusmgr"], flags, also].concat();
            let parts = [what, parts[1], parts[2]];
            refused(&n1.run(&words), "clusmgr", 1, &parts);
        }
    }
    // Neither does a /run of its own.
    let ran = n1.sh("cp $(command -v clusmgr) /tmp/clusmgr
         unshare -m bash -c 'mount -n -t tmpfs none /run && exec /tmp/clusmgr -f'");
    let parts = ["lock /var/lib/clusmgr ", parts[1], parts[2]];
    refused(&ran, "clusmgr", 1, &parts);
    before.is_so_still(&n1);
    assert!(!n1.file("/run/two").exists(), "it leaves no trace");
    assert!(!n1.file("/tmp/other").exists());
    assert_eq!(n1.daemon_pid(), first);
    let s = n1.status();
    assert_eq!(s["daemon_pid"], first, "the first one goes on");
    assert_eq!(s["service"]["state"], "running");
    assert_eq!(n1.ctl(&["stop"]).code, 0, "and obeys");
    n1.end_daemon("TERM");
    assert!(!n1.file("/var/lib/clusmgr/clusmgr.lock").exists());
    assert_eq!(n1.sh("ls /run/clusmgr-*.lock").code, 2, "no lock is left");
}

#[test]
fn a_umask_that_takes_everything_away() {
    let lab = Lab::up("bad-umask", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    for flags in ["-f", ""] {
        n1.sh("rm -rf /run/clusmgr /run/a /var/lib/clusmgr").ok();
        let start = format!(
            "umask 077; setsid clusmgr {flags} -R /run/a/clusmgr -s /run/a/clusmgr/s </dev/null >/dev/null 2>&1 &"
        );
        n1.sh(&start).ok();
        let socket = ["--socket", "/run/a/clusmgr/s", "start", "--wait"];
        until("clusmgr serves", LONG, || {
            (n1.ctl(&socket).code == 0).then_some(())
        });
        let modes = n1.sh("stat -c %a /run/a /run/a/clusmgr /run/a/clusmgr/s /var/lib/clusmgr");
        assert_eq!(modes.ok(), "755\n755\n660\n700\n");
        let pid = n1.sh("cat /run/a/clusmgr/clusmgr.pid").ok();
        let pid = pid.trim().parse().unwrap();
        n1.kill("TERM", pid);
        n1.wait_gone(pid);
    }
}

/// With this in the pid file, and nobody holding it, a clusmgr starts, and adopts the corosync that
/// runs.
fn is_taken_over(node: &Node<'_>, before: &Before, content: &str) {
    fs::write(node.file(PID_FILE), content).unwrap();
    let dead = node.ctl(&["status"]);
    assert_eq!(dead.code, 1, "a dead daemon's pid file: {dead:?}");
    node.start_daemon(&[]);
    let s = node.wait_state("running");
    assert_eq!(s["service"]["adopted"], true);
    assert_eq!(s["daemon_pid"], node.daemon_pid());
    assert_eq!(
        fs::read_to_string(node.file(PID_FILE)).unwrap(),
        format!("{}\n", node.daemon_pid())
    );
    before.is_so_still(node);
}

#[test]
fn a_pid_file_with_rubbish() {
    let lab = Lab::up("bad-pid", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    for rubbish in [
        "",
        "rubbish\n",
        "-1\n",
        "0\n",
        "99999999999999999999\n",
        "1 2 3\n\0\n",
    ] {
        n1.end_daemon("QUIT");
        is_taken_over(&n1, &before, rubbish);
    }
    n1.end_daemon("QUIT");
    is_taken_over(&n1, &before, &"7".repeat(100_000));
    // What is no file of ours is not.
    n1.end_daemon("QUIT");
    n1.sh("ln -s /etc/hosts /run/clusmgr/clusmgr.pid").ok();
    let hosts = n1.sh("cat /etc/hosts").ok();
    for (flags, cause) in [
        (&[][..], "symbolic link"),
        (&["-p", "/dev/null"], "not a regular file"),
    ] {
        let words = [&["clusmgr"], flags].concat();
        refused(
            &n1.run(&words),
            "clusmgr",
            1,
            &[cause, "name another with --pid-file"],
        );
    }
    assert_eq!(n1.sh("cat /etc/hosts").ok(), hosts);
    before.is_so_still(&n1);
}

/// A program that dies of any signal, and the pid that it got; `wanted` if that is not 0.
fn bystander(node: &Node<'_>, wanted: i64) -> i64 {
    let script = format!(
        "for i in {{1..200}}; do
            [[ {wanted} = 0 ]] || echo $(({wanted} - 1)) >/proc/sys/kernel/ns_last_pid || exit 1
            setsid sleep 600 </dev/null >/dev/null 2>&1 & pid=$!
            [[ {wanted} = 0 || $pid = {wanted} ]] && echo $pid && exit 0
            kill $pid
        done
        exit 1"
    );
    node.sh(&script).ok().trim().parse().unwrap()
}

/// It lives, and nobody sent it a signal or stopped it.
#[track_caller]
fn is_unharmed(node: &Node<'_>, pid: i64) {
    let status = node.sh(&format!("cat /proc/{pid}/status")).ok();
    assert!(
        status.contains("Name:\tsleep") && status.contains("State:\tS"),
        "{status}"
    );
}

#[test]
fn a_pid_file_with_a_foreign_pid() {
    let lab = Lab::up("bad-foreign", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let foreign = bystander(&n1, 0);
    n1.end_daemon("QUIT");
    is_taken_over(&n1, &before, &format!("{foreign}\n"));
    is_unharmed(&n1, foreign);
    n1.end_daemon("TERM");
    is_unharmed(&n1, foreign);
}

#[test]
fn a_pid_file_with_a_recycled_pid() {
    let lab = Lab::up("bad-recycled", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let first = n1.daemon_pid();
    n1.end_daemon("KILL");
    assert_eq!(
        fs::read_to_string(n1.file(PID_FILE)).unwrap(),
        format!("{first}\n")
    );
    assert_eq!(bystander(&n1, first), first);
    is_taken_over(&n1, &before, &format!("{first}\n"));
    assert_ne!(n1.daemon_pid(), first);
    is_unharmed(&n1, first);
    n1.end_daemon("TERM");
    is_unharmed(&n1, first);
}
