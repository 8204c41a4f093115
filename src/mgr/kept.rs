//! What the manager keeps on disk: an operator's hold, and when corosync died.

use super::state::Hold;
use crate::error::Result;
use crate::persist;
use crate::types::{Mono, Pid, WallMs};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// Version of the manager's own state file.
pub const STATE_VERSION: &str = "s01";
/// The manager's own state file, below the state directory.
pub const STATE_NAME: &str = "manager.json";

/// What the manager keeps on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// An operator holds corosync stopped.
    pub hold: bool,
    /// The boot that the hold ends with; none for one that survives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// The corosync that was running when it was held: it was, or was to be, told to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Pid>,
    /// The boot in which a corosync was last seen alive, under `--restart-delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<String>,
    /// Its last death that nobody had asked for, under `--restart-delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<Death>,
}

/// When corosync died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// In this boot.
    pub boot: String,
    /// At this time of that boot, in nanoseconds: no step of the wall clock touches it.
    pub mono: u64,
    /// At this time, for another boot.
    pub at: WallMs,
}

impl Death {
    /// The earliest next start. A boot is later than all deaths before it, whatever the wall clock
    /// says; and nobody waits longer than the delay.
    fn due(&self, delay: Duration, boot: &str, now: Mono, wall: WallMs) -> Mono {
        let due = if self.boot == boot {
            Mono(self.mono).plus(delay)
        } else {
            let since = Duration::from_millis(wall.0.saturating_sub(self.at.0));
            let since = since.max(now.since(Mono(0)));
            now.plus(delay.saturating_sub(since))
        };
        due.min(now.plus(delay))
    }
}

impl Kept {
    /// Corosync runs: the delay after an earlier death is over, or was ended by an operator.
    pub fn lives(&mut self, boot: &str) {
        self.alive = Some(boot.to_owned());
        self.died = None;
    }

    /// Corosync has died, now; also if it did so unseen, since nobody knows when.
    pub fn death(&mut self, boot: &str, now: Mono, wall: WallMs) {
        self.alive = None;
        self.died = Some(Death {
            boot: boot.to_owned(),
            mono: now.0,
            at: wall,
        });
    }

    /// No corosync was found: the earliest start, by the death that was seen, or by that of one that
    /// was alive when the last clusmgr looked.
    pub fn due(&mut self, delay: Duration, boot: &str, now: Mono, wall: WallMs) -> Mono {
        if let Some(in_boot) = self.alive.take() {
            // It did not survive that boot, or died in this one at an unknown time.
            self.death(&in_boot, now, wall);
        }
        let due = |d: &Death| d.due(delay, boot, now, wall);
        self.died.as_ref().map_or(Mono(0), due)
    }

    /// What to keep of a hold in this boot.
    #[must_use]
    pub fn of(hold: Option<Hold>, boot: &str) -> Kept {
        Kept {
            hold: hold.is_some(),
            boot: (hold == Some(Hold::UntilBoot)).then(|| boot.to_owned()),
            ..Kept::default()
        }
    }

    /// The same with another hold.
    #[must_use]
    pub fn with_hold(self, hold: Option<Hold>, boot: &str) -> Kept {
        Kept {
            alive: self.alive,
            died: self.died,
            ..Kept::of(hold, boot)
        }
    }

    /// The hold that counts in this boot.
    #[must_use]
    pub fn hold_in(&self, boot: &str) -> Option<Hold> {
        match &self.boot {
            _ if !self.hold => None,
            None => Some(Hold::Kept),
            Some(until) => (until == boot).then_some(Hold::UntilBoot),
        }
    }

    /// Reads what is kept; nothing, if nothing ever was.
    ///
    /// # Errors
    /// If the file is damaged or of another version.
    pub fn load(state_dir: &Path) -> Result<Kept> {
        Ok(persist::load(&state_dir.join(STATE_NAME), STATE_VERSION)?.unwrap_or_default())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, state_dir: &Path) -> Result<()> {
        persist::save(&state_dir.join(STATE_NAME), STATE_VERSION, self).map(|_| ())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_until_the_next_boot_is_forgotten_in_another_and_a_plain_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let load = || Kept::load(dir.path()).unwrap();
        assert_eq!(load().hold_in("b1"), None);
        let until_boot = Kept::of(Some(Hold::UntilBoot), "b1");
        until_boot.save(dir.path()).unwrap();
        assert_eq!(load().hold_in("b1"), Some(Hold::UntilBoot));
        assert_eq!(load().hold_in("b2"), None);
        Kept::of(Some(Hold::Kept), "b1").save(dir.path()).unwrap();
        assert_eq!(load().hold_in("b2"), Some(Hold::Kept));
        Kept::of(None, "b1").save(dir.path()).unwrap();
        assert_eq!(load(), Kept::default());
        // As an earlier clusmgr wrote it.
        let old = r#"{"version":"s01","hold":true}"#;
        std::fs::write(dir.path().join(STATE_NAME), old).unwrap();
        assert_eq!(load().hold_in("b2"), Some(Hold::Kept));
    }

    #[test]
    fn the_delay_counts_from_the_death_in_its_boot_and_by_the_clock_or_the_boot_in_another() {
        let secs = Duration::from_secs;
        let at = |s: u64| Mono(s * 1_000_000_000);
        let wall = |s: u64| WallMs(s * 1000);
        let delay = secs(60);
        let mut kept = Kept::default();
        assert_eq!(kept.due(delay, "b1", at(500), wall(9000)), Mono(0));
        kept.death("b1", at(500), wall(9000));
        let mut due = |boot, now, clock| kept.due(delay, boot, at(now), wall(clock));
        // The same boot: whatever the wall clock does.
        assert_eq!(due("b1", 510, 9010), at(560));
        assert_eq!(due("b1", 510, 1), at(560));
        // A time that this boot has not reached yet: never longer than the delay.
        assert_eq!(due("b1", 100, 9010), at(160));
        // Another: by the wall clock; by the boot alone if that was set back.
        assert_eq!(due("b2", 20, 9030), at(50));
        assert_eq!(due("b2", 20, 9000), at(60));
        assert_eq!(due("b2", 20, 1), at(60));
        assert_eq!(due("b2", 90, 1), at(90));
    }

    #[test]
    fn a_corosync_that_died_unseen_died_now_or_with_its_boot() {
        let at = |s: u64| Mono(s * 1_000_000_000);
        let alive = || Kept {
            alive: Some("b1".to_owned()),
            ..Kept::default()
        };
        let delay = Duration::from_secs(60);
        let mut kept = alive();
        assert_eq!(kept.due(delay, "b1", at(500), WallMs(1)), at(560));
        // And it is not another death at the next look.
        assert_eq!(kept.due(delay, "b1", at(520), WallMs(1)), at(560));
        assert_eq!(alive().due(delay, "b2", at(25), WallMs(1)), at(60));
    }
}
