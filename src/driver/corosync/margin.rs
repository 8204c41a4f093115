//! Whether the cluster keeps its quorum while this node restarts its corosync, and gets it back.

use super::CorosyncSys;
use crate::driver::change::{Needs, What};
use crate::error::{Error, Result};
use crate::wire::{ClusterStatus, MemberState, MemberStatus};

/// What becomes of the others' quorum while this node is away.
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
}

fn own_votes(cluster: &ClusterStatus) -> u32 {
    let own = cluster.members.iter().find(|m| m.local);
    own.map_or(0, |m| m.votes)
}

fn margin(cluster: &ClusterStatus) -> Margin {
    let rule = |name: &str| cluster.flags.iter().any(|f| f == name);
    let mut others = cluster.members.iter().filter(|m| !m.local).peekable();
    if !cluster.quorate || others.peek().is_none() {
        return Margin::Kept;
    }
    if !others.any(|m| m.state == MemberState::Member) {
        return match rule("wait-for-all") {
            true => Margin::WaitsForAll,
            false => Margin::Kept,
        };
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
    /// than the restart: corosync may rest only while they can do without it. Otherwise what to know of it, if anything. Whoever wants
    /// it all the same stops corosync himself, and knows what he does.
    ///
    /// # Errors
    /// When it would be lost.
    pub(super) fn spares_quorum(
        &self,
        what: &What,
        needs: Needs,
        nodes: usize,
    ) -> Result<Option<String>> {
        // What is taken in waits for a restart by the operator.
        if needs != Needs::Restart || nodes < 2 || matches!(what, What::Adopt) {
            return Ok(None);
        }
        let cluster = self.corosync_event_mtx.lock().cluster.clone();
        let Some(cluster) = cluster else {
            let text = "it takes a restart, and corosync has not told whether the other nodes keep their quorum meanwhile";
            return Ok(Some(text.to_owned()));
        };
        match margin(&cluster) {
            Margin::Kept => Ok(None),
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
            // Nobody is there who could lose anything.
            (&[3, -1, -1], &[], Margin::Kept),
            (&[1, -1], &["2node", "wait-for-all"], Margin::WaitsForAll),
            (&[1], &["wait-for-all"], Margin::Kept),
            (&[1, 1, 1, -1, -1], &["wait-for-all"], Margin::Lost),
        ] {
            assert_eq!(margin(&of(votes, flags)), wanted, "{votes:?} {flags:?}");
        }
        let apart = ClusterStatus {
            quorate: false,
            ..of(&[1, 1, -1], &[])
        };
        assert_eq!(margin(&apart), Margin::Kept);
    }
}
