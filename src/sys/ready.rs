//! Waiting for descriptors: poll(2).

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::time::TimeSpec;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// What a descriptor is waited for; the end of the other side is always told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Something to read.
    Read,
    /// Room to write.
    Write,
    /// Nothing but the end.
    End,
}

/// What became of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Got {
    /// What was wanted will not block.
    pub ready: bool,
    /// The other side is gone, both ways, or the descriptor is in error.
    pub ended: bool,
}

/// Waits until something happens to one of the descriptors or the deadline is over; without a
/// deadline as long as it takes. After the deadline nothing is set in any of the results.
///
/// # Errors
/// Those of poll(2) but `EINTR`.
pub fn wait<const N: usize>(
    fds: [(BorrowedFd<'_>, Want); N],
    deadline: Option<Instant>,
) -> io::Result<[Got; N]> {
    let mut set = fds.map(poll_fd);
    poll_by(&mut set, deadline)?;
    Ok(set.map(|p| got(&p)))
}

/// As [`wait`], for a number of descriptors that is known at run time only.
///
/// # Errors
/// As [`wait`].
pub fn wait_each(
    fds: &[(BorrowedFd<'_>, Want)],
    deadline: Option<Instant>,
) -> io::Result<Vec<Got>> {
    let mut set: Vec<PollFd<'_>> = fds.iter().map(|f| poll_fd(*f)).collect();
    poll_by(&mut set, deadline)?;
    Ok(set.iter().map(got).collect())
}

fn poll_fd((fd, want): (BorrowedFd<'_>, Want)) -> PollFd<'_> {
    let flags = match want {
        Want::Read => PollFlags::POLLIN,
        Want::Write => PollFlags::POLLOUT,
        Want::End => PollFlags::empty(),
    };
    PollFd::new(fd, flags)
}

fn poll_by(set: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let timeout = deadline.map_or(PollTimeout::NONE, remaining);
        match poll(set, timeout) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

fn got(p: &PollFd<'_>) -> Got {
    let got = p.revents().unwrap_or(PollFlags::empty());
    Got {
        ready: got.intersects(PollFlags::POLLIN | PollFlags::POLLOUT),
        ended: got.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL),
    }
}

/// Waits until one of these can be read or has hung up, or the time is over. May return early.
pub fn wait_any(fds: &[BorrowedFd<'_>], limit: Duration) {
    let mut fds: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    // An interrupted wait is an early return, which every caller is ready for.
    let _ = ppoll(&mut fds, Some(TimeSpec::from(limit)), None);
}

/// Rounded up to the next millisecond, so that a wait never ends a moment before its deadline.
fn remaining(deadline: Instant) -> PollTimeout {
    let left = deadline.saturating_duration_since(Instant::now());
    let ms = left.as_micros().div_ceil(1000);
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sys::wake::Waker;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_wake_up_before_the_wait_ends_it_and_a_cleared_one_does_not() {
        let waker = Waker::new().unwrap();
        waker.wake();
        let [got] = wait([(waker.as_fd(), Want::Read)], None).unwrap();
        assert!(got.ready);
        waker.clear();
        let soon = Instant::now() + Duration::from_millis(20);
        let [got] = wait([(waker.as_fd(), Want::Read)], Some(soon)).unwrap();
        assert_eq!(got, Got::default());
        assert!(Instant::now() >= soon);
    }

    #[test]
    fn the_end_of_the_other_side_is_told_whatever_was_wanted() {
        let (a, b) = UnixStream::pair().unwrap();
        drop(b);
        let [got] = wait([(a.as_fd(), Want::End)], None).unwrap();
        assert!(got.ended && !got.ready);
    }
}
