//! The rules of the quorum section, as `votequorum_readconfig` has them: most of them end corosync with
//! exit 20, some make it switch off silently what was asked for.

use super::{Check, quoted};
use std::collections::BTreeSet;

/// Keys that mean nothing without votequorum.
const OF_VOTEQUORUM: [&str; 7] = [
    "two_node",
    "wait_for_all",
    "auto_tie_breaker",
    "last_man_standing",
    "allow_downscale",
    "expected_votes",
    "expected_votes_tracking",
];

impl Check<'_> {
    pub(super) fn quorum(&mut self) {
        let provider = self.config.get_str("quorum.provider");
        if provider != Some("corosync_votequorum") {
            return self.without(provider.is_none());
        }
        if self.nodes.is_empty() {
            return;
        }
        self.two_node();
        self.tie_breaker();
        self.device();
        self.votes();
        if self.flag("quorum.last_man_standing") {
            if !self.flag("quorum.wait_for_all") {
                let message = "without wait_for_all a partition may take itself for the whole cluster after a start; add \"wait_for_all: 1\"";
                self.warn(
                    self.place("quorum.last_man_standing"),
                    "quorum.last_man_standing",
                    message,
                );
            }
            if self.nodes.iter().any(|n| n.votes.is_some_and(|v| v != 1)) {
                let message = "it works only where every node has one vote; remove quorum_votes from the nodes";
                self.warn(
                    self.place("quorum.last_man_standing"),
                    "quorum.last_man_standing",
                    message,
                );
            }
        }
        if self.flag("quorum.allow_downscale") {
            let message = "votequorum(5) calls this feature incomplete and unsupported; remove it";
            self.warn(
                self.place("quorum.allow_downscale"),
                "quorum.allow_downscale",
                message,
            );
        }
    }

    /// No votequorum: nothing keeps two partitions from working at the same time.
    fn without(&mut self, silent: bool) {
        if silent && self.nodes.len() > 1 {
            let message = "without a provider every partition of the cluster takes itself for quorate; add \"provider: corosync_votequorum\" to quorum";
            self.warn(self.section_place("quorum"), "quorum.provider", message);
        }
        for name in OF_VOTEQUORUM {
            let path = format!("quorum.{name}");
            if let Some(key) = self.config.find(&path) {
                let message = "it means nothing without \"provider: corosync_votequorum\"; add that, or remove it";
                self.warn(key.at, &path, message);
            }
        }
    }

    fn two_node(&mut self) {
        if !self.flag("quorum.two_node") {
            return;
        }
        let (path, at) = ("quorum.two_node", self.place("quorum.two_node"));
        let count = self.nodes.len();
        if count > 2 {
            let message = format!(
                "there are {count} nodes, and with two_node any two of them, or one, would be quorate by themselves; remove it"
            );
            self.error(at, path, message);
        } else if count < 2 {
            self.warn(at, path, "there is only one node; remove it");
        }
        if self.has_device() {
            let message = "two_node and a quorum device exclude one another; remove one of them";
            self.error(at, path, message);
        }
        if self.flag("quorum.auto_tie_breaker") {
            let message =
                "with auto_tie_breaker corosync switches two_node off; remove one of them";
            self.error(at, path, message);
        }
        if self.number("quorum.wait_for_all") == Some(0) {
            let message = "with two_node and without this, two nodes that start apart are both quorate; remove it";
            self.warn(
                self.place("quorum.wait_for_all"),
                "quorum.wait_for_all",
                message,
            );
        }
        let expected = self.number("quorum.expected_votes");
        if expected.is_some_and(|e| e != 0 && e != 2) && count <= 2 {
            let message = "two_node is made for 2 expected votes; write 2, or remove it";
            self.warn(
                self.place("quorum.expected_votes"),
                "quorum.expected_votes",
                message,
            );
        }
    }

    fn tie_breaker(&mut self) {
        let path = "quorum.auto_tie_breaker_node";
        let named = self.config.find(path);
        if !self.flag("quorum.auto_tie_breaker") {
            if let Some(key) = named {
                let message =
                    "it means nothing without \"auto_tie_breaker: 1\"; add that, or remove it";
                self.warn(key.at, path, message);
            }
            return;
        }
        if let Some(key) = named {
            let at = key.value_at;
            let value = key.value.text();
            if value != "lowest" && value != "highest" {
                let ids: BTreeSet<u32> = self
                    .nodes
                    .iter()
                    .filter_map(|n| n.nodeid)
                    .map(|i| i.0)
                    .collect();
                for word in value.split(' ').filter(|w| !w.is_empty()) {
                    if !word.parse().is_ok_and(|id| ids.contains(&id)) {
                        let message = format!(
                            "{} is no nodeid of the nodelist; write lowest, highest, or nodeids with a blank between them",
                            quoted(word)
                        );
                        self.error(at, path, message);
                    }
                }
                if value.trim().is_empty() {
                    let message = "it is empty, and corosync then switches auto_tie_breaker off; write lowest";
                    self.error(at, path, message);
                }
            }
        }
        let odd = self.node_votes() % 2 == 1;
        if odd && !self.flag("quorum.wait_for_all") && !self.flag("quorum.two_node") {
            let end = if self.flag("quorum.last_man_standing") {
                "corosync ends with last_man_standing, too"
            } else {
                "corosync switches it off"
            };
            let message = format!(
                "the nodes have an odd number of votes, and without wait_for_all {end}; add \"wait_for_all: 1\", or remove it"
            );
            self.error(
                self.place("quorum.auto_tie_breaker"),
                "quorum.auto_tie_breaker",
                message,
            );
        }
    }

    /// Whether corosync sees a quorum device: one with a model.
    fn has_device(&self) -> bool {
        let model = self.config.get_str("quorum.device.model");
        model.is_some_and(|m| !m.is_empty())
    }

    fn device(&mut self) {
        if !self.has_device() {
            if let Some(device) = self.sections("quorum.device").first() {
                let message = "without a model corosync sees no quorum device; add \"model: net\", or remove the section";
                self.warn(device.at, "quorum.device", message);
            }
            return;
        }
        for name in ["last_man_standing", "auto_tie_breaker", "allow_downscale"] {
            let path = format!("quorum.{name}");
            if self.flag(&path) {
                let message =
                    format!("{name} and a quorum device exclude one another; remove one of them");
                self.error(self.place(&path), &path, message);
            }
        }
        let path = "quorum.device.votes";
        let at = self.place("quorum.device.model");
        let expected = self.positive("quorum.expected_votes");
        let equal = self.nodes.iter().all(|n| n.votes.is_none_or(|v| v == 1));
        match (self.number(path), expected) {
            (None, Some(_)) => {
                let message = "with expected_votes the device's votes must be given; add \"votes: N\", or remove expected_votes";
                self.error(at, path, message);
            }
            (None, None) if self.node_votes() != self.nodes.len() as u64 => {
                let message = "where nodes have other than one vote the device's votes must be given; add \"votes: N\"";
                self.error(at, path, message);
            }
            (Some(votes), Some(expected)) if votes > 0 && expected < votes.saturating_add(2) => {
                let message = format!(
                    "with {votes} votes of the device expected_votes must be {} at least; write fewer votes, or a higher expected_votes",
                    votes.saturating_add(2)
                );
                self.error(self.place(path), path, message);
            }
            (Some(votes), _) if votes >= self.node_votes() && self.nodes.len() > 1 && equal => {
                let message = "the device has as many votes as all nodes together, so no node can do without it; write fewer";
                self.warn(self.place(path), path, message);
            }
            _ => {}
        }
    }

    /// The votes of all nodes, one each where nothing is said.
    fn node_votes(&self) -> u64 {
        self.nodes
            .iter()
            .map(|n| u64::from(n.votes.unwrap_or(1)))
            .sum()
    }

    fn votes(&mut self) {
        let all = self.node_votes();
        if all == 0 || all > u64::from(u32::MAX) / 2 {
            let message = format!(
                "the nodes have {all} votes in all; leave quorum_votes out, or give the nodes one or a few each"
            );
            return self.error(
                self.section_place("nodelist"),
                "nodelist.node.quorum_votes",
                message,
            );
        }
        if let Some(key) = self.config.find("quorum.votes") {
            let message = "the votes of the nodelist go before it; remove it, and write quorum_votes in the node";
            self.warn(key.at, "quorum.votes", message);
        }
        let (path, at) = ("quorum.expected_votes", self.place("quorum.expected_votes"));
        let Some(expected) = self.positive(path) else {
            return;
        };
        let device = if self.has_device() {
            self.number("quorum.device.votes").unwrap_or(0)
        } else {
            0
        };
        let whole = all.saturating_add(device);
        if expected < whole {
            let message = format!(
                "the nodes and the device have {whole} votes, and with fewer expected ones two partitions can be quorate at the same time; remove it"
            );
            if self.flag("quorum.allow_downscale")
                || (self.flag("quorum.two_node") && self.nodes.len() == 2)
            {
                self.warn(at, path, message);
            } else {
                self.error(at, path, message);
            }
        } else if expected / 2 + 1 > whole {
            let message = format!(
                "all nodes together have {whole} votes, and {} would be needed: the cluster could never be quorate; remove it",
                expected / 2 + 1
            );
            self.error(at, path, message);
        } else if expected > whole {
            let message = format!(
                "the nodelist has {whole} votes in all, so fewer nodes than need be may fail; remove it"
            );
            self.warn(at, path, message);
        }
    }
}
