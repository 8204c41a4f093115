//! What became of a change: its event, the history, and the texts and keys that the history needs.

use super::CorosyncSys;
use super::change::{PENDING_VERSION, Pending};
use super::store::S01;
use crate::driver::change::Prepared;
use crate::event::{Kind, Note, Severity};
use crate::persist;
use crate::types::WallMs;
use crate::wire::HistoryEntry as Entry;

/// So many bytes of a plan are in its event; JSON may double them.
const PLAN_MAX: usize = 16 << 10;

impl CorosyncSys {
    pub(super) fn tell_kept(&self, change: &Prepared, how: &str) {
        self.remember(change, how, None);
        let (what, version) = (change.what, change.new.version);
        let text = format!(
            "{what} by {}: config_version {version}, by {how}",
            change.by
        );
        self.note_changed(change, text);
    }

    pub(super) fn note_changed(&self, change: &Prepared, text: String) {
        self.note(
            Note::new(Kind::ConfigChanged, Severity::Notice, text)
                .with("what", change.what)
                .with("by", change.by.clone())
                .with("version", change.new.version.0)
                .with("sha256", change.new.sha256.clone())
                .with("plan", shortened(&change.plan)),
        );
    }

    pub(super) fn remember(&self, change: &Prepared, how: &str, undone: Option<&str>) {
        let entry = Entry {
            id: 0,
            at: WallMs::now(),
            version: change.new.version,
            sha256: change.new.sha256.clone(),
            by: change.by.clone(),
            what: change.what.to_owned(),
            how: how.to_owned(),
            key: change.key.clone(),
            undone: undone.map(str::to_owned),
        };
        self.add_history(entry);
    }

    /// Adds to the history, and forgets the texts that nothing names any more.
    pub(super) fn add_history(&self, entry: Entry) {
        let entries = match self.history.add(entry) {
            Ok(entries) => entries,
            Err(e) => return self.set_degraded("history", &e.to_string()),
        };
        self.clear_degraded("history");
        let held = self.corosync_config_mtx.lock().u.clone();
        // A change is over only when its record is gone; until then a start may need both texts.
        let pending = persist::load::<Pending>(&self.pending_path(), PENDING_VERSION);
        let pending = pending.ok().flatten();
        let under_way = |name: &str| {
            pending.as_ref().is_some_and(|p| {
                p.new == name || [&p.old, &p.back].into_iter().flatten().any(|o| o == name)
            })
        };
        let is = |name: &str, of: &dyn Fn(&S01) -> bool| {
            entries.iter().any(|e| e.sha256 == name) || held.as_ref().is_some_and(of)
        };
        let aside = self.history.names_aside();
        self.prune("conf", &|name| {
            is(name, &|h| h.conf == name || h.live == name) || under_way(name) || aside(name)
        });
        // A text that one can go back to may need the key that it had; any other is a secret that nobody
        // needs any more.
        self.prune("keys", &|name| {
            let needs = |e: &Entry| e.undone.is_none() && e.key.as_deref() == Some(name);
            entries.iter().any(needs)
                || held
                    .as_ref()
                    .is_some_and(|h| h.key.as_deref() == Some(name))
                || aside(name)
        });
    }

    /// Removes what is kept below a directory of the state and not wanted any more.
    fn prune(&self, dir: &str, wanted: &dyn Fn(&str) -> bool) {
        let Ok(files) = std::fs::read_dir(self.params.state_dir.join(dir)) else {
            return;
        };
        for file in files.flatten() {
            if !wanted(&file.file_name().to_string_lossy()) {
                // What cannot be removed now is looked at again after the next change.
                let _ = std::fs::remove_file(file.path());
            }
        }
    }
}

/// A plan that fits in an event, whose line is at most 64 KiB: the beginning, and how much more there is.
fn shortened(plan: &[String]) -> Vec<String> {
    let mut room = PLAN_MAX;
    let fits = |line: &&String| {
        let had = room;
        room = room.saturating_sub(line.len());
        line.len() <= had
    };
    let mut told: Vec<String> = plan.iter().take_while(fits).cloned().collect();
    let more = plan.len() - told.len();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_plan_is_cut_and_says_so() {
        let plan: Vec<String> = (0..5000)
            .map(|n| format!("x.y{n}: 1 → 2 (reload)"))
            .collect();
        let told = shortened(&plan);
        let bytes: usize = told.iter().map(String::len).sum();
        assert!(told.len() > 100 && bytes < PLAN_MAX + 100, "{bytes}");
        assert_eq!(
            told.last().cloned(),
            Some(format!("and {} more", 5001 - told.len()))
        );
        assert_eq!(shortened(&plan[..3]), plan[..3]);
    }
}
