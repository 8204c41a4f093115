//! A syslogd that stalls, and one that comes back. In a node, /dev/log leads to a socket of ours.

use crate::bed::{Before, Client, Short};
use crate::common::{LONG, Lab, Node, until};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// A syslogd of ours, at the node's /dev/log.
struct Syslogd {
    socket: UnixDatagram,
    dir: Short,
    seen: Vec<String>,
}

impl Syslogd {
    #[track_caller]
    fn start(node: &Node<'_>) -> Syslogd {
        let dir = Short::of(node, "/run");
        let _ = fs::remove_file(node.file("/run/devlog"));
        let socket = UnixDatagram::bind(dir.path("devlog")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Syslogd {
            socket,
            dir,
            seen: Vec::new(),
        }
    }

    /// Ends, and leaves its socket file, as a killed one does.
    fn end(self) {}

    /// Fills its queue, so that nobody can write to it before something is read.
    fn stall(&self) {
        let (mut fresh, mut full) = (true, false);
        while !(fresh && full) {
            let filler = UnixDatagram::unbound().unwrap();
            filler.set_nonblocking(true).unwrap();
            filler.connect(self.dir.path("devlog")).unwrap();
            fresh = true;
            loop {
                match filler.send(b"filler") {
                    Ok(_) => fresh = false,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break full = true,
                    Err(e) => panic!("{e}"),
                }
            }
        }
    }

    /// Reads what there is.
    fn read(&mut self) {
        let mut buf = [0; 8192];
        while let Ok(n) = self.socket.recv(&mut buf) {
            self.seen
                .push(String::from_utf8_lossy(&buf[..n]).into_owned());
        }
    }

    /// Reads until a line with this text has come, and gives it.
    #[track_caller]
    fn wait(&mut self, text: &str) -> String {
        until(&format!("a line with {text:?}"), LONG, || {
            self.read();
            self.seen.iter().find(|l| l.contains(text)).cloned()
        })
    }
}

/// A node whose clusmgr logs to our syslogd.
fn with_syslogd<'l>(lab: &'l Lab, flags: &[&str]) -> (Node<'l>, Syslogd) {
    let n1 = lab.node(1);
    n1.sh("ln -s /run/devlog /dev/log").ok();
    let mut syslogd = Syslogd::start(&n1);
    n1.start_daemon(flags);
    n1.wait_state("running");
    let line = syslogd.wait("service.ready");
    // Priority: facility daemon (3), severity notice (5).
    assert!(line.starts_with("<29>clusmgr["), "{line}");
    (n1, syslogd)
}

/// Kills corosync; how long after its end the next one was executed, by the events.
#[track_caller]
fn death_to_exec(node: &Node<'_>) -> i64 {
    let pid = node.pid();
    node.kill("KILL", pid);
    node.wait("another corosync runs", |s| {
        s["service"]["state"] == "running" && s["service"]["pid"] != pid
    });
    let at = |kind: &str| node.events_of(kind).pop().unwrap()["at"].as_i64().unwrap();
    at("service.starting") - at("service.exited")
}

#[test]
fn a_stalled_dev_log() {
    let lab = Lab::up("bad-stall", "1 --no-clusmgr", &[]);
    let (n1, mut syslogd) = with_syslogd(&lab, &["-d", "--stable-after", "0.1"]);
    n1.wait_ring(1);
    syslogd.stall();
    // More lines than the queue of the log holds: each order is at least one at --debug.
    let before = Before::running(&n1);
    let mut client = Client::connect(&n1);
    let begun = Instant::now();
    for _ in 0..1500 {
        client.send(b"{\"id\":1,\"req\":\"start\",\"wait_ms\":5000}\n");
        assert!(client.reply()["ok"].is_object());
    }
    before.is_so_still(&n1);
    let ms = death_to_exec(&n1);
    assert!(ms < 1000, "{ms} ms from the end of corosync to the next");
    let asked = Instant::now();
    n1.ctl(&["config", "show"]).ok();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    // It reads again: what was lost is counted and told, once, and new lines come.
    let told = syslogd.wait("log lines were dropped");
    let lost = told.split("]: ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(lost.parse::<u32>().unwrap() > 100, "{told}");
    assert!(told.starts_with("<28>clusmgr["), "a warning: {told}");
    n1.kill("USR1", n1.daemon_pid());
    syslogd.wait("state: {\"schema\"");
    let told: Vec<&String> = syslogd
        .seen
        .iter()
        .filter(|l| l.contains("were dropped"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    // Stalled again, it does not keep the daemon from ending.
    syslogd.stall();
    let pid = n1.daemon_pid();
    n1.end_daemon("TERM");
    assert!(!n1.lives(pid));
}

#[test]
fn a_restarted_dev_log() {
    let lab = Lab::up("bad-restart", "1 --no-clusmgr", &[]);
    let (n1, syslogd) = with_syslogd(&lab, &["--stable-after", "0.1"]);
    // Away: nobody waits for it, and what is said meanwhile arrives later.
    syslogd.end();
    n1.wait_ring(1);
    let ms = death_to_exec(&n1);
    assert!(ms < 1000, "{ms} ms from the end of corosync to the next");
    let mut syslogd = Syslogd::start(&n1);
    let line = syslogd.wait("service.exited");
    assert!(line.contains("killed by signal 9 (SIGKILL)"), "{line}");
    syslogd.wait("service.ready");
    // Restarted between two lines: the next one arrives at once.
    syslogd.end();
    let mut syslogd = Syslogd::start(&n1);
    n1.kill("USR1", n1.daemon_pid());
    syslogd.wait("state: {\"schema\"");
    assert!(
        !syslogd.seen.iter().any(|l| l.contains("were dropped")),
        "{:?}",
        syslogd.seen
    );
    // Gone for good, file and all: the daemon goes on and ends as ever.
    syslogd.end();
    fs::remove_file(n1.file("/run/devlog")).unwrap();
    n1.kill("USR1", n1.daemon_pid());
    let status = n1.status();
    assert_eq!(status["service"]["state"], "running");
    n1.end_daemon("TERM");
}
