//! The whole product on real nodes with a real corosync.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod supervisor;
mod thin;
