//! What is told of the configuration: its changes, their history, and what is wrong with it.

use crate::types::{ConfigVersion, WallMs};
use serde::{Deserialize, Serialize};

/// What a change of the configuration did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReport {
    /// `apply`, `adopt`, `revert` or `rollback`.
    pub what: String,
    /// Whether it was done: false for a dry run, and where there was nothing to do.
    pub done: bool,
    /// `nothing`, `reload`, `restart`; where corosync did not run `start`, or `next-start` if it does not yet.
    pub how: String,
    /// `totem.config_version` of the new configuration.
    pub version: ConfigVersion,
    /// SHA-256 of its text, in hex.
    pub sha256: String,
    /// What changes, a line each.
    pub plan: Vec<String>,
    /// What does not forbid it, a line each.
    pub warnings: Vec<String>,
    /// How long it took, its proof included, in milliseconds.
    pub took_ms: u64,
}

/// What a text would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffReport {
    /// A unified difference of the canonical texts; empty if there is none. Secrets are replaced.
    pub diff: String,
    /// What changes, a line each.
    pub plan: Vec<String>,
}

/// The last changes of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Oldest first.
    pub entries: Vec<HistoryEntry>,
    /// Lines of the history file that are no entries.
    pub damaged: usize,
}

/// One change, done or undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Its number; only grows.
    pub id: u64,
    /// When.
    pub at: WallMs,
    /// `totem.config_version` of the new text.
    pub version: ConfigVersion,
    /// SHA-256 of the new text.
    pub sha256: String,
    /// Who: `uid 0 pid 123`, `SIGHUP`, `clusmgr`.
    pub by: String,
    /// `take-over`, `apply`, `adopt`, `revert` or `rollback`.
    pub what: String,
    /// `nothing`, `reload`, `restart`; where corosync did not run `start`, or `next-start` if it does not yet.
    pub how: String,
    /// Fingerprint of the key that it is used with; none where it needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why it was undone; none if it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<String>,
}

/// What a check of a configuration found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// What was checked.
    pub path: String,
    /// No finding is an error.
    pub ok: bool,
    /// All of them.
    pub findings: Vec<WireFinding>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireFinding {
    /// From 1; 0 for the file as a whole.
    pub line: u32,
    /// In bytes, from 1; 0 for the whole line.
    pub column: u32,
    /// `totem.token`; empty for the file as a whole.
    pub path: String,
    /// `error` or `warning`.
    pub severity: String,
    /// What is wrong and what to write.
    pub message: String,
}
