//! The state machine: `step(state, input, now) -> actions`. Pure; the monitor carries the actions
//! out and feeds back what came of them.
//!
//! What the operator wants (`hold`, `ending`) is kept apart from what is (`phase`), so that "stop
//! while starting" and "start while stopping" are listed cases:
//!
//! ```text
//!             Stopped   Starting   Running    Stopping        Backoff    Failed
//! Start(*)    start     -          -          then start      start      start
//! Stop        -         TERM       TERM       then rest       rest       rest
//! Restart     start     TERM,start TERM,start then start      start      start
//! Shutdown    finish    TERM,fin.  TERM,fin.  then finish     finish     finish
//! Leave       finish    finish     finish     finish          finish     finish
//! StartFailed -         by cause   -          -               -          -
//! Adopted     Running   Running    -          -               Running    Running
//! Ready       -         Running    -          -               -          -
//! Told        -         -          -          its time begins -          -
//! Exited      -         policy     policy     as intended     -          -
//! Hung        -         KILL       KILL       KILL            -          -
//! NeedRestart -         -          TERM,start -               -          -
//! Isolated    -         -          TERM,start -               -          -           (***)
//! Changed     start(**) -          -          -               -          start
//! Tick        -         Running(+) -          KILL when due   start due  start due
//! ```
//! (***) after `--restart-delay`, as after a death: whoever fences may have begun.
//! (*) nothing under a hold that lasts longer than the one it may end; (**) unless held; (+) after
//! [`READY_TIMEOUT`] without a word. While held, a corosync that somebody else started is left alone: its hang and its death lead to nothing.

use crate::driver::{READY_TIMEOUT, StartFailure};
use crate::policy::{Policy, Record, Verdict};
use crate::types::Mono;
use crate::wire::{Mode, Reason, ServiceState};
use std::time::Duration;

/// A second SIGKILL, for a process that the kernel holds (state `D`), comes after this.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// The manager's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What is.
    pub phase: Phase,
    /// An operator holds corosync stopped.
    pub hold: Option<Hold>,
    /// The daemon ends.
    pub ending: bool,
    /// Starts that followed a death.
    pub restarts: u64,
    /// `--restart-delay` after the last death: no start of our own accord before this.
    pub not_before: Mono,
    /// The runs so far.
    pub(super) record: Record,
    policy: Policy,
}

impl State {
    /// The state before [`Input::Boot`].
    #[must_use]
    pub fn new(policy: Policy, hold: Option<Hold>) -> State {
        State {
            phase: Phase::Stopped,
            hold,
            ending: false,
            restarts: 0,
            not_before: Mono(0),
            record: Record::default(),
            policy,
        }
    }

    /// How long corosync may take to end.
    #[must_use]
    pub fn stop_timeout(&self) -> Duration {
        self.policy.stop_timeout
    }

    /// Whether an operator holds corosync stopped.
    #[must_use]
    pub fn held(&self) -> bool {
        self.hold.is_some()
    }

    /// CLUSTER or STANDALONE, and why.
    #[must_use]
    pub fn mode(&self) -> (Mode, Option<Reason>) {
        match self.phase {
            _ if self.held() => (Mode::Standalone, Some(Reason::Held)),
            Phase::Failed { reason, .. } => (Mode::Standalone, Some(reason)),
            Phase::Stopped if !self.ending => (Mode::Standalone, Some(Reason::Unconfigured)),
            _ => (Mode::Cluster, None),
        }
    }

    /// The service state as clients see it.
    #[must_use]
    pub fn service(&self) -> ServiceState {
        match self.phase {
            Phase::Stopped => ServiceState::Stopped,
            Phase::Starting { .. } => ServiceState::Starting,
            Phase::Running { .. } => ServiceState::Running,
            Phase::Stopping { .. } => ServiceState::Stopping,
            Phase::Backoff { .. } => ServiceState::Backoff,
            Phase::Failed { .. } => ServiceState::Failed,
        }
    }

    /// When the next start is due, where one is.
    #[must_use]
    pub fn retry_at(&self) -> Option<Mono> {
        match self.phase {
            Phase::Backoff { until } => Some(until),
            Phase::Failed { retry_at, .. } => Some(retry_at),
            _ => None,
        }
    }

    /// When [`Input::Tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match self.phase {
            Phase::Starting { since } => Some(since.plus(READY_TIMEOUT)),
            Phase::Stopping { kill_at, .. } => Some(kill_at),
            Phase::Stopped | Phase::Running { .. } => None,
            Phase::Backoff { .. } | Phase::Failed { .. } => self.retry_at(),
        }
    }

    /// Takes one input; gives what is to be done.
    pub fn step(&mut self, input: Input, now: Mono) -> Vec<Action> {
        use Input::{Exited, Hung, Leave, Shutdown, Tick, Told};
        if self.ending && !matches!(input, Exited { .. } | Hung | Leave | Shutdown | Tick | Told) {
            return Vec::new();
        }
        match input {
            Input::Boot { found: Some(since) } => self.run(since),
            Input::Boot { found: None } if self.held() => Vec::new(),
            Input::Boot { found: None } => self.start_if_due(now),
            Input::Start(ends) if self.hold > Some(ends) => Vec::new(),
            Input::Start(_) => self.wanted(now, false),
            Input::Restart => self.wanted(now, true),
            Input::Stop(hold) => self.unwanted(hold, now),
            Input::Shutdown => self.shut_down(now),
            Input::Leave => {
                self.ending = true;
                vec![Action::Finish]
            }
            Input::StartFailed(failure) => match self.phase {
                Phase::Starting { .. } => self.not_started(failure, now),
                _ => Vec::new(),
            },
            Input::Adopted { since } => match self.phase {
                Phase::Running { .. } | Phase::Stopping { .. } => Vec::new(),
                _ => self.run(since),
            },
            Input::Ready => match self.phase {
                Phase::Starting { since } => self.run(since),
                _ => Vec::new(),
            },
            Input::Told => {
                let due = now.plus(self.policy.stop_timeout);
                if let Phase::Stopping { kill_at, .. } = &mut self.phase {
                    *kill_at = due;
                }
                Vec::new()
            }
            Input::Exited { permanent } => self.exited(permanent, now),
            Input::Hung => self.hung(now),
            Input::NeedRestart => match self.phase {
                Phase::Running { since } if !self.held() => self.stop(Why::Restart, since, now),
                _ => Vec::new(),
            },
            Input::Isolated => match self.phase {
                Phase::Running { since } if !self.held() => self.stop(Why::Isolated, since, now),
                _ => Vec::new(),
            },
            Input::Changed => match self.phase {
                Phase::Failed { .. } | Phase::Stopped if !self.held() => {
                    self.record.forgive();
                    self.start_if_due(now)
                }
                _ => Vec::new(),
            },
            Input::Tick => self.tick(now),
        }
    }

    fn run(&mut self, since: Mono) -> Vec<Action> {
        self.phase = Phase::Running { since };
        Vec::new()
    }

    fn start(&mut self, now: Mono) -> Vec<Action> {
        self.phase = Phase::Starting { since: now };
        vec![Action::Start]
    }

    /// Neither a change nor another clusmgr is a reason to come back before the fencing is over.
    fn start_if_due(&mut self, now: Mono) -> Vec<Action> {
        let until = self.not_before;
        if now >= until {
            return self.start(now);
        }
        self.phase = Phase::Backoff { until };
        Vec::new()
    }

    fn start_again(&mut self, now: Mono) -> Vec<Action> {
        self.restarts = self.restarts.saturating_add(1);
        self.start(now)
    }

    fn stop(&mut self, why: Why, since: Mono, now: Mono) -> Vec<Action> {
        self.phase = Phase::Stopping {
            why,
            since,
            kill_at: now.plus(self.policy.stop_timeout),
        };
        vec![Action::Term]
    }

    /// Another purpose for a stop under way.
    fn redirect(&mut self, to: Why) {
        if let Phase::Stopping { why, .. } = &mut self.phase {
            *why = to;
        }
    }

    fn rest(&mut self) -> Vec<Action> {
        self.phase = Phase::Stopped;
        Vec::new()
    }

    fn fail(&mut self, reason: Reason, wait: Duration, now: Mono) -> Vec<Action> {
        let retry_at = now.plus(wait).max(self.not_before);
        self.phase = Phase::Failed { reason, retry_at };
        Vec::new()
    }

    fn wanted(&mut self, now: Mono, restart: bool) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.hold.take().is_some() {
            actions.push(Action::SaveHold(None));
        }
        self.record.forgive();
        actions.extend(match self.phase {
            Phase::Starting { since } | Phase::Running { since } if restart => {
                self.stop(Why::Restart, since, now)
            }
            Phase::Starting { .. } | Phase::Running { .. } => Vec::new(),
            Phase::Stopping { .. } => {
                self.redirect(Why::Restart);
                Vec::new()
            }
            Phase::Stopped | Phase::Backoff { .. } | Phase::Failed { .. } => self.start(now),
        });
        actions
    }

    fn unwanted(&mut self, hold: Hold, now: Mono) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.hold < Some(hold) {
            self.hold = Some(hold);
            actions.push(Action::SaveHold(self.hold));
        }
        actions.extend(match self.phase {
            Phase::Starting { since } | Phase::Running { since } => {
                self.stop(Why::Hold, since, now)
            }
            Phase::Stopping { .. } => {
                self.redirect(Why::Hold);
                Vec::new()
            }
            Phase::Stopped | Phase::Backoff { .. } | Phase::Failed { .. } => self.rest(),
        });
        actions
    }

    fn shut_down(&mut self, now: Mono) -> Vec<Action> {
        self.ending = true;
        match self.phase {
            // Held, and yet it runs: somebody else started it, so it is not ours to stop.
            Phase::Starting { .. } | Phase::Running { .. } if self.held() => vec![Action::Finish],
            Phase::Starting { since } | Phase::Running { since } => {
                self.stop(Why::Shutdown, since, now)
            }
            Phase::Stopping { .. } => {
                self.redirect(Why::Shutdown);
                Vec::new()
            }
            Phase::Stopped | Phase::Backoff { .. } | Phase::Failed { .. } => {
                self.phase = Phase::Stopped;
                vec![Action::Finish]
            }
        }
    }

    fn not_started(&mut self, failure: StartFailure, now: Mono) -> Vec<Action> {
        let reason = match failure {
            StartFailure::Unconfigured => return self.rest(),
            _ if self.held() => return self.rest(),
            StartFailure::Transient => {
                let verdict = self.record.failed(&self.policy, now);
                return self.obey(verdict, now);
            }
            StartFailure::BadConfig => Reason::BadConfig,
            StartFailure::NoBinary => Reason::NoBinary,
        };
        let wait = self.record.give_up(&self.policy);
        self.fail(reason, wait, now)
    }

    fn exited(&mut self, permanent: bool, now: Mono) -> Vec<Action> {
        let since = match self.phase {
            Phase::Stopped | Phase::Backoff { .. } | Phase::Failed { .. } => return Vec::new(),
            Phase::Stopping {
                why: Why::Shutdown, ..
            } => {
                self.phase = Phase::Stopped;
                return vec![Action::Finish];
            }
            _ if self.held() || self.ending => return self.rest(),
            Phase::Stopping { why: Why::Hold, .. } => return self.rest(),
            Phase::Stopping {
                why: Why::Restart, ..
            } => return self.start(now),
            Phase::Stopping {
                why: Why::Isolated, ..
            } => {
                self.not_before = now.plus(self.policy.restart_delay);
                return self.start_if_due(now);
            }
            Phase::Starting { since }
            | Phase::Running { since }
            | Phase::Stopping {
                why: Why::Fault,
                since,
                ..
            } => since,
        };
        self.not_before = now.plus(self.policy.restart_delay);
        if permanent {
            let wait = self.record.give_up(&self.policy);
            return self.fail(Reason::BadConfig, wait, now);
        }
        let verdict = self.record.died(&self.policy, now.since(since), now);
        self.obey(verdict, now)
    }

    fn obey(&mut self, verdict: Verdict, now: Mono) -> Vec<Action> {
        match verdict {
            Verdict::Again(Duration::ZERO) => self.start_again(now),
            Verdict::Again(wait) => {
                self.phase = Phase::Backoff {
                    until: now.plus(wait),
                };
                Vec::new()
            }
            Verdict::GiveUp(wait) => self.fail(Reason::StartFailed, wait, now),
        }
    }

    fn hung(&mut self, now: Mono) -> Vec<Action> {
        match &mut self.phase {
            Phase::Starting { since } | Phase::Running { since }
                if self.hold.is_none() && !self.ending =>
            {
                let since = *since;
                self.phase = Phase::Stopping {
                    why: Why::Fault,
                    since,
                    kill_at: now.plus(KILL_AGAIN),
                };
                vec![Action::Kill]
            }
            // A stopped process does not see SIGTERM: no reason to wait for the deadline.
            Phase::Stopping { kill_at, .. } => {
                *kill_at = now.plus(KILL_AGAIN);
                vec![Action::Kill]
            }
            _ => Vec::new(),
        }
    }

    fn tick(&mut self, now: Mono) -> Vec<Action> {
        let may_start = self.hold.is_none() && !self.ending;
        match &mut self.phase {
            Phase::Starting { since } if now.since(*since) >= READY_TIMEOUT => {
                let since = *since;
                self.run(since)
            }
            Phase::Stopping { kill_at, .. } if *kill_at <= now => {
                *kill_at = now.plus(KILL_AGAIN);
                vec![Action::Kill]
            }
            Phase::Backoff { until } if *until <= now && may_start => self.start_again(now),
            Phase::Failed { retry_at, .. } if *retry_at <= now && may_start => {
                self.record.on_probation();
                self.start(now)
            }
            _ => Vec::new(),
        }
    }
}

mod kinds;
#[cfg(test)]
mod tests;

pub use kinds::{Action, Hold, Input, Phase, Why};
