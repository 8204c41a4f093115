//! The comparison's questions.

use super::compare::{Asked, Heard, Peer};
use super::watch::Ask;
use super::{Answered, Peers};
use crate::wire::{Answer, Request, Unreachable};
use std::sync::Arc;
use std::time::Instant;

impl Ask for Arc<Peers> {
    fn ask_all(&self, deadline: Instant) -> Vec<Asked> {
        // It has a place of its own at every node, so that it never waits for an operator's requests.
        let all = self.each(|node| self.ask_by(node, &Request::PeerReport, deadline));
        let one = |(node, answered, _)| Asked {
            peer: peer(node),
            heard: heard(answered),
        };
        all.into_iter().map(one).collect()
    }
}

fn peer(node: crate::remote::RemoteNode) -> Peer {
    Peer {
        name: node.name,
        nodeid: node.nodeid,
    }
}

fn heard(answered: Answered) -> Heard {
    let (answer, address) = answered.map_err(|t| (t.why, t.text))?;
    let other = |text: String| (Unreachable::OtherProtocol, text);
    match answer {
        Answer::Ok(value) => serde_json::from_value(value)
            .map(|report| (report, address.ip().to_string()))
            .map_err(|e| other(format!("its report is not understood: {e}"))),
        Answer::Err(e) => Err(other(e.message)),
    }
}
