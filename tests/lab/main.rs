//! The whole product on real nodes with a real corosync.

#![allow(clippy::unwrap_used)]

mod adoption;
mod apply_faults;
mod binary;
mod change;
#[path = "../common/mod.rs"]
mod common;
mod drift;
mod endings;
mod exits;
mod hang;
mod hold;
mod housekeeping;
mod libraries;
mod network;
mod numbers;
mod options;
mod remote_view;
mod restarts;
mod running;
mod secrets;
mod states;
mod supervisor;
mod takeover;
mod thin;
mod traces;
mod undo;
mod unfinished;
mod validator;
