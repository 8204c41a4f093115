//! What the manager keeps on disk: an operator's hold.

use super::state::Hold;
use crate::error::Result;
use crate::persist;
use crate::types::Pid;
use serde::{Deserialize, Serialize};
use std::path::Path;

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
}

impl Kept {
    /// What to keep of a hold in this boot.
    #[must_use]
    pub fn of(hold: Option<Hold>, boot: &str) -> Kept {
        Kept {
            hold: hold.is_some(),
            boot: (hold == Some(Hold::UntilBoot)).then(|| boot.to_owned()),
            ends: None,
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
}
