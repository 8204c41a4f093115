//! A wake-up descriptor: ends another thread's `poll(2)`.

use crate::error::{Error, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};

/// An eventfd; any number of wake-ups before the sleeper looks count as one.
#[derive(Debug)]
pub struct Waker(EventFd);

impl Waker {
    /// A new one.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn new() -> Result<Waker> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(Waker)
            .map_err(|e| Error::new("create", "an eventfd", e.desc()))
    }

    /// Ends the sleep, or the next one if nobody sleeps now. Never blocks.
    pub fn wake(&self) {
        // The only failure is a counter at its top, and then the wake-up is pending anyway.
        let _ = self.0.write(1);
    }

    /// Takes the pending wake-ups back, before the sleeper looks at what they were for.
    pub fn clear(&self) {
        let _ = self.take();
    }

    /// As [`Waker::clear`]; whether there were any.
    #[must_use]
    pub fn take(&self) -> bool {
        // The failure is "nothing pending".
        self.0.read().is_ok()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
