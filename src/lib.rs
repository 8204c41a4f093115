//! clusmgr owns a node's corosync: it keeps the configuration, writes corosync.conf and authkey,
//! forks and execs corosync, watches and restarts it, falls back to STANDALONE, and tells clients.
//!
//! # The map of the house
//!
//! A file imports only from lower floors; `tests/floors.rs` reads the `crate::` paths and fails on
//! an import that goes up.
//!
//! ```text
//! src/bin/*.rs  one call each
//! F0  error  types  paths  listen  log
//! F1  sys/      all unsafe code and all OS calls: alloc procfs spawn pidfd signal daemon pidfile file
//!               sock …; corosync/: the typed client of its libraries
//! F2  event  policy  wire  journal  persist    queues, restart policy, protocol; files of our own
//!     verdict   what is wrong and what to do, from a status: pure
//!     noise/    the secure channel between nodes: pure        remote   what of the configuration it needs
//! F3  driver/   mod (the traits)  corosync/{model,parse,render,validate,authkey: pure;
//!               store: take-over and drift; process, output, exit, shm; service: the monitor's half}
//!               table (the only file that names all drivers)
//!     peer/     the other nodes: connect, link, turns, ask (the client of their remote service);
//!               compare, told, isolated, turn: pure; watch (the thread)
//! F4  mgr/      state (pure state machine)  monitor (the thread)  publish (events)  mod (ClusMgr)
//! F5  service/  dispatch  local and its connections  remote/ (door, strangers, members)  forward
//! F6  daemon/   flags, start and stop order        ctl/  the client: commands, output
//! ```
//!
//! # Threads
//!
//! main (signals), `cm-log`, `cm-events`, `cm-local`, `cm-remote`, `cm-peers`, `cm-watch`, `cm-monitor`,
//! `cm-conn-N` and `cm-conn-rN` (at most 64 of each service), and for a time: `cm-change`, for a SIGHUP or
//! a change that an earlier clusmgr left unfinished; `cm-ask`, one for each node that is asked; `cm-resolve`,
//! which asks the resolver, and is left behind if that is silent. They are joined in the reverse order of
//! their start, the monitor first, since it is what ends corosync.
//! Only `cm-monitor` spawns, signals and reaps corosync. `cm-events` numbers and journals events, so
//! that a slow disk never delays a restart; `cm-log` writes the log, so that a stalled syslogd delays
//! nobody.
//!
//! # Locks
//!
//! In this order, and hardly ever two at once: `ClusMgr` → `corosync_config_mtx` →
//! `corosync_event_mtx` → `evt_internal_queue` → `evt_public_queue` → the hub and the table of
//! connections. Under a lock there is no I/O, no fork, no wait, no callback and no logging; only
//! `daemon::reload` tells the supervisor under its own, which no other thread but main takes.

pub mod ctl;
pub mod daemon;
pub mod driver;
pub mod error;
pub mod event;
pub mod journal;
pub mod listen;
pub mod log;
pub mod mgr;
pub mod noise;
pub mod paths;
pub mod peer;
pub mod persist;
pub mod policy;
pub mod remote;
pub mod service;
pub mod sys;
pub mod types;
pub mod verdict;
pub mod wire;
