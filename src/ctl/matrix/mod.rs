//! `link matrix`: who hears whom on every link, as every node says, and what that comes from.

mod cells;
mod faults;
mod shapes;
mod words;

use super::all;
use super::client::Result;
use super::commands::Cli;
use super::output::{Out, View, even_unread};
use super::text::{Colour, cell, columns, cut, paint, right, wrap};
use crate::wire::{Request, Status};
use cells::{Cell, Grid, Matrix};
use faults::{Fault, faults};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Most columns of a node's label.
const LABEL: usize = 16;
/// Between two columns.
const GAP: usize = 2;
/// Most nodes for which there is room for words.
const WIDE: usize = 8;
/// Most faults that are told in words; `--json` has them all.
const FAULTS: usize = 12;

/// Prints the matrix; gives the exit code.
pub(super) fn run(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    let (value, nodes) = all::ask::<Status>(cli, Request::Status)?;
    let matrix = Matrix::of(&nodes);
    let faults = faults(&matrix);
    even_unread(if json {
        out.json(&all::with(value, concluded(&matrix, &faults)))
    } else {
        out.print(&words(&matrix, &faults, &out.view(false)))
    })?;
    Ok(u8::from(!faults.is_empty()))
}

fn concluded(matrix: &Matrix, faults: &[Fault]) -> Value {
    let nodes: Vec<&str> = matrix.nodes.iter().map(|n| n.name.as_str()).collect();
    let links: Vec<Value> = matrix
        .grids
        .iter()
        .map(|g| json!({"link": g.link, "cells": g.cells}))
        .collect();
    json!({"ok": faults.is_empty(), "nodes": nodes, "links": links, "faults": faults})
}

fn words(matrix: &Matrix, faults: &[Fault], view: &View) -> String {
    let mut text = String::new();
    for grid in &matrix.grids {
        text.push_str(&table(matrix, grid, view));
        text.push('\n');
    }
    for line in legend(matrix, view.width) {
        let _ = writeln!(text, "{line}");
    }
    for fault in faults.iter().take(FAULTS) {
        for line in wrap(&format!("{}:", fault.text), view.width) {
            let _ = writeln!(text, "{}", paint(&line, Colour::Red, view.colour));
        }
        for line in wrap(&fault.look, view.width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    match faults.len().saturating_sub(FAULTS) {
        0 => {}
        more => {
            let _ = writeln!(text, "and {more} more: see clusmgrctl link matrix --json");
        }
    }
    if faults.is_empty() {
        for line in wrap(&fine(matrix), view.width) {
            let _ = writeln!(text, "{}", paint(&line, Colour::Green, view.colour));
        }
    }
    text
}

/// That nothing is wrong, as far as anybody can tell.
fn fine(matrix: &Matrix) -> String {
    match (matrix.nodes.len(), matrix.grids.len()) {
        (0 | 1, _) => "The cluster has no other node.".to_owned(),
        (_, 0) => "No links: this transport tells nothing of them.".to_owned(),
        (n, 1) => format!("All {n} nodes hear each other on their only link."),
        (n, links) => format!("All {n} nodes hear each other on all {links} links."),
    }
}

/// A cell in as much room as there is.
fn symbol(cell: Cell, wide: bool) -> &'static str {
    match (cell, wide) {
        (Cell::Itself, _) => ".",
        (Cell::Connected, _) => "ok",
        (Cell::Flapping, true) => "flaps",
        (Cell::Flapping, false) => "fl",
        (Cell::OneWay, true) => "1-way",
        (Cell::OneWay, false) => "1w",
        (Cell::Down, true) => "DOWN",
        (Cell::Down, false) => "DN",
        (Cell::Unknown, _) => "?",
        (Cell::None, _) => "-",
    }
}

/// How the nodes are called in a table: by name, or where those are too long by number.
struct Names {
    rows: Vec<String>,
    columns: Vec<String>,
    /// Of a cell.
    width: usize,
    wide: bool,
}

fn names(matrix: &Matrix) -> Names {
    let wide = matrix.nodes.len() <= WIDE;
    let width = if wide { 6 } else { 2 };
    let all = || matrix.nodes.iter().map(|n| n.name.as_str());
    if all().all(|n| columns(n) <= width) {
        let names: Vec<String> = all().map(str::to_owned).collect();
        return Names {
            rows: names.clone(),
            columns: names,
            width,
            wide,
        };
    }
    let digits = matrix.nodes.len().to_string().len();
    let row = |(n, name): (usize, &str)| cut(&format!("{:>digits$} {name}", n + 1), LABEL);
    Names {
        rows: all().enumerate().map(row).collect(),
        columns: (1..=matrix.nodes.len()).map(|n| n.to_string()).collect(),
        width,
        wide,
    }
}

/// One link; what is too wide for the screen follows below.
fn table(matrix: &Matrix, grid: &Grid, view: &View) -> String {
    let names = names(matrix);
    let title = format!("link {}", grid.link);
    let label = names.rows.iter().map(|n| columns(n)).max();
    let label = label.unwrap_or(0).max(title.len());
    let width = names.width;
    let room = view.width.saturating_sub(label) / (width + GAP);
    let mut text = String::new();
    let all: Vec<usize> = (0..matrix.nodes.len()).collect();
    for part in all.chunks(room.max(1)) {
        let mut line = cell(&title, label);
        for b in part {
            line.push_str(&right(&names.columns[*b], width + GAP));
        }
        let _ = writeln!(text, "{line}");
        for a in &all {
            let mut line = cell(&names.rows[*a], label);
            for b in part {
                let cell = grid.cells[*a][*b];
                // Padded before it is painted: colours have no width.
                let padded = format!("{:>1$}", symbol(cell, names.wide), width + GAP);
                line.push_str(&match colour(cell) {
                    Some(colour) => paint(&padded, colour, view.colour),
                    None => padded,
                });
            }
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn colour(cell: Cell) -> Option<Colour> {
    match cell {
        Cell::Down | Cell::OneWay => Some(Colour::Red),
        Cell::Flapping | Cell::Unknown => Some(Colour::Yellow),
        Cell::Itself | Cell::Connected | Cell::None => None,
    }
}

/// What the symbols mean, of those that do not say it themselves.
fn legend(matrix: &Matrix, width: usize) -> Vec<String> {
    let wide = matrix.nodes.len() <= WIDE;
    let there = |cell: Cell| {
        let mut rows = matrix.grids.iter().flat_map(|g| &g.cells);
        rows.any(|row| row.contains(&cell))
    };
    let means = |cell: Cell| match (cell, wide) {
        (Cell::OneWay, _) => {
            Some("the node of the row hears that of the column, which does not hear it")
        }
        (Cell::Unknown, _) => Some("the node of the row did not answer"),
        (Cell::None, _) => Some("it has no such link now"),
        (Cell::Down, false) => Some("down"),
        (Cell::Flapping, false) => Some("flaps"),
        _ => None,
    };
    let all = [
        Cell::Down,
        Cell::OneWay,
        Cell::Flapping,
        Cell::Unknown,
        Cell::None,
    ];
    let told: Vec<String> = all
        .into_iter()
        .filter(|cell| there(*cell))
        .filter_map(|cell| Some(format!("{}: {}", symbol(cell, wide), means(cell)?)))
        .collect();
    if told.is_empty() {
        return Vec::new();
    }
    let mut lines = wrap(&told.join("; "), width);
    lines.push(String::new());
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ctl::all::tests::{cluster, silent, view};
    use crate::wire::Unreachable;

    fn shown(nodes: &[all::Node<Status>], width: usize) -> String {
        let matrix = Matrix::of(nodes);
        words(&matrix, &faults(&matrix), &view(width, false))
    }

    #[test]
    fn every_link_is_a_table_and_below_all_is_what_is_wrong() {
        let mut nodes = cluster(3, 2);
        silent(&mut nodes[2], Unreachable::Refused);
        let l = &mut nodes[0].said.as_mut().unwrap().links[1];
        (l.connected, l.heard) = (false, Some(true));
        nodes[1].said.as_mut().unwrap().links[1].connected = false;
        assert_eq!(
            shown(&nodes, 80),
            "\
link 0      n1      n2      n3
n1           .      ok      ok
n2          ok       .      ok
n3           ?       ?       .

link 1      n1      n2      n3
n1           .   1-way      ok
n2        DOWN       .      ok
n3           ?       ?       .

1-way: the node of the row hears that of the column, which does not hear it; ?:
the node of the row did not answer

one-way on link 1: n2 does not hear n1, which hears it:
  look at what n1 sends and what n2 lets in: their firewalls (UDP port 5405 and
  up), then the switch between them
n3 does not answer (refused: the machine is there, and no clusmgr listens on
it), but n1 and n2 hear its corosync:
  look at clusmgr on n3, not at its network
"
        );
    }

    #[test]
    fn where_all_is_well_it_says_so() {
        let text = shown(&cluster(2, 2), 80);
        assert!(
            text.ends_with("\n\nAll 2 nodes hear each other on all 2 links.\n"),
            "{text}"
        );
        assert_eq!(
            shown(&cluster(1, 0), 80),
            "The cluster has no other node.\n"
        );
        assert!(shown(&cluster(3, 0), 80).contains("transport"));
    }

    #[test]
    fn it_fits_the_screen_for_8_and_for_16_nodes_with_long_names() {
        for (count, width) in [(8, 80), (16, 80), (20, 80), (8, 40), (16, 60)] {
            for long in [false, true] {
                let mut nodes = cluster(count, 2);
                for n in nodes.iter_mut().filter(|_| long) {
                    n.name = format!("{}.a-long-节节-domain.example.org", n.name);
                }
                for l in &mut nodes[0].said.as_mut().unwrap().links {
                    l.connected = false;
                }
                let text = shown(&nodes, width);
                let wide: Vec<&str> = text.lines().filter(|l| columns(l) > width).collect();
                assert!(wide.is_empty(), "{count} {width}: {wide:?}");
                let whole = text.lines().filter(|l| l.starts_with("link ")).count();
                assert!(whole >= 2, "{text}");
                if count <= 16 && width == 80 {
                    assert_eq!(whole, 2, "a table in parts: {text}");
                }
            }
        }
        let text = shown(&cluster(16, 1), 80);
        assert!(text.starts_with("link 0   1   2"), "{text}");
        assert!(text.contains("\n16 n16  ok  ok"), "{text}");
    }

    #[test]
    fn many_faults_are_counted_and_colours_are_for_terminals() {
        let mut nodes = cluster(16, 8);
        // Each pair on a link of its own and in one direction only.
        for n in 0..15 {
            let links = &mut nodes[n].said.as_mut().unwrap().links;
            let l = links.iter_mut().find(|l| l.nodeid.0 as usize == n + 2);
            let l = l.unwrap();
            (l.connected, l.heard) = (false, Some(true));
            let links = &mut nodes[n + 1].said.as_mut().unwrap().links;
            let l = links.iter_mut().find(|l| l.nodeid.0 as usize == n + 1);
            l.unwrap().connected = false;
        }
        let matrix = Matrix::of(&nodes);
        let all = faults(&matrix);
        assert_eq!(all.len(), 15);
        let plain = words(&matrix, &all, &view(80, false));
        assert!(plain.contains("and 3 more: see"), "{plain}");
        assert!(!plain.contains('\x1b'));
        let coloured = words(&matrix, &all, &view(80, true));
        assert!(coloured.contains("\x1b[1;31m  1w\x1b[0m"), "{coloured}");
    }

    #[test]
    fn programs_get_cells_and_faults() {
        let mut nodes = cluster(2, 1);
        nodes[0].said.as_mut().unwrap().links[0].flapping = true;
        let matrix = Matrix::of(&nodes);
        let value = concluded(&matrix, &faults(&matrix));
        assert_eq!(
            value["links"],
            json!([{"link": 0, "cells": [["self", "flapping"], ["connected", "self"]]}])
        );
        assert_eq!(value["faults"][0]["code"], "flapping");
        assert_eq!(
            (&value["ok"], &value["nodes"]),
            (&json!(false), &json!(["n1", "n2"]))
        );
    }
}
