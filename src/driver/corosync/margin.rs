//! Whether the cluster keeps its quorum while this node restarts its corosync, and gets it back.

use super::CorosyncSys;
use super::model::Config;
use crate::driver::change::{Needs, What};
use crate::error::{Error, Result};
use crate::wire::{ClusterStatus, MemberState, MemberStatus};

/// What becomes of the others' quorum while this node is away, and of its own after it.
#[derive(Debug, PartialEq, Eq)]
enum Margin {
    /// They keep it, or there is nobody or nothing to lose.
    Kept,
    /// votequorum has a rule that may keep it, and does not say beforehand.
    Unsure,
    /// They lose it.
    Lost,
    /// Nobody else is there, and this node's has none any more until all are.
    WaitsForAll,
    /// Nobody else is there, and this node's votes are too few by the configuration that it starts with.
    Alone,
    /// Nobody else is there, and a device or a tie breaker decides.
    AloneUnsure,
}

fn own_votes(cluster: &ClusterStatus) -> u32 {
    let own = cluster.members.iter().find(|m| m.local);
    own.map_or(0, |m| m.votes)
}

/// `config` is what this node starts with.
fn margin(cluster: &ClusterStatus, config: &Config) -> Margin {
    let rule = |name: &str| cluster.flags.iter().any(|f| f == name);
    let mut others = cluster.members.iter().filter(|m| !m.local).peekable();
    if !cluster.quorate || others.peek().is_none() {
        return Margin::Kept;
    }
    if !others.any(|m| m.state == MemberState::Member) {
        return alone(cluster, config);
    }
    let left = cluster.total_votes.saturating_sub(own_votes(cluster));
    if left >= cluster.quorum {
        Margin::Kept
    } else if rule("allow-downscale")
        || (rule("auto-tie-breaker") && left.saturating_mul(2) >= cluster.expected_votes)
    {
        Margin::Unsure
    } else {
        Margin::Lost
    }
}

/// Of a node that is quorate, and that nobody else is with. What it counts now is not what it will count:
/// `last_man_standing` and `corosync-quorumtool -e` lower that until the restart.
fn alone(cluster: &ClusterStatus, config: &Config) -> Margin {
    let number = |name: &str| {
        let value = config.get_str(&format!("quorum.{name}"))?;
        value.trim().parse::<u32>().ok()
    };
    let is = |name: &str| number(name).is_some_and(|n| n != 0);
    let votequorum = config.get_str("quorum.provider") == Some("corosync_votequorum");
    let nodes = config.nodes();
    if !votequorum || nodes.len() < 2 {
        return Margin::Kept;
    }
    // votequorum(5): two_node implies it, unless it is given.
    if number("wait_for_all").map_or(config.two_node(), |n| n != 0) {
        return Margin::WaitsForAll;
    }
    if config.get_str("quorum.device.model").is_some() {
        return Margin::AloneUnsure;
    }
    let votes = |n: &super::nodes::Node| n.votes.unwrap_or(1);
    let local = cluster.members.iter().find(|m| m.local).map(|m| m.nodeid);
    let own = nodes
        .iter()
        .find(|n| n.nodeid.is_some() && n.nodeid == local);
    let own = own.map_or(own_votes(cluster), votes);
    let all = nodes.iter().map(votes).fold(0, u32::saturating_add);
    let expected = number("expected_votes").filter(|n| *n > 0).unwrap_or(all);
    let needed = match config.two_node() {
        true => 1,
        false => expected / 2 + 1,
    };
    if own >= needed {
        Margin::Kept
    } else if is("auto_tie_breaker") && own.saturating_mul(2) >= expected {
        Margin::AloneUnsure
    } else {
        Margin::Alone
    }
}

/// The votes in words: `2 of 3 votes are there with this node's 1, and 2 are needed`.
fn votes(cluster: &ClusterStatus) -> String {
    format!(
        "{} of {} votes are there with this node's {}, and {} are needed",
        cluster.total_votes,
        cluster.expected_votes,
        own_votes(cluster),
        cluster.quorum
    )
}

/// The configured nodes that are not there.
fn away(cluster: &ClusterStatus) -> Vec<String> {
    let away = cluster
        .members
        .iter()
        .filter(|m| m.state != MemberState::Member);
    let called = |m: &MemberStatus| match m.name.as_str() {
        "" => format!("node {}", m.nodeid),
        name => name.to_owned(),
    };
    away.map(called).collect()
}

impl CorosyncSys {
    /// Refuses a change by restart that takes the quorum from the other nodes, or from this one for longer
    /// than the restart: corosync may rest only while they can do without it. Otherwise what to know of it,
    /// if anything. Whoever wants it all the same stops corosync himself, and knows what he does.
    ///
    /// # Errors
    /// When it would be lost.
    pub(super) fn spares_quorum(
        &self,
        what: &What,
        needs: Needs,
        config: &Config,
    ) -> Result<Option<String>> {
        // What is taken in waits for a restart by the operator.
        let nodes = config.nodes().len();
        if needs != Needs::Restart || nodes < 2 || matches!(what, What::Adopt) {
            return Ok(None);
        }
        let cluster = self.corosync_event_mtx.lock().cluster.clone();
        let Some(cluster) = cluster else {
            let text = "it takes a restart, and corosync has not told whether the other nodes keep their quorum meanwhile";
            return Ok(Some(text.to_owned()));
        };
        match margin(&cluster, config) {
            Margin::Kept => Ok(None),
            Margin::AloneUnsure => Ok(Some(format!(
                "it takes a restart, and this node alone may have no quorum after it: {}",
                votes(&cluster)
            ))),
            Margin::Unsure => Ok(Some(format!(
                "it takes a restart, and the other nodes may lose their quorum meanwhile: {}",
                votes(&cluster)
            ))),
            lost => {
                let votes = votes(&cluster);
                let cause = match lost {
                    Margin::WaitsForAll => format!(
                        "it takes a restart, and by wait_for_all this node would have no quorum after it \
                         before all are there: {votes}"
                    ),
                    Margin::Alone => format!(
                        "it takes a restart, and this node alone would have no quorum after it by the \
                         configuration: {votes} now"
                    ),
                    _ => format!(
                        "it takes a restart, and the other nodes would lose their quorum meanwhile: {votes}"
                    ),
                };
                let first = match away(&cluster).join(" and ") {
                    names if names.is_empty() => String::new(),
                    names => format!("bring {names} back first; or "),
                };
                let way = "if the cluster may rest, 'clusmgrctl stop', the same again, 'clusmgrctl start'";
                let e = Error::new(what.as_str(), "the configuration", cause);
                Err(e.hint(format!("{first}{way}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    /// A quorate cluster of nodes with these votes, the first of them this one; what is not there is
    /// below 0.
    fn of(votes: &[i32], flags: &[&str]) -> ClusterStatus {
        let member = |(n, v): (usize, &i32)| MemberStatus {
            nodeid: NodeId(u32::try_from(n).unwrap_or_default() + 1),
            name: format!("n{}", n + 1),
            votes: v.unsigned_abs(),
            state: match v {
                1.. => MemberState::Member,
                _ => MemberState::Left,
            },
            local: n == 0,
            config_version: None,
            left_at: None,
        };
        let members: Vec<MemberStatus> = votes.iter().enumerate().map(member).collect();
        let expected = members.iter().map(|m| m.votes).sum();
        let there = members.iter().filter(|m| m.state == MemberState::Member);
        ClusterStatus {
            quorate: true,
            expected_votes: expected,
            total_votes: there.map(|m| m.votes).sum(),
            quorum: match flags.contains(&"2node") {
                true => 1,
                false => expected / 2 + 1,
            },
            flags: flags.iter().map(|f| (*f).to_owned()).collect(),
            members,
            ..ClusterStatus::default()
        }
    }

    /// A configuration of so many nodes, with these lines in `quorum`.
    fn config(nodes: usize, quorum: &str) -> Config {
        let nodes: String = (1..=nodes)
            .map(|n| format!("node {{\nnodeid: {n}\nring0_addr: n{n}\n}}\n"))
            .collect();
        let text = format!(
            "nodelist {{\n{nodes}}}\nquorum {{\nprovider: corosync_votequorum\n{quorum}}}\n"
        );
        crate::driver::corosync::parse::parse(text.as_bytes()).unwrap_or_default()
    }

    #[test]
    fn the_others_keep_their_quorum_or_lose_it() {
        for (votes, flags, wanted) in [
            (&[1][..], &[][..], Margin::Kept),
            (&[1, 1, 1], &[], Margin::Kept),
            (&[1, 1, -1], &[], Margin::Lost),
            (&[1, 1], &[], Margin::Lost),
            (&[1, 1], &["2node", "wait-for-all"], Margin::Kept),
            (&[3, 1, 1], &[], Margin::Lost),
            (&[1, 3, -1], &[], Margin::Kept),
            (&[1, 1, 1, -1], &[], Margin::Lost),
            (&[1, 1, 1, -1], &["auto-tie-breaker"], Margin::Unsure),
            (&[1, 1, -1, -1], &["auto-tie-breaker"], Margin::Lost),
            (&[1, 1, -1], &["allow-downscale"], Margin::Unsure),
            (&[1], &["wait-for-all"], Margin::Kept),
            (&[1, 1, 1, -1, -1], &["wait-for-all"], Margin::Lost),
        ] {
            let config = config(votes.len(), "");
            let found = margin(&of(votes, flags), &config);
            assert_eq!(found, wanted, "{votes:?} {flags:?}");
        }
        let apart = ClusterStatus {
            quorate: false,
            ..of(&[1, 1, -1], &[])
        };
        assert_eq!(margin(&apart, &config(3, "")), Margin::Kept);
    }

    #[test]
    fn who_is_alone_is_judged_by_what_it_starts_with() {
        for (nodes, quorum, wanted) in [
            (2, "two_node: 1\n", Margin::WaitsForAll),
            (2, "two_node: 1\nwait_for_all: 1\n", Margin::WaitsForAll),
            (2, "two_node: 1\nwait_for_all: 0\n", Margin::Kept),
            (3, "wait_for_all: 1\n", Margin::WaitsForAll),
            // By last_man_standing, or fewer expected votes, until now.
            (3, "last_man_standing: 1\n", Margin::Alone),
            (3, "expected_votes: 1\n", Margin::Kept),
            (2, "auto_tie_breaker: 1\n", Margin::AloneUnsure),
            (4, "auto_tie_breaker: 1\n", Margin::Alone),
            (2, "device {\nmodel: net\n}\n", Margin::AloneUnsure),
        ] {
            let mut votes = vec![-1; nodes];
            votes[0] = 1;
            // What it runs with now says nothing.
            for flags in [&["2node", "wait-for-all"][..], &[]] {
                let found = margin(&of(&votes, flags), &config(nodes, quorum));
                assert_eq!(found, wanted, "{nodes} {quorum}");
            }
        }
        let heavy = "nodelist {\nnode {\nnodeid: 1\nquorum_votes: 3\n}\nnode {\nnodeid: 2\n}\n}\n\
                     quorum {\nprovider: corosync_votequorum\n}\n";
        let heavy = crate::driver::corosync::parse::parse(heavy.as_bytes()).unwrap_or_default();
        assert_eq!(margin(&of(&[1, -1], &[]), &heavy), Margin::Kept);
        assert_eq!(margin(&of(&[3, -1], &[]), &config(2, "")), Margin::Alone);
        let none = Config::default();
        assert_eq!(margin(&of(&[1, -1], &[]), &none), Margin::Kept);
    }
}
