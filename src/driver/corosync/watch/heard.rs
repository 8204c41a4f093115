//! Whether something of the other node still arrives on a link that is down: a link is up only if
//! both hear each other, so that a cut of one direction is one for both. Pure.

use crate::types::Mono;
use std::time::Duration;

/// Nothing has come for less than this: it may be that nothing was sent.
const LEAST: Duration = Duration::from_millis(1500);
/// So many pings in a row may get lost.
const PINGS: u32 = 3;

/// What is known of it, since the link went down.
#[derive(Debug, Clone, Default)]
pub(super) struct Hearing {
    /// How many packets have come so far, and since when it is that many.
    count: Option<(u64, Mono)>,
    heard: Option<bool>,
}

impl Hearing {
    /// corosync counts so many packets now; `ping` is between two that the other node sends.
    pub(super) fn counts(&mut self, packets: u64, now: Mono, ping: Duration) {
        match self.count {
            Some((before, since)) if packets == before => {
                if now.since(since) >= LEAST.max(ping * PINGS) {
                    self.heard = Some(false);
                }
                return;
            }
            Some((before, _)) if packets > before => self.heard = Some(true),
            // The first time, or corosync counts anew.
            _ => {}
        }
        self.count = Some((packets, now));
    }

    /// None while it is not known.
    pub(super) fn heard(&self) -> Option<bool> {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: Duration = Duration::from_millis(250);

    fn at(ms: u64) -> Mono {
        Mono((ms + 100_000) * 1_000_000)
    }

    #[test]
    fn what_comes_is_heard_and_what_has_not_come_for_a_while_is_not() {
        let mut h = Hearing::default();
        h.counts(100, at(0), PING);
        assert_eq!(h.heard(), None, "what came before the link went down");
        h.counts(100, at(500), PING);
        assert_eq!(h.heard(), None, "it is too early to tell");
        h.counts(102, at(1000), PING);
        assert_eq!(h.heard(), Some(true));
        h.counts(102, at(2499), PING);
        assert_eq!(h.heard(), Some(true));
        h.counts(102, at(2500), PING);
        assert_eq!(h.heard(), Some(false));
        h.counts(103, at(3000), PING);
        assert_eq!(h.heard(), Some(true));
    }

    #[test]
    fn rare_pings_take_longer_to_be_missed() {
        let mut h = Hearing::default();
        let ping = Duration::from_secs(1);
        h.counts(7, at(0), ping);
        h.counts(7, at(2999), ping);
        assert_eq!(h.heard(), None);
        h.counts(7, at(3000), ping);
        assert_eq!(h.heard(), Some(false));
    }

    #[test]
    fn a_counter_that_begins_anew_is_no_packet() {
        let mut h = Hearing::default();
        h.counts(100, at(0), PING);
        h.counts(0, at(1000), PING);
        assert_eq!(h.heard(), None);
        h.counts(0, at(2000), PING);
        assert_eq!(h.heard(), None);
        h.counts(0, at(2500), PING);
        assert_eq!(h.heard(), Some(false));
    }
}
