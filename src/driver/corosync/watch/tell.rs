//! What the thread tells: first what `status` shows, then the events, and what makes the node degraded.

use super::known::Known;
use super::links::Id;
use super::round::Watching;
use crate::error::Result;
use crate::event::Note;
use crate::types::Mono;
use std::path::Path;
use std::time::Duration;

/// Degraded reasons that only a living connection can tell.
pub(super) const OF_THE_CLUSTER: [&str; 6] = [
    "not-delivering",
    "link-down",
    "link-flapping",
    "config-version-behind",
    "reload-stuck",
    "sched-pause",
];

/// A node may be behind for so long.
const BEHIND_FOR: Duration = Duration::from_secs(2);
/// One link may be down for so long while another to the same node works, or for the token time-out
/// if that is longer: knet's own time-outs follow it, and its counters are told every 1.5 s.
const ONE_DOWN_FOR: Duration = Duration::from_secs(3);

impl Watching {
    /// First what `status` shows, then what is told: who hears of an event can ask.
    pub(super) fn show(&mut self, notes: Vec<Note>, now: Mono) {
        // Of one that has ended meanwhile nothing is shown any more.
        if self.sys.watch.order().target == self.target {
            self.sys
                .show_cluster(Some(self.parts.status(&self.members)), self.links.status());
        }
        self.judge(now);
        self.tell(notes);
    }

    pub(super) fn tell(&mut self, notes: Vec<Note>) {
        for note in notes {
            self.sys.note(note);
        }
        let pid = self.target.map(|t| t.pid);
        let known = Known::of(pid, &self.members, self.links.told());
        if let Err(e) = keep(&mut self.known, known, &self.sys.params.run_dir) {
            log::debug!("{e}");
        }
    }

    /// What of it makes the node degraded.
    fn judge(&mut self, now: Mono) {
        // In a reload of the whole cluster one node is always first.
        let behind = self.members.behind(self.parts.version);
        self.behind_since = behind.map(|_| self.behind_since.unwrap_or(now));
        let behind = behind.filter(|_| {
            self.behind_since
                .is_some_and(|s| now.since(s) >= BEHIND_FOR)
        });
        let (down, flapping) = self.links.bad();
        // Where no link to a node works it is the node that is away, and that shows of itself. When it
        // comes or goes its links do not do so at the same instant.
        let one_of_several: Vec<_> = down
            .into_iter()
            .filter(|(node, _)| self.members.members.contains(node) && self.links.reaches(*node))
            .collect();
        let long = ONE_DOWN_FOR.max(self.times.0);
        let one_of_several = self.one_down.of(&one_of_several, now, long);
        let sys = &self.sys;
        let set = |reason, detail: Option<String>| match detail {
            Some(detail) => sys.set_degraded(reason, &detail),
            None => sys.clear_degraded(reason),
        };
        let called = |ids: &[Id]| {
            let names: Vec<_> = ids.iter().map(|id| self.links.called(*id)).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        set("link-down", called(&one_of_several));
        set("link-flapping", called(&flapping));
        set(
            "config-version-behind",
            behind.map(|(node, theirs, own)| {
                format!(
                    "node {node} runs with config_version {theirs}, this one with {own}: its next \
                     start would fail"
                )
            }),
        );
        let stuck = "a reload has begun and does not end";
        set(
            "reload-stuck",
            self.reloads.stuck().then(|| stuck.to_owned()),
        );
        let pause = "corosync was not scheduled in time within the last minute";
        set("sched-pause", self.pause_until.map(|_| pause.to_owned()));
    }
}

/// Keeps what is known, if it is new. One that could not be written is still to be.
fn keep(kept: &mut Known, known: Known, run_dir: &Path) -> Result<()> {
    if known != *kept {
        known.save(run_dir)?;
        *kept = known;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::members::Members;
    use super::*;
    use crate::types::Pid;
    use std::collections::BTreeMap;

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        let known = Known::of(Some(Pid(5)), &Members::default(), BTreeMap::new());
        let mut kept = Known::default();
        keep(&mut kept, known.clone(), &run_dir).unwrap_err();
        std::fs::create_dir(&run_dir).unwrap();
        keep(&mut kept, known.clone(), &run_dir).unwrap();
        assert_eq!(Known::load(&run_dir), known);
    }
}
