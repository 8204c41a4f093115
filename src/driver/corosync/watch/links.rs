//! The links to the other nodes: from knet's counters to events, with hysteresis. Pure.

use crate::event::{Kind, Note, Severity};
use crate::types::{Mono, NodeId};
use crate::wire::LinkStatus;
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
    /// Its node is away, and the down that goes with that was counted.
    away: bool,
}

/// All links of this node.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<Id, Link>,
    pub(super) names: BTreeMap<NodeId, String>,
    /// What was told before: in an earlier run, or by an earlier clusmgr.
    before: BTreeMap<Id, bool>,
    /// Who is in the ring.
    members: BTreeSet<NodeId>,
    /// What is seen now happened while nobody looked.
    pub(super) away: bool,
}

impl Links {
    /// What an earlier clusmgr, or an earlier run, last told of the links.
    pub(super) fn remember(&mut self, before: impl IntoIterator<Item = (Id, bool)>) {
        self.before.extend(before);
    }

    /// Whether each link was last told as up.
    pub(super) fn told(&self) -> BTreeMap<Id, bool> {
        let now = self.links.iter();
        let told = now.filter_map(|(id, l)| Some((*id, l.told?)));
        self.before.clone().into_iter().chain(told).collect()
    }

    /// corosync is gone: its counters begin anew.
    pub(super) fn gone(&mut self) {
        self.before = self.told();
        self.links.clear();
    }

    /// A new ring. However many downs there are until a node is back, they are one.
    pub(super) fn ring(&mut self, members: &BTreeSet<NodeId>) {
        for ((node, _), link) in &mut self.links {
            let was = self.members.contains(node);
            link.away = !members.contains(node) && (link.away || (was && !link.connected));
        }
        self.members.clone_from(members);
    }

    /// These are all links that there are; of others nothing is known any more.
    pub(super) fn keep(&mut self, ids: &[Id]) {
        self.links.retain(|id, _| ids.contains(id));
        self.before.retain(|id, _| ids.contains(id));
    }

    /// What corosync counts now for one link.
    pub(super) fn sample(&mut self, id: Id, connected: bool, downs: u64, now: Mono) -> Vec<Note> {
        let name = self.called(id);
        let told = self.before.get(&id).copied();
        let mut first = false;
        let link = self.links.entry(id).or_insert_with(|| {
            first = true;
            Link {
                down_count: downs,
                connected,
                first: now,
                told,
                ..Link::default()
            }
        });
        let mut notes = Vec::new();
        let new_downs = downs.saturating_sub(link.down_count);
        link.down_count = downs;
        let was = std::mem::replace(&mut link.connected, connected);
        // A flap that is shorter than corosync's own look shows in its counter only.
        let fell = (was && !connected) || new_downs > 0;
        if fell && !first && !link.away {
            let there = self.members.is_empty() || self.members.contains(&id.0);
            link.away = !there;
            let most = if there { FLAP_DOWNS as u64 } else { 1 };
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
            (Some(true), true) if fell && !first => notes.extend([down(), up()]),
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
mod tests {
    use super::*;

    const ID: Id = (NodeId(2), 0);

    fn at(secs: u64) -> Mono {
        Mono((secs + 100) * 1_000_000_000)
    }

    fn kinds(notes: &[Note]) -> Vec<&'static str> {
        notes.iter().map(|n| n.kind.as_str()).collect()
    }

    fn up() -> Links {
        let mut links = Links::default();
        links.sample(ID, false, 0, at(0));
        assert_eq!(kinds(&links.sample(ID, true, 0, at(1))), ["link.up"]);
        links
    }

    #[test]
    fn a_link_that_is_not_up_yet_is_told_after_a_while_and_not_before() {
        let mut links = Links::default();
        assert!(links.sample(ID, false, 0, at(0)).is_empty());
        assert!(links.tick(at(9)).is_empty());
        assert_eq!(links.due(), Some(at(10)));
        assert_eq!(kinds(&links.tick(at(10))), ["link.down"]);
        assert!(links.tick(at(11)).is_empty());
        assert_eq!(kinds(&links.sample(ID, true, 0, at(20))), ["link.up"]);
    }

    #[test]
    fn down_and_up_are_told_with_the_count() {
        let mut links = up();
        let notes = links.sample(ID, false, 1, at(2));
        assert_eq!(kinds(&notes), ["link.down"]);
        assert_eq!(notes[0].fields["down_count"], 1);
        assert_eq!(links.bad().0, [ID]);
        assert_eq!(kinds(&links.sample(ID, true, 1, at(4))), ["link.up"]);
        assert!(links.sample(ID, true, 1, at(5)).is_empty());
        assert_eq!(links.bad(), (vec![], vec![]));
    }

    #[test]
    fn a_flap_too_short_to_be_seen_shows_in_the_counter() {
        let mut links = up();
        let notes = links.sample(ID, true, 1, at(2));
        assert_eq!(kinds(&notes), ["link.down", "link.up"]);
    }

    #[test]
    fn three_downs_in_a_minute_are_flapping_until_a_minute_without_one() {
        let mut links = up();
        for (n, secs) in [(1, 2), (2, 10)] {
            links.sample(ID, false, n, at(secs));
            links.sample(ID, true, n, at(secs + 1));
        }
        let notes = links.sample(ID, false, 3, at(20));
        assert_eq!(kinds(&notes), ["link.flapping"]);
        assert!(links.sample(ID, true, 3, at(21)).is_empty());
        assert!(links.sample(ID, false, 4, at(30)).is_empty());
        assert!(links.sample(ID, true, 4, at(31)).is_empty());
        assert_eq!(links.bad().1, [ID]);
        assert_eq!(links.due(), Some(at(90)));
        assert!(links.tick(at(89)).is_empty());
        assert_eq!(kinds(&links.tick(at(90))), ["link.steady"]);
        assert_eq!(kinds(&links.sample(ID, false, 5, at(91))), ["link.down"]);
    }

    #[test]
    fn three_downs_over_a_long_time_are_no_flapping() {
        let mut links = up();
        for n in 1..=5 {
            assert_eq!(
                kinds(&links.sample(ID, false, n, at(40 * n))),
                ["link.down"]
            );
            links.sample(ID, true, n, at(40 * n + 1));
        }
    }

    #[test]
    fn a_node_that_leaves_counts_as_one_down_whatever_its_link_does_and_three_times_is_flapping() {
        let [both, one]: [BTreeSet<NodeId>; 2] =
            [&[1, 2][..], &[1]].map(|ids| ids.iter().map(|id| NodeId(*id)).collect());
        // The link goes down before the ring changes, or after.
        for first in [true, false] {
            let mut links = up();
            links.ring(&both);
            let mut told = Vec::new();
            for n in 0..3 {
                let (downs, begin) = (n * 3 + 1, 20 * n + 2);
                if first {
                    told.extend(links.sample(ID, false, downs, at(begin)));
                }
                links.ring(&one);
                told.extend(links.sample(ID, false, downs, at(begin + 1)));
                // It comes and goes until the node is back.
                links.sample(ID, true, downs, at(begin + 2));
                links.sample(ID, false, downs + 2, at(begin + 3));
                links.ring(&one);
                links.sample(ID, true, downs + 2, at(begin + 4));
                links.ring(&both);
                assert_eq!(links.bad().1.is_empty(), n < 2, "{first} {n}");
            }
            assert_eq!(kinds(&told), ["link.down", "link.down", "link.flapping"]);
            // A ring without it is not the end of that; a minute without a down is.
            links.ring(&one);
            assert!(links.tick(at(60)).is_empty());
            assert_eq!(kinds(&links.tick(at(110))), ["link.steady"]);
        }
    }

    #[test]
    fn a_clean_leave_takes_no_down_back() {
        let mut links = up();
        for n in 1..=2 {
            links.sample(ID, false, n, at(n * 5));
            links.sample(ID, true, n, at(n * 5 + 1));
        }
        for members in [&[1][..], &[1], &[1, 2]] {
            links.ring(&members.iter().map(|id| NodeId(*id)).collect());
        }
        assert_eq!(
            kinds(&links.sample(ID, false, 3, at(20))),
            ["link.flapping"]
        );
    }

    #[test]
    fn a_restart_of_corosync_is_no_flap_and_what_changed_meanwhile_is_told() {
        let mut links = up();
        links.sample(ID, false, 1, at(2));
        links.gone();
        assert!(links.sample(ID, false, 0, at(3)).is_empty());
        assert_eq!(kinds(&links.sample(ID, true, 0, at(4))), ["link.up"]);
        links.gone();
        assert!(links.sample(ID, false, 0, at(5)).is_empty());
        assert!(
            links.sample(ID, true, 0, at(6)).is_empty(),
            "it was up before"
        );
        links.keep(&[]);
        assert!(links.status().is_empty());
    }
}
