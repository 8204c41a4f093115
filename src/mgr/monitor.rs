//! The thread `cm-monitor` (C: `clusmgr_mon_thr`): polls `check_service`; on error stops and starts
//! the service; calls `check_misc`. It alone spawns, signals and reaps corosync.
//!
//! It polls on a period, as in C, but its sleep is a `poll(2)` over the process, the notify socket,
//! a wake-up descriptor and the next deadline: a death ends the sleep at once.

mod first;
mod tell;

use super::state::{Action, Hold, Input, Phase, State, Why};
use super::{HOLD_UNSAVED, Kept, Manager, Order, View};
use crate::driver::{DriverData, Ended, How, Run, Service, StartError, StartFailure};
use crate::error::{Error, Result};
use crate::event::{Kind, Note, Severity};
use crate::policy::Policy;
use crate::sys::clock;
use crate::sys::ready;
use crate::sys::wake::Waker;
use crate::types::{Mono, WallMs};
use crate::wire::{DegradedItem, LastExit, Mode, ServiceState};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How often a corosync that somebody else started is looked for: all of `/proc` is read for it.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// What the monitor is made from.
pub struct Monitor {
    /// The manager, for commands and the view.
    pub manager: Arc<Manager>,
    /// The driver's half that holds the process.
    pub service: Box<dyn Service>,
    /// The driver's shared half.
    pub data: Arc<dyn DriverData>,
    /// Ends the sleep.
    pub waker: Arc<Waker>,
    /// The restart policy.
    pub policy: Policy,
    /// `--poll-interval`.
    pub interval: Duration,
    /// Where the hold is kept.
    pub state_dir: PathBuf,
    /// What the last clusmgr kept.
    pub kept: Kept,
    /// Whether corosync is held stopped from the beginning.
    pub hold: Option<Hold>,
    /// The kernel's id of this boot, which some holds end with.
    pub boot: String,
    /// Called once a period, as `check_misc`, for what is the daemon's own.
    pub keep: Box<dyn FnMut() + Send>,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl Monitor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(self) -> Result<JoinHandle<()>> {
        let thread = Builder::new()
            .name("cm-monitor".into())
            .stack_size(512 << 10);
        let run = move || Running::new(self).run();
        thread
            .spawn(run)
            .map_err(|e| Error::io("start", "thread cm-monitor", &e))
    }
}

struct Running {
    it: Monitor,
    state: State,
    run: Option<Run>,
    adopted: bool,
    since: WallMs,
    last_exit: Option<LastExit>,
    /// More about the mode, in words.
    detail: Option<String>,
    /// The hold could not be kept on disk.
    unsaved: Option<DegradedItem>,
    next_tick: Mono,
    /// When a corosync of somebody else was last looked for.
    looked: Mono,
    /// The first start waits for a look at the other nodes.
    first: Option<first::First>,
    taken: u64,
    finished: bool,
}

impl Running {
    fn new(it: Monitor) -> Running {
        let state = State::new(it.policy.clone(), it.hold);
        Running {
            it,
            state,
            run: None,
            adopted: false,
            since: WallMs::now(),
            last_exit: None,
            detail: None,
            unsaved: None,
            next_tick: clock::now(),
            looked: clock::now(),
            first: None,
            taken: 0,
            finished: false,
        }
    }

    fn run(mut self) {
        let found = self.adopt();
        if found.is_none() {
            self.remember_death();
        }
        self.boot(found);
        // A stop that the last clusmgr was killed in is gone on with.
        if let (Some(hold), Some(run)) = (self.state.hold, self.run) {
            if self.it.kept.ends == Some(run.pid) {
                self.take(Input::Stop(hold), clock::now());
            }
        }
        self.turn();
        while !self.finished {
            self.sleep();
            self.turn();
        }
        self.pass_events();
        self.show();
    }

    fn sleep(&self) {
        let now = clock::now();
        let until = self
            .state
            .deadline()
            .map_or(self.next_tick, |d| d.min(self.next_tick));
        let until = self.it.service.next_look().map_or(until, |l| l.min(until));
        let until = self.first.map_or(until, |f| f.until.min(until));
        let mut fds = self.it.service.wake_fds();
        fds.push(self.it.waker.as_fd());
        ready::wait_any(&fds, until.since(now));
    }

    /// One round: look, take what came in, act, show.
    fn turn(&mut self) {
        self.it.waker.clear();
        // First of all: who waits for them does not wait for a look at the process.
        self.pass_events();
        let now = clock::now();
        self.check(now);
        for order in self.it.manager.take_orders() {
            self.obey(&order);
        }
        if self.finished {
            return;
        }
        self.start_first(now);
        if self.next_tick <= now {
            // A late tick is not caught up with: the next is a whole period away.
            self.next_tick = now.plus(self.it.interval);
            if self.it.service.check_misc(now) && self.first.is_none() {
                self.changed(now);
            }
            (self.it.keep)();
            self.look_for_others(now);
        }
        if self.state.deadline().is_some_and(|d| d <= now) {
            self.take(Input::Tick, now);
        }
        self.pass_events();
        self.show();
    }

    /// While none of ours runs, somebody else may start corosync: it is taken over; or, while held,
    /// shown and left alone.
    fn look_for_others(&mut self, now: Mono) {
        let none = matches!(
            self.state.phase,
            Phase::Stopped | Phase::Failed { .. } | Phase::Backoff { .. }
        );
        if none && !self.state.ending && self.looked.plus(LOOK_AROUND) <= now {
            self.looked = now;
            if let Some(since) = self.adopt() {
                self.take(Input::Adopted { since }, now);
            }
        }
    }

    /// C: the `check_service` of the monitor's loop, and what its errors lead to.
    fn check(&mut self, now: Mono) {
        let check = self.it.service.check_service(now);
        if check.ready {
            let ms = self.run.map_or(0, |r| now.since(r.since).as_millis());
            let text = format!("corosync {} is ready after {ms} ms", self.pid_text());
            self.note(Kind::ServiceReady, Severity::Notice, text);
            self.take(Input::Ready, now);
        }
        if let Some(hang) = check.hung {
            if self.hang_counts() {
                let text = format!("corosync {} {hang}", self.pid_text());
                self.note(Kind::ServiceHung, Severity::Err, text);
            }
            self.take(Input::Hung, now);
        }
        if let Some(ended) = check.ended {
            self.ended(ended, check.already_running, now);
        } else if check.need_restart {
            self.take(Input::NeedRestart, now);
        }
    }

    /// A hang is told once: when it leads from a run to its end.
    fn hang_counts(&self) -> bool {
        !self.state.held()
            && matches!(
                self.state.phase,
                Phase::Starting { .. } | Phase::Running { .. }
            )
    }

    fn ended(&mut self, ended: Ended, already_running: bool, now: Mono) {
        let Ended { exit, permanent } = ended;
        let asked = matches!(self.state.phase, Phase::Stopping { why, .. } if why != Why::Fault);
        let (kind, severity) = match asked {
            true => (Kind::ServiceStopped, Severity::Notice),
            false => (Kind::ServiceExited, Severity::Err),
        };
        let text = format!("corosync {} ended: {}", self.pid_text(), exit.cause);
        let mut note = Note::new(kind, severity, text)
            .with("cause", exit.cause.clone())
            .with("ran_ms", exit.ran_ms)
            .with("output", exit.output.clone());
        if let Some(run) = self.run.take() {
            note = note.with("pid", run.pid.0);
        }
        self.publish(note);
        if permanent || !asked {
            self.detail = Some(tell::last_words(&exit));
        }
        self.last_exit = Some(exit);
        self.adopted = false;
        if already_running {
            if let Some(since) = self.adopt() {
                self.take(Input::Adopted { since }, now);
                return;
            }
        }
        let why = match self.state.phase {
            Phase::Stopping { why, .. } => Some(why),
            _ => None,
        };
        self.take(Input::Exited { permanent }, now);
        // After it was answered: the disk may be slow.
        match why {
            Some(Why::Restart) => {}
            Some(Why::Hold | Why::Shutdown) => self.keep_life(|kept, _| kept.alive = None),
            Some(Why::Fault | Why::Isolated) | None => {
                self.keep_life(|kept, boot| kept.death(boot, now, WallMs::now()));
            }
        }
    }

    /// `--restart-delay` counts from a death that an earlier clusmgr saw, or that nobody did.
    fn remember_death(&mut self) {
        let (delay, now) = (self.it.policy.restart_delay, clock::now());
        let mut due = Mono(0);
        self.keep_life(|kept, boot| due = kept.due(delay, boot, now, WallMs::now()));
        self.state.not_before = due;
    }

    /// Keeps, for the next clusmgr, whether corosync lives, and when it died; nothing where no delay
    /// asks for it.
    fn keep_life(&mut self, change: impl FnOnce(&mut Kept, &str)) {
        let before = self.it.kept.clone();
        if self.it.policy.restart_delay.is_zero() {
            (self.it.kept.alive, self.it.kept.died) = (None, None);
        } else {
            change(&mut self.it.kept, &self.it.boot);
        }
        if self.it.kept == before {
            return;
        }
        if let Err(e) = self.it.kept.save(&self.it.state_dir) {
            log::error!("{e}");
        }
    }

    fn obey(&mut self, order: &Order) {
        self.taken = order.number;
        log::debug!("order {:?} by {}", order.input, order.by);
        self.step_by(order.input, &order.by);
    }

    fn step_by(&mut self, input: Input, by: &str) {
        let hold = self.state.hold;
        self.take(input, clock::now());
        if hold != self.state.hold {
            let (kind, what) = match self.state.hold {
                Some(Hold::Kept) => (Kind::HoldSet, "holds corosync stopped"),
                Some(Hold::UntilBoot) => {
                    (Kind::HoldSet, "holds corosync stopped until the next boot")
                }
                None => (Kind::HoldEnded, "ended the hold"),
            };
            self.publish(Note::new(kind, Severity::Notice, format!("{by} {what}")).with("by", by));
        }
    }

    /// One step, its actions, and the steps that follow from those. The mode is told as it is after
    /// all of them: a retry that fails at once is no change.
    fn take(&mut self, input: Input, now: Mono) {
        let before = (!matches!(input, Input::Boot { .. })).then(|| self.state.mode());
        let mut inputs = VecDeque::from([(input, now)]);
        while let Some((input, now)) = inputs.pop_front() {
            let service = self.state.service();
            let phase = self.state.phase;
            let actions = self.state.step(input, now);
            log::debug!(
                "{input:?}: {phase:?} -> {:?}, {actions:?}",
                self.state.phase
            );
            if service != self.state.service() {
                self.since = WallMs::now();
            }
            for action in actions {
                let follows = self.act(action);
                inputs.extend(follows.map(|input| (input, clock::now())));
            }
            self.tell_retry(phase, now);
        }
        self.tell_mode(before);
    }

    fn act(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::SaveHold(hold) => {
                self.save_hold(hold);
                None
            }
            Action::Start => self.start(),
            Action::Term => {
                let text = format!("stopping corosync {}", self.pid_text());
                self.note(Kind::ServiceStopping, Severity::Notice, text);
                self.signal(How::Term);
                Some(Input::Told)
            }
            Action::Kill => {
                let text = format!("killing corosync {}", self.pid_text());
                self.note(Kind::ServiceKilled, Severity::Warning, text);
                self.signal(How::Kill);
                None
            }
            Action::Finish => {
                self.finished = true;
                None
            }
        }
    }

    fn signal(&mut self, how: How) {
        if let Err(e) = self.it.service.stop_service(how) {
            log::error!("{e}");
        }
    }

    fn start(&mut self) -> Option<Input> {
        match self.it.service.start_service() {
            Ok(run) => {
                self.run = Some(run);
                self.adopted = false;
                self.detail = None;
                let text = format!("started corosync {}", self.pid_text());
                self.note(Kind::ServiceStarting, Severity::Notice, text);
                self.keep_life(Kept::lives);
                None
            }
            Err(StartError::AlreadyRunning(run)) => Some(Input::Adopted {
                since: self.adopted_run(run),
            }),
            Err(StartError::Failed(failure, e)) => {
                self.detail = Some(e.to_string());
                if failure != StartFailure::Unconfigured {
                    self.note(Kind::ServiceStartFailed, Severity::Err, e.to_string());
                }
                Some(Input::StartFailed(failure))
            }
        }
    }

    fn adopt(&mut self) -> Option<Mono> {
        match self.it.service.adopt_service() {
            Ok(found) => found.map(|run| self.adopted_run(run)),
            Err(e) => {
                log::error!("{e}");
                None
            }
        }
    }

    fn adopted_run(&mut self, run: Run) -> Mono {
        self.run = Some(run);
        self.adopted = true;
        self.detail = None;
        let text = format!("adopted the running corosync {}", self.pid_text());
        self.note(Kind::ServiceAdopted, Severity::Notice, text);
        self.keep_life(Kept::lives);
        run.since
    }

    fn save_hold(&mut self, hold: Option<Hold>) {
        let kept = std::mem::take(&mut self.it.kept);
        self.it.kept = kept.with_hold(hold, &self.it.boot);
        // If we are killed before it is told to end, the next clusmgr tells it.
        self.it.kept.ends = hold.and(self.run).map(|r| r.pid);
        self.unsaved = self.it.kept.save(&self.it.state_dir).err().map(|e| {
            log::error!("{e}");
            let what = match hold {
                Some(_) => "the hold will not survive a restart of clusmgr",
                None => "the hold will be back at the next start of clusmgr",
            };
            DegradedItem {
                reason: HOLD_UNSAVED.into(),
                since: WallMs::now(),
                detail: format!("{what}: {e}"),
            }
        });
    }

    fn show(&self) {
        let first = self.first.filter(|_| !self.state.ending);
        let (mode, reason) = match first {
            None => self.state.mode(),
            Some(_) => (Mode::Cluster, None),
        };
        self.it.manager.show(View {
            mode,
            reason,
            detail: if mode == Mode::Standalone {
                self.detail.clone()
            } else {
                None
            },
            service: match first {
                None => self.state.service(),
                Some(_) => ServiceState::Backoff,
            },
            pid: self.run.map(|r| r.pid),
            adopted: self.adopted,
            since: self.since,
            restarts: self.state.restarts,
            deaths: self.state.record.in_a_row(),
            last_exit: self.last_exit.clone(),
            retry_at: self.state.retry_at().or(first.map(|f| f.until)),
            not_before: self.state.not_before,
            stop_timeout: self.state.stop_timeout(),
            hold: self.state.hold,
            degraded: self.unsaved.iter().cloned().collect(),
            taken: self.taken,
            begun: true,
            ending: self.state.ending,
            ended: self.finished,
        });
    }
}
