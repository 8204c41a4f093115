//! The remote service on real nodes: every node answers for itself, also when the cluster is broken.
//! This program runs itself in a node where somebody must capture, knock or lie there (`REMOTE_PART`).

#![allow(clippy::unwrap_used)]

mod bed;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod deaf;
mod door;
mod elsewhere;
mod first;
mod isolated;
mod liar;
mod lies;
mod matrix;
mod nodes;
mod orders;
mod running;
mod strangers;
mod wire;

#[test]
#[ignore = "is run in a node, by the tests beside it"]
fn inside() {
    let part = std::env::var(bed::PART).expect("run the tests beside this one");
    match part.split_whitespace().collect::<Vec<_>>()[..] {
        ["capture", device, file] => wire::capture(device, file),
        ["knock", address] => door::knock(address),
        ["attack", name, address] => strangers::attack(name, address),
        ["lie", address] => lies::lie(address),
        ["boast", address] => lies::boast(address),
        _ => panic!("no part {part}"),
    }
}
