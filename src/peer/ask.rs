//! The comparison's questions, by connections that stand from one round to the next: a handshake and a
//! thread for each question were most of what a quiet daemon did.

use super::compare::{Asked, Heard, Peer};
use super::link::Link;
use super::trouble::Trouble;
use super::watch::Ask;
use super::{Answered, Peers, each, others};
use crate::remote::{RemoteNode, RemoteView};
use crate::wire::{Answer, Request, Unreachable};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection is made anew so often: whose an address is, and which of them leads there, may change.
const STANDS: Duration = Duration::from_secs(120);
/// What stands and does not answer within this is given up, and all addresses are tried.
const PROMPT: Duration = Duration::from_millis(200);

/// Asks all nodes, for `cm-peers`. It has a place of its own at every node, so that it never waits for an
/// operator's requests.
#[derive(Debug)]
pub struct Rounds {
    peers: Arc<Peers>,
    standing: HashMap<String, Standing>,
}

#[derive(Debug)]
struct Standing {
    link: Link,
    /// Of the configuration by which it was made.
    generation: u64,
    until: Instant,
}

impl Rounds {
    /// Asks them by way of `peers`.
    #[must_use]
    pub fn new(peers: Arc<Peers>) -> Rounds {
        Rounds {
            peers,
            standing: HashMap::new(),
        }
    }

    /// What those answer to whom a connection stands; and it goes on standing if they do.
    fn ask_standing(&mut self, view: &RemoteView, deadline: Instant) -> HashMap<String, Answered> {
        let now = Instant::now();
        let soon = deadline.min(now + PROMPT);
        // All are asked before the first is waited for.
        let asked = self.standing.drain().filter_map(|(name, mut standing)| {
            let stands = standing.generation == view.generation && now < standing.until;
            let asked = stands && standing.link.again(&Request::PeerReport, soon).is_ok();
            asked.then_some((name, standing))
        });
        let asked: Vec<(String, Standing)> = asked.collect();
        let mut answers = HashMap::new();
        for (name, mut standing) in asked {
            if let Ok(answer @ Answer::Ok(_)) = standing.link.answer(soon, None) {
                answers.insert(name.clone(), Ok((answer, standing.link.address)));
                self.standing.insert(name, standing);
            }
        }
        answers
    }
}

impl Ask for Rounds {
    fn ask_all(&mut self, deadline: Instant) -> Vec<Asked> {
        let view = self.peers.view();
        let nodes = others(&view);
        let mut answers = self.ask_standing(&view, deadline);
        let rest = nodes.iter().filter(|n| !answers.contains_key(&n.name));
        let rest: Vec<&RemoteNode> = rest.copied().collect();
        let peers = &self.peers;
        let asked = each(&rest, |node| {
            peers.ask_by(node, &Request::PeerReport, deadline)
        });
        for (node, asked, _) in asked {
            let answered = asked.map(|(answer, link)| {
                let address = link.address;
                if matches!(answer, Answer::Ok(_)) {
                    let standing = Standing {
                        link,
                        generation: view.generation,
                        until: Instant::now() + STANDS,
                    };
                    self.standing.insert(node.name.clone(), standing);
                }
                (answer, address)
            });
            answers.insert(node.name, answered);
        }
        let twice = || {
            let text = "another node of the configuration has its name";
            Err(Trouble::new(Unreachable::Failed, text))
        };
        let one = |node: &RemoteNode| Asked {
            peer: peer(node),
            heard: heard(answers.remove(&node.name).unwrap_or_else(twice)),
        };
        nodes.into_iter().map(one).collect()
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
