//! The whole product on real nodes with a real corosync.

#![allow(clippy::unwrap_used)]

mod adoption;
mod apply_faults;
mod binary;
mod change;
mod checks;
#[path = "../common/mod.rs"]
mod common;
mod defaults;
mod drift;
mod endings;
mod exits;
mod hang;
mod hold;
mod housekeeping;
mod keys;
mod libraries;
mod margin;
mod names;
mod network;
mod numbers;
mod options;
mod remote_view;
mod restarts;
mod running;
mod secrets;
mod shm;
mod states;
mod supervisor;
mod takeover;
mod thin;
mod traces;
mod undo;
mod unfinished;
mod validator;
