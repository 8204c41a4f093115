//! Quorum, ring and members: from what libquorum says to events. Pure.

use crate::event::{Kind, Note, Severity};
use crate::sys::corosync::RingId;
use crate::types::{ConfigVersion, NodeId, WallMs};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Members {
    /// None before corosync has said it.
    pub(super) quorate: Option<bool>,
    /// None before the first ring.
    pub(super) ring: Option<RingId>,
    /// Who is in it.
    pub(super) members: BTreeSet<NodeId>,
    /// Who has ever been in it, since corosync started.
    pub(super) seen: BTreeSet<NodeId>,
    /// When those left who left before our eyes.
    pub(super) left: BTreeMap<NodeId, WallMs>,
    /// The configuration versions that the nodes told, also those of nodes that are away.
    pub(super) versions: BTreeMap<NodeId, ConfigVersion>,
    /// This node.
    pub(super) local: Option<NodeId>,
    /// From the running nodelist.
    pub(super) names: BTreeMap<NodeId, String>,
}

impl Members {
    fn name(&self, id: NodeId) -> String {
        match self.names.get(&id).filter(|n| !n.is_empty()) {
            Some(name) => format!("{name} ({id})"),
            None => format!("node {id}"),
        }
    }

    fn named(&self, ids: &BTreeSet<NodeId>) -> String {
        if ids.is_empty() {
            return "nobody".to_owned();
        }
        let names: Vec<_> = ids.iter().map(|id| self.name(*id)).collect();
        names.join(", ")
    }

    /// libquorum says whether this partition is quorate.
    pub(super) fn quorum(&mut self, quorate: bool) -> Option<Note> {
        let before = self.quorate.replace(quorate);
        let with = self.named(&self.members);
        match (before, quorate) {
            (Some(true), true) | (None | Some(false), false) => None,
            (_, true) => Some(Note::new(
                Kind::QuorumGained,
                Severity::Notice,
                format!("this node is quorate, with {with}"),
            )),
            (Some(true), false) => Some(Note::new(
                Kind::QuorumLost,
                Severity::Crit,
                format!("this node is not quorate any more; it sees {with}"),
            )),
        }
    }

    /// libquorum tells of a ring; `came` and `went` are its own lists, which also name who left and
    /// came back in one go.
    pub(super) fn ring(
        &mut self,
        ring: RingId,
        members: &[NodeId],
        came: &[NodeId],
        went: &[NodeId],
    ) -> Vec<Note> {
        if self.ring == Some(ring) {
            return Vec::new();
        }
        let now: BTreeSet<_> = members.iter().copied().collect();
        let was = std::mem::replace(&mut self.members, now.clone());
        let mut joined: BTreeSet<_> = now.difference(&was).copied().collect();
        let mut left: BTreeSet<_> = was.difference(&now).copied().collect();
        // The first ring of a connection names as joined whom we may know already.
        if self.ring.is_some() {
            joined.extend(came.iter().filter(|n| now.contains(n)));
            left.extend(went.iter().filter(|n| was.contains(n)));
        }
        self.ring = Some(ring);
        self.seen.extend(&now);
        let at = WallMs::now();
        self.left.extend(left.iter().map(|n| (*n, at)));
        let list = |ids: &BTreeSet<NodeId>| ids.iter().map(|n| n.0).collect::<Vec<_>>();
        let mut text = format!("ring {ring}: {}", self.named(&now));
        if joined.is_empty() && left.is_empty() {
            text.push_str("; the same members as before");
        }
        let mut notes = vec![
            Note::new(Kind::RingChanged, Severity::Notice, text)
                .with("ring_id", ring.to_string())
                .with("members", list(&now))
                .with("joined", list(&joined))
                .with("left", list(&left)),
        ];
        let others = |ids: BTreeSet<NodeId>| ids.into_iter().filter(|n| Some(*n) != self.local);
        for id in others(left) {
            let again = if now.contains(&id) {
                " and is back at once: it was restarted"
            } else {
                ""
            };
            let text = format!("{} left{again}", self.name(id));
            notes.push(self.of_node(Kind::NodeLeft, Severity::Warning, text, id));
        }
        for id in others(joined) {
            let text = format!("{} joined", self.name(id));
            notes.push(self.of_node(Kind::NodeJoined, Severity::Notice, text, id));
        }
        notes
    }

    fn of_node(&self, kind: Kind, severity: Severity, text: String, id: NodeId) -> Note {
        let name = self.names.get(&id).cloned().unwrap_or_default();
        Note::new(kind, severity, text)
            .with("nodeid", id.0)
            .with("name", name)
    }

    /// A node tells the ring which configuration version it runs with. Its first word is news only if
    /// it differs from what this node runs with.
    pub(super) fn version(&mut self, id: NodeId, version: ConfigVersion) -> Option<Note> {
        let before = self.versions.insert(id, version);
        let own = self.local.and_then(|l| self.versions.get(&l)).copied();
        let news = match before {
            Some(before) => before != version,
            None => own.is_some_and(|own| own != version),
        };
        let text = match before {
            _ if !news => return None,
            Some(before) => format!(
                "{} runs with config_version {version}, before with {before}",
                self.name(id)
            ),
            None => format!("{} runs with config_version {version}", self.name(id)),
        };
        let note = self.of_node(Kind::NodeConfigVersion, Severity::Notice, text, id);
        Some(note.with("version", version.0))
    }

    /// A member that runs with a newer version than this node: this node's next start would fail.
    pub(super) fn behind(
        &self,
        running: Option<ConfigVersion>,
    ) -> Option<(NodeId, ConfigVersion, ConfigVersion)> {
        let told = *self.versions.get(&self.local?)?;
        let own = running.map_or(told, |r| r.max(told));
        let newer = self.members.iter().filter_map(|id| {
            let version = *self.versions.get(id)?;
            (version > own).then_some((*id, version, own))
        });
        newer.max_by_key(|(_, version, _)| *version)
    }

    /// corosync is gone, and with it all that it knew: nobody else is seen any more.
    pub(super) fn gone(&mut self) -> Vec<Note> {
        let lost = (self.quorate.take() == Some(true)).then(|| {
            let text = "this node is not quorate any more: its corosync ended";
            Note::new(Kind::QuorumLost, Severity::Warning, text)
        });
        let mut notes: Vec<Note> = lost.into_iter().collect();
        self.ring = None;
        self.seen.clear();
        self.left.clear();
        // What they told stays known: a node that comes back with another version is news.
        for id in std::mem::take(&mut self.members) {
            if Some(id) != self.local {
                let text = format!(
                    "{} is not seen any more: this node's corosync ended",
                    self.name(id)
                );
                notes.push(self.of_node(Kind::NodeLeft, Severity::Notice, text, id));
            }
        }
        let ended = notes.into_iter().map(|n| n.with("ended", true));
        ended.collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ids(of: &[u32]) -> Vec<NodeId> {
        of.iter().map(|n| NodeId(*n)).collect()
    }

    fn ring(seq: u64) -> RingId {
        RingId {
            nodeid: NodeId(1),
            seq,
        }
    }

    fn kinds(notes: &[Note]) -> Vec<&'static str> {
        notes.iter().map(|n| n.kind.as_str()).collect()
    }

    fn three() -> Members {
        let mut m = Members {
            local: Some(NodeId(1)),
            ..Members::default()
        };
        m.ring(ring(10), &ids(&[1, 2, 3]), &[], &[]);
        m
    }

    #[test]
    fn quorum_is_told_when_it_changes_and_only_then() {
        let mut m = three();
        assert!(m.quorum(false).is_none(), "a start is not quorate at first");
        assert_eq!(m.quorum(true).unwrap().kind, Kind::QuorumGained);
        assert!(m.quorum(true).is_none());
        let lost = m.quorum(false).unwrap();
        assert_eq!(
            (lost.kind, lost.severity),
            (Kind::QuorumLost, Severity::Crit)
        );
        assert_eq!(kinds(&m.gone()), ["node.left"; 2], "lost already");
    }

    #[test]
    fn a_ring_with_the_same_members_is_told_and_a_fast_restart_is_named() {
        let mut m = three();
        let notes = m.ring(ring(14), &ids(&[1, 2, 3]), &[], &[]);
        assert_eq!(kinds(&notes), ["ring.changed"]);
        assert!(notes[0].text.contains("the same members"));
        let notes = m.ring(ring(18), &ids(&[1, 2, 3]), &ids(&[3]), &ids(&[3]));
        assert_eq!(kinds(&notes), ["ring.changed", "node.left", "node.joined"]);
        assert_eq!(notes[0].fields["joined"], serde_json::json!([3]));
        assert_eq!(notes[0].fields["left"], serde_json::json!([3]));
        assert!(notes[1].text.contains("restarted"), "{}", notes[1].text);
        assert!(
            m.ring(ring(18), &ids(&[1, 2, 3]), &[], &[]).is_empty(),
            "the same ring twice"
        );
    }

    #[test]
    fn who_is_gone_and_who_came_is_told_but_not_this_node_itself() {
        let mut m = Members {
            local: Some(NodeId(1)),
            names: [(NodeId(2), "n2".to_owned())].into(),
            ..Members::default()
        };
        let notes = m.ring(ring(4), &ids(&[1, 2]), &ids(&[1, 2]), &[]);
        assert_eq!(kinds(&notes), ["ring.changed", "node.joined"]);
        assert_eq!(notes[1].text, "n2 (2) joined");
        assert!(m.left.is_empty());
        let notes = m.ring(ring(8), &ids(&[1]), &[], &ids(&[2]));
        assert_eq!(kinds(&notes), ["ring.changed", "node.left"]);
        assert!(m.left.contains_key(&NodeId(2)));
        assert_eq!(notes[1].fields["nodeid"], 2);
    }

    #[test]
    fn versions_are_told_when_they_change_and_the_newest_member_is_known() {
        let mut m = three();
        assert!(m.version(NodeId(1), ConfigVersion(5)).is_none());
        assert!(m.version(NodeId(2), ConfigVersion(5)).is_none());
        assert!(m.behind(None).is_none());
        let told = m.version(NodeId(3), ConfigVersion(6)).unwrap();
        assert_eq!(told.fields["version"], 6);
        assert_eq!(
            m.behind(None),
            Some((NodeId(3), ConfigVersion(6), ConfigVersion(5)))
        );
        assert!(m.version(NodeId(2), ConfigVersion(6)).is_some());
        m.ring(ring(20), &ids(&[1]), &[], &ids(&[2, 3]));
        assert!(
            m.behind(None).is_none(),
            "who is no member keeps nobody from starting"
        );
    }

    #[test]
    fn the_end_of_corosync_is_a_loss_of_quorum_and_of_everybody_else() {
        let mut m = three();
        m.quorum(true);
        let told = m.gone();
        assert_eq!(kinds(&told), ["quorum.lost", "node.left", "node.left"]);
        assert!(told.iter().all(|n| n.fields["ended"] == true));
        assert_eq!(
            (&told[1].fields["nodeid"], &told[2].fields["nodeid"]),
            (&2.into(), &3.into())
        );
        assert!(m.members.is_empty() && m.ring.is_none());
        assert!(m.gone().is_empty());
        // Who is there again has come; who is not has left already.
        let told = m.ring(ring(14), &ids(&[1, 2]), &[], &[]);
        assert_eq!(kinds(&told), ["ring.changed", "node.joined"]);
    }
}
