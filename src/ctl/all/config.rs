//! `config diff --all`: what every node holds, against what this one holds.

use super::differs::short;
use super::{Node, Silent, ask, with};
use crate::ctl::client::{Fail, Result};
use crate::ctl::commands::Cli;
use crate::ctl::output::{Out, even_unread};
use crate::ctl::text::clean_lines;
use crate::driver::corosync::diff::unified;
use crate::error::{Error, Kind};
use crate::wire::{Request, Status, WireError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::Write as _;
use std::thread;

/// What `config.show` answers, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
struct Shown {
    text: String,
}

/// A node compared with this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Compared {
    node: String,
    /// It holds the same, and has the same key.
    same: bool,
    /// What of it is different, a line each: `config version 6, here 7`.
    differs: Vec<String>,
    /// From this node's text to its; empty where they are the same, secrets left out.
    diff: String,
    /// Why it was not compared; null if it was.
    error: Option<String>,
}

pub(super) fn run(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    // Side by side: a node that does not answer is waited for once.
    let (texts, states) = thread::scope(|scope| {
        let states = scope.spawn(|| ask::<Status>(cli, Request::Status));
        let texts = ask::<Shown>(cli, Request::ConfigShow);
        let died = || Error::new("ask", "all nodes", "the thread that asked died");
        (texts, states.join().unwrap_or_else(|_| Err(died().into())))
    });
    let ((value, texts), (_, states)) = (texts?, states?);
    let all = compare(&texts, &states)?;
    even_unread(if json {
        out.json(&with(value, json!({"nodes": all})))
    } else {
        out.print(&words(&all))
    })?;
    Ok(u8::from(!all.iter().all(|c| c.same)))
}

fn compare(texts: &[Node<Shown>], states: &[Node<Status>]) -> Result<Vec<Compared>> {
    let Some(here) = texts.iter().find(|n| n.local) else {
        // A daemon without a configuration has no nodes to name.
        let e = Error::new("compare", "the configuration", "this node holds none")
            .kind(Kind::NotConfigured);
        return Err(e.into());
    };
    let ours = match &here.said {
        Ok(shown) => clean_lines(&shown.text),
        Err(Silent { code, words, .. }) => {
            let (code, message) = (code.clone(), words.clone());
            return Err(Fail::Told(WireError { code, message }));
        }
    };
    let state = |name: &str| {
        let node = states.iter().find(|s| s.name == name)?;
        node.said.as_ref().ok()
    };
    let one = |node: &Node<Shown>| {
        let theirs = match &node.said {
            Err(silent) => {
                return Compared {
                    node: node.name.clone(),
                    same: false,
                    differs: Vec::new(),
                    diff: String::new(),
                    error: Some(silent.words.clone()),
                };
            }
            Ok(shown) => clean_lines(&shown.text),
        };
        let mut differs = match (state(&here.name), state(&node.name)) {
            (Some(a), Some(b)) => values(a, b),
            _ => Vec::new(),
        };
        let diff = unified(&here.name, &ours, &node.name, &theirs);
        if differs.is_empty() && !diff.is_empty() {
            differs.push("text".to_owned());
        }
        Compared {
            node: node.name.clone(),
            same: differs.is_empty() && diff.is_empty(),
            differs,
            diff,
            error: None,
        }
    };
    Ok(texts.iter().filter(|n| !n.local).map(one).collect())
}

/// Version, hash and key of another node where they are not this one's.
fn values(here: &Status, there: &Status) -> Vec<String> {
    let version = |s: &Status| s.config.version.map(|v| v.to_string());
    let all = [
        ("config version", version(here), version(there)),
        (
            "hash",
            here.config.sha256.clone(),
            there.config.sha256.clone(),
        ),
        (
            "key fingerprint",
            here.key.fingerprint.clone(),
            there.key.fingerprint.clone(),
        ),
    ];
    // What a node holds is not all: the next start elsewhere meets what it runs with.
    let runs = there.cluster.as_ref().and_then(|c| c.config_version);
    let ahead = runs.filter(|v| Some(*v) > there.config.version);
    let ahead = ahead.map(|v| format!("corosync runs with config version {v}"));
    let drift = there.config.drift;
    let drift = drift.then(|| "its corosync.conf is not what it holds".to_owned());
    let shown = |v: &Option<String>| v.as_deref().map_or("none".to_owned(), short);
    all.into_iter()
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(what, ours, theirs)| format!("{what} {}, here {}", shown(&theirs), shown(&ours)))
        .chain(ahead)
        .chain(drift)
        .collect()
}

/// A line a node; the differences below all of them.
fn words(all: &[Compared]) -> String {
    let mut text = String::new();
    for c in all {
        let said = match (&c.error, c.same) {
            (Some(error), _) => error.clone(),
            (None, true) => "the same".to_owned(),
            (None, false) if c.diff.is_empty() => {
                format!("{}; the same text, secrets left out", c.differs.join("; "))
            }
            (None, false) => c.differs.join("; "),
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "# {}: {said}", c.node);
    }
    if all.is_empty() {
        text.push_str("# there is no other node\n");
    }
    for c in all.iter().filter(|c| !c.diff.is_empty()) {
        let _ = write!(text, "\n{}", c.diff);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{cluster, silent};
    use super::*;
    use crate::types::ConfigVersion;
    use crate::wire::Unreachable;

    const TEXT: &str = "totem {\n\tversion: 2\n\ttoken: 1000\n}\n";

    fn texts(states: &[Node<Status>]) -> Vec<Node<Shown>> {
        let one = |n: &Node<Status>| Node {
            name: n.name.clone(),
            nodeid: n.nodeid,
            local: n.local,
            said: Ok(Shown {
                text: TEXT.to_owned(),
            }),
        };
        states.iter().map(one).collect()
    }

    #[test]
    fn each_node_is_the_same_or_it_is_said_in_what_it_is_not() {
        let mut states = cluster(5, 1);
        let mut texts = texts(&states);
        let odd = states[1].said.as_mut().unwrap();
        odd.config.version = Some(ConfigVersion(6));
        odd.cluster.as_mut().unwrap().config_version = Some(ConfigVersion(6));
        odd.config.sha256 = Some("ff".repeat(32));
        texts[1].said.as_mut().unwrap().text = TEXT.replace("1000", "2000\u{1b}");
        states[3].said.as_mut().unwrap().key.fingerprint = Some("ee".to_owned());
        silent(&mut texts[4], Unreachable::TimedOut);
        silent(&mut states[4], Unreachable::TimedOut);
        let all = compare(&texts, &states).unwrap();
        let same: Vec<bool> = all.iter().map(|c| c.same).collect();
        assert_eq!(same, [false, true, false, false]);
        assert_eq!(
            words(&all),
            "\
# n2: config version 6, here 7; hash ffffffffffffffff, here 0123456789abcdef
# n3: the same
# n4: key fingerprint ee, here ab12cd34; the same text, secrets left out
# n5: timed out: it is off, or cut off from this node

--- n1
+++ n2
@@ -1,4 +1,4 @@
 totem {
 \tversion: 2
-\ttoken: 1000
+\ttoken: 2000\u{fffd}
 }
"
        );
    }

    #[test]
    fn a_node_that_runs_with_a_hand_edit_is_not_the_same() {
        let mut states = cluster(2, 1);
        let texts = texts(&states);
        let edited = states[1].said.as_mut().unwrap();
        edited.config.drift = true;
        edited.cluster.as_mut().unwrap().config_version = Some(ConfigVersion(9));
        let all = compare(&texts, &states).unwrap();
        assert!(!all[0].same);
        let told = [
            "corosync runs with config version 9",
            "its corosync.conf is not what it holds",
        ];
        assert_eq!(all[0].differs, told);
    }

    #[test]
    fn without_a_configuration_here_there_is_nothing_to_compare_with() {
        let states = cluster(2, 1);
        let mut texts = texts(&states);
        texts[0].said = Err(Silent {
            reason: None,
            code: "not-configured".to_owned(),
            words: "show the configuration: there is none".to_owned(),
        });
        let e = compare(&texts, &states).unwrap_err();
        assert_eq!(e.kind(), crate::error::Kind::NotConfigured);
        assert!(compare(&[], &states).is_err());
    }
}
