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

/// The addresses by this configuration, and whether there may be more of them: a name of this node's has
/// no answer yet. Who has waited once need not `wait` again: what comes of it is known the next time.
pub(super) fn addresses(listen: &Listen, view: &RemoteView, wait: bool) -> (Vec<SocketAddr>, bool) {
    // Nobody could be served.
    if view.psk.is_none() {
        return (Vec::new(), false);
    }
    match listen {
        Listen::Off => (Vec::new(), false),
        Listen::Addrs(all) => (all.clone(), false),
        Listen::Links => {
            let Some(node) = view.local.and_then(|n| view.nodes.get(n)) else {
                return (Vec::new(), false);
            };
            let now = Instant::now();
            let deadline = if wait { now + RESOLVE } else { now };
            let found = resolve::addresses(&node.addrs, deadline);
            let each = node.addrs.iter().map(std::slice::from_ref);
            let unnamed = each.map(|one| resolve::addresses(one, now));
            let unnamed = unnamed.filter(Vec::is_empty).count() > 0;
            let with_port = |ip| SocketAddr::new(ip, PORT);
            (found.into_iter().map(with_port).collect(), unnamed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Psk;
    use crate::remote::RemoteNode;

    fn at(addrs: &[&str]) -> RemoteView {
        let addrs = addrs.iter().map(ToString::to_string).collect();
        RemoteView {
            psk: Some(Psk::derive(&[1; 256])),
            nodes: vec![RemoteNode {
                name: "n1".to_owned(),
                nodeid: None,
                addrs,
            }],
            local: Some(0),
            ..RemoteView::default()
        }
    }

    #[test]
    fn one_name_that_is_not_found_is_missing_though_others_are() {
        let one = |addrs: &[&str]| addresses(&Listen::Links, &at(addrs), true);
        let known = vec![SocketAddr::from(([127, 0, 0, 1], PORT))];
        assert_eq!(one(&["127.0.0.1"]), (known.clone(), false));
        assert_eq!(one(&["127.0.0.1", "127.0.0.1"]), (known.clone(), false));
        assert_eq!(one(&["127.0.0.1", "nobody.invalid"]), (known, true));
        let given = Listen::Addrs(vec![SocketAddr::from(([10, 0, 0, 1], 1))]);
        assert!(!addresses(&given, &at(&["nobody.invalid"]), true).1);
    }
}
