//! Reloads, as corosync notes them in its database. Pure.

use crate::event::{Kind, Note, Severity};
use crate::types::Mono;
use serde::{Deserialize, Serialize};
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
    /// How the last one went; none before it was looked at.
    last: Option<Option<u64>>,
    /// What an earlier clusmgr knew, until it is compared.
    before: Option<Kept>,
}

/// What the next clusmgr is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    under_way: bool,
    stuck: bool,
    told: bool,
    status: Option<u64>,
}

impl Reloads {
    /// What the keys say now: whether a reload is under way, and how the last one went.
    pub(super) fn seen(&mut self, busy: bool, status: Option<u64>, now: Mono) -> Option<Note> {
        if !busy {
            self.last = Some(status);
        }
        match (self.since, busy) {
            (None, true) => {
                self.since = Some(now);
                None
            }
            (Some(_), false) => {
                self.over();
                Some(ended(status))
            }
            _ => None,
        }
    }

    fn over(&mut self) {
        self.since = None;
        (self.stuck, self.told) = (false, false);
    }

    /// What an earlier clusmgr knew of the same corosync.
    pub(super) fn recall(&mut self, before: Option<Kept>) {
        self.before = before;
    }

    /// What the next one is to know; none before it was looked at.
    pub(super) fn kept(&self) -> Option<Kept> {
        let status = self.last;
        self.before.or_else(|| {
            Some(Kept {
                under_way: self.since.is_some(),
                stuck: self.stuck,
                told: self.told,
                status: status?,
            })
        })
    }

    /// The first look after clusmgr was away, or without a connection; `changed` says that another
    /// configuration runs than then. One that is still under way is told when it ends.
    pub(super) fn returned(
        &mut self,
        changed: bool,
        busy: bool,
        status: Option<u64>,
    ) -> Option<Note> {
        let before = self.kept()?;
        self.before = None;
        if busy {
            self.stuck |= before.stuck;
            // One that has begun by now is another.
            if self.since.is_none() {
                self.told = before.told;
            }
            return None;
        }
        self.over();
        (before.under_way || changed || before.status != status).then(|| ended(status))
    }

    /// Whether one is under way.
    pub(super) fn under_way(&self) -> bool {
        self.since.is_some()
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

fn ended(status: Option<u64>) -> Note {
    match status {
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
                "corosync could not use its configuration (reload_status {status}) and may have \
                 taken a part of it"
            ),
        )
        .with("status", status),
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
    fn a_reload_while_nobody_looked_shows_in_what_runs_and_how_it_went() {
        let of = |reload: fn(&mut Reloads)| {
            let mut r = Reloads::default();
            r.seen(false, Some(1), at(1));
            reload(&mut r);
            let mut next = Reloads::default();
            assert_eq!(next.kept(), None, "never looked");
            next.recall(r.kept());
            assert_eq!(next.kept(), r.kept(), "not compared yet");
            next
        };
        let kind = |n: Option<Note>| n.map(|n| n.kind);
        let nothing = |_: &mut Reloads| ();
        let begun = |r: &mut Reloads| r.began(at(2));
        assert_eq!(of(nothing).returned(false, false, Some(1)), None);
        let told = of(nothing).returned(true, false, Some(1));
        assert_eq!(kind(told), Some(Kind::ReloadOk));
        let told = of(nothing).returned(false, false, Some(2));
        assert_eq!(kind(told), Some(Kind::ReloadFailed));
        let told = of(begun).returned(false, false, Some(1));
        assert_eq!(kind(told), Some(Kind::ReloadOk), "in the middle of one");
        assert_eq!(Reloads::default().returned(true, false, Some(1)), None);
        // One that was stuck, and is still.
        let mut r = of(|r| {
            r.began(at(2));
            r.tick(at(10));
        });
        assert_eq!(r.returned(true, true, Some(1)), None);
        assert_eq!(r.seen(true, Some(1), at(20)), None);
        assert!(r.stuck() && r.tick(at(30)).is_none(), "it was told");
        assert_eq!(kind(r.seen(false, Some(1), at(40))), Some(Kind::ReloadOk));
    }

    #[test]
    fn a_second_reload_that_gets_stuck_is_told_too() {
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
    fn another_connection_changes_nothing_of_a_reload_that_is_stuck() {
        let mut r = Reloads::default();
        r.seen(false, Some(1), at(0));
        r.began(at(1));
        r.tick(at(6));
        r.began(at(20));
        assert_eq!(r.returned(false, true, Some(1)), None);
        assert_eq!(r.seen(true, Some(1), at(21)), None);
        assert!(r.stuck());
        assert!(r.tick(at(25)).is_some(), "the second one is not told yet");
        let told = r.returned(false, false, Some(1)).unwrap();
        assert_eq!(told.kind, Kind::ReloadOk);
        assert!(!r.stuck());
        // One that begins between two clusmgrs' looks is not the one that was told.
        let mut next = Reloads::default();
        next.recall(Some(Kept {
            under_way: true,
            stuck: true,
            told: true,
            status: Some(1),
        }));
        next.began(at(30));
        assert_eq!(next.returned(false, true, Some(1)), None);
        assert!(next.stuck() && next.tick(at(35)).is_some());
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
