//! Reloads, as corosync notes them in its database. Pure.

use crate::event::{Kind, Note, Severity};
use crate::types::Mono;
use std::time::Duration;

/// A reload that takes longer is stuck. A good one takes milliseconds.
const STUCK: Duration = Duration::from_secs(5);
/// `config.reload_status` of a reload that went well.
pub(super) const GOOD: u64 = 1;

/// What is known of the last reload.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    since: Option<Mono>,
    stuck: bool,
    /// It has been told that this one is stuck.
    told: bool,
}

impl Reloads {
    /// What the keys say now: whether a reload is under way, and how the last one went.
    pub(super) fn seen(&mut self, busy: bool, status: Option<u64>, now: Mono) -> Option<Note> {
        match (self.since, busy) {
            (None, true) => {
                self.began(now);
                None
            }
            (Some(_), false) => {
                self.since = None;
                self.stuck = false;
                Some(match status {
                    Some(GOOD) | None => Note::new(
                        Kind::ReloadOk,
                        Severity::Notice,
                        "corosync has read its configuration again",
                    )
                    .with("status", GOOD),
                    Some(status) => Note::new(
                        Kind::ReloadFailed,
                        Severity::Err,
                        format!(
                            "corosync could not use its configuration (reload_status {status}) and may \
                             have taken a part of it"
                        ),
                    )
                    .with("status", status),
                })
            }
            _ => None,
        }
    }

    /// A reload began; it may be over before anybody looks. After one that got stuck it has its own
    /// time, and may get stuck in turn.
    pub(super) fn began(&mut self, now: Mono) {
        self.since = Some(now);
        self.told = false;
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Mono) -> Option<Note> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        (self.stuck, self.told) = (true, true);
        let text = "a reload does not come to its end: corosync could not read its file, or waits for the ring";
        Some(Note::new(Kind::ReloadStuck, Severity::Err, text))
    }

    /// When [`Reloads::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Mono> {
        self.since.filter(|_| !self.told).map(|s| s.plus(STUCK))
    }

    /// Whether a reload is stuck.
    pub(super) fn stuck(&self) -> bool {
        self.stuck
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Mono {
        Mono(secs * 1_000_000_000)
    }

    #[test]
    fn a_reload_ends_well_badly_or_not_at_all() {
        let mut r = Reloads::default();
        assert!(r.seen(false, None, at(1)).is_none());
        assert!(r.seen(true, None, at(2)).is_none());
        assert_eq!(r.seen(false, Some(1), at(3)).unwrap().kind, Kind::ReloadOk);
        r.seen(true, Some(1), at(4));
        let failed = r.seen(false, Some(7), at(5)).unwrap();
        assert_eq!(failed.kind, Kind::ReloadFailed);
        r.seen(true, Some(7), at(6));
        assert_eq!(r.due(), Some(at(11)));
        assert!(r.tick(at(10)).is_none());
        assert_eq!(r.tick(at(11)).unwrap().kind, Kind::ReloadStuck);
        assert!(r.tick(at(12)).is_none() && r.stuck(), "told once");
        assert_eq!(r.seen(false, Some(1), at(20)).unwrap().kind, Kind::ReloadOk);
        assert!(!r.stuck());
    }

    #[test]
    fn a_second_reload_that_gets_stuck_is_told_too() {
        let at = |secs: u64| Mono(secs * 1_000_000_000);
        let mut r = Reloads::default();
        r.began(at(1));
        assert!(r.seen(true, None, at(1)).is_none());
        assert!(r.tick(at(6)).is_some());
        r.began(at(20));
        assert!(r.seen(true, None, at(20)).is_none());
        assert!(r.stuck(), "all the time");
        assert_eq!(r.due(), Some(at(25)));
        assert_eq!(r.tick(at(25)).unwrap().kind, Kind::ReloadStuck);
        assert!(r.due().is_none() && r.tick(at(40)).is_none());
        assert_eq!(r.seen(false, Some(1), at(50)).unwrap().kind, Kind::ReloadOk);
        assert!(!r.stuck());
    }

    #[test]
    fn a_reload_that_is_over_at_the_first_look_is_told() {
        let mut r = Reloads::default();
        r.began(Mono(1));
        let note = r.seen(false, Some(GOOD), Mono(2));
        assert_eq!(note.map(|n| n.kind), Some(Kind::ReloadOk));
        assert_eq!(r.seen(false, Some(GOOD), Mono(3)), None);
        r.began(Mono(4));
        let note = r.seen(false, Some(2), Mono(5));
        assert_eq!(note.map(|n| n.kind), Some(Kind::ReloadFailed));
    }
}
