//! Events that were read from the journal, and those that cannot be read any more.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Events by their numbers. A gap between two of them is events that are lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventsPage {
    /// The oldest number that is still there; 0 if none is.
    pub first: u64,
    /// The number of the newest event.
    pub last: u64,
    /// Whether events after `since` are gone: go on from `first`, or where that is 0 with what comes
    /// after `last`.
    pub gone: bool,
    /// The events, oldest first.
    pub events: Vec<Value>,
}

/// The line that a stream has in the place of the events that are lost: from this number to the one
/// before `next`.
#[must_use]
pub fn lagged_line(from: u64, next: u64) -> String {
    json!({"lagged": {"from": from, "next": next}}).to_string()
}
