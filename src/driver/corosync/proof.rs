//! Whether the running corosync has the values of a configuration.

use super::model::{Config, Item};
use super::nodes;
use super::tools::Cmap;

/// The keys that corosync has in its database for a configuration: those that it takes as they stand.
pub(super) fn expected(config: &Config) -> Cmap {
    let mut cmap = Cmap::new();
    for item in config.items() {
        let Item::Section(section) = item else {
            continue;
        };
        if !["totem", "quorum", "logging"].contains(&section.name.as_str()) {
            continue;
        }
        for item in &section.items {
            let Item::Key(key) = item else { continue };
            // What is wrong about one would be told.
            if !key.value.is_secret() {
                cmap.insert(
                    format!("{}.{}", section.name, key.name),
                    key.value.text().into_owned(),
                );
            }
        }
    }
    for (place, node) in config.nodes().iter().enumerate() {
        let path = |key: &str| format!("nodelist.node.{place}.{key}");
        cmap.extend(node.nodeid.map(|id| (path("nodeid"), id.to_string())));
        cmap.extend(node.name.clone().map(|name| (path("name"), name)));
        for (nodes::LinkId(link), addr) in &node.addrs {
            cmap.insert(path(&format!("ring{link}_addr")), addr.clone());
        }
    }
    cmap
}

/// The first value that should have changed, and has not.
pub(super) fn differs(from: &Cmap, to: &Cmap, running: &Cmap) -> Option<String> {
    let changed = to
        .iter()
        .filter(|(key, value)| from.get(*key) != Some(value));
    for (key, value) in changed {
        let has = running.get(key).map(|v| v.trim());
        if !has.is_some_and(|has| same(has, value.trim())) {
            return Some(format!(
                "{key} is {} in the running corosync, not {value}",
                has.unwrap_or("absent")
            ));
        }
    }
    let gone = from.keys().filter(|key| !to.contains_key(*key));
    let left = gone.into_iter().find(|key| running.contains_key(*key));
    left.map(|key| format!("{key} is still there in the running corosync"))
}

/// corosync writes numbers its own way: `0100` is 100.
pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || matches!((a.parse::<u64>(), b.parse::<u64>()), (Ok(a), Ok(b)) if a == b)
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

    #[test]
    fn a_value_that_did_not_change_is_named() {
        let (from, to) = (
            cmap(&[("totem.token", "1000"), ("totem.join", "50")]),
            cmap(&[("totem.token", "2000")]),
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
    fn a_stuck_or_failed_reload_is_seen() {
        assert!(unsettled(&cmap(&[("config.totemconfig_reload_in_progress", "1")])).is_some());
        assert!(unsettled(&cmap(&[("config.reload_status", "7")])).is_some());
        assert!(unsettled(&cmap(&[("config.reload_status", "1")])).is_none());
        assert!(unsettled(&cmap(&[])).is_none());
    }
}
