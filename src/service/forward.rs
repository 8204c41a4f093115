//! Requests for other nodes: this node's daemon asks them, and hands their answers on.

use super::Manager;
use super::dispatch::{Caller, MAX_WAIT, dispatch, refuse};
use crate::error::{Error, Kind, Result};
use crate::peer::{Link, Peers, Trouble, Turn, node_answer};
use crate::remote::RemoteNode;
use crate::wire::{AllReply, Answer, Change, MAX_LINE, NodeAnswer, Request, RequestLine};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long all nodes together may take to answer: who asks has them within 2 s.
const ALL: Duration = Duration::from_millis(1600);
/// Room in a line for what is around the nodes' answers.
const ENVELOPE: usize = 4096;
/// How long one may take, besides what the request itself may wait.
const ONE: Duration = Duration::from_secs(5);

/// Another node, and the way to it.
pub(super) struct Elsewhere {
    peers: Arc<Peers>,
    node: RemoteNode,
}

impl Elsewhere {
    pub(super) fn subscribe(&self, since: Option<u64>) -> Result<(Answer, Link, Turn<'_>)> {
        let request = Request::Subscribe { since };
        let begun = self.peers.subscribe(&self.node, &request, ONE);
        begun.map_err(|trouble| trouble.error(&self.node.name))
    }

    /// Whether the way to it is one by the key that this node has now.
    pub(super) fn is_current(&self, link: &Link) -> bool {
        self.peers.is_current(link)
    }

    /// What ended a subscription.
    pub(super) fn lost(&self, trouble: &Trouble) -> Error {
        trouble.error(&self.node.name)
    }

    /// That it has ended with the key that it was made with.
    pub(super) fn other_key(&self) -> Error {
        let e = Error::new(
            "ask node",
            &self.node.name,
            "this node has another key by now",
        );
        e.hint("ask again").kind(Kind::Unreachable)
    }
}

/// Where a request is to go; none if it is for this node.
///
/// # Errors
/// There is no such node.
pub(super) fn elsewhere(manager: &dyn Manager, line: &RequestLine) -> Result<Option<Elsewhere>> {
    if line.all {
        let e = Error::new("ask", "all nodes", "this can be asked of one at a time");
        return Err(e.hint("name it with --node").kind(Kind::Usage));
    }
    let Some(name) = &line.node else {
        return Ok(None);
    };
    let unknown = |known: &str| {
        let e = Error::new("ask node", name, "the configuration here has no such node");
        e.hint(format_args!("it has {known}")).kind(Kind::Usage)
    };
    let view = manager.peers().map(|peers| (peers.view(), peers));
    let Some((view, peers)) = view.filter(|(v, _)| !v.nodes.is_empty()) else {
        return match *name == manager.status().node.name {
            true => Ok(None),
            false => Err(unknown("none: this node is unconfigured")),
        };
    };
    let Some(at) = view.find(name) else {
        let all: Vec<&str> = view.nodes.iter().map(|n| n.name.as_str()).collect();
        return Err(unknown(&all.join(", ")));
    };
    if view.local == Some(at) {
        return Ok(None);
    }
    let node = view.nodes[at].clone();
    Ok(Some(Elsewhere { peers, node }))
}

/// Answers a request for another node, or for all. It is waited for no longer than the client is there.
pub(super) fn forward(
    manager: &dyn Manager,
    line: &RequestLine,
    caller: &Caller,
    client: BorrowedFd<'_>,
) -> Answer {
    let answered = if line.all {
        all(manager, &line.request, caller)
    } else {
        one(manager, line, caller, client)
    };
    answered.unwrap_or_else(|e| refuse(&e))
}

fn one(
    manager: &dyn Manager,
    line: &RequestLine,
    caller: &Caller,
    client: BorrowedFd<'_>,
) -> Result<Answer> {
    let request = &line.request;
    // Before it is told what nodes there are, and whatever the other node would say.
    caller.may(request)?;
    let Some(there) = elsewhere(manager, line)? else {
        return Ok(dispatch(manager, request, caller));
    };
    if request.changes() == Change::Configuration {
        let cause = "the configuration of another node is not changed from here";
        let e = Error::new("ask node", &there.node.name, cause);
        return Err(e.hint("run clusmgrctl there").kind(Kind::Denied));
    }
    let limit = request.wait().min(MAX_WAIT) + ONE;
    let answered = there.peers.ask(&there.node, request, limit, Some(client));
    answered
        .map(|(answer, _)| answer)
        .map_err(|trouble| trouble.error(&there.node.name))
}

fn all(manager: &dyn Manager, request: &Request, caller: &Caller) -> Result<Answer> {
    if request.changes() != Change::Nothing {
        let e = Error::new(
            "ask",
            "all nodes",
            "only what changes nothing goes to all at once",
        );
        return Err(e.hint("ask one node at a time").kind(Kind::Usage));
    }
    let began = Instant::now();
    let status = manager.status();
    let here = |name: String| NodeAnswer {
        node: name,
        nodeid: status.node.nodeid,
        local: true,
        unreachable: None,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        answer: dispatch(manager, request, caller),
    };
    let Some(peers) = manager.peers() else {
        let nodes = vec![here(status.node.name.clone())];
        return answer(&AllReply { nodes });
    };
    let view = peers.view();
    let room = (MAX_LINE - ENVELOPE) / (view.nodes.len() + 1);
    let others = peers.ask_all(request, ALL, room);
    let mut nodes: Vec<NodeAnswer> = others
        .into_iter()
        .map(|(node, answered, took)| node_answer(node, answered, took))
        .collect();
    let local = view.local.and_then(|n| Some((n, view.nodes.get(n)?)));
    match local {
        Some((n, node)) => nodes.insert(n.min(nodes.len()), here(node.name.clone())),
        // Not in the nodelist, and yet the one that was asked.
        None => nodes.insert(0, here(status.node.name.clone())),
    }
    // Written anew it may be longer than it came.
    for node in &mut nodes {
        bound(node, room);
    }
    answer(&AllReply { nodes })
}

/// One answer that is too long is that node's alone.
fn bound(node: &mut NodeAnswer, room: usize) {
    let mut left = Left(room);
    if serde_json::to_writer(&mut left, node).is_err() {
        let cause = format_args!("its answer has more than {room} bytes, and there are others");
        let e = Error::new("ask node", &node.node, cause);
        node.answer = refuse(&e.hint("ask it alone, with --node"));
    }
}

/// Takes so many bytes, and fails at more.
struct Left(usize);

impl io::Write for Left {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len());
        self.0 = left.ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn answer(all: &AllReply) -> Result<Answer> {
    let value = serde_json::to_value(all).map_err(|e| Error::new("write", "the answers", e))?;
    Ok(Answer::Ok(value))
}
