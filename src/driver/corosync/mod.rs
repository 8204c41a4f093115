//! corosync as a cluster manager: configuration and key, the process, what it says.

mod ask;
pub mod authkey;
mod change;
pub mod diff;
pub mod exit;
pub mod finding;
pub mod history;
mod keys;
pub mod limits;
pub mod live;
mod margin;
pub mod model;
mod names;
pub mod nodes;
pub mod options;
pub mod output;
pub mod parse;
pub mod plan;
mod prepare;
pub mod process;
mod proof;
pub mod ready;
mod record;
mod remote;
pub mod render;
mod running;
pub mod service;
mod shm;
pub mod store;
mod tools;
mod unfinished;
pub mod validate;
pub mod value;
mod versions;
mod watch;

use super::{Driver, DriverData, Params, QueueSink, Watcher};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::event::{EventSink, EvtQueue, Kind, Note, Severity};
use crate::remote::RemoteView;
use crate::sys::corosync::{Libraries, Missing, dirs_for};
use crate::sys::file;
use crate::sys::spawn::{SpawnError, Stage};
use crate::sys::wake::Waker;
use crate::types::{NodeId, WallMs};
use crate::wire::{
    CheckReport, ClusterStatus, ConfigStatus, DegradedItem, DiffReport, HistoryPage, KeyStatus,
    LinkStatus, WireFinding,
};
use history::History;
use parking_lot::Mutex;
use remote::Remote;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use store::CorosyncConfig;
use tools::Cmap;
use watch::{Watch, Watching};

/// Most notes in each queue: more than a second of 5,000 events, for a thread that does not get to
/// run. An empty queue holds no memory.
const QUEUE_CAP: usize = 8192;

/// The shared half of the driver (C: `clusmgr_corosync_sys_t`, the `driver_data`).
///
/// Lock order: `ClusMgr` → `corosync_config_mtx` → `corosync_event_mtx` → `evt_internal_queue` →
/// `evt_public_queue`. None is held over I/O, and no two at once but the last two, for what goes from
/// one to the other.
pub struct CorosyncSys {
    /// What it was made from.
    pub(crate) params: Params,
    /// The configuration, the key, and what is known of them.
    pub(crate) corosync_config_mtx: Mutex<CorosyncConfig>,
    /// What is degraded, and whether a restart is needed.
    pub(crate) corosync_event_mtx: Mutex<EventState>,
    /// From the driver to the manager; its mutex is the C design's `evt_internal_queue.q_mtx`.
    pub(crate) evt_internal_queue: Arc<EvtQueue>,
    /// From the manager to the world; its mutex is the C design's `evt_public_queue.q_mtx`.
    pub(crate) evt_public_queue: EvtQueue,
    /// What the monitor and `cm-watch` share.
    watch: Watch,
    /// corosync's client libraries, once they were found. Taken for a line, and alone.
    libs: Mutex<Option<Arc<Libraries>>>,
    /// A question to corosync is under way: see `ask`.
    asking: Arc<AtomicBool>,
    /// For the remote service; see there.
    remote: Remote,
    sink: QueueSink,
    history: History,
}

impl fmt::Debug for CorosyncSys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorosyncSys")
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

/// What `corosync_event_mtx` guards.
#[derive(Debug, Default)]
pub struct EventState {
    /// By reason.
    degraded: BTreeMap<&'static str, DegradedItem>,
    /// A change that corosync cannot reload was made. (C: `corosync_reboot_needed`)
    pub(crate) corosync_reboot_needed: bool,
    /// The cluster as `cm-watch` sees it.
    cluster: Option<ClusterStatus>,
    /// The links, likewise.
    links: Vec<LinkStatus>,
    /// The running configuration, and which one of those seen so far it is.
    running: Option<(u64, Arc<Cmap>)>,
}

/// Makes the driver (C: `corosync_init`).
///
/// # Errors
/// When what the state directory holds is damaged or of an unknown version, or the notify socket
/// cannot be made.
pub fn corosync_init(params: Params) -> Result<Driver> {
    let sys = Arc::new(CorosyncSys::new(params)?);
    sys.load_record()?;
    sys.settle()?;
    // Whatever the mode will be: status tells what is there.
    sys.compare();
    sys.follow_remote();
    let service = service::CorosyncService::new(Arc::clone(&sys))?;
    Ok(Driver {
        service: Box::new(service),
        watcher: Some(Box::new(ClusterWatch(Arc::clone(&sys)))),
        data: sys,
    })
}

/// All that would keep corosync from running on this node, worst last; changes nothing.
pub fn corosync_test(params: &Params) -> Vec<Error> {
    let sys = match CorosyncSys::new(params.clone()) {
        Ok(sys) => sys,
        Err(e) => return vec![e],
    };
    let mut wrong = Vec::new();
    // First, as at a start: what is held stands in for a live file that is not there.
    let loaded = sys.load_held();
    let held = sys.corosync_config_mtx.lock().u.clone();
    let live = match (sys.read_live(), held) {
        (Ok(None), Some(held)) => match sys.kept_conf(&held) {
            Ok(bytes) => sys.check_conf(bytes).map(Some),
            Err(e) => {
                wrong.push(e);
                Ok(None)
            }
        },
        (live, _) => live,
    };
    match live {
        Ok(Some(_)) => {}
        Ok(None) if !wrong.is_empty() => {}
        Ok(None) => wrong.push(
            Error::new("read", params.paths.conf.display(), "it is not there")
                .hint("put the cluster's corosync.conf and authkey there")
                .kind(ErrorKind::NotConfigured),
        ),
        Err(findings) => {
            let path = params.paths.conf.display();
            wrong.extend(
                findings
                    .iter()
                    .map(|f| Error::new("use", path.to_string(), f)),
            );
        }
    }
    wrong.extend(loaded.err());
    let bin = &params.paths.bin;
    if let Err(e) = file::executable(bin) {
        // As a start would tell it.
        let e = SpawnError {
            stage: Stage::Exec,
            errno: e,
        };
        let e = Error::new("start", bin.display(), e);
        wrong.push(
            e.hint("install corosync there, or name it with --corosync-bin")
                .kind(ErrorKind::NotInstalled),
        );
    }
    wrong
}

impl CorosyncSys {
    fn new(params: Params) -> Result<CorosyncSys> {
        let internal = Arc::new(EvtQueue::new(QUEUE_CAP));
        Ok(CorosyncSys {
            watch: Watch::new()?,
            libs: Mutex::default(),
            asking: Arc::default(),
            remote: Remote::default(),
            sink: QueueSink::new(Arc::clone(&internal), Arc::clone(&params.waker)),
            history: History::new(&params.state_dir),
            params,
            corosync_config_mtx: Mutex::default(),
            corosync_event_mtx: Mutex::default(),
            evt_internal_queue: internal,
            evt_public_queue: EvtQueue::new(QUEUE_CAP),
        })
    }

    /// corosync's client libraries; they are looked for until they are found.
    fn libraries(&self) -> std::result::Result<Arc<Libraries>, Missing> {
        let found = self.libs.lock().clone();
        if let Some(libs) = found {
            return Ok(libs);
        }
        let libs = Libraries::load(&dirs_for(&self.params.paths.bin))?;
        *self.libs.lock() = Some(Arc::clone(&libs));
        Ok(libs)
    }

    /// What `cm-watch` sees, for `status`.
    fn show_cluster(&self, cluster: Option<ClusterStatus>, links: Vec<LinkStatus>) {
        let mut guard = self.corosync_event_mtx.lock();
        (guard.cluster, guard.links) = (cluster, links);
    }

    /// The running configuration, as `cm-watch` read it.
    fn show_running(&self, running: Cmap) {
        let mut guard = self.corosync_event_mtx.lock();
        let number = guard.running.as_ref().map_or(0, |(n, _)| *n) + 1;
        guard.running = Some((number, Arc::new(running)));
    }

    fn note(&self, note: Note) {
        self.sink.note(note);
    }

    /// Tells what the monitor has no part in, without waiting for its turn, which may take a while: it
    /// looks at files in it.
    fn tell(&self, notes: Vec<Note>) {
        for note in notes {
            self.evt_internal_queue.push(note);
        }
        self.evt_internal_queue.pass_to(&self.evt_public_queue);
    }

    /// A reason to call the node degraded; told when it appears, not when only its detail changes.
    fn set_degraded(&self, reason: &'static str, detail: &str) {
        if let Some(note) = self.degrade(reason, detail) {
            self.note(note);
        }
    }

    /// As [`CorosyncSys::set_degraded`]; what there is to tell is the caller's to tell.
    fn degrade(&self, reason: &'static str, detail: &str) -> Option<Note> {
        let mut guard = self.corosync_event_mtx.lock();
        if let Some(item) = guard.degraded.get_mut(reason) {
            detail.clone_into(&mut item.detail);
            return None;
        }
        let item = DegradedItem {
            reason: reason.to_owned(),
            since: WallMs::now(),
            detail: detail.to_owned(),
        };
        guard.degraded.insert(reason, item);
        drop(guard);
        let text = format!("{reason}: {detail}");
        let note = Note::new(Kind::Degraded, Severity::Warning, text);
        Some(note.with("reason", reason))
    }

    fn is_degraded(&self, reason: &'static str) -> bool {
        self.corosync_event_mtx.lock().degraded.contains_key(reason)
    }

    fn clear_degraded(&self, reason: &'static str) {
        if let Some(note) = self.restore(reason) {
            self.note(note);
        }
    }

    /// As [`CorosyncSys::clear_degraded`]; what there is to tell is the caller's to tell.
    fn restore(&self, reason: &'static str) -> Option<Note> {
        self.corosync_event_mtx.lock().degraded.remove(reason)?;
        let text = format!("{reason} is over");
        let note = Note::new(Kind::DegradedEnded, Severity::Notice, text);
        Some(note.with("reason", reason))
    }
}

impl DriverData for CorosyncSys {
    fn evt_internal_queue(&self) -> &EvtQueue {
        &self.evt_internal_queue
    }

    fn evt_public_queue(&self) -> &EvtQueue {
        &self.evt_public_queue
    }

    fn nodeid(&self) -> Option<NodeId> {
        self.corosync_config_mtx.lock().nodeid
    }

    fn cluster(&self) -> (Option<ClusterStatus>, Vec<LinkStatus>) {
        let guard = self.corosync_event_mtx.lock();
        (guard.cluster.clone(), guard.links.clone())
    }

    fn told(&self, ticket: Option<u64>, seq: u64) {
        self.watch.told(ticket, seq);
    }

    fn remote(&self) -> Arc<RemoteView> {
        self.remote_view()
    }

    fn watch_remote(&self, waker: &Arc<Waker>) {
        self.wake_for_remote(waker);
    }

    fn end_watch(&self) {
        self.watch.end();
    }

    fn config_status(&self) -> ConfigStatus {
        let guard = self.corosync_config_mtx.lock();
        ConfigStatus {
            path: self.params.paths.conf.display().to_string(),
            version: guard.version,
            sha256: guard.u.as_ref().map(|u| u.conf.clone()),
            drift: guard.drift,
            file_version: guard.file_version.filter(|_| guard.drift),
        }
    }

    fn key_status(&self) -> KeyStatus {
        let guard = self.corosync_config_mtx.lock();
        KeyStatus {
            path: guard.key_path.as_ref().map(|p| p.display().to_string()),
            fingerprint: guard.fingerprint.clone(),
            drift: guard.key_drift,
        }
    }

    fn degraded(&self) -> Vec<DegradedItem> {
        self.corosync_event_mtx
            .lock()
            .degraded
            .values()
            .cloned()
            .collect()
    }

    fn config_show(&self) -> Result<(String, String)> {
        self.shown()
    }

    fn config_check(&self) -> Result<CheckReport> {
        let path = self.params.paths.conf.display().to_string();
        let findings = match self.read_live() {
            Ok(Some(live)) => live.warnings().to_vec(),
            Ok(None) => {
                return Err(Error::new("check", path, "it is not there")
                    .hint("name a file, or put one there")
                    .kind(ErrorKind::NotConfigured));
            }
            Err(findings) => findings,
        };
        let ok = !finding::has_errors(&findings);
        let findings = findings.into_iter().map(WireFinding::from).collect();
        Ok(CheckReport { path, ok, findings })
    }

    fn config_diff(&self, text: Option<&[u8]>) -> Result<DiffReport> {
        self.diff(text)
    }

    fn config_history(&self) -> Result<HistoryPage> {
        let found = self.history.read()?;
        Ok(HistoryPage {
            entries: found.entries,
            damaged: found.damaged,
        })
    }

    fn key_fingerprint(&self) -> Result<String> {
        self.live_fingerprint()
    }
}

/// The work of `cm-watch`. Its connections are bound to that thread, so they are made there.
struct ClusterWatch(Arc<CorosyncSys>);

impl Watcher for ClusterWatch {
    fn run(self: Box<Self>) {
        Watching::new(self.0).run();
    }
}

impl From<finding::Finding> for WireFinding {
    fn from(f: finding::Finding) -> WireFinding {
        WireFinding {
            line: f.line,
            column: f.column,
            path: f.path,
            severity: f.severity.to_string(),
            message: f.message,
        }
    }
}
