//! `status --all`: a line a node, and below it what differs.

use super::differs::{Difference, differences};
use super::{Node, ask, code, list, with, worse};
use crate::ctl::client::{Fail, Result};
use crate::ctl::commands::Cli;
use crate::ctl::output::{Out, View, even_unread, exit_code};
use crate::ctl::status::{Dead, UNKNOWN};
use crate::ctl::text::{Colour, cell, clean, columns, cut, paint, right, wrap};
use crate::error::Kind;
use crate::wire::{Mode, Request, Status};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Most columns of a node's name in the table.
const NAME: usize = 16;
/// Least columns for what there is to say of a node.
const REMARKS: usize = 10;
/// Between two columns.
const GAP: &str = "  ";

pub(super) fn run(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    let (value, nodes) = match ask::<Status>(cli, Request::Status) {
        Ok(told) => told,
        Err(e) => {
            // A program gets an object in any case.
            if let (true, Ok(dead)) = (json, Dead::look(&cli.socket)) {
                even_unread(out.json(&unanswered(dead.json(), &e)))?;
            }
            return Err(e);
        }
    };
    let differs = differences(&nodes);
    let code = exit(&nodes, &differs);
    even_unread(if json {
        let concluded = json!({"differs": differs, "exit": code});
        out.json(&with(value, concluded))
    } else {
        out.print(&words(&nodes, &differs, &out.view(false)))
    })?;
    Ok(code)
}

/// What there is where the daemon here, which asks the nodes, does not answer.
fn unanswered(mut dead: Value, e: &Fail) -> Value {
    let code = match e.kind() {
        Kind::Usage => Kind::Usage.exit_code(),
        _ => UNKNOWN,
    };
    dead["nodes"] = json!([]);
    dead["err"] = json!(e.wire());
    with(dead, json!({"differs": [], "exit": code}))
}

/// The worst of all nodes; that they differ is as bad as one that is degraded.
fn exit(nodes: &[Node<Status>], differs: &[Difference]) -> u8 {
    let differs = if differs.is_empty() { 0 } else { 151 };
    nodes.iter().map(code).fold(differs, worse)
}

fn words(nodes: &[Node<Status>], differs: &[Difference], view: &View) -> String {
    let all = exit(nodes, differs);
    let colour = match all {
        0 => Colour::Green,
        151 => Colour::Yellow,
        _ => Colour::Red,
    };
    let mut text = String::new();
    for line in wrap(&headline(nodes), view.width) {
        let _ = writeln!(text, "{}", paint(&line, colour, view.colour));
    }
    text.push('\n');
    text.push_str(&table(nodes, view));
    if !differs.is_empty() {
        text.push('\n');
    }
    for d in differs {
        let indented = wrap(&d.words(), view.width.saturating_sub(2));
        for (n, line) in indented.iter().enumerate() {
            let line = paint(line, Colour::Yellow, view.colour);
            let _ = writeln!(text, "{}{line}", if n == 0 { "" } else { "  " });
        }
    }
    text
}

/// All nodes in one sentence.
fn headline(nodes: &[Node<Status>]) -> String {
    let quorate = |n: &&Node<Status>| n.said.as_ref().is_ok_and(Status::is_quorate_member);
    let well = nodes.iter().filter(quorate).count();
    let silent: Vec<&str> = nodes
        .iter()
        .filter(|n| n.said.is_err())
        .map(|n| n.name.as_str())
        .collect();
    let end = if silent.is_empty() {
        String::new()
    } else {
        let verb = if silent.len() == 1 { "does" } else { "do" };
        format!("; {} {verb} not answer", list(&silent))
    };
    match nodes.len() {
        0 => "no node is configured".to_owned(),
        1 => format!("{well} of 1 node is a quorate member{end}."),
        all => format!("{well} of {all} nodes are quorate members{end}."),
    }
}

/// The cells of a node that answered.
fn cells(s: &Status) -> [String; 5] {
    let state = match s.mode {
        Mode::Standalone => "STANDALONE".to_owned(),
        Mode::Cluster => s.service.state.as_str().to_owned(),
    };
    let (quorate, members) = match &s.cluster {
        None => ("-", "-".to_owned()),
        Some(c) => {
            let quorate = if c.quorate { "yes" } else { "NO" };
            (quorate, format!("{}/{}", c.present(), c.members.len()))
        }
    };
    let version = s.config.version.map_or("-".to_owned(), |v| v.to_string());
    let hash = s.config.sha256.as_deref().unwrap_or("-");
    let hash = clean(&hash.chars().take(8).collect::<String>());
    [state, quorate.to_owned(), members, version, hash]
}

/// What else there is to say of it: why STANDALONE, and what is degraded.
fn remarks(s: &Status, width: usize) -> String {
    let mut words: Vec<String> = s
        .mode_reason
        .iter()
        .map(|r| r.as_str().to_owned())
        .collect();
    // STANDALONE for a reason that is degraded too.
    let degraded = s.degraded.iter().map(|d| clean(&d.reason));
    words.extend(degraded.filter(|d| s.mode_reason.is_none_or(|r| r.as_str() != d)));
    fit(&words, width)
}

/// As many of the words as there is room for, and how many are left out.
fn fit(words: &[String], width: usize) -> String {
    if words.is_empty() {
        return "-".to_owned();
    }
    for shown in (1..=words.len()).rev() {
        let left = words.len() - shown;
        let end = match left {
            0 => String::new(),
            n => format!(" +{n}"),
        };
        let text = format!("{}{end}", words[..shown].join(", "));
        if columns(&text) <= width {
            return text;
        }
    }
    let end = match words.len() - 1 {
        0 => String::new(),
        n => format!(" +{n}"),
    };
    let room = width.saturating_sub(end.len());
    format!("{}{end}", cut(&words[0], room))
}

fn table(nodes: &[Node<Status>], view: &View) -> String {
    const HEAD: [&str; 5] = ["state", "quorate", "members", "config", "hash"];
    let id = |n: &Node<Status>| n.nodeid.map_or("-".to_owned(), |i| i.to_string());
    let rows: Vec<Option<[String; 5]>> = nodes
        .iter()
        .map(|n| n.said.as_ref().ok().map(cells))
        .collect();
    let ids = nodes.iter().map(|n| columns(&id(n))).max().unwrap_or(0);
    let ids = ids.max("nodeid".len());
    let mut widths = HEAD.map(columns);
    for row in rows.iter().flatten() {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(text)).min(20);
        }
    }
    // What is beside the name and the remarks; the name gives way where there is too little room.
    let fixed = ids + widths.iter().sum::<usize>() + GAP.len() * (widths.len() + 2);
    let longest = nodes.iter().map(|n| columns(&n.name)).max().unwrap_or(0);
    let room = view.width.saturating_sub(fixed + REMARKS).max(4);
    let name = longest.clamp(4, NAME).min(room);
    let remarks_width = view.width.saturating_sub(fixed + name).max(1);
    let line = |called: &str, nodeid: &str, row: &[&str], rest: &str| {
        let mut text = format!("{}{GAP}{nodeid:>ids$}", cell(called, name));
        for (n, (word, width)) in row.iter().zip(widths).enumerate() {
            text.push_str(GAP);
            // Numbers to the right, words to the left.
            text.push_str(&match n {
                2 | 3 => right(word, width),
                _ => cell(word, width),
            });
        }
        let text = format!("{text}{GAP}{rest}");
        cut(text.trim_end(), view.width)
    };
    let mut text = line("name", "nodeid", &HEAD, "degraded") + "\n";
    for (node, row) in nodes.iter().zip(&rows) {
        match (row, &node.said) {
            (Some(row), Ok(status)) => {
                let row = row.each_ref().map(String::as_str);
                let rest = remarks(status, remarks_width);
                let line = line(&node.name, &id(node), &row, &rest);
                let colour = match exit_code(status) {
                    0 => None,
                    151 => Some(Colour::Yellow),
                    _ => Some(Colour::Red),
                };
                let line = colour.map_or(line.clone(), |c| paint(&line, c, view.colour));
                let _ = writeln!(text, "{line}");
            }
            (_, Err(silent)) => {
                let called = cell(&node.name, name);
                let mut head = format!("{called}{GAP}{:>ids$}{GAP}", id(node));
                let indent = columns(&head);
                for words in wrap(&silent.words, view.width.saturating_sub(indent)) {
                    let line = format!("{head}{words}");
                    let _ = writeln!(text, "{}", paint(&line, Colour::Red, view.colour));
                    head = " ".repeat(indent);
                }
            }
            (None, Ok(_)) => {}
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{cluster, silent, view};
    use super::*;
    use crate::types::{ConfigVersion, NodeId};
    use crate::wire::{MemberState, Reason, ServiceState, Unreachable};

    fn status(node: &mut Node<Status>, change: impl FnOnce(Status) -> Status) {
        let now = node.said.as_ref().unwrap().clone();
        node.said = Ok(change(now));
    }

    fn shown(nodes: &[Node<Status>], width: usize) -> String {
        words(nodes, &differences(nodes), &view(width, false))
    }

    #[test]
    fn a_cluster_that_does_well_is_a_table_and_nothing_else() {
        let nodes = cluster(3, 2);
        assert_eq!(
            shown(&nodes, 80),
            "\
3 of 3 nodes are quorate members.

name  nodeid  state    quorate  members  config  hash      degraded
n1         1  running  yes          3/3       7  01234567  -
n2         2  running  yes          3/3       7  01234567  -
n3         3  running  yes          3/3       7  01234567  -
"
        );
        assert_eq!(exit(&nodes, &[]), 0);
    }

    #[test]
    fn what_is_wrong_and_what_differs_is_told_with_the_node() {
        let mut nodes = cluster(4, 1);
        status(&mut nodes[0], |s| {
            s.without(3, MemberState::Left).degraded("link-down")
        });
        status(&mut nodes[1], |s| {
            let mut s = s.without(3, MemberState::Left);
            s.config.version = Some(ConfigVersion(6));
            s
        });
        status(&mut nodes[2], |s| s.standalone(Reason::Held));
        silent(&mut nodes[3], Unreachable::WrongKey);
        let text = shown(&nodes, 80);
        assert_eq!(
            text,
            "\
2 of 4 nodes are quorate members; n4 does not answer.

name  nodeid  state       quorate  members  config  hash      degraded
n1         1  running     yes          3/4       7  01234567  link-down
n2         2  running     yes          3/4       6  01234567  -
n3         3  STANDALONE  -              -       7  01234567  held
n4         4  wrong key: it has another authkey than this node

config version differs: 7 on n1 and n3; 6 on n2
"
        );
        assert_eq!(exit(&nodes, &[]), 4);
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_node() {
        let mut nodes = cluster(3, 1);
        nodes[0].said.as_mut().unwrap().config.version = Some(ConfigVersion(8));
        assert_eq!(exit(&nodes, &differences(&nodes)), 151, "they differ");
        let mut nodes = cluster(3, 1);
        status(&mut nodes[1], |s| s.degraded("drift"));
        assert_eq!(exit(&nodes, &[]), 151);
        status(&mut nodes[2], |s| s.standalone(Reason::BadConfig));
        assert_eq!(exit(&nodes, &[]), 150);
        silent(&mut nodes[0], Unreachable::TimedOut);
        assert_eq!(exit(&nodes, &[]), 4);
    }

    #[test]
    fn no_line_is_wider_than_the_screen_whatever_the_nodes_say() {
        let mut nodes = cluster(16, 8);
        for (n, node) in nodes.iter_mut().enumerate() {
            let wide = [
                "-with-a-name-longer-than-anybody-likes",
                "节节节节节节节节节节节节",
            ];
            node.name = format!("{}{}", node.name, wide[n % 2]);
            node.nodeid = Some(NodeId(4_000_000_000));
            status(node, |mut s| {
                s.config.version = Some(ConfigVersion(u64::MAX - n as u64));
                s.service.state = ServiceState::Starting;
                s.degraded("link-flapping")
                    .degraded("restart-needed")
                    .degraded("drift")
            });
        }
        status(&mut nodes[3], |s| s.standalone(Reason::StartFailed));
        silent(&mut nodes[5], Unreachable::OtherProtocol);
        for width in [80, 60, 40] {
            let text = shown(&nodes, width);
            let wide: Vec<&str> = text.lines().filter(|l| columns(l) > width).collect();
            assert!(wide.is_empty(), "{width}: {wide:?}");
        }
        assert!(shown(&nodes, 80).contains("other protocol:"), "no reason");
    }

    #[test]
    fn reasons_that_do_not_fit_are_counted() {
        let words = ["link-down", "restart-needed", "drift"].map(str::to_owned);
        assert_eq!(fit(&words, 40), "link-down, restart-needed, drift");
        assert_eq!(fit(&words, 28), "link-down, restart-needed +1");
        assert_eq!(fit(&words, 12), "link-down +2");
        assert_eq!(fit(&words, 10), "link-d… +2");
        assert_eq!(fit(&[], 10), "-");
    }

    #[test]
    fn colours_are_for_terminals() {
        let mut nodes = cluster(2, 1);
        silent(&mut nodes[1], Unreachable::Refused);
        let plain = words(&nodes, &[], &view(80, false));
        let coloured = words(&nodes, &[], &view(80, true));
        assert!(!plain.contains('\x1b') && coloured.contains("\x1b[1;31m"));
    }
}
