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
mod turns;
pub mod watch;

pub use ask::Rounds;
pub use differs::What;
pub use link::Link;
pub use trouble::Trouble;
pub use turns::Turn;

use crate::remote::{RemoteNode, RemoteSource, RemoteView};
use crate::sys::resolve;
use crate::wire::{
    Answer, Change, Hello, MAX_LINE, NodeAnswer, PROTO, Request, To, Unreachable, WireError,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use turns::{Sort, Turns};

/// To be connected, and sure of the key.
const CONNECT: Duration = Duration::from_secs(1);
/// Nodes that are asked at the same time, and threads for it.
const AT_ONCE: usize = 64;
/// Of a thread that asks a node.
const STACK: usize = 256 << 10;
/// A request that may wait so long for its outcome is one of those that last.
const LONG: Duration = Duration::from_secs(1);
/// How soon a node is asked again that had no room.
const AGAIN: Duration = Duration::from_millis(25);
/// How often one is asked again that hangs up after the handshake.
const HANG_UPS: u32 = 3;

/// The other nodes.
pub struct Peers {
    source: Arc<dyn RemoteSource>,
    node: String,
    port: u16,
    turns: Turns,
    /// The address that answered last, by node. Lock: taken for a line, and alone.
    good: Mutex<HashMap<String, SocketAddr>>,
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

/// How long one request may take, and what its answer may be.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    /// For the answer, once it is connected.
    limit: Duration,
    /// For all of it.
    by: Option<Instant>,
    /// Bytes of the answer.
    room: usize,
    /// Who waits for it.
    client: Option<BorrowedFd<'a>>,
}

impl Bounds<'_> {
    fn new(limit: Duration) -> Bounds<'static> {
        Bounds {
            limit,
            by: None,
            room: MAX_LINE,
            client: None,
        }
    }

    /// The moment at which so much time from now is over, or all of it.
    fn within(&self, limit: Duration) -> Instant {
        let at = Instant::now() + limit;
        self.by.map_or(at, |by| at.min(by))
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
            turns: Turns::default(),
            good: Mutex::default(),
        }
    }

    /// The configuration by which they are asked.
    #[must_use]
    pub fn view(&self) -> Arc<RemoteView> {
        self.source.remote()
    }

    /// Asks a node, and waits at most `limit` for its answer once it is connected; no longer than the
    /// client is there, who waits for it.
    ///
    /// # Errors
    /// It cannot be asked. That it refuses is an answer.
    pub fn ask(
        &self,
        node: &RemoteNode,
        request: &Request,
        limit: Duration,
        client: Option<BorrowedFd<'_>>,
    ) -> Answered {
        let bounds = Bounds::new(limit);
        let _turn = self.turn(node, request, bounds)?;
        let asked = self.put(node, request, Bounds { client, ..bounds });
        asked.map(|(answer, link)| (answer, link.address))
    }

    /// As [`Peers::ask`], without waiting for others, and all by the deadline; for the comparison, which
    /// is one at a time, and may ask by the same connection again.
    ///
    /// # Errors
    /// As [`Peers::ask`].
    pub fn ask_by(
        &self,
        node: &RemoteNode,
        request: &Request,
        by: Instant,
    ) -> Result<(Answer, Link), Trouble> {
        let bounds = Bounds {
            by: Some(by),
            ..Bounds::new(by.saturating_duration_since(Instant::now()))
        };
        self.put(node, request, bounds)
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
        let bounds = Bounds::new(limit);
        let turn = self.turn(node, request, bounds)?;
        let (answer, link) = self.put(node, request, bounds)?;
        Ok((answer, link, turn))
    }

    /// Whether a connection was made with the key that this node has now.
    #[must_use]
    pub fn is_current(&self, link: &Link) -> bool {
        link.is_of(self.view().psk.as_ref())
    }

    /// Asks every other node at the same time; the whole takes `limit` at most, and each answer has
    /// `room` bytes. In order of the nodelist.
    #[must_use]
    pub fn ask_all(&self, request: &Request, limit: Duration, room: usize) -> Vec<OfNode> {
        let by = Instant::now() + limit;
        let bounds = Bounds {
            by: Some(by),
            room,
            ..Bounds::new(limit)
        };
        let Some(_round) = self.turns.round(by) else {
            let text = "too many ask all nodes at the moment; try again later";
            let busy = |node: &RemoteNode| {
                let trouble = Trouble::new(Unreachable::Busy, text);
                (node.clone(), Err(trouble), limit)
            };
            return others(&self.view()).into_iter().map(busy).collect();
        };
        each(&others(&self.view()), |node| {
            let _turn = self.turn(node, request, bounds)?;
            let asked = self.put(node, request, bounds);
            asked.map(|(answer, link)| (answer, link.address))
        })
    }

    fn turn<'a>(
        &'a self,
        node: &'a RemoteNode,
        request: &Request,
        bounds: Bounds<'_>,
    ) -> Result<Turn<'a>, Trouble> {
        let lasts = matches!(request, Request::Subscribe { .. }) || request.wait() > LONG;
        let sort = if lasts { Sort::Long } else { Sort::Short };
        // As long as a connection of somebody else may take, and what comes of it is known here too.
        let by = bounds
            .by
            .unwrap_or_else(|| Instant::now() + CONNECT + 4 * AGAIN);
        self.turns.turn(&node.name, sort, by)
    }

    /// Asks a node by its first address that leads to it; more than once only as long as no request was
    /// carried out.
    fn put(
        &self,
        node: &RemoteNode,
        request: &Request,
        bounds: Bounds<'_>,
    ) -> Result<(Answer, Link), Trouble> {
        let hello = Hello {
            proto: PROTO,
            node: self.node.clone(),
            to: Some(To {
                node: node.name.clone(),
                nodeid: node.nodeid,
            }),
        };
        let connected = bounds.within(CONNECT);
        let mut wrong: Option<Trouble> = None;
        let mut elsewhere = Vec::new();
        let mut hang_ups = 0;
        loop {
            let mut link = match self.open(node, &elsewhere, connected) {
                Ok(link) => link,
                Err(trouble) => return Err(wrong.unwrap_or(trouble)),
            };
            link.limit(bounds.room);
            let answered = link.call(&hello, request, bounds.within(bounds.limit), bounds.client);
            let mut trouble = match answered {
                Ok(answer) => return Ok((answer, link)),
                Err(trouble) => trouble,
            };
            trouble.text = format!("{}: {}", link.address, trouble.text);
            let reads = request.changes() == Change::Nothing;
            if trouble.why == Unreachable::WrongNode {
                self.good.lock().remove(&node.name);
                elsewhere.push(link.address);
                wrong = Some(trouble);
            } else if link.is_unread() || (reads && link.has_hung_up_early()) {
                // It made room for others before it looked at the request.
                hang_ups += u32::from(!link.is_unread());
                if hang_ups > HANG_UPS || Instant::now() + AGAIN >= connected {
                    return Err(trouble);
                }
                drop(link);
                thread::sleep(AGAIN);
            } else {
                return Err(trouble);
            }
        }
    }

    /// Connected to a node that has our key, by none of the addresses that lead elsewhere.
    fn open(
        &self,
        node: &RemoteNode,
        elsewhere: &[SocketAddr],
        by: Instant,
    ) -> Result<Link, Trouble> {
        let no_key = || {
            let text = "this node has no authkey to ask it with";
            Trouble::new(Unreachable::NoKey, text)
        };
        let psk = self.view().psk.clone().ok_or_else(no_key)?;
        let began = Instant::now();
        let good = self.good.lock().get(&node.name).copied();
        let find = || {
            let (found, all) = resolve::at_hand(&node.addrs);
            let mut addresses: Vec<SocketAddr> = found
                .into_iter()
                .map(|ip| SocketAddr::new(ip, self.port))
                .filter(|address| !elsewhere.contains(address))
                .collect();
            if let Some(at) = addresses.iter().position(|a| Some(*a) == good) {
                addresses.swap(0, at);
            }
            (addresses, all)
        };
        let link = connect::connect(&find, &psk, by).map_err(|trouble| match trouble.why {
            Unreachable::NoAddress => Trouble::new(
                Unreachable::NoAddress,
                format!(
                    "none of its addresses is known ({}); see that they can be resolved here",
                    node.addrs.join(", ")
                ),
            ),
            _ => trouble,
        });
        // Silence for a moment says nothing.
        if link.is_ok() || by.saturating_duration_since(began) >= CONNECT / 2 {
            self.turns.heard(&node.name, link.as_ref().err());
        }
        let mut good = self.good.lock();
        match &link {
            Ok(link) => good.insert(node.name.clone(), link.address),
            Err(_) => good.remove(&node.name),
        };
        link
    }
}

/// All nodes of a configuration but this one.
fn others(view: &RemoteView) -> Vec<&RemoteNode> {
    let all = view.nodes.iter().enumerate();
    all.filter(|(n, _)| Some(*n) != view.local)
        .map(|(_, node)| node)
        .collect()
}

/// Does `one` for every one of these nodes at the same time; how each ended, in their order, and how long it
/// took.
fn each<T: Send>(
    nodes: &[&RemoteNode],
    one: impl Fn(&RemoteNode) -> Result<T, Trouble> + Sync,
) -> Vec<(RemoteNode, Result<T, Trouble>, Duration)> {
    let timed = |node: &RemoteNode| {
        let began = Instant::now();
        let answered = one(node);
        (answered, began.elapsed())
    };
    thread::scope(|scope| {
        let begun: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(n, &node)| {
                if n >= AT_ONCE {
                    let text = format!("only {AT_ONCE} nodes are asked at a time");
                    return (node, Err(io::Error::other(text)));
                }
                let thread = thread::Builder::new().name("cm-ask".into());
                let thread = thread.stack_size(STACK);
                let timed = &timed;
                (node, thread.spawn_scoped(scope, move || timed(node)))
            })
            .collect();
        let ended = begun.into_iter().map(|(node, begun)| {
            let failed = |why: &str| (Err(Trouble::new(Unreachable::Failed, why)), Duration::ZERO);
            let (answered, took) = match begun.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(ended)) => ended,
                Ok(Err(_)) => failed("the thread that asked it died"),
                Err(e) => failed(&e.to_string()),
            };
            (node.clone(), answered, took)
        });
        ended.collect()
    })
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
