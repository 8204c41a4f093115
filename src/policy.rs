//! When to start again after a death, and when to give up for a while. Pure arithmetic.

use crate::types::Mono;
use std::collections::VecDeque;
use std::time::Duration;

/// The operator's settings, from the flags of the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `--restart-delay`: least time between a death and the next start.
    pub restart_delay: Duration,
    /// `--restart-limit N/…`: so many deaths of unstable runs lead to STANDALONE; 0 for never.
    pub restart_limit: u32,
    /// `--restart-limit …/SECS`: in this time.
    pub restart_window: Duration,
    /// `--stable-after`: a run that lasted so long is stable.
    pub stable_after: Duration,
    /// `--stop-timeout`: from SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
    /// `--standalone-retry SECS…`: the first retry out of STANDALONE.
    pub retry_first: Duration,
    /// `--standalone-retry …:MAX`: doubling up to this.
    pub retry_max: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        let secs = Duration::from_secs;
        Policy {
            restart_delay: Duration::ZERO,
            restart_limit: 5,
            restart_window: secs(60),
            stable_after: secs(10),
            stop_timeout: secs(10),
            retry_first: secs(30),
            retry_max: secs(600),
        }
    }
}

/// First wait after an unstable death; it doubles from there.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest wait after an unstable death.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What a death leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after this time; zero is at once.
    Again(Duration),
    /// STANDALONE; retry after this time.
    GiveUp(Duration),
}

/// What is remembered of the runs so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Deaths of unstable runs inside the window.
    deaths: VecDeque<Mono>,
    /// Unstable deaths in a row.
    in_a_row: u32,
    /// Those since STANDALONE: the exponent of the back-off.
    streak: u32,
    /// Retries out of STANDALONE in a row: the exponent of that wait.
    retries: u32,
    /// The run is a retry out of STANDALONE: its unstable death leads straight back there.
    probation: bool,
}

impl Record {
    /// A run that lasted `ran` has died at `now`.
    pub fn died(&mut self, policy: &Policy, ran: Duration, now: Mono) -> Verdict {
        if ran >= policy.stable_after {
            *self = Record::default();
            return Verdict::Again(policy.restart_delay);
        }
        self.failed(policy, now)
    }

    /// An attempt to start has failed before there was a run, or a run was unstable.
    pub fn failed(&mut self, policy: &Policy, now: Mono) -> Verdict {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.deaths.push_back(now);
        while self
            .deaths
            .front()
            .is_some_and(|d| now.since(*d) > policy.restart_window)
        {
            self.deaths.pop_front();
        }
        let limit = usize::try_from(policy.restart_limit).unwrap_or(usize::MAX);
        if self.probation || (limit > 0 && self.deaths.len() >= limit) {
            return Verdict::GiveUp(self.give_up(policy));
        }
        let backoff = doubled(BACKOFF_FIRST, self.streak, BACKOFF_MAX);
        self.streak = self.streak.saturating_add(1);
        Verdict::Again(backoff.max(policy.restart_delay))
    }

    /// How often in a row a run was unstable, or did not come about, also with STANDALONE in between.
    #[must_use]
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// STANDALONE begins; gives the time to the next retry.
    pub fn give_up(&mut self, policy: &Policy) -> Duration {
        let wait = doubled(policy.retry_first, self.retries, policy.retry_max);
        self.retries = self.retries.saturating_add(1);
        self.streak = 0;
        self.deaths.clear();
        wait
    }

    /// A retry out of STANDALONE begins.
    pub fn on_probation(&mut self) {
        self.probation = true;
    }

    /// An operator, or a change, begins anew: nothing of the past counts.
    pub fn forgive(&mut self) {
        *self = Record::default();
    }
}

fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    // From 2^31 on any first wait above zero has passed every maximum that a flag takes.
    first
        .saturating_mul(1u32 << times.min(30))
        .min(max.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_stable_death_is_answered_at_once_and_an_unstable_one_by_a_doubling_wait() {
        let policy = Policy {
            restart_limit: 0,
            ..Policy::default()
        };
        let mut r = Record::default();
        let mut now = Mono(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            now = now.plus(secs(100));
            waits.push(r.died(&policy, secs(1), now));
        }
        let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(|n| Verdict::Again(secs(n)));
        assert_eq!(waits, expected);
        assert_eq!(
            r.died(&policy, secs(10), now),
            Verdict::Again(Duration::ZERO)
        );
        assert_eq!(
            r.died(&policy, secs(9), now),
            Verdict::Again(secs(1)),
            "the count begins anew"
        );
    }

    #[test]
    fn the_limit_leads_to_standalone_and_the_retries_double_up_to_their_maximum() {
        let policy = Policy::default();
        let mut r = Record::default();
        let mut now = Mono(0);
        for _ in 0..4 {
            assert!(matches!(r.died(&policy, secs(0), now), Verdict::Again(_)));
            now = now.plus(secs(5));
        }
        assert_eq!(r.died(&policy, secs(0), now), Verdict::GiveUp(secs(30)));
        for wait in [60, 120, 240, 480, 600, 600] {
            now = now.plus(secs(600));
            r.on_probation();
            assert_eq!(r.died(&policy, secs(0), now), Verdict::GiveUp(secs(wait)));
        }
        assert_eq!(
            r.died(&policy, secs(10), now),
            Verdict::Again(Duration::ZERO),
            "a stable run clears all"
        );
        assert!(matches!(r.died(&policy, secs(0), now), Verdict::Again(_)));
    }

    #[test]
    fn only_a_stable_run_or_an_operator_ends_the_count_in_a_row() {
        let policy = Policy::default();
        let mut r = Record::default();
        let mut now = Mono(0);
        for n in 1..=6 {
            r.died(&policy, secs(1), now);
            assert_eq!(r.in_a_row(), n, "the fifth leads to STANDALONE");
            now = now.plus(secs(5));
        }
        r.died(&policy, secs(10), now);
        assert_eq!(r.in_a_row(), 0);
        r.died(&policy, secs(1), now);
        r.forgive();
        assert_eq!(r.in_a_row(), 0);
    }

    #[test]
    fn deaths_outside_the_window_do_not_count() {
        let policy = Policy {
            restart_limit: 2,
            ..Policy::default()
        };
        let mut r = Record::default();
        assert!(matches!(
            r.died(&policy, secs(0), Mono(0)),
            Verdict::Again(_)
        ));
        let later = Mono(0).plus(secs(61));
        assert!(matches!(r.died(&policy, secs(0), later), Verdict::Again(_)));
        assert!(matches!(
            r.died(&policy, secs(0), later.plus(secs(1))),
            Verdict::GiveUp(_)
        ));
    }

    #[test]
    fn the_restart_delay_is_a_floor_for_both() {
        let policy = Policy {
            restart_delay: secs(5),
            restart_limit: 0,
            ..Policy::default()
        };
        let mut r = Record::default();
        assert_eq!(r.died(&policy, secs(60), Mono(0)), Verdict::Again(secs(5)));
        assert_eq!(r.died(&policy, secs(0), Mono(0)), Verdict::Again(secs(5)));
    }
}
