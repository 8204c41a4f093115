//! The heartbeat of `cm-watch`: the monitor sees by it that a call of corosync's libraries does not
//! return. They have no time-out of their own, and hang for as long as corosync does.

use crate::sys::clock;
use crate::types::Mono;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Counts the beginnings and the ends of calls: odd while one is under way.
#[derive(Debug, Default)]
pub struct Beat {
    count: AtomicU64,
    /// When the call that is under way began.
    began: AtomicU64,
    excused: AtomicBool,
}

/// A call that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    number: u64,
    began: Mono,
    /// See [`Beat::excuse`].
    excused: bool,
}

impl Beat {
    /// Calls the library. `f` is one question, or what itself calls so: each of those that ends inside
    /// of it is an answer, and the time of the one around it begins anew.
    pub fn call<T>(&self, f: impl FnOnce() -> T) -> T {
        let given = self.look(f);
        self.excused.store(false, Ordering::SeqCst);
        given
    }

    /// Calls the library for what should be over without an answer: looking what has come, or sending.
    pub fn look<T>(&self, f: impl FnOnce() -> T) -> T {
        let around = self.count.load(Ordering::SeqCst) % 2;
        self.begin();
        self.count.fetch_add(1 - around, Ordering::SeqCst);
        let given = f();
        self.begin();
        self.count.fetch_add(1 + around, Ordering::SeqCst);
        given
    }

    fn begin(&self) {
        self.began.store(clock::now().0, Ordering::SeqCst);
    }

    /// Until the next answer corosync may take its time: it reads its configuration, and its main loop
    /// rests for as long as a name server does.
    pub fn excuse(&self) {
        self.excused.store(true, Ordering::SeqCst);
    }

    /// Another corosync, which has not begun anything.
    pub fn anew(&self) {
        self.excused.store(false, Ordering::SeqCst);
    }

    /// The call that is under way.
    #[must_use]
    pub fn under_way(&self) -> Option<Call> {
        let number = self.count.load(Ordering::SeqCst);
        let call = Call {
            number,
            began: Mono(self.began.load(Ordering::SeqCst)),
            excused: self.excused.load(Ordering::SeqCst),
        };
        // One that has been answered meanwhile is none.
        let same = number == self.count.load(Ordering::SeqCst);
        (same && number % 2 == 1).then_some(call)
    }
}

/// For how long the monitor has seen one call unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unanswered {
    call: Option<Call>,
    /// One that an earlier process left unanswered, and that has not come back yet.
    stale: Option<u64>,
    looked: Mono,
    time: Duration,
}

impl Unanswered {
    /// A new process: what is under way was asked of the one before it.
    #[must_use]
    pub fn anew(call: Option<Call>) -> Unanswered {
        Unanswered {
            stale: call.map(|c| c.number),
            ..Unanswered::default()
        }
    }

    /// One more look. `most` is all that it may add: when this daemon itself did not run for a while
    /// (a paused machine), that time does not count. `traced` says that a debugger holds corosync:
    /// its owner knows what he does.
    #[must_use]
    pub fn again(self, call: Option<Call>, traced: bool, now: Mono, most: Duration) -> Unanswered {
        let call = call.filter(|c| Some(c.number) != self.stale);
        let before = self.call.map(|c| c.number);
        let time = match call {
            Some(c) if !traced && Some(c.number) == before => {
                self.time.saturating_add(now.since(self.looked).min(most))
            }
            Some(c) if !traced => now.since(c.began).min(most),
            _ => Duration::ZERO,
        };
        Unanswered {
            call,
            looked: now,
            time,
            ..self
        }
    }

    /// How long.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Whether a call was under way at the last look.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.call.is_some()
    }

    /// Its number.
    #[must_use]
    pub fn which(&self) -> Option<u64> {
        self.call.map(|c| c.number)
    }

    /// Whether it may take longer than others.
    #[must_use]
    pub fn excused(&self) -> bool {
        self.call.is_some_and(|c| c.excused)
    }

    /// When it will have been unanswered for `limit`, if that is to come.
    #[must_use]
    pub fn due(&self, limit: Duration) -> Option<Mono> {
        let left = limit.checked_sub(self.time)?;
        (self.waits() && !left.is_zero()).then(|| self.looked.plus(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(2);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A call that began so many milliseconds after the epoch of the tests.
    fn call(number: u64, began: u64) -> Option<Call> {
        Some(Call {
            number,
            began: at(began),
            excused: false,
        })
    }

    #[test]
    fn only_one_and_the_same_call_counts() {
        let one = Unanswered::default().again(call(1, 1000), false, at(1000), MOST);
        assert_eq!(one.time(), Duration::ZERO);
        let one = one.again(call(1, 1000), false, at(2000), MOST);
        assert_eq!(one.time(), secs(1));
        let next = one.again(call(3, 2900), false, at(3000), MOST);
        assert_eq!(next.time(), Duration::from_millis(100));
        assert_eq!(one.again(None, false, at(3000), MOST).time(), secs(0));
    }

    #[test]
    fn the_time_counts_from_the_beginning_of_the_call_and_is_due_to_the_instant() {
        let mut one = Unanswered::default().again(None, false, at(0), MOST);
        assert_eq!(one.due(secs(5)), None);
        // The first look comes a while after the call began, and none is at its due.
        for (now, time) in [(1000, 700), (2010, 1710), (4000, 3700)] {
            one = one.again(call(1, 300), false, at(now), MOST);
            assert_eq!(one.time(), Duration::from_millis(time));
            assert_eq!(one.due(secs(5)), Some(at(5300)));
        }
        one = one.again(call(1, 300), false, at(5300), MOST);
        assert_eq!((one.time(), one.due(secs(5))), (secs(5), None));
    }

    #[test]
    fn each_answer_inside_of_a_call_begins_it_anew() {
        let beat = Beat::default();
        let number = || beat.under_way().map(|c| c.number);
        assert_eq!(number(), None);
        let seen = beat.call(|| [beat.call(number), number(), beat.look(number), number()]);
        assert_eq!(seen, [Some(1), Some(3), Some(3), Some(5)]);
        assert_eq!(number(), None);
        beat.call(|| assert_eq!(number(), Some(7)));
    }

    #[test]
    fn an_excuse_lasts_until_the_next_answer() {
        let beat = Beat::default();
        let excused = || beat.under_way().is_some_and(|c| c.excused);
        beat.excuse();
        beat.look(|| assert!(excused()));
        beat.call(|| assert!(excused(), "what only looked was no answer"));
        beat.call(|| assert!(!excused()));
        beat.excuse();
        beat.anew();
        beat.call(|| assert!(!excused()));
    }

    #[test]
    fn what_a_dead_process_left_unanswered_is_no_fault_of_the_next() {
        let mut next = Unanswered::anew(call(1, 0));
        for s in 1..=9 {
            next = next.again(call(1, 0), false, at(s * 1000), MOST);
            assert_eq!(next.time(), Duration::ZERO);
        }
        next = next.again(call(3, 10_000), false, at(10_000), MOST);
        let next = next.again(call(3, 10_000), false, at(11_000), MOST);
        assert_eq!(next.time(), secs(1));
    }

    #[test]
    fn a_pause_of_the_machine_and_a_debugger_do_not_count() {
        let first = Unanswered::default().again(call(1, 1000), false, at(100_000), MOST);
        assert_eq!(first.time(), MOST);
        let one = Unanswered::default().again(call(1, 1000), false, at(1000), MOST);
        let paused = one.again(call(1, 1000), false, at(100_000), MOST);
        assert_eq!(paused.time(), MOST);
        let traced = one.again(call(1, 1000), true, at(3000), MOST);
        assert_eq!(traced.time(), Duration::ZERO);
    }
}
