//! What of a peer's report is not as here. Pure.

use super::compare::Peer;
use crate::types::ConfigVersion;
use crate::wire::{ANSWERS, PeerReport, To, called};
use serde_json::Value;
use std::cmp::Ordering;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Who answers is who was asked.
    Identity,
    /// `totem.config_version`, as clusmgr holds it.
    ConfigVersion,
    /// The content of the configuration, where the version is the same.
    Config,
    /// The key.
    Key,
}

impl What {
    pub(super) const ALL: [What; 4] =
        [What::Identity, What::ConfigVersion, What::Config, What::Key];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            What::Identity => "identity",
            What::ConfigVersion => "config-version",
            What::Config => "config",
            What::Key => "key",
        }
    }
}

/// One thing that is not the same. What is not known is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) what: What,
    pub(super) ours: Value,
    pub(super) theirs: Value,
    /// The peer has the older (`Less`) or the newer (`Greater`) one, where there is an order.
    pub(super) order: Ordering,
}

/// Why the report is not one of the node that was asked; in words that name who answered.
///
/// The nodeid decides: the names that a node and the nodelist give it may differ, where it was found by
/// its host name or address. Without one on either side, the name does.
pub(super) fn impostor(peer: &Peer, report: &PeerReport) -> Option<Difference> {
    let asked = To {
        node: peer.name.clone(),
        nodeid: peer.nodeid,
    };
    // It has no nodelist, or is not in it, where it has no nodeid.
    let known = asked.is(&[&report.node], report.nodeid, false);
    (!known).then(|| Difference {
        what: What::Identity,
        ours: called(&peer.name, peer.nodeid).into(),
        theirs: called(&report.node, report.nodeid).into(),
        order: Ordering::Equal,
    })
}

/// The same by who was asked instead, and carried nothing out; as far as it said who it is.
pub(super) fn wrong_node(peer: &Peer, message: &str) -> Difference {
    let who = message.split(ANSWERS).next().filter(|w| *w != message);
    let who = who.and_then(|w| w.rsplit(": ").next());
    Difference {
        what: What::Identity,
        ours: called(&peer.name, peer.nodeid).into(),
        theirs: who.into(),
        order: Ordering::Equal,
    }
}

/// The newest version that a peer holds or runs with: with an older one nobody joins it.
pub(super) fn newest(report: &PeerReport) -> Option<ConfigVersion> {
    report.config_version.max(report.running_version)
}

/// The version that corosync would be started with here. A file that was edited by hand is started as it
/// is; what runs with it tells its version, and where nothing runs the file itself.
pub(super) fn to_start(own: &PeerReport) -> Option<ConfigVersion> {
    match (own.drift, own.running_version) {
        (true, Some(_)) => newest(own),
        (true, None) => own.file_version.or(own.config_version),
        (false, _) => own.config_version,
    }
}

/// What of the configuration is not as here. What one of the two does not have is not compared.
pub(super) fn of_config(own: &PeerReport, theirs: &PeerReport) -> Option<Difference> {
    let (ours, their) = (to_start(own)?, newest(theirs)?);
    if ours != their {
        return Some(Difference {
            what: What::ConfigVersion,
            ours: ours.0.into(),
            theirs: their.0.into(),
            order: their.cmp(&ours),
        });
    }
    // A hash is that of what is held.
    if own.config_version != theirs.config_version {
        return None;
    }
    let (ours, their) = (own.sha256.as_deref()?, theirs.sha256.as_deref()?);
    (ours != their).then(|| Difference {
        what: What::Config,
        ours: ours.into(),
        theirs: their.into(),
        order: Ordering::Equal,
    })
}

/// Whether it has another key.
pub(super) fn of_key(own: &PeerReport, theirs: &PeerReport) -> Option<Difference> {
    let (ours, their) = (own.fingerprint.as_deref()?, theirs.fingerprint.as_deref()?);
    (ours != their).then(|| Difference {
        what: What::Key,
        ours: ours.into(),
        theirs: their.into(),
        order: Ordering::Equal,
    })
}

/// It did not take this node's key; what its own is, it did not say.
pub(super) fn wrong_key(own: &PeerReport) -> Difference {
    Difference {
        what: What::Key,
        ours: own.fingerprint.clone().into(),
        theirs: Value::Null,
        order: Ordering::Equal,
    }
}

impl Difference {
    /// The value on one side, short enough for a line.
    pub(super) fn brief(value: &Value) -> String {
        match value {
            Value::String(text) => text.chars().take(12).collect(),
            Value::Null => "unknown".to_owned(),
            other => other.to_string(),
        }
    }

    /// One line about that node.
    pub(super) fn line(&self, name: &str) -> String {
        let (ours, theirs) = (Self::brief(&self.ours), Self::brief(&self.theirs));
        match (self.what, self.order) {
            (What::Identity, _) => {
                let who = self.theirs.as_str().unwrap_or("another node");
                format!("{who} answers where {name} was asked: its addresses lead to another node")
            }
            (What::ConfigVersion, Ordering::Greater) => format!(
                "{name} has the newer config_version {theirs}, this node {ours}: this node is behind, \
                 and the next start of corosync here would fail"
            ),
            (What::ConfigVersion, _) => format!(
                "{name} has the older config_version {theirs}, this node {ours}: it is behind, and \
                 the next start of its corosync would fail"
            ),
            (What::Config, _) => format!(
                "{name} has the same config_version and other content: hash {theirs}, here {ours}"
            ),
            (What::Key, _) if self.theirs.is_null() => {
                format!("{name} has another key: it does not take this node's, {ours}")
            }
            (What::Key, _) => {
                format!("{name} has another key: fingerprint {theirs}, here {ours}")
            }
        }
    }
}
