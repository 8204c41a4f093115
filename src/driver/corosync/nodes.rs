//! What a configuration says of nodes, links and keys, read as corosync 3.1.7 reads it.

use super::model::{Config, Item, Key, Pos, Section};
use crate::types::NodeId;
use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The number of a knet link: 0 to 7 where corosync takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u8);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A node of the nodelist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// `nodeid`, where it is a number.
    pub nodeid: Option<NodeId>,
    /// `name`.
    pub name: Option<String>,
    /// `ringN_addr` by link, in order of links.
    pub addrs: Vec<(LinkId, String)>,
    /// `quorum_votes`, where it is a number; corosync takes 1 where there is none.
    pub votes: Option<u32>,
    /// Where its section begins.
    pub at: Pos,
    /// Where the value of each of its keys stands, by name.
    places: Vec<(String, Pos)>,
}

impl Node {
    /// The address on a link.
    #[must_use]
    pub fn addr(&self, link: LinkId) -> Option<&str> {
        let found = self.addrs.iter().find(|a| a.0 == link)?;
        Some(&found.1)
    }

    /// Where the value of a key stands; where the section begins if there is no such key.
    #[must_use]
    pub fn place(&self, key: &str) -> Pos {
        let found = self.places.binary_search_by(|p| p.0.as_str().cmp(key));
        found.map_or(self.at, |i| self.places[i].1)
    }

    /// Whether it has a key of this name.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let found = self.places.binary_search_by(|p| p.0.as_str().cmp(key));
        found.is_ok()
    }

    /// Where the address on a link stands.
    #[must_use]
    pub fn addr_place(&self, link: LinkId) -> Pos {
        self.place(&format!("ring{link}_addr"))
    }

    /// `name` and `ring0_addr`: what corosync finds the local node by.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        [self.name.as_deref(), self.addr(LinkId(0))]
            .into_iter()
            .flatten()
    }

    fn set(&mut self, key: &Key) {
        let text = key.value.text();
        let at = key.value_at;
        match self.places.binary_search_by(|p| p.0.cmp(&key.name)) {
            Ok(i) => self.places[i].1 = at,
            Err(i) => self.places.insert(i, (key.name.clone(), at)),
        }
        match key.name.as_str() {
            "nodeid" => self.nodeid = text.parse().ok().map(NodeId),
            "name" => self.name = Some(text.into_owned()),
            "quorum_votes" => self.votes = text.parse().ok(),
            name => {
                if let Some(link) = link_of(name) {
                    match self.addrs.binary_search_by_key(&link, |a| a.0) {
                        Ok(i) => self.addrs[i].1 = text.into_owned(),
                        Err(i) => self.addrs.insert(i, (link, text.into_owned())),
                    }
                }
            }
        }
    }
}

/// N of `ringN_addr`.
fn link_of(key: &str) -> Option<LinkId> {
    let digits = key.strip_prefix("ring")?.strip_suffix("_addr")?;
    let number = digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| digits.parse().ok().map(LinkId)).flatten()
}

/// What tells which node of the nodelist this is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalHost {
    /// The name that the daemon was given (`--node`), else the host name.
    pub node_name: String,
    /// The kernel's host name.
    pub hostname: String,
    /// The addresses of all interfaces.
    pub addresses: Vec<IpAddr>,
}

impl Config {
    /// The nodes, in order.
    ///
    /// As corosync has it: a second `nodelist {}` counts its nodes from the first again and so adds to
    /// those, keys of a section inside `node {}` belong to the node, and the section's end ends the node.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        let read = |(at, keys): (Pos, Vec<&Key>)| {
            let mut node = Node {
                at,
                ..Node::default()
            };
            keys.into_iter().for_each(|k| node.set(k));
            node
        };
        node_places(self).into_iter().map(read).collect()
    }

    /// Which node this is; `None` if neither names nor addresses tell (corosync would then still ask
    /// the resolver).
    ///
    /// By `name` equal to the given name; then by `name` or `ring0_addr` as corosync does: the host name,
    /// the host name with ever fewer domains, that with the domains of `name` left out, and an address of this host.
    #[must_use]
    pub fn local_node(&self, host: &LocalHost) -> Option<Node> {
        local_of(&self.nodes(), host).cloned()
    }

    /// Whether every `ringN_addr` is an address and no name, so that no resolver can make a difference.
    #[must_use]
    pub fn all_addresses_literal(&self) -> bool {
        self.nodes()
            .iter()
            .flat_map(|n| &n.addrs)
            .all(|(_, a)| a.parse::<IpAddr>().is_ok())
    }

    /// `totem.cluster_name`.
    #[must_use]
    pub fn cluster_name(&self) -> Option<&str> {
        self.get_str("totem.cluster_name")
    }

    /// `totem.transport`; corosync 3 takes knet where there is none.
    #[must_use]
    pub fn transport(&self) -> &str {
        self.get_str("totem.transport").unwrap_or("knet")
    }

    /// `quorum.two_node`: any number but 0.
    #[must_use]
    pub fn two_node(&self) -> bool {
        let value = self.get_str("quorum.two_node");
        value
            .and_then(|v| v.parse::<u8>().ok())
            .is_some_and(|v| v != 0)
    }

    /// The cipher that corosync 3.1.7 takes: `totem.crypto_cipher`, else aes256 with `secauth: on`, else none.
    #[must_use]
    pub fn crypto_cipher(&self) -> &str {
        self.crypto("totem.crypto_cipher", "aes256")
    }

    /// The hash that corosync 3.1.7 takes: `totem.crypto_hash`, else sha256 with `secauth: on`, else none.
    #[must_use]
    pub fn crypto_hash(&self) -> &str {
        self.crypto("totem.crypto_hash", "sha256")
    }

    fn crypto(&self, path: &str, with_secauth: &'static str) -> &str {
        let secauth = self.get_str("totem.secauth") == Some("on");
        let default = if secauth { with_secauth } else { "none" };
        self.get_str(path).unwrap_or(default)
    }

    /// Whether cipher and hash are both told, so that versions of corosync with other defaults agree.
    #[must_use]
    pub fn crypto_is_explicit(&self) -> bool {
        let has = |path| self.get(path).is_some();
        has("totem.secauth") || (has("totem.crypto_cipher") && has("totem.crypto_hash"))
    }

    /// Whether corosync 3.1.7 reads a key: with a cipher or a hash. It takes the first that there is of
    /// `totem.keyfile`, `totem.key`, and the default key file.
    #[must_use]
    pub fn needs_key(&self) -> bool {
        self.crypto_cipher() != "none" || self.crypto_hash() != "none"
    }

    /// Whether there is a `totem.key`, even if `keyfile` goes before it.
    #[must_use]
    pub fn key_inside(&self) -> bool {
        self.get("totem.key").is_some()
    }

    /// Whether there is a `totem.key`, or what may be one, in a comment too: the file is then a secret itself.
    #[must_use]
    pub fn secret_in_file(&self) -> bool {
        fn any(items: &[Item]) -> bool {
            items.iter().any(|item| match item {
                Item::Key(key) => key.value.is_secret(),
                Item::Section(section) => any(&section.items),
                Item::Comment(comment) => comment.is_secret(),
            })
        }
        any(self.items())
    }

    /// `totem.keyfile`.
    #[must_use]
    pub fn keyfile(&self) -> Option<&Path> {
        let value = self.get("totem.keyfile")?;
        Some(Path::new(OsStr::from_bytes(value.expose())))
    }
}

/// The node that has the given name, else the one that corosync finds.
pub(super) fn local_of<'a>(nodes: &'a [Node], host: &LocalHost) -> Option<&'a Node> {
    let given = |n: &&Node| n.name.as_deref() == Some(host.node_name.as_str());
    let found = nodes.iter().find(given);
    found.or_else(|| found_by_corosync(nodes, host))
}

/// The node that corosync takes for its own, as far as it needs no resolver for that.
pub(super) fn found_by_corosync<'a>(nodes: &'a [Node], host: &LocalHost) -> Option<&'a Node> {
    let find = |fits: &dyn Fn(&str) -> bool| nodes.iter().find(|n| n.labels().any(fits));
    let mut name = host.hostname.as_str();
    while !name.is_empty() {
        if let Some(node) = find(&|label| label == name) {
            return Some(node);
        }
        match name.rsplit_once('.') {
            Some((shorter, _)) => name = shorter,
            None => break,
        }
    }
    let short = |label: &str| !name.is_empty() && label.split('.').next() == Some(name);
    find(&short).or_else(|| {
        find(&|label| {
            label
                .parse()
                .is_ok_and(|ip: IpAddr| host.addresses.contains(&ip))
        })
    })
}

/// The sections of a name, in order.
pub(super) fn sections<'a>(items: &'a [Item], name: &'a str) -> impl Iterator<Item = &'a Section> {
    items.iter().filter_map(move |i| match i {
        Item::Section(s) if s.name == name => Some(s),
        _ => None,
    })
}

/// The keys of each node that has any, in order, with where its section begins.
fn node_places(config: &Config) -> Vec<(Pos, Vec<&Key>)> {
    let mut nodes = Vec::new();
    for list in sections(config.items(), "nodelist") {
        let mut place = 0;
        for node in sections(&list.items, "node") {
            read_node(node, &mut nodes, &mut place);
        }
    }
    nodes.into_iter().flatten().collect()
}

/// The keys of each node that has any, in order; the last of a repeated one wins.
pub(super) fn node_keys(config: &Config) -> Vec<Vec<&Key>> {
    node_places(config).into_iter().map(|n| n.1).collect()
}

/// Reads a section as a node in its place; a place without keys stays empty.
fn read_node<'c>(
    section: &'c Section,
    nodes: &mut Vec<Option<(Pos, Vec<&'c Key>)>>,
    place: &mut usize,
) {
    for item in &section.items {
        match item {
            Item::Key(key) => {
                if nodes.len() <= *place {
                    nodes.resize_with(*place + 1, || None);
                }
                let node = nodes[*place].get_or_insert_with(|| (section.at, Vec::new()));
                node.1.push(key);
            }
            Item::Section(inner) => read_node(inner, nodes, place),
            Item::Comment(_) => {}
        }
    }
    *place += 1;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::parse::parse;
    use super::*;

    fn config(text: &str) -> Config {
        parse(text.as_bytes()).unwrap()
    }

    fn host(node_name: &str, hostname: &str, address: &str) -> LocalHost {
        LocalHost {
            node_name: node_name.to_owned(),
            hostname: hostname.to_owned(),
            addresses: address.parse().into_iter().collect(),
        }
    }

    const TWO: &str = "nodelist {\nnode {\nnodeid: 1\nname: a.example\nring1_addr: 10.1.0.1\nring0_addr: 10.0.0.1\nquorum_votes: 2\n}\n\
        node {\nnodeid: 2\nname: b\nring0_addr: bhost\nring0_addr: fd00::2\n}\n}\n";

    #[test]
    fn nodes_are_read_with_all_their_links() {
        let nodes = config(TWO).nodes();
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[0].nodeid, Some(NodeId(1)));
        assert_eq!(nodes[0].votes, Some(2));
        assert_eq!(nodes[0].addr(LinkId(0)), Some("10.0.0.1"));
        assert_eq!(nodes[0].addrs[1], (LinkId(1), "10.1.0.1".to_owned()));
        assert_eq!(nodes[0].at.line, 2);
        assert_eq!(nodes[1].addrs, [(LinkId(0), "fd00::2".to_owned())]);
        assert!(config(TWO).all_addresses_literal());
        assert!(!config("nodelist {\nnode {\nring0_addr: n1\n}\n}\n").all_addresses_literal());
    }

    #[test]
    fn nodes_are_counted_as_corosync_counts_them() {
        let twice =
            config("nodelist {\nnode {\nnodeid: 1\n}\n}\nnodelist {\nnode {\nname: x\n}\n}\n");
        assert_eq!(twice.nodes().len(), 1);
        assert_eq!(twice.nodes()[0].name.as_deref(), Some("x"));
        let inner =
            config("nodelist {\nnode {\nname: x\nfoo {\nnodeid: 5\n}\nring0_addr: a\n}\n}\n");
        assert_eq!(inner.nodes().len(), 2);
        assert_eq!(inner.nodes()[0].nodeid, Some(NodeId(5)));
    }

    #[test]
    fn the_local_node_is_found_by_name_then_host_then_address() {
        let c = config(TWO);
        let id = |h: &LocalHost| c.local_node(h).and_then(|n| n.nodeid).map(|n| n.0);
        assert_eq!(id(&host("b", "a.example", "10.0.0.1")), Some(2));
        assert_eq!(id(&host("x", "a.example", "")), Some(1));
        assert_eq!(id(&host("x", "a", "")), Some(1));
        assert_eq!(id(&host("x", "b.some.where", "")), Some(2));
        assert_eq!(id(&host("x", "y", "fd00::2")), Some(2));
        assert_eq!(id(&host("x", "10.0.0.1", "")), Some(1));
        // Only name and ring0_addr count, in corosync too.
        assert_eq!(id(&host("x", "y", "10.1.0.1")), None);
        assert_eq!(id(&host("", "", "")), None);
    }

    #[test]
    fn the_key_is_needed_as_corosync_needs_it() {
        let need = |t: &str| config(&format!("totem {{\n{t}\n}}\n")).needs_key();
        assert!(!need(""));
        assert!(!need("crypto_cipher: none\ncrypto_hash: none"));
        assert!(need("crypto_cipher: aes256\ncrypto_hash: sha256"));
        assert!(need("crypto_hash: sha1"));
        assert!(need("secauth: on"));
        assert!(!need("secauth: ON"));
        assert!(!need("secauth: on\ncrypto_cipher: none\ncrypto_hash: none"));
    }

    #[test]
    fn small_questions() {
        let c = config(
            "totem {\ncluster_name: c\nkeyfile: /k\nkey: SECRET\n}\nquorum {\ntwo_node: 1\n}\n",
        );
        assert_eq!(c.cluster_name(), Some("c"));
        assert_eq!(c.keyfile(), Some(Path::new("/k")));
        assert!(c.secret_in_file() && c.two_node() && !c.crypto_is_explicit());
        assert_eq!(c.transport(), "knet");
    }

    #[test]
    fn a_key_that_was_commented_out_makes_the_file_a_secret() {
        for (text, secret) in [
            ("#key: SECRET\n", true),
            ("totem {\n\t# key: SECRET\n}\n", true),
            ("# nothing to hide\n", false),
        ] {
            assert_eq!(config(text).secret_in_file(), secret, "{text}");
        }
    }
}
