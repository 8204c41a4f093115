//! The client of corosync's libraries against a real corosync. This program runs itself in a node of
//! a lab: what is asserted about the libraries is asserted there, by the part that is named in
//! `CLIENT_PART`.

#![allow(clippy::unwrap_used)]

mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod dying;
mod flood;
mod maps;

use clusmgr::sys::corosync::{Libraries, dirs_for};
use common::{Lab, Node};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PART: &str = "CLIENT_PART";

/// Runs one part in a node; what it prints is seen when it fails.
#[track_caller]
fn run(node: &Node<'_>, part: &str) {
    let exe = std::env::current_exe().unwrap();
    let exe = format!(
        "/run/lab/bin/deps/{}",
        exe.file_name().unwrap().to_str().unwrap()
    );
    let ran = node.run(&[
        "env",
        &format!("{PART}={part}"),
        "RUST_BACKTRACE=1",
        &exe,
        "--ignored",
        "--exact",
        "inside",
        "--nocapture",
    ]);
    assert_eq!(ran.code, 0, "{part}:\n{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("1 passed"), "{}", ran.out);
    println!("{part}:\n{}", ran.out);
}

#[test]
#[ignore = "is run in a node, by the tests beside it"]
fn inside() {
    let part = std::env::var(PART).expect("run the tests beside this one");
    match part.as_str() {
        "maps" => maps::all(),
        "secret" => maps::secret(),
        "cluster" => cluster::all(),
        "prefix" => prefix(),
        "dying" => dying::all(),
        "stopped" => dying::stopped(),
        "away" => dying::away(),
        "flood" => flood::all(),
        _ => panic!("no part {part}"),
    }
}

fn libraries() -> Arc<Libraries> {
    Libraries::load(&[]).unwrap_or_else(|e| panic!("{e}"))
}

const FLAGS: &[&str] = &["--restart-limit", "0", "--stable-after", "0.1"];

#[test]
fn every_call_against_two_nodes() {
    let lab = Lab::up("client", "2", FLAGS);
    for k in [1, 2] {
        lab.node(k).wait_ring(2);
    }
    run(&lab.node(1), "maps");
    run(&lab.node(1), "cluster");
    run(&lab.node(1), "prefix");
}

#[test]
fn corosync_dies_in_the_middle_of_every_kind_of_call_and_comes_back() {
    let lab = Lab::up("client-dying", "1", FLAGS);
    lab.node(1).wait_ring(1);
    run(&lab.node(1), "stopped");
    run(&lab.node(1), "dying");
}

#[test]
fn five_thousand_events_a_second_come_to_ten_subscribers_and_into_the_journal_without_a_gap() {
    let lab = Lab::up("client-flood", "1", FLAGS);
    let n1 = lab.node(1);
    n1.wait_ring(1);
    n1.wait("the cluster is known", |s| s["cluster"]["quorate"] == true);
    run(&n1, "flood");
    let latest = n1.latest();
    assert!(latest > flood::EVENTS);
    let numbers: Vec<u64> = n1
        .events()
        .iter()
        .map(|e| e["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers.last(), Some(&latest));
    assert!(numbers.len() > 2000, "{}", numbers.len());
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1));
    assert_eq!(n1.status()["service"]["restarts"], 0);
}

#[test]
fn without_corosync_every_open_says_so_at_once() {
    let lab = Lab::up("client-away", "1 --no-clusmgr", &[]);
    run(&lab.node(1), "away");
}

#[test]
fn a_key_in_the_configuration_is_not_in_a_dump() {
    let lab = Lab::up("client-secret", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let key = maps::SECRET.repeat(16);
    n1.edit_conf(|text| text.replacen("totem {", &format!("totem {{\n\tkey: {key}"), 1));
    n1.sh("rm -f /etc/corosync/authkey; corosync").ok();
    n1.wait_ring(1);
    run(&n1, "secret");
}

/// The libraries in a prefix of their own, which the loader knows nothing of.
fn prefix() {
    let lib = Path::new("/tmp/ddr/lib64");
    std::fs::create_dir_all(lib).unwrap();
    let wanted = [
        "libcmap.so.",
        "libcpg.so.",
        "libquorum.so.",
        "libvotequorum.so.",
        "libcfg.so.",
        "libcorosync_common.so.",
        "libqb.so.",
    ];
    let is_one = |name: &str| wanted.iter().any(|w| name.starts_with(w));
    let from = Path::new("/usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if is_one(&name) {
            std::fs::copy(entry.path(), lib.join(name)).unwrap();
        }
    }
    let dirs = dirs_for(Path::new("/tmp/ddr/bin/corosync"));
    assert_eq!(dirs[0], lib);
    let libraries = Libraries::load(&dirs).unwrap_or_else(|e| panic!("{e}"));
    let mut loaded: Vec<PathBuf> = std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter_map(|l| l.split_whitespace().nth(5))
        .map(PathBuf::from)
        .filter(|p| p.file_name().is_some_and(|n| is_one(n.to_str().unwrap())))
        .collect();
    loaded.dedup();
    assert_eq!(loaded.len(), wanted.len(), "{loaded:?}");
    assert!(loaded.iter().all(|p| p.starts_with(lib)), "{loaded:?}");
    maps::one_call(&libraries);
}
