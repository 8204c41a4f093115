//! What the remote service, and the client of the other nodes, need of the cluster's configuration.

use crate::noise::Psk;
use crate::sys::wake::Waker;
use crate::types::NodeId;
use std::sync::Arc;

/// Whoever has such a configuration: a driver.
pub trait RemoteSource: Send + Sync {
    /// As it is now.
    fn remote(&self) -> Arc<RemoteView>;
    /// Wakes somebody, as long as he is there, whenever it has become another one.
    fn watch_remote(&self, waker: &Arc<Waker>);
}

/// A snapshot; another one, with a greater generation, when something of it changes.
#[derive(Debug, Default)]
pub struct RemoteView {
    /// Grows with every change.
    pub generation: u64,
    /// Derived from the live key; none where there is none, or the configuration uses none.
    pub psk: Option<Psk>,
    /// The nodes of the configuration in use, in order of its nodelist.
    pub nodes: Vec<RemoteNode>,
    /// Which of them is this node.
    pub local: Option<usize>,
}

/// One node of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteNode {
    /// Its name, or where it has none its nodeid.
    pub name: String,
    /// Its number.
    pub nodeid: Option<NodeId>,
    /// Its link addresses, in order of links: numbers, or names to be resolved.
    pub addrs: Vec<String>,
}

impl RemoteView {
    /// The node of a name, or of a nodeid in digits.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        let by_name = self.nodes.iter().position(|n| n.name == name);
        by_name.or_else(|| {
            let id = NodeId(name.parse().ok()?);
            self.nodes.iter().position(|n| n.nodeid == Some(id))
        })
    }
}
