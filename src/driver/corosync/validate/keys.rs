//! The rules about single keys and sections: the table of `options`, and names that it does not hold.

use super::super::finding::printable;
use super::super::model::{Item, Key, Section};
use super::super::options::{self, Form, Kind, Opt, Unknown};
use super::{Check, join};
use std::collections::HashMap;

impl Check<'_> {
    /// Goes through all keys and sections, whose section is known.
    pub(super) fn keys(&mut self, items: &[Item], section: &str) {
        self.repeated(items, section);
        for item in items {
            match item {
                Item::Key(key) => self.key(key, section),
                Item::Section(inner) => {
                    let path = join(section, &inner.name);
                    if self.section(inner, section, &path) {
                        self.keys(&inner.items, &path);
                    }
                }
                Item::Comment(_) => {}
            }
        }
    }

    /// A key given twice in one section with different values: the last one wins in corosync.
    fn repeated(&mut self, items: &[Item], section: &str) {
        // In these a key may be given again and again.
        if section == "uidgid" || section == "totem.interface.member" {
            return;
        }
        let mut last: HashMap<&str, &Key> = HashMap::new();
        for item in items {
            let Item::Key(key) = item else { continue };
            if let Some(before) = last.insert(&key.name, key) {
                if before.value != key.value {
                    let message = format!(
                        "it is given again in line {}, and corosync takes the last; remove one",
                        key.at.line
                    );
                    self.warn(before.at, &join(section, &key.name), message);
                }
            }
        }
    }

    fn key(&mut self, key: &Key, section: &str) {
        let path = join(section, &key.name);
        let known = options::option(section, &key.name);
        // Its name may be wrong; nothing is said that quotes a value.
        if key.value.is_secret() {
            return match known {
                Some(_) => {}
                None => self.unknown(key, section, &path),
            };
        }
        let bytes = key.value.expose();
        // corosync 3.1.7 keeps it, later versions take it for a blank: half a character goes.
        if bytes.first() == Some(&0xa0) || bytes.last() == Some(&0xa0) {
            let message = "the value begins or ends with byte 0xA0, which newer versions of corosync cut off; remove it";
            self.warn(key.value_at, &path, message);
        }
        let Some(opt) = known else {
            return self.unknown(key, section, &path);
        };
        if opt.name == "ringN_addr" {
            self.link_number(key, &path);
        }
        let value = std::str::from_utf8(bytes).unwrap_or_default();
        if path == "totem.config_version" && value.parse() == Ok(u64::MAX) {
            let message = "no greater version could follow, so that nothing could be changed any more; write a smaller number";
            return self.error(key.value_at, &path, message);
        }
        self.value(key, &path, opt, value);
        let knet = self.knet;
        let other = match section {
            "totem" | "totem.interface" if !knet && options::only_knet(opt.name) => "knet",
            "totem.interface" if !self.udp && opt.name == "ttl" => return,
            "totem.interface" if !self.udp && options::only_udp(opt.name) => "udp",
            _ => return,
        };
        let message = format!("only the transport {other} reads it; remove it");
        self.warn(key.at, &path, message);
    }

    /// Holds a value against its row.
    fn value(&mut self, key: &Key, path: &str, opt: &Opt, value: &str) {
        let number = value.parse::<i64>().ok();
        let in_range = |least: i64, most: i64| number.is_some_and(|n| (least..=most).contains(&n));
        let fits = match opt.kind {
            Kind::Int { zero: true, .. } if number == Some(0) => {
                let message = format!(
                    "0 stands for the default here, {}; write that, or remove it",
                    opt.default
                );
                return self.warn(key.value_at, path, message);
            }
            Kind::Int { least, most, .. } => in_range(least, most),
            Kind::U64 => value.parse::<u64>().is_ok(),
            Kind::Flag if in_range(2, 255) => {
                let message = format!("corosync takes {value} for 1; write 0 or 1");
                return self.warn(key.value_at, path, message);
            }
            Kind::Flag => in_range(0, 1),
            Kind::Words(words) => words.contains(&value),
            Kind::Lax(words) if !words.contains(&value) => {
                let message = format!(
                    "\"{}\" is none of the words that corosync knows here, and it silently takes {}; write one of {}",
                    printable(key.value.expose()),
                    opt.default,
                    words.join(", ")
                );
                // These protect the cluster: who wrote them meant them to.
                return if matches!(opt.name, "secauth" | "block_unlisted_ips") {
                    self.error(key.value_at, path, message);
                } else {
                    self.warn(key.value_at, path, message);
                };
            }
            Kind::Lax(_) | Kind::Text => true,
            Kind::Dscp => {
                let name = value.strip_prefix("cs").or(value.strip_prefix("af"));
                let name = value == "ef" || name.is_some_and(|n| n.parse::<u8>().is_ok());
                let message = "corosync 3.1.7 does not read it yet; it is of 3.1.8 and later";
                self.warn(key.at, path, message);
                in_range(0, 63) || name
            }
            Kind::Path => value.starts_with('/'),
            Kind::Gone(instead, form) => {
                self.warn(key.at, path, instead);
                match form {
                    Form::Any => true,
                    Form::U32 => in_range(0, i64::from(u32::MAX)),
                    Form::Words(words) => words.contains(&value),
                }
            }
        };
        if fits {
            return;
        }
        let shown = printable(key.value.expose());
        if path == "totem.knet_compression_model" && value == "none" {
            let message = "corosync 3.1.7 refuses the word none, although that is what it takes without this key; remove it";
            return self.error(key.value_at, path, message);
        }
        let default = match opt.default {
            "" => String::new(),
            default => format!(" (without it: {default})"),
        };
        let message = format!("\"{shown}\" is not valid; write {}{default}", opt.wanted());
        self.error(key.value_at, path, message);
    }

    /// N of `ringN_addr` must be a link, and written as corosync looks it up.
    fn link_number(&mut self, key: &Key, path: &str) {
        let digits = options::ring_number(&key.name).unwrap_or_default();
        let link = digits.parse::<u8>().ok().filter(|n| *n <= 7);
        let message = match link {
            Some(_) if digits.len() == 1 => return self.address(key, path),
            Some(n) => format!("write ring{n}_addr, without the zero"),
            None => "links are numbered from 0 to 7; write ring0_addr to ring7_addr".to_owned(),
        };
        self.error(key.at, path, message);
    }

    /// A key that is in no table: kept, since corosync ignores it, and told, since it may be a slip.
    fn unknown(&mut self, key: &Key, section: &str, path: &str) {
        if section == "uidgid" || section == "totem.interface.member" {
            let only = if section == "uidgid" {
                "uid and gid are"
            } else {
                "memberaddr is"
            };
            let message = format!("only {only} allowed in {section}; remove it");
            return self.error(key.at, path, message);
        }
        // A key that spells its path out belongs to no section for corosync, and numbers stay text.
        if let Some((whole, name)) = path.rsplit_once('.') {
            if let Some(opt) = options::option(whole, name).filter(|_| key.name.contains('.')) {
                let message = format!(
                    "write \"{name}: ...\" inside {whole}; corosync does not read it from here"
                );
                let text = matches!(
                    opt.kind,
                    Kind::Text | Kind::Words(_) | Kind::Lax(_) | Kind::Path
                );
                return if text {
                    let message = format!("write \"{name}: ...\" inside {whole}");
                    self.warn(key.at, path, message);
                } else {
                    self.error(key.at, path, message);
                };
            }
        }
        if !self.room_for_warnings() {
            return self.warn(key.at, path, "");
        }
        let guess = match options::unknown_key(section, &key.name) {
            Unknown::Near(name) => format!("did you mean {name}?"),
            Unknown::Elsewhere("") => "remove it".to_owned(),
            Unknown::Elsewhere(place) => format!("there is one in {place}; move it there"),
            Unknown::Strange => "correct it, or remove it".to_owned(),
        };
        self.warn(
            key.at,
            path,
            format!("corosync knows no such key, and ignores it; {guess}"),
        );
    }

    /// Whether the section is known, so that its keys can be checked.
    fn section(&mut self, section: &Section, parent: &str, path: &str) -> bool {
        let needs = match path {
            "logging.logger_subsys" => "subsys",
            "logging.logging_daemon" => "name",
            _ => "",
        };
        let has = |name| {
            let mut items = section.items.iter();
            items.any(|i| matches!(i, Item::Key(k) if k.name == name))
        };
        if !needs.is_empty() && !has(needs) {
            let message = format!("it has no {needs}; add \"{needs}: NAME\"");
            self.error(section.at, path, message);
        }
        if matches!(parent, "uidgid" | "totem.interface.member") {
            let message = format!("{parent} cannot hold sections; remove it");
            self.error(section.at, path, message);
            return false;
        }
        if path.starts_with("nodelist.node.") {
            let message = "corosync ends the node where a section inside it ends; move what follows before it, or remove it";
            self.warn(section.at, path, message);
            return false;
        }
        match options::section(path) {
            Some(spec) if spec.gone => {
                let message = "corosync 3 does not read this section; remove it";
                self.warn(section.at, path, message);
                false
            }
            Some(_) => true,
            None => {
                if !self.room_for_warnings() {
                    self.warn(section.at, path, "");
                    return false;
                }
                // A section that spells its path out is one whose own parts are all known.
                let guess = match options::unknown_section(parent, &section.name) {
                    Unknown::Near(name) => format!("did you mean {name}?"),
                    Unknown::Elsewhere(place) => format!("it is known as {place}; move it there"),
                    Unknown::Strange => "correct it, or remove it".to_owned(),
                };
                let message =
                    format!("corosync knows no such section, and ignores what is in it; {guess}");
                self.warn(section.at, path, message);
                false
            }
        }
    }
}
