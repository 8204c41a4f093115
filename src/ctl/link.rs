//! `link list`: every link to every other node.

use super::client::Result;
use super::commands::Cli;
use super::output::{Out, View};
use super::text::{Colour, cell, clean, columns, paint, wrap};
use super::{connect, heading};
use crate::wire::{LinkStatus, STATUS_SCHEMA, ServiceState, Status};
use serde_json::json;
use std::fmt::Write as _;

/// Most columns of a node's name.
const NAME: usize = 20;

/// Prints the links; gives the exit code.
pub(super) fn run(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    let (value, status) = connect(cli)?.status()?;
    if json {
        out.json(&json!({"schema": STATUS_SCHEMA, "links": value["links"]}))?;
    } else {
        let text = words(&status, &out.view(false));
        out.print(&(heading(cli, "") + &text))?;
    }
    Ok(0)
}

fn words(status: &Status, view: &View) -> String {
    let links = &status.links;
    if links.is_empty() {
        return wrap(&none(status), view.width).join("\n") + "\n";
    }
    let width = |l: &LinkStatus| columns(&clean(&l.node_label()));
    let name = links.iter().map(width).max().unwrap_or(0).clamp(4, NAME);
    let mut text = format!(
        "{:<name$}  {:>6}  {:>4}  {:<9}  {:>5}  {:>8}  {:>5}\n",
        "node", "nodeid", "link", "connected", "mtu", "latency", "downs"
    );
    for l in links {
        let line = format!(
            "{}  {:>6}  {:>4}  {:<9}  {:>5}  {:>8}  {:>5}{}",
            cell(&clean(&l.node_label()), name),
            l.nodeid,
            l.link,
            state(l),
            known(l.mtu, |n| n.to_string()),
            known(l.latency_us, latency),
            l.down_count,
            if l.flapping { "  flapping" } else { "" }
        );
        let colour = match (l.flapping, l.connected) {
            (true, _) => Some(Colour::Yellow),
            (false, false) => Some(Colour::Red),
            (false, true) => None,
        };
        let line = match colour {
            Some(colour) => paint(&line, colour, view.colour),
            None => line,
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// In at most 9 columns.
fn state(l: &LinkStatus) -> &'static str {
    match (l.connected, l.heard) {
        (true, _) => "yes",
        (false, Some(true)) => "NO, heard",
        (false, _) => "NO",
    }
}

/// Why there are none.
fn none(status: &Status) -> String {
    let why = match status.service.state {
        ServiceState::Running if status.cluster.is_none() => {
            "corosync has not told about the cluster yet"
        }
        ServiceState::Running if status.cluster.as_ref().is_some_and(|c| c.members.len() > 1) => {
            "this transport tells nothing of them"
        }
        ServiceState::Running => "the cluster has no other node",
        _ => "corosync does not run",
    };
    format!("no links: {why}; see clusmgrctl status")
}

fn known(n: u32, text: impl Fn(u32) -> String) -> String {
    if n == 0 { "-".to_owned() } else { text(n) }
}

/// In the unit that a person reads it in.
fn latency(us: u32) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..100_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{} ms", us / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::WallMs;
    use crate::wire::sample::{NOW, healthy};

    fn view(colour: bool) -> View {
        View {
            now: WallMs(NOW),
            ago: false,
            width: 80,
            colour,
            time: |t| t.0.to_string(),
        }
    }

    #[test]
    fn every_link_is_a_line_and_the_odd_ones_stand_out() {
        let mut status = healthy(3, 2);
        let l = &mut status.links[1];
        (l.connected, l.down_count, l.mtu, l.latency_us) = (false, 4, 0, 0);
        let l = &mut status.links[2];
        (l.flapping, l.down_count, l.latency_us) = (true, 120, 12_345);
        assert_eq!(
            words(&status, &view(false)),
            "\
node  nodeid  link  connected    mtu   latency  downs
n2         2     0  yes         1397    250 us      0
n2         2     1  NO             -         -      4
n3         3     0  yes         1397   12.3 ms    120  flapping
n3         3     1  yes         1397    250 us      0
"
        );
        status.links[1].heard = Some(false);
        assert!(words(&status, &view(false)).contains(" 1  NO             - "));
        status.links[1].heard = Some(true);
        let line = "n2         2     1  NO, heard      -         -      4\n";
        assert!(words(&status, &view(false)).contains(line));
        let text = words(&status, &view(true));
        assert_eq!(text.matches("\x1b[1;3").count(), 2, "{text}");
        assert_eq!(latency(250_999), "250 ms");
    }

    #[test]
    fn no_line_is_wider_than_80_columns() {
        let mut status = healthy(16, 8);
        for l in &mut status.links {
            l.name = format!("{}-with-a-name-longer-than-anybody-likes", l.name);
            (l.mtu, l.latency_us, l.down_count, l.flapping) = (65535, 999_999, 99_999, true);
            (l.connected, l.heard) = (false, Some(true));
            l.nodeid.0 += 60_000;
        }
        let text = words(&status, &view(false));
        assert_eq!(text.lines().count(), 1 + 15 * 8);
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
    }

    #[test]
    fn where_there_are_none_it_says_why() {
        let mut status = healthy(1, 0);
        assert!(words(&status, &view(false)).contains("no other node"));
        status.cluster = None;
        assert!(words(&status, &view(false)).contains("not told about the cluster yet"));
        status.service.state = ServiceState::Backoff;
        assert!(words(&status, &view(false)).contains("does not run"));
    }
}
