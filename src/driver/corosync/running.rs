//! What the running corosync has, as its database tells: a change is planned against that. The live
//! file may say something else: a hand edit that nobody reloaded, one that is no good, none at all.

use super::model::Config;
use super::proof::{Expected, expected, same, stands_for_none};
use super::tools::Cmap;
use crate::types::ConfigVersion;
use std::collections::BTreeSet;

/// The database of a corosync that runs.
pub(super) struct Running(pub(super) Cmap);

impl Running {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|v| v.trim())
    }

    /// The version that it has read last.
    pub(super) fn version(&self) -> Option<ConfigVersion> {
        let version = self.get("totem.config_version")?;
        version.parse().ok().map(ConfigVersion)
    }

    /// The newest version that another node of the ring has read.
    pub(super) fn version_of_others(&self) -> Option<ConfigVersion> {
        let of = |id: &u64| {
            let version = self.get(&format!("runtime.members.{id}.config_version"))?;
            version.parse().ok().map(ConfigVersion)
        };
        self.others().iter().filter_map(of).max()
    }

    /// The nodes that are in a ring with this one, by nodeid.
    fn others(&self) -> Vec<u64> {
        let place = self.get("nodelist.local_node_pos").unwrap_or_default();
        let own = self.get(&format!("nodelist.node.{place}.nodeid"));
        let joined = |(key, value): (&String, &String)| {
            let id = key.strip_prefix("runtime.members.")?;
            let id = id.strip_suffix(".status")?;
            (value.trim() == "joined" && Some(id) != own).then(|| id.parse().ok())?
        };
        let mut all: Vec<u64> = self.0.iter().filter_map(joined).collect();
        all.sort_unstable();
        all
    }

    /// What to know of a reload where others are in the ring.
    pub(super) fn reaches(&self) -> Option<String> {
        let others: Vec<String> = self.others().iter().map(ToString::to_string).collect();
        let which = match others.len() {
            0 => return None,
            1 => "node",
            _ => "nodes",
        };
        Some(format!(
            "the reload is not of this node only: {which} {} will read their own corosync.conf again too, \
             with whatever was edited there",
            others.join(", ")
        ))
    }

    /// Its configuration: that of these texts of which it has most, the first of equals, with its own
    /// values where it has others. What the database does not have is taken from the text.
    pub(super) fn config(&self, texts: &[&Config], wanted: &Config) -> Config {
        let all: Vec<(&Config, Expected)> = texts.iter().map(|t| (*t, expected(t))).collect();
        let mut known: BTreeSet<String> = expected(wanted).into_keys().collect();
        known.extend(all.iter().flat_map(|(_, keys)| keys.keys().cloned()));
        let agrees = |keys: &Expected, key: &str| match (keys.get(key), self.get(key)) {
            (Some(Some(text)), Some(running)) => same(text.trim(), running),
            // What corosync makes of it cannot be told.
            (Some(None), _) => true,
            (Some(Some(one)), None) if stands_for_none(key, one) => true,
            (None, Some(one)) if stands_for_none(key, one) => true,
            (text, running) => text.is_none() == running.is_none(),
        };
        let off = |keys: &Expected| known.iter().filter(|k| !agrees(keys, k)).count();
        let best = all.into_iter().min_by_key(|(_, keys)| off(keys));
        let (mut config, keys) = best.map_or_else(Default::default, |(c, keys)| (c.clone(), keys));
        for key in known.iter().filter(|k| !agrees(&keys, k)) {
            if let Some(value) = self.get(key) {
                put(&mut config, key, value);
            }
        }
        config
    }
}

/// Sets what the database calls `totem.token` or `nodelist.node.0.ring0_addr`.
fn put(config: &mut Config, key: &str, value: &str) {
    let words: Vec<&str> = key.split('.').collect();
    match words[..] {
        [section, name] => config.set(section, name, value),
        ["nodelist", "node", place, name] => {
            if let Ok(place) = place.parse() {
                config.set_of_node(place, name, value);
            }
        }
        // Of a section that repeats: the text stands for it.
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::parse::parse;
    use super::super::plan::plan;
    use super::*;

    fn text(version: u64, more: &str) -> Config {
        let text = format!(
            "totem {{\n version: 2\n config_version: {version}\n{more}}}\nnodelist {{\n node {{\n nodeid: 1\n \
             ring0_addr: 10.0.0.1\n }}\n node {{\n nodeid: 2\n ring0_addr: 10.0.0.2\n }}\n}}\n"
        );
        parse(text.as_bytes()).unwrap()
    }

    fn database(of: &Config) -> Cmap {
        let known = |(key, value): (String, Option<String>)| Some((key, value?));
        expected(of).into_iter().filter_map(known).collect()
    }

    #[test]
    fn the_text_that_runs_is_told_from_one_that_nobody_has_read() {
        let (held, edited) = (text(1, ""), text(1, " cluster_name: other\n"));
        let new = text(2, "");
        for (runs, other) in [(&held, &edited), (&edited, &held)] {
            let running = Running(database(runs));
            for texts in [[runs, other], [other, runs]] {
                assert_eq!(running.config(&texts, &new), *runs);
            }
        }
    }

    #[test]
    fn values_that_no_text_has_are_those_of_the_running_one() {
        let held = text(1, " token: 01000\n");
        let mut cmap = database(&text(100, " token: 1000\n join: 60\n"));
        cmap.insert("nodelist.node.1.ring0_addr".into(), "10.0.0.7".into());
        let new = text(101, " token: 1000\n join: 50\n");
        let running = Running(cmap);
        assert_eq!(running.version(), Some(ConfigVersion(100)));
        let plan = plan(&running.config(&[&held], &new), &new);
        let of = |list: &[super::super::plan::Change]| {
            list.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&plan.reload),
            ["totem.config_version: 100 → 101", "totem.join: 60 → 50"]
        );
        let moved = "nodelist.node[2].ring0_addr: 10.0.0.7 → 10.0.0.2";
        assert_eq!(
            (of(&plan.refused), plan.restart.len()),
            (vec![moved.to_owned()], 0)
        );
    }

    #[test]
    fn the_others_of_a_ring_are_those_that_joined() {
        let mut cmap = Cmap::new();
        for (key, value) in [
            ("nodelist.local_node_pos", "1"),
            ("nodelist.node.1.nodeid", "2"),
            ("runtime.members.1.status", "joined"),
            ("runtime.members.2.status", "joined"),
            ("runtime.members.3.status", "left"),
            ("runtime.members.10.status", "joined"),
        ] {
            cmap.insert(key.into(), value.into());
        }
        assert_eq!(Running(cmap).others(), [1, 10]);
    }
}
