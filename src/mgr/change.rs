//! One change of the configuration at a time, from check to proof, or back.
//!
//! The steps are the driver's (`driver::change`); their order, the restart by way of the monitor, and
//! the way back are decided here. It runs on the thread of the client that asks.

use super::state::{Hold, Input};
use super::{Command, Manager, publish};
use crate::driver::change::{Effect, Needs, Prepared, Request, Runs, Unfinished};
use crate::error::{Error, Kind, Result};
use crate::event::{Follow, Kind as EventKind};
use crate::sys::{clock, ready};
use crate::types::Pid;
use crate::wire::{ChangeReport, ServiceState};
use std::time::{Duration, Instant};

/// How long a corosync that was restarted, or started, may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(25);

/// How long a change waits at the daemon's start until what the last one left is settled.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// How long corosync may take to tell who is there, where that decides whether it may be restarted.
const CLUSTER_LIMIT: Duration = Duration::from_secs(5);
const CLUSTER_STEP: Duration = Duration::from_millis(100);

/// How long the end of a change waits for its event to be in the journal.
const TOLD_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks at whether the old corosync still ends.
const STOP_STEP: Duration = Duration::from_millis(200);
/// Between two looks at whether the monitor is still there to pass it on.
const TOLD_STEP: Duration = Duration::from_millis(100);

/// The one change that is under way; another begins when this is dropped.
struct Turn<'m>(&'m Manager);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut guard = self.0.clusmgr.lock();
        guard.changing = None;
        guard.unsettled = false;
        drop(guard);
        self.0.changed.notify_all();
    }
}

impl Manager {
    /// Carries a change out, and proves it; at any failure the old configuration is back, and proved
    /// in its turn. With `dry_run` it only says what it would do.
    ///
    /// # Errors
    /// What forbade it, or why it was undone.
    pub fn change(&self, request: &Request, dry_run: bool) -> Result<ChangeReport> {
        let _turn = self.take_turn(request)?;
        let data = self.driver_data();
        let began = Instant::now();
        let runs = self.with(|m| match m.view.service {
            ServiceState::Running => Runs::Yes,
            ServiceState::Starting => Runs::Starts,
            _ => Runs::No,
        });
        let change = data.change_prepare(request, runs, self.version_of_others())?;
        let report = |done: bool, how: &str| ChangeReport {
            what: change.what.to_owned(),
            done,
            how: how.to_owned(),
            version: change.new.version,
            sha256: change.new.sha256.clone(),
            plan: change.plan.clone(),
            warnings: change.warnings.clone(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        if change.same {
            return Ok(report(false, Needs::Nothing.as_str()));
        }
        if runs == Runs::Yes && change.what != "adopt" {
            self.may_restart(&change)?;
        }
        if dry_run {
            let waits = change.what == "adopt" || self.with(|m| m.view.hold.is_some());
            let how = match runs {
                Runs::Yes | Runs::Starts => Effect::By(change.needs),
                Runs::No if waits => Effect::NextStart,
                Runs::No => Effect::Start,
            };
            return Ok(report(false, how.as_str()));
        }
        if change.what == "adopt" {
            // The live file stays as it is, whatever comes of it: it is not ours to take back.
            let how = self.adopt(&change)?;
            self.tell(Input::Changed, &change.by);
            return Ok(report(true, how.as_str()));
        }
        data.change_write(&change)?;
        let latest = self.hub().latest();
        let ran = self.take_effect(&change, false);
        let proved = ran.is_ok();
        let kept = ran.and_then(|how| data.change_keep(&change, how).map(|()| how));
        let outcome = match kept {
            Ok(how) => Ok(report(true, how.as_str())),
            Err(why) => {
                let undone = if self.ends() {
                    None
                } else {
                    self.undo(&change, &why)
                };
                // The record stays: the next start settles what nobody sees the end of now.
                Err(undone.ok_or_else(|| left(&change, &why))?)
            }
        };
        self.over(latest, proved);
        outcome
    }

    /// Whether the daemon ends: the monitor takes no more orders.
    fn ends(&self) -> bool {
        self.with(|m| m.view.ending || m.view.ended)
    }

    /// Takes a live file in. What corosync can reload it does, and that is proved; a restart is left
    /// to the operator.
    fn adopt(&self, change: &Prepared) -> Result<Effect> {
        let data = self.driver_data();
        let (state, pid) = self.with(|m| (m.view.service, m.view.pid));
        let reload = state == ServiceState::Running && change.needs == Needs::Reload;
        if reload {
            data.change_reload(change)?;
            data.change_prove(change, false)?;
        }
        let how = match pid {
            None => Effect::NextStart,
            Some(_) if reload => Effect::By(Needs::Reload),
            Some(_) => Effect::By(Needs::Nothing),
        };
        data.change_keep(change, how)?;
        Ok(match how {
            // One that is not ready yet cannot be asked to reload.
            Effect::By(Needs::Nothing) if change.needs != Needs::Nothing => {
                Effect::By(Needs::Restart)
            }
            how => how,
        })
    }

    /// Whether a change is under way.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.with(|m| m.changing.is_some())
    }

    /// A corosync that runs though this node is held is somebody else's: clusmgr does not restart it.
    fn may_restart(&self, change: &Prepared) -> Result<()> {
        if change.needs != Needs::Restart || self.with(|m| m.view.hold.is_none()) {
            return Ok(());
        }
        let cause = "it takes a restart, and corosync is held: who runs it is not clusmgr";
        let e = Error::new(change.what, "the configuration", cause);
        Err(e.hint("'clusmgrctl start' ends the hold; then the same again"))
    }

    fn take_turn(&self, request: &Request) -> Result<Turn<'_>> {
        let busy = |cause: String| {
            let e = Error::new(request.what.as_str(), "the configuration", cause).kind(Kind::Busy);
            e.hint("wait until it is done")
        };
        let mut guard = self.clusmgr.lock();
        let until = Instant::now() + SETTLE_LIMIT;
        // At the daemon's start that is mostly over before anybody notices.
        while guard.unsettled && !self.changed.wait_until(&mut guard, until).timed_out() {}
        if guard.view.ending || guard.view.ended {
            let cause = "clusmgr is ending";
            return Err(Error::new(
                request.what.as_str(),
                "the configuration",
                cause,
            ));
        }
        match &guard.changing {
            Some(other) => return Err(busy(format!("another change is under way ({other})"))),
            None if guard.unsettled => return Err(busy("clusmgr is starting".to_owned())),
            None => {}
        }
        guard.changing = Some(format!("{} by {}", request.what.as_str(), request.by));
        drop(guard);
        Ok(Turn(self))
    }

    /// Brings the live file into effect; by the next start if no corosync runs and none should, or none
    /// yet.
    fn take_effect(&self, change: &Prepared, undone: bool) -> Result<Effect> {
        let data = self.driver_data();
        let (state, pid, hold) = self.with(|m| (m.view.service, m.view.pid, m.view.hold));
        if undone && change.back.is_none() {
            return self.rest(state, hold).map(|()| Effect::NextStart);
        }
        // The process that is to be the same afterwards.
        let mut stays = None;
        let how = match (state, pid) {
            (ServiceState::Running, Some(pid)) => {
                match change.needs {
                    Needs::Nothing => {}
                    Needs::Reload => {
                        data.change_reload(change)?;
                        stays = Some(pid);
                    }
                    Needs::Restart => {
                        self.may_restart(change)?;
                        data.change_restart(change)?;
                        self.wait_ready(Some(pid), 0, undone)?;
                    }
                }
                Effect::By(change.needs)
            }
            _ if hold.is_some() => return Ok(Effect::NextStart),
            // Not ready with what it was started with: it gets the text that is there now.
            (ServiceState::Starting | ServiceState::Stopping, Some(pid)) => {
                let order = self.order(Command::Restart);
                self.wait_ready(Some(pid), order, undone)?;
                Effect::By(Needs::Restart)
            }
            // A change is no reason to come back before the fencing is over.
            _ if self.with(|m| m.view.not_before) > clock::now() => {
                self.tell(Input::Changed, &change.by);
                return Ok(Effect::NextStart);
            }
            _ => {
                let order = self.order(Command::Start(Hold::Kept));
                self.wait_ready(None, order, undone)?;
                Effect::Start
            }
        };
        data.change_prove(change, undone)?;
        match self.with(|m| (m.view.service, m.view.pid)) {
            (ServiceState::Running, now @ Some(_)) if stays.is_none() || now == stays => Ok(how),
            _ => Err(Error::new(
                "prove",
                "the change",
                "corosync did not outlive it",
            )),
        }
    }

    /// Back to a node whose corosync does not run, since there is nothing that it could run with.
    fn rest(&self, state: ServiceState, hold: Option<Hold>) -> Result<()> {
        let rests = |view: &super::View| {
            matches!(view.service, ServiceState::Stopped | ServiceState::Failed)
        };
        if hold.is_some() || state == ServiceState::Stopped {
            return Ok(());
        }
        // What runs ends, and what is to start finds nothing.
        let order = self.order(Command::Restart);
        let done = |view: &super::View| view.taken >= order && rests(view);
        if self.wait_beyond_stop(done) {
            return Ok(());
        }
        Err(Error::new("stop", "corosync", "it does not end"))
    }

    /// Waits until it is so, [`READY_LIMIT`] after the corosync that is told to end has ended: how long that
    /// may take is `--stop-timeout`'s matter.
    fn wait_beyond_stop(&self, done: impl Fn(&super::View) -> bool) -> bool {
        let begin = Instant::now();
        // The kernel may hold one that was killed.
        let most = begin + self.with(|m| m.view.stop_timeout) + 2 * READY_LIMIT;
        let mut until = begin + READY_LIMIT;
        loop {
            if self.wait_for(until.min(Instant::now() + STOP_STEP), &done) {
                return true;
            }
            let now = Instant::now();
            if self.with(|m| m.view.service == ServiceState::Stopping) {
                until = most.min(now + READY_LIMIT);
            }
            if now >= until {
                return false;
            }
        }
    }

    /// Gives the monitor an order of our own; its number.
    fn order(&self, command: Command) -> u64 {
        let number = self.with(|m| m.give(command.input(), "a change"));
        self.waker.wake();
        number
    }

    /// Waits for a corosync, other than the one with this pid, that is ready. A death from before the
    /// order was taken counts for nothing.
    fn wait_ready(&self, not: Option<Pid>, order: u64, undone: bool) -> Result<()> {
        let exit = self.with(|m| m.view.last_exit.as_ref().map(|e| e.at));
        let fresh = |view: &super::View| view.service == ServiceState::Running && view.pid != not;
        // A death that was not asked for, and not the end of the one that is being replaced.
        let dead = |view: &super::View| {
            view.taken >= order
                && matches!(view.service, ServiceState::Backoff | ServiceState::Failed)
                && (not.is_none() || view.last_exit.as_ref().map(|e| e.at) != exit)
        };
        // It was told to end meanwhile, or there is nothing to start.
        let rests =
            |view: &super::View| view.taken >= order && view.service == ServiceState::Stopped;
        let over = |view: &super::View| {
            fresh(view) || dead(view) || rests(view) || view.ending || view.ended
        };
        self.wait_beyond_stop(over);
        let (ok, cause) = self.with(|m| {
            let cause = match (&m.view.detail, &m.view.last_exit) {
                _ if m.view.ending || m.view.ended => "clusmgr ends".to_owned(),
                _ if m.view.hold.is_some() => "an operator stopped it meanwhile".to_owned(),
                (Some(detail), _) => detail.clone(),
                (None, Some(exit)) if dead(&m.view) => exit.cause.clone(),
                _ => format!("corosync was not ready within {} s", READY_LIMIT.as_secs()),
            };
            (fresh(&m.view), cause)
        });
        let what = if undone { "old" } else { "new" };
        let object = format!("corosync with the {what} configuration");
        if ok {
            Ok(())
        } else {
            Err(Error::new("start", object, cause))
        }
    }

    /// The way back. The error says why, and how it ended; none if clusmgr ends in the middle of it.
    fn undo(&self, change: &Prepared, why: &Error) -> Option<Error> {
        let data = self.driver_data();
        let back = data.change_undo(change);
        // A start with the old text; it is what runs, or what was meant to.
        let proved = back.is_ok().then(|| self.take_effect(change, true));
        if self.ends() && !matches!(proved, Some(Ok(_))) {
            return None;
        }
        data.change_undone(change, change.needs, &why.to_string());
        let e = Error::new(change.what, "the configuration", why);
        let said = match &back {
            Err(b) => return Some(e.hint(format!("the old configuration is not back: {b}"))),
            Ok(Some(said)) => said,
            Ok(None) if change.back.is_none() => "what was there before is back",
            Ok(None) => "the old configuration is back",
        };
        Some(e.hint(match proved {
            Some(Err(b)) => format!("{said}, but not proved: {b}"),
            Some(Ok(Effect::By(_) | Effect::Start)) => format!("{said}, and proved"),
            _ => format!("{said}, and corosync does not run"),
        }))
    }

    /// At the daemon's start, before anybody is served: no change begins before [`Manager::finish_unfinished`].
    pub fn expect_unfinished(&self) {
        self.clusmgr.lock().unsettled = true;
    }

    /// Proves the old configuration after a change that the last clusmgr did not finish.
    pub fn finish_unfinished(&self) {
        let data = self.driver_data();
        // What runs decides what is to be done.
        let _ = self.wait_begun(Instant::now() + READY_LIMIT);
        let mut guard = self.clusmgr.lock();
        // Whatever asks for a change meanwhile is refused, as during any other.
        guard.changing = Some("what the last clusmgr left is being settled".to_owned());
        drop(guard);
        let _turn = Turn(self);
        let latest = self.hub().latest();
        let mut change = match data.change_unfinished() {
            None => return,
            Some(Unfinished::Kept) => return self.over(latest, false),
            Some(Unfinished::TakenBack(change)) => *change,
            Some(Unfinished::Foreign(change, why)) => {
                let why = format!("clusmgr ended in the middle of it; {why}");
                data.change_undone(&change, change.needs, &why);
                return self.over(latest, false);
            }
        };
        // One that this clusmgr has started has read the old text already: a restart would gain nothing.
        let started = self.with(|m| m.view.pid.is_some() && !m.view.adopted);
        // And one that was never told of the new one needs none: the others may not be able to do without it.
        let runs = self.with(|m| m.view.adopted && m.view.service == ServiceState::Running);
        let out = runs && change.needs == Needs::Restart && data.change_is_out(&change);
        if out {
            change.needs = Needs::Nothing;
        }
        if runs && change.needs == Needs::Restart {
            if let Err(e) = self.others_spare(&change) {
                if self.ends() {
                    return;
                }
                let why = format!(
                    "clusmgr ended in the middle of it, and the new one may be in effect still: {e}"
                );
                data.change_undone(&change, Needs::Nothing, &why);
                return self.over(latest, false);
            }
        }
        let proved = if out {
            Ok(())
        } else if started && change.back.is_some() {
            self.wait_ready(None, 0, true)
                .and_then(|()| data.change_prove(&change, true))
        } else {
            self.take_effect(&change, true).map(drop)
        };
        if proved.is_err() && self.ends() {
            return;
        }
        let why = match proved {
            Ok(()) => "clusmgr ended in the middle of it".to_owned(),
            Err(e) => {
                format!("clusmgr ended in the middle of it, and the old one is not proved: {e}")
            }
        };
        data.change_undone(&change, change.needs, &why);
        self.over(latest, false);
    }

    /// A clusmgr that was down for long may find others gone. Waits a little until corosync has told.
    fn others_spare(&self, change: &Prepared) -> Result<()> {
        let data = self.driver_data();
        let until = Instant::now() + CLUSTER_LIMIT;
        while data.cluster().0.is_none() && Instant::now() < until && !self.ends() {
            ready::wait_any(&[], CLUSTER_STEP);
        }
        data.change_may_restart(change)
    }

    /// The end of a change: its record goes when the event that says what became of it is in the
    /// journal, so that a kill before leaves one or the other. Where the daemon ends and it cannot be
    /// told any more, the record stays, and the next start tells it.
    fn over(&self, latest: u64, proved: bool) {
        let (hub, deadline) = (self.hub(), Instant::now() + TOLD_LIMIT);
        let tells = |line: &str| {
            [EventKind::ConfigChanged, EventKind::ConfigUndone]
                .iter()
                .any(|k| line.contains(&format!("\"kind\":\"{}\"", k.as_str())))
        };
        let (data, mut at, mut told) = (self.driver_data(), latest, false);
        while !told && Instant::now() < deadline {
            if self.with(|m| m.view.ended) {
                // The monitor does it no more.
                publish::pass(&*data);
            }
            match hub.wait_after(at, deadline.min(Instant::now() + TOLD_STEP)) {
                Follow::Lines(lines) => {
                    told = lines.iter().any(|(_, line)| tells(line));
                    at = lines.last().map_or(at, |(seq, _)| *seq);
                }
                Follow::Nothing => {}
                Follow::Behind | Follow::Closed => break,
            }
        }
        if told || !self.ends() {
            data.change_over(proved && self.with(|m| m.view.service == ServiceState::Running));
        }
    }
}

/// What is said of a change that the end of clusmgr leaves in the middle.
fn left(change: &Prepared, why: &Error) -> Error {
    let e = Error::new(change.what, "the configuration", why);
    e.hint("clusmgr ends in the middle of it; its next start takes it back, and says so")
}
