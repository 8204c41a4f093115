//! The cluster as this node sees it.

use super::{Mode, Reason, ServiceState, Status};
use crate::types::{ConfigVersion, NodeId, WallMs};
use serde::{Deserialize, Serialize};

/// The cluster, as the running corosync of this node tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// `totem.cluster_name`; empty where there is none.
    pub name: String,
    /// The running configuration's, not the file's; null where it has none.
    pub config_version: Option<ConfigVersion>,
    /// Whether this node is in a quorate partition.
    pub quorate: bool,
    /// `NODEID.SEQ`, both in hex, as corosync's own tools write it; null before the first ring.
    pub ring_id: Option<String>,
    /// Votes that the whole cluster has; 0 where no quorum provider counts votes.
    pub expected_votes: u32,
    /// Votes of this partition.
    pub total_votes: u32,
    /// Votes that it needs.
    pub quorum: u32,
    /// votequorum's: `2node`, `wait-for-all`, `last-man-standing`, `auto-tie-breaker`,
    /// `allow-downscale`, `qdevice`, `qdevice-alive`, `qdevice-vote`, `qdevice-master-wins`.
    pub flags: Vec<String>,
    /// Every configured node, and every other member; by nodeid.
    pub members: Vec<MemberStatus>,
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id.
    pub nodeid: NodeId,
    /// From the running nodelist; empty where it has none.
    pub name: String,
    /// Its votes; 0 while unknown.
    pub votes: u32,
    /// What it is to this node.
    pub state: MemberState,
    /// Whether it is this node.
    pub local: bool,
    /// The configuration version that it runs with, as it told the ring; null while unknown.
    pub config_version: Option<ConfigVersion>,
    /// When it left; null where that was not seen.
    #[serde(default)]
    pub left_at: Option<WallMs>,
}

/// What a node of the cluster is to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// In the same partition.
    Member,
    /// It says that it leaves.
    Leaving,
    /// It was in the same partition since this node's corosync started, and is no more.
    Left,
    /// Configured, and not seen since this node's corosync started.
    Missing,
}

impl MemberState {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MemberState::Member => "member",
            MemberState::Leaving => "leaving",
            MemberState::Left => "left",
            MemberState::Missing => "missing",
        }
    }
}

/// One link from this node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The other node.
    pub nodeid: NodeId,
    /// Its name; empty where the nodelist has none.
    pub name: String,
    /// The link's number, 0 to 7.
    pub link: u8,
    /// Whether knet has the other node's answers on it.
    pub connected: bool,
    /// Bytes that fit into one packet; 0 while unknown.
    pub mtu: u32,
    /// Average round trip in microseconds; 0 while unknown.
    pub latency_us: u32,
    /// How often it went down since this node's corosync started.
    pub down_count: u64,
    /// Whether it goes down again and again.
    pub flapping: bool,
    /// Of a link that is not connected: whether something of the other node still arrives on it, so that
    /// only the way to that node is cut. What another key made does not count. None while connected, or
    /// unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<bool>,
}

impl ClusterStatus {
    /// Those that are no members, by nodeid.
    pub fn absent(&self) -> impl Iterator<Item = &MemberStatus> {
        self.members
            .iter()
            .filter(|m| m.state != MemberState::Member)
    }

    /// Whether there is a quorum provider that counts votes. Where there is none, corosync calls every
    /// node quorate, also one that is alone.
    #[must_use]
    pub fn votes_count(&self) -> bool {
        self.expected_votes > 0
    }

    /// How many nodes are members.
    #[must_use]
    pub fn present(&self) -> usize {
        self.members.len() - self.absent().count()
    }
}

impl MemberStatus {
    /// Its name, or else `node 3`.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.name, self.nodeid)
    }
}

impl LinkStatus {
    /// The other node's name, or else `node 3`.
    #[must_use]
    pub fn node_label(&self) -> String {
        label(&self.name, self.nodeid)
    }

    /// `link 1 to n3`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("link {} to {}", self.link, self.node_label())
    }
}

fn label(name: &str, nodeid: NodeId) -> String {
    if name.is_empty() {
        format!("node {nodeid}")
    } else {
        name.to_owned()
    }
}

impl Status {
    /// Whether corosync runs, should run, and has quorum: what sits on top may work.
    #[must_use]
    pub fn is_quorate_member(&self) -> bool {
        self.mode == Mode::Cluster
            && self.service.state == ServiceState::Running
            && self.cluster.as_ref().is_some_and(|c| c.quorate)
            && !self.degraded.iter().any(|d| d.reason == "not-answering")
    }

    /// Whether an operator holds corosync stopped and somebody else has started one all the same.
    #[must_use]
    pub fn runs_while_held(&self) -> bool {
        self.mode_reason == Some(Reason::Held)
            && self.service.state == ServiceState::Running
            && self.service.pid.is_some()
    }
}
