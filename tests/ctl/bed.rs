//! A real local service, with a manager that is made of data, and the real program against it.

use clusmgr::error::{Error, Kind, Result};
use clusmgr::event::{Event, Hub, Note, Severity};
use clusmgr::service::{Caller, Command, LocalService, Manager};
use clusmgr::types::{ConfigVersion, NodeId, Pid, WallMs};
use clusmgr::wire::{
    CheckReport, ClusterStatus, ConfigStatus, EventsPage, KeyStatus, LinkStatus, MemberState,
    MemberStatus, Mode, NodeStatus, ServiceState, ServiceStatus, Status, WireFinding,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const SOON: Duration = Duration::from_secs(20);

pub struct Fake {
    pub hub: Arc<Hub>,
    pub journal: Mutex<Vec<Value>>,
    pub state: Mutex<ServiceState>,
    /// None: corosync has not told about the cluster.
    pub quorate: Mutex<Option<bool>>,
    pub commands: Mutex<Vec<(Command, Duration)>>,
    /// How often the status was asked for.
    pub looks: AtomicUsize,
}

impl Fake {
    pub fn new() -> Arc<Fake> {
        Arc::new(Fake {
            hub: Arc::new(Hub::new(1000, 0)),
            journal: Mutex::default(),
            state: Mutex::new(ServiceState::Running),
            quorate: Mutex::new(Some(true)),
            commands: Mutex::default(),
            looks: AtomicUsize::new(0),
        })
    }

    pub fn publish(&self, seq: u64) {
        let text = format!("event number {seq}");
        let note = Note::new(clusmgr::event::Kind::ServiceReady, Severity::Notice, text);
        let value = serde_json::to_value(Event { seq, note }).unwrap();
        self.journal.lock().push(value.clone());
        self.hub.publish(seq, value.to_string().into());
    }

    /// Quorum comes or goes, and an event tells so.
    pub fn quorum(&self, quorate: bool) {
        *self.quorate.lock() = Some(quorate);
        self.publish(self.hub.latest() + 1);
    }

    pub fn turn(&self, state: ServiceState) {
        *self.state.lock() = state;
        self.publish(self.hub.latest() + 1);
    }
}

/// Two nodes, of which the second may be away.
fn cluster(quorate: bool) -> ClusterStatus {
    let member = |id: u32| MemberStatus {
        nodeid: NodeId(id),
        name: format!("n{id}"),
        votes: 1,
        state: match (id, quorate) {
            (2, false) => MemberState::Left,
            _ => MemberState::Member,
        },
        local: id == 1,
        config_version: Some(ConfigVersion(3)),
        left_at: None,
    };
    ClusterStatus {
        name: "made".to_owned(),
        quorate,
        expected_votes: 2,
        total_votes: if quorate { 2 } else { 1 },
        quorum: 2,
        members: vec![member(1), member(2)],
        ..ClusterStatus::default()
    }
}

fn link(connected: bool) -> LinkStatus {
    LinkStatus {
        nodeid: NodeId(2),
        name: "n2".to_owned(),
        link: 0,
        connected,
        mtu: 1397,
        latency_us: 250,
        down_count: 1,
        flapping: false,
        heard: None,
    }
}

impl Manager for Fake {
    fn status(&self) -> Status {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let state = *self.state.lock();
        let quorate = self
            .quorate
            .lock()
            .filter(|_| state == ServiceState::Running);
        Status {
            schema: 1,
            version: "0".to_owned(),
            node: NodeStatus {
                name: "n1".to_owned(),
                nodeid: None,
            },
            mode: Mode::Cluster,
            mode_reason: None,
            mode_detail: None,
            driver: "fake".to_owned(),
            daemon_pid: Pid(1),
            service: ServiceStatus {
                state,
                pid: Some(Pid(2)),
                adopted: false,
                since: WallMs(0),
                restarts: 0,
                deaths: 0,
                last_exit: None,
                next_retry_ms: None,
                hold: false,
                hold_until_boot: false,
            },
            cluster: quorate.map(cluster),
            links: quorate.map(link).into_iter().collect(),
            config: ConfigStatus::default(),
            key: KeyStatus::default(),
            peers: vec![],
            degraded: Vec::new(),
            last_event: self.hub.latest(),
        }
    }

    fn command(&self, command: Command, _: &Caller, wait: Duration) -> Result<Status> {
        self.commands.lock().push((command, wait));
        if command == Command::Restart {
            let e = Error::new("restart", "corosync", "it did not\nstart in time");
            return Err(e.hint("see its log").kind(Kind::TimedOut));
        }
        Ok(self.status())
    }

    fn events_since(&self, since: u64, limit: usize) -> Result<EventsPage> {
        let journal = self.journal.lock();
        let seq = |e: &Value| e["seq"].as_u64().unwrap();
        let first = journal.first().map_or(0, seq);
        let after = journal.iter().filter(|e| seq(e) > since);
        Ok(EventsPage {
            first,
            last: self.hub.latest(),
            gone: self.hub.latest() > since && (first == 0 || since + 1 < first),
            events: after.take(limit).cloned().collect(),
        })
    }

    fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    fn config_show(&self) -> Result<Value> {
        Ok(json!({"text": "totem {\n\tversion: 2\n}\n\u{1b}", "source": "c"}))
    }

    fn config_check(&self) -> Result<CheckReport> {
        let finding = WireFinding {
            line: 3,
            column: 1,
            path: "totem".to_owned(),
            severity: "error".to_owned(),
            message: "m".to_owned(),
        };
        Ok(CheckReport {
            path: "/c".to_owned(),
            ok: false,
            findings: vec![finding],
        })
    }

    fn config_diff(&self, text: Option<&[u8]>) -> Result<clusmgr::wire::DiffReport> {
        let plan = vec![format!("{} bytes", text.map_or(0, <[u8]>::len))];
        Ok(clusmgr::wire::DiffReport {
            diff: "-a\n+b\n".into(),
            plan,
        })
    }

    fn config_change(
        &self,
        request: &clusmgr::driver::change::Request,
        dry_run: bool,
    ) -> Result<clusmgr::wire::ChangeReport> {
        Ok(clusmgr::wire::ChangeReport {
            what: request.what.as_str().into(),
            done: !dry_run,
            how: "reload".into(),
            version: clusmgr::types::ConfigVersion(2),
            sha256: "ab".repeat(32),
            plan: vec!["totem.token: 1000 → 2000 (reload)".into()],
            warnings: Vec::new(),
            took_ms: 5,
        })
    }

    fn config_history(&self) -> Result<clusmgr::wire::HistoryPage> {
        Ok(clusmgr::wire::HistoryPage {
            entries: Vec::new(),
            damaged: 1,
        })
    }

    fn key_fingerprint(&self) -> Result<Value> {
        Err(Error::new("read", "authkey", "there is none").kind(Kind::NotConfigured))
    }
}

/// For tests in which a client changes something: only root may, and a skipped test is no test.
pub fn needs_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test needs uid 0: run it as root, or under \"unshare -r\""
    );
}

pub struct Bed {
    pub dir: TempDir,
    pub manager: Arc<Fake>,
    pub service: Option<LocalService>,
}

impl Bed {
    pub fn dead() -> Bed {
        Bed {
            dir: tempfile::tempdir().unwrap(),
            manager: Fake::new(),
            service: None,
        }
    }

    pub fn new() -> Bed {
        let mut bed = Bed::dead();
        bed.serve();
        bed
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("clusmgr.sock")
    }

    pub fn serve(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let listener = UnixListener::bind(self.socket()).unwrap();
        let manager: Arc<Fake> = Arc::clone(&self.manager);
        self.service = Some(LocalService::start(listener, manager).unwrap());
    }

    pub fn stop(&mut self) {
        assert_eq!(self.service.take().unwrap().stop(), 0);
    }

    pub fn command(&self, args: &str) -> std::process::Command {
        let mut c = std::process::Command::new(env!("CARGO_BIN_EXE_clusmgrctl"));
        c.args(args.split(' ')).arg("--socket").arg(self.socket());
        c.stdin(Stdio::null());
        c
    }

    /// Runs to the end: exit code, stdout, stderr.
    pub fn run(&self, args: &str) -> (i32, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(args).output().unwrap();
        let text = |b| String::from_utf8(b).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// Waits until so many clients are connected.
    pub fn connected(&self, n: usize) {
        let end = Instant::now() + SOON;
        while self.service.as_ref().unwrap().connections() != n {
            assert!(Instant::now() < end, "never {n} clients");
            std::thread::yield_now();
        }
    }
}

/// A `clusmgrctl` that goes on until it is killed.
pub struct Running {
    pub child: Child,
    pub lines: Receiver<String>,
}

impl Running {
    pub fn new(mut command: std::process::Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let out: ChildStdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(out)
                .lines()
                .map_while(std::result::Result::ok)
            {
                let _ = tell.send(line);
            }
        });
        Running { child, lines }
    }

    /// The next line that has this in it.
    pub fn expect(&self, part: &str) -> String {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no line with {part:?}"));
            if line.contains(part) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
