//! What is told of the configuration: its changes, their history, and what is wrong with it.

use crate::types::{ConfigVersion, WallMs};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use zeroize::Zeroizing;

/// The text of a corosync.conf on its way: a string, or an array of its bytes where it is no UTF-8, as an
/// old comment may be. It may hold a key: it is zeroed on drop, and `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfText(Zeroizing<Vec<u8>>);

impl ConfText {
    /// The bytes: never log them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for ConfText {
    fn from(text: Vec<u8>) -> ConfText {
        ConfText(Zeroizing::new(text))
    }
}

impl fmt::Debug for ConfText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfText({} bytes)", self.0.len())
    }
}

impl Serialize for ConfText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => to.serialize_str(text),
            Err(_) => to.collect_seq(self.0.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for ConfText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ConfText, D::Error> {
        from.deserialize_any(ReadText)
    }
}

struct ReadText;

impl<'de> Visitor<'de> for ReadText {
    type Value = ConfText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or an array of its bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfText, E> {
        Ok(text.as_bytes().to_vec().into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<ConfText, E> {
        Ok(text.into_bytes().into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<ConfText, A::Error> {
        let mut text = Zeroizing::new(Vec::new());
        while let Some(byte) = bytes.next_element::<u8>()? {
            text.push(byte);
        }
        Ok(ConfText(text))
    }
}

/// What a change of the configuration did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReport {
    /// `apply`, `adopt`, `revert` or `rollback`.
    pub what: String,
    /// Whether it was done: false for a dry run, and where there was nothing to do.
    pub done: bool,
    /// `nothing`, `reload`, `restart`, or `start` where corosync did not run.
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
    /// `nothing`, `reload`, `restart`, or `start` where corosync did not run.
    pub how: String,
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
