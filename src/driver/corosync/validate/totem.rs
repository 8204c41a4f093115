//! The rules of the totem section: timers, links, crypto and the key.

use super::super::authkey::{MAX_KEY, MIN_KEY};
use super::super::model::{Item, Pos, Section};
use super::super::nodes::LinkId;
use super::{Check, KeyFile, quoted};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Whether a section has a key of this name.
fn has(section: &Section, name: &str) -> bool {
    let mut items = section.items.iter();
    items.any(|i| matches!(i, Item::Key(k) if k.name == name))
}

/// The value of a section's last key of this name, and where it stands.
fn last<'a>(section: &'a Section, name: &str) -> Option<(&'a str, Pos)> {
    section.items.iter().rev().find_map(|i| match i {
        Item::Key(k) if k.name == name => {
            Some((std::str::from_utf8(k.value.expose()).ok()?, k.value_at))
        }
        _ => None,
    })
}

impl Check<'_> {
    pub(super) fn totem(&mut self) {
        let Some(totem) = self.config.section("totem") else {
            let message = "there is no totem section; add \"totem {\", \"version: 2\", \"}\"";
            return self.error(Pos::default(), "totem", message);
        };
        let at = totem.at;
        if self.config.get("totem.version").is_none() {
            let message = "it is missing; add \"version: 2\" to totem";
            self.error(at, "totem.version", message);
        }
        self.timers();
        let window = self.positive("totem.window_size").unwrap_or(50);
        let messages = self.positive("totem.max_messages").unwrap_or(17);
        if messages > window {
            let message = format!(
                "a node may send no more than window_size, {window}, messages on a token; write that much at most"
            );
            self.warn(
                self.place("totem.max_messages"),
                "totem.max_messages",
                message,
            );
        }
    }

    /// The timers as corosync computes them, from `totem_volatile_config_read`.
    fn timers(&mut self) {
        // It counts the nodes of link 0, and no others.
        let count = self.nodes.iter().filter(|n| n.addr(LinkId(0)).is_some());
        let count = count.count() as u64;
        let more = count.saturating_sub(2);
        let coefficient = self.number("totem.token_coefficient").unwrap_or(650);
        let base = self.positive("totem.token").unwrap_or(3000);
        let token = base.saturating_add(more.saturating_mul(coefficient));
        let at = self.place("totem.token");
        // 1.2 times that, as an int of 32 bits.
        const MOST: u64 = 1_789_569_706;
        if token > MOST {
            if base > MOST {
                // A finding of its own, by the table.
                return;
            }
            let message = format!(
                "with token_coefficient for {count} nodes it comes to {token} ms, more than corosync can compute with; write less"
            );
            return self.error(at, "totem.token", message);
        }
        let const_path = "totem.token_retransmits_before_loss_const";
        let retries = self.positive(const_path).unwrap_or(4);
        // token / (retries + 0.2), cut to whole milliseconds.
        let computed = token.saturating_mul(10) / retries.saturating_mul(10).saturating_add(2);
        let retransmit = self.positive("totem.token_retransmit");
        if retransmit.is_none() && computed < 30 {
            let (at, path) = match self.positive(const_path) {
                Some(_) => (self.place(const_path), const_path),
                None => (at, "totem.token"),
            };
            let message = format!(
                "a token of {token} ms with {retries} retransmits leaves {computed} ms for each, and corosync wants 30; write a longer token or fewer retransmits"
            );
            self.error(at, path, message);
        }
        let retransmit = retransmit.unwrap_or(computed);
        if retransmit >= token {
            let message = format!(
                "it is not less than the token of {token} ms, so the token is never sent again; write less"
            );
            self.warn(
                self.place("totem.token_retransmit"),
                "totem.token_retransmit",
                message,
            );
        }
        let join = self.positive("totem.join").unwrap_or(50);
        let consensus = self.positive("totem.consensus").unwrap_or(token * 12 / 10);
        let at = self.place("totem.consensus");
        if consensus < join {
            let (at, path) = match self.positive("totem.consensus") {
                Some(_) => (at, "totem.consensus"),
                None => (self.place("totem.join"), "totem.join"),
            };
            let message = format!(
                "consensus, {consensus} ms, is less than join, {join} ms; write {join} or more for consensus"
            );
            self.error(at, path, message);
        } else if consensus < token * 12 / 10 && self.nodes.len() > 2 {
            let message = format!(
                "{consensus} ms is less than 1.2 * token, {} ms, which is the least that is safe with more than two nodes; write that, or remove it",
                token * 12 / 10
            );
            self.warn(at, "totem.consensus", message);
        }
    }

    /// `totem.interface`: by link, one section each, and none for a link that no node has.
    pub(super) fn interfaces(&mut self) {
        let links: BTreeSet<u8> = self
            .nodes
            .iter()
            .flat_map(|n| n.addrs.iter().map(|a| a.0.0))
            .collect();
        let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
        let mut multicast = self.config.cluster_name().is_some();
        for section in self.sections("totem.interface") {
            let number = last(section, "linknumber");
            let at = number.map_or(section.at, |n| n.1);
            let Ok(link) = number.map_or("0", |n| n.0).parse::<u64>() else {
                continue;
            };
            if let Some(line) = seen.insert(link, section.at.line) {
                let message = format!(
                    "link {link} has a section in line {line} already, and corosync merges the two; write one section for each link"
                );
                self.warn(at, "totem.interface.linknumber", message);
            }
            // A section with nothing but its number leaves no trace in corosync.
            let only_number = |i: &Item| match i {
                Item::Key(k) => matches!(k.name.as_str(), "linknumber" | "ringnumber"),
                _ => true,
            };
            let empty = section.items.iter().all(only_number);
            let known = u8::try_from(link).is_ok_and(|l| links.contains(&l));
            if !known && !empty && link <= 7 && !links.is_empty() && !self.udp {
                let message = format!(
                    "no node has a ring{link}_addr, and corosync then calls the numbers of links unequal; remove the section, or give every node that address"
                );
                self.error(at, "totem.interface", message);
            }
            self.pings(section);
            multicast |= has(section, "mcastaddr")
                || last(section, "broadcast").is_some_and(|b| b.0 == "yes");
            if let Some((ttl, at)) = last(section, "ttl").filter(|t| t.0 != "1" && !self.udp) {
                let message = format!(
                    "{} works with the transport udp only; remove it",
                    quoted(ttl)
                );
                self.error(at, "totem.interface.ttl", message);
            }
            let priority = last(section, "knet_link_priority");
            if let Some((_, at)) = priority.filter(|p| p.0 != "1" && !self.knet) {
                let message = "only knet has priorities; remove it";
                self.error(at, "totem.interface.knet_link_priority", message);
            }
            if let Some((addr, at)) = last(section, "mcastaddr").filter(|_| self.udp) {
                if addr.parse().is_ok_and(|ip: IpAddr| !ip.is_multicast()) {
                    let message = format!(
                        "{} is no multicast address; write one as 239.192.1.1",
                        quoted(addr)
                    );
                    self.error(at, "totem.interface.mcastaddr", message);
                }
            }
        }
        if self.udp && !multicast {
            let message = "udp needs a multicast address, which corosync makes from the cluster's name; add \"cluster_name: NAME\" to totem";
            self.error(self.section_place("totem"), "totem.cluster_name", message);
        }
    }

    /// Interval and time-out of a link's pings are a pair.
    fn pings(&mut self, section: &Section) {
        let get = |name| last(section, name).and_then(|(v, at)| Some((v.parse::<u64>().ok()?, at)));
        match (get("knet_ping_interval"), get("knet_ping_timeout")) {
            (Some((interval, at)), Some((timeout, _))) if timeout > 0 && interval >= timeout => {
                let message = format!(
                    "a ping each {interval} ms and a time-out of {timeout} ms take the link down again and again; write an interval well below the time-out"
                );
                self.error(at, "totem.interface.knet_ping_interval", message);
            }
            (Some((_, at)), None) => {
                let message =
                    "the time-out is then computed from token; write knet_ping_timeout, too";
                self.warn(at, "totem.interface.knet_ping_interval", message);
            }
            (None, Some((_, at))) => {
                let message =
                    "the interval is then computed from token; write knet_ping_interval, too";
                self.warn(at, "totem.interface.knet_ping_timeout", message);
            }
            _ => {}
        }
    }

    pub(super) fn crypto(&mut self) {
        let (cipher, hash) = (self.config.crypto_cipher(), self.config.crypto_hash());
        let at = self.place("totem.crypto_cipher");
        if cipher != "none" && hash == "none" {
            let cipher = quoted(cipher);
            let message = format!(
                "{} needs a hash; add \"crypto_hash: sha256\"",
                cipher.trim_matches('"')
            );
            self.error(at, "totem.crypto_cipher", message);
        }
        if !self.knet && self.config.needs_key() {
            let message = "only knet can encrypt; set crypto_cipher and crypto_hash to none, or transport to knet";
            self.error(at, "totem.crypto_cipher", message);
        }
        if !self.config.crypto_is_explicit() && self.knet {
            let message = "versions of corosync differ in the defaults of crypto_cipher and crypto_hash; write both";
            self.warn(at, "totem.crypto_cipher", message);
        }
    }

    pub(super) fn authkey(&mut self, keyfile: KeyFile) {
        let inside = self.config.find("totem.key");
        if !self.config.needs_key() {
            if let Some(key) = inside {
                let message = "nothing is encrypted, so the key is not used; set crypto_cipher and crypto_hash, or remove it";
                self.warn(key.at, "totem.key", message);
            }
            return;
        }
        match (self.config.keyfile(), inside) {
            (Some(_), Some(key)) => {
                let message =
                    "keyfile goes before key, so this key is not used; remove one of them";
                self.warn(key.at, "totem.key", message);
            }
            (None, Some(key)) => {
                // corosync counts the NUL at the end of the string, too.
                let length = key.value.expose().len();
                if length + 1 < MIN_KEY {
                    let message = format!(
                        "it has {length} bytes; corosync wants {MIN_KEY} to {MAX_KEY}, put a new key in it on all nodes, or use a key file"
                    );
                    self.error(key.value_at, "totem.key", message);
                }
                return;
            }
            _ => {}
        }
        if keyfile == KeyFile::Absent {
            let (path, at) = ("totem.keyfile", self.place("totem.keyfile"));
            let message = "the traffic is to be encrypted and there is no key; copy the authkey from another node, or make one with corosync-keygen";
            self.error(at, path, message);
        }
    }
}
