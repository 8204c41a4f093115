//! The remote service (C: `clusmgr_core_start_services`, `cl_svc_hdl_remote`): the other nodes' way to
//! this one, whatever corosync does.
//!
//! One thread, `cm-remote`, lets everybody in and makes the handshakes of all of them, so that who has no
//! key costs no thread; who has shown the key gets a thread of his own.

mod door;
mod listen;
mod member;
mod places;
mod refusals;
mod stranger;

pub use listen::port;

use super::Manager;
use super::threads::{STACK, Threads};
use crate::error::{Error, Result};
use crate::listen::Listen;
use crate::mgr::ServiceHandle;
use crate::remote::RemoteSource;
use crate::sys::wake::Waker;
use door::Door;
use member::Slot;
use parking_lot::{Condvar, Mutex};
use places::{Admission, Class, Places};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// The bounds; tests have narrower ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time, of whomever.
    pub(super) clients: usize,
    /// Of them, from one address.
    pub(super) of_address: usize,
    /// To show that one has the key.
    pub(super) handshake: Duration,
    /// Without a request.
    pub(super) idle: Duration,
    /// From the first byte of a message to its last.
    pub(super) half_message: Duration,
    /// For one message to be read by the other side.
    pub(super) write: Duration,
    /// For requests under way when the service stops.
    pub(super) grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            clients: 64,
            of_address: 4,
            handshake: Duration::from_secs(2),
            idle: Duration::from_secs(30),
            half_message: Duration::from_secs(10),
            write: Duration::from_secs(5),
            grace: Duration::from_secs(2),
        }
    }
}

/// What the door and the connections share.
#[derive(Debug)]
struct Shared {
    limits: Limits,
    /// The last of the locks, and never held across a call that can block.
    table: Mutex<Table>,
    /// Somebody left.
    left: Condvar,
    stopping: AtomicBool,
    /// Where it listens, for those who ask.
    addresses: Mutex<Vec<SocketAddr>>,
}

#[derive(Debug)]
struct Table {
    places: Places,
    members: HashMap<u64, Arc<Slot>>,
}

impl Shared {
    fn new(limits: Limits) -> Shared {
        Shared {
            limits,
            table: Mutex::new(Table {
                places: Places::new(limits.clients, limits.of_address),
                members: HashMap::new(),
            }),
            left: Condvar::new(),
            stopping: AtomicBool::new(false),
            addresses: Mutex::default(),
        }
    }

    fn admit(&self, ip: IpAddr) -> Admission {
        self.table.lock().places.admit(ip)
    }

    fn proven(&self, id: u64) {
        self.table.lock().places.comes(id, Class::Proven);
    }

    fn member(&self, id: u64, slot: Arc<Slot>) {
        let mut table = self.table.lock();
        table.places.comes(id, Class::Member);
        table.members.insert(id, slot);
    }

    fn ends(&self, id: u64) -> bool {
        self.table.lock().places.ends(id)
    }

    fn expelled(&self, id: u64) -> bool {
        self.table.lock().places.expelled(id)
    }

    /// All members end, those with a request as soon as it is answered.
    fn expel(&self) {
        let mut table = self.table.lock();
        let members = table.places.expel();
        let slots = members.iter().filter_map(|id| table.members.get(id));
        let slots: Vec<Arc<Slot>> = slots.cloned().collect();
        drop(table);
        for slot in slots {
            slot.waker.wake();
        }
    }

    fn leave(&self, id: u64) {
        let mut table = self.table.lock();
        table.places.leave(id);
        table.members.remove(&id);
        drop(table);
        self.left.notify_all();
    }

    fn wait_empty(&self, deadline: Instant) -> usize {
        let mut table = self.table.lock();
        while !table.members.is_empty() && !self.left.wait_until(&mut table, deadline).timed_out() {
        }
        table.members.len()
    }
}

/// The running service; [`RemoteService::stop`] ends it.
#[derive(Debug)]
pub struct RemoteService {
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    thread: JoinHandle<Threads>,
}

impl RemoteService {
    /// Serves the other nodes of a configuration, on threads `cm-remote` and `cm-conn-N`.
    /// Where there is no key, nobody is served until there is one.
    ///
    /// # Errors
    /// No descriptor or no thread is to be had.
    pub fn start(
        listen: Listen,
        source: Arc<dyn RemoteSource>,
        manager: Arc<dyn Manager>,
    ) -> Result<RemoteService> {
        RemoteService::start_within(listen, source, manager, Limits::default())
    }

    pub(super) fn start_within(
        listen: Listen,
        source: Arc<dyn RemoteSource>,
        manager: Arc<dyn Manager>,
        limits: Limits,
    ) -> Result<RemoteService> {
        let waker = Arc::new(Waker::new()?);
        let shared = Arc::new(Shared::new(limits));
        source.watch_remote(&waker);
        let door = Door::new(
            listen,
            source,
            manager,
            Arc::clone(&shared),
            Arc::clone(&waker),
        );
        let failed = |e: io::Error| Error::io("start", "remote service", &e);
        let thread = Builder::new()
            .name("cm-remote".to_owned())
            .stack_size(STACK)
            .spawn(|| door.run())
            .map_err(failed)?;
        Ok(RemoteService {
            shared,
            waker,
            thread,
        })
    }

    /// Where it listens at the moment, with the ports that the kernel has given.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.shared.addresses.lock().clone()
    }

    /// Lets nobody in any more, lets requests under way end for a moment, closes all connections and
    /// joins all threads; gives how many could not be joined in bounded time.
    #[must_use]
    pub fn stop(self) -> usize {
        self.shared.stopping.store(true, Ordering::Release);
        self.waker.wake();
        let Ok(threads) = self.thread.join() else {
            return 1;
        };
        let slots = {
            let mut table = self.shared.table.lock();
            table.places.stop();
            table.members.values().cloned().collect::<Vec<_>>()
        };
        for slot in &slots {
            slot.waker.wake();
        }
        let grace = self.shared.limits.grace;
        if self.shared.wait_empty(Instant::now() + grace) > 0 {
            for slot in &slots {
                let _ = slot.stream.shutdown(Shutdown::Both);
            }
            let left = self.shared.wait_empty(Instant::now() + grace);
            if left > 0 {
                return left;
            }
        }
        threads.join();
        0
    }
}

impl ServiceHandle for RemoteService {
    fn stop(self: Box<Self>) {
        let left = RemoteService::stop(*self);
        if left > 0 {
            log::warn!("{left} connections of other nodes did not end in time");
        }
    }
}
