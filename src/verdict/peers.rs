//! What differs between this node and its peers, and what of the cluster's troubles it explains.

use super::{Findings, Verdict};
use crate::event::Severity;
use crate::types::NodeId;
use crate::wire::{PeerStatus, Unreachable};

/// How much of a hash is shown.
const HASH: usize = 12;

impl Findings<'_> {
    /// Another key or configuration, where `status` calls the node degraded for it.
    pub(super) fn peers(&mut self) {
        for (code, severity) in [
            ("peer-key", Severity::Err),
            ("peer-identity", Severity::Err),
            ("peer-config", Severity::Warning),
        ] {
            let items = &self.status.degraded;
            let Some(item) = items.iter().find(|d| d.reason == code) else {
                continue;
            };
            let lines: Vec<String> = self.of(code).filter_map(|p| self.differs(p)).collect();
            self.add(Verdict::new(code, severity, item.detail.clone()).because(lines));
        }
        let newer = self.status.peers.iter().filter(|p| self.is_newer(p));
        let lines: Vec<String> = newer.filter_map(|p| self.differs(p)).collect();
        let mut found = self.verdicts.iter_mut();
        if let Some(behind) = found.find(|v| v.code == "config-version-behind") {
            behind.evidence.extend(lines);
        }
    }

    /// The peers that a verdict is about.
    fn of<'a>(&'a self, code: &'a str) -> impl Iterator<Item = &'a PeerStatus> {
        let fits = move |d: &String| match d.as_str() {
            "key" => code == "peer-key",
            "config" | "config-version" => code == "peer-config",
            "identity" => code == "peer-identity",
            _ => false,
        };
        let peers = self.status.peers.iter();
        peers.filter(move |p| p.differs.iter().any(fits))
    }

    fn is_newer(&self, peer: &PeerStatus) -> bool {
        let own = self.status.config.version;
        peer.config_version
            .is_some_and(|v| own.is_some_and(|own| v > own))
    }

    /// In what a peer is not as this node, in a few words; none where it is.
    fn differs(&self, peer: &PeerStatus) -> Option<String> {
        let brief = |text: &Option<String>| match text {
            Some(text) => text.chars().take(HASH).collect(),
            None => "unknown".to_owned(),
        };
        let (config, key) = (&self.status.config, &self.status.key);
        let mut parts = Vec::new();
        for what in &peer.differs {
            parts.push(match what.as_str() {
                "key" => match peer.unreachable {
                    Some(why) => format!(
                        "has another key than this node (its clusmgr: {})",
                        why.as_str()
                    ),
                    None => format!(
                        "has the key {}, this node {}",
                        brief(&peer.fingerprint),
                        brief(&key.fingerprint)
                    ),
                },
                "config-version" => format!(
                    "holds config_version {}, this node {}",
                    number(peer.config_version),
                    number(config.version)
                ),
                "config" => format!(
                    "holds the same config_version with the hash {}, this node {}",
                    brief(&peer.sha256),
                    brief(&config.sha256)
                ),
                "identity" => "does not answer at its own addresses: another node does".to_owned(),
                other => format!("differs in {other}"),
            });
        }
        (!parts.is_empty()).then(|| format!("{} {}", peer.name, parts.join(", and ")))
    }

    /// What a node that is no member is known to differ in.
    pub(super) fn known_to_differ(&self, node: NodeId) -> Option<String> {
        let peer = self.status.peers.iter().find(|p| p.nodeid == Some(node))?;
        self.differs(peer)
    }

    /// Whether neither corosync's links nor the other nodes' clusmgr are heard at all; several of them,
    /// for a single one is rather off itself.
    pub(super) fn hears_nobody(&self) -> bool {
        let off = [
            Unreachable::TimedOut,
            Unreachable::NoAddress,
            Unreachable::Failed,
        ];
        let (links, peers) = (&self.status.links, &self.status.peers);
        let silent = |p: &PeerStatus| p.unreachable.is_some_and(|why| off.contains(&why));
        peers.len() > 1 && peers.iter().all(silent) && links.iter().all(|l| !l.connected)
    }

    /// Whether it is the cause of what else is wrong: only then does it come before that.
    pub(super) fn explains(&self, code: &str) -> bool {
        if !self.running() {
            // corosync left because its peers are newer.
            let behind = self.has("config-version-behind");
            return code == "peer-config" && behind && self.of(code).any(|p| self.is_newer(p));
        }
        let Some(cluster) = &self.status.cluster else {
            return false;
        };
        let away = |p: &PeerStatus| cluster.absent().any(|m| p.nodeid == Some(m.nodeid));
        self.of(code).any(away)
    }
}

fn number(version: Option<crate::types::ConfigVersion>) -> String {
    version.map_or_else(|| "none".to_owned(), |v| v.to_string())
}
