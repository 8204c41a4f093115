//! Detaching: the parent stays until the daemon says that it serves, or why it does not.
//!
//! ```text
//! parent ──fork──► leader (setsid) ──fork──► daemon (/, umask 027, null descriptors)
//!   ▲                 └ exits at once            │
//!   └───── exit code and reason, one pipe ───────┘
//! ```
#![allow(unsafe_code)]

use crate::error::{Error, Result, one_line};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_dumpable;
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the parent waits for the daemon's word.
const DEADLINE: Duration = Duration::from_secs(60);

/// A longer reason is cut, so that the daemon never waits for room in the pipe.
const REASON_MAX: usize = 2048;

/// The daemon's end of the pipe to the parent that waits. Dropped without a word, it tells the
/// parent that the daemon died.
#[derive(Debug)]
pub struct ReadyPipe {
    to_parent: File,
}

impl ReadyPipe {
    /// The daemon serves: the parent exits 0.
    pub fn ready(self) {
        self.say(0, "");
    }

    /// The daemon gives up: the parent prints the reason and exits with the code, which is 1 to 255.
    pub fn failed(self, code: u8, reason: &str) {
        let mut reason = one_line(&reason);
        while reason.len() > REASON_MAX {
            reason.pop();
        }
        self.say(code.max(1), &reason);
    }

    fn say(mut self, code: u8, reason: &str) {
        let word = [&[code], reason.as_bytes()].concat();
        // A parent that somebody killed hears nothing, and need not.
        let _ = self.to_parent.write_all(&word);
    }
}

/// From now on a core of this process is written nowhere, whatever its limit says, since keys are in its
/// memory; of a program that it executes one may be. (See `PR_SET_DUMPABLE` in prctl(2).)
///
/// # Errors
/// Those of prctl(2).
pub fn leave_no_core() -> Result<()> {
    set_dumpable(false).map_err(|e| Error::io("forbid", "core dumps of clusmgr", &e.into()))
}

/// Becomes a daemon: returns only in that process, which is in its own session without being its
/// leader, in `/`, with umask 027, with standard input, output and error on `/dev/null` and with
/// no other descriptor. The parent never returns: it exits with the daemon's code, or with 1 if
/// the daemon dies or says nothing for a minute, and tells why on standard error.
///
/// To be called before the first thread and before anything is opened.
///
/// # Errors
/// In the parent, if the pipe or the first process cannot be made.
pub fn detach() -> Result<ReadyPipe> {
    detach_within(DEADLINE)
}

fn detach_within(deadline: Duration) -> Result<ReadyPipe> {
    let fail = |e: Errno| Error::io("detach", "", &e.into());
    close_inherited();
    let (from_daemon, to_parent) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
    // SAFETY: there is one thread yet, so the child may do all that the parent may.
    match unsafe { fork() }.map_err(fail)? {
        ForkResult::Parent { child } => {
            drop(to_parent);
            let _ = waitpid(child, None);
            let (code, reason) = hear(File::from(from_daemon), deadline);
            if code != 0 {
                let _ = writeln!(io::stderr(), "clusmgr: {reason}");
            }
            std::process::exit(i32::from(code));
        }
        ForkResult::Child => {
            drop(from_daemon);
            Ok(lead(ReadyPipe {
                to_parent: File::from(to_parent),
            }))
        }
    }
}

/// The first child: a session of its own, and a second fork so that no terminal becomes ours.
fn lead(pipe: ReadyPipe) -> ReadyPipe {
    if let Err(e) = setsid() {
        give_up(pipe, "setsid", e);
    }
    // SAFETY: as above: one thread.
    match unsafe { fork() } {
        // SAFETY: _exit(2) is always sound; nothing of the parent's may be run or flushed here.
        Ok(ForkResult::Parent { .. }) => unsafe { libc::_exit(0) },
        Ok(ForkResult::Child) => {}
        Err(e) => give_up(pipe, "fork", e),
    }
    if let Err(e) = chdir("/") {
        give_up(pipe, "chdir /", e);
    }
    umask(Mode::S_IWGRP | Mode::S_IRWXO);
    if let Err(e) = null_descriptors() {
        give_up(pipe, "open /dev/null", e);
    }
    pipe
}

fn give_up(pipe: ReadyPipe, step: &str, e: Errno) -> ! {
    pipe.failed(1, &Error::io("detach", step, &e.into()).to_string());
    // SAFETY: as above: _exit(2) is always sound.
    unsafe { libc::_exit(1) }
}

fn null_descriptors() -> nix::Result<()> {
    let null: OwnedFd = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?
        .into();
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)
}

/// Closes every descriptor from 3 up, so that nothing the caller had open stays so in a daemon.
/// To be called before anything is opened.
fn close_inherited() {
    // SAFETY: closing touches no memory, and this process has opened nothing yet that it would use.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if done == 0 {
        return;
    }
    // A kernel before 5.9, or a container that forbids the call. Collected first: the list itself
    // is read through one of the descriptors.
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// Waits for the daemon's word: its exit code and the reason.
fn hear(mut from_daemon: File, deadline: Duration) -> (u8, String) {
    let until = Instant::now() + deadline;
    let mut word = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (
                1,
                format!("not ready after {deadline:?}; it may still come up: see syslog"),
            );
        }
        // One more millisecond: rounded down, the last wait would be busy.
        let ms = i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
        let mut fds = [PollFd::new(from_daemon.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(e) => return (1, format!("cannot wait for the daemon: {e}")),
        }
        let mut buf = [0u8; 512];
        match from_daemon.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => word.extend_from_slice(&buf[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (1, format!("cannot hear the daemon: {e}")),
        }
    }
    match word.split_first() {
        Some((code, reason)) => (*code, String::from_utf8_lossy(reason).into_owned()),
        None => (
            1,
            "the daemon died before it was ready; see syslog, or start it with -f".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
