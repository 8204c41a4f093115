//! The manager: one global `ClusMgr` behind a mutex, the monitor thread that owns the process, and
//! the thread that numbers and journals events.

mod asked;
mod change;
mod kept;
pub mod monitor;
mod peers;
pub mod publish;
pub mod state;
mod turn;
mod view;

pub use kept::{Kept, STATE_NAME, STATE_VERSION};

use view::View;

use crate::driver::{DriverData, DriverOps};
use crate::error::{Error, Kind, Result};
use crate::event::{Hub, Note};
use crate::journal::Reader;
use crate::peer::Peers;
use crate::peer::watch::PeerWatch;
use crate::policy::Policy;
use crate::sys::wake::Waker;
use crate::sys::{clock, host};
use crate::types::Mono;
use crate::wire::{NodeStatus, STATUS_SCHEMA, ServiceStatus, Status};
use parking_lot::{Condvar, Mutex, MutexGuard};
use state::{Hold, Input, State};
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most orders that wait for the monitor.
const MAX_ORDERS: usize = 64;

/// The degraded reason of a hold, or the end of one, that is not on disk.
const HOLD_UNSAVED: &str = "hold-unsaved";

/// A service that runs on threads of its own and can be ended (C: `cl_svc_hdl`).
pub trait ServiceHandle: Send {
    /// Ends it and joins its threads; bounded in time.
    fn stop(self: Box<Self>);
}

/// The manager's state that all threads see (C: `clusmgr_t`, `g_clusmgr`).
pub struct ClusMgr {
    /// The driver's row of the table.
    pub op: &'static DriverOps,
    /// The shared half of the driver.
    pub driver_data: Arc<dyn DriverData>,
    /// The monitor thread.
    pub cl_hdl: Option<JoinHandle<()>>,
    /// The local service.
    pub cl_svc_hdl: Option<Box<dyn ServiceHandle>>,
    /// The remote service.
    pub cl_svc_hdl_remote: Option<Box<dyn ServiceHandle>>,
    /// What the monitor shows of itself.
    view: View,
    /// What clients want of the monitor, oldest first.
    orders: VecDeque<Order>,
    /// The change of the configuration that is under way, in words.
    changing: Option<String>,
    /// What the last clusmgr left of a change is not settled yet: no other begins.
    unsettled: bool,
    /// This node's turn in a round of restarts.
    claim: Option<turn::Claim>,
    /// Which orders of other nodes were told.
    asked: asked::Asked,
    /// The number of the newest order.
    given: u64,
}

impl fmt::Debug for ClusMgr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusMgr")
            .field("op", &self.op)
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// One command for the monitor.
#[derive(Debug, Clone)]
struct Order {
    number: u64,
    input: Input,
    by: String,
}

/// What a client may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// End a hold that lasts at most so long; run.
    Start(Hold),
    /// Hold stopped, for so long.
    Stop(Hold),
    /// Stop, then run.
    Restart,
    /// The same in a round over all nodes: only if it is this node's turn.
    RestartInTurn,
}

impl Command {
    fn input(self) -> Input {
        match self {
            Command::Start(ends) => Input::Start(ends),
            Command::Stop(hold) => Input::Stop(hold),
            Command::Restart | Command::RestartInTurn => Input::Restart,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Start(_) => "start",
            Command::Stop(_) => "stop",
            Command::Restart | Command::RestartInTurn => "restart",
        }
    }
}

/// The manager: `ClusMgr` behind its mutex, and what needs no lock.
pub struct Manager {
    /// Lock order: this, then the driver's four (see `CorosyncSys`). Never held over I/O or a wait.
    clusmgr: Mutex<ClusMgr>,
    /// The view has changed.
    changed: Condvar,
    waker: Arc<Waker>,
    hub: Arc<Hub>,
    journal: Reader,
    node_name: String,
    /// When the monitor was last seen at work ([`Mono`]).
    beat: AtomicU64,
    /// The way to the other nodes.
    peers: OnceLock<Arc<Peers>>,
    /// Who compares them with this one, where somebody does.
    peer_watch: OnceLock<Arc<PeerWatch>>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("node_name", &self.node_name)
            .finish_non_exhaustive()
    }
}

/// C: `g_clusmgr`.
static G_CLUSMGR: OnceLock<Arc<Manager>> = OnceLock::new();

/// The one global manager; none before the daemon has set it.
#[must_use]
pub fn global() -> Option<Arc<Manager>> {
    G_CLUSMGR.get().cloned()
}

/// Makes a manager the global one.
///
/// # Errors
/// When there is one already.
pub fn set_global(manager: Arc<Manager>) -> Result<()> {
    G_CLUSMGR
        .set(manager)
        .map_err(|_| Error::new("set", "the manager", "there is one already"))
}

impl Manager {
    /// A manager of this driver; the monitor is not started yet.
    #[must_use]
    pub fn new(
        op: &'static DriverOps,
        driver_data: Arc<dyn DriverData>,
        node_name: String,
        waker: Arc<Waker>,
        hub: Arc<Hub>,
        journal: Reader,
    ) -> Manager {
        let view = View::of(&State::new(Policy::default(), None));
        let beat = AtomicU64::new(clock::now().0);
        let clusmgr = ClusMgr {
            op,
            driver_data,
            cl_hdl: None,
            cl_svc_hdl: None,
            cl_svc_hdl_remote: None,
            view,
            orders: VecDeque::new(),
            changing: None,
            unsettled: false,
            claim: None,
            asked: asked::Asked::default(),
            given: 0,
        };
        Manager {
            clusmgr: Mutex::new(clusmgr),
            changed: Condvar::new(),
            waker,
            hub,
            journal,
            node_name,
            beat,
            peers: OnceLock::new(),
            peer_watch: OnceLock::new(),
        }
    }

    /// Runs a few lines under the lock.
    pub fn with<T>(&self, f: impl FnOnce(&mut ClusMgr) -> T) -> T {
        f(&mut self.clusmgr.lock())
    }

    /// Where to follow the events.
    #[must_use]
    pub fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    /// What has left the hub.
    #[must_use]
    pub fn journal(&self) -> &Reader {
        &self.journal
    }

    /// The shared half of the driver.
    #[must_use]
    pub fn driver_data(&self) -> Arc<dyn DriverData> {
        Arc::clone(&self.clusmgr.lock().driver_data)
    }

    /// The way to the other nodes; none before [`Manager::set_peers`].
    #[must_use]
    pub fn peers(&self) -> Option<Arc<Peers>> {
        self.peers.get().cloned()
    }

    /// Once: the way to the other nodes.
    pub fn set_peers(&self, peers: Arc<Peers>) {
        // A second one would be a mistake of the daemon's start, and changes nothing.
        let _ = self.peers.set(peers);
    }

    /// What `status` answers.
    #[must_use]
    pub fn status(&self) -> Status {
        let guard = self.clusmgr.lock();
        let view = guard.view.clone();
        let data = Arc::clone(&guard.driver_data);
        let driver = guard.op.name.to_owned();
        drop(guard);
        let now = clock::now();
        let mut degraded = view.degraded;
        degraded.extend(data.degraded());
        let peers = self.peer_watch.get();
        degraded.extend(peers.map_or_else(Vec::new, |p| p.degraded()));
        let (cluster, links) = data.cluster();
        let left = |at: Mono| u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX);
        Status {
            schema: STATUS_SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: NodeStatus {
                name: self.node_name.clone(),
                nodeid: data.nodeid(),
            },
            mode: view.mode,
            mode_reason: view.reason,
            mode_detail: view.detail,
            driver,
            daemon_pid: host::own_pid(),
            service: ServiceStatus {
                state: view.service,
                pid: view.pid,
                adopted: view.adopted,
                since: view.since,
                restarts: view.restarts,
                deaths: view.deaths,
                last_exit: view.last_exit,
                next_retry_ms: view.retry_at.map(left),
                hold: view.hold.is_some(),
                hold_until_boot: view.hold == Some(Hold::UntilBoot),
            },
            cluster,
            links,
            config: data.config_status(),
            key: data.key_status(),
            peers: peers.map_or_else(Vec::new, |p| p.statuses()),
            degraded,
            last_event: self.hub.latest(),
        }
    }

    /// Gives the monitor a command and waits for what comes of it, `wait` at most; with no wait at
    /// all it returns when the command is queued.
    ///
    /// # Errors
    /// When it did not come about; in the words of the last exit or of the mode.
    pub fn command(&self, wanted: Command, by: &str, wait: Duration) -> Result<()> {
        if wanted != Command::RestartInTurn {
            return self.place(wanted, by, wait, None);
        }
        self.in_turn(|| self.place(Command::Restart, by, wait, None))
    }

    fn place(
        &self,
        wanted: Command,
        by: &str,
        wait: Duration,
        peer: Option<(&str, IpAddr)>,
    ) -> Result<()> {
        let deadline = Instant::now() + wait;
        let object = "corosync";
        let mut guard = self.clusmgr.lock();
        if guard.view.ending || guard.view.ended {
            let e = Error::new(wanted.as_str(), object, "clusmgr is ending");
            return Err(e.kind(Kind::NotRunning));
        }
        if guard.orders.len() >= MAX_ORDERS {
            return Err(
                Error::new(wanted.as_str(), object, "too many orders wait").kind(Kind::Busy)
            );
        }
        if let Some(peer) = peer {
            guard.tell_of(peer, wanted, by);
        }
        let number = guard.give(wanted.input(), by);
        MutexGuard::unlocked(&mut guard, || self.waker.wake());
        while !wait.is_zero() {
            if let Some(outcome) = guard.view.outcome(wanted, number) {
                return outcome;
            }
            if self.changed.wait_until(&mut guard, deadline).timed_out() {
                let state = guard.view.service.as_str();
                let cause = format!("it is {state} after {} s", wait.as_secs());
                let e = Error::new(wanted.as_str(), object, cause);
                return Err(e
                    .hint("'clusmgrctl status' shows how it goes on")
                    .kind(Kind::TimedOut));
            }
        }
        Ok(())
    }

    /// Gives the monitor an input that is no client's: shutdown, leave, a change.
    pub fn tell(&self, input: Input, by: &str) {
        self.clusmgr.lock().give(input, by);
        self.waker.wake();
    }

    /// Tells the world something.
    pub fn publish(&self, note: Note) {
        self.driver_data().evt_public_queue().push(note);
    }

    /// Hands on what the driver said after the monitor had ended.
    pub fn pass_last_events(&self) {
        publish::pass(&*self.driver_data());
    }

    /// How long the monitor has not been seen at work.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        clock::now().since(Mono(self.beat.load(Ordering::Relaxed)))
    }

    /// Waits until the monitor has shown itself for the first time; false at the deadline.
    #[must_use]
    pub fn wait_begun(&self, deadline: Instant) -> bool {
        self.wait_for(deadline, |view| view.begun)
    }

    /// Waits until the monitor has ended; false at the deadline.
    #[must_use]
    pub fn wait_ended(&self, deadline: Instant) -> bool {
        self.wait_for(deadline, |view| view.ended)
    }

    fn wait_for(&self, deadline: Instant, done: impl Fn(&View) -> bool) -> bool {
        let mut guard = self.clusmgr.lock();
        while !done(&guard.view) {
            if self.changed.wait_until(&mut guard, deadline).timed_out() {
                return done(&guard.view);
            }
        }
        true
    }

    fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.clusmgr.lock().orders).into()
    }

    fn show(&self, view: View) {
        self.beat.store(clock::now().0, Ordering::Relaxed);
        self.clusmgr.lock().view = view;
        self.changed.notify_all();
    }
}

impl ClusMgr {
    fn give(&mut self, input: Input, by: &str) -> u64 {
        self.given += 1;
        self.orders.push_back(Order {
            number: self.given,
            input,
            by: by.to_owned(),
        });
        self.given
    }
}
