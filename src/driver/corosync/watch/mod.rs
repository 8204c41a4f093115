//! The thread `cm-watch`: a client of corosync's libraries. It turns what they tell into events and
//! into what `status` shows of the cluster, and its heartbeat shows the monitor a corosync that no
//! longer answers.
//!
//! The library calls of this thread are only such as corosync's main loop answers at once, whatever
//! the ring does: delivery rests for seconds when a peer dies, and that must not look like a hang.
//! What waits for the ring (a reload) runs elsewhere: see `ask`.

mod away;
mod beat;
mod client;
mod counted;
mod deliver;
mod heard;
mod keys;
mod known;
mod last;
mod lasting;
mod links;
mod members;
mod owed;
mod pauses;
mod probe;
mod read;
mod reload;
mod round;
mod tell;
mod view;
mod works;

pub(super) use beat::{Beat, Unanswered};
pub(super) use round::Watching;
pub(super) use works::{Works, patience};

use crate::error::Result;
use crate::sys::wake::Waker;
use crate::types::Pid;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The corosync that is to be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// Its pid, which is only compared.
    pub(super) pid: Pid,
    /// Whether it was found running when clusmgr came.
    pub(super) adopted: bool,
    /// Which run it is, of those that this clusmgr saw.
    number: u64,
}

/// What the monitor and `cm-watch` share.
#[derive(Debug)]
pub(super) struct Watch {
    /// Taken for a few lines, and alone.
    order: Mutex<Order>,
    waker: Waker,
    /// See [`Beat`].
    pub(super) beat: Arc<Beat>,
    /// The corosync of now has served this thread once.
    answered: AtomicBool,
    /// The newest ticket whose event is out, and the number of the newest event. Taken for a line, and
    /// alone.
    told: Mutex<(u64, u64)>,
    ends: AtomicBool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Order {
    target: Option<Target>,
    /// The monitor has looked for a living corosync.
    looked: bool,
    count: u64,
}

impl Watch {
    /// Nothing to watch yet.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(super) fn new() -> Result<Watch> {
        Ok(Watch {
            order: Mutex::default(),
            waker: Waker::new()?,
            beat: Arc::default(),
            answered: AtomicBool::new(false),
            told: Mutex::default(),
            ends: AtomicBool::new(false),
        })
    }

    /// A corosync runs now, or (none) no more.
    pub(super) fn set(&self, run: Option<(Pid, bool)>) {
        let mut order = self.order.lock();
        order.count += 1;
        order.looked = true;
        let number = order.count;
        self.answered.store(false, Ordering::Relaxed);
        self.beat.anew();
        order.target = run.map(|(pid, adopted)| Target {
            pid,
            adopted,
            number,
        });
        drop(order);
        self.waker.wake();
    }

    /// Whether the corosync of now has ever served this thread. Until it has formed its first ring it
    /// lets every client wait, and that may take longer than a hang.
    pub(super) fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// An event is out, under this number; with a ticket if it is one of this thread's.
    pub(super) fn told(&self, ticket: Option<u64>, seq: u64) {
        let mut told = self.told.lock();
        *told = (ticket.unwrap_or(told.0), seq);
    }

    /// The thread is to end.
    pub(super) fn end(&self) {
        self.ends.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn order(&self) -> Order {
        *self.order.lock()
    }

    fn ending(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }
}
