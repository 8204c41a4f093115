//! What every node says, side by side: `status --all`, `why --all`, `config diff --all`,
//! `key fingerprint --all`.

mod config;
mod differs;
mod key;
mod status;
mod why;

use super::client::Result;
use super::cluster::cut;
use super::commands::{Cli, Question};
use super::connect;
use super::matrix;
use super::output::Out;
use super::status::UNKNOWN;
use super::text::clean;
use crate::types::NodeId;
use crate::wire::{ANSWERS, AllReply, Answer, NodeAnswer, Request, Unreachable, WireError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Most characters of a node's name; longer ones are no host names.
const NAME: usize = 64;
/// Most characters of a reason that a node or the daemon gives.
const WORDS: usize = 400;

/// Asks all nodes and prints what they say; gives the exit code.
pub(super) fn run(cli: &Cli, out: &Out, what: Question, json: bool) -> Result<u8> {
    match what {
        // What others call a failure is for `status` one of not knowing.
        Question::Status => status::run(cli, out, json).or_else(|e| super::status::unknown(cli, e)),
        Question::Why => why::run(cli, out, json),
        Question::ConfigDiff => config::run(cli, out, json),
        Question::KeyFingerprint => key::run(cli, out, json),
        Question::LinkMatrix => matrix::run(cli, out, json),
    }
}

/// One node, and what it said.
#[derive(Debug)]
pub(super) struct Node<T> {
    /// Clean and of a bounded length.
    pub name: String,
    pub nodeid: Option<NodeId>,
    /// It is the one whose daemon asked all others.
    pub local: bool,
    pub said: std::result::Result<T, Silent>,
}

/// Why there is nothing of a node.
#[derive(Debug, Clone)]
pub(super) struct Silent {
    /// It could not be asked; none if it was, and refused.
    pub reason: Option<Unreachable>,
    /// The code of the error.
    pub code: String,
    /// One clean line.
    pub words: String,
}

/// Asks all nodes the same: as it came, and read.
pub(super) fn ask<T: DeserializeOwned>(
    cli: &Cli,
    request: Request,
) -> Result<(Value, Vec<Node<T>>)> {
    let (value, reply) = connect(cli)?.everywhere(request)?;
    Ok((value, read(reply)))
}

/// Reads every node's answer for itself: one that is not understood is that node's fault alone.
pub(super) fn read<T: DeserializeOwned>(reply: AllReply) -> Vec<Node<T>> {
    reply.nodes.into_iter().map(read_one).collect()
}

fn read_one<T: DeserializeOwned>(node: NodeAnswer) -> Node<T> {
    let said = match node.answer {
        Answer::Ok(value) => serde_json::from_value(value).map_err(|e| Silent {
            reason: None,
            code: "failed".to_owned(),
            words: cut(&clean(&format!("its answer is not understood: {e}")), WORDS),
        }),
        Answer::Err(e) => Err(Silent {
            reason: node.unreachable,
            words: reason(node.unreachable, &e),
            code: e.code,
        }),
    };
    Node {
        name: cut(&clean(&node.node), NAME),
        nodeid: node.nodeid,
        local: node.local,
        said,
    }
}

/// Why a node said nothing, in words for one who is to do something about it.
fn reason(why: Option<Unreachable>, e: &WireError) -> String {
    let known = match why {
        Some(Unreachable::Refused) => "refused: the machine is there, and no clusmgr listens on it",
        Some(Unreachable::TimedOut) => "timed out: it is off, or cut off from this node",
        Some(Unreachable::WrongKey) => "wrong key: it has another authkey than this node",
        Some(Unreachable::OtherProtocol) => {
            "other protocol: its clusmgr is of another version, or it is none"
        }
        Some(Unreachable::NoKey) => "no key: this node has none, and cannot ask",
        Some(Unreachable::NoAddress) => "no address: none of its addresses can be found or used",
        Some(Unreachable::Busy) => "busy: too many connections to it or on it",
        Some(Unreachable::WrongNode) => return cut(&clean(&wrong_node(&e.message)), WORDS),
        Some(Unreachable::Failed) | None => return cut(&clean(&e.message), WORDS),
    };
    known.to_owned()
}

/// Who it is that answers, which is the last thing that the message says.
fn wrong_node(message: &str) -> String {
    let said = message.split(": ").find(|part| part.contains(ANSWERS));
    let said = said.unwrap_or("another node answers at its address");
    format!("wrong node: {said}")
}

/// The answer of all with what is concluded from it, for programs.
pub(super) fn with(mut value: Value, concluded: Value) -> Value {
    match value.as_object_mut() {
        Some(object) => {
            object.insert("concluded".to_owned(), concluded);
            value
        }
        None => json!({"nodes": value, "concluded": concluded}),
    }
}

/// `a, b and c`.
pub(super) fn list<S: AsRef<str>>(all: &[S]) -> String {
    match all {
        [] => "none".to_owned(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// The worse of two exit codes of `status`: of what is not known nothing can be hoped.
fn worse(a: u8, b: u8) -> u8 {
    let rank = |code: u8| match code {
        0 => 0,
        151 => 1,
        150 => 2,
        _ => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// The exit code of one node.
fn code(node: &Node<crate::wire::Status>) -> u8 {
    match &node.said {
        Ok(status) => super::output::exit_code(status),
        Err(_) => UNKNOWN,
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::types::WallMs;
    use crate::wire::Status;
    use crate::wire::sample::{NOW, healthy};

    /// One of so many nodes that do well: the sample with another node's eyes.
    pub fn seen_by(id: u32, nodes: u32, links: u8) -> Status {
        let mut s = healthy(nodes, links);
        s.node.name = format!("n{id}");
        s.node.nodeid = Some(NodeId(id));
        for m in &mut s.cluster.as_mut().unwrap().members {
            m.local = m.nodeid == NodeId(id);
        }
        for l in s.links.iter_mut().filter(|l| l.nodeid.0 <= id) {
            l.nodeid.0 -= 1;
            l.name = format!("n{}", l.nodeid.0);
        }
        s
    }

    /// All of them, of which the first asked.
    pub fn cluster(nodes: u32, links: u8) -> Vec<Node<Status>> {
        let node = |id| Node {
            name: format!("n{id}"),
            nodeid: Some(NodeId(id)),
            local: id == 1,
            said: Ok(seen_by(id, nodes, links)),
        };
        (1..=nodes).map(node).collect()
    }

    pub fn silent<T>(node: &mut Node<T>, reason: Unreachable) {
        let e = WireError {
            code: "unreachable".to_owned(),
            message: "ask n: it did not work".to_owned(),
        };
        node.said = Err(Silent {
            reason: Some(reason),
            code: e.code.clone(),
            words: super::reason(Some(reason), &e),
        });
    }

    pub fn view(width: usize, colour: bool) -> crate::ctl::output::View {
        crate::ctl::output::View {
            now: WallMs(NOW),
            ago: false,
            width,
            colour,
            time: |t| t.0.to_string(),
        }
    }

    #[test]
    fn a_sample_cluster_is_one_whose_nodes_see_each_other() {
        let status = seen_by(2, 3, 2);
        let seen: Vec<(u32, u8)> = status.links.iter().map(|l| (l.nodeid.0, l.link)).collect();
        assert_eq!(seen, [(1, 0), (1, 1), (3, 0), (3, 1)]);
    }

    #[test]
    fn an_answer_is_read_for_itself_and_a_name_cannot_steer_the_terminal() {
        let reply: AllReply = serde_json::from_value(json!({"nodes": [
            {"node": "n1", "nodeid": 1, "local": true, "ok": {"fingerprint": "ab"}},
            {"node": format!("n2\u{1b}[2J{}", "x".repeat(500)), "nodeid": 2, "ok": 7},
            {"node": "n3", "nodeid": null, "unreachable": "wrong-key", "err":
                {"code": "unreachable", "message": "m"}},
            {"node": "n4", "nodeid": 4, "unreachable": "failed", "err":
                {"code": "unreachable", "message": "odd\nthing"}},
            {"node": "n5", "nodeid": 5, "unreachable": "wrong-node", "err":
                {"code": "unreachable", "message": "ask node n5: 10.0.0.5:5407: n2 (nodeid 2) \
                answers at this address, and n5 was asked"}},
        ]}))
        .unwrap();
        let nodes: Vec<Node<std::collections::BTreeMap<String, String>>> = read(reply);
        assert_eq!(nodes[0].said.as_ref().unwrap()["fingerprint"], "ab");
        assert!(nodes[0].local && !nodes[2].local);
        assert!(nodes[1].name.starts_with("n2\u{fffd}[2Jx"), "{nodes:?}");
        assert_eq!(nodes[1].name.chars().count(), NAME);
        let words = |n: usize| nodes[n].said.as_ref().unwrap_err().words.clone();
        assert!(words(1).starts_with("its answer is not understood"));
        assert!(words(2).starts_with("wrong key: "));
        assert_eq!(
            words(4),
            "wrong node: n2 (nodeid 2) answers at this address, and n5 was asked"
        );
        assert_eq!(words(3), "odd\u{fffd}thing");
    }

    #[test]
    fn lists_and_the_worse_of_two_codes() {
        assert_eq!(list::<&str>(&[]), "none");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        for (a, b, worst) in [(0, 151, 151), (151, 150, 150), (150, 4, 4), (4, 0, 4)] {
            assert_eq!((worse(a, b), worse(b, a)), (worst, worst));
        }
    }
}
