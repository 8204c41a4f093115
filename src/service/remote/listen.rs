//! From `--listen` to addresses.

use crate::listen::{Listen, PORT};
use crate::remote::RemoteView;
use crate::sys::resolve;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long names of this node's own link addresses may take to be found.
const RESOLVE: Duration = Duration::from_secs(1);

/// The port that the other nodes are taken to have too.
#[must_use]
pub fn port(listen: &Listen) -> u16 {
    match listen {
        Listen::Addrs(all) => all.first().map_or(PORT, SocketAddr::port),
        Listen::Off | Listen::Links => PORT,
    }
}

/// The addresses by this configuration.
pub(super) fn addresses(listen: &Listen, view: &RemoteView) -> Vec<SocketAddr> {
    // Nobody could be served.
    if view.psk.is_none() {
        return Vec::new();
    }
    match listen {
        Listen::Off => Vec::new(),
        Listen::Addrs(all) => all.clone(),
        Listen::Links => {
            let Some(node) = view.local.and_then(|n| view.nodes.get(n)) else {
                return Vec::new();
            };
            let found = resolve::addresses(&node.addrs, Instant::now() + RESOLVE);
            let with_port = |ip| SocketAddr::new(ip, PORT);
            found.into_iter().map(with_port).collect()
        }
    }
}
