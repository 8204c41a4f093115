//! The benchmarks: what `scripts/bench` runs. Each part prints a table, side by side from one run,
//! with the target beside. It measures only when it is given a part by name.
//!
//! ```text
//! bench restart | proc | config | events | status | notify | handshakes | traffic
//!                                   in a node of a lab
//! bench ring | idle | cut LAB_SCRIPT DIR
//!                                   outside: with an agent in each of three nodes
//! bench across LAB_SCRIPT DIR NODES
//!                                   outside: with an agent in two of the nodes
//! bench agent                       in a node: obeys lines on standard input
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod across;
mod agent;
mod child;
mod config;
mod cut;
mod events;
mod handshakes;
mod idle;
mod notify;
mod proc;
mod restart;
mod ring;
mod stats;
mod status;
mod traffic;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: as a supervised child, the time of this line is what is measured.
    let born = clusmgr::sys::clock::now();
    if let Some(fifo) = std::env::var_os(child::FIFO_VAR) {
        child::run(born, fifo.as_ref());
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["restart"] => restart::run(),
        ["proc"] => proc::run(),
        ["config"] => config::run(),
        ["events"] => events::run(),
        ["status"] => status::run(),
        ["notify"] => notify::run(),
        ["handshakes"] => handshakes::run(),
        ["traffic"] => traffic::run(),
        ["across", lab, dir, nodes] => across::run(lab, dir, nodes.parse().unwrap()),
        ["cut", lab, dir] => cut::run(lab, dir),
        ["ring", lab, dir] => ring::run(lab, dir),
        ["idle", lab, dir] => idle::run(lab, dir),
        ["agent"] => agent::run(),
        _ => {
            eprintln!("bench: run scripts/bench");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
