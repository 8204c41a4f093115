//! What a cluster manager must be able to do: the C design's `clusmgr_ops_t` and `driver_data`.
//!
//! A driver has two halves. The [`Service`] holds the process and belongs to the monitor thread
//! alone. The [`DriverData`] is shared with the services, behind the locks that it names. Neither
//! sees the manager: what happens goes out through an [`EventSink`].

pub mod change;
pub mod corosync;
pub mod table;

use crate::error::{Error, Result};
use crate::event::{EventSink, EvtQueue, Note};
use crate::paths::CorosyncPaths;
use crate::remote::{RemoteSource, RemoteView};
use crate::sys::wake::Waker;
use crate::types::{Mono, NodeId, Pid};
use crate::wire::{
    CheckReport, ClusterStatus, ConfigStatus, DegradedItem, DiffReport, HistoryPage, KeyStatus,
    LastExit, LinkStatus,
};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// So long may corosync live without READY=1 before it counts as running, with a degraded reason: a
/// build without systemd support never says it, and what lives is not disturbed.
pub const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a driver is made from.
#[derive(Debug, Clone)]
pub struct Params {
    /// `--node`.
    pub node_name: String,
    /// Where corosync's things are.
    pub paths: CorosyncPaths,
    /// `--state-dir`; exists and can be written.
    pub state_dir: PathBuf,
    /// `--run-dir`; exists and can be written.
    pub run_dir: PathBuf,
    /// `--hang-timeout`; none for off.
    pub hang_timeout: Option<Duration>,
    /// `--poll-interval`: how often `check_service` is called when nothing happens.
    pub poll_interval: Duration,
    /// Ends the monitor's sleep.
    pub waker: Arc<Waker>,
}

/// A row of the driver table (C: `clusmgr_ops_t`).
pub struct DriverOps {
    /// The name that `--driver` takes.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// C: `corosync_init`.
    pub init: fn(Params) -> Result<Driver>,
    /// For `--test`: all that would keep it from running, worst last. Changes nothing.
    pub test: fn(&Params) -> Vec<Error>,
}

impl fmt::Debug for DriverOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverOps")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The two halves of a driver.
pub struct Driver {
    /// The monitor's.
    pub service: Box<dyn Service>,
    /// Everybody's (C: `driver_data`).
    pub data: Arc<dyn DriverData>,
    /// The thread's that looks at the cluster, where the driver has one.
    pub watcher: Option<Box<dyn Watcher>>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

/// What a driver does on a thread of its own, `cm-watch`: it may be held up by its service.
pub trait Watcher: Send {
    /// Works until [`DriverData::end_watch`].
    fn run(self: Box<Self>);
}

/// A process that now runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub pid: Pid,
    /// When it was executed.
    pub since: Mono,
}

/// Why a start did not come to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFailure {
    /// There is no configuration.
    Unconfigured,
    /// The configuration or the key cannot be used.
    BadConfig,
    /// The binary is not there or cannot be executed.
    NoBinary,
    /// Anything that may be better next time.
    Transient,
}

/// A failed start.
#[derive(Debug)]
pub enum StartError {
    /// One runs already; it was adopted.
    AlreadyRunning(Run),
    /// It did not come to a process.
    Failed(StartFailure, Error),
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// For people and `status`.
    pub exit: LastExit,
    /// Retrying cannot heal it: the configuration is bad.
    pub permanent: bool,
}

/// How a process hangs: for longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hang {
    /// It is stopped (`T`).
    Stopped(Duration),
    /// It leaves a client's call unanswered.
    Unanswered(Duration),
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hang::Stopped(time) => write!(f, "was stopped for {:.1} s", time.as_secs_f32()),
            Hang::Unanswered(time) => {
                write!(f, "left a call unanswered for {:.1} s", time.as_secs_f32())
            }
        }
    }
}

/// What a check found (C: `corosync_check_process`). Several can hold at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// READY=1 has come.
    pub ready: bool,
    /// The process has ended, and was reaped if it was a child.
    pub ended: Option<Ended>,
    /// It ended because another one of this node runs already.
    pub already_running: bool,
    /// It does nothing any more.
    pub hung: Option<Hang>,
    /// A change needs a restart (C: `corosync_reboot_needed`).
    pub need_restart: bool,
}

/// The half that holds the process. Only the monitor thread calls it, and nothing in it waits.
pub trait Service: Send {
    /// Looks for a living corosync that is this node's, and takes it over.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    fn adopt_service(&mut self) -> Result<Option<Run>>;
    /// Writes configuration and key, forks and execs (C: `corosync_start_process`).
    ///
    /// # Errors
    /// When it does not come to a new process.
    fn start_service(&mut self) -> std::result::Result<Run, StartError>;
    /// Signals the process (C: `corosync_stop_process`); its end comes by `check_service`.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    fn stop_service(&mut self, how: How) -> Result<()>;
    /// C: `corosync_check_process`. Cheap: called on every wake-up.
    fn check_service(&mut self, now: Mono) -> Check;
    /// C: `corosync_check_misc`. Called once a period; true if the configuration, the key or the
    /// binary has changed since the last call.
    fn check_misc(&mut self, now: Mono) -> bool;
    /// Before the first start: takes in what is compared with the other nodes, where nothing is held yet. What
    /// is wrong with it, the start tells.
    fn look_first(&mut self) {}
    /// When `check_service` must be called again, at the latest, however long the period is.
    fn next_look(&self) -> Option<Mono> {
        None
    }
    /// What must end the monitor's sleep when it becomes readable.
    fn wake_fds(&self) -> Vec<BorrowedFd<'_>>;
}

/// The half that is shared. Every call is short and does no more I/O than reading a small file.
pub trait DriverData: change::Changes + Send + Sync {
    /// From the driver to the manager.
    fn evt_internal_queue(&self) -> &EvtQueue;
    /// From the manager to the world.
    fn evt_public_queue(&self) -> &EvtQueue;
    /// This node's id, if the configuration has it.
    fn nodeid(&self) -> Option<NodeId>;
    /// For `status`: the cluster and the links, as far as they are known.
    fn cluster(&self) -> (Option<ClusterStatus>, Vec<LinkStatus>) {
        (None, Vec::new())
    }
    /// All events up to this number are out: in the journal, if that takes any. The newest of them has this
    /// ticket ([`Note::ticket`]), if any.
    fn told(&self, _ticket: Option<u64>, _seq: u64) {}
    /// For the remote service and the client of the other nodes.
    fn remote(&self) -> Arc<RemoteView> {
        Arc::default()
    }
    /// Wakes somebody, as long as he is there, whenever [`DriverData::remote`] has become another one.
    fn watch_remote(&self, _waker: &Arc<Waker>) {}
    /// Ends the [`Watcher`].
    fn end_watch(&self) {}
    /// For `status`.
    fn config_status(&self) -> ConfigStatus;
    /// For `status`.
    fn key_status(&self) -> KeyStatus;
    /// For `status`.
    fn degraded(&self) -> Vec<DegradedItem>;
    /// The configuration as clusmgr holds it (the live one, before it holds any), secrets replaced;
    /// and the file that it was read from.
    ///
    /// # Errors
    /// When there is none.
    fn config_show(&self) -> Result<(String, String)>;
    /// Checks the live configuration.
    ///
    /// # Errors
    /// When it cannot be read.
    fn config_check(&self) -> Result<CheckReport>;
    /// What a text, or the live configuration, would change of what clusmgr holds.
    ///
    /// # Errors
    /// When it cannot be read or parsed.
    fn config_diff(&self, text: Option<&[u8]>) -> Result<DiffReport>;
    /// The last changes.
    ///
    /// # Errors
    /// When they cannot be read.
    fn config_history(&self) -> Result<HistoryPage>;
    /// The fingerprint of the live key.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    fn key_fingerprint(&self) -> Result<String>;
}

impl RemoteSource for Arc<dyn DriverData> {
    fn remote(&self) -> Arc<RemoteView> {
        self.as_ref().remote()
    }

    fn watch_remote(&self, waker: &Arc<Waker>) {
        self.as_ref().watch_remote(waker);
    }
}

/// A sink that fills a driver's internal queue and wakes the monitor.
#[derive(Debug, Clone)]
pub struct QueueSink {
    queue: Arc<EvtQueue>,
    waker: Arc<Waker>,
}

impl QueueSink {
    /// A sink into this queue.
    #[must_use]
    pub fn new(queue: Arc<EvtQueue>, waker: Arc<Waker>) -> QueueSink {
        QueueSink { queue, waker }
    }
}

impl EventSink for QueueSink {
    fn note(&self, note: Note) {
        self.queue.push(note);
        self.waker.wake();
    }
}
