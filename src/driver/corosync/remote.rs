//! What the remote service and the client of the other nodes know of the cluster: a snapshot that
//! follows the live files.
//!
//! It does not matter on which of many ways they became others: each look compares what the snapshot
//! was made from with what is there, and the housekeeping looks once a period. Who has just changed
//! something looks at once.

use super::authkey::AuthKey;
use super::limits::MAX_FILE;
use super::live::{LiveKey, read_key_file};
use super::model::Config;
use super::nodes::Node;
use super::store::S01;
use super::{CorosyncSys, parse};
use crate::noise::Psk;
use crate::remote::{RemoteNode, RemoteView};
use crate::sys::file::{self, FileId};
use crate::sys::host;
use crate::sys::wake::Waker;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use zeroize::Zeroizing;

/// The snapshot and who waits for another one. Its lock is taken for a few lines, and alone.
#[derive(Debug, Default)]
pub(super) struct Remote(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    view: Arc<RemoteView>,
    /// What it was made from; none before the first look.
    from: Option<Stamp>,
    /// Where the key of that configuration is.
    key_path: Option<PathBuf>,
    /// Of looks that were begun, and the one that the snapshot is of.
    begun: u64,
    shown: u64,
    wakers: Vec<Weak<Waker>>,
}

/// Another one means that the snapshot may be another one.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    conf: Option<FileId>,
    key: (PathBuf, Option<FileId>),
    held: Option<S01>,
    /// Where this node was not found: an address may come up yet.
    addresses: Vec<IpAddr>,
}

/// What a look finds.
#[derive(Default)]
struct Found {
    psk: Option<Psk>,
    nodes: Vec<RemoteNode>,
    local: Option<usize>,
    key_path: Option<PathBuf>,
}

impl CorosyncSys {
    pub(super) fn remote_view(&self) -> Arc<RemoteView> {
        Arc::clone(&self.remote.0.lock().view)
    }

    pub(super) fn wake_for_remote(&self, waker: &Arc<Waker>) {
        let mut guard = self.remote.0.lock();
        guard.wakers.retain(|w| w.strong_count() > 0);
        guard.wakers.push(Arc::downgrade(waker));
    }

    /// Looks whether the snapshot is still of what is there, and makes another one if it is not. Cheap
    /// where nothing has changed: two times stat(2).
    pub(super) fn follow_remote(&self) {
        // Before the reading: what changes after that is another stamp at the next look.
        let stamp = self.stamp();
        let mut guard = self.remote.0.lock();
        if guard.from.as_ref() == Some(&stamp) {
            return;
        }
        guard.begun += 1;
        let look = guard.begun;
        drop(guard);
        let found = self.look();
        let mut guard = self.remote.0.lock();
        // A look that began after this one is over already.
        if guard.shown > look {
            return;
        }
        guard.shown = look;
        guard.from = Some(stamp);
        guard.key_path = found.key_path;
        let old = &guard.view;
        if (&old.psk, &old.nodes, old.local) == (&found.psk, &found.nodes, found.local) {
            return;
        }
        let view = Arc::new(RemoteView {
            generation: old.generation + 1,
            psk: found.psk,
            nodes: found.nodes,
            local: found.local,
        });
        guard.view = Arc::clone(&view);
        guard.wakers.retain(|w| w.strong_count() > 0);
        let wakers: Vec<_> = guard.wakers.iter().filter_map(Weak::upgrade).collect();
        drop(guard);
        for waker in wakers {
            waker.wake();
        }
        log::debug!("{}", told(&view));
    }

    fn stamp(&self) -> Stamp {
        let paths = &self.params.paths;
        let held = self.corosync_config_mtx.lock().u.clone();
        let guard = self.remote.0.lock();
        let key = guard.key_path.clone();
        let unfound = guard.view.local.is_none() && !guard.view.nodes.is_empty();
        drop(guard);
        let key = key.unwrap_or_else(|| paths.authkey.clone());
        let id = |path| FileId::of(path).ok().flatten();
        Stamp {
            conf: id(&paths.conf),
            key: (key.clone(), id(&key)),
            held,
            addresses: unfound.then(host::addresses).unwrap_or_default(),
        }
    }

    /// Of the live files, if they can be used; else of what clusmgr holds, with which it would go on; else
    /// of the key alone.
    fn look(&self) -> Found {
        match self.read_live() {
            Ok(Some(live)) => self.found(&live.config, live.key.psk(), live.key.path()),
            _ => self.look_at_held().unwrap_or_else(|| self.look_at_key()),
        }
    }

    /// Who has it may ask what is wrong here, where `--listen` says where. A file that is no good says at
    /// most where the key is.
    fn look_at_key(&self) -> Found {
        let conf = file::read_bounded(&self.params.paths.conf, MAX_FILE as u64);
        let conf = conf.ok().flatten().map(Zeroizing::new);
        let config = conf.and_then(|bytes| parse::parse(&bytes).ok());
        let (key_path, key) = match config {
            // Without crypto there is no service: a key that lies there may be of another cluster.
            Some(config) if !config.needs_key() => return Found::default(),
            Some(config) => (self.key_file(&config), self.read_key(&config)),
            None => (None, read_key_file(self.params.paths.authkey.clone())),
        };
        Found {
            psk: key.ok().and_then(|key| key.psk()),
            key_path,
            ..Found::default()
        }
    }

    fn look_at_held(&self) -> Option<Found> {
        let held = self.corosync_config_mtx.lock().u.clone()?;
        let config = parse::parse(&self.kept_conf(&held).ok()?).ok()?;
        let (path, psk) = match self.read_key(&config) {
            Ok(key) if key.is_there() => (key.path().map(PathBuf::from), key.psk()),
            Ok(LiveKey::File(path, _)) => (Some(path), self.kept_psk(&held)),
            _ => (config.keyfile().map(PathBuf::from), self.kept_psk(&held)),
        };
        Some(self.found(&config, psk, path.as_deref()))
    }

    fn kept_psk(&self, held: &S01) -> Option<Psk> {
        let key = self.kept_key(held.key.as_deref()?).ok()??;
        Some(Psk::derive(key.expose()))
    }

    fn found(&self, config: &Config, psk: Option<Psk>, key: Option<&std::path::Path>) -> Found {
        let nodes = config.nodes();
        let local = config.local_node(&self.local_host(config));
        Found {
            psk,
            local: local.and_then(|local| nodes.iter().position(|n| *n == local)),
            nodes: nodes.into_iter().map(remote_node).collect(),
            key_path: key.map(PathBuf::from),
        }
    }
}

impl LiveKey {
    /// Derived from the bytes that corosync takes for its key; none where there are none.
    fn psk(&self) -> Option<Psk> {
        match self {
            LiveKey::File(_, Some(key)) => Some(Psk::derive(key.expose())),
            LiveKey::Inside(Some(key)) => Some(Psk::derive(&as_text(key))),
            LiveKey::File(_, None) | LiveKey::Inside(None) | LiveKey::NotNeeded => None,
        }
    }
}

/// A `totem.key` as corosync takes it: with the NUL at its end, which cmap counts as part of a text.
fn as_text(key: &AuthKey) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(key.expose().len() + 1));
    text.extend_from_slice(key.expose());
    text.push(0);
    text
}

fn remote_node(node: Node) -> RemoteNode {
    let nodeid = || node.nodeid.map(|id| id.to_string());
    RemoteNode {
        name: node.name.clone().or_else(nodeid).unwrap_or_default(),
        nodeid: node.nodeid,
        addrs: node.addrs.into_iter().map(|(_, addr)| addr).collect(),
    }
}

fn told(view: &RemoteView) -> String {
    let local = view
        .local
        .map_or("not among them", |at| &view.nodes[at].name);
    let key = if view.psk.is_some() { "a" } else { "no" };
    let addrs: Vec<_> = view.nodes.iter().map(|n| n.addrs.join(" ")).collect();
    format!(
        "cluster {}: {} nodes ({}), this one is {local}, {key} key",
        view.generation,
        view.nodes.len(),
        addrs.join(", ")
    )
}

#[cfg(test)]
mod tests;
