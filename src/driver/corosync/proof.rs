//! Whether the running corosync has the values of a configuration.
//!
//! Where corosync 3.1.7 keeps them: under their own path, but for interfaces (`totem.interface.LINK`), nodes
//! (`nodelist.node.PLACE`), what is logged of a part (`logging.logger_subsys.NAME`) and users and groups
//! (`uidgid.config.uid.NUMBER`). What it keeps elsewhere, changes by itself or does not keep is not asked for.

use super::limits;
use super::model::{Config, Item, Key, Section};
use super::nodes;
use super::options::{self, Effect, Kind};
use super::tools::Cmap;
use std::collections::BTreeMap;

/// What the database must have: key to value, or nothing where the value cannot be told.
pub(super) type Expected = BTreeMap<String, Option<String>>;

/// The sections that corosync reads. It keeps others too, and a reload leaves their old values.
const PROVED: [&str; 6] = [
    "totem",
    "quorum",
    "logging",
    "system",
    "resources",
    "uidgid",
];

/// Where a reload takes out what is no longer in the file. What it leaves in `resources` takes a restart; a
/// user or group that goes may still be allowed by a file in `uidgid.d`.
const CLEARED: [&str; 4] = ["totem.", "quorum.", "logging.", "nodelist."];

/// The keys that corosync has in its database for a configuration.
pub(super) fn expected(config: &Config) -> Expected {
    let mut found = Expected::new();
    for item in config.items() {
        match item {
            Item::Section(s) if PROVED.contains(&s.name.as_str()) => {
                walk(s, &s.name, &s.name, &mut found);
            }
            _ => {}
        }
    }
    for (place, keys) in nodes::node_keys(config).into_iter().enumerate() {
        for key in keys {
            put(
                "nodelist.node",
                &format!("nodelist.node.{place}"),
                key,
                &mut found,
            );
        }
    }
    // Which of a path that is spelled out and its section wins is corosync's affair.
    for path in spelled_out(config.items(), "", false) {
        found.insert(path, None);
    }
    found
}

/// A section: its path as it is known, and the one that its keys are under in the database.
fn walk(section: &Section, known: &str, stored: &str, found: &mut Expected) {
    for item in &section.items {
        match item {
            Item::Key(key) if known == "uidgid" => {
                // A name is turned into its number.
                if let Ok(number) = key.value.text().parse::<u32>() {
                    let path = format!("uidgid.config.{}.{number}", key.name);
                    found.insert(path, Some("1".to_owned()));
                }
            }
            Item::Key(key) => put(known, stored, key, found),
            Item::Section(inner) => {
                let path = limits::join(known, &inner.name);
                let stored = match path.as_str() {
                    "totem.interface" => {
                        let link = last(inner, "linknumber").unwrap_or_else(|| "0".to_owned());
                        link.parse::<u32>().ok().map(|n| format!("{path}.{n}"))
                    }
                    "logging.logger_subsys" => {
                        last(inner, "subsys").map(|name| format!("{path}.{name}"))
                    }
                    "logging.logging_daemon" => {
                        of_daemon(inner, found);
                        None
                    }
                    "totem.interface.member" => None,
                    _ => Some(limits::join(stored, &inner.name)),
                };
                if let Some(stored) = stored {
                    walk(inner, &path, &stored, found);
                }
            }
            Item::Comment(_) => {}
        }
    }
}

/// The value of a section's last key of this name.
fn last(section: &Section, name: &str) -> Option<String> {
    section.items.iter().rev().find_map(|i| match i {
        Item::Key(k) if k.name == name => Some(k.value.text().trim().to_owned()),
        _ => None,
    })
}

/// A `logging_daemon` that is corosync goes over what `logging` says, of one part or of all.
fn of_daemon(section: &Section, found: &mut Expected) {
    let part = last(section, "subsys").map(|s| format!("logging.logger_subsys.{s}"));
    for item in &section.items {
        if let Item::Key(key) = item {
            let to = part.as_deref().unwrap_or("logging");
            found.insert(limits::join(to, &key.name), None);
        }
    }
}

fn put(section: &str, stored: &str, key: &Key, found: &mut Expected) {
    let opt = options::option(section, &key.name);
    // What an interface has and corosync does not know it keeps elsewhere.
    if opt.is_none() && section == "totem.interface" {
        return;
    }
    let gone = opt.is_some_and(|o| matches!(o.kind, Kind::Gone(..)));
    let own = match section {
        // It names the section.
        "totem.interface" if key.name == "linknumber" => return,
        // The nodelist has the address, and corosync puts that here.
        "totem.interface" => key.name == "bindnetaddr",
        // What it watches it writes to.
        _ => {
            section.starts_with("resources.")
                && matches!(key.name.as_str(), "poll_period" | "current")
        }
    };
    // What is wrong about a secret would be told.
    let text = std::str::from_utf8(key.value.expose()).ok();
    let value = text.filter(|_| !gone && !own && !key.value.is_secret());
    found.insert(format!("{stored}.{}", key.name), value.map(str::to_owned));
}

/// The paths of keys that have a dot in their own name, or are in a section that has.
fn spelled_out(items: &[Item], section: &str, inside: bool) -> Vec<String> {
    let of = |item: &Item| match item {
        Item::Key(k) if inside || k.name.contains('.') => vec![limits::join(section, &k.name)],
        Item::Section(s) => {
            let path = limits::join(section, &s.name);
            spelled_out(&s.items, &path, inside || s.name.contains('.'))
        }
        _ => Vec::new(),
    };
    items.iter().flat_map(of).collect()
}

/// The first value that should have changed, and has not.
pub(super) fn differs(from: &Expected, to: &Expected, running: &Cmap) -> Option<String> {
    for (key, value) in to {
        let Some(value) = value.as_ref().filter(|_| from.get(key) != Some(value)) else {
            continue;
        };
        let has = running.get(key).map(|v| v.trim());
        if has.is_none() && stands_for_none(key, value) {
            continue;
        }
        if !has.is_some_and(|has| same(has, value.trim())) {
            return Some(format!(
                "{key} is {} in the running corosync, not {value}",
                has.unwrap_or("absent")
            ));
        }
    }
    let cleared = |key: &&String| CLEARED.iter().any(|c| key.starts_with(c));
    let gone = from
        .iter()
        .filter(|(key, value)| value.is_some() && !to.contains_key(*key));
    let stays = |key: &&String| {
        let has = running.get(*key);
        has.is_some_and(|has| !stands_for_none(key, has))
    };
    let left = gone.map(|(key, _)| key).filter(cleared).find(stays);
    left.map(|key| format!("{key} is still there in the running corosync"))
}

/// Whether a value in the database is the same as none: the default of an option that takes a restart,
/// which a reload neither puts there nor takes away.
pub(super) fn stands_for_none(key: &str, value: &str) -> bool {
    let (stored, name) = key.rsplit_once('.').unwrap_or(("", key));
    let of_link = stored.strip_prefix("totem.interface.");
    let (section, link) = match of_link.and_then(|n| n.parse().ok()) {
        Some(link) => ("totem.interface", Some(link)),
        None => (stored, None),
    };
    let opt = options::option(section, name).filter(|o| o.effect == Effect::Restart);
    opt.is_some_and(|o| o.is_default(value, link))
}

/// corosync writes numbers its own way: `0100` is 100.
pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || matches!((a.parse::<i128>(), b.parse::<i128>()), (Ok(a), Ok(b)) if a == b)
}

/// A reload that is stuck or failed, as corosync notes it.
pub(super) fn unsettled(running: &Cmap) -> Option<String> {
    let is = |key: &str, value: &str| running.get(key).is_some_and(|v| v == value);
    if is("config.totemconfig_reload_in_progress", "1") || is("config.reload_in_progress", "1") {
        return Some("the reload is stuck: it is still in progress".to_owned());
    }
    match running.get("config.reload_status") {
        Some(status) if status != "1" => Some(format!("corosync says reload_status {status}")),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cmap(of: &[(&str, &str)]) -> Cmap {
        of.iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn wanted(of: &[(&str, &str)]) -> Expected {
        let some = cmap(of).into_iter().map(|(k, v)| (k, Some(v)));
        some.collect()
    }

    fn of(text: &str) -> Vec<String> {
        let found = expected(&super::super::parse::parse(text.as_bytes()).unwrap());
        let line = |(key, value): (String, Option<String>)| match value {
            Some(value) => format!("{key} {value}"),
            None => format!("{key} ?"),
        };
        found.into_iter().map(line).collect()
    }

    #[test]
    fn every_section_is_looked_for_where_corosync_keeps_it() {
        assert_eq!(
            of(
                "totem {\nrrp_mode: none\nkey: a\ntoken: 01\ninterface {\nlinknumber: 1\nknet_pong_count: 3\n\
                bindnetaddr: a\nstrange: 1\nmember {\nmemberaddr: a\n}\n}\ninterface {\nmcastport: 1\n}\n}\n"
            ),
            [
                "totem.interface.0.mcastport 1",
                "totem.interface.1.bindnetaddr ?",
                "totem.interface.1.knet_pong_count 3",
                "totem.key ?",
                "totem.rrp_mode ?",
                "totem.token 01",
            ]
        );
        assert_eq!(
            of(
                "nodelist {\nnode {\nnodeid: 1\n}\nnode {\nring0_addr: a\nquorum_votes: 2\n}\n}\n\
                quorum {\ndevice {\nmodel: net\nnet {\nhost: h\n}\n}\n}\nuidgid {\nuid: 007\ngid: users\n}\n"
            ),
            [
                "nodelist.node.0.nodeid 1",
                "nodelist.node.1.quorum_votes 2",
                "nodelist.node.1.ring0_addr a",
                "quorum.device.model net",
                "quorum.device.net.host h",
                "uidgid.config.uid.7 1",
            ]
        );
        assert_eq!(
            of(
                "logging {\ndebug: on\nlogger_subsys {\nsubsys: QUORUM\ndebug: off\n}\nlogger_subsys {\ndebug: on\n}\n\
                logging_daemon {\nname: corosync\ndebug: off\n}\n}\nsystem {\nsched_rr: no\n}\n\
                resources {\nwatchdog_timeout: 5\nsystem {\nmemory_used {\nmax: 8\npoll_period: 5\n}\n}\n}\n\
                totem.token: 5\nstrange {\nx: y\n}\n"
            ),
            [
                "logging.debug ?",
                "logging.logger_subsys.QUORUM.debug off",
                "logging.logger_subsys.QUORUM.subsys QUORUM",
                "logging.name ?",
                "resources.system.memory_used.max 8",
                "resources.system.memory_used.poll_period ?",
                "resources.watchdog_timeout 5",
                "system.sched_rr no",
                "totem.token ?",
            ]
        );
    }

    #[test]
    fn what_cannot_be_told_is_not_asked_for() {
        let none = Expected::new();
        let unknown = Expected::from([("totem.x".to_owned(), None)]);
        assert_eq!(differs(&none, &unknown, &cmap(&[])), None);
        assert_eq!(differs(&unknown, &none, &cmap(&[("totem.x", "1")])), None);
        let told = wanted(&[
            ("totem.x", "1"),
            ("resources.x", "1"),
            ("uidgid.config.uid.7", "1"),
        ]);
        let still = cmap(&[
            ("totem.x", "1"),
            ("resources.x", "1"),
            ("uidgid.config.uid.7", "1"),
        ]);
        assert_eq!(differs(&told, &unknown, &still), None);
        assert!(
            differs(&told, &none, &still)
                .unwrap()
                .contains("totem.x is still")
        );
        let negative = wanted(&[("totem.x", "-01")]);
        assert_eq!(differs(&none, &negative, &cmap(&[("totem.x", "-1")])), None);
    }

    #[test]
    fn a_value_that_did_not_change_is_named() {
        let (from, to) = (
            wanted(&[("totem.token", "1000"), ("totem.join", "50")]),
            wanted(&[("totem.token", "2000")]),
        );
        assert_eq!(differs(&from, &to, &cmap(&[("totem.token", "2000")])), None);
        assert_eq!(
            differs(&from, &to, &cmap(&[("totem.token", "1000")])).unwrap(),
            "totem.token is 1000 in the running corosync, not 2000"
        );
        assert_eq!(
            differs(
                &from,
                &to,
                &cmap(&[("totem.token", "2000"), ("totem.join", "50")])
            )
            .unwrap(),
            "totem.join is still there in the running corosync"
        );
        assert_eq!(
            differs(&to, &to, &cmap(&[])),
            None,
            "what did not change is not asked for"
        );
    }

    #[test]
    fn a_default_may_be_there_or_not_where_a_reload_does_not_change_it() {
        let none = Expected::new();
        for (key, value) in [
            ("system.sched_rr", "yes"),
            ("totem.transport", "knet"),
            ("totem.interface.1.mcastport", "5406"),
        ] {
            let told = wanted(&[(key, value)]);
            assert_eq!(differs(&none, &told, &cmap(&[])), None, "{key}");
            let still = cmap(&[(key, value)]);
            assert_eq!(differs(&told, &none, &still), None, "{key}");
            assert!(differs(&none, &told, &cmap(&[(key, "x")])).is_some());
        }
        for (key, value) in [
            ("system.sched_rr", "no"),
            ("totem.interface.0.mcastport", "5406"),
            // What is reloaded has to be there.
            ("totem.token", "3000"),
        ] {
            assert!(differs(&none, &wanted(&[(key, value)]), &cmap(&[])).is_some());
        }
        let other = cmap(&[("totem.transport", "udpu")]);
        assert!(differs(&wanted(&[("totem.transport", "knet")]), &none, &other).is_some());
    }

    #[test]
    fn a_stuck_or_failed_reload_is_seen() {
        assert!(unsettled(&cmap(&[("config.totemconfig_reload_in_progress", "1")])).is_some());
        assert!(unsettled(&cmap(&[("config.reload_status", "7")])).is_some());
        assert!(unsettled(&cmap(&[("config.reload_status", "1")])).is_none());
        assert!(unsettled(&cmap(&[])).is_none());
    }
}
