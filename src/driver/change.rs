//! A change of the configuration as the manager sees it: what is asked, what it comes to, and the
//! steps of which the manager decides the order. The driver does each; none decides about the next.

use crate::error::{Error, Result};
use crate::types::ConfigVersion;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// What is asked.
pub enum What {
    /// This text becomes the configuration.
    Apply(Zeroizing<Vec<u8>>),
    /// The live file does.
    Adopt,
    /// What clusmgr holds goes over the live file.
    Revert,
    /// An earlier text does, under a newer version: the one of this number in the history, or the one
    /// before the present one.
    Rollback(Option<u64>),
}

impl What {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            What::Apply(_) => "apply",
            What::Adopt => "adopt",
            What::Revert => "revert",
            What::Rollback(_) => "rollback",
        }
    }
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change that somebody asks for.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub what: What,
    /// It is meant for this node alone, although the cluster has more.
    pub this_node_only: bool,
    /// Who asks.
    pub by: String,
}

/// What a change takes to come into effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Needs {
    /// Nothing: only comments or layout differ.
    Nothing,
    /// corosync reads it while it runs.
    Reload,
    /// corosync reads it when it starts.
    Restart,
}

impl Needs {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Needs::Nothing => "nothing",
            Needs::Reload => "reload",
            Needs::Restart => "restart",
        }
    }
}

/// How a change came into effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// In a corosync that ran.
    By(Needs),
    /// corosync was started with it.
    Start,
    /// Not yet: corosync does not run.
    NextStart,
}

impl Effect {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Effect::By(needs) => needs.as_str(),
            Effect::Start => "start",
            Effect::NextStart => "next-start",
        }
    }
}

/// A change that has passed every check and has not touched anything yet.
pub struct Prepared {
    /// `apply`, `adopt`, `revert` or `rollback`.
    pub what: &'static str,
    /// Who asks.
    pub by: String,
    /// All is so already: there is nothing to do.
    pub same: bool,
    /// What it takes.
    pub needs: Needs,
    /// What changes, in words, a line each; secrets replaced.
    pub plan: Vec<String>,
    /// What does not forbid it.
    pub warnings: Vec<String>,
    /// The text that is to be.
    pub new: Text,
    /// The text that was; none if there was none.
    pub old: Option<Text>,
    /// What corosync runs with if this is undone: the text that was, or the one that clusmgr holds
    /// where that is missing, or is no good and corosync runs nevertheless; none if it does not run.
    pub back: Option<Text>,
    /// Fingerprint of the key that the new text is used with, as it was checked; none where it needs
    /// none. No other one is taken in along with it.
    pub key: Option<String>,
    /// That key goes over another one that is in its place.
    pub writes_key: bool,
}

impl Prepared {
    /// What an undoing puts in the place of the text that was, where that is no good: a corosync that
    /// runs is not to be stopped by it.
    #[must_use]
    pub fn instead(&self) -> Option<&Text> {
        let old = self.old.as_ref()?;
        self.back.as_ref().filter(|b| b.sha256 != old.sha256)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("what", &self.what)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

/// A configuration as text. It may hold a secret: it is zeroed on drop, and never shown.
#[derive(Clone)]
pub struct Text {
    /// The bytes.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Their SHA-256, in hex.
    pub sha256: String,
    /// `totem.config_version`.
    pub version: ConfigVersion,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("sha256", &self.sha256)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What became, at this start, of a change that the last clusmgr did not finish.
#[derive(Debug)]
pub enum Unfinished {
    /// It was kept already, and is told now.
    Kept,
    /// The old text is back in place; corosync, if it runs, may have the new values still.
    TakenBack(Box<Prepared>),
    /// Somebody else has changed the live file since, and why nothing is done about that: it stays, and
    /// so does what corosync runs with.
    Foreign(Box<Prepared>, Error),
}

/// Whether the cluster service runs, with whatever text it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// It does not.
    No,
    /// It was started, and is not ready: it may answer nobody yet.
    Starts,
    /// It does.
    Yes,
}

/// The steps. None of them is called on the monitor's thread; the manager sees to it that there is
/// one change at a time.
pub trait Changes {
    /// Checks everything: grammar, rules, versions, corosync's own check. Touches nothing. `others`: the newest
    /// version that another node is known to have.
    ///
    /// # Errors
    /// All that forbids it, the first in words and the others counted.
    fn change_prepare(
        &self,
        request: &Request,
        runs: Runs,
        others: Option<ConfigVersion>,
    ) -> Result<Prepared>;
    /// Puts the new text in place, after a record of the change that survives a kill.
    ///
    /// # Errors
    /// When it cannot be written; everything is as it was then.
    fn change_write(&self, change: &Prepared) -> Result<()>;
    /// Has the running corosync read it.
    ///
    /// # Errors
    /// When it refuses, or does not answer in time; or when it would read a key that somebody else has
    /// put there meanwhile.
    fn change_reload(&self, change: &Prepared) -> Result<()>;
    /// Has the monitor restart corosync (C: `corosync_reboot_needed`).
    ///
    /// # Errors
    /// When it would read a key that somebody else has put there meanwhile.
    fn change_restart(&self, change: &Prepared) -> Result<()>;
    /// Whether the running corosync has the new values (`undone`: the old ones). Waits a little.
    ///
    /// # Errors
    /// Which value it has instead.
    fn change_prove(&self, change: &Prepared, undone: bool) -> Result<()>;
    /// It holds: what clusmgr holds is the new text, and that is in the history and told.
    ///
    /// # Errors
    /// When that cannot be recorded.
    fn change_keep(&self, change: &Prepared, how: Effect) -> Result<()>;
    /// It does not: the old text goes back into place, or what a running corosync needs there
    /// ([`Prepared::instead`]), which is then said in words.
    ///
    /// # Errors
    /// When it cannot be written.
    fn change_undo(&self, change: &Prepared) -> Result<Option<String>>;
    /// The undoing is over; why there was one goes into the history, and is told.
    fn change_undone(&self, change: &Prepared, how: Needs, why: &str);
    /// What was told is on disk: the record that survives a kill goes. It stays where the old text could not
    /// be put back, unless the service was `proved` to run with the new one, and does: that is left as it is
    /// then, and told as drift.
    fn change_over(&self, proved: bool);
    /// Whether the running service certainly has what was before this change, and nothing of the change: it
    /// was never told of it.
    fn change_is_out(&self, change: &Prepared) -> bool;
    /// Whether the other nodes certainly can do without this one while it is restarted for the old text. If
    /// not, that it needs a restart is shown, and left to the operator.
    ///
    /// # Errors
    /// When their quorum would be lost, or nobody knows.
    fn change_may_restart(&self, change: &Prepared) -> Result<()>;
    /// A change that the last clusmgr did not finish.
    fn change_unfinished(&self) -> Option<Unfinished>;
}
