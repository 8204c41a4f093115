//! Every option of corosync.conf: its type, range, default and unit, and how a change of it takes effect.
//!
//! Sources: corosync.conf(5) and votequorum(5) of corosync 3.1.7 for meaning, unit and default; its
//! `coroparse.c` for types, `totemconfig.c` (`totem_volatile_config_validate`), `votequorum.c`, `logconfig.c`
//! and `wd.c` for ranges, `cfg.c` (`remove_ro_entries`) for what a reload does not change, and knet's
//! `libknet.h` for the bounds of what is handed to it. The rows are in `tables`.

mod nearest;
#[rustfmt::skip]
mod tables;

pub use nearest::{Unknown, unknown_key, unknown_section};
pub use tables::{SECTIONS, SectionSpec, section};

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A decimal integer.
    Int {
        /// The least that works.
        least: i64,
        /// The most that works.
        most: i64,
        /// Whether 0, below the least, stands for the default.
        zero: bool,
        /// The unit, as `ms`; empty where there is none.
        unit: &'static str,
    },
    /// An unsigned 64-bit integer.
    U64,
    /// 0 or 1; corosync takes every other number up to 255 for 1.
    Flag,
    /// One of these words; corosync refuses all else.
    Words(&'static [&'static str]),
    /// One of these words; corosync silently takes the default for all else.
    Lax(&'static [&'static str]),
    /// A traffic class: a name as `cs6`, `af41`, `ef`, or 0 to 63 (corosync after 3.1.7).
    Dscp,
    /// An absolute path.
    Path,
    /// Any text; rules of its own may apply.
    Text,
    /// Of an older corosync: what to write instead, and what corosync still wants its value to be.
    Gone(&'static str, Form),
}

/// What the value of an option of an older corosync must still be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Anything: nobody looks at it.
    Any,
    /// A whole number of 32 bits.
    U32,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// How a change of an option takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// By a reload (`corosync-cfgtool -R`).
    Reload,
    /// By a restart of corosync; a reload reports success and changes nothing.
    Restart,
    /// By a reload on a link that is new; on one that stands, corosync refuses the whole reload.
    Link,
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt {
    /// Its name within its section; `ringN_addr` and `exec_*` stand for a family.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// What corosync takes where it is absent, in words where it is computed; empty where there is none.
    pub default: &'static str,
    /// How a change takes effect.
    pub effect: Effect,
}

impl Opt {
    /// Whether corosync has the same with this value as without the option, on this link where it is of
    /// one; false too where the table does not tell, as of a default that is computed.
    #[must_use]
    pub fn is_default(&self, value: &str, link: Option<u64>) -> bool {
        let number = |text: &str| text.trim().parse::<i128>().ok();
        let (value, base) = (value.trim(), self.default.strip_suffix(" + linknumber"));
        match self.kind {
            Kind::Int { zero: true, .. } if number(value) == Some(0) => true,
            Kind::Int { .. } | Kind::U64 | Kind::Flag => {
                let default = match (base.and_then(number), link) {
                    (Some(base), Some(link)) => Some(base + i128::from(link)),
                    _ => number(self.default),
                };
                default.is_some() && default == number(value)
            }
            Kind::Words(_) | Kind::Lax(_) => value == self.default,
            Kind::Dscp | Kind::Path | Kind::Text | Kind::Gone(..) => false,
        }
    }

    /// What to write, as `a whole number of ms from 30 to 4294967295`.
    #[must_use]
    pub fn wanted(&self) -> String {
        match self.kind {
            Kind::Int { least, most, .. } if least == most => format!("{most}"),
            Kind::Int {
                least,
                most,
                zero,
                unit,
            } => {
                let of = if unit.is_empty() { "" } else { " of " };
                let zero = if zero { ", or 0 for the default" } else { "" };
                format!("a whole number{of}{unit} from {least} to {most}{zero}")
            }
            Kind::U64 => format!("a whole number from 0 to {}", u64::MAX),
            Kind::Flag => "0 or 1".to_owned(),
            Kind::Words(words) | Kind::Lax(words) => format!("one of {}", words.join(", ")),
            Kind::Dscp => "a number from 0 to 63 or a name as cs6, af41 or ef".to_owned(),
            Kind::Path => "an absolute path".to_owned(),
            Kind::Gone(_, Form::U32) => format!("a whole number from 0 to {}", u32::MAX),
            Kind::Gone(_, Form::Words(words)) => format!("one of {}", words.join(", ")),
            Kind::Text | Kind::Gone(_, Form::Any) => "some text".to_owned(),
        }
    }
}

/// The names of a section's options; none of a section that we do not know.
pub fn names(section_path: &str) -> impl Iterator<Item = &'static str> {
    let all = section(section_path).map_or(&[][..], |s| s.options);
    all.iter().map(|o| o.name)
}

/// The option of this section path and name.
#[must_use]
pub fn option(section_path: &str, name: &str) -> Option<&'static Opt> {
    let spec = section(section_path)?;
    spec.options.iter().find(|o| {
        o.name == name
            || match o.name {
                "ringN_addr" => ring_number(name).is_some(),
                "exec_*" => name.starts_with("exec_"),
                _ => false,
            }
    })
}

/// The digits N of `ringN_addr`.
#[must_use]
pub fn ring_number(name: &str) -> Option<&str> {
    let digits = name.strip_prefix("ring")?.strip_suffix("_addr")?;
    let ok = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    ok.then_some(digits)
}

/// Whether only the transport knet reads this key of totem or `totem.interface`.
#[must_use]
pub fn only_knet(name: &str) -> bool {
    name.starts_with("knet_") || matches!(name, "link_mode" | "crypto_model")
}

/// Whether only the transport udp reads this key of `totem.interface`.
#[must_use]
pub fn only_udp(name: &str) -> bool {
    matches!(name, "bindnetaddr" | "mcastaddr" | "broadcast" | "ttl")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_option_is_there_twice_and_every_default_is_valid() {
        let mut seen = BTreeSet::new();
        for s in SECTIONS {
            for o in s.options {
                assert!(seen.insert((s.path, o.name)), "{}.{}", s.path, o.name);
                let Some(word) = o.default.split(' ').next().filter(|d| !d.is_empty()) else {
                    continue;
                };
                match o.kind {
                    Kind::Int { least, most, .. } => {
                        // A default that is computed is told in words.
                        if let Ok(n) = word.parse::<i64>() {
                            let zero = n == 0;
                            assert!(zero || (least..=most).contains(&n), "{}", o.name);
                        }
                    }
                    Kind::Words(w) | Kind::Lax(w) => assert!(w.contains(&word), "{}", o.name),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn families_are_found() {
        let ring = option("nodelist.node", "ring3_addr").unwrap();
        assert_eq!((ring.name, ring.effect), ("ringN_addr", Effect::Link));
        assert!(option("nodelist.node", "ring_addr").is_none());
        assert!(option("quorum.device.heuristics", "exec_ping").is_some());
        assert!(option("resources.process.memory_used", "poll_period").is_some());
        assert!(option("totem", "name").is_none());
    }

    #[test]
    fn a_row_says_what_to_write() {
        let wanted = |s, n| option(s, n).unwrap().wanted();
        assert_eq!(
            wanted("totem", "token"),
            "a whole number of ms from 30 to 1789569706, or 0 for the default"
        );
        assert_eq!(wanted("totem", "version"), "2");
        assert_eq!(wanted("quorum", "two_node"), "0 or 1");
    }
}
