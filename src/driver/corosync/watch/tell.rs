//! What the thread tells: first what `status` shows, then the events, and what makes the node degraded.

use super::known::{Known, OfProcess};
use super::links::Id;
use super::owed::Record;
use super::round::Watching;
use crate::error::Error;
use crate::event::Note;
use crate::types::Mono;
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
/// One link may be down for so long while another to the same node works, or for token and consensus if
/// that is longer. So long a node that has died is a member still, and where its corosync is back soon
/// one link may go down and the other not.
const ONE_DOWN_FOR: Duration = Duration::from_secs(3);

impl Watching {
    /// First what `status` shows, then what is told: who hears of an event can ask.
    pub(super) fn show(&mut self, notes: Vec<Note>, now: Mono) {
        // Of one that has ended meanwhile nothing is shown any more.
        if self.sys.watch.order().target == self.target {
            self.sys
                .show_cluster(Some(self.parts.status(&self.members)), self.links.status());
        }
        let of_it = self.judge(now);
        self.tell(notes);
        // What follows from an event is told after it, and not kept for the next clusmgr, which judges for
        // itself.
        self.hand_on(of_it);
    }

    /// What is known is written down together with the notes, and only then they go out: see `owed`.
    pub(super) fn tell(&mut self, notes: Vec<Note>) {
        let told = *self.sys.watch.told.lock();
        let known = if self.first {
            // Nothing was looked at yet: it is what the one before us knew.
            self.record.known.clone()
        } else {
            let process = OfProcess {
                running: self.running.clone(),
                reload: self.reloads.kept(),
                pause: self.pause,
            };
            let pid = self.target.map(|t| t.pid);
            Known::of(pid, &self.members, self.links.told(), process)
        };
        let said = self.record.is_unsaved();
        self.record.look_after(&self.record_file);
        let save = |record: &Record| {
            let saved = record.save(&mut self.record_file);
            let failed = |e: &Error| match said {
                true => log::debug!("{e}"),
                false => log::warn!("{e}; after a kill of clusmgr events may be told twice"),
            };
            saved.inspect_err(failed).is_ok()
        };
        let notes = self.record.write_down(known, notes, told, save);
        self.hand_on(notes);
        self.record.tidy(&mut self.record_file);
    }

    pub(super) fn hand_on(&self, notes: Vec<Note>) {
        if self.looked {
            self.sys.tell(notes);
        } else {
            // What the monitor has to say of the process, as that it was adopted, comes first.
            notes.into_iter().for_each(|note| self.sys.note(note));
        }
    }

    /// What of it makes the node degraded, or does so no more: that is to be told.
    fn judge(&mut self, now: Mono) -> Vec<Note> {
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
        let long = one_down_for(self.times);
        let one_of_several = self.one_down.of(&one_of_several, now, long);
        let sys = &self.sys;
        let mut notes = Vec::new();
        let mut set = |reason, detail: Option<String>| {
            notes.extend(match detail {
                Some(detail) => sys.degrade(reason, &detail),
                None => sys.restore(reason),
            });
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
        notes
    }
}

/// See [`ONE_DOWN_FOR`]; of the running token and consensus.
fn one_down_for((token, consensus): (Duration, Duration)) -> Duration {
    ONE_DOWN_FOR.max(token.saturating_add(consensus))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_link_that_is_down_counts_no_sooner_than_a_dead_node_leaves() {
        let ms = Duration::from_millis;
        for (token, consensus, long) in [
            (1000, 1200, 3000),
            (2650, 3180, 5830),
            (10_000, 12_000, 22_000),
        ] {
            assert_eq!(one_down_for((ms(token), ms(consensus))), ms(long));
        }
    }
}
