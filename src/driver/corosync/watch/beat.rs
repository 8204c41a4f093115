//! The heartbeat of `cm-watch`: the monitor sees by it that a call of corosync's libraries does not
//! return. They have no time-out of their own, and hang for as long as corosync does.

use crate::types::Mono;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts the beginnings and the ends of calls: odd while one is under way.
#[derive(Debug, Default)]
pub struct Beat(AtomicU64);

impl Beat {
    /// Calls the library. `f` is one question, or what itself calls so: each of those that ends inside
    /// of it is an answer, and the time of the one around it begins anew.
    pub fn call<T>(&self, f: impl FnOnce() -> T) -> T {
        let around = self.under_way().is_some();
        if !around {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        let given = f();
        self.0
            .fetch_add(if around { 2 } else { 1 }, Ordering::Relaxed);
        given
    }

    /// The number of the call that is under way.
    #[must_use]
    pub fn under_way(&self) -> Option<u64> {
        let n = self.0.load(Ordering::Relaxed);
        (n % 2 == 1).then_some(n)
    }
}

/// For how long the monitor has seen one call unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unanswered {
    call: Option<u64>,
    /// One that an earlier process left unanswered, and that has not come back yet.
    stale: Option<u64>,
    looked: Mono,
    time: Duration,
}

impl Unanswered {
    /// A new process: what is under way was asked of the one before it.
    #[must_use]
    pub fn anew(call: Option<u64>) -> Unanswered {
        Unanswered {
            stale: call,
            ..Unanswered::default()
        }
    }

    /// One more look. `most` is all that it may add: when this daemon itself did not run for a while
    /// (a paused machine), that time does not count. `traced` says that a debugger holds corosync:
    /// its owner knows what he does.
    #[must_use]
    pub fn again(self, call: Option<u64>, traced: bool, now: Mono, most: Duration) -> Unanswered {
        let call = call.filter(|c| Some(*c) != self.stale);
        let time = if call.is_some() && call == self.call && !traced {
            self.time.saturating_add(now.since(self.looked).min(most))
        } else {
            Duration::ZERO
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(2);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    #[test]
    fn only_one_and_the_same_call_counts() {
        let beat = Beat::default();
        assert_eq!(beat.under_way(), None);
        beat.call(|| assert_eq!(beat.under_way(), Some(1)));
        let one = Unanswered::default().again(Some(1), false, at(1000), MOST);
        assert_eq!(one.time(), Duration::ZERO, "one look says nothing");
        let one = one.again(Some(1), false, at(2000), MOST);
        assert_eq!(one.time(), Duration::from_secs(1));
        assert_eq!(
            one.again(Some(3), false, at(3000), MOST).time(),
            Duration::ZERO
        );
        assert_eq!(
            one.again(None, false, at(3000), MOST).time(),
            Duration::ZERO
        );
    }

    #[test]
    fn each_answer_inside_of_a_call_begins_it_anew() {
        let beat = Beat::default();
        let seen = beat.call(|| {
            let first = beat.call(|| beat.under_way());
            [first, beat.under_way(), beat.call(|| beat.under_way())]
        });
        assert_eq!(seen, [Some(1), Some(3), Some(3)]);
        assert_eq!(beat.under_way(), None);
    }

    #[test]
    fn what_a_dead_process_left_unanswered_is_no_fault_of_the_next() {
        let mut next = Unanswered::anew(Some(1));
        for s in 1..=9 {
            next = next.again(Some(1), false, at(s * 1000), MOST);
            assert_eq!(next.time(), Duration::ZERO);
        }
        next = next.again(Some(3), false, at(10_000), MOST);
        assert_eq!(
            next.again(Some(3), false, at(11_000), MOST).time(),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn a_pause_of_the_machine_and_a_debugger_do_not_count() {
        let one = Unanswered::default().again(Some(1), false, at(1000), MOST);
        assert_eq!(one.again(Some(1), false, at(100_000), MOST).time(), MOST);
        assert_eq!(
            one.again(Some(1), true, at(3000), MOST).time(),
            Duration::ZERO
        );
    }
}
