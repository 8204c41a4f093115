//! clusmgr owns a node's corosync: it keeps the configuration, writes corosync.conf and authkey,
//! forks and execs corosync, watches and restarts it, falls back to STANDALONE, and tells clients.
//!
//! # The map of the house
//!
//! A file imports only from lower floors; `tests/floors.rs` reads the `crate::` paths and fails on
//! an import that goes up.
//!
//! ```text
//! src/bin/*.rs           one call each
//! F0  error  types  paths  log
//! F1  sys/               all unsafe code and all OS calls
//! F2  event  policy  wire  journal  persist     queues, restart policy, protocol; no OS calls but their files
//! F3  driver/            mod (the trait, EventSink)  corosync/{model,parse,render,validate,authkey,process,...}
//!                        table (the only file that names all drivers)
//! F4  mgr/               state (pure state machine)  monitor (the thread)  mod (ClusMgr, the global)
//! F5  service/           dispatch  local
//! F6  daemon/            flags, start and stop order         ctl/  commands, client, output
//! ```

pub mod ctl;
pub mod daemon;
pub mod driver;
pub mod error;
pub mod event;
pub mod journal;
pub mod log;
pub mod mgr;
pub mod paths;
pub mod persist;
pub mod policy;
pub mod service;
pub mod sys;
pub mod types;
pub mod wire;
