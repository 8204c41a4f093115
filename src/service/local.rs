//! The local service (C: `clusmgr_start_services`): a Unix socket, one thread for each client.

use super::Manager;
use super::conn::{Conn, Slot, reply_line};
use super::dispatch::{Caller, refuse};
use super::table::{Admission, End, Subscription, Table};
use super::threads::{STACK, Threads};
use crate::error::{Error, Kind, Result};
use crate::sys::ready::{Want, wait};
use crate::sys::sock;
use crate::sys::wake::Waker;
use crate::wire::PROTO;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long nobody is let in when a descriptor or memory is missing; the backlog keeps them.
const SHORTAGE: Duration = Duration::from_secs(1);

/// The bounds; tests have narrower ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Clients at a time.
    pub(super) clients: usize,
    /// Of them, subscribers.
    pub(super) subscribers: usize,
    /// From the first byte of a line to its last.
    pub(super) half_line: Duration,
    /// For one line to be read by the client.
    pub(super) write: Duration,
    /// For requests under way when the service stops; after that their sockets are shut.
    pub(super) grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            clients: 64,
            subscribers: 32,
            half_line: Duration::from_secs(10),
            write: Duration::from_secs(5),
            grace: Duration::from_secs(2),
        }
    }
}

/// What the accepting thread and the connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    /// The last of the locks (subscribers), and never held across a call that can block.
    table: Mutex<Table<Arc<Slot>>>,
    /// Somebody left.
    left: Condvar,
    stopping: AtomicBool,
    /// To be listened on instead: somebody has removed the other's path.
    fresh: Mutex<Option<UnixListener>>,
}

impl Shared {
    pub(super) fn begin(&self, id: u64) -> std::result::Result<(), End> {
        self.table.lock().begin(id)
    }

    pub(super) fn done(&self, id: u64) {
        self.table.lock().done(id);
    }

    /// Whether there is room for one more that follows.
    pub(super) fn subscribe(&self, id: u64) -> bool {
        let granted = self.table.lock().subscribe(id);
        match granted {
            Subscription::Full => return false,
            Subscription::Cut(other) => other.shut(),
            Subscription::Free => {}
        }
        true
    }

    /// A subscriber does not read, or does so again.
    pub(super) fn stuck(&self, id: u64, stuck: bool) {
        self.table.lock().stuck(id, stuck);
    }

    /// It did not become one after all.
    pub(super) fn unsubscribe(&self, id: u64) {
        self.table.lock().done(id);
    }

    pub(super) fn end(&self, id: u64) -> Option<End> {
        self.table.lock().end(id)
    }

    pub(super) fn leave(&self, id: u64) {
        self.table.lock().leave(id);
        self.left.notify_all();
    }

    /// Waits until nobody is there; how many are left at the deadline.
    fn wait_empty(&self, deadline: Instant) -> usize {
        let mut table = self.table.lock();
        while table.len() > 0 && !self.left.wait_until(&mut table, deadline).timed_out() {}
        table.len()
    }
}

/// The running service. It goes on when this is dropped; [`LocalService::stop`] ends it.
#[derive(Debug)]
pub struct LocalService {
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    thread: JoinHandle<Threads>,
}

impl LocalService {
    /// Serves clients on a bound and listening socket, on threads `cm-local` and `cm-conn-N`.
    ///
    /// # Errors
    /// No descriptor or no thread is to be had.
    pub fn start(listener: UnixListener, manager: Arc<dyn Manager>) -> Result<LocalService> {
        LocalService::start_within(listener, manager, Limits::default())
    }

    pub(super) fn start_within(
        listener: UnixListener,
        manager: Arc<dyn Manager>,
        limits: Limits,
    ) -> Result<LocalService> {
        let failed = |e: io::Error| Error::io("start", "local service", &e);
        listener.set_nonblocking(true).map_err(failed)?;
        let waker = Arc::new(Waker::new()?);
        let shared = Arc::new(Shared {
            limits,
            table: Mutex::new(Table::new(limits.clients, limits.subscribers)),
            left: Condvar::new(),
            stopping: AtomicBool::new(false),
            fresh: Mutex::new(None),
        });
        let door = Door {
            listener,
            manager,
            shared: Arc::clone(&shared),
            waker: Arc::clone(&waker),
            threads: Threads::default(),
        };
        let thread = thread::Builder::new()
            .name("cm-local".to_owned())
            .stack_size(STACK)
            .spawn(|| door.run())
            .map_err(failed)?;
        Ok(LocalService {
            shared,
            waker,
            thread,
        })
    }

    /// For when the socket's path is removed.
    #[must_use]
    pub fn renewer(&self) -> Renewer {
        Renewer {
            shared: Arc::clone(&self.shared),
            waker: Arc::clone(&self.waker),
        }
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.table.lock().len()
    }

    /// How many subscribers do not read.
    #[cfg(test)]
    pub(super) fn stuck(&self) -> usize {
        self.shared.table.lock().stuck_ones().len()
    }

    /// Lets nobody in any more, lets requests under way end for a moment, closes all connections
    /// and joins all threads. Subscribers get what the hub has before.
    ///
    /// Returns how many threads could not be joined in bounded time: those that wait in the
    /// manager, which is to be told to end first.
    #[must_use]
    pub fn stop(self) -> usize {
        self.shared.stopping.store(true, Ordering::Release);
        self.waker.wake();
        let Ok(threads) = self.thread.join() else {
            return 1;
        };
        let (slots, stuck) = {
            let mut table = self.shared.table.lock();
            table.stop();
            (table.handles(), table.stuck_ones())
        };
        for slot in &stuck {
            slot.shut();
        }
        for slot in &slots {
            slot.waker.wake();
        }
        let grace = self.shared.limits.grace;
        if self.shared.wait_empty(Instant::now() + grace) > 0 {
            let slots = self.shared.table.lock().handles();
            for slot in &slots {
                slot.shut();
            }
            let left = self.shared.wait_empty(Instant::now() + grace);
            if left > 0 {
                return left;
            }
        }
        // All have left the table as their last act: these joins wait for nothing.
        threads.join();
        0
    }
}

/// Gives the service another socket to listen on.
#[derive(Debug, Clone)]
pub struct Renewer {
    shared: Arc<Shared>,
    waker: Arc<Waker>,
}

impl Renewer {
    /// From now on clients come in here, once those that wait at the old one are in. Never blocks.
    pub fn renew(&self, listener: UnixListener) {
        *self.shared.fresh.lock() = Some(listener);
        self.waker.wake();
    }
}

/// What thread `cm-local` has.
struct Door {
    listener: UnixListener,
    manager: Arc<dyn Manager>,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    threads: Threads,
}

impl Door {
    /// Lets clients in until told to stop; gives the threads that may still run.
    fn run(mut self) -> Threads {
        let mut short = false;
        loop {
            if self.shared.stopping.load(Ordering::Acquire) {
                return self.threads;
            }
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) => {
                    short = self.pause(&e, short);
                    continue;
                }
            };
            short = false;
            if let Err((stream, e)) = self.admit(stream) {
                // Whether it can be told is its own affair: we do not wait for it.
                let text = reply_line(0, Some(PROTO), refuse(&e));
                let _ = (&*stream).write(text.as_bytes());
            }
        }
    }

    /// After an accept that gave nobody. Returns whether it was for want of something.
    fn pause(&mut self, e: &io::Error, was_short: bool) -> bool {
        match e.kind() {
            io::ErrorKind::WouldBlock => {
                self.waker.clear();
                if self.shared.stopping.load(Ordering::Acquire) || self.listens_anew() {
                    return false;
                }
                let waker = (self.waker.as_fd(), Want::Read);
                let _ = wait([(self.listener.as_fd(), Want::Read), waker], None);
                false
            }
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => was_short,
            _ => {
                if !was_short {
                    log::warn!("{}", Error::io("accept", "client", e));
                }
                let waker = (self.waker.as_fd(), Want::Read);
                let _ = wait([waker], Some(Instant::now() + SHORTAGE));
                true
            }
        }
    }

    /// Takes the other socket, if it was given one.
    fn listens_anew(&mut self) -> bool {
        let Some(listener) = self.shared.fresh.lock().take() else {
            return false;
        };
        match listener.set_nonblocking(true) {
            Ok(()) => self.listener = listener,
            Err(e) => log::error!("{}", Error::io("renew", "local service", &e)),
        }
        true
    }

    fn admit(&mut self, stream: UnixStream) -> std::result::Result<(), (Arc<UnixStream>, Error)> {
        self.threads.reap();
        let stream = Arc::new(stream);
        let fail = |e: Error| (Arc::clone(&stream), e);
        let failed = |e: io::Error| fail(Error::io("serve", "client", &e));
        stream.set_nonblocking(true).map_err(failed)?;
        let peer = sock::peer(&*stream).map_err(fail)?;
        let caller = Caller::Local {
            uid: peer.uid,
            gid: peer.gid,
            pid: peer.pid.map_or(0, |pid| pid.0),
        };
        let slot = Arc::new(Slot {
            stream: Arc::clone(&stream),
            waker: Waker::new().map_err(fail)?,
        });
        let admission = self
            .shared
            .table
            .lock()
            .admit(peer.uid == 0, Arc::clone(&slot));
        let id = match admission {
            Admission::Free(id) => id,
            Admission::Instead(id, other) => {
                other.waker.wake();
                id
            }
            Admission::Cut(id, other) => {
                other.shut();
                id
            }
            Admission::Full => {
                let max = self.shared.limits.clients;
                let e = Error::new("serve", "client", format_args!("{max} are being served"));
                return Err(fail(e.hint("try again later").kind(Kind::Busy)));
            }
        };
        let conn = Conn {
            id,
            slot,
            caller,
            shared: Arc::clone(&self.shared),
            manager: Arc::clone(&self.manager),
            greeted: false,
        };
        self.threads
            .spawn("cm-conn-", id, || conn.serve())
            .map_err(|e| {
                self.shared.leave(id);
                failed(e)
            })
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}
