//! `key fingerprint --all`: who has which key.

use super::differs::{Held, group};
use super::{Node, ask, list, with};
use crate::ctl::client::Result;
use crate::ctl::commands::Cli;
use crate::ctl::output::{Out, even_unread};
use crate::ctl::text::{cell, clean, columns};
use crate::wire::Request;
use serde::Deserialize;
use serde_json::json;
use std::fmt::Write as _;

/// Most columns of a node's name.
const NAME: usize = 20;

#[derive(Debug, Clone, Deserialize)]
struct Key {
    fingerprint: String,
}

pub(super) fn run(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    let (value, nodes) = ask::<Key>(cli, Request::KeyFingerprint)?;
    let keys = keys(&nodes);
    let same = same(&nodes, &keys);
    even_unread(if json {
        let concluded = json!({"same": same, "keys": keys});
        out.json(&with(value, concluded))
    } else {
        out.print(&words(&nodes, &keys))
    })?;
    Ok(u8::from(!same))
}

/// Who has which, of those that told theirs.
fn keys(nodes: &[Node<Key>]) -> Vec<Held> {
    let told = nodes.iter().filter_map(|n| {
        let key = n.said.as_ref().ok()?;
        Some((n.name.as_str(), Some(key.fingerprint.clone())))
    });
    group(told)
}

fn same(nodes: &[Node<Key>], keys: &[Held]) -> bool {
    keys.len() == 1 && nodes.iter().all(|n| n.said.is_ok())
}

fn words(nodes: &[Node<Key>], keys: &[Held]) -> String {
    let width = nodes.iter().map(|n| columns(&n.name)).max();
    let width = width.unwrap_or(0).clamp(1, NAME);
    let mut text = String::new();
    for node in nodes {
        let said = match &node.said {
            Ok(key) => clean(&key.fingerprint),
            Err(silent) => silent.words.clone(),
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}  {said}", cell(&node.name, width));
    }
    if let [usual, odd @ ..] = keys {
        if !odd.is_empty() {
            let odd: Vec<&str> = odd
                .iter()
                .flat_map(|h| &h.nodes)
                .map(String::as_str)
                .collect();
            let _ = writeln!(
                text,
                "the keys differ: another one on {} than on {}",
                list(&odd),
                list(&usual.nodes)
            );
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::silent;
    use super::*;
    use crate::wire::Unreachable;

    fn node(name: &str, key: &str) -> Node<Key> {
        Node {
            name: name.to_owned(),
            nodeid: None,
            local: false,
            said: Ok(Key {
                fingerprint: key.to_owned(),
            }),
        }
    }

    #[test]
    fn the_odd_key_is_named_and_a_silent_node_is_not_the_same() {
        let mut nodes = vec![node("n1", "ab"), node("n2", "cd"), node("n3", "cd")];
        let all = keys(&nodes);
        assert!(!same(&nodes, &all));
        assert_eq!(
            words(&nodes, &all),
            "n1  ab\nn2  cd\nn3  cd\nthe keys differ: another one on n1 than on n2 and n3\n"
        );
        nodes[0] = node("n1", "cd");
        assert!(same(&nodes, &keys(&nodes)));
        assert_eq!(words(&nodes, &keys(&nodes)).lines().count(), 3);
        silent(&mut nodes[0], Unreachable::WrongKey);
        assert!(!same(&nodes, &keys(&nodes)));
        assert!(words(&nodes, &keys(&nodes)).starts_with("n1  wrong key: "));
    }
}
