//! The links to the other nodes: from knet's counters to events, with hysteresis. Pure.

use super::heard::Hearing;
use crate::event::{Kind, Note, Severity};
use crate::types::{Mono, NodeId};
use crate::wire::LinkStatus;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// So many downs within [`FLAP_TIME`] are flapping.
const FLAP_DOWNS: usize = 3;
/// See [`FLAP_DOWNS`]; and so long without a down is steady again.
const FLAP_TIME: Duration = Duration::from_secs(60);
/// A link that has not been up yet may take so long before it is told as down: at its start no link
/// is up.
const GRACE: Duration = Duration::from_secs(10);

/// A link: node and link number.
pub(super) type Id = (NodeId, u8);

/// What is known of one link.
#[derive(Debug, Clone, Default)]
struct Link {
    connected: bool,
    down_count: u64,
    mtu: u32,
    latency_us: u32,
    /// Whether its last told state was up; none before anything was told or known.
    told: Option<bool>,
    /// When it was first seen in this run of corosync.
    first: Mono,
    downs: VecDeque<Mono>,
    flapping: bool,
    /// While it is not connected.
    hearing: Hearing,
}

/// How a link was last told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    pub(super) up: bool,
    /// How often it had gone down, by this corosync's count.
    pub(super) downs: Option<u64>,
    pub(super) flapping: bool,
}

impl Before {
    /// For another corosync, which has counted nothing yet.
    pub(super) fn of_another(self) -> Before {
        Before {
            up: self.up,
            ..Before::default()
        }
    }
}

/// All links of this node.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<Id, Link>,
    pub(super) names: BTreeMap<NodeId, String>,
    /// What was told before: in an earlier run, or by an earlier clusmgr.
    before: BTreeMap<Id, Before>,
    /// Who is in the ring.
    members: BTreeSet<NodeId>,
    /// What is seen now happened while nobody looked.
    pub(super) away: bool,
}

impl Links {
    /// What an earlier clusmgr, or an earlier run, last told of the links.
    pub(super) fn remember(&mut self, before: impl IntoIterator<Item = (Id, Before)>) {
        self.before.extend(before);
    }

    /// How each link was last told.
    pub(super) fn told(&self) -> BTreeMap<Id, Before> {
        let now = self.links.iter();
        let told = now.filter_map(|(id, l)| {
            let before = Before {
                up: l.told?,
                downs: Some(l.down_count),
                flapping: l.flapping,
            };
            Some((*id, before))
        });
        self.before.clone().into_iter().chain(told).collect()
    }

    /// corosync is gone: its counters begin anew.
    pub(super) fn gone(&mut self) {
        let told = self.told().into_iter();
        self.before = told.map(|(id, b)| (id, b.of_another())).collect();
        self.links.clear();
    }

    /// A new ring. A link that goes down with its node does not flap: the node was restarted.
    pub(super) fn ring(&mut self, members: &BTreeSet<NodeId>, left: &[NodeId]) {
        self.members.clone_from(members);
        for ((node, _), link) in &mut self.links {
            if left.contains(node) || !members.contains(node) {
                link.downs.pop_back();
            }
        }
    }

    /// These are all links that there are; of others nothing is known any more.
    pub(super) fn keep(&mut self, ids: &[Id]) {
        self.links.retain(|id, _| ids.contains(id));
        self.before.retain(|id, _| ids.contains(id));
    }

    /// What corosync counts now for one link.
    pub(super) fn sample(&mut self, id: Id, connected: bool, downs: u64, now: Mono) -> Vec<Note> {
        let name = self.called(id);
        let before = self.before.get(&id).copied();
        let mut first = false;
        let mut missed = false;
        let link = self.links.entry(id).or_insert_with(|| {
            first = true;
            missed = before.and_then(|b| b.downs).is_some_and(|d| downs > d);
            let flapping = before.is_some_and(|b| b.flapping);
            Link {
                down_count: downs,
                connected,
                first: now,
                told: before.map(|b| b.up),
                flapping,
                // Nobody knows when it last went down.
                downs: flapping.then_some(now).into_iter().collect(),
                ..Link::default()
            }
        });
        let mut notes = Vec::new();
        let new_downs = downs.saturating_sub(link.down_count);
        link.down_count = downs;
        let was = std::mem::replace(&mut link.connected, connected);
        if connected {
            link.hearing = Hearing::default();
        }
        // A flap that is shorter than corosync's own look shows in its counter only.
        let fell = (was && !connected) || new_downs > 0;
        let counts = self.members.is_empty() || self.members.contains(&id.0);
        if fell && !first && counts {
            let most = FLAP_DOWNS as u64;
            let times = new_downs.clamp(1, most);
            link.downs.extend((0..times).map(|_| now));
        }
        while link.downs.len() > FLAP_DOWNS {
            link.downs.pop_front();
        }
        if link.downs.len() >= FLAP_DOWNS
            && link
                .downs
                .front()
                .is_some_and(|d| now.since(*d) < FLAP_TIME)
            && !link.flapping
        {
            link.flapping = true;
            let text = format!(
                "{name} went down {FLAP_DOWNS} times within {} s: it is flapping",
                FLAP_TIME.as_secs()
            );
            notes.push(note(Kind::LinkFlapping, Severity::Warning, text, id, downs));
        }
        if link.flapping {
            return notes;
        }
        let down = || {
            let text = format!("{name} is down");
            note(Kind::LinkDown, Severity::Warning, text, id, downs)
        };
        let up = || {
            let text = format!("{name} is up");
            note(Kind::LinkUp, Severity::Notice, text, id, downs)
        };
        match (link.told, connected) {
            (Some(true), true) if (fell && !first) || missed => notes.extend([down(), up()]),
            // It was up in between, while nobody looked.
            (Some(false), false) if missed => notes.extend([up(), down()]),
            (Some(false) | None, true) => {
                link.told = Some(true);
                notes.push(up());
            }
            (Some(true), false) if !first || self.away => {
                link.told = Some(false);
                notes.push(down());
            }
            _ => {}
        }
        notes
    }

    /// Time has passed: a link that never came up is told, one that has been steady for long enough
    /// too.
    pub(super) fn tick(&mut self, now: Mono) -> Vec<Note> {
        let mut notes = Vec::new();
        let names: BTreeMap<Id, String> = self
            .links
            .keys()
            .map(|id| (*id, self.called(*id)))
            .collect();
        for (id, link) in &mut self.links {
            let name = &names[id];
            if link.flapping && link.downs.back().is_none_or(|d| now.since(*d) >= FLAP_TIME) {
                link.flapping = false;
                link.downs.clear();
                link.told = Some(link.connected);
                let is = if link.connected { "up" } else { "down" };
                let text = format!("{name} is steady again, and {is}");
                let note = note(
                    Kind::LinkSteady,
                    Severity::Notice,
                    text,
                    *id,
                    link.down_count,
                );
                notes.push(note.with("connected", link.connected));
            }
            let due = !link.connected && !link.flapping && link.told != Some(false);
            if due && now.since(link.first) >= GRACE {
                link.told = Some(false);
                let text = format!("{name} is down");
                notes.push(note(
                    Kind::LinkDown,
                    Severity::Warning,
                    text,
                    *id,
                    link.down_count,
                ));
            }
        }
        notes
    }

    /// When [`Links::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Mono> {
        let due = self.links.values().filter_map(|l| {
            if l.flapping {
                return Some(l.downs.back().copied().unwrap_or(l.first).plus(FLAP_TIME));
            }
            (!l.connected && l.told != Some(false)).then(|| l.first.plus(GRACE))
        });
        due.min()
    }

    /// What is measured, not told.
    pub(super) fn measured(&mut self, id: Id, mtu: u32, latency_us: u32) {
        if let Some(link) = self.links.get_mut(&id) {
            (link.mtu, link.latency_us) = (mtu, latency_us);
        }
    }

    /// So many packets have arrived on a link that is not connected; `ping` is between two of the other
    /// node.
    pub(super) fn arrived(&mut self, id: Id, packets: u64, now: Mono, ping: Duration) {
        if let Some(link) = self.links.get_mut(&id).filter(|l| !l.connected) {
            link.hearing.counts(packets, now, ping);
        }
    }

    /// Those that are not connected.
    pub(super) fn unconnected(&self) -> Vec<Id> {
        let them = self.links.iter().filter(|(_, l)| !l.connected);
        them.map(|(id, _)| *id).collect()
    }

    /// Whether it is worth a look of its own what arrives on those that are not connected. Where nothing
    /// did for a while, the next time that somebody looks at all is soon enough.
    pub(super) fn listens(&self) -> bool {
        let mut all = self.links.values();
        all.any(|l| !l.connected && l.hearing.heard() != Some(false))
    }

    /// All that there are.
    pub(super) fn ids(&self) -> Vec<Id> {
        self.links.keys().copied().collect()
    }

    /// For `status`.
    pub(super) fn status(&self) -> Vec<LinkStatus> {
        let one = |((nodeid, number), l): (&Id, &Link)| LinkStatus {
            nodeid: *nodeid,
            name: self.names.get(nodeid).cloned().unwrap_or_default(),
            link: *number,
            connected: l.connected,
            mtu: l.mtu,
            latency_us: l.latency_us,
            down_count: l.down_count,
            flapping: l.flapping,
            heard: l.hearing.heard(),
        };
        self.links.iter().map(one).collect()
    }

    /// The links that are told as down, and those that flap.
    pub(super) fn bad(&self) -> (Vec<Id>, Vec<Id>) {
        let of = |is: &dyn Fn(&Link) -> bool| {
            let them = self.links.iter().filter(|(_, l)| is(l));
            them.map(|(id, _)| *id).collect()
        };
        (
            of(&|l| !l.flapping && !l.connected && l.told == Some(false)),
            of(&|l| l.flapping),
        )
    }

    /// Whether another link to the same node works.
    pub(super) fn reaches(&self, node: NodeId) -> bool {
        self.links
            .iter()
            .any(|((n, _), l)| *n == node && l.connected)
    }

    /// A link in words.
    pub(super) fn called(&self, (node, link): Id) -> String {
        match self.names.get(&node).filter(|n| !n.is_empty()) {
            Some(name) => format!("link {link} to {name}"),
            None => format!("link {link} to node {node}"),
        }
    }
}

fn note(kind: Kind, severity: Severity, text: String, (node, link): Id, downs: u64) -> Note {
    Note::new(kind, severity, text)
        .with("nodeid", node.0)
        .with("link", link)
        .with("down_count", downs)
}

#[cfg(test)]
mod tests;
