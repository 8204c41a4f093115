//! Waiting for several descriptors at once.

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Waits until one of these can be read or has hung up, or the time is over. May return early.
pub fn wait(fds: &[BorrowedFd<'_>], limit: Duration) {
    let mut fds: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    // An interrupted wait is an early return, which every caller is ready for.
    let _ = ppoll(&mut fds, Some(TimeSpec::from(limit)), None);
}
