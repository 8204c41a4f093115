//! Who hears whom on every link, put together from what every node says of its own links.

use crate::ctl::all::Node;
use crate::ctl::text::clean;
use crate::types::NodeId;
use crate::wire::{LinkStatus, Mode, ServiceState, Status, Unreachable};
use serde::Serialize;

/// What one node says of another on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cell {
    /// It is the node itself.
    #[serde(rename = "self")]
    Itself,
    /// Connected.
    Connected,
    /// It goes down and up again and again.
    Flapping,
    /// This node hears the other one, which does not hear it.
    OneWay,
    /// Down.
    Down,
    /// This node did not answer.
    Unknown,
    /// This node has no such link.
    None,
}

/// What a node is to the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Voice {
    /// It tells of its links.
    Tells,
    /// It answers, and its corosync has none; why, in words.
    Idle(String),
    /// It does not answer; why, if it could not be asked, and in words.
    Silent(Option<Unreachable>, String),
}

/// A row and a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    pub name: String,
    pub nodeid: Option<NodeId>,
    pub local: bool,
    pub voice: Voice,
}

/// One link: `cells[a][b]` is what node `a` says of node `b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grid {
    pub link: u8,
    pub cells: Vec<Vec<Cell>>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matrix {
    pub nodes: Vec<Seat>,
    pub grids: Vec<Grid>,
}

impl Matrix {
    pub fn of(nodes: &[Node<Status>]) -> Matrix {
        let told = nodes.iter().filter_map(|n| n.said.as_ref().ok());
        let mut links: Vec<u8> = told.flat_map(|s| &s.links).map(|l| l.link).collect();
        links.sort_unstable();
        links.dedup();
        let seats: Vec<Seat> = nodes.iter().map(|n| seat(n, !links.is_empty())).collect();
        let grids = links
            .into_iter()
            .map(|link| Grid {
                link,
                cells: cells(nodes, &seats, link),
            })
            .collect();
        Matrix {
            nodes: seats,
            grids,
        }
    }
}

fn seat(node: &Node<Status>, links: bool) -> Seat {
    let (voice, own) = match &node.said {
        Err(silent) => (Voice::Silent(silent.reason, silent.words.clone()), None),
        Ok(status) => (voice(status, links), status.node.nodeid),
    };
    Seat {
        name: node.name.clone(),
        nodeid: node.nodeid.or(own),
        local: node.local,
        voice,
    }
}

fn voice(status: &Status, others_have_links: bool) -> Voice {
    let state = status.service.state;
    if status.mode == Mode::Standalone {
        let reason = status.mode_reason.map_or("", |r| r.as_str());
        return Voice::Idle(format!("STANDALONE, {}", clean(reason)));
    }
    if state != ServiceState::Running {
        return Voice::Idle(state.as_str().to_owned());
    }
    if status.links.is_empty() && others_have_links {
        return Voice::Idle("running, and it tells nothing of its links".to_owned());
    }
    Voice::Tells
}

fn cells(nodes: &[Node<Status>], seats: &[Seat], link: u8) -> Vec<Vec<Cell>> {
    let row = |a: usize| {
        let links: &[LinkStatus] = match &nodes[a].said {
            Ok(status) => &status.links,
            Err(_) => &[],
        };
        let cell = |b: usize| match &seats[a].voice {
            _ if a == b => Cell::Itself,
            Voice::Silent(..) => Cell::Unknown,
            _ => {
                let its = |l: &&LinkStatus| l.link == link && seats[b].nodeid == Some(l.nodeid);
                links.iter().find(its).map_or(Cell::None, cell_of)
            }
        };
        (0..seats.len()).map(cell).collect()
    };
    (0..seats.len()).map(row).collect()
}

fn cell_of(l: &LinkStatus) -> Cell {
    match (l.flapping, l.connected, l.heard) {
        (true, _, _) => Cell::Flapping,
        (false, true, _) => Cell::Connected,
        (false, false, Some(true)) => Cell::OneWay,
        (false, false, _) => Cell::Down,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ctl::all::tests::{cluster, silent};
    use crate::wire::Reason;

    #[test]
    fn a_cell_is_what_the_node_of_the_row_says_of_that_of_the_column() {
        use Cell::{Connected, Down, Flapping, Itself, None, OneWay, Unknown};
        let mut nodes = cluster(4, 2);
        let links = &mut nodes[0].said.as_mut().unwrap().links;
        // To node 2 on link 0 and 1, to node 3 on link 0.
        (links[0].connected, links[0].heard) = (false, Some(true));
        (links[1].connected, links[1].heard) = (false, Some(false));
        links[2].flapping = true;
        links.pop();
        let held = nodes[2].said.as_ref().unwrap().clone();
        nodes[2].said = Ok(held.standalone(Reason::Held));
        silent(&mut nodes[3], Unreachable::Refused);
        let m = Matrix::of(&nodes);
        assert_eq!(m.grids.len(), 2);
        assert_eq!(m.grids[0].cells[0], [Itself, OneWay, Flapping, Connected]);
        assert_eq!(m.grids[1].cells[0], [Itself, Down, Connected, None]);
        assert_eq!(m.grids[0].cells[2], [None, None, Itself, None]);
        assert_eq!(m.grids[0].cells[3], [Unknown, Unknown, Unknown, Itself]);
        assert_eq!(m.nodes[1].voice, Voice::Tells);
        assert_eq!(m.nodes[2].voice, Voice::Idle("STANDALONE, held".to_owned()));
        assert!(matches!(
            m.nodes[3].voice,
            Voice::Silent(Some(Unreachable::Refused), _)
        ));
    }
}
