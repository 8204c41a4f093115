//! Runs a short-lived tool with a deadline and takes what it prints.

use super::pidfd::{Exit, PidFd};
use super::ready::{Want, wait};
use super::spawn::{self, Program};
use crate::error::{Error, Result};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, ftruncate};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// More than this many bytes a tool cannot write; it gets EPERM for the rest.
const OUTPUT_MAX: u64 = 4 << 20;

/// How long a tool that was killed may take to go.
const KILLED: Duration = Duration::from_secs(5);

/// What a tool printed (both streams), and how it ended. `Debug` shows no output: it may hold a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended; none when it was killed at the deadline.
    pub exit: Option<Exit>,
    /// Standard output and error, in the order of their writing, as text.
    pub output: Zeroizing<String>,
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ran")
            .field("exit", &self.exit)
            .field("output", &format_args!("{} bytes", self.output.len()))
            .finish()
    }
}

impl Ran {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.exit == Some(Exit::Code(0))
    }
}

/// Runs `argv` (its first word is the name that the tool sees) and waits for it, `limit` at most;
/// then it is killed, as it is when we end meanwhile. Its environment has nothing of our supervisor's.
///
/// # Errors
/// When it cannot be run at all.
pub fn run(exe: &Path, argv: &[&str], limit: Duration) -> Result<Ran> {
    let fail = |cause: &dyn std::fmt::Display| Error::new("run", exe.display(), cause);
    let mut output = bounded().map_err(|e| fail(&e.desc()))?;
    let program = Program {
        exe,
        argv,
        env: spawn::environment(&[]),
        output: &output,
        // Nobody else would end one that hangs, or would know whose it is.
        ends_with_us: true,
    };
    let child = spawn::spawn(&program).map_err(|e| fail(&e))?;
    let mut exit = await_end(&child.pidfd, Instant::now() + limit);
    if exit.is_none() {
        // It is our own unreaped child, and leads a session: its number is surely its own and its
        // group's, so that what it has started goes with it.
        let _ = killpg(Pid::from_raw(child.pid.0), Signal::SIGKILL);
        await_end(&child.pidfd, Instant::now() + KILLED);
        exit = None;
    }
    let mut bytes = Zeroizing::new(Vec::new());
    // The offset is the tool's too: so far it has written.
    output
        .stream_position()
        .and_then(|written| output.rewind().map(|()| written.min(OUTPUT_MAX)))
        .and_then(|written| output.take(written).read_to_end(&mut bytes))
        .map_err(|e| fail(&e))?;
    Ok(Ran {
        exit,
        output: Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()),
    })
}

/// A file in memory that takes no more than [`OUTPUT_MAX`] bytes, whatever a tool prints.
fn bounded() -> nix::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create(c"clusmgr-tool", flags)?);
    let most = i64::try_from(OUTPUT_MAX).unwrap_or(i64::MAX);
    ftruncate(&file, most)?;
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
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
                output: "a\nb\n".to_owned().into()
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
                output: "a\n".to_owned().into()
            }
        );
        assert!(began.elapsed() < Duration::from_secs(100));
    }

    #[test]
    fn a_tool_cannot_fill_the_memory_and_its_children_go_with_it() {
        let script = "while head -c 1000000 /dev/zero 2>/dev/null; do :; done; \
                      sh -c 'sleep 600' & echo; echo $! >&3; sleep 600";
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let script = format!("exec 3>{}; {script}", note.display());
        let ran = run(
            Path::new("/bin/sh"),
            &["sh", "-c", &script],
            Duration::from_secs(3),
        );
        let ran = ran.unwrap();
        let most = usize::try_from(OUTPUT_MAX).unwrap();
        assert_eq!((ran.exit, ran.output.len()), (None, most));
        assert_eq!(
            format!("{ran:?}"),
            format!("Ran {{ exit: None, output: {most} bytes }}")
        );
        let child = std::fs::read_to_string(&note).unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
            // Whoever reaps orphans here may take his time.
            stat.map_or(true, |s| s.contains(") Z "))
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !gone() {
            assert!(Instant::now() < deadline, "the tool's child is still there");
            std::thread::park_timeout(Duration::from_millis(10));
        }
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
