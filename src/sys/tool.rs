//! Runs a short-lived tool with a deadline and takes what it prints.

use super::pidfd::{Exit, PidFd};
use super::ready::{Want, wait};
use super::spawn::{self, Program};
use crate::error::{Error, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// More than this many bytes of a tool's output are not read.
const OUTPUT_MAX: u64 = 4 << 20;

/// How long a tool that was killed may take to go.
const KILLED: Duration = Duration::from_secs(5);

/// What a tool printed (both streams), and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended; none when it was killed at the deadline.
    pub exit: Option<Exit>,
    /// Standard output and error, in the order of their writing, as text.
    pub output: String,
}

impl Ran {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.exit == Some(Exit::Code(0))
    }
}

/// Runs `argv` (its first word is the name that the tool sees) and waits for it, `limit` at most;
/// then it is killed. Its environment has nothing of our supervisor's.
///
/// # Errors
/// When it cannot be run at all.
pub fn run(exe: &Path, argv: &[&str], limit: Duration) -> Result<Ran> {
    let fail = |cause: &dyn std::fmt::Display| Error::new("run", exe.display(), cause);
    let fd = memfd_create(c"clusmgr-tool", MFdFlags::MFD_CLOEXEC).map_err(|e| fail(&e.desc()))?;
    let mut output = File::from(fd);
    let program = Program {
        exe,
        argv,
        env: spawn::environment(&[]),
        output: &output,
    };
    let child = spawn::spawn(&program).map_err(|e| fail(&e))?;
    let mut exit = await_end(&child.pidfd, Instant::now() + limit);
    if exit.is_none() {
        // It is our own unreaped child: the descriptor is surely its own, and it will go.
        let _ = child.pidfd.signal(Signal::SIGKILL);
        await_end(&child.pidfd, Instant::now() + KILLED);
        exit = None;
    }
    let mut bytes = Vec::new();
    output
        .seek(SeekFrom::Start(0))
        .and_then(|_| output.take(OUTPUT_MAX).read_to_end(&mut bytes))
        .map_err(|e| fail(&e))?;
    Ok(Ran {
        exit,
        output: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

fn await_end(pidfd: &PidFd, deadline: Instant) -> Option<Exit> {
    loop {
        if let Some(exit) = pidfd.reap() {
            return Some(exit);
        }
        if Instant::now() >= deadline
            || wait([(pidfd.as_fd(), Want::Read)], Some(deadline)).is_err()
        {
            return pidfd.reap();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_and_the_exit_code_come_back() {
        let ran = run(
            Path::new("/bin/sh"),
            &["sh", "-c", "echo a; echo b >&2; exit 3"],
            Duration::from_secs(20),
        );
        assert_eq!(
            ran.unwrap(),
            Ran {
                exit: Some(Exit::Code(3)),
                output: "a\nb\n".into()
            }
        );
    }

    #[test]
    fn a_tool_that_hangs_is_killed_at_the_deadline_and_what_it_said_is_kept() {
        let began = Instant::now();
        let ran = run(
            Path::new("/bin/sh"),
            &["sh", "-c", "echo a; exec sleep 600"],
            Duration::from_millis(200),
        );
        assert_eq!(
            ran.unwrap(),
            Ran {
                exit: None,
                output: "a\n".into()
            }
        );
        assert!(began.elapsed() < Duration::from_secs(100));
    }

    #[test]
    fn a_missing_tool_is_an_error_that_names_it() {
        let e = run(
            Path::new("/nonexistent/tool"),
            &["tool"],
            Duration::from_secs(1),
        )
        .unwrap_err();
        assert_eq!(
            e.to_string(),
            "run /nonexistent/tool: exec: No such file or directory (errno 2)"
        );
    }
}
