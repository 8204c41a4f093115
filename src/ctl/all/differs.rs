//! In what nodes differ, and whose is what.

use super::{Node, list};
use crate::wire::{ServiceState, Status};
use serde::Serialize;

/// Something that ought to be the same everywhere, and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// `config-version`, `config`, `key` or `ring`.
    pub what: &'static str,
    /// What there is, that of the most nodes first.
    pub values: Vec<Held>,
}

/// A value, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    /// Null where there is none.
    pub value: Option<String>,
    pub nodes: Vec<String>,
}

/// What the nodes that answered differ in.
pub(super) fn differences(nodes: &[Node<Status>]) -> Vec<Difference> {
    type Read = fn(&Status) -> Option<Option<String>>;
    let all: [(&str, Read); 4] = [
        ("config-version", |s| {
            Some(s.config.version.map(|v| v.to_string()))
        }),
        ("config", |s| Some(s.config.sha256.clone())),
        ("key", |s| Some(s.key.fingerprint.clone())),
        // Only of those that are in one.
        ("ring", |s| {
            let runs = s.service.state == ServiceState::Running;
            let ring = s.cluster.as_ref().filter(|_| runs)?.ring_id.clone()?;
            Some(Some(ring))
        }),
    ];
    let found = all.into_iter().map(|(what, read)| {
        let said = nodes.iter().filter_map(|n| {
            let value = read(n.said.as_ref().ok()?)?;
            Some((n.name.as_str(), value))
        });
        Difference {
            what,
            values: group(said),
        }
    });
    found.filter(|d| d.values.len() > 1).collect()
}

/// Who has the same, that of the most nodes first.
pub(super) fn group<'n>(all: impl Iterator<Item = (&'n str, Option<String>)>) -> Vec<Held> {
    let mut values: Vec<Held> = Vec::new();
    for (name, value) in all {
        match values.iter_mut().find(|v| v.value == value) {
            Some(held) => held.nodes.push(name.to_owned()),
            None => values.push(Held {
                value,
                nodes: vec![name.to_owned()],
            }),
        }
    }
    // A stable sort: of two halves, the one that comes first in the nodelist.
    values.sort_by_key(|v| std::cmp::Reverse(v.nodes.len()));
    values
}

impl Difference {
    /// `config version differs: 7 on n1 and n3; 6 on n2`.
    pub fn words(&self) -> String {
        let what = match self.what {
            "config-version" => "config version differs",
            "config" => "configuration differs, by its hash",
            "key" => "key differs, by its fingerprint",
            _ => "no single cluster, by the ring",
        };
        let held = |v: &Held| {
            let value = v.value.as_deref().map_or("none".to_owned(), short);
            format!("{value} on {}", list(&v.nodes))
        };
        let all: Vec<String> = self.values.iter().map(held).collect();
        format!("{what}: {}", all.join("; "))
    }
}

/// As much of a hash as a person compares, cleaned.
pub(super) fn short(hash: &str) -> String {
    super::clean(&hash.chars().take(16).collect::<String>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{cluster, seen_by};
    use super::*;
    use crate::types::ConfigVersion;
    use crate::wire::Reason;

    #[test]
    fn what_differs_is_told_with_whose_it_is_the_most_frequent_first() {
        let mut nodes = cluster(4, 1);
        assert_eq!(differences(&nodes), []);
        let odd = nodes[0].said.as_mut().unwrap();
        odd.config.version = Some(ConfigVersion(6));
        odd.key.fingerprint = None;
        let words: Vec<String> = differences(&nodes).iter().map(Difference::words).collect();
        assert_eq!(
            words,
            [
                "config version differs: 7 on n2, n3 and n4; 6 on n1",
                "key differs, by its fingerprint: ab12cd34 on n2, n3 and n4; none on n1",
            ]
        );
    }

    #[test]
    fn rings_count_only_where_corosync_runs() {
        let mut nodes = cluster(3, 1);
        nodes[2].said = Ok(seen_by(3, 3, 1).standalone(Reason::Held));
        assert_eq!(differences(&nodes), []);
        let status = nodes[1].said.as_mut().unwrap();
        status.cluster.as_mut().unwrap().ring_id = Some("2.30".to_owned());
        assert_eq!(
            differences(&nodes)[0].words(),
            "no single cluster, by the ring: 1.2c on n1; 2.30 on n2"
        );
    }
}
