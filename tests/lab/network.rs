//! The lab's faults do what they say, and clusmgr leaves corosync alone through all of them.

use crate::common::{LONG, Lab, Node, until};
use serde_json::{Value, json};

fn quorate(node: &Node<'_>) -> Option<bool> {
    let out = node.run(&["corosync-quorumtool", "-s"]).out;
    let line = out.lines().find(|l| l.starts_with("Quorate:"))?.to_owned();
    Some(line.ends_with("Yes"))
}

fn services(lab: &Lab, nodes: u32) -> Vec<Value> {
    let of = |k| {
        let s = lab.node(k).status();
        json!([
            s["service"]["pid"],
            s["service"]["state"],
            s["service"]["restarts"],
            s["mode"]
        ])
    };
    (1..=nodes).map(of).collect()
}

/// How many echo requests a node has heard so far.
fn heard(node: &Node<'_>) -> u64 {
    let snmp = node.run(&["cat", "/proc/net/snmp"]).ok();
    let mut rows = snmp.lines().filter_map(|l| l.strip_prefix("Icmp:"));
    let names = rows.next().unwrap().split_whitespace();
    let place = names.into_iter().position(|n| n == "InEchos").unwrap();
    let values = rows.next().unwrap().split_whitespace();
    values.into_iter().nth(place).unwrap().parse().unwrap()
}

/// How many of so many echo requests were answered.
fn answered(node: &Node<'_>, count: u32, to: &str) -> u32 {
    let count = count.to_string();
    let ran = node.run(&[
        "ping", "-n", "-q", "-i", "0.01", "-W", "1", "-c", &count, to,
    ]);
    let text = ran.out.split(" received").next().unwrap_or_default();
    text.rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap_or_else(|_| panic!("{ran:?}"))
}

/// Whether a node sees the others over a link, from knet.
fn connected(node: &Node<'_>, link: u32) -> Vec<bool> {
    let out = node.run(&["corosync-cfgtool", "-s"]).ok();
    let head = format!("LINK ID {link} ");
    out.lines()
        .skip_while(|l| !l.starts_with(&head))
        .skip(1)
        .take_while(|l| !l.starts_with("LINK"))
        .filter(|l| !l.contains("localhost"))
        .filter_map(|l| Some(l.split_once("nodeid:")?.1.contains("\tconnected")))
        .collect()
}

#[test]
fn a_node_that_is_cut_off_loses_quorum_and_regains_it_after_heal_and_nobody_is_restarted() {
    let lab = Lab::up("cut", "3", &["--stable-after", "0.1"]);
    for k in 1..=3 {
        lab.node(k).wait_ring(3);
    }
    let before = services(&lab, 3);
    let n3 = lab.node(3);
    lab.verb(&["cut", "n3"]).ok();
    until("n3 is without quorum", LONG, || {
        (quorate(&n3) == Some(false)).then_some(())
    });
    for k in [1, 2] {
        lab.node(k).wait_ring(2);
    }
    assert_eq!(services(&lab, 3), before);
    lab.verb(&["heal"]).ok();
    for k in 1..=3 {
        lab.node(k).wait_ring(3);
    }
    assert_eq!(services(&lab, 3), before);
    assert_eq!(n3.events_of("service.exited").len(), 0);
}

#[test]
fn a_cut_between_two_nodes_leaves_the_third_one_in_reach_of_both() {
    let lab = Lab::up("cut-pair", "3 --no-clusmgr", &[]);
    lab.verb(&["cut", "n1", "n2"]).ok();
    let (n1, n2, n3) = (lab.node(1), lab.node(2), lab.node(3));
    assert_eq!(answered(&n1, 3, "10.77.0.2"), 0);
    assert_eq!(answered(&n2, 3, "10.77.0.1"), 0);
    assert_eq!(answered(&n1, 3, "10.77.0.3"), 3);
    assert_eq!(answered(&n2, 3, "10.77.0.3"), 3);
    assert_eq!(answered(&n3, 3, "10.77.0.1"), 3);
    lab.verb(&["heal"]).ok();
    assert_eq!(answered(&n1, 3, "10.77.0.2"), 3);
}

#[test]
fn a_one_way_cut_is_one_way() {
    let lab = Lab::up("one-way", "2 --no-clusmgr", &[]);
    let (n1, n2) = (lab.node(1), lab.node(2));
    assert_eq!(answered(&n1, 3, "10.77.0.2"), 3);
    // n2 no longer hears n1.
    lab.verb(&["cut", "--one-way", "n1", "n2"]).ok();
    let (at1, at2) = (heard(&n1), heard(&n2));
    assert_eq!(answered(&n1, 5, "10.77.0.2"), 0, "no question arrives");
    assert_eq!(answered(&n2, 5, "10.77.0.1"), 0, "no answer arrives");
    assert_eq!(heard(&n2) - at2, 0);
    assert_eq!(heard(&n1) - at1, 5, "n1 still hears n2");
    lab.verb(&["heal"]).ok();
    assert_eq!(answered(&n1, 3, "10.77.0.2"), 3);
}

#[test]
fn loss_loses_some_and_not_all() {
    let lab = Lab::up("loss", "2 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    lab.verb(&["loss", "n1", "n2", "30"]).ok();
    // 0.7 × 0.7 of 200 come back: 98, with a deviation of 7.
    let back = answered(&n1, 200, "10.77.0.2");
    assert!((55..=145).contains(&back), "{back} of 200");
    lab.verb(&["loss", "n1", "n2", "100"]).ok();
    assert_eq!(answered(&n1, 5, "10.77.0.2"), 0);
    lab.verb(&["heal"]).ok();
    assert_eq!(answered(&n1, 20, "10.77.0.2"), 20);
}

#[test]
fn a_cut_of_one_link_leaves_the_ring_whole_over_the_other() {
    let lab = Lab::up("cut-link", "2 --links 2", &[]);
    let (n1, n2) = (lab.node(1), lab.node(2));
    n1.wait_ring(2);
    n2.wait_ring(2);
    let links = |wanted: [bool; 2]| {
        until(&format!("links are {wanted:?}"), LONG, || {
            let seen = [connected(&n1, 0), connected(&n1, 1)];
            (seen == wanted.map(|w| vec![w])).then_some(())
        });
    };
    links([true, true]);
    let before = services(&lab, 2);
    lab.verb(&["cut", "n1", "n2", "0"]).ok();
    links([false, true]);
    assert_eq!(quorate(&n1), Some(true));
    n1.wait_ring(2);
    lab.verb(&["heal"]).ok();
    links([true, true]);
    assert_eq!(services(&lab, 2), before);
}
