//! How clusmgr is installed, started, stopped and upgraded by init, and what its manual says.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod hold;
mod install;
mod man;
mod script;
mod units;

use common::{Node, Ran};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of this repository.
fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// This repository's scripts where a node sees them, wherever the checkout is; gives the path of `install`.
fn scripts_in(node: &Node<'_>) -> &'static str {
    let to = node.file("/tmp/scripts");
    let mut copy = Command::new("cp");
    let copied = copy.arg("-a").arg(repo("scripts")).arg(to).status();
    assert!(copied.unwrap().success());
    "/tmp/scripts/install"
}

/// Runs `scripts/install` with these words and the programs under test.
fn install(words: &[&str]) -> Ran {
    let bin = Path::new(env!("CARGO_BIN_EXE_clusmgr")).parent().unwrap();
    Ran::of(
        &Command::new(repo("scripts/install"))
            .args(words)
            .env("CLUSMGR_BIN_DIR", bin)
            .output()
            .unwrap(),
    )
}

/// Runs a program of this repository as nobody in particular.
fn not_as_root(path: &str, words: &[&str]) -> Ran {
    Ran::of(
        &Command::new("unshare")
            .arg("--user")
            .arg(repo(path))
            .args(words)
            .output()
            .unwrap(),
    )
}
