//! What the monitor shows of itself, and what came of an order by that.

use super::state::{Hold, State};
use super::{Command, HOLD_UNSAVED};
use crate::error::{Error, Kind, Result};
use crate::types::{Mono, Pid, WallMs};
use crate::wire::{DegradedItem, LastExit, Mode, Reason, ServiceState};
use std::time::Duration;

/// What the monitor shows of itself.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) mode: Mode,
    pub(super) reason: Option<Reason>,
    pub(super) detail: Option<String>,
    pub(super) service: ServiceState,
    pub(super) pid: Option<Pid>,
    pub(super) adopted: bool,
    pub(super) since: WallMs,
    pub(super) restarts: u64,
    /// Deaths of unstable runs in a row.
    pub(super) deaths: u32,
    pub(super) last_exit: Option<LastExit>,
    pub(super) retry_at: Option<Mono>,
    /// `--restart-delay`: no start of our own accord before this.
    pub(super) not_before: Mono,
    /// `--stop-timeout`.
    pub(super) stop_timeout: Duration,
    pub(super) hold: Option<Hold>,
    pub(super) degraded: Vec<DegradedItem>,
    /// The number of the newest command that was taken.
    pub(super) taken: u64,
    /// The monitor has looked around for the first time.
    pub(super) begun: bool,
    /// The daemon ends: orders come too late.
    pub(super) ending: bool,
    /// The monitor has ended.
    pub(super) ended: bool,
}

impl View {
    pub(super) fn of(state: &State) -> View {
        let (mode, reason) = state.mode();
        View {
            mode,
            reason,
            detail: None,
            service: state.service(),
            pid: None,
            adopted: false,
            since: WallMs::now(),
            restarts: state.restarts,
            deaths: state.record.in_a_row(),
            last_exit: None,
            retry_at: state.retry_at(),
            not_before: state.not_before,
            stop_timeout: state.stop_timeout(),
            hold: state.hold,
            degraded: Vec::new(),
            taken: 0,
            begun: false,
            ending: false,
            ended: false,
        }
    }

    /// What came of a command, once that is known.
    pub(super) fn outcome(&self, wanted: Command, number: u64) -> Option<Result<()>> {
        if self.ended {
            let e = Error::new(wanted.as_str(), "corosync", "clusmgr has ended");
            return Some(Err(e.kind(Kind::NotRunning)));
        }
        if self.taken < number {
            return None;
        }
        match (wanted, self.service) {
            (Command::Start(_) | Command::Restart, ServiceState::Running) => {
                Some(self.kept(wanted))
            }
            (Command::Stop(_), ServiceState::Stopped) => Some(self.kept(wanted)),
            (Command::Stop(_), _) if self.hold.is_none() => Some(Err(self.overruled(wanted))),
            (Command::Start(ends), _) if self.hold > Some(ends) => {
                let e = Error::new(wanted.as_str(), "corosync", "an operator holds it stopped");
                Some(Err(e.hint("'clusmgrctl start' ends the hold")))
            }
            (Command::Start(_) | Command::Restart, _) if self.hold.is_some() => {
                Some(Err(self.overruled(wanted)))
            }
            (
                Command::Start(_) | Command::Restart,
                ServiceState::Failed | ServiceState::Stopped,
            ) => {
                let kind = match self.reason {
                    Some(Reason::Unconfigured) => Kind::NotConfigured,
                    Some(Reason::NoBinary) => Kind::NotInstalled,
                    _ => Kind::Failed,
                };
                let reason = self.reason.map_or("stopped", Reason::as_str);
                let cause = match &self.detail {
                    Some(detail) => format!("{reason}: {detail}"),
                    None => reason.to_owned(),
                };
                Some(Err(
                    Error::new(wanted.as_str(), "corosync", cause).kind(kind)
                ))
            }
            _ => None,
        }
    }

    /// It is so; and it will be so after the next start of clusmgr, if that could be kept on disk.
    fn kept(&self, wanted: Command) -> Result<()> {
        match self.degraded.iter().find(|d| d.reason == HOLD_UNSAVED) {
            None => Ok(()),
            Some(item) => {
                let done = format!("done, but {}", item.detail);
                Err(Error::new(wanted.as_str(), "corosync", done))
            }
        }
    }

    fn overruled(&self, wanted: Command) -> Error {
        Error::new(
            wanted.as_str(),
            "corosync",
            "another command came in between",
        )
        .kind(Kind::Busy)
    }
}
