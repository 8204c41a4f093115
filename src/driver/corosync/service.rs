//! The monitor's half of the driver: adopt, start in three steps, stop, check, housekeeping.

use super::CorosyncSys;
use super::exit;
use super::output::{self, Output};
use super::process::{Look, Process, look_within};
use super::proof;
use super::shm::Remains;
use super::watch::{Unanswered, Works, patience};
use crate::driver::{Check, Hang, How, READY_TIMEOUT, Run, Service, StartError, StartFailure};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::event::{Kind, Note, Severity};
use crate::paths;
use crate::sys::clock;
use crate::sys::file::{self, FileId};
use crate::sys::procfs::Proc;
use crate::sys::sock::NotifySocket;
use crate::sys::spawn::{SpawnError, Stage};
use crate::types::Mono;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the remains of dead ones are looked for in shared memory, besides after each death.
const REMAINS_EVERY: Duration = Duration::from_secs(30);
/// File and running configuration may differ for so long, for a reload's sake.
const DIFFERS_FOR: Duration = Duration::from_secs(2);
/// A call that is unanswered for so long is told.
const NOT_ANSWERING: Duration = Duration::from_secs(2);
/// How often the free space is looked at.
const SPACE_EVERY: Duration = Duration::from_secs(30);
/// Where libqb keeps its files.
const SHM: &str = "/dev/shm";
/// Less than this many bytes free is told.
const SPACE_LOW: u64 = 16 << 20;

/// The process and what is needed to keep it.
#[derive(Debug)]
pub struct CorosyncService {
    sys: Arc<CorosyncSys>,
    notify: NotifySocket,
    output: Output,
    process: Option<Process>,
    seen: Option<[Option<FileId>; 3]>,
    space_at: Option<Mono>,
    looked: Mono,
    /// The library call of `cm-watch` that corosync has not answered.
    unanswered: Unanswered,
    /// What corosync does meanwhile.
    works: Works,
    /// The running configuration that was compared with the file last.
    compared: Option<u64>,
    /// Since when they differ.
    differs: Option<Mono>,
    remains: Remains,
    remains_at: Option<Mono>,
    /// The last start ended because another corosync runs.
    already_running: bool,
    /// It was started with a text that was to be taken back.
    owes: bool,
}

impl CorosyncService {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// When the notify socket cannot be made.
    pub fn new(sys: Arc<CorosyncSys>) -> Result<CorosyncService> {
        let run_dir = sys.params.run_dir.clone();
        Ok(CorosyncService {
            notify: NotifySocket::bind(&run_dir.join(paths::NOTIFY_NAME))?,
            output: Output::new(&run_dir),
            process: None,
            seen: None,
            space_at: None,
            looked: clock::now(),
            unanswered: Unanswered::default(),
            works: Works::default(),
            compared: None,
            differs: None,
            remains: Remains::load(Path::new(SHM), &run_dir, &Proc::default().boot_id()?),
            remains_at: None,
            already_running: false,
            owes: false,
            sys,
        })
    }

    fn bin(&self) -> &Path {
        &self.sys.params.paths.bin
    }

    /// Takes the readiness messages; true if the process of ours is among the senders.
    fn take_ready(&mut self) -> bool {
        let mut ready = false;
        while let Some((sender, text)) = self.notify.recv() {
            let Some(process) = &mut self.process else {
                continue;
            };
            if sender == process.pid() && text.lines().any(|l| l == "READY=1") && !process.ready {
                process.ready = true;
                ready = true;
            }
        }
        ready
    }

    /// What, if it changes, is worth another try: configuration, key, binary.
    fn watched(&self) -> [PathBuf; 3] {
        let paths = &self.sys.params.paths;
        let key = self.sys.corosync_config_mtx.lock().key_path.clone();
        [
            paths.conf.clone(),
            key.unwrap_or_else(|| paths.authkey.clone()),
            paths.bin.clone(),
        ]
    }

    fn changed(&mut self) -> bool {
        let now = self.watched().map(|p| FileId::of(&p).ok().flatten());
        let before = self.seen.replace(now);
        before.is_some_and(|b| b != now)
    }

    /// Somebody may have removed the run directory: the notify socket is made again, and with it the
    /// records of the process and of those before it.
    fn keep_run_dir(&mut self) -> Result<()> {
        if self.notify.is_there() {
            return Ok(());
        }
        output::make_dir(&self.sys.params.run_dir)?;
        let path = self.notify.path().to_owned();
        log::warn!("{} was removed: it is made again", path.display());
        self.notify = NotifySocket::bind(&path)?;
        if let Some(process) = &self.process {
            process.keep();
        }
        self.remains.keep();
        Ok(())
    }

    /// Not at the death itself: that is answered first.
    fn remove_remains(&mut self, now: Mono) {
        let soon = |at| now.since(at) < REMAINS_EVERY;
        if self.remains_at.is_some_and(soon) {
            return;
        }
        self.remains_at = Some(now);
        match self.remains.remove(&Proc::default()) {
            0 => {}
            n => log::info!("removed {n} files or directories of dead corosyncs in {SHM}"),
        }
    }

    fn look_at_space(&mut self, now: Mono) {
        // A corosync that serves nobody may lack space, and whoever lacks it waits to hear of its end.
        let waits = ["no-answer", "shm-full"]
            .iter()
            .any(|reason| self.sys.is_degraded(reason));
        if !waits && self.space_at.is_some_and(|at| now.since(at) < SPACE_EVERY) {
            return;
        }
        self.space_at = Some(now);
        for (reason, path) in [
            ("state-dir-full", self.sys.params.state_dir.as_path()),
            ("shm-full", Path::new(SHM)),
        ] {
            match file::free_space(path) {
                Ok(free) if free < SPACE_LOW => {
                    let text = format!(
                        "{} has {} KiB free; make some space there",
                        path.display(),
                        free >> 10
                    );
                    self.sys.set_degraded(reason, &text);
                }
                _ => self.sys.clear_degraded(reason),
            }
        }
    }

    /// The running configuration against the live file, when one of them is new. A change that is under
    /// way does that itself; an edit by hand, and what only a restart brings, are told by names of
    /// their own.
    fn compare_running(&mut self, changed: bool, now: Mono) {
        let running = self.sys.corosync_event_mtx.lock().running.clone();
        let told = |reason| self.sys.is_degraded(reason);
        let guard = self.sys.corosync_config_mtx.lock();
        let excused = guard.pending.is_some() || guard.drift;
        drop(guard);
        let Some((number, running)) = running.filter(|_| self.process.is_some()) else {
            return;
        };
        if excused || told("restart-needed") {
            self.compared = None;
            self.differs = None;
            self.sys.clear_degraded("running-differs");
            return;
        }
        if !changed && self.differs.is_none() && self.compared == Some(number) {
            return;
        }
        self.compared = Some(number);
        // A file that cannot be used is told of by itself.
        let Ok(Some(live)) = self.sys.read_live() else {
            return;
        };
        let file = proof::expected(&live.config);
        match proof::differs(&proof::Expected::new(), &file, &running) {
            None => {
                self.differs = None;
                self.sys.clear_degraded("running-differs");
            }
            Some(what) => {
                // A reload takes its time to be read back.
                let since = *self.differs.get_or_insert(now);
                if now.since(since) >= DIFFERS_FOR {
                    let text = format!("{what} as the file has it");
                    self.sys.set_degraded("running-differs", &text);
                }
            }
        }
    }

    fn start(&mut self) -> std::result::Result<Run, StartError> {
        let failed = |(failure, e)| StartError::Failed(failure, e);
        self.sys.make_ready().map_err(failed)?;
        self.owes = self.sys.owes();
        self.keep_run_dir()
            .map_err(|e| failed((StartFailure::Transient, e)))?;
        // What we wrote ourselves is no change.
        self.changed();
        let (output, from) = self
            .output
            .open()
            .map_err(|e| failed((StartFailure::Transient, e)))?;
        let params = &self.sys.params;
        let started = Process::start(
            &params.paths.bin,
            &params.paths.conf,
            self.notify.path(),
            &output,
            from,
            &params.run_dir,
        );
        let process = started.map_err(|e| self.spawn_failed(&e))?;
        self.sys.corosync_event_mtx.lock().corosync_reboot_needed = false;
        let run = process.run();
        self.process = Some(process);
        self.remains.ours(run.pid);
        self.sys.watch.set(Some((run.pid, false)));
        Ok(run)
    }

    fn spawn_failed(&self, e: &SpawnError) -> StartError {
        let bin = self.bin();
        let error = Error::new("start", bin.display(), e);
        let no_binary = matches!(
            e.errno,
            Errno::ENOENT
                | Errno::EACCES
                | Errno::ENOEXEC
                | Errno::ENOTDIR
                | Errno::EISDIR
                | Errno::ELOOP
        );
        if e.stage == Stage::Exec && no_binary {
            let hint = "install corosync there, or name it with --corosync-bin";
            return StartError::Failed(
                StartFailure::NoBinary,
                error.hint(hint).kind(ErrorKind::NotInstalled),
            );
        }
        StartError::Failed(
            StartFailure::Transient,
            error.hint("it will be tried again"),
        )
    }
}

impl Service for CorosyncService {
    fn adopt_service(&mut self) -> Result<Option<Run>> {
        let params = &self.sys.params;
        let mut found = Process::find(&params.paths, &params.run_dir)?;
        let already_running = std::mem::take(&mut self.already_running);
        if found.is_none() && already_running {
            found = Process::rival(&params.paths, &params.run_dir);
        }
        let Some(process) = found else {
            self.sys.watch.set(None);
            return Ok(None);
        };
        self.output.adopted(process.from);
        let run = process.run();
        self.process = Some(process);
        self.remains.ours(run.pid);
        self.sys.watch.set(Some((run.pid, true)));
        self.sys.record_adopted();
        Ok(Some(run))
    }

    fn start_service(&mut self) -> std::result::Result<Run, StartError> {
        let started = self.start();
        // What was taken over, written, or found to be no good.
        self.sys.follow_remote();
        started
    }

    fn stop_service(&mut self, how: How) -> Result<()> {
        match &mut self.process {
            Some(process) => process.signal(how),
            None => Ok(()),
        }
    }

    fn check_service(&mut self, now: Mono) -> Check {
        let ready = self.take_ready();
        let mut check = Check {
            ready,
            ..Check::default()
        };
        let literal = self.sys.corosync_config_mtx.lock().literal;
        self.looked = now;
        let limit = self.sys.params.hang_timeout;
        let Some(process) = &mut self.process else {
            return check;
        };
        match process.look(now, limit, literal, &self.output) {
            Look::Ended {
                exit,
                mut meaning,
                lines,
            } => {
                if meaning.already_running {
                    check.already_running = true;
                    self.already_running = true;
                    if let Some(who) = Process::rival_text(&self.sys.params.paths) {
                        meaning.cause = format!("{}: {who}", meaning.cause);
                    }
                }
                if let Some(who) = exit::no_service(exit)
                    .then(|| Process::network_rival(&self.sys.params.paths))
                    .flatten()
                {
                    meaning.cause = format!("{}: {who}", meaning.cause);
                    meaning.permanent = false;
                }
                self.remains_at = None;
                check.ended = Some(process.ended(meaning, exit, &lines, now));
                self.process = None;
                self.sys.watch.set(None);
                // At once: what it told is not shown beside the pid of the next.
                self.sys.show_cluster(None, Vec::new());
                self.sys.corosync_event_mtx.lock().running = None;
                self.compared = None;
                self.differs = None;
                self.unanswered = Unanswered::anew(self.sys.watch.beat.under_way());
                for reason in ["not-ready", "not-answering", "running-differs"] {
                    self.sys.clear_degraded(reason);
                }
            }
            Look::Lives { hung, traced } => {
                check.hung = hung.map(Hang::Stopped);
                let call = self.sys.watch.beat.under_way();
                let most = limit.map_or(Duration::MAX, |l| look_within(l, true) * 2);
                self.unanswered = self.unanswered.again(call, traced, now, most);
                let time = self.unanswered.time();
                let counts = self.sys.watch.answered() || now.since(process.since) >= READY_TIMEOUT;
                let late = time >= NOT_ANSWERING || limit.is_some_and(|l| time >= l);
                let core = late && process.dumps_core();
                let works = self
                    .works
                    .look(self.unanswered.which(), now, || process.work());
                // Not before it is known which: with a short limit that takes a moment longer.
                let excused = core || works != Some(false) || self.unanswered.excused();
                let hangs = limit.is_some_and(|l| time >= patience(l, excused));
                if counts && check.hung.is_none() && hangs {
                    process.hangs();
                    check.hung = Some(Hang::Unanswered(time));
                }
                if process.is_killed() {
                    check.hung = None;
                }
                if counts && time >= NOT_ANSWERING {
                    let why = match (core, works) {
                        (true, _) => ": it has crashed and writes its core",
                        (false, Some(true)) => ": it works, and serves nobody meanwhile",
                        (false, _) => "",
                    };
                    let text = format!("a call has been unanswered for {} s{why}", time.as_secs());
                    self.sys.set_degraded("not-answering", &text);
                } else if time < NOT_ANSWERING {
                    self.sys.clear_degraded("not-answering");
                }
                if process.ready {
                    self.owes = self.owes && !self.sys.runs_well(now.since(process.since));
                    self.sys.clear_degraded("not-ready");
                } else if now.since(process.since) >= READY_TIMEOUT {
                    let text = "corosync lives but has not said READY=1; see its output";
                    self.sys.set_degraded("not-ready", text);
                }
                check.need_restart = self.sys.corosync_event_mtx.lock().corosync_reboot_needed;
            }
        }
        check
    }

    fn check_misc(&mut self, now: Mono) -> bool {
        let changed = self.changed();
        if changed {
            self.sys.compare();
        }
        self.sys.follow_remote();
        match self.keep_run_dir() {
            Ok(()) => self.sys.clear_degraded("run-dir"),
            Err(e) => self.sys.set_degraded("run-dir", &e.to_string()),
        }
        match self.output.cut() {
            Ok(cut) => {
                if let (true, Some(process)) = (cut, &mut self.process) {
                    process.output_cut();
                }
                self.sys.clear_degraded("output");
            }
            Err(e) => self.sys.set_degraded("output", &e.to_string()),
        }
        self.compare_running(changed, now);
        self.remove_remains(now);
        self.look_at_space(now);
        changed
    }

    fn look_first(&mut self) {
        self.sys.take_over_early();
    }

    fn next_look(&self) -> Option<Mono> {
        let limit = self.sys.params.hang_timeout?;
        let look = self.process.as_ref()?.next_look(self.looked, limit);
        let waits = self.unanswered.waits();
        let look = look.min(self.looked.plus(look_within(limit, waits)));
        let due = self
            .unanswered
            .due(patience(limit, self.unanswered.excused()));
        Some(due.map_or(look, |due| look.min(due)))
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        let process = self.process.as_ref().map(Process::fd);
        process.into_iter().chain([self.notify.as_fd()]).collect()
    }
}

impl CorosyncSys {
    /// An adopted corosync: its files are taken over if clusmgr holds none yet, and else compared;
    /// nothing is acted upon.
    fn record_adopted(&self) {
        // What a change that is taken back left running has no files to take over.
        let settling = self.corosync_config_mtx.lock().unfinished.is_some();
        if let Some(e) = (!settling)
            .then(|| self.take_over_running().err())
            .flatten()
        {
            let text = format!("the files of the running corosync could not be taken over: {e}");
            self.note(Note::new(Kind::ConfigBad, Severity::Warning, text));
        }
        self.compare();
        self.follow_remote();
    }
}
