//! In what order nodes are restarted, and whether quorum survives it. Pure.

use crate::ctl::all::{Node, list};
use crate::ctl::text::clean;
use crate::wire::{ClusterStatus, MemberState, Status};
use serde::Serialize;

/// Degraded for one of these, a node would not come back as it went, or be joined by the next.
const ILL: [&str; 6] = [
    "config-version-behind",
    "peer-config",
    "peer-key",
    "peer-identity",
    "drift",
    "key-drift",
];

/// One node's turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    pub node: String,
    /// The name that the daemon knows it by; none for this node.
    pub ask: Option<String>,
    /// Votes that go with it.
    pub votes: u32,
    /// Votes that stay.
    pub left: u32,
    /// Votes that are needed.
    pub quorum: u32,
}

impl Step {
    /// How many votes more than needed there are while it is away.
    pub fn margin(&self) -> u32 {
        self.left.saturating_sub(self.quorum)
    }
}

/// The order: that of the nodelist, this node last.
///
/// # Errors
/// Everything that forbids it, a line each.
pub(super) fn plan(nodes: &[Node<Status>]) -> Result<Vec<Step>, Vec<String>> {
    let mut against: Vec<String> = nodes.iter().filter_map(unfit).collect();
    let here = nodes.iter().find(|n| n.local);
    let cluster = here.and_then(|n| n.said.as_ref().ok()?.cluster.as_ref());
    let Some(cluster) = cluster else {
        if against.is_empty() {
            against.push("this node is in no cluster".to_owned());
        }
        return Err(against);
    };
    against.extend(namesakes(nodes));
    against.extend(rings(nodes));
    against.extend(strangers(nodes, cluster));
    against.extend(votes_unknown(cluster));
    let mut order: Vec<&Node<Status>> = nodes.iter().filter(|n| !n.local).collect();
    order.extend(here);
    let mut steps = Vec::new();
    for node in order {
        match step(node, cluster) {
            Some(step) if step.left < step.quorum => against.push(format!(
                "without {} there are {} votes, and quorum needs {}",
                step.node, step.left, step.quorum
            )),
            Some(step) => steps.push(step),
            // It is unfit, and that is told already.
            None if node.said.is_err() => {}
            None => against.push(format!("{} is no member to this node", node.name)),
        }
    }
    if against.is_empty() {
        Ok(steps)
    } else {
        Err(against)
    }
}

fn step(node: &Node<Status>, cluster: &ClusterStatus) -> Option<Step> {
    let id = node.nodeid.or(node.said.as_ref().ok()?.node.nodeid)?;
    let mut members = cluster.members.iter();
    let member = members.find(|m| m.nodeid == id && m.state == MemberState::Member)?;
    Some(Step {
        node: node.name.clone(),
        // A name comes first where it is looked for: another node may be called as this one is numbered.
        ask: (!node.local).then(|| node.name.clone()),
        votes: member.votes,
        left: cluster.total_votes.saturating_sub(member.votes),
        quorum: cluster.quorum,
    })
}

/// Why a node may not be restarted, or why no other one may while it is so.
fn unfit(node: &Node<Status>) -> Option<String> {
    let name = &node.name;
    let status = match &node.said {
        Err(silent) => return Some(format!("{name} does not answer: {}", silent.words)),
        Ok(status) => status,
    };
    if status.service.hold {
        return Some(format!(
            "{name} is held: clusmgrctl start --node {name} ends that"
        ));
    }
    if let Some(reason) = status.mode_reason {
        return Some(format!("{name} is STANDALONE, {}", reason.as_str()));
    }
    if !status.is_quorate_member() {
        let state = status.service.state.as_str();
        return Some(format!("{name} is no quorate member (corosync: {state})"));
    }
    let ill = status.degraded.iter().find(|d| ILL.contains(&&*d.reason));
    ill.map(|d| {
        let (reason, detail) = (clean(&d.reason), clean(&d.detail));
        format!("{name} is degraded, {reason}: {detail}")
    })
}

/// Two nodes of one name cannot be told apart.
fn namesakes(nodes: &[Node<Status>]) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    let twice = nodes.iter().find(|n| !seen.insert(&n.name))?;
    Some(format!("two nodes are called {}", twice.name))
}

/// Nodes that are in another ring than this one are in another partition.
fn rings(nodes: &[Node<Status>]) -> Option<String> {
    let ring = |n: &Node<Status>| n.said.as_ref().ok()?.cluster.as_ref()?.ring_id.clone();
    let ours = nodes.iter().find(|n| n.local).and_then(ring)?;
    let other = |n: &&Node<Status>| ring(n).is_some_and(|theirs| theirs != ours);
    let others: Vec<&str> = nodes
        .iter()
        .filter(other)
        .map(|n| n.name.as_str())
        .collect();
    (!others.is_empty()).then(|| format!("{} not in the same ring as this node", are(&others)))
}

/// Configured nodes that corosync knows and that were not asked.
fn strangers(nodes: &[Node<Status>], cluster: &ClusterStatus) -> Option<String> {
    let asked = |id| {
        let known = |n: &Node<Status>| {
            n.nodeid == Some(id) || n.said.as_ref().is_ok_and(|s| s.node.nodeid == Some(id))
        };
        nodes.iter().any(known)
    };
    let unknown: Vec<String> = cluster
        .members
        .iter()
        .filter(|m| !asked(m.nodeid))
        .map(|m| clean(&m.label()))
        .collect();
    (!unknown.is_empty()).then(|| {
        format!(
            "corosync runs with {}, and the configuration does not have it",
            list(&unknown)
        )
    })
}

/// Votes that are not told yet would make a margin of nothing.
fn votes_unknown(cluster: &ClusterStatus) -> Option<String> {
    // A qdevice has votes too, and is no member.
    if cluster.flags.iter().any(|f| f.starts_with("qdevice")) {
        return None;
    }
    let members = cluster.members.iter();
    let told = members.filter(|m| m.state == MemberState::Member);
    let sum: u64 = told.map(|m| u64::from(m.votes)).sum();
    (sum != u64::from(cluster.total_votes)).then(|| {
        format!(
            "the votes of the members are not known yet: {sum} of {}",
            cluster.total_votes
        )
    })
}

fn are(names: &[&str]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", list(names))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ctl::all::tests::{cluster, silent};
    use crate::wire::{Reason, ServiceState, Unreachable};

    type Nodes = Vec<Node<Status>>;

    fn status(nodes: &mut Nodes, n: usize) -> &mut Status {
        nodes[n].said.as_mut().unwrap()
    }

    fn ring(nodes: &mut Nodes, n: usize) -> &mut ClusterStatus {
        status(nodes, n).cluster.as_mut().unwrap()
    }

    #[test]
    fn this_node_is_the_last_and_the_margin_is_told() {
        let mut nodes = cluster(5, 1);
        nodes[0].local = false;
        nodes[2].local = true;
        let steps = plan(&nodes).unwrap();
        let order: Vec<(&str, Option<&str>)> = steps
            .iter()
            .map(|s| (s.node.as_str(), s.ask.as_deref()))
            .collect();
        assert_eq!(
            order,
            [
                ("n1", Some("n1")),
                ("n2", Some("n2")),
                ("n4", Some("n4")),
                ("n5", Some("n5")),
                ("n3", None)
            ]
        );
        let all: Vec<u32> = steps.iter().map(Step::margin).collect();
        assert_eq!(all, [1; 5], "5 votes, 3 needed, 4 left");
        assert_eq!((steps[0].votes, steps[0].left, steps[0].quorum), (1, 4, 3));
    }

    #[test]
    fn what_forbids_it_is_told_with_the_node() {
        type Change = fn(&mut Nodes);
        let table: [(&str, u32, Change, &str); 16] = [
            (
                "two nodes without two_node",
                2,
                |n| ring(n, 0).quorum = 2,
                "without n2 there are 1 votes, and quorum needs 2",
            ),
            (
                "a node with many votes",
                3,
                |n| {
                    let c = ring(n, 0);
                    c.members[2].votes = 3;
                    (c.total_votes, c.quorum) = (5, 3);
                },
                "without n3 there are 2 votes, and quorum needs 3",
            ),
            (
                "away",
                3,
                |n| silent(&mut n[2], Unreachable::TimedOut),
                "n3 does not answer: timed out",
            ),
            (
                "held",
                3,
                |n| *status(n, 1) = status(n, 1).clone().standalone(Reason::Held),
                "n2 is held",
            ),
            (
                "a hold that has not ended it yet",
                3,
                |n| status(n, 1).service.hold = true,
                "n2 is held",
            ),
            (
                "STANDALONE",
                3,
                |n| *status(n, 1) = status(n, 1).clone().standalone(Reason::BadConfig),
                "n2 is STANDALONE, bad-config",
            ),
            (
                "starting",
                3,
                |n| status(n, 1).service.state = ServiceState::Starting,
                "n2 is no quorate member (corosync: starting)",
            ),
            (
                "another partition",
                3,
                |n| ring(n, 1).ring_id = Some("9.9".to_owned()),
                "n2 is not in the same ring as this node",
            ),
            (
                "no member to this node",
                5,
                |n| {
                    *status(n, 0) = status(n, 0).clone().without(3, MemberState::Left);
                },
                "n3 is no member to this node",
            ),
            (
                "votes not told yet",
                3,
                |n| ring(n, 0).members[1].votes = 0,
                "not known yet: 2 of 3",
            ),
            (
                "one name twice",
                3,
                |n| n[2].name = "n2".to_owned(),
                "two nodes are called n2",
            ),
            (
                "a hand edit",
                3,
                |n| *status(n, 1) = status(n, 1).clone().degraded("drift"),
                "n2 is degraded, drift: ",
            ),
            (
                "a key of its own",
                3,
                |n| *status(n, 1) = status(n, 1).clone().degraded("key-drift"),
                "n2 is degraded, key-drift: ",
            ),
            (
                "behind",
                3,
                |n| *status(n, 2) = status(n, 2).clone().degraded("config-version-behind"),
                "n3 is degraded, config-version-behind: ",
            ),
            (
                "another configuration",
                3,
                |n| *status(n, 0) = status(n, 0).clone().degraded("peer-config"),
                "n1 is degraded, peer-config: ",
            ),
            (
                "a node that was taken out of the file",
                3,
                |n| {
                    n.pop();
                },
                "corosync runs with n3, and the configuration does not have it",
            ),
        ];
        for (what, count, change, part) in table {
            let mut nodes = cluster(count, 1);
            change(&mut nodes);
            let against = plan(&nodes).unwrap_err().join("\n");
            assert!(against.contains(part), "{what}: {against}");
        }
    }

    #[test]
    fn two_nodes_with_two_node_and_a_node_without_votes_may() {
        let mut nodes = cluster(2, 1);
        for n in [0, 1] {
            let c = ring(&mut nodes, n);
            c.quorum = 1;
            c.flags = vec!["2node".to_owned(), "wait-for-all".to_owned()];
        }
        assert_eq!(plan(&nodes).unwrap().len(), 2);
        let mut nodes = cluster(3, 1);
        let c = ring(&mut nodes, 0);
        c.members[1].votes = 0;
        (c.total_votes, c.quorum) = (2, 1);
        assert_eq!(plan(&nodes).unwrap()[0].left, 2);
        // A qdevice votes, and is no member.
        let c = ring(&mut nodes, 0);
        (c.total_votes, c.quorum) = (5, 3);
        c.flags = vec!["qdevice".to_owned()];
        assert_eq!(plan(&nodes).unwrap().len(), 3);
        assert!(plan(&[]).is_err());
    }
}
