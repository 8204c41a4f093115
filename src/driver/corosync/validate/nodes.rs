//! The rules of the nodelist: who is there, under which names, numbers and addresses, and which of them is this node.

use super::super::model::{Key, Pos};
use super::super::nodes::{LinkId, Node, found_by_corosync, local_of};
use super::{Check, MAX_NODES, quoted};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// Something that must be unique, as it is compared: an address by its value, a name without its case.
fn sameness(text: &str) -> String {
    match text.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => text.trim_end_matches('.').to_ascii_lowercase(),
    }
}

/// How a node is called in a message.
fn called(node: &Node) -> String {
    match (&node.name, node.nodeid) {
        (Some(name), _) => format!("node {}", quoted(name)),
        (None, Some(id)) => format!("node {id}"),
        (None, None) => format!("the node of line {}", node.at.line),
    }
}

/// The last node with this key, if any is before.
struct Seen<'n>(HashMap<String, &'n Node>);

impl<'n> Seen<'n> {
    fn add(&mut self, what: &str, node: &'n Node) -> Option<&'n Node> {
        match self.0.entry(sameness(what)) {
            std::collections::hash_map::Entry::Occupied(e) => Some(e.get()),
            std::collections::hash_map::Entry::Vacant(e) => {
                e.insert(node);
                None
            }
        }
    }
}

impl Check<'_> {
    pub(super) fn nodelist(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        if nodes.is_empty() {
            let message = "there are no nodes, and corosync 3 does not start without them; add a nodelist with a node section for each node";
            return self.error(self.section_place("nodelist"), "nodelist", message);
        }
        if nodes.len() > MAX_NODES {
            let message = format!(
                "there are {} nodes; at most {MAX_NODES} can work together, remove some",
                nodes.len()
            );
            self.error(self.section_place("nodelist"), "nodelist", message);
        }
        self.nodeids(&nodes);
        self.names(&nodes);
        self.links(&nodes);
        self.addresses(&nodes);
        self.local(&nodes);
        self.nodes = nodes;
    }

    fn nodeids(&mut self, nodes: &[Node]) {
        let path = "nodelist.node.nodeid";
        let mut seen: HashMap<u32, &Node> = HashMap::new();
        for node in nodes {
            let at = node.place("nodeid");
            match node.nodeid.map(|id| id.0) {
                Some(id) if self.knet && !(1..=65_535).contains(&id) => {
                    let message =
                        format!("nodeid {id} is out of range; write a number from 1 to 65535");
                    self.error(at, path, message);
                }
                Some(0) => {
                    let message = "nodeid 0 is none, and corosync makes one from the address; write a number from 1 to 4294967295";
                    self.warn(at, path, message);
                }
                Some(id) => {
                    if let Some(first) = seen.insert(id, node) {
                        let message = format!(
                            "{} has nodeid {id} already (line {}); give each node a number of its own",
                            called(first),
                            first.place("nodeid").line
                        );
                        self.error(at, path, message);
                    }
                }
                // One that is no number has a finding already.
                None if node.has("nodeid") => {}
                None if self.knet => {
                    let message = "the nodeid is missing; add \"nodeid: N\", N from 1 to 65535";
                    self.error(node.at, path, message);
                }
                None => {
                    let v6 = |a: &str| a.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6());
                    if node.addr(LinkId(0)).is_some_and(v6) {
                        let message = "the nodeid is missing, and corosync cannot make one from an IPv6 address; add \"nodeid: N\"";
                        self.error(node.at, path, message);
                    }
                }
            }
        }
    }

    fn names(&mut self, nodes: &[Node]) {
        let path = "nodelist.node.name";
        let mut seen = Seen(HashMap::new());
        let links: BTreeSet<LinkId> = nodes
            .iter()
            .flat_map(|n| n.addrs.iter().map(|a| a.0))
            .collect();
        for node in nodes {
            let Some(name) = node.name.as_deref() else {
                if links.len() > 1 {
                    let message = "with several links every node needs a name; add \"name: NAME\", as the host is called";
                    self.error(node.at, path, message);
                }
                continue;
            };
            let at = node.place("name");
            if name.is_empty() {
                self.error(
                    at,
                    path,
                    "the name is empty; write one, as the host is called",
                );
            } else if let Some(first) = seen.add(name, node) {
                let message = format!(
                    "the node of line {} is called {} already; give each node a name of its own",
                    first.at.line,
                    quoted(first.name.as_deref().unwrap_or_default())
                );
                self.error(at, path, message);
            }
        }
    }

    /// Every node has the same links, from 0 to 7.
    fn links(&mut self, nodes: &[Node]) {
        let path = "nodelist.node";
        let links: BTreeSet<LinkId> = nodes
            .iter()
            .flat_map(|n| n.addrs.iter().map(|a| a.0))
            .filter(|l| l.0 <= 7)
            .collect();
        if links.is_empty() {
            let message = "no node has an address; add \"ring0_addr: ADDRESS\" to each";
            return self.error(
                nodes.first().map_or(Pos::default(), |n| n.at),
                path,
                message,
            );
        }
        if nodes.len() > 2 && !links.contains(&LinkId(0)) {
            let message = format!(
                "no node has a ring0_addr, and corosync then does not lengthen the token for {} nodes; keep link 0, or write the longer token",
                nodes.len()
            );
            self.warn(self.section_place("nodelist"), path, message);
        }
        if links.len() > 1 && !self.knet {
            let message = format!(
                "there are {} links, and only knet can have more than one; leave ring0_addr alone, or set transport to knet",
                links.len()
            );
            self.error(self.place("totem.transport"), path, message);
        }
        for node in nodes {
            let missing: Vec<String> = links
                .iter()
                .filter(|l| node.addr(**l).is_none())
                .map(|l| format!("ring{l}_addr"))
                .collect();
            if !missing.is_empty() {
                let message = format!(
                    "{} has no {}, which other nodes have; give every node the same links",
                    called(node),
                    missing.join(" and ")
                );
                self.error(node.at, path, message);
            }
        }
    }

    /// No address twice, and one family on each link.
    fn addresses(&mut self, nodes: &[Node]) {
        let mut seen = Seen(HashMap::new());
        // The first of each link whose family is known.
        let mut family: HashMap<LinkId, (&Node, IpAddr)> = HashMap::new();
        let wanted = self.config.get_str("totem.ip_version");
        let wanted = wanted.unwrap_or(if self.udp { "ipv4" } else { "ipv6-4" });
        for node in nodes {
            for (link, addr) in node.addrs.iter().filter(|a| a.0.0 <= 7 && !a.1.is_empty()) {
                let path = format!("nodelist.node.ring{link}_addr");
                let at = node.addr_place(*link);
                if let Some(first) = seen.add(addr, node) {
                    let message = format!(
                        "{} has the address {} already; give each node one of its own on each link",
                        called(first),
                        quoted(addr)
                    );
                    self.error(at, &path, message);
                }
                let Ok(ip) = addr.parse::<IpAddr>() else {
                    continue;
                };
                let kind = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
                if matches!(wanted, "ipv4" | "ipv6") && wanted != kind {
                    let message = format!(
                        "{addr} is an {kind} address, and with ip_version {wanted} corosync looks for others only; write one of those, or another ip_version"
                    );
                    self.error(at, &path, message);
                }
                let (first, other) = *family.entry(*link).or_insert((node, ip));
                if other.is_ipv4() != ip.is_ipv4() {
                    let message = format!(
                        "{addr} and {other} of {} are of two families; use IPv4 or IPv6 for all of link {link}",
                        called(first)
                    );
                    self.error(at, &path, message);
                }
            }
        }
        self.labels(nodes);
    }

    /// A name that is another node's first address: corosync could take one node for the other.
    fn labels(&mut self, nodes: &[Node]) {
        let names = nodes
            .iter()
            .filter_map(|n| Some((sameness(n.name.as_deref()?), n)));
        let names: HashMap<String, &Node> = names.collect();
        for node in nodes {
            let Some(addr) = node.addr(LinkId(0)) else {
                continue;
            };
            let Some(other) = names
                .get(&sameness(addr))
                .filter(|o| o.at.line != node.at.line)
            else {
                continue;
            };
            if other.nodeid != node.nodeid {
                let message = format!(
                    "{} is the name of another node (line {}); write this node's own address",
                    quoted(addr),
                    other.at.line
                );
                self.error(
                    node.addr_place(LinkId(0)),
                    "nodelist.node.ring0_addr",
                    message,
                );
            }
        }
    }

    /// One address by itself: called for each key `ringN_addr`.
    pub(super) fn address(&mut self, key: &Key, path: &str) {
        let text = key.value.text();
        let addr = text.as_ref();
        let message = match addr.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => "is no node's address; write the one of this node",
            Ok(ip) if ip.is_multicast() => {
                "is a multicast address; write this node's own, the group belongs to totem"
            }
            Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
                let message = "a link-local address needs a scope, which corosync drops; write a global or unique local one";
                return self.error(key.value_at, path, message);
            }
            Ok(ip) if ip.is_loopback() => {
                let message = format!("{addr} is the host itself, no other node can reach it");
                return self.warn(key.value_at, path, message);
            }
            Ok(_) => return,
            Err(_) if addr.is_empty() => "is missing; write the node's address",
            Err(_) if addr.contains('/') => "has a network's length; write the address alone",
            Err(_) if addr.contains(':') => "is no IPv6 address; write one, without port and scope",
            Err(_) if addr.split('.').all(numeric) => {
                "is no IPv4 address; write four numbers from 0 to 255"
            }
            Err(_) if host_name(addr) => return,
            Err(_) => "is neither an address nor a host's name; write one",
        };
        let message = format!("{} {message}", quoted(addr));
        self.error(key.value_at, path, message);
    }

    /// This host is in the nodelist, and corosync agrees which node it is.
    fn local(&mut self, nodes: &[Node]) {
        let Some(node) = local_of(nodes, self.local) else {
            return self.not_there(nodes);
        };
        let other = found_by_corosync(nodes, self.local);
        if let Some(other) = other.filter(|o| o.nodeid != node.nodeid) {
            let message = format!(
                "this is {} for clusmgr, and {} for corosync, which goes by the host name {}; name the host as its node",
                called(node),
                called(other),
                quoted(&self.local.hostname)
            );
            self.error(node.place("name"), "nodelist.node.name", message);
            return;
        }
        if self.local.addresses.is_empty() {
            return;
        }
        for (link, addr) in &node.addrs {
            let here = |ip: IpAddr| self.local.addresses.contains(&ip.to_canonical());
            if addr.parse().is_ok_and(|ip| !here(ip)) {
                let message = format!(
                    "this host has no address {addr} now; corosync starts all the same, and the link stays down"
                );
                let path = format!("nodelist.node.ring{link}_addr");
                self.warn(node.addr_place(*link), &path, message);
            }
        }
    }

    fn not_there(&mut self, nodes: &[Node]) {
        let name = if self.local.node_name.is_empty() {
            &self.local.hostname
        } else {
            &self.local.node_name
        };
        let name = quoted(name);
        let own = name.trim_matches('"');
        // A node whose first address is literal and another host's cannot be this one, whatever its name resolves to.
        let literal = |n: &Node| {
            n.addr(LinkId(0))
                .is_some_and(|a| a.parse::<IpAddr>().is_ok())
        };
        let at = self.section_place("nodelist");
        if !self.local.addresses.is_empty() && nodes.iter().all(literal) {
            let message = format!(
                "this node is not in it: no node has the name {name} or a ring0_addr of this host; add a node section for it, or give its node a \"name: {own}\""
            );
            return self.error(at, "nodelist", message);
        }
        let message = format!(
            "no node has the name {name} or an address of this host; give this host's node a \"name: {own}\" (corosync may still find it by the resolver)"
        );
        self.warn(Pos::default(), "nodelist", message);
    }
}

/// Whether the resolver could take it for a host's name.
fn host_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    text.len() <= 253 && text.bytes().all(allowed) && !text.starts_with(['-', '.'])
}

/// What inet_aton(3) reads as a part of an address: `10`, and `0x0a4d0001` for all four numbers of one. Such
/// a spelling would hide that two nodes have the same address.
fn numeric(part: &str) -> bool {
    let hex = part.strip_prefix("0x").or(part.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => part.bytes().all(|b| b.is_ascii_digit()),
    }
}
