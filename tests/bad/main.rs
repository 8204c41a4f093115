//! Bad input: each is refused in one line that names the object and what to do, with an exit code of
//! the right kind, and leaves the files and a running corosync as they were.
//!
//! One named test for each item; the README's test part lists them.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod config;
mod disk;
mod flags;
mod pidfile;
mod program;
mod signals;
mod socket;
mod state;
mod syslog;
