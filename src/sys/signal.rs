//! The daemon's signals: blocked in all threads, and taken by the main thread in turn.
#![allow(unsafe_code)]

use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use std::os::fd::AsFd;
use std::time::Duration;

/// What the daemon listens to; see the README. CHLD is not among them: children are reaped through
/// their own descriptors.
const LISTENED: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
];

/// Undoes what the caller may have ignored: with SIGCHLD ignored the kernel would reap every child
/// itself, and nobody would learn how it ended. To be called before the first fork and thread.
///
/// # Errors
/// Those of sigaction(2).
pub fn reset() -> Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in LISTENED.into_iter().chain([Signal::SIGCHLD]) {
        // SAFETY: no code of ours becomes a handler, and none was one.
        unsafe { sigaction(signal, &default) }
            .map_err(|e| Error::io("reset", signal.as_str(), &e.into()))?;
    }
    Ok(())
}

/// The signals of this process, from now on.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks what the daemon listens to. To be called before the first thread, which inherits it.
    /// SIGPIPE is ignored already (by Rust's runtime), so a client that goes is an error of write.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn block() -> Result<Signals> {
        let fail = |e: Errno| Error::io("block", "signals", &e.into());
        let mut set = SigSet::empty();
        for signal in LISTENED {
            set.add(signal);
        }
        set.thread_block().map_err(fail)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map(Signals)
            .map_err(fail)
    }

    /// The next signal; none after `limit`, or a little earlier.
    #[must_use]
    pub fn wait(&self, limit: Option<Duration>) -> Option<Signal> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let _ = ppoll(&mut fds, limit.map(TimeSpec::from), None);
        let info = self.0.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}
