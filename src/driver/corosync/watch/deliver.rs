//! Whether what this node sends to itself over the ring comes back. Pure.
//!
//! Delivery rests for token and consensus whenever a peer dies, on a healthy survivor too; so silence
//! is never a hang, and a fault only when it lasts and the ring stays the same.

use crate::types::Mono;
use std::time::Duration;

/// No one look adds more than this: in a pause of the whole machine nothing can be delivered.
const MOST: Duration = Duration::from_secs(2);

/// One message is under way at a time.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    number: u64,
    waits: bool,
    silent: Duration,
    looked: Mono,
}

impl Delivery {
    /// The number of the next message, if none is under way. It counts as sent from now on, also if
    /// corosync does not take it at once.
    pub(super) fn next(&mut self, now: Mono) -> Option<u64> {
        if self.waits {
            return None;
        }
        self.number += 1;
        self.waits = true;
        self.looked = now;
        Some(self.number)
    }

    /// A message came back; whether it is the one that is under way.
    pub(super) fn came(&mut self, number: u64) -> bool {
        let ours = self.waits && number == self.number;
        if ours {
            self.waits = false;
            self.silent = Duration::ZERO;
        }
        ours
    }

    /// Another connection, to which a message that was under way never comes: that it is silent goes on
    /// until one does come back.
    pub(super) fn again(&mut self) {
        self.waits = false;
    }

    /// There is a new ring: another message is tried with it.
    pub(super) fn ring(&mut self) {
        self.waits = false;
        self.silent = Duration::ZERO;
    }

    /// For how long nothing came back, if that is longer than a healthy ring may take.
    pub(super) fn look(
        &mut self,
        now: Mono,
        token: Duration,
        consensus: Duration,
    ) -> Option<Duration> {
        if !self.waits {
            return None;
        }
        self.silent = self.silent.saturating_add(now.since(self.looked).min(MOST));
        self.looked = now;
        let limit = token.saturating_add(consensus).saturating_mul(2);
        (self.silent > limit).then_some(self.silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Duration = Duration::from_secs(3);
    const CONSENSUS: Duration = Duration::from_millis(3600);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    #[test]
    fn silence_counts_only_beyond_twice_token_and_consensus() {
        let mut d = Delivery::default();
        assert_eq!(d.next(at(0)), Some(1));
        assert_eq!(d.next(at(1)), None, "one at a time");
        for s in 1..=13 {
            assert_eq!(d.look(at(s * 1000), TOKEN, CONSENSUS), None, "{s}");
        }
        assert!(d.look(at(14_000), TOKEN, CONSENSUS).is_some());
        assert!(d.came(1));
        assert_eq!(d.look(at(15_000), TOKEN, CONSENSUS), None);
        assert_eq!(d.next(at(16_000)), Some(2));
        assert!(!d.came(1) && d.waits, "an old message is no answer");
    }

    #[test]
    fn another_connection_is_no_answer() {
        let mut d = Delivery::default();
        d.next(at(0));
        for s in 1..=14 {
            d.look(at(s * 1000), TOKEN, CONSENSUS);
        }
        d.again();
        assert!(!d.came(1), "of the connection before");
        assert_eq!(d.next(at(15_000)), Some(2));
        assert!(d.look(at(16_000), TOKEN, CONSENSUS).is_some());
        assert!(d.came(2));
        d.next(at(17_000));
        assert_eq!(d.look(at(18_000), TOKEN, CONSENSUS), None);
    }

    #[test]
    fn a_new_ring_begins_anew_and_a_paused_machine_does_not_count() {
        let mut d = Delivery::default();
        d.next(at(0));
        for s in 1..=10 {
            d.look(at(s * 1000), TOKEN, CONSENSUS);
        }
        d.ring();
        assert_eq!(
            d.next(at(11_000)),
            Some(2),
            "the one before may be lost with its ring"
        );
        assert!(!d.came(1));
        assert_eq!(d.look(at(14_000), TOKEN, CONSENSUS), None);
        assert_eq!(d.look(at(3_000_000), TOKEN, CONSENSUS), None);
    }
}
