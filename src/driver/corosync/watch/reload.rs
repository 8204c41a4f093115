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
}

impl Reloads {
    /// A reload began, and may be over by the time the keys are read.
    pub(super) fn begun(&mut self, now: Mono) {
        self.since.get_or_insert(now);
    }

    /// What the keys say now: whether a reload is under way, and how the last one went.
    pub(super) fn seen(&mut self, busy: bool, status: Option<u64>, now: Mono) -> Option<Note> {
        match (self.since, busy) {
            (None, true) => {
                self.since = Some(now);
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

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Mono) -> Option<Note> {
        if self.stuck || self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.stuck = true;
        let text = "a reload does not come to its end: corosync could not read its file, or waits for the ring";
        Some(Note::new(Kind::ReloadStuck, Severity::Err, text))
    }

    /// When [`Reloads::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Mono> {
        self.since.filter(|_| !self.stuck).map(|s| s.plus(STUCK))
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
    fn a_reload_that_is_over_before_it_is_looked_at_is_told_all_the_same() {
        let mut r = Reloads::default();
        r.begun(at(1));
        assert_eq!(r.seen(false, Some(1), at(1)).unwrap().kind, Kind::ReloadOk);
        assert!(
            r.seen(false, Some(1), at(1)).is_none(),
            "its end comes late"
        );
        r.seen(true, Some(1), at(4));
        r.begun(at(7));
        assert_eq!(r.due(), Some(at(9)), "stuck since the first one");
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
}
