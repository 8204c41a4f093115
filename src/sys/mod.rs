//! All unsafe code and all OS calls; everything above is plain Rust.

mod alloc;
pub mod clock;
pub mod corosync;
pub mod daemon;
pub mod file;
pub mod host;
pub mod pidfd;
pub mod pidfile;
pub mod procfs;
pub mod ready;
pub mod resolve;
pub mod signal;
pub mod sock;
pub mod spawn;
pub mod tcp;
pub mod term;
pub mod tool;
pub mod wake;
