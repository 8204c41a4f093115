//! A node knows its cluster: what clusmgr makes of what happens to real nodes with a real corosync.

#![allow(clippy::unwrap_used)]

mod away;
mod back;
mod bed;
mod comings;
#[path = "../common/mod.rs"]
mod common;
mod delivery;
mod ended;
mod links;
mod liveness;
mod names;
mod provider;
mod quorum;
mod reloads;
mod slow;
mod stall;
mod storm;
mod stranger;
mod why;
