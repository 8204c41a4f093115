//! Whether it is this node's turn to be restarted in a round over all nodes. Pure.
//!
//! Two rounds may be under way at once, and each only asks. So the node that is asked looks for itself: it
//! first says that it wants the turn, in its report, and then asks all others. Of two that want it at least
//! one sees the other: the one with the lower nodeid waits until the other has given way, or has the turn.

use super::compare::Peer;
use crate::types::NodeId;
use crate::wire::{MemberState, PeerReport, ServiceState, Status};

/// What a look at the others says.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// It is this node's turn.
    Clear,
    /// Not yet, for this reason: another look may say something else.
    Again(String),
    /// No, for this reason.
    Against(String),
}

/// Looks at this node's own state, and at what the others have said, of all that there are.
#[must_use]
pub fn look(own: &Status, others: &[Peer], heard: &[(Peer, PeerReport)]) -> Look {
    if let Some(why) = edited(own).or_else(|| no_margin(own, others)) {
        return Look::Against(why);
    }
    let mut again = None;
    for peer in others {
        let said = heard.iter().find(|(p, _)| p == peer).map(|(_, r)| r);
        match of(own.node.nodeid, peer, said) {
            Look::Clear => {}
            Look::Again(why) => again = again.or(Some(why)),
            against @ Look::Against(_) => return against,
        }
    }
    again.map_or(Look::Clear, Look::Again)
}

/// A new corosync would read what this one does not run with, and another key parts it from its ring.
fn edited(own: &Status) -> Option<String> {
    let what = match (own.key.drift, own.config.drift) {
        (true, _) => "authkey",
        (_, true) => "corosync.conf",
        _ => return None,
    };
    Some(format!("this node's {what} was changed by hand"))
}

/// What of the cluster as this node sees it forbids that it goes.
fn no_margin(own: &Status, others: &[Peer]) -> Option<String> {
    let cluster = own.cluster.as_ref().filter(|_| own.is_quorate_member());
    let Some(cluster) = cluster else {
        return Some("this node is no quorate member".to_owned());
    };
    let members = cluster.members.iter();
    let members: Vec<_> = members.filter(|m| m.state == MemberState::Member).collect();
    let here = |id: NodeId| members.iter().any(|m| m.nodeid == id);
    let away = |p: &&Peer| p.nodeid.is_some_and(|id| !here(id));
    if let Some(peer) = others.iter().find(away) {
        return Some(format!("{} is no member", peer.name));
    }
    if members.len() <= others.len() {
        let (is, all) = (members.len(), others.len() + 1);
        return Some(format!("only {is} of {all} nodes are members"));
    }
    let votes = members.iter().find(|m| m.local).map_or(0, |m| m.votes);
    let left = cluster.total_votes.saturating_sub(votes);
    (left < cluster.quorum).then(|| {
        let needed = cluster.quorum;
        format!("without this node there are {left} votes, and quorum needs {needed}")
    })
}

fn of(me: Option<NodeId>, peer: &Peer, said: Option<&PeerReport>) -> Look {
    let name = &peer.name;
    let Some(said) = said else {
        return Look::Again(format!("{name} does not answer"));
    };
    if matches!(
        said.state,
        ServiceState::Starting | ServiceState::Stopping | ServiceState::Backoff
    ) {
        return Look::Against(format!("corosync of {name} is {}", said.state.as_str()));
    }
    if said.isolated {
        return Look::Against(format!("{name} is isolated and about to be restarted"));
    }
    if said.restarting {
        return Look::Against(format!("{name} is being restarted in another round"));
    }
    if !said.claiming {
        return Look::Clear;
    }
    let why = format!("{name} is about to be restarted in another round");
    match (me, peer.nodeid) {
        (Some(me), Some(other)) if me < other => Look::Again(why),
        _ => Look::Against(why),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::sample::healthy;

    type Heard = Vec<(Peer, PeerReport)>;

    fn peer(id: u32) -> Peer {
        Peer {
            name: format!("n{id}"),
            nodeid: Some(NodeId(id)),
        }
    }

    /// Node 2 of three.
    fn own() -> Status {
        let mut own = healthy(3, 1);
        own.node.nodeid = Some(NodeId(2));
        own
    }

    fn heard() -> Heard {
        let report = |id| {
            let mut report = healthy(3, 1).report();
            (report.node, report.nodeid) = (format!("n{id}"), Some(NodeId(id)));
            (peer(id), report)
        };
        vec![report(1), report(3)]
    }

    fn after(change: impl Fn(&mut Status, &mut Heard)) -> Look {
        let (mut own, mut heard) = (own(), heard());
        change(&mut own, &mut heard);
        look(&own, &[peer(1), peer(3)], &heard)
    }

    #[test]
    fn it_is_its_turn_only_where_all_are_well_and_nobody_else_goes() {
        assert_eq!(after(|_, _| ()), Look::Clear);
        type Change = fn(&mut Status, &mut Heard);
        let against: [(Change, &str); 11] = [
            (|o, _| o.cluster = None, "no quorate member"),
            (|o, _| o.key.drift = true, "this node's authkey was changed"),
            (
                |o, _| o.config.drift = true,
                "this node's corosync.conf was changed",
            ),
            (
                |o, _| o.cluster.as_mut().unwrap().members[2].state = MemberState::Left,
                "n3 is no member",
            ),
            (
                |o, _| o.cluster.as_mut().unwrap().quorum = 3,
                "there are 2 votes, and quorum needs 3",
            ),
            (
                |_, h| h[0].1.state = ServiceState::Starting,
                "n1 is starting",
            ),
            (
                |_, h| h[1].1.state = ServiceState::Stopping,
                "n3 is stopping",
            ),
            (|_, h| h[1].1.state = ServiceState::Backoff, "n3 is backoff"),
            (|_, h| h[1].1.isolated = true, "n3 is isolated"),
            (|_, h| h[1].1.restarting = true, "n3 is being restarted"),
            (|_, h| h[0].1.claiming = true, "n1 is about to be restarted"),
        ];
        for (change, words) in against {
            match after(change) {
                Look::Against(why) => assert!(why.contains(words), "{why}"),
                other => panic!("{words}: {other:?}"),
            }
        }
        for (change, words) in [
            ((|_, h| drop(h.pop())) as Change, "n3 does not answer"),
            (|_, h| h[1].1.claiming = true, "n3 is about to be restarted"),
        ] {
            match after(change) {
                Look::Again(why) => assert!(why.contains(words), "{why}"),
                other => panic!("{words}: {other:?}"),
            }
        }
        // What forbids it is not covered by what may pass.
        let both = after(|_, h| {
            h[0].1.restarting = true;
            h[1].1.claiming = true;
        });
        assert!(matches!(both, Look::Against(_)));
    }

    #[test]
    fn of_two_that_want_it_one_gives_way() {
        let claims = |me: u32, other: u32| {
            let mut said = healthy(3, 1).report();
            said.claiming = true;
            of(Some(NodeId(me)), &peer(other), Some(&said))
        };
        assert!(matches!(claims(1, 2), Look::Again(_)));
        assert!(matches!(claims(2, 1), Look::Against(_)));
    }
}
