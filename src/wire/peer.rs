//! What nodes tell each other, and what this node knows of the others by it.

use super::{Answer, MemberState, ServiceState, Status};
use crate::types::{ConfigVersion, NodeId, WallMs};
use serde::{Deserialize, Serialize};

/// The code of the error that answers what was meant for another node.
pub const WRONG_NODE: &str = "wrong-node";

/// Why another node's clusmgr cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreachable {
    /// The machine is there, and nobody listens.
    Refused,
    /// No answer in time: it is off, or cut off.
    TimedOut,
    /// It has another authkey than this node.
    WrongKey,
    /// It speaks another version of the protocol between nodes, or is no clusmgr.
    OtherProtocol,
    /// This node has no key, so that it cannot ask.
    NoKey,
    /// None of its addresses can be found or used.
    NoAddress,
    /// It has too many connections, or this node has to it.
    Busy,
    /// Another node answers at its address.
    WrongNode,
    /// Anything else; the message says it.
    Failed,
}

impl Unreachable {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Unreachable::Refused => "refused",
            Unreachable::TimedOut => "timed-out",
            Unreachable::WrongKey => "wrong-key",
            Unreachable::OtherProtocol => "other-protocol",
            Unreachable::NoKey => "no-key",
            Unreachable::NoAddress => "no-address",
            Unreachable::Busy => "busy",
            Unreachable::WrongNode => WRONG_NODE,
            Unreachable::Failed => "failed",
        }
    }
}

/// The first message of a client of the remote service. Every holder of the key can say any of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::PROTO`].
    pub proto: u32,
    /// The name of the node that it is.
    pub node: String,
    /// The node that it means to ask: who is another one carries nothing out. Left out by who does not
    /// care who answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<To>,
}

/// A node that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct To {
    /// Its name, or where it has none its nodeid.
    pub node: String,
    /// From the nodelist.
    #[serde(default)]
    pub nodeid: Option<NodeId>,
}

impl To {
    /// Whether a node of these names and this nodeid is the one that is meant.
    ///
    /// The nodeid decides: the names that a node and the nodelist give it may differ, where it was found
    /// by its host name or address. Without one on either side, the name does, without its domain. `placed`
    /// says whether the node has a place in a nodelist; who has none cannot say that it is another one.
    #[must_use]
    pub fn is(&self, names: &[&str], nodeid: Option<NodeId>, placed: bool) -> bool {
        let same = |name: &&str| short(name) == short(&self.node);
        match (self.nodeid, nodeid) {
            (Some(asked), Some(own)) => asked == own,
            (Some(_), None) if !placed => true,
            _ => names.iter().any(same),
        }
    }
}

/// What follows the name of who answers in the place of another.
pub const ANSWERS: &str = " answers at this address";

/// A node in words.
#[must_use]
pub fn called(name: &str, nodeid: Option<NodeId>) -> String {
    match nodeid {
        Some(id) => format!("{name} (nodeid {id})"),
        None => name.to_owned(),
    }
}

/// A host name without its domain.
#[must_use]
pub fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// What a request to all nodes answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllReply {
    /// Every configured node, in order of the nodelist.
    pub nodes: Vec<NodeAnswer>,
}

/// The answer of one of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeAnswer {
    /// Its name, or where it has none its nodeid.
    pub node: String,
    /// From the nodelist.
    pub nodeid: Option<NodeId>,
    /// Whether it is the node that was asked.
    #[serde(default)]
    pub local: bool,
    /// Why it could not be asked; then the answer is an error. Left out if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<Unreachable>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
    /// What it said.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What `peer.report` answers: what nodes compare, and no more of it than that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Its name.
    pub node: String,
    /// As its configuration names it.
    pub nodeid: Option<NodeId>,
    /// `totem.config_version` as its clusmgr holds it.
    pub config_version: Option<ConfigVersion>,
    /// SHA-256 of that configuration's canonical text, in hex.
    pub sha256: Option<String>,
    /// What its corosync runs with.
    pub running_version: Option<ConfigVersion>,
    /// Of its key.
    pub fingerprint: Option<String>,
    /// Its corosync.
    pub state: ServiceState,
    /// Whether it is in a quorate partition.
    pub quorate: bool,
    /// Who else is in it, by nodeid, itself among them.
    pub members: Vec<NodeId>,
    /// It is cut off from delivery and about to restart corosync for it.
    #[serde(default)]
    pub isolated: bool,
    /// Its corosync.conf is not what its clusmgr holds.
    #[serde(default)]
    pub drift: bool,
    /// `totem.config_version` of that corosync.conf; left out where it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_version: Option<ConfigVersion>,
    /// It is asked to restart corosync in a round over all nodes, and looks whether it may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub claiming: bool,
    /// It restarts corosync in such a round, and is not back yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restarting: bool,
}

/// What this node knows of another one by its clusmgr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name, or where it has none its nodeid.
    pub name: String,
    /// From the nodelist.
    pub nodeid: Option<NodeId>,
    /// Why it cannot be asked; null where it answers, or was not asked yet.
    pub unreachable: Option<Unreachable>,
    /// The address that answered; null where none did.
    pub address: Option<String>,
    /// When it answered last; null where it never did.
    pub seen: Option<WallMs>,
    /// The newest of what it held and ran with then.
    pub config_version: Option<ConfigVersion>,
    /// As it said then.
    pub sha256: Option<String>,
    /// As it said then.
    pub fingerprint: Option<String>,
    /// What of it is not as here: `config-version`, `config`, `key`; or `identity`, where another node
    /// answered in its place.
    pub differs: Vec<String>,
}

impl Status {
    /// What of it peers compare.
    #[must_use]
    pub fn report(&self) -> PeerReport {
        let cluster = self.cluster.as_ref();
        let members = cluster.map_or(&[][..], |c| &c.members);
        PeerReport {
            node: self.node.name.clone(),
            nodeid: self.node.nodeid,
            config_version: self.config.version,
            sha256: self.config.sha256.clone(),
            running_version: cluster.and_then(|c| c.config_version),
            fingerprint: self.key.fingerprint.clone(),
            state: self.service.state,
            quorate: cluster.is_some_and(|c| c.quorate),
            members: members
                .iter()
                .filter(|m| m.state == MemberState::Member)
                .map(|m| m.nodeid)
                .collect(),
            isolated: self.degraded.iter().any(|d| d.reason == "isolated"),
            drift: self.config.drift,
            file_version: self.config.file_version,
            claiming: false,
            restarting: false,
        }
    }
}
