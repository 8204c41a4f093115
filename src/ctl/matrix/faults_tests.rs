#![allow(clippy::unwrap_used)]

use super::*;
use crate::ctl::all::Node;
use crate::ctl::all::tests::{cluster, silent};
use crate::types::NodeId;
use crate::wire::{LinkStatus, MemberState, Reason, Status};

fn link(node: &mut Node<Status>, to: u32, number: u8) -> Option<&mut LinkStatus> {
    let links = &mut node.said.as_mut().ok()?.links;
    links
        .iter_mut()
        .find(|l| l.nodeid == NodeId(to) && l.link == number)
}

/// Neither hears the other on a link.
fn cut(nodes: &mut [Node<Status>], a: u32, b: u32, number: u8) {
    for (from, to) in [(a, b), (b, a)] {
        if let Some(l) = link(&mut nodes[from as usize - 1], to, number) {
            (l.connected, l.heard) = (false, Some(false));
        }
    }
}

/// What `from` sends is lost on its way to `to`.
fn lose(nodes: &mut [Node<Status>], from: u32, to: u32, number: u8) {
    cut(nodes, from, to, number);
    link(&mut nodes[from as usize - 1], to, number)
        .unwrap()
        .heard = Some(true);
}

fn flap(nodes: &mut [Node<Status>], a: u32, b: u32, number: u8) {
    link(&mut nodes[a as usize - 1], b, number)
        .unwrap()
        .flapping = true;
}

/// A node is not there for corosync: no other hears it.
fn unheard(nodes: &mut [Node<Status>], who: u32) {
    let all: Vec<u32> = (1..=nodes.len())
        .map(|n| u32::try_from(n).unwrap())
        .collect();
    for other in all.into_iter().filter(|o| *o != who) {
        for number in 0..2 {
            cut(nodes, who, other, number);
        }
    }
}

fn found(nodes: &[Node<Status>]) -> Vec<Fault> {
    faults(&Matrix::of(nodes))
}

/// Code and links of each, and all sentences.
fn said(nodes: &[Node<Status>]) -> (Vec<(&'static str, Vec<u8>)>, String) {
    let all = found(nodes);
    let codes = all.iter().map(|f| (f.code, f.links.clone())).collect();
    let text: Vec<String> = all
        .iter()
        .map(|f| format!("{}; {}", f.text, f.look))
        .collect();
    (codes, text.join("\n"))
}

#[test]
fn every_single_fault_is_called_by_its_name() {
    type Change = fn(&mut Vec<Node<Status>>);
    // What is done to a cluster of so many nodes; code, links and words of the one fault.
    type Case = (
        &'static str,
        u32,
        Change,
        &'static str,
        &'static [u8],
        &'static str,
    );
    let table: [Case; 21] = [
        (
            "pair",
            4,
            |n| cut(n, 1, 3, 1),
            "pair",
            &[1],
            "n1 and n3 cannot talk on link 1; look at what is between",
        ),
        (
            "pair of two",
            2,
            |n| cut(n, 1, 2, 0),
            "pair",
            &[0],
            "the cable or switch between n1 and n2",
        ),
        (
            "pair everywhere",
            3,
            |n| {
                cut(n, 1, 2, 0);
                cut(n, 1, 2, 1);
            },
            "pair",
            &[0, 1],
            "cannot talk on any link",
        ),
        (
            "one-way",
            3,
            |n| lose(n, 1, 2, 0),
            "one-way",
            &[0],
            "one-way on link 0: n2 does not hear n1, which hears it; look at what n1 sends and what n2 lets in",
        ),
        (
            "card",
            4,
            |n| {
                for o in [1, 2, 4] {
                    cut(n, 3, o, 1);
                }
            },
            "node-cut-off",
            &[1],
            "n3 is cut off on link 1; look at the network card, cable and switch port of n3",
        ),
        (
            "node",
            4,
            |n| unheard(n, 3),
            "node-cut-off",
            &[0, 1],
            "n3 is cut off on every link, though its clusmgr is reached; look at the firewall of n3",
        ),
        (
            "mute",
            3,
            |n| {
                for o in [1, 2] {
                    lose(n, 3, o, 0);
                }
            },
            "node-mute",
            &[0],
            "nobody hears n3 on link 0, which hears the others",
        ),
        (
            "deaf",
            3,
            |n| {
                for o in [1, 2] {
                    lose(n, o, 3, 0);
                }
            },
            "node-deaf",
            &[0],
            "n3 hears nobody on link 0, while the others hear it",
        ),
        (
            "switch",
            3,
            |n| {
                for (a, b) in [(1, 2), (1, 3), (2, 3)] {
                    cut(n, a, b, 1);
                }
            },
            "link-dead",
            &[1],
            "nobody hears anybody on link 1; look at the switch of link 1",
        ),
        (
            "firewall",
            3,
            |n| {
                for l in [0, 1] {
                    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
                        cut(n, a, b, l);
                    }
                }
            },
            "link-dead",
            &[0, 1],
            "nobody hears anybody on any link; the nodes answer",
        ),
        (
            "split",
            4,
            |n| {
                for l in [0, 1] {
                    for (a, b) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
                        cut(n, a, b, l);
                    }
                }
            },
            "split",
            &[0, 1],
            "split on every link: n1 and n2 | n3 and n4",
        ),
        (
            "star",
            5,
            |n| {
                for o in [2, 3, 4] {
                    cut(n, 1, o, 0);
                }
            },
            "pairs",
            &[0],
            "n1 cannot talk with n2, n3 and n4 on link 0, but with others",
        ),
        (
            "clusmgr",
            3,
            |n| silent(&mut n[2], Unreachable::Refused),
            "clusmgr-silent",
            &[],
            "but n1 and n2 hear its corosync; look at clusmgr on n3, not at its network",
        ),
        (
            "busy",
            3,
            |n| silent(&mut n[2], Unreachable::Busy),
            "busy",
            &[],
            "n3 was not asked: too much is asked of it at the moment; ask again",
        ),
        (
            "another node at its address",
            3,
            |n| silent(&mut n[2], Unreachable::WrongNode),
            "clusmgr-silent",
            &[],
            "look at the addresses of n3",
        ),
        (
            "off",
            3,
            |n| {
                unheard(n, 3);
                silent(&mut n[2], Unreachable::TimedOut);
            },
            "node-off",
            &[],
            "nobody hears n3, and it does not answer; it is off, or cut off: look at the power of n3",
        ),
        (
            "other key",
            3,
            |n| {
                unheard(n, 3);
                silent(&mut n[2], Unreachable::WrongKey);
            },
            "wrong-key",
            &[],
            "look at the authkey of n3",
        ),
        (
            "no clusmgr",
            3,
            |n| {
                unheard(n, 3);
                silent(&mut n[2], Unreachable::Refused);
            },
            "node-down",
            &[],
            "though the machine answers; look at n3: start clusmgr",
        ),
        (
            "held",
            3,
            |n| {
                unheard(n, 3);
                let s = n[2].said.as_ref().unwrap().clone();
                n[2].said = Ok(s.standalone(Reason::Held));
            },
            "not-running",
            &[],
            "n3 has no links: its corosync is STANDALONE, held",
        ),
        (
            "flapping card",
            3,
            |n| {
                for o in [1, 2] {
                    flap(n, 3, o, 1);
                }
            },
            "flapping",
            &[1],
            "n3 goes up and down again and again on link 1, for all others; look at the network card",
        ),
        (
            "flapping pair",
            3,
            |n| flap(n, 1, 2, 0),
            "flapping",
            &[0],
            "between n1 and n2 it goes up and down again and again on link 0",
        ),
    ];
    for (what, count, change, code, links, part) in table {
        let mut nodes = cluster(count, 2);
        change(&mut nodes);
        let (codes, text) = said(&nodes);
        assert_eq!(codes, [(code, links.to_vec())], "{what}: {text}");
        assert!(text.contains(part), "{what}: {text}");
    }
}

#[test]
fn where_nothing_is_wrong_nothing_is_found() {
    for (nodes, links) in [(1, 0), (2, 1), (3, 2), (16, 8), (3, 0)] {
        assert_eq!(found(&cluster(nodes, links)), [], "{nodes} {links}");
    }
}

#[test]
fn the_other_half_of_a_split_does_not_answer_and_is_told_as_one() {
    let mut nodes = cluster(5, 2);
    for n in [4, 5] {
        unheard(&mut nodes, n);
        silent(&mut nodes[n as usize - 1], Unreachable::TimedOut);
    }
    let (codes, text) = said(&nodes);
    assert_eq!(codes, [("nodes-off", vec![])], "{text}");
    assert!(
        text.contains("nobody hears n4 and n5, and they do not answer; they are off, or cut off together: look at what connects them with n1, n2 and n3"),
        "{text}"
    );
}

#[test]
fn a_node_that_is_cut_off_from_this_one_alone_is_no_matter_of_its_clusmgr() {
    for one_way in [false, true] {
        let mut nodes = cluster(4, 2);
        for number in [0, 1] {
            cut(&mut nodes, 1, 2, number);
            if one_way {
                link(&mut nodes[0], 2, number).unwrap().heard = Some(true);
            }
        }
        silent(&mut nodes[1], Unreachable::TimedOut);
        let (codes, text) = said(&nodes);
        let pair = if one_way { "one-way" } else { "pair" };
        assert_eq!(
            codes,
            [(pair, vec![0, 1]), ("cut-from-here", vec![])],
            "{text}"
        );
        assert!(
            text.contains(
                "n2 cannot be asked from here, but n3 and n4 hear its corosync; look at what is \
                 between n1 and n2, not at clusmgr; n3 can be asked what n2 says"
            ),
            "{text}"
        );
    }
}

#[test]
fn a_node_that_is_alone_looks_at_itself_first() {
    let mut nodes = cluster(3, 2);
    for n in [2, 3] {
        unheard(&mut nodes, n);
        silent(&mut nodes[n as usize - 1], Unreachable::TimedOut);
    }
    let (codes, text) = said(&nodes);
    assert_eq!(codes, [("alone", vec![])], "{text}");
    assert!(text.contains("look at this node first"), "{text}");
}

#[test]
fn faults_on_different_links_and_of_different_kinds_are_told_beside_each_other() {
    let mut nodes = cluster(4, 2);
    for (a, b) in [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)] {
        cut(&mut nodes, a, b, 1);
    }
    cut(&mut nodes, 2, 4, 0);
    silent(&mut nodes[1], Unreachable::TimedOut);
    let (codes, text) = said(&nodes);
    assert_eq!(
        codes,
        [
            ("link-dead", vec![1]),
            ("pair", vec![0]),
            ("clusmgr-silent", vec![])
        ],
        "{text}"
    );
    assert!(text.contains("TCP port 5407"), "{text}");
}

#[test]
fn a_split_names_its_groups_for_programs_too() {
    let mut nodes = cluster(5, 1);
    for (a, b) in [(1, 4), (1, 5), (2, 4), (2, 5), (3, 4), (3, 5)] {
        cut(&mut nodes, a, b, 0);
    }
    let all = found(&nodes);
    assert_eq!(
        all[0].groups,
        [
            vec!["n1".to_owned(), "n2".to_owned(), "n3".to_owned()],
            vec!["n4".to_owned(), "n5".to_owned()]
        ]
    );
    let value = serde_json::to_value(&all[0]).unwrap();
    assert_eq!(
        (&value["code"], &value["links"][0]),
        (&"split".into(), &0.into())
    );
}

#[test]
fn a_corosync_that_runs_and_tells_of_no_links_is_no_matter_of_the_network() {
    let mut nodes = cluster(3, 1);
    nodes[1].said.as_mut().unwrap().links.clear();
    let (codes, text) = said(&nodes);
    assert_eq!(codes, [("not-running", vec![])], "{text}");
    // Its links are down, and the other has not noticed yet.
    let mut nodes = cluster(3, 1);
    let status = nodes[0].said.as_ref().unwrap().clone();
    nodes[0].said = Ok(status.without(3, MemberState::Left));
    assert_eq!(said(&nodes).0, [("changing", vec![0])]);
    let status = nodes[2].said.as_ref().unwrap().clone();
    nodes[2].said = Ok(status.without(1, MemberState::Left));
    assert_eq!(said(&nodes).0, [("pair", vec![0])]);
}
