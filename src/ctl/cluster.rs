//! The cluster and its links in words, for `status`.

use super::output::View;
use super::text::{Colour, cell, clean, columns, cut, paint};
use crate::types::NodeId;
use crate::wire::{ClusterStatus, LinkStatus, MemberState, Status};

/// Most odd links that are told one by one; `link list` has them all.
const ODD: usize = 6;
/// Most columns of a node's name in the table.
const NAME: usize = 20;
/// How far the table is indented.
const INDENT: usize = 4;

/// A row: its label, its text, and whether it wants a look.
pub(super) type Row = (&'static str, String, bool);

/// Quorum and votes, then the links.
pub(super) fn rows(status: &Status) -> Vec<Row> {
    let Some(cluster) = &status.cluster else {
        return Vec::new();
    };
    let mut rows = vec![quorum(cluster)];
    rows.push(("ring", ring(cluster), false));
    rows.extend(links(status, cluster));
    rows
}

fn quorum(c: &ClusterStatus) -> Row {
    let name = match clean(&c.name) {
        name if name.is_empty() => String::new(),
        name => format!("{name}, "),
    };
    let does = if c.quorate { "quorate" } else { "NOT quorate" };
    let (total, all, needed) = (c.total_votes, c.expected_votes, c.quorum);
    let text = match c.votes_count() {
        true => format!("{name}{does}: {total} of {all} votes, {needed} needed"),
        false => format!("{name}{does}: no quorum provider, so no votes are counted"),
    };
    ("cluster", text, !c.quorate)
}

fn ring(c: &ClusterStatus) -> String {
    let version = c
        .config_version
        .map_or_else(|| "no config version".to_owned(), version);
    let ring = c.ring_id.as_deref().map_or("none yet".to_owned(), clean);
    let mut text = format!("{ring}, runs with {version}");
    if !c.flags.is_empty() {
        text.push_str(&format!(", {}", clean(&c.flags.join(", "))));
    }
    text
}

fn version(v: crate::types::ConfigVersion) -> String {
    format!("config version {v}")
}

/// One line a node; those that are no members stand out by their state, and by colour.
pub(super) fn members(cluster: &ClusterStatus, view: &View) -> Vec<String> {
    let width = cluster
        .members
        .iter()
        .map(|m| columns(&clean(&m.label())))
        .max()
        .unwrap_or(0)
        .clamp(4, NAME);
    let head = format!(
        "{:<width$}  {:>6}  {:<7}  {:>5}  {:>14}",
        "name", "nodeid", "state", "votes", "config version"
    );
    let mut lines = vec![cut(&head, view.width - INDENT)];
    for m in &cluster.members {
        let version = m
            .config_version
            .map_or_else(|| "-".to_owned(), |v| v.to_string());
        let line = format!(
            "{}  {:>6}  {:<7}  {:>5}  {version:>14}{}",
            cell(&clean(&m.label()), width),
            m.nodeid,
            m.state.as_str(),
            m.votes,
            if m.local { "  this node" } else { "" }
        );
        let line = cut(&line, view.width - INDENT);
        let odd = m.state != MemberState::Member;
        lines.push(paint(&line, Colour::Yellow, odd && view.colour));
    }
    lines
}

/// All in one line where all is well; else the odd ones one by one.
fn links(status: &Status, cluster: &ClusterStatus) -> Vec<Row> {
    let all = &status.links;
    if all.is_empty() {
        return Vec::new();
    }
    let up = all.iter().filter(|l| l.connected).count();
    let sum = match all.len() - up {
        0 if up == 1 => "the only one is connected".to_owned(),
        0 => format!("all {up} connected"),
        down => format!("{up} of {} connected, {down} down", all.len()),
    };
    let mut rows = vec![("links", sum, up < all.len())];
    let odd = odd(all, cluster);
    let more = odd.len().saturating_sub(ODD);
    for text in odd.into_iter().take(ODD) {
        rows.push(("", text, false));
    }
    if more > 0 {
        let text = format!("and {more} more: see clusmgrctl link list");
        rows.push(("", text, false));
    }
    rows
}

/// What is odd: a node or a network as a whole, else a link by itself.
fn odd(all: &[LinkStatus], cluster: &ClusterStatus) -> Vec<String> {
    let mut nodes: Vec<NodeId> = all.iter().map(|l| l.nodeid).collect();
    nodes.dedup();
    let dead = |node: &NodeId| {
        let mut its = all.iter().filter(|l| l.nodeid == *node);
        its.all(|l| !l.connected)
    };
    let (dead, live): (Vec<NodeId>, Vec<NodeId>) = nodes.into_iter().partition(dead);
    let mut text = Vec::new();
    for node in &dead {
        let name = all.iter().find(|l| l.nodeid == *node);
        let name = name.map_or(String::new(), |l| clean(&l.node_label()));
        let absent = cluster.absent().any(|m| m.nodeid == *node);
        let end = if absent { "no member, and " } else { "" };
        text.push(format!("{name}: {end}no link works"));
    }
    let mut numbers: Vec<u8> = all.iter().map(|l| l.link).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut whole = Vec::new();
    for number in numbers {
        let mut its = all
            .iter()
            .filter(|l| l.link == number && live.contains(&l.nodeid));
        // A network that is down everywhere is one fault, not fifteen.
        if live.len() > 1 && its.all(|l| !l.connected && !l.flapping) {
            text.push(format!("link {number}: down to every node"));
            whole.push(number);
        }
    }
    for l in all {
        if dead.contains(&l.nodeid) || whole.contains(&l.link) {
            continue;
        }
        let times = match l.down_count {
            1 => "once".to_owned(),
            n => format!("{n} times"),
        };
        let state = match (l.connected, l.flapping) {
            (true, false) => continue,
            (_, true) => format!("flaps, went down {times}"),
            (false, false) => format!("down, {times} since corosync's start"),
        };
        text.push(format!("{}: {state}", clean(&l.label())));
    }
    text
}
