//! What a change from one configuration to another means for a running corosync, key by key.
//!
//! Compared as corosync stores them (`cmap_keys(7)`): nodes by nodeid and interfaces by link, wherever they
//! stand; comments and order count for nothing. How a key takes effect is its row in `options`.
//!
//! On top of that, from `cfg.c` and `totemconfig.c` (`check_things_have_not_changed`): a link stands while
//! any node keeps it; an address or a `knet_transport` on a standing link makes corosync refuse the whole
//! reload; a link that goes or comes is reloaded. All links at once is not: corosync 3.1.7 then reports
//! success and goes on with the old one, so it is counted as refused here.

use super::finding::printable;
use super::model::{Config, Item, Key, Section};
use super::options::{self, Effect, Kind};
use super::value::ConfValue;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// One key, or one whole node, that differs. Secrets are `<redacted>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where: `totem.token`, `totem.interface[1].mcastport`, `nodelist.node[3].ring0_addr`, `nodelist.node[3]`.
    pub path: String,
    /// What it was; `None` if it was not there.
    pub old: Option<String>,
    /// What it will be; `None` if it goes.
    pub new: Option<String>,
    /// What to know or to do about it, where there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = |v: &Option<String>| v.clone().unwrap_or_else(|| "(none)".to_owned());
        write!(
            f,
            "{}: {} → {}",
            self.path,
            none(&self.old),
            none(&self.new)
        )
    }
}

/// All that differs, by how it takes effect; each list in order of paths.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// By a reload.
    pub reload: Vec<Change>,
    /// By a restart only: a reload would report success and change nothing.
    pub restart: Vec<Change>,
    /// By neither while its link stands: corosync refuses a reload with it (a restart would do).
    pub refused: Vec<Change>,
}

impl Plan {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reload.is_empty() && self.restart.is_empty() && self.refused.is_empty()
    }
}

/// One line a change: `totem.token: 1000 → 2000 (reload)`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (changes, how) in [
            (&self.reload, "reload"),
            (&self.restart, "restart"),
            (&self.refused, "refused"),
        ] {
            for change in changes {
                match change.hint {
                    Some(hint) => writeln!(f, "{change} ({how}: {hint})")?,
                    None => writeln!(f, "{change} ({how})")?,
                }
            }
        }
        Ok(())
    }
}

const STANDS: &str =
    "the link stands; remove the link and reload, then add it with the new value and reload";
const NO_LINK: &str =
    "no link would stand through the reload; change one link, reload, then the other";
const OTHER_ID: &str =
    "a node that changes its nodeid must be stopped, and started with the new one";
const DEFAULT: &str = "it is the default, so that corosync has the same with it as without";
const STAYS: &str = "a reload leaves the old value where it is removed";

/// What it takes to get from one configuration to another.
#[must_use]
pub fn plan(old: &Config, new: &Config) -> Plan {
    let (old, new) = (Flat::of(old), Flat::of(new));
    let mut plan = Plan::default();
    let paths: BTreeSet<&String> = old.keys.keys().chain(new.keys.keys()).collect();
    let (old_links, new_links) = (old.links(), new.links());
    let none_stands = !old_links.is_empty() && old_links.is_disjoint(&new_links);
    for path in paths {
        let (was, will) = (old.keys.get(path), new.keys.get(path));
        if let (Some(was), Some(will)) = (was, will) {
            if was.same(will) {
                continue;
            }
        }
        let Some(entry) = will.or(was) else { continue };
        let mut change = Change {
            path: path.clone(),
            old: was.map(Entry::shown),
            new: will.map(Entry::shown),
            hint: None,
        };
        let both = was.is_some() && will.is_some();
        let stands = entry
            .link
            .is_some_and(|l| old_links.contains(&l) && new_links.contains(&l));
        let list = match entry.effect {
            Effect::Link if entry.node.is_some() && none_stands => {
                change.hint = Some(NO_LINK);
                &mut plan.refused
            }
            // To write out what a link has without it (udp) changes nothing.
            Effect::Link if entry.node.is_none() && !both && entry.shown() == "udp" => {
                &mut plan.reload
            }
            // An address that only comes or goes is its node's.
            Effect::Link if stands && (both || entry.node.is_none()) => {
                change.hint = Some(STANDS);
                &mut plan.refused
            }
            Effect::Restart if entry.link.is_some() && !stands => &mut plan.reload,
            // To write a default out, or to leave it out, changes nothing.
            Effect::Restart if !both && entry.default => {
                change.hint = Some(DEFAULT);
                &mut plan.reload
            }
            Effect::Restart => &mut plan.restart,
            Effect::Reload if will.is_none() && path.starts_with("resources.") => {
                change.hint = Some(STAYS);
                &mut plan.restart
            }
            Effect::Reload | Effect::Link => &mut plan.reload,
        };
        list.push(change);
    }
    whole_nodes(&mut plan, &old, &new);
    plan
}

/// Puts nodes that come or go in place of their keys, each as one change.
fn whole_nodes(plan: &mut Plan, old: &Flat<'_>, new: &Flat<'_>) {
    let gone = |id: &&String| !new.nodes.contains_key(*id);
    let come = |id: &&String| !old.nodes.contains_key(*id);
    let gone: Vec<&String> = old.nodes.keys().filter(gone).collect();
    let come: Vec<&String> = new.nodes.keys().filter(come).collect();
    if gone.is_empty() && come.is_empty() {
        return;
    }
    let moved: BTreeSet<String> = gone.iter().chain(&come).map(|id| node_path(id)).collect();
    let of_moved = |c: &Change| {
        c.path
            .rsplit_once('.')
            .is_some_and(|(n, _)| moved.contains(n))
    };
    for list in [&mut plan.reload, &mut plan.restart, &mut plan.refused] {
        list.retain(|c| !of_moved(c));
    }
    for (ids, from, others) in [(&gone, old, (&come, new)), (&come, new, (&gone, old))] {
        for id in ids {
            let node = &from.nodes[*id];
            let again = others.0.iter().any(|o| others.1.nodes[*o].is_like(node));
            let shown = Some(node.to_string());
            let leaves = std::ptr::eq(from, old);
            let change = Change {
                path: node_path(id),
                old: shown.clone().filter(|_| leaves),
                new: shown.filter(|_| !leaves),
                hint: again.then_some(OTHER_ID),
            };
            let list = if again {
                &mut plan.restart
            } else {
                &mut plan.reload
            };
            list.push(change);
        }
    }
    plan.reload.sort_by(|a, b| a.path.cmp(&b.path));
    plan.restart.sort_by(|a, b| a.path.cmp(&b.path));
}

fn node_path(id: &str) -> String {
    format!("nodelist.node[{id}]")
}

/// One key as it counts.
struct Entry<'c> {
    value: &'c ConfValue,
    kind: Kind,
    effect: Effect,
    /// It has the value that corosync takes without it.
    default: bool,
    /// The link that it is of.
    link: Option<u64>,
    /// The node that it is of.
    node: Option<String>,
}

impl Entry<'_> {
    fn shown(&self) -> String {
        // A secret is redacted by `text`.
        printable(self.value.text().as_bytes())
    }

    /// Whether two values mean the same to corosync.
    fn same(&self, other: &Entry<'_>) -> bool {
        let (a, b) = (self.value, other.value);
        if a == b || a.expose() == b.expose() {
            return true;
        }
        let (a, b) = (a.text(), b.text());
        match self.kind {
            Kind::Int { .. } | Kind::U64 | Kind::Flag => {
                let number = |t: &str| t.parse::<i128>().ok();
                number(&a).is_some() && number(&a) == number(&b)
            }
            Kind::Text if self.link.is_some() => {
                let ip = |t: &str| t.parse::<IpAddr>().ok();
                ip(&a).is_some() && ip(&a) == ip(&b)
            }
            _ => false,
        }
    }
}

/// A node in short: `n3 10.0.0.3 10.1.0.3`.
#[derive(Default)]
struct Short {
    name: Option<String>,
    addrs: BTreeMap<u64, String>,
}

impl Short {
    /// Whether it is the same host under another number.
    fn is_like(&self, other: &Short) -> bool {
        (self.name.is_some() && self.name == other.name)
            || self
                .addrs
                .iter()
                .any(|(l, a)| other.addrs.get(l) == Some(a))
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self
            .name
            .iter()
            .chain(self.addrs.values())
            .map(String::as_str)
            .collect();
        f.write_str(&printable(words.join(" ").as_bytes()))
    }
}

/// A configuration by path, as corosync stores it.
#[derive(Default)]
struct Flat<'c> {
    keys: BTreeMap<String, Entry<'c>>,
    nodes: BTreeMap<String, Short>,
}

impl<'c> Flat<'c> {
    fn of(config: &'c Config) -> Flat<'c> {
        let mut flat = Flat::default();
        flat.walk(config.items(), "", "", None);
        flat.nodes(config);
        flat
    }

    /// The links that any node has.
    fn links(&self) -> BTreeSet<u64> {
        self.nodes
            .values()
            .flat_map(|n| n.addrs.keys().copied())
            .collect()
    }

    fn put(
        &mut self,
        path: String,
        key: &'c Key,
        section: &str,
        link: Option<u64>,
        node: Option<&str>,
    ) {
        let opt = options::option(section, &key.name);
        let entry = Entry {
            value: &key.value,
            kind: opt.map_or(Kind::Text, |o| o.kind),
            effect: opt.map_or(Effect::Reload, |o| o.effect),
            default: opt.is_some_and(|o| o.is_default(&key.value.text(), link)),
            link,
            node: node.map(str::to_owned),
        };
        self.keys.insert(path, entry);
    }

    /// All but the nodes; `section` is the path as it is known, `shown` as it tells repeated ones apart.
    fn walk(&mut self, items: &'c [Item], section: &str, shown: &str, link: Option<u64>) {
        let join = super::limits::join;
        let mut members = 0;
        for item in items {
            match item {
                Item::Comment(_) => {}
                Item::Key(key) if section == "uidgid" => {
                    let value = printable(key.value.text().as_bytes());
                    self.put(
                        format!("uidgid.{}[{value}]", key.name),
                        key,
                        section,
                        None,
                        None,
                    );
                }
                // These only name their section.
                Item::Key(key) if section == "totem.interface" && key.name == "linknumber" => {}
                Item::Key(key) => self.put(join(shown, &key.name), key, section, link, None),
                Item::Section(inner) => {
                    let path = join(section, &inner.name);
                    let by = |name| named(inner, name);
                    let (shown, link) = match path.as_str() {
                        "nodelist.node" => continue,
                        "totem.interface" => {
                            let n = by("linknumber").and_then(|v| v.parse().ok()).unwrap_or(0);
                            (format!("{}[{n}]", join(shown, &inner.name)), Some(n))
                        }
                        "totem.interface.member" => {
                            members += 1;
                            (format!("{}[{members}]", join(shown, &inner.name)), link)
                        }
                        "logging.logger_subsys" => (indexed(shown, inner, by("subsys")), None),
                        "logging.logging_daemon" => {
                            let daemon =
                                by("name").map(|n| n + " " + &by("subsys").unwrap_or_default());
                            (indexed(shown, inner, daemon), None)
                        }
                        _ => (join(shown, &inner.name), None),
                    };
                    self.walk(&inner.items, &path, &shown, link);
                }
            }
        }
    }

    /// The nodes by nodeid; where there is none (udp), by first address.
    fn nodes(&mut self, config: &'c Config) {
        for keys in super::nodes::node_keys(config) {
            let last = |name: &str| keys.iter().rev().find(|k| k.name == name);
            let text = |k: &&Key| k.value.text().into_owned();
            let id = last("nodeid").or(last("ring0_addr")).map(text);
            let id = printable(id.unwrap_or_default().as_bytes());
            let mut short = Short {
                name: last("name").map(text),
                addrs: BTreeMap::new(),
            };
            for key in keys {
                let link = options::ring_number(&key.name).and_then(|n| n.parse().ok());
                if let Some(link) = link {
                    short.addrs.insert(link, key.value.text().into_owned());
                }
                if key.name != "nodeid" {
                    let path = format!("{}.{}", node_path(&id), key.name);
                    self.put(path, key, "nodelist.node", link, Some(&id));
                }
            }
            self.nodes.insert(id, short);
        }
    }
}

/// The value of a section's last key of this name.
fn named(section: &Section, name: &str) -> Option<String> {
    section.items.iter().rev().find_map(|i| match i {
        Item::Key(k) if k.name == name => Some(printable(k.value.text().as_bytes())),
        _ => None,
    })
}

fn indexed(shown: &str, section: &Section, by: Option<String>) -> String {
    let by = by.unwrap_or_default();
    format!(
        "{}[{}]",
        super::limits::join(shown, &section.name),
        by.trim()
    )
}
