//! All unsafe code and all OS calls; everything above is plain Rust.

pub mod clock;
pub mod pidfd;
pub mod spawn;
pub mod wake;
