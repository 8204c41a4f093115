//! Nodes that are given by host names: two names, or a name and an address, can be the same host.
//! Nothing of corosync looks at that, and the rules of `validate` ask no resolver.

use super::model::Config;
use super::nodes::Node;
use crate::error::{Error, Result};
use crate::sys::resolve::resolve;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// So long all names together may take. corosync resolves them too, and waits for longer.
const LIMIT: Duration = Duration::from_secs(5);

/// Refuses a configuration in which two addresses are the same once names are resolved; what cannot
/// be resolved in time is a warning. corosync's own check says which names there are not.
///
/// # Errors
/// Which two are the same.
pub(super) fn are_apart(what: &str, config: &Config) -> Result<Option<String>> {
    let nodes = config.nodes();
    let all = nodes.iter().flat_map(|n| n.addrs.iter().map(|(_, a)| a));
    let mut names: Vec<String> = all.filter(|a| is_name(a)).cloned().collect();
    if names.is_empty() {
        return Ok(None);
    }
    names.sort_unstable();
    names.dedup();
    let found = resolve(&names, LIMIT);
    if let Some(cause) = twice(&nodes, config.get_str("totem.ip_version"), &found) {
        let e = Error::new(what, "the configuration", cause);
        return Err(e.hint("give each node an address of its own on each link"));
    }
    names.retain(|name| !found.contains_key(name));
    Ok((!names.is_empty()).then(|| {
        format!(
            "the resolver did not answer in time for {}: nobody knows whether two nodes have the same address",
            names.join(", ")
        )
    }))
}

fn is_name(addr: &str) -> bool {
    !addr.is_empty() && addr.parse::<IpAddr>().is_err()
}

/// The first two that are the same.
fn twice(
    nodes: &[Node],
    version: Option<&str>,
    found: &BTreeMap<String, Vec<IpAddr>>,
) -> Option<String> {
    let mut seen: BTreeMap<IpAddr, (&Node, &str)> = BTreeMap::new();
    for node in nodes {
        for (_, addr) in &node.addrs {
            let ip = match addr.parse() {
                Ok(ip) => Some(ip),
                Err(_) => found.get(addr).and_then(|all| taken(all, version)),
            };
            let Some(ip) = ip.map(|ip: IpAddr| ip.to_canonical()) else {
                continue;
            };
            let Some((first, other)) = seen.insert(ip, (node, addr)) else {
                continue;
            };
            let is = if is_name(addr) {
                format!("{addr} is {ip}")
            } else {
                format!("there is {ip}")
            };
            let has = if is_name(other) {
                format!("which is {other} of {}", called(first))
            } else {
                format!("which {} has", called(first))
            };
            return Some(format!("{}: {is}, {has}", called(node)));
        }
    }
    None
}

/// The one of several that corosync takes (`totemip_parse`): of the family that it prefers, the first.
fn taken(all: &[IpAddr], version: Option<&str>) -> Option<IpAddr> {
    let first = |v4: bool| all.iter().copied().find(|ip| ip.is_ipv4() == v4);
    match version {
        Some("ipv4") => first(true),
        Some("ipv6") => first(false),
        Some("ipv4-6") => first(true).or_else(|| first(false)),
        _ => first(false).or_else(|| first(true)),
    }
}

fn called(node: &Node) -> String {
    match (&node.name, node.nodeid) {
        (Some(name), _) => format!("node {name}"),
        (None, Some(id)) => format!("node {id}"),
        (None, None) => format!("the node of line {}", node.at.line),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn said(addrs: [&str; 2], version: Option<&str>) -> Option<String> {
        let node = |n: usize, addr: &str| {
            format!("node {{\nnodeid: {n}\nname: n{n}\nring0_addr: {addr}\n}}\n")
        };
        let text = format!(
            "nodelist {{\n{}{}}}\n",
            node(1, addrs[0]),
            node(2, addrs[1])
        );
        let ips = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect();
        let found = BTreeMap::from([
            ("a".to_owned(), ips(&["10.0.0.1", "fd00::1"])),
            ("b".to_owned(), ips(&["10.0.0.2", "fd00::1"])),
            ("again".to_owned(), ips(&["10.0.0.1"])),
            ("none".to_owned(), ips(&[])),
        ]);
        twice(&parse(text.as_bytes()).unwrap().nodes(), version, &found)
    }

    #[test]
    fn the_same_address_is_seen_behind_names() {
        for (addrs, version, wanted) in [
            (
                ["again", "10.0.0.1"],
                None,
                Some("node n2: there is 10.0.0.1, which is again of node n1"),
            ),
            (
                ["10.0.0.1", "again"],
                None,
                Some("node n2: again is 10.0.0.1, which node n1 has"),
            ),
            (
                ["a", "again"],
                Some("ipv4"),
                Some("node n2: again is 10.0.0.1, which is a of node n1"),
            ),
            (
                ["a", "b"],
                None,
                Some("node n2: b is fd00::1, which is a of node n1"),
            ),
            (["a", "b"], Some("ipv4-6"), None),
            (["a", "b"], Some("ipv4"), None),
            (["a", "again"], Some("ipv6"), None),
            (["none", "unasked"], None, None),
            (["none", "none"], None, None),
        ] {
            assert_eq!(said(addrs, version).as_deref(), wanted, "{addrs:?}");
        }
    }
}
