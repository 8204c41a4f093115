//! The cluster as `status` shows it.

use super::members::Members;
use crate::sys::corosync::votequorum::{self, Info};
use crate::types::{ConfigVersion, NodeId};
use crate::wire::{ClusterStatus, MemberState, MemberStatus};
use std::collections::{BTreeMap, BTreeSet};

/// votequorum's flags and what they are called on the wire.
const FLAGS: [(u32, &str); 9] = [
    (votequorum::FLAG_TWO_NODE, "2node"),
    (votequorum::FLAG_WAIT_FOR_ALL, "wait-for-all"),
    (votequorum::FLAG_LAST_MAN_STANDING, "last-man-standing"),
    (votequorum::FLAG_AUTO_TIE_BREAKER, "auto-tie-breaker"),
    (votequorum::FLAG_ALLOW_DOWNSCALE, "allow-downscale"),
    (votequorum::FLAG_QDEVICE_REGISTERED, "qdevice"),
    (votequorum::FLAG_QDEVICE_ALIVE, "qdevice-alive"),
    (votequorum::FLAG_QDEVICE_CAST_VOTE, "qdevice-vote"),
    (votequorum::FLAG_QDEVICE_MASTER_WINS, "qdevice-master-wins"),
];

/// What it is put together from.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) version: Option<ConfigVersion>,
    /// This node's own votes.
    pub(super) own: Option<Info>,
    /// Of every node that votequorum knows.
    pub(super) votes: BTreeMap<NodeId, Info>,
    /// The running nodelist.
    pub(super) nodes: BTreeMap<NodeId, String>,
}

impl Parts {
    /// Until corosync is asked: the votes of these members, if all of them are known.
    pub(super) fn recount(&mut self, members: &BTreeSet<NodeId>) {
        let votes = |id| self.votes.get(id).map(|i| i.votes);
        let sum = members.iter().map(votes).sum::<Option<u32>>();
        if let (Some(own), Some(sum)) = (&mut self.own, sum) {
            // A device's vote is not in any node's.
            if own.flags & votequorum::FLAG_QDEVICE_REGISTERED == 0 {
                own.total_votes = sum;
            }
        }
    }

    pub(super) fn status(&self, m: &Members) -> ClusterStatus {
        let all: BTreeSet<NodeId> = self.nodes.keys().chain(&m.members).copied().collect();
        let own = self.own.as_ref();
        let flags = own.map_or(0, |i| i.flags);
        ClusterStatus {
            name: self.name.clone(),
            config_version: self.version,
            quorate: m.quorate == Some(true),
            ring_id: m.ring.map(|r| r.to_string()),
            expected_votes: own.map_or(0, |i| i.highest_expected),
            total_votes: own.map_or(0, |i| i.total_votes),
            quorum: own.map_or(0, |i| i.quorum),
            flags: FLAGS
                .iter()
                .filter(|(bit, _)| flags & bit != 0)
                .map(|(_, name)| (*name).to_owned())
                .collect(),
            members: all.into_iter().map(|id| self.member(id, m)).collect(),
        }
    }

    fn member(&self, id: NodeId, m: &Members) -> MemberStatus {
        let info = self.votes.get(&id);
        let leaving = info.is_some_and(|i| i.node_state == votequorum::STATE_LEAVING);
        let state = match (m.members.contains(&id), m.seen.contains(&id)) {
            (true, _) if leaving => MemberState::Leaving,
            (true, _) => MemberState::Member,
            (false, true) => MemberState::Left,
            (false, false) => MemberState::Missing,
        };
        MemberStatus {
            nodeid: id,
            name: self.nodes.get(&id).cloned().unwrap_or_default(),
            votes: info.map_or(0, |i| i.votes),
            state,
            local: m.local == Some(id),
            config_version: m.versions.get(&id).copied(),
            left_at: m
                .left
                .get(&id)
                .copied()
                .filter(|_| state == MemberState::Left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configured_node_is_shown_with_what_it_is_to_this_one() {
        let ids = [1, 2, 3].map(NodeId);
        let parts = Parts {
            nodes: ids.iter().map(|n| (*n, format!("n{n}"))).collect(),
            own: Some(Info {
                node_state: votequorum::STATE_MEMBER,
                votes: 1,
                expected_votes: 3,
                highest_expected: 3,
                total_votes: 1,
                quorum: 2,
                flags: votequorum::FLAG_QUORATE | votequorum::FLAG_WAIT_FOR_ALL,
                qdevice_votes: 0,
            }),
            ..Parts::default()
        };
        let members = Members {
            quorate: Some(true),
            members: [ids[0]].into(),
            seen: [ids[0], ids[1]].into(),
            local: Some(ids[0]),
            ..Members::default()
        };
        let status = parts.status(&members);
        let states: Vec<_> = status.members.iter().map(|m| (m.state, m.local)).collect();
        assert_eq!(
            states,
            [
                (MemberState::Member, true),
                (MemberState::Left, false),
                (MemberState::Missing, false)
            ]
        );
        assert_eq!(status.flags, ["wait-for-all"]);
        assert_eq!((status.expected_votes, status.quorum), (3, 2));
        assert!(status.quorate);
    }

    #[test]
    fn votes_are_counted_where_all_are_known_and_there_is_no_device() {
        let info = |flags| Info {
            node_state: votequorum::STATE_MEMBER,
            votes: 2,
            expected_votes: 6,
            highest_expected: 6,
            total_votes: 6,
            quorum: 4,
            flags,
            qdevice_votes: 0,
        };
        for (flags, members, total) in [
            (0, &[1, 3][..], 4),
            (0, &[1, 9], 6),
            (votequorum::FLAG_QDEVICE_REGISTERED, &[1], 6),
        ] {
            let mut parts = Parts {
                own: Some(info(flags)),
                votes: [1, 2, 3].map(|n| (NodeId(n), info(0))).into(),
                ..Parts::default()
            };
            parts.recount(&members.iter().map(|n| NodeId(*n)).collect());
            assert_eq!(parts.own.map(|o| o.total_votes), Some(total));
        }
    }
}
