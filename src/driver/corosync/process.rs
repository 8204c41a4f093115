//! corosync's process: its identity, how it is found, started, signalled and seen to end.
//!
//! It is known by pid, start time and executable, and held by a pidfd that was opened before it was
//! verified; no signal goes anywhere else.

mod find;

use super::exit::{self, Meaning};
use super::output::{Output, last_of};
use crate::driver::{Ended, How, Run};
use crate::error::{Error, Result};
use crate::sys::clock;
use crate::sys::file;
use crate::sys::pidfd::PidFd;
use crate::sys::procfs::{Check, Proc, ProcId, Work};
use crate::sys::spawn::{self, Program, SpawnError};
use crate::types::{Mono, Pid, WallMs};
use crate::wire::LastExit;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The record of the process that we started, in the run directory: the next clusmgr knows it by
/// this even if the executable was replaced or is a wrapper.
const RECORD: &str = "corosync.id";

/// A living (or not yet reaped) corosync.
#[derive(Debug)]
pub struct Process {
    id: ProcId,
    pidfd: PidFd,
    /// Found running, not started by this daemon.
    pub adopted: bool,
    /// When it was executed.
    pub since: Mono,
    /// READY=1 has come.
    pub ready: bool,
    /// Where its output begins in the file; none if it writes elsewhere.
    pub from: Option<u64>,
    run_dir: PathBuf,
    asked: bool,
    /// As the last look saw it.
    stop: Stop,
    /// It has been stopped for too long.
    hangs: bool,
    /// It was killed while it hung.
    killed_hung: bool,
}

/// For how long a process has been seen stopped without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Stop {
    /// When it was last seen stopped, and how often it had been switched by then; none if the last
    /// look did not find it stopped.
    seen: Option<(Mono, Option<u64>)>,
    time: Duration,
}

impl Stop {
    /// After one more sight of it, stopped. The time counts from the first sight, and from anew if it
    /// has run since the last one. No sight adds more than `most`: when this daemon itself did not
    /// run for a while (a frozen machine), that time does not count.
    fn again(self, now: Mono, switches: Option<u64>, most: Duration) -> Stop {
        let time = match self.seen {
            Some((at, before)) if before == switches => {
                self.time.saturating_add(now.since(at).min(most))
            }
            _ => Duration::ZERO,
        };
        Stop {
            seen: Some((now, switches)),
            time,
        }
    }
}

/// How soon a process must be looked at again for a hang time-out, whatever the monitor's period is.
pub(super) fn look_within(limit: Duration, stopped: bool) -> Duration {
    let (share, most) = match stopped {
        true => (limit / 4, Duration::from_secs(1)),
        false => (limit / 2, Duration::from_secs(1)),
    };
    share.clamp(Duration::from_millis(20), most)
}

/// What a look at the process shows.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// It lives.
    Lives {
        /// How long it has been stopped (`T`) without a break, if that is too long.
        hung: Option<Duration>,
        /// A debugger holds it (`t`).
        traced: bool,
    },
    /// It has ended.
    Ended {
        /// How.
        exit: crate::sys::pidfd::Exit,
        /// What that means.
        meaning: Meaning,
        /// The last lines of its output.
        lines: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct Record {
    pid: i32,
    starttime: u64,
    exe: PathBuf,
    boot: String,
    /// Where its output begins in our file; none if it writes elsewhere.
    #[serde(default)]
    from: Option<u64>,
}

impl Process {
    /// Forks and execs `corosync -f -c CONF` with its notifications going to `notify`.
    ///
    /// # Errors
    /// Stage and errno.
    pub fn start(
        bin: &Path,
        conf: &Path,
        notify: &Path,
        output: &std::fs::File,
        from: u64,
        run_dir: &Path,
    ) -> std::result::Result<Process, SpawnError> {
        let name = bin.to_string_lossy();
        let conf = conf.to_string_lossy();
        let program = Program {
            exe: bin,
            argv: &[&name, "-f", "-c", &conf],
            env: spawn::environment(&[("NOTIFY_SOCKET", notify)]),
            output,
            ends_with_us: false,
        };
        let child = spawn::spawn(&program)?;
        let now = clock::now();
        // It may have died already; then its identity is of no use to anybody, and its end is seen
        // through the pidfd.
        let id = Proc::default()
            .identify(child.pid)
            .ok()
            .flatten()
            .unwrap_or(ProcId {
                pid: child.pid,
                starttime: 0,
                exe: bin.to_owned(),
            });
        let process = Process {
            from: Some(from),
            ..Process::new(id, child.pidfd, false, now, run_dir)
        };
        process.keep();
        Ok(process)
    }

    fn new(id: ProcId, pidfd: PidFd, adopted: bool, since: Mono, run_dir: &Path) -> Process {
        Process {
            from: None,
            run_dir: run_dir.to_owned(),
            id,
            pidfd,
            adopted,
            since,
            ready: adopted,
            asked: false,
            stop: Stop::default(),
            hangs: false,
            killed_hung: false,
        }
    }

    /// Its number and age.
    #[must_use]
    pub fn run(&self) -> Run {
        Run {
            pid: self.id.pid,
            since: self.since,
        }
    }

    /// Sends the signal, to this very process.
    ///
    /// # Errors
    /// When the kernel refuses; not when it has ended already.
    pub fn signal(&mut self, how: How) -> Result<()> {
        self.asked = true;
        self.killed_hung |= how == How::Kill && self.hangs;
        let signal = match how {
            How::Term => Signal::SIGTERM,
            How::Kill => Signal::SIGKILL,
        };
        match self.pidfd.signal(signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(e) => Err(Error::new(
                "signal",
                format!("corosync (pid {})", self.id.pid),
                e.desc(),
            )),
        }
    }

    /// Looks at it. `limit` is the hang time-out, if there is one; `literal` see [`exit::meaning`].
    pub fn look(
        &mut self,
        now: Mono,
        limit: Option<Duration>,
        literal: bool,
        output: &Output,
    ) -> Look {
        if let Some(exit) = self.pidfd.reap() {
            let lines = output.tail_lines();
            let meaning = exit::meaning(exit, self.asked, self.killed_hung, literal, &lines);
            return Look::Ended {
                exit,
                meaning,
                lines,
            };
        }
        let proc = Proc::default();
        let mut seen = proc.check_process(&self.id);
        if matches!(seen, Ok(Check::Other)) && self.follow_exec(&proc) {
            seen = proc.check_process(&self.id);
        }
        self.stop = match &seen {
            // `t` is a debugger's stop: its owner knows what he does.
            Ok(Check::Alive('T')) => {
                let most = limit.map_or(Duration::MAX, |l| look_within(l, true) * 2);
                self.stop.again(now, proc.switches(self.id.pid), most)
            }
            _ => Stop::default(),
        };
        self.hangs = limit.is_some_and(|l| self.stop.time >= l);
        Look::Lives {
            hung: self.hangs.then_some(self.stop.time),
            traced: matches!(seen, Ok(Check::Alive('t'))),
        }
    }

    /// It hung and was killed; the kernel may take a while.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.killed_hung
    }

    /// It is dead and writes its core, which shows what it died of: its end comes after that.
    #[must_use]
    pub fn dumps_core(&self) -> bool {
        Proc::default().dumps_core(self.id.pid)
    }

    /// What its main thread has done.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        Proc::default().work(self.id.pid)
    }

    /// It does not answer: its end by our hand will be the end of a hang.
    pub fn hangs(&mut self) {
        self.hangs = true;
    }

    /// A wrapper becomes corosync by exec: the same process, by its descriptor and start time, with
    /// another executable. It is known by that one from then on.
    fn follow_exec(&mut self, proc: &Proc) -> bool {
        match proc.identify(self.id.pid) {
            Ok(Some(id)) if self.id.starttime == 0 || id.starttime == self.id.starttime => {
                self.id = id;
                self.keep();
                true
            }
            _ => false,
        }
    }

    /// Notes that its output now begins where the file does.
    pub fn output_cut(&mut self) {
        if self.from.is_some_and(|from| from > 0) {
            self.from = Some(0);
            self.keep();
        }
    }

    /// Writes its record, for the next clusmgr.
    pub fn keep(&self) {
        record(&self.run_dir, &self.id, self.from);
    }

    /// When it must be looked at again, at the latest, after a look at `looked`.
    #[must_use]
    pub fn next_look(&self, looked: Mono, limit: Duration) -> Mono {
        let stopped = self.stop.seen.is_some();
        let look = look_within(limit, stopped);
        // To the instant at which the time is up.
        let left = limit.saturating_sub(self.stop.time);
        let due = stopped && !left.is_zero();
        looked.plus(if due { look.min(left) } else { look })
    }

    /// The end, for `status`.
    #[must_use]
    pub fn ended(
        &self,
        meaning: Meaning,
        exit: crate::sys::pidfd::Exit,
        lines: &[String],
        now: Mono,
    ) -> Ended {
        use crate::sys::pidfd::Exit;
        let (code, signal) = match exit {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal { signal, .. } => (None, Some(signal)),
            Exit::Unknown => (None, None),
        };
        let ran_ms = u64::try_from(now.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let exit = LastExit {
            cause: meaning.cause,
            code,
            signal,
            at: WallMs::now(),
            ran_ms,
            hung: self.killed_hung,
            output: last_of(lines),
        };
        Ended {
            exit,
            permanent: meaning.permanent,
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.id.pid
    }

    /// Becomes readable when it ends.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn record(run_dir: &Path, id: &ProcId, from: Option<u64>) {
    let boot = Proc::default().boot_id().unwrap_or_default();
    let record = Record {
        pid: id.pid.0,
        starttime: id.starttime,
        exe: id.exe.clone(),
        boot,
        from,
    };
    let text = serde_json::to_vec(&record).unwrap_or_default();
    // Without the record the next clusmgr still finds corosync by its pid file or in /proc. The boot's
    // name in it makes one of an earlier boot worthless, so it need not last.
    if let Err(e) = file::write_for_this_boot(&run_dir.join(RECORD), &text, 0o600) {
        log::warn!("{e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(500);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    #[test]
    fn a_stop_counts_from_its_first_sight_and_from_anew_once_it_has_run() {
        let first = Stop::default().again(at(10_000), Some(5), MOST);
        assert_eq!(first.time, Duration::ZERO, "one sight says nothing");
        let more = first.again(at(10_250), Some(5), MOST);
        assert_eq!(more.time, Duration::from_millis(250));
        let more = more.again(at(10_500), Some(5), MOST);
        assert_eq!(more.time, Duration::from_millis(500));
        assert_eq!(more.again(at(10_750), Some(7), MOST).time, Duration::ZERO);
    }

    #[test]
    fn time_in_which_nobody_looked_hardly_counts() {
        let first = Stop::default().again(at(0), Some(5), MOST);
        assert_eq!(first.again(at(60_000), Some(5), MOST).time, MOST);
    }

    #[test]
    fn no_one_look_can_add_the_whole_time_out() {
        for ms in [100, 500, 1000, 5000, 60_000] {
            let limit = Duration::from_millis(ms);
            assert!(look_within(limit, true) * 2 < limit, "{ms}");
            assert!(look_within(limit, false) <= limit, "{ms}");
        }
    }
}
