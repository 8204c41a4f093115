//! `s01`: the first version of the configuration model (the C design's `corosync_config.u.s01`).
//!
//! An ordered tree that keeps all that corosync.conf can hold: keys and sections that nobody here
//! knows, repeated ones, whole-line comments. What it does not keep is lay-out: indentation, empty
//! lines, blanks around a value.
//!
//! **Order.** Top-level totem sections come first, each with the comments right above it; all else
//! stays in its order. [`Config::new`] sees to that, so every `Config` has it, two files that differ
//! in it alone are equal, and parse, render, parse gives the same model. corosync does not care for
//! the order of different sections. (A file that writes `totem.…` outside of a totem section could
//! care, and is left in its order.)

use super::limits;
use super::value::{ConfValue, is_secret, looks_like_key};
use crate::types::ConfigVersion;

/// The version of this model, as written in clusmgr's state.
pub const MODEL_VERSION: &str = "s01";

/// Where something stood in its file, from 1; 0 if it came from no file.
///
/// All places are equal, so that models compare by content.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pos {
    /// The line.
    pub line: u32,
    /// The column, in bytes.
    pub column: u32,
}

impl PartialEq for Pos {
    fn eq(&self, _: &Pos) -> bool {
        true
    }
}

impl Eq for Pos {}

/// `name: value`. The value may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub name: String,
    /// The value, without blanks around it.
    pub value: ConfValue,
    /// Where the name stood.
    pub at: Pos,
    /// Where the value stood; right after the colon if it is empty.
    pub value_at: Pos,
}

/// `name { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The name.
    pub name: String,
    /// What is in it, in order.
    pub items: Vec<Item>,
    /// Where the name stood.
    pub at: Pos,
}

/// One thing in a section or at top level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A whole-line comment, without its `#` and without blanks at its end.
    Comment(ConfValue),
    /// A key with its value.
    Key(Key),
    /// A section.
    Section(Section),
}

impl Item {
    /// A key from no file.
    #[must_use]
    pub fn key(name: &str, value: &str) -> Item {
        Item::Key(Key {
            name: name.to_owned(),
            value: value.into(),
            at: Pos::default(),
            value_at: Pos::default(),
        })
    }

    /// A section from no file.
    #[must_use]
    pub fn section(name: &str, items: Vec<Item>) -> Item {
        Item::Section(Section {
            name: name.to_owned(),
            items,
            at: Pos::default(),
        })
    }
}

/// A whole configuration, model version `s01`. Equal means equal content, wherever it stood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    items: Vec<Item>,
}

impl Config {
    /// A configuration of these top-level items: puts totem first and finds the secrets.
    #[must_use]
    pub fn new(items: Vec<Item>) -> Config {
        let mut items = totem_first(items);
        mark_secrets(&mut items, "");
        Config { items }
    }

    /// The top-level items.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The last key with this path, as `totem.token`; the last of a repeated key wins in corosync.
    ///
    /// `node {}` and `interface {}` repeat: of their keys this gives the very last. Use
    /// [`Config::nodes`] for the nodes.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Key> {
        find(&self.items, path)
    }

    /// The value of the last key with this path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&ConfValue> {
        self.find(path).map(|k| &k.value)
    }

    /// The value as text, if it is there, UTF-8 and no secret.
    #[must_use]
    pub fn get_str(&self, path: &str) -> Option<&str> {
        let value = self.get(path).filter(|v| !v.is_secret())?;
        std::str::from_utf8(value.expose()).ok()
    }

    /// The first top-level section of this name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.items.iter().find_map(|i| match i {
            Item::Section(s) if s.name == name => Some(s),
            _ => None,
        })
    }

    /// `totem.config_version`; 0 where there is none or it is no number (which `validate` finds).
    #[must_use]
    pub fn config_version(&self) -> ConfigVersion {
        ConfigVersion(
            self.get_str("totem.config_version")
                .and_then(|v| v.parse().ok())
                .unwrap_or(0),
        )
    }

    /// Sets `totem.config_version`, as [`Config::set_totem`].
    pub fn set_config_version(&mut self, version: ConfigVersion) {
        self.set_totem("config_version", &version.to_string());
    }

    /// Sets a key of the totem section: wherever it stands, or else after `version` in the first
    /// totem section, which is made if there is none.
    pub fn set_totem(&mut self, name: &str, value: &str) {
        self.set("totem", name, value);
    }

    /// The same of any top-level section.
    pub fn set(&mut self, section: &str, name: &str, value: &str) {
        let wanted = limits::join(section, name);
        let mut found = 0;
        visit_keys(&mut self.items, "", &mut |path, key| {
            if path == wanted {
                found += 1;
                key.value = ConfValue::from(value);
            }
        });
        if found > 0 {
            return;
        }
        let is_it = |i: &Item| matches!(i, Item::Section(s) if s.name == section);
        let at = self.items.iter().position(is_it).unwrap_or_else(|| {
            self.items.insert(0, Item::section(section, Vec::new()));
            0
        });
        if let Some(Item::Section(it)) = self.items.get_mut(at) {
            let is_version = |i: &Item| matches!(i, Item::Key(k) if k.name == "version");
            let after = it.items.iter().position(is_version).map_or(0, |p| p + 1);
            it.items.insert(after, Item::key(name, value));
        }
    }

    /// Sets a key of the node at this place of the nodelist, from 0; nothing if there is no such node.
    pub fn set_of_node(&mut self, place: usize, name: &str, value: &str) {
        let lists = self.items.iter_mut().filter_map(|i| match i {
            Item::Section(s) if s.name == "nodelist" => Some(&mut s.items),
            _ => None,
        });
        let mut nodes = lists.flatten().filter_map(|i| match i {
            Item::Section(s) if s.name == "node" => Some(&mut s.items),
            _ => None,
        });
        let Some(node) = nodes.nth(place) else { return };
        node.retain(|i| !matches!(i, Item::Key(k) if k.name == name));
        node.push(Item::key(name, value));
    }
}

/// The last key with a path, looked for from the end.
fn find<'a>(items: &'a [Item], path: &str) -> Option<&'a Key> {
    items.iter().rev().find_map(|item| match item {
        Item::Key(k) => (k.name == path).then_some(k),
        Item::Section(s) => {
            let rest = path.strip_prefix(s.name.as_str())?.strip_prefix('.')?;
            find(&s.items, rest)
        }
        Item::Comment(_) => None,
    })
}

/// Calls `with` for every key, with its path.
fn visit_keys(items: &mut [Item], section: &str, with: &mut dyn FnMut(&str, &mut Key)) {
    for item in items {
        match item {
            Item::Key(k) => with(&limits::join(section, &k.name), k),
            Item::Section(s) => {
                let path = limits::join(section, &s.name);
                visit_keys(&mut s.items, &path, with);
            }
            Item::Comment(_) => {}
        }
    }
}

/// Puts the top-level totem sections first, each with the comments right above it.
fn totem_first(items: Vec<Item>) -> Vec<Item> {
    let is_totem = |i: &Item| matches!(i, Item::Section(s) if s.name == "totem");
    let spelled_out = |i: &Item| match i {
        Item::Section(s) => s.name.starts_with("totem."),
        Item::Key(k) => k.name.starts_with("totem."),
        Item::Comment(_) => false,
    };
    if items.iter().any(spelled_out) {
        return items;
    }
    let mut first = Vec::with_capacity(items.len());
    let mut rest = Vec::new();
    let mut comments = Vec::new();
    for item in items {
        if matches!(item, Item::Comment(_)) {
            comments.push(item);
            continue;
        }
        let to = if is_totem(&item) {
            &mut first
        } else {
            &mut rest
        };
        to.append(&mut comments);
        to.push(item);
    }
    first.append(&mut rest);
    first.append(&mut comments);
    first
}

/// Marks the values of `totem.key` and of what may be one, and comments that may be one that was
/// commented out.
fn mark_secrets(items: &mut [Item], section: &str) {
    for item in items {
        match item {
            Item::Key(k) => {
                let secret = is_secret(section, &k.name, k.value.expose());
                k.value.set_secret(secret);
            }
            Item::Section(s) => {
                let path = limits::join(section, &s.name);
                mark_secrets(&mut s.items, &path);
            }
            Item::Comment(c) => c.set_secret(looks_like_key(c.expose())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::REDACTED;
    use super::*;

    fn sample() -> Config {
        Config::new(vec![
            Item::Comment(" logs".into()),
            Item::section("logging", vec![Item::key("debug", "off")]),
            Item::Comment(" ring".into()),
            Item::section(
                "totem",
                vec![
                    Item::key("version", "2"),
                    Item::key("token", "1000"),
                    Item::key("key", "SECRETSECRET"),
                    Item::section("interface", vec![Item::key("linknumber", "0")]),
                    Item::Comment("key : OLDSECRET".into()),
                ],
            ),
            Item::section("totem", vec![Item::key("token", "2000")]),
            Item::key("abc", "x"),
            Item::Comment(" end".into()),
        ])
    }

    #[test]
    fn totem_is_first_and_takes_its_comment_along() {
        let names: Vec<String> = sample()
            .items()
            .iter()
            .map(|i| match i {
                Item::Comment(c) => format!("#{c}"),
                Item::Key(k) => k.name.clone(),
                Item::Section(s) => s.name.clone(),
            })
            .collect();
        let want = [
            "# ring", "totem", "totem", "# logs", "logging", "abc", "# end",
        ];
        assert_eq!(names, want);
        // Where the order can matter, it stays.
        let dotted = vec![
            Item::key("totem.token", "1"),
            Item::section("totem", vec![Item::key("token", "2")]),
        ];
        assert_eq!(Config::new(dotted.clone()).items(), dotted);
    }

    #[test]
    fn the_last_of_a_repeated_key_wins() {
        let c = sample();
        assert_eq!(c.get_str("totem.token"), Some("2000"));
        assert_eq!(c.get_str("totem.interface.linknumber"), Some("0"));
        assert_eq!(c.get_str("totem"), None);
        assert_eq!(c.get_str("totem.tok"), None);
        assert_eq!(c.get_str("abc"), Some("x"));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let c = sample();
        let shown = format!("{c:?} {:?}", c.get("totem.key"));
        assert!(!shown.contains("SECRET"), "{shown}");
        assert!(shown.contains(REDACTED));
        assert_eq!(c.get_str("totem.key"), None);
        assert_eq!(
            c.get("totem.key").map(ConfValue::expose),
            Some(b"SECRETSECRET".as_slice())
        );
    }

    #[test]
    fn config_version_is_set_where_it_stands_or_after_version() {
        let mut c = sample();
        assert_eq!(c.config_version(), ConfigVersion(0));
        c.set_config_version(ConfigVersion(7));
        assert_eq!(c.config_version(), ConfigVersion(7));
        c.set_config_version(ConfigVersion(8));
        assert_eq!(c.config_version(), ConfigVersion(8));
        let totem = c.section("totem").map(|s| s.items.len());
        assert_eq!(totem, Some(6));
        let mut empty = Config::default();
        empty.set_config_version(ConfigVersion(1));
        assert_eq!(empty.config_version(), ConfigVersion(1));
    }

    #[test]
    fn places_do_not_count_in_equality() {
        let mut a = sample();
        if let Some(Item::Section(s)) = a.items.get_mut(1) {
            s.at = Pos { line: 9, column: 9 };
        }
        assert_eq!(a, sample());
    }
}
