//! What the monitor tells the world: mode, retries, and what happened to the process.

use super::super::publish;
use super::super::state::Phase;
use super::Running;
use crate::event::{Kind, Note, Severity};
use crate::types::Mono;
use crate::wire::{LastExit, Mode};

impl Running {
    /// Tells a change of mode, or at the boot what it is.
    pub(super) fn tell_mode(&self, before: Option<(Mode, Option<crate::wire::Reason>)>) {
        let after = self.state.mode();
        if before != Some(after) && !self.state.ending {
            let note = match after {
                (Mode::Cluster, _) => Note::new(Kind::ModeChanged, Severity::Notice, "CLUSTER")
                    .with("mode", "cluster"),
                (Mode::Standalone, reason) => {
                    let reason = reason.map_or("", crate::wire::Reason::as_str);
                    let detail = self
                        .detail
                        .as_deref()
                        .map_or(String::new(), |d| format!(": {d}"));
                    Note::new(
                        Kind::ModeChanged,
                        Severity::Warning,
                        format!("STANDALONE, {reason}{detail}"),
                    )
                    .with("mode", "standalone")
                    .with("reason", reason)
                }
            };
            self.publish(note);
        }
    }

    /// Tells when the next start is due.
    pub(super) fn tell_retry(&self, phase: Phase, now: Mono) {
        if self.state.ending {
            return;
        }
        if let (Some(at), true) = (self.state.retry_at(), phase != self.state.phase) {
            let ms = u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX);
            let text = format!("the next start is due in {ms} ms");
            self.publish(Note::new(Kind::ServiceRetry, Severity::Info, text).with("in_ms", ms));
        }
    }

    pub(super) fn pid_text(&self) -> String {
        self.run
            .map_or(String::new(), |r| format!("(pid {})", r.pid))
    }

    pub(super) fn note(&self, kind: Kind, severity: Severity, text: String) {
        let mut note = Note::new(kind, severity, text);
        if let Some(run) = self.run {
            note = note.with("pid", run.pid.0);
        }
        self.publish(note);
    }

    /// Into the public queue, after all that the driver has said before.
    pub(super) fn publish(&self, note: Note) {
        self.pass_events();
        self.it.data.evt_public_queue().push(note);
    }

    pub(super) fn pass_events(&self) {
        publish::pass(&*self.it.data);
    }
}

/// A cause with the line of output that says most: the last error, or else the last line. That corosync
/// exits, and with which status, is an error line too, and says nothing new.
pub(super) fn last_words(exit: &LastExit) -> String {
    let telling = |l: &&String| {
        (l.contains("error") || l.contains("crit"))
            && !l.contains("Corosync Cluster Engine exiting")
    };
    match exit
        .output
        .iter()
        .rev()
        .find(telling)
        .or(exit.output.last())
    {
        Some(line) => format!("{}: {line}", exit.cause),
        None => exit.cause.clone(),
    }
}
