//! The other nodes' clusmgr: asks one of them, or all, whatever corosync does; and how this node compares
//! with them.

mod ask;
pub mod compare;
mod connect;
mod differs;
pub mod isolated;
mod items;
mod link;
mod report;
mod told;
mod trouble;
pub mod turn;
pub mod watch;

pub use differs::What;
pub use link::Link;
pub use trouble::Trouble;

use crate::noise::Psk;
use crate::remote::{RemoteNode, RemoteSource, RemoteView};
use crate::sys::resolve;
use crate::wire::{Answer, NodeAnswer, Request, Unreachable, WireError};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// To be connected, and sure of the key.
const CONNECT: Duration = Duration::from_secs(1);
/// Requests to a node at a time: fewer than the connections that it lets us have, for the comparison's
/// sake.
const TO_A_NODE: usize = 3;
/// Nodes that are asked at the same time, and threads for it.
const AT_ONCE: usize = 64;
/// Of a thread that asks a node.
const STACK: usize = 256 << 10;

/// The other nodes.
pub struct Peers {
    source: Arc<dyn RemoteSource>,
    node: String,
    port: u16,
    /// Lock: taken for a line, and alone.
    table: Mutex<Table>,
    /// A request has ended.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    /// Requests under way, by node.
    busy: HashMap<String, usize>,
    /// The address that answered last, by node.
    good: HashMap<String, SocketAddr>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

/// An answer, and the address that gave it.
pub type Answered = Result<(Answer, SocketAddr), Trouble>;

/// A node, what it said, and how long that took.
pub type OfNode = (RemoteNode, Answered, Duration);

/// A place among the requests under way, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    peers: &'a Peers,
    node: &'a str,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut table = self.peers.table.lock();
        if let Some(n) = table.busy.get_mut(self.node) {
            *n -= 1;
            if *n == 0 {
                table.busy.remove(self.node);
            }
        }
        drop(table);
        self.peers.freed.notify_all();
    }
}

impl Peers {
    /// The other nodes of a configuration. `node` is what we call ourselves; their services
    /// are at this port.
    #[must_use]
    pub fn new(source: Arc<dyn RemoteSource>, node: String, port: u16) -> Peers {
        Peers {
            source,
            node,
            port,
            table: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// The configuration by which they are asked.
    #[must_use]
    pub fn view(&self) -> Arc<RemoteView> {
        self.source.remote()
    }

    /// Asks a node, and waits at most `limit` for its answer once it is connected.
    ///
    /// # Errors
    /// It cannot be asked. That it refuses is an answer.
    pub fn ask(&self, node: &RemoteNode, request: &Request, limit: Duration) -> Answered {
        let _turn = self.turn(node, TO_A_NODE)?;
        self.ask_now(node, request, limit)
    }

    /// As [`Peers::ask`], without waiting for others; for the comparison, which is one at a time.
    ///
    /// # Errors
    /// As [`Peers::ask`].
    pub fn ask_now(&self, node: &RemoteNode, request: &Request, limit: Duration) -> Answered {
        let mut link = self.open(node)?;
        let answer = link.call(&self.node, request, Instant::now() + limit);
        let text = |t: Trouble| Trouble::new(t.why, format!("{}: {}", link.address, t.text));
        answer.map(|a| (a, link.address)).map_err(text)
    }

    /// A subscription: the answer to its request, the connection that the events come by, and its place.
    ///
    /// # Errors
    /// As [`Peers::ask`].
    pub fn subscribe<'a>(
        &'a self,
        node: &'a RemoteNode,
        request: &Request,
        limit: Duration,
    ) -> Result<(Answer, Link, Turn<'a>), Trouble> {
        let turn = self.turn(node, TO_A_NODE)?;
        let mut link = self.open(node)?;
        let answer = link.call(&self.node, request, Instant::now() + limit)?;
        Ok((answer, link, turn))
    }

    /// Asks every other node at the same time; the whole takes `limit` at most. In order of the nodelist.
    #[must_use]
    pub fn ask_all(&self, request: &Request, limit: Duration) -> Vec<OfNode> {
        self.each(limit, |node, rest| self.ask(node, request, rest))
    }

    /// Does `one` for every other node at the same time, and gives it the time that is left for an answer
    /// once there is a connection.
    fn each(
        &self,
        limit: Duration,
        one: impl Fn(&RemoteNode, Duration) -> Answered + Sync,
    ) -> Vec<OfNode> {
        let view = self.view();
        let others = view.nodes.iter().enumerate();
        let others: Vec<&RemoteNode> = others
            .filter(|(n, _)| Some(*n) != view.local)
            .map(|(_, node)| node)
            .take(AT_ONCE)
            .collect();
        let rest = limit
            .saturating_sub(CONNECT)
            .max(Duration::from_millis(100));
        let timed = |node: &RemoteNode| {
            let began = Instant::now();
            let answered = one(node, rest);
            (node.clone(), answered, began.elapsed())
        };
        thread::scope(|scope| {
            let begun: Vec<_> = others
                .iter()
                .map(|node| {
                    let thread = thread::Builder::new().name("cm-ask".into());
                    let begun = thread.stack_size(STACK).spawn_scoped(scope, || timed(node));
                    (*node, begun)
                })
                .collect();
            let ended = begun.into_iter().map(|(node, begun)| {
                let failed = |why: &str| {
                    let trouble = Trouble::new(Unreachable::Failed, why);
                    (node.clone(), Err(trouble), Duration::ZERO)
                };
                match begun.map(thread::ScopedJoinHandle::join) {
                    Ok(Ok(answered)) => answered,
                    Ok(Err(_)) => failed("the thread that asked it died"),
                    Err(e) => failed(&e.to_string()),
                }
            });
            ended.collect()
        })
    }

    /// Connected to a node that has our key.
    fn open(&self, node: &RemoteNode) -> Result<Link, Trouble> {
        let deadline = Instant::now() + CONNECT;
        let (psk, addresses) = self.way_to(node, deadline)?;
        let link = connect::connect(&addresses, &psk, deadline);
        let mut table = self.table.lock();
        match &link {
            Ok(link) => table.good.insert(node.name.clone(), link.address),
            Err(_) => table.good.remove(&node.name),
        };
        link
    }

    /// The key, and the node's addresses, the one that answered last first.
    fn way_to(
        &self,
        node: &RemoteNode,
        deadline: Instant,
    ) -> Result<(Psk, Vec<SocketAddr>), Trouble> {
        let no_key = || {
            let text = "this node has no authkey to ask it with";
            Trouble::new(Unreachable::NoKey, text)
        };
        let psk = self.view().psk.clone().ok_or_else(no_key)?;
        let found = resolve::addresses(&node.addrs, deadline);
        let mut addresses: Vec<SocketAddr> = found
            .into_iter()
            .map(|ip| SocketAddr::new(ip, self.port))
            .collect();
        if addresses.is_empty() {
            let text = format!(
                "none of its addresses is known ({}); see that they can be resolved here",
                node.addrs.join(", ")
            );
            return Err(Trouble::new(Unreachable::NoAddress, text));
        }
        let good = self.table.lock().good.get(&node.name).copied();
        if let Some(at) = addresses.iter().position(|a| Some(*a) == good) {
            addresses.swap(0, at);
        }
        Ok((psk, addresses))
    }

    /// Waits for a place, no longer than a connection may take.
    fn turn<'a>(&'a self, node: &'a RemoteNode, most: usize) -> Result<Turn<'a>, Trouble> {
        let deadline = Instant::now() + CONNECT;
        let mut table = self.table.lock();
        while table.busy.get(&node.name).is_some_and(|n| *n >= most)
            || table.busy.values().sum::<usize>() >= AT_ONCE
        {
            if self.freed.wait_until(&mut table, deadline).timed_out() {
                let text = format!("{most} requests to it are under way; try again later");
                return Err(Trouble::new(Unreachable::Busy, text));
            }
        }
        *table.busy.entry(node.name.clone()).or_default() += 1;
        drop(table);
        Ok(Turn {
            peers: self,
            node: &node.name,
        })
    }
}

/// An answer as it is handed on to who asked for all of them.
#[must_use]
pub fn node_answer(node: RemoteNode, answered: Answered, took: Duration) -> NodeAnswer {
    let (unreachable, answer) = match answered {
        Ok((answer, _)) => (None, answer),
        Err(trouble) => (
            Some(trouble.why),
            Answer::Err(WireError::from(&trouble.error(&node.name))),
        ),
    };
    NodeAnswer {
        node: node.name,
        nodeid: node.nodeid,
        local: false,
        unreachable,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        answer,
    }
}
