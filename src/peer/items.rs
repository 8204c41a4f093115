//! The reasons to call this node degraded that come of other nodes. Pure.

use super::told::{Tell, Told};
use crate::event::{Kind, Note, Severity};
use crate::types::{Mono, WallMs};
use crate::wire::DegradedItem;

/// One reason.
#[derive(Debug)]
pub(super) struct Item {
    reason: &'static str,
    severity: Severity,
    is: Option<DegradedItem>,
    told: Told<()>,
}

impl Item {
    pub(super) fn new(reason: &'static str, severity: Severity) -> Item {
        Item {
            reason,
            severity,
            is: None,
            told: Told::default(),
        }
    }

    /// Its detail now, or none if it is over. A change of the detail alone is not told.
    pub(super) fn set(&mut self, detail: Option<String>, now: Mono, wall: WallMs) -> Option<Note> {
        self.is = detail.map(|detail| DegradedItem {
            reason: self.reason.to_owned(),
            since: self.is.as_ref().map_or(wall, |i| i.since),
            detail,
        });
        let tell = self.told.take(self.is.as_ref().map(drop), now)?;
        let (kind, severity, text) = match (tell, &self.is) {
            (Tell::Bad((), _), Some(is)) => (
                Kind::Degraded,
                self.severity,
                format!("{}: {}", self.reason, is.detail),
            ),
            _ => (
                Kind::DegradedEnded,
                Severity::Notice,
                format!("{} is over", self.reason),
            ),
        };
        Some(Note::new(kind, severity, text).with("reason", self.reason))
    }

    pub(super) fn get(&self) -> Option<&DegradedItem> {
        self.is.as_ref()
    }
}
