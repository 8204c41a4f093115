//! The local service over a real socket, with a manager that is made of data.

#![allow(clippy::unwrap_used)]

mod attackers;
mod elsewhere;
mod remote;
mod requests;
mod rounds;
mod streams;

use super::dispatch::{Caller, MAX_WAIT, dispatch};
use super::local::{Limits, LocalService};
use super::{Command, Hold, Manager};
use crate::error::{Error, Kind, Result};
use crate::event::Hub;
use crate::peer::Peers;
use crate::types::{Pid, WallMs};
use crate::wire::{
    Answer, CheckReport, ConfigStatus, EventsPage, KeyStatus, MAX_LINE, Mode, NodeStatus, Request,
    STATUS_SCHEMA, ServiceState, ServiceStatus, Status,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A manager whose `restart` lasts until the test says so.
struct Fake {
    hub: Arc<Hub>,
    journal: Mutex<Vec<u64>>,
    /// How much longer an event is than it need be.
    filling: usize,
    commands: Mutex<Vec<(Command, String, Duration)>>,
    entered: (Sender<()>, Receiver<()>),
    release: (Sender<()>, Receiver<()>),
    /// How long the configuration is.
    text: AtomicUsize,
    peers: Mutex<Option<Arc<Peers>>>,
}

impl Fake {
    fn new(ring: usize, filling: usize) -> Arc<Fake> {
        Arc::new(Fake {
            hub: Arc::new(Hub::new(ring, 0)),
            journal: Mutex::default(),
            filling,
            commands: Mutex::default(),
            entered: bounded(9),
            release: bounded(9),
            text: AtomicUsize::new(MAX_LINE),
            peers: Mutex::default(),
        })
    }

    fn event(&self, seq: u64) -> Value {
        json!({"seq": seq, "text": "x".repeat(self.filling)})
    }

    fn publish(&self, seq: u64) {
        self.journal.lock().push(seq);
        self.hub.publish(seq, self.event(seq).to_string().into());
    }
}

impl Manager for Fake {
    fn status(&self) -> Status {
        Status {
            schema: STATUS_SCHEMA,
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
                state: ServiceState::Running,
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
            cluster: None,
            links: Vec::new(),
            config: ConfigStatus::default(),
            key: KeyStatus::default(),
            peers: Vec::new(),
            degraded: Vec::new(),
            last_event: self.hub.latest(),
        }
    }

    fn command(&self, command: Command, caller: &Caller, wait: Duration) -> Result<Status> {
        let call = (command, caller.to_string(), wait);
        self.commands.lock().push(call);
        if command == Command::Restart {
            let _ = self.entered.0.send(());
            let _ = self.release.1.recv_timeout(SOON);
        }
        Ok(self.status())
    }

    fn events_since(&self, since: u64, limit: usize) -> Result<EventsPage> {
        let journal = self.journal.lock().clone();
        let first = journal.first().copied().unwrap_or(0);
        let after = journal.iter().filter(|s| **s > since).take(limit);
        Ok(EventsPage {
            first,
            last: self.hub.latest(),
            gone: since + 1 < first,
            events: after.map(|s| self.event(*s)).collect(),
        })
    }

    fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    fn config_show(&self) -> Result<Value> {
        let text = "x".repeat(self.text.load(Ordering::Relaxed));
        Ok(json!({"text": text, "source": "corosync.conf"}))
    }

    fn config_check(&self) -> Result<CheckReport> {
        Err(Error::new("read", "corosync.conf", "is not there").kind(Kind::NotConfigured))
    }

    fn config_diff(&self, text: Option<&[u8]>) -> Result<crate::wire::DiffReport> {
        let plan = vec![format!("{} bytes", text.map_or(0, <[u8]>::len))];
        Ok(crate::wire::DiffReport {
            diff: "-a\n+b\n".into(),
            plan,
        })
    }

    fn config_change(
        &self,
        request: &crate::driver::change::Request,
        dry_run: bool,
    ) -> Result<crate::wire::ChangeReport> {
        Ok(crate::wire::ChangeReport {
            what: request.what.as_str().into(),
            done: !dry_run,
            how: "reload".into(),
            version: crate::types::ConfigVersion(2),
            sha256: "ab".repeat(32),
            plan: vec!["totem.token: 1000 → 2000 (reload)".into()],
            warnings: Vec::new(),
            took_ms: 5,
        })
    }

    fn config_history(&self) -> Result<crate::wire::HistoryPage> {
        Ok(crate::wire::HistoryPage {
            entries: Vec::new(),
            damaged: 1,
        })
    }

    fn key_fingerprint(&self) -> Result<Value> {
        Ok(json!({"fingerprint": "f"}))
    }

    fn peers(&self) -> Option<Arc<Peers>> {
        self.peers.lock().clone()
    }
}

struct Bed {
    _dir: TempDir,
    path: std::path::PathBuf,
    manager: Arc<Fake>,
    service: LocalService,
}

impl Bed {
    fn new(manager: &Arc<Fake>, limits: Limits) -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let listener = UnixListener::bind(&path).unwrap();
        let m: Arc<Fake> = Arc::clone(manager);
        let service = LocalService::start_within(listener, m, limits).unwrap();
        Bed {
            _dir: dir,
            path,
            manager: Arc::clone(manager),
            service,
        }
    }

    fn plain() -> Bed {
        Bed::new(&Fake::new(64, 0), Limits::default())
    }

    fn client(&self) -> Client {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Client(BufReader::new(stream))
    }

    fn stop(self) {
        assert_eq!(self.service.stop(), 0, "threads are left");
    }
}

struct Client(BufReader<UnixStream>);

impl Client {
    /// What was sent; a service that has hung up takes nothing.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    /// The next line; `None` at the end, however that looks.
    fn line(&mut self) -> Option<Value> {
        let mut text = String::new();
        match self.0.read_line(&mut text) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&text).unwrap()),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(e) => panic!("no line in time: {e}"),
        }
    }

    fn ask(&mut self, request: &str) -> Value {
        self.send(format!("{request}\n").as_bytes());
        self.line().unwrap()
    }
}

/// For tests in which a client changes something: only root may, and a skipped test is no test.
fn needs_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test needs uid 0: run it as root, or under \"unshare -r\""
    );
}

fn code(reply: &Value) -> &str {
    reply["err"]["code"].as_str().unwrap_or("none")
}

const STATUS: &str = r#"{"id":7,"req":"status"}"#;
