//! The thread `cm-peers`: asks all other nodes every ten seconds, at once when the nodes or the key have
//! changed, and when somebody needs to know now; compares, and keeps what came of it.

use super::compare::{Asked, Compare, Peer};
use super::isolated::{Isolated, Own};
use crate::error::{Error, Result};
use crate::event::Note;
use crate::sys::wake::Waker;
use crate::sys::{clock, ready};
use crate::types::{Mono, NodeId, WallMs};
use crate::wire::{DegradedItem, PeerReport, PeerStatus, Unreachable};
use parking_lot::{Condvar, Mutex};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Between two rounds, give or take [`SPREAD`].
pub const EVERY: Duration = Duration::from_secs(10);
/// Nodes that were started at the same moment do not ask in step.
const SPREAD: Duration = Duration::from_millis(500);
/// Rounds that changes ask for are no closer than this.
const CLOSEST: Duration = Duration::from_secs(1);
/// All peers together may take so long.
const ANSWER: Duration = Duration::from_millis(1500);
/// The same where somebody waits for the round: who is off must not keep what the others have said from
/// being told before the first start.
const ANSWER_SOON: Duration = Duration::from_millis(700);

/// Who asks the other nodes.
pub trait Ask: Send {
    /// Asks every configured node but this one for its report; one entry for each, in order of the
    /// nodelist, soon after the deadline at the latest.
    fn ask_all(&mut self, deadline: Instant) -> Vec<Asked>;
}

/// What the thread needs of the manager.
pub trait Home: Send {
    /// What this node is now.
    fn own(&self) -> Own;
    /// Tells the world something; never waits.
    fn publish(&self, note: Note);
    /// Has corosync restarted; the reason in words. Does not wait for it.
    fn restart(&self, why: &str);
    /// A round that somebody had asked for is over; never waits.
    fn asked_round_over(&self) {}
}

/// The thread, and what it has found out. Ended by [`PeerWatch::stop`].
#[derive(Debug)]
pub struct PeerWatch {
    waker: Arc<Waker>,
    /// Held for a few lines only, and no other lock is taken meanwhile.
    board: Mutex<Board>,
    over: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Board {
    degraded: Vec<DegradedItem>,
    statuses: Vec<PeerStatus>,
    /// Who answered in the last round that is over, as itself, and what.
    heard: Vec<(Peer, PeerReport)>,
    /// The number of the newest round that has begun, and of the newest that is over.
    begun: u64,
    over: u64,
    /// A round of this number is wanted at once.
    wanted: Option<u64>,
    ending: bool,
}

impl PeerWatch {
    /// Starts the thread. `waker` is what tells it that the nodes, their addresses or the key have
    /// changed; `nodeid` spreads the nodes' rounds in time.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(
        ask: Box<dyn Ask>,
        home: Box<dyn Home>,
        waker: Arc<Waker>,
        nodeid: Option<NodeId>,
    ) -> Result<Arc<PeerWatch>> {
        PeerWatch::start_every(EVERY, ask, home, waker, nodeid)
    }

    fn start_every(
        every: Duration,
        ask: Box<dyn Ask>,
        home: Box<dyn Home>,
        waker: Arc<Waker>,
        nodeid: Option<NodeId>,
    ) -> Result<Arc<PeerWatch>> {
        let watch = Arc::new(PeerWatch {
            waker,
            board: Mutex::default(),
            over: Condvar::new(),
            thread: Mutex::default(),
        });
        let running = Running {
            watch: Arc::clone(&watch),
            ask,
            home,
            every,
            seed: nodeid.map_or(0, |n| n.0),
            compare: Compare::default(),
            isolated: Isolated::default(),
        };
        let thread = Builder::new().name("cm-peers".into()).stack_size(512 << 10);
        let handle = thread
            .spawn(move || running.run())
            .map_err(|e| Error::io("start", "thread cm-peers", &e))?;
        *watch.thread.lock() = Some(handle);
        Ok(watch)
    }

    /// What the last round makes this node degraded for.
    #[must_use]
    pub fn degraded(&self) -> Vec<DegradedItem> {
        self.board.lock().degraded.clone()
    }

    /// What the last round has shown of every peer, in order of the nodelist.
    #[must_use]
    pub fn statuses(&self) -> Vec<PeerStatus> {
        self.board.lock().statuses.clone()
    }

    /// Who answered in the last round that is over, as itself, and what.
    #[must_use]
    pub fn heard(&self) -> Vec<(Peer, PeerReport)> {
        self.board.lock().heard.clone()
    }

    /// Asks for a round that begins now, or as soon as the one under way is over. [`PeerWatch::is_over`]
    /// says whether the round of this number is over. Does not wait.
    pub fn ask_round(&self) -> u64 {
        let mut board = self.board.lock();
        let number = board.begun + 1;
        board.wanted = Some(number);
        drop(board);
        self.waker.wake();
        number
    }

    /// Whether that round is over, or none will come any more.
    #[must_use]
    pub fn is_over(&self, number: u64) -> bool {
        let board = self.board.lock();
        board.over >= number || board.ending
    }

    /// As [`PeerWatch::ask_round`], and waits for it; false if it is not over by the deadline.
    pub fn round_now(&self, deadline: Instant) -> bool {
        let number = self.ask_round();
        let mut board = self.board.lock();
        while board.over < number && !board.ending {
            if self.over.wait_until(&mut board, deadline).timed_out() {
                break;
            }
        }
        board.over >= number
    }

    /// Ends the thread and joins it: within the time that a round may take.
    pub fn stop(&self) {
        self.board.lock().ending = true;
        self.waker.wake();
        self.over.notify_all();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|t| t.join().is_err()) {
            log::error!("thread cm-peers panicked");
        }
    }
}

struct Running {
    watch: Arc<PeerWatch>,
    ask: Box<dyn Ask>,
    home: Box<dyn Home>,
    every: Duration,
    seed: u32,
    compare: Compare,
    isolated: Isolated,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Round,
    Sleep,
    End,
}

impl Running {
    fn run(mut self) {
        // The first one soon, but after those who have asked for one.
        let mut last = clock::now();
        let mut due = last.plus(pause(self.every.min(CLOSEST), self.seed, 0));
        loop {
            match self.next(due) {
                Next::End => return,
                Next::Sleep => {
                    let rest = due.since(clock::now());
                    ready::wait_any(&[self.watch.waker.as_fd()], rest);
                    if self.watch.waker.take() {
                        // Changes come in bursts.
                        due = due.min(clock::now().max(last.plus(CLOSEST)));
                    }
                }
                Next::Round => {
                    last = clock::now();
                    let number = self.round();
                    due = last.plus(pause(self.every, self.seed, number));
                }
            }
        }
    }

    fn next(&self, due: Mono) -> Next {
        let board = self.watch.board.lock();
        if board.ending {
            Next::End
        } else if board.wanted.is_some() || due <= clock::now() {
            Next::Round
        } else {
            Next::Sleep
        }
    }

    fn round(&mut self) -> u64 {
        // What has changed by now is seen by this round.
        self.watch.waker.clear();
        let mut board = self.watch.board.lock();
        board.begun += 1;
        let number = board.begun;
        let waited_for = board.wanted.is_some();
        drop(board);
        let answer = if waited_for { ANSWER_SOON } else { ANSWER };
        let key = self.home.own().report.fingerprint;
        let mut asked = self.ask.ask_all(Instant::now() + answer);
        // After they have answered: what this node is at the same time.
        let own = self.home.own();
        if own.report.fingerprint != key {
            // What was refused was another one.
            let of_key = |one: &&mut Asked| matches!(one.heard, Err((Unreachable::WrongKey, _)));
            for one in asked.iter_mut().filter(of_key) {
                let text = "this node has another key by now".to_owned();
                one.heard = Err((Unreachable::Busy, text));
            }
        }
        let (now, wall) = (clock::now(), WallMs::now());
        let outcome = self.compare.round(&own.report, asked, now, wall);
        let decision = self.isolated.round(&own, &outcome.heard, now, wall);
        let mut degraded = self.compare.degraded();
        degraded.extend(self.isolated.degraded());
        // First what is shown, then what is told: who hears of an event can ask.
        let mut board = self.watch.board.lock();
        board.degraded = degraded;
        board.statuses = outcome.statuses;
        let ending = board.ending;
        drop(board);
        for note in outcome.notes.into_iter().chain(decision.notes) {
            self.home.publish(note);
        }
        // What it has shown is told by now: who waited for it can go on.
        let mut board = self.watch.board.lock();
        board.heard = outcome.heard;
        board.over = number;
        let asked_for = board.wanted.is_some_and(|wanted| wanted <= number);
        if asked_for {
            board.wanted = None;
        }
        drop(board);
        if let Some(why) = decision.restart.filter(|_| !ending) {
            self.home.restart(&why);
        }
        self.watch.over.notify_all();
        if asked_for {
            self.home.asked_round_over();
        }
        number
    }
}

/// How long to the next round: as long as `every`, and up to [`SPREAD`] more or less, another time for
/// each node and each round.
fn pause(every: Duration, seed: u32, round: u64) -> Duration {
    let mixed = (u64::from(seed) << 32 | round & 0xffff_ffff).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let spread = SPREAD.min(every / 2);
    let part = u32::try_from(mixed >> 54).unwrap_or(0);
    every - spread + spread * 2 * part / 1024
}

#[cfg(test)]
mod tests;
