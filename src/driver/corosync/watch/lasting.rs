//! What has been so for a while, of what may be so for an instant. Pure.

use super::links::Id;
use crate::types::Mono;
use std::collections::BTreeMap;
use std::time::Duration;

/// Since when each of these has been so without a break.
#[derive(Debug, Default)]
pub(super) struct Lasting(BTreeMap<Id, Mono>);

impl Lasting {
    /// These are so now; gives those that have been for so long.
    pub(super) fn of(&mut self, ids: &[Id], now: Mono, long: Duration) -> Vec<Id> {
        self.0.retain(|id, _| ids.contains(id));
        let mut lasts = |id: &&Id| now.since(*self.0.entry(**id).or_insert(now)) >= long;
        ids.iter().filter(|id| lasts(id)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    #[test]
    fn only_what_lasts_without_a_break_counts() {
        let [a, b] = [(NodeId(2), 0), (NodeId(2), 1)];
        let at = |s: u64| Mono(s * 1_000_000_000);
        let long = Duration::from_secs(3);
        let mut it = Lasting::default();
        assert!(it.of(&[a], at(10), long).is_empty());
        assert!(it.of(&[a, b], at(12), long).is_empty());
        assert_eq!(it.of(&[a, b], at(13), long), [a]);
        assert!(it.of(&[b], at(14), long).is_empty());
        assert_eq!(it.of(&[a, b], at(15), long), [b], "it was over in between");
    }
}
