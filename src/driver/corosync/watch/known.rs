//! What was known of the cluster when clusmgr last looked, for the one that comes after it.

use super::links::{Before, Id};
use super::members::Members;
use super::reload;
use crate::sys::corosync::RingId;
use crate::types::{ConfigVersion, NodeId, Pid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Whose view this is.
    pub(super) pid: Option<Pid>,
    pub(super) quorate: Option<bool>,
    ring: Option<(u32, u64)>,
    members: Vec<u32>,
    seen: Vec<u32>,
    versions: BTreeMap<u32, u64>,
    links: Vec<(u32, u8, Before)>,
    pub(super) process: OfProcess,
}

/// What says nothing of another corosync, for it begins anew there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OfProcess {
    /// A hash of the running configuration, as of the last reload that was told.
    pub(super) running: Option<String>,
    pub(super) reload: Option<reload::Kept>,
    /// When it last noticed a pause, by its own clock; 0 for never.
    pub(super) pause: Option<u64>,
}

impl Known {
    /// What there is to know now.
    pub(super) fn of(
        pid: Option<Pid>,
        members: &Members,
        links: BTreeMap<Id, Before>,
        process: OfProcess,
    ) -> Known {
        let numbers = |ids: &std::collections::BTreeSet<NodeId>| ids.iter().map(|n| n.0).collect();
        Known {
            pid,
            quorate: members.quorate,
            ring: members.ring.map(|r| (r.nodeid.0, r.seq)),
            members: numbers(&members.members),
            seen: numbers(&members.seen),
            versions: members.versions.iter().map(|(n, v)| (n.0, v.0)).collect(),
            links: links.into_iter().map(|((n, l), b)| (n.0, l, b)).collect(),
            process,
        }
    }

    /// Puts it where the present is compared with it. Who was seen by another corosync says nothing.
    pub(super) fn recall(&self, members: &mut Members, same: bool) {
        members.quorate = self.quorate;
        members.ring = self.ring.map(|(n, seq)| RingId {
            nodeid: NodeId(n),
            seq,
        });
        members.members = self.members.iter().map(|n| NodeId(*n)).collect();
        if same {
            members.seen = self.seen.iter().map(|n| NodeId(*n)).collect();
        }
        let versions = self.versions.iter();
        members.versions = versions
            .map(|(n, v)| (NodeId(*n), ConfigVersion(*v)))
            .collect();
    }

    /// How each link was last told; another corosync counts from 0.
    pub(super) fn links(&self, same: bool) -> impl Iterator<Item = (Id, Before)> + '_ {
        let one = move |(n, l, b): &(u32, u8, Before)| {
            let before = if same { *b } else { b.of_another() };
            ((NodeId(*n), *l), before)
        };
        self.links.iter().map(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_comes_back_but_for_what_another_corosync_counted() {
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
        let told = Before {
            up: false,
            downs: Some(3),
            flapping: true,
        };
        let links = [((NodeId(2), 1), told)].into();
        let known = Known::of(Some(Pid(5)), &members, links, OfProcess::default());
        let mut m = Members::default();
        known.recall(&mut m, true);
        assert_eq!(m, members);
        let mut other = Members::default();
        known.recall(&mut other, false);
        assert!(other.seen.is_empty());
        assert_eq!(other.members, members.members);
        let of = |same| known.links(same).collect::<Vec<_>>();
        assert_eq!(of(true), [((NodeId(2), 1), told)]);
        let nothing = Before {
            up: false,
            ..Before::default()
        };
        assert_eq!(of(false), [((NodeId(2), 1), nothing)]);
    }
}
