//! What was known of the cluster when clusmgr last looked, for the one that comes after it.
//!
//! It is kept in the run directory: after a boot it would tell nothing.

use super::links::Id;
use super::members::Members;
use crate::error::Result;
use crate::persist;
use crate::sys::corosync::RingId;
use crate::types::{ConfigVersion, NodeId, Pid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the file.
pub(super) const NAME: &str = "cluster.json";
/// The first version of it.
const VERSION: &str = "1";

/// The record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Whose view this is.
    pub(super) pid: Option<Pid>,
    pub(super) quorate: Option<bool>,
    ring: Option<(u32, u64)>,
    members: Vec<u32>,
    seen: Vec<u32>,
    versions: BTreeMap<u32, u64>,
    links: Vec<(u32, u8, bool)>,
}

impl Known {
    /// Reads it; one that is not there, or damaged, is an empty one: it is a convenience.
    pub(super) fn load(run_dir: &Path) -> Known {
        let found = persist::load(&run_dir.join(NAME), VERSION);
        found.map(Option::unwrap_or_default).unwrap_or_else(|e| {
            log::warn!("{e}; it is not used");
            Known::default()
        })
    }

    /// What there is to know now.
    pub(super) fn of(pid: Option<Pid>, members: &Members, links: BTreeMap<Id, bool>) -> Known {
        let numbers = |ids: &std::collections::BTreeSet<NodeId>| ids.iter().map(|n| n.0).collect();
        Known {
            pid,
            quorate: members.quorate,
            ring: members.ring.map(|r| (r.nodeid.0, r.seq)),
            members: numbers(&members.members),
            seen: numbers(&members.seen),
            versions: members.versions.iter().map(|(n, v)| (n.0, v.0)).collect(),
            links: links.into_iter().map(|((n, l), up)| (n.0, l, up)).collect(),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn save(&self, run_dir: &Path) -> Result<()> {
        persist::save(&run_dir.join(NAME), VERSION, self).map(drop)
    }

    /// Puts it where the present is compared with it; who was seen by another corosync says nothing.
    pub(super) fn recall(&self, members: &mut Members, pid: Option<Pid>) {
        members.quorate = self.quorate;
        members.ring = self.ring.map(|(n, seq)| RingId {
            nodeid: NodeId(n),
            seq,
        });
        members.members = self.members.iter().map(|n| NodeId(*n)).collect();
        if self.pid == pid {
            members.seen = self.seen.iter().map(|n| NodeId(*n)).collect();
        }
        let versions = self.versions.iter();
        members.versions = versions
            .map(|(n, v)| (NodeId(*n), ConfigVersion(*v)))
            .collect();
    }

    /// Whether each link was last told as up.
    pub(super) fn links(&self) -> impl Iterator<Item = (Id, bool)> + '_ {
        self.links.iter().map(|(n, l, up)| ((NodeId(*n), *l), *up))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_comes_back_and_rubbish_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Known::load(dir.path()), Known::default());
        let members = Members {
            quorate: Some(true),
            ring: Some(RingId {
                nodeid: NodeId(1),
                seq: 0x2a,
            }),
            members: [NodeId(1), NodeId(2)].into(),
            seen: [NodeId(1), NodeId(2)].into(),
            versions: [(NodeId(1), ConfigVersion(7))].into(),
            ..Members::default()
        };
        let links = [((NodeId(2), 1), false)].into();
        let known = Known::of(Some(Pid(5)), &members, links);
        known.save(dir.path()).unwrap();
        let back = Known::load(dir.path());
        assert_eq!(back, known);
        let mut m = Members::default();
        back.recall(&mut m, Some(Pid(5)));
        assert_eq!(m, members);
        back.recall(&mut m, Some(Pid(6)));
        assert_eq!(back.links().collect::<Vec<_>>(), [((NodeId(2), 1), false)]);
        std::fs::write(dir.path().join(NAME), "{").unwrap();
        assert_eq!(Known::load(dir.path()), Known::default());
    }
}
