//! The sentences about faults of links, and what to look at.

use super::cells::{Cell, Matrix, Voice};
use super::faults::Fault;
use super::shapes::{Look, Shape};
use crate::ctl::all::list;
use crate::wire::Unreachable;

/// The ports that corosync uses by default: what a firewall has to let through.
const PORTS: &str = "UDP port 5405 and up";

fn names(matrix: &Matrix, nodes: &[usize]) -> Vec<String> {
    nodes
        .iter()
        .map(|n| matrix.nodes[*n].name.clone())
        .collect()
}

fn fault(code: &'static str, nodes: Vec<String>, text: String, look: String) -> Fault {
    Fault {
        code,
        links: Vec::new(),
        nodes,
        groups: Vec::new(),
        text,
        look,
    }
}

/// A node whose corosync does not run, or tells nothing.
pub(super) fn idle(matrix: &Matrix, node: usize, why: &str) -> Fault {
    let name = &matrix.nodes[node].name;
    fault(
        "not-running",
        vec![name.clone()],
        format!("{name} has no links: its corosync is {why}"),
        format!("look at corosync on {name}, not at its network: clusmgrctl why --node {name}"),
    )
}

/// A node that does not answer, while others hear its corosync.
pub(super) fn clusmgr_silent(
    matrix: &Matrix,
    node: usize,
    reason: Option<Unreachable>,
    why: &str,
    by: &[usize],
) -> Fault {
    let name = &matrix.nodes[node].name;
    if reason == Some(Unreachable::Busy) {
        return busy(name);
    }
    let by = names(matrix, by);
    let verb = if by.len() == 1 { "hears" } else { "hear" };
    let look = match reason {
        Some(Unreachable::WrongKey) => format!(
            "look at the authkey on {name}: it was changed, and its corosync still runs with the old one"
        ),
        Some(Unreachable::TimedOut) => format!(
            "look at clusmgr on {name}, not at its network: it hangs, or a firewall drops TCP port 5407"
        ),
        Some(Unreachable::OtherProtocol) => format!("install the same clusmgr on {name}"),
        Some(Unreachable::NoKey) => "look at the authkey of this node: there is none".to_owned(),
        Some(Unreachable::WrongNode) => wrong_address(name),
        _ => format!("look at clusmgr on {name}, not at its network"),
    };
    fault(
        "clusmgr-silent",
        vec![name.clone()],
        format!(
            "{name} does not answer ({why}), but {} {verb} its corosync",
            list(&by)
        ),
        look,
    )
}

fn wrong_address(name: &str) -> String {
    format!(
        "look at the addresses of {name} in corosync.conf and DNS, and at who has them now; not at its \
         clusmgr"
    )
}

/// A node that was not asked, for want of room for one more question: nothing is wrong with it.
fn busy(name: &str) -> Fault {
    fault(
        "busy",
        vec![name.to_owned()],
        format!("{name} was not asked: too much is asked of it at the moment"),
        "ask again in a few seconds; nothing says that its clusmgr is at fault".to_owned(),
    )
}

/// A node that does not answer because the links to it from this node do not work, while others hear it.
pub(super) fn cut_from_here(matrix: &Matrix, node: usize, here: usize, by: &[usize]) -> Fault {
    let (name, here) = (&matrix.nodes[node].name, &matrix.nodes[here].name);
    let others: Vec<String> = names(matrix, by);
    let others: Vec<&String> = others.iter().filter(|n| *n != here).collect();
    let (text, elsewhere) = match others.first() {
        None => (format!("{name} cannot be asked from here"), String::new()),
        Some(first) => {
            let verb = if others.len() == 1 { "hears" } else { "hear" };
            (
                format!(
                    "{name} cannot be asked from here, but {} {verb} its corosync",
                    list(&others)
                ),
                format!("; {first} can be asked what {name} says"),
            )
        }
    };
    fault(
        "cut-from-here",
        vec![name.clone(), here.clone()],
        text,
        format!("look at what is between {here} and {name}, not at clusmgr{elsewhere}"),
    )
}

/// Nodes that do not answer, and that nobody hears.
pub(super) fn gone(
    matrix: &Matrix,
    reason: Option<Unreachable>,
    nodes: &[usize],
    tellers: &[usize],
) -> Fault {
    let who = names(matrix, nodes);
    let (they, several) = (list(&who), who.len() > 1);
    let (answer, are) = match several {
        true => ("do not answer", "they are off"),
        false => ("does not answer", "it is off"),
    };
    let local = matrix.nodes.iter().position(|n| n.local);
    let alone = tellers.len() == 1 && local == Some(tellers[0]);
    let everyone_else = nodes.len() + 1 == matrix.nodes.len();
    match reason {
        Some(Unreachable::Busy) => busy(&they),
        Some(Unreachable::WrongNode) => fault(
            "wrong-node",
            who,
            format!("nobody hears {they}, and another node answers at its address"),
            wrong_address(&they),
        ),
        Some(Unreachable::WrongKey) => fault(
            "wrong-key",
            who,
            format!("nobody hears {they}, and its clusmgr has another authkey than this node"),
            format!("look at the authkey of {they}: clusmgrctl key fingerprint on both nodes"),
        ),
        Some(Unreachable::Refused) => fault(
            "node-down",
            who,
            format!("nobody hears {they}, and no clusmgr runs there, though the machine answers"),
            format!("look at {they}: start clusmgr"),
        ),
        Some(Unreachable::TimedOut) if alone && everyone_else => fault(
            "alone",
            who,
            format!("this node hears nobody, and {they} {answer}"),
            "look at this node first: its network cards, cables and switch ports; then whether \
             the others are off"
                .to_owned(),
        ),
        Some(Unreachable::TimedOut) if several => fault(
            "nodes-off",
            who,
            format!("nobody hears {they}, and they do not answer"),
            format!(
                "{are}, or cut off together: look at what connects them with {}",
                list(&names(matrix, tellers))
            ),
        ),
        Some(Unreachable::TimedOut) => fault(
            "node-off",
            who,
            format!("nobody hears {they}, and it does not answer"),
            format!("{are}, or cut off: look at the power of {they}, then at its network"),
        ),
        other => {
            let why = other.map_or("refused to answer", Unreachable::as_str);
            let text = format!("nobody hears {they}, and it cannot be asked ({why})");
            let look = format!("look at {they} itself, and at clusmgrctl status --all");
            fault("node-gone", who, text, look)
        }
    }
}

/// `link 0`, `links 0 and 1`.
fn of(links: &[u8]) -> String {
    let numbers: Vec<String> = links.iter().map(u8::to_string).collect();
    let noun = if links.len() == 1 { "link" } else { "links" };
    format!("{noun} {}", list(&numbers))
}

/// A fault on some links, or on every one.
pub(super) fn on_links(
    matrix: &Matrix,
    shape: &Shape,
    links: &[u8],
    every: bool,
    look: Look,
) -> Fault {
    let mut fault = match look {
        Look::Broken => broken(matrix, shape, links, every),
        Look::Flapping => flapping(matrix, shape, links, every),
    };
    fault.links = links.to_vec();
    if let Shape::Split(groups) = shape {
        fault.groups = groups.iter().map(|g| names(matrix, g)).collect();
    }
    fault
}

/// Whether one of two nodes is connected to the other and that one is not, on each of these links: knet
/// needs both directions for either, so that this does not last.
fn disagree(matrix: &Matrix, a: usize, b: usize, links: &[u8]) -> bool {
    let mut grids = matrix.grids.iter().filter(|g| links.contains(&g.link));
    grids.all(|g| (g.cells[a][b] == Cell::Connected) != (g.cells[b][a] == Cell::Connected))
        && matrix.nodes[a].voice == Voice::Tells
        && matrix.nodes[b].voice == Voice::Tells
}

fn broken(matrix: &Matrix, shape: &Shape, links: &[u8], every: bool) -> Fault {
    let on = match every {
        true => "on every link".to_owned(),
        false => format!("on {}", of(links)),
    };
    let on_any = match every {
        true => "on any link".to_owned(),
        false => on.clone(),
    };
    let name = |n: &usize| matrix.nodes[*n].name.clone();
    match shape {
        Shape::Whole => fault(
            "link-dead",
            Vec::new(),
            format!("nobody hears anybody {on_any}"),
            match every {
                // The nodes answered, and so they have a network.
                true => format!(
                    "the nodes answer, so their network is there: look at what drops {PORTS}, and \
                     whether all have the same authkey"
                ),
                false => format!("look at the switch of {}", of(links)),
            },
        ),
        Shape::Split(groups) => {
            let all: Vec<String> = groups.iter().map(|g| list(&names(matrix, g))).collect();
            let everyone = groups.iter().flatten().map(name).collect();
            fault(
                "split",
                everyone,
                format!("the nodes are split {on}: {}", all.join(" | ")),
                "look at what connects these groups: the line between their switches, or a VLAN \
                 that one of them lacks"
                    .to_owned(),
            )
        }
        Shape::Cut(n) if every => fault(
            "node-cut-off",
            vec![name(n)],
            format!("{} is cut off {on}, though its clusmgr is reached", name(n)),
            format!(
                "look at the firewall of {} ({PORTS}), and whether its corosync has the others' \
                 authkey",
                name(n)
            ),
        ),
        Shape::Cut(n) => fault(
            "node-cut-off",
            vec![name(n)],
            format!("{} is cut off {on}", name(n)),
            format!(
                "look at the network card, cable and switch port of {} there",
                name(n)
            ),
        ),
        Shape::Mute(n) => fault(
            "node-mute",
            vec![name(n)],
            format!("nobody hears {} {on}, which hears the others", name(n)),
            format!(
                "look at what {} sends there: its firewall, its network card",
                name(n)
            ),
        ),
        Shape::Deaf(n) => fault(
            "node-deaf",
            vec![name(n)],
            format!("{} hears nobody {on}, while the others hear it", name(n)),
            format!(
                "look at what {} lets in there: its firewall ({PORTS}), its network card",
                name(n)
            ),
        ),
        Shape::Star(n, others) => {
            let who = list(&names(matrix, others));
            let mut all = vec![name(n)];
            all.extend(others.iter().map(name));
            fault(
                "pairs",
                all,
                format!(
                    "{} cannot talk with {who} {on_any}, but with others",
                    name(n)
                ),
                format!(
                    "look at {} first, then at the switches between it and {who}",
                    name(n)
                ),
            )
        }
        Shape::Pair(a, b) if disagree(matrix, *a, *b, links) => fault(
            "changing",
            vec![name(a), name(b)],
            format!(
                "{} and {} do not say the same of each other {on}",
                name(a),
                name(b)
            ),
            "look again in a few seconds: one has not noticed yet what the other has".to_owned(),
        ),
        Shape::Pair(a, b) => fault(
            "pair",
            vec![name(a), name(b)],
            format!("{} and {} cannot talk {on_any}", name(a), name(b)),
            match matrix.nodes.len() {
                2 => format!(
                    "look at the cable or switch between {} and {}, and at their network cards",
                    name(a),
                    name(b)
                ),
                _ => format!(
                    "look at what is between {} and {}: a cable, a switch, a firewall on either",
                    name(a),
                    name(b)
                ),
            },
        ),
        Shape::Lost(from, to) => fault(
            "one-way",
            vec![name(from), name(to)],
            format!(
                "one-way {on}: {} does not hear {}, which hears it",
                name(to),
                name(from)
            ),
            format!(
                "look at what {} sends and what {} lets in: their firewalls ({PORTS}), then the \
                 switch between them",
                name(from),
                name(to)
            ),
        ),
    }
}

fn flapping(matrix: &Matrix, shape: &Shape, links: &[u8], every: bool) -> Fault {
    let on = match every {
        true => "on every link".to_owned(),
        false => format!("on {}", of(links)),
    };
    let name = |n: &usize| matrix.nodes[*n].name.clone();
    let (nodes, text, look) = match shape {
        Shape::Whole => (
            Vec::new(),
            format!("between all nodes it goes up and down again and again {on}"),
            format!("look at the switch of {}", of(links)),
        ),
        Shape::Split(groups) => {
            let all: Vec<String> = groups.iter().map(|g| list(&names(matrix, g))).collect();
            (
                groups.iter().flatten().map(name).collect(),
                format!(
                    "between these groups it goes up and down again and again {on}: {}",
                    all.join(" | ")
                ),
                "look at the line between their switches".to_owned(),
            )
        }
        Shape::Cut(n) | Shape::Mute(n) | Shape::Deaf(n) => (
            vec![name(n)],
            format!(
                "{} goes up and down again and again {on}, for all others",
                name(n)
            ),
            format!(
                "look at the network card, cable and switch port of {} there",
                name(n)
            ),
        ),
        Shape::Star(n, others) => {
            let mut all = vec![name(n)];
            all.extend(others.iter().map(name));
            (
                all,
                format!(
                    "between {} and {} it goes up and down again and again {on}",
                    name(n),
                    list(&names(matrix, others))
                ),
                format!(
                    "look at the network card, cable and switch port of {}",
                    name(n)
                ),
            )
        }
        Shape::Pair(a, b) | Shape::Lost(a, b) => (
            vec![name(a), name(b)],
            format!(
                "between {} and {} it goes up and down again and again {on}",
                name(a),
                name(b)
            ),
            format!(
                "look at the cables and switch ports of {} and {}",
                name(a),
                name(b)
            ),
        ),
    };
    fault("flapping", nodes, text, look)
}
