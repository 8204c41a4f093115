//! A process held by descriptor: the number can be reused, the descriptor cannot be mistaken.
#![allow(unsafe_code)]

use crate::types::Pid;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By `exit(code)`.
    Code(i32),
    /// By a signal.
    Signal {
        /// Its number.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
    /// The kernel does not tell: it was not our child, or somebody else reaped it.
    Unknown,
}

/// A pidfd. It becomes readable when the process ends, also when it is no child of ours.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has this number **now**. Unless it is an unreaped child of ours, the
    /// caller must look at its identity after this, before any signal.
    ///
    /// # Errors
    /// `ESRCH` if there is none; `ENOSYS` before Linux 5.3.
    pub fn open(pid: Pid) -> nix::Result<PidFd> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor (always close-on-exec).
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) })?;
        let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
        Ok(PidFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends a signal to this very process.
    ///
    /// # Errors
    /// `ESRCH` when it has been reaped; `EPERM`.
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        // SAFETY: a descriptor that we own, an integer, and no siginfo.
        let r = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal as i32,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        Errno::result(r).map(drop)
    }

    /// Whether it has ended (for a child: it may be a zombie still).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut fds = [nix::poll::PollFd::new(
            self.0.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        matches!(nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO), Ok(n) if n > 0)
    }

    /// Reaps it if it is a child of ours and has ended; `None` while it runs. Never waits, and never
    /// reaps another child.
    #[must_use]
    pub fn reap(&self) -> Option<Exit> {
        match waitid(
            Id::PIDFd(self.0.as_fd()),
            WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG,
        ) {
            Ok(WaitStatus::Exited(_, code)) => Some(Exit::Code(code)),
            Ok(WaitStatus::Signaled(_, signal, core)) => Some(Exit::Signal {
                signal: signal as i32,
                core,
            }),
            // ECHILD: not a child of ours. Its end shows on the descriptor all the same.
            Err(Errno::ECHILD) => self.has_ended().then_some(Exit::Unknown),
            _ => None,
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
