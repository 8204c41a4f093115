//! The comparison's questions, by connections that stand from one round to the next: a handshake and a
//! thread for each question were most of what a quiet daemon did.

use super::compare::{Asked, Heard, Peer};
use super::link::Link;
use super::trouble::Trouble;
use super::watch::Ask;
use super::{Answered, Peers, each, others};
use crate::remote::RemoteNode;
use crate::wire::{Answer, Request, Unreachable};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection is made anew so often: whose an address is, which of them leads there, and who may come in,
/// may change. Longer than a minute: each time costs a quiet daemon some wake-ups.
const STANDS: Duration = Duration::from_secs(65);
/// What stands and does not answer within this is given up, and all addresses are tried.
const PROMPT: Duration = Duration::from_millis(200);

/// Asks all nodes, for `cm-peers`. It has a place of its own at every node, so that it never waits for an
/// operator's requests.
#[derive(Debug)]
pub struct Rounds {
    peers: Arc<Peers>,
    /// By the nodes' places among the others of the configuration of this generation.
    standing: HashMap<usize, Standing>,
    generation: u64,
    prompt: Duration,
}

#[derive(Debug)]
struct Standing {
    link: Link,
    until: Instant,
}

impl Rounds {
    /// Asks them by way of `peers`.
    #[must_use]
    pub fn new(peers: Arc<Peers>) -> Rounds {
        Rounds {
            peers,
            standing: HashMap::new(),
            generation: 0,
            prompt: PROMPT,
        }
    }

    /// What stands may take so long: for tests, whose machine may rest for longer.
    #[cfg(test)]
    pub(crate) fn patient(mut self, prompt: Duration) -> Rounds {
        self.prompt = prompt;
        self
    }

    /// What those answer to whom a connection stands; and it goes on standing if they do.
    fn ask_standing(&mut self, deadline: Instant) -> HashMap<usize, Answered> {
        let now = Instant::now();
        let soon = deadline.min(now + self.prompt);
        // All are asked before the first is waited for.
        let asked = self.standing.drain().filter_map(|(place, mut standing)| {
            let asked =
                now < standing.until && standing.link.again(&Request::PeerReport, soon).is_ok();
            asked.then_some((place, standing))
        });
        let asked: Vec<(usize, Standing)> = asked.collect();
        let mut answers = HashMap::new();
        for (place, mut standing) in asked {
            if let Ok(answer @ Answer::Ok(_)) = standing.link.answer(soon, None) {
                answers.insert(place, Ok((answer, standing.link.address)));
                self.standing.insert(place, standing);
            }
        }
        answers
    }
}

impl Ask for Rounds {
    fn ask_all(&mut self, deadline: Instant) -> Vec<Asked> {
        let view = self.peers.view();
        if std::mem::replace(&mut self.generation, view.generation) != view.generation {
            self.standing.clear();
        }
        let nodes = others(&view);
        let mut answers = self.ask_standing(deadline);
        let places: Vec<usize> = (0..nodes.len())
            .filter(|place| !answers.contains_key(place))
            .collect();
        let rest: Vec<&RemoteNode> = places.iter().map(|place| nodes[*place]).collect();
        let peers = &self.peers;
        let asked = each(&rest, |node| {
            peers.ask_by(node, &Request::PeerReport, deadline)
        });
        // What is refused may be the key of before.
        let other_key = self.peers.view().psk != view.psk;
        for (place, (_, asked, _)) in places.into_iter().zip(asked) {
            let asked = asked.map_err(|trouble| match trouble.why {
                Unreachable::WrongKey if other_key => {
                    Trouble::new(Unreachable::Busy, "this node has another key by now")
                }
                _ => trouble,
            });
            let answered = asked.map(|(answer, link)| {
                let address = link.address;
                if matches!(answer, Answer::Ok(_)) {
                    let until = Instant::now() + STANDS;
                    self.standing.insert(place, Standing { link, until });
                }
                (answer, address)
            });
            answers.insert(place, answered);
        }
        let lost = || Err(Trouble::new(Unreachable::Failed, "it was not asked"));
        let one = |(place, node)| Asked {
            peer: peer(node),
            heard: heard(answers.remove(&place).unwrap_or_else(lost)),
        };
        nodes.into_iter().enumerate().map(one).collect()
    }
}

fn peer(node: &RemoteNode) -> Peer {
    Peer {
        name: node.name.clone(),
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
