//! A change that the last clusmgr did not finish: taken back, or finished, at the next start.

use super::change::{PENDING_VERSION, Pending, text_of};
use super::plan;
use super::prepare::{needs, plan_lines};
use super::{CorosyncSys, parse};
use crate::driver::change::{Needs, Prepared, Text, Unfinished};
use crate::error::{Error, Result};
use crate::event::{Kind, Note, Severity};
use crate::persist;
use crate::sys::file;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a corosync runs that runs well.
const RUNS_WELL: Duration = Duration::from_secs(10);

impl CorosyncSys {
    /// At the daemon's start: a change that was not finished is taken back; one that was finished but
    /// for its record stays. What became of it is told when it is proved
    /// ([`crate::driver::change::Changes::change_unfinished`]).
    pub(super) fn settle(&self) -> Result<()> {
        self.clean_up();
        let Some(mut pending) = persist::load::<Pending>(&self.pending_path(), PENDING_VERSION)?
        else {
            return Ok(());
        };
        let held = self.corosync_config_mtx.lock().u.clone();
        // A revert goes back to what is held anyway: that says nothing about how far it came. But one
        // over a file that is no good is done when its text is in place.
        pending.done |= match pending.what.as_str() {
            "revert" => {
                let live = self.live_text()?.map(|l| l.sha256);
                pending.back.as_ref() == Some(&pending.new) && live.as_ref() == Some(&pending.new)
            }
            _ => held.is_some_and(|h| h.conf == pending.new),
        };
        if !pending.done {
            if let Err(e) = self.take_back(&pending) {
                // What is live was checked, and is drift now; the next start tries again.
                log::error!("{e}");
                return Ok(());
            }
        }
        self.corosync_config_mtx.lock().unfinished = Some(pending);
        Ok(())
    }

    /// Before corosync is started: what a fault kept from being put back is tried for again, since the text
    /// in its place has failed.
    pub(super) fn pay_back(&self) {
        let guard = self.corosync_config_mtx.lock();
        let owes = guard.owes_old && guard.pending.is_none();
        drop(guard);
        if !owes {
            return;
        }
        let load = || persist::load::<Pending>(&self.pending_path(), PENDING_VERSION);
        let back = load().and_then(|p| p.map(|p| self.take_back(&p).map(|()| p)).transpose());
        match back {
            Ok(Some(pending)) if self.is_back(&pending) => {
                let change = self.change_of(&pending);
                self.forget_owed();
                let text = format!(
                    "{} by {} was undone: the old configuration is back, which could not be put there before",
                    change.what, change.by
                );
                let note = Note::new(Kind::ConfigUndone, Severity::Notice, text);
                self.note(
                    note.with("version", change.new.version.0)
                        .with("sha256", change.new.sha256),
                );
            }
            // It is somebody else's by now.
            Ok(_) => self.forget_owed(),
            Err(e) => log::error!("{e}"),
        }
    }

    /// Nothing is owed any more. The record of a change that has begun meanwhile stays.
    fn forget_owed(&self) {
        let mut guard = self.corosync_config_mtx.lock();
        let owes = std::mem::take(&mut guard.owes_old) && guard.pending.is_none();
        drop(guard);
        if owes {
            self.forget_pending();
        }
    }

    pub(super) fn owes(&self) -> bool {
        self.corosync_config_mtx.lock().owes_old
    }

    /// Whether a corosync that was started with what was to be taken back has run so long that it is left as
    /// it is: drift.
    pub(super) fn runs_well(&self, time: Duration) -> bool {
        let well = time >= RUNS_WELL;
        if well {
            log::warn!("corosync runs with a change that was to be undone: it stays, as drift");
            self.forget_owed();
        }
        well
    }

    fn take_back(&self, pending: &Pending) -> Result<()> {
        let path = &self.params.paths.conf;
        let live = self.live_text()?.map(|l| l.sha256);
        if live.as_deref() != Some(pending.new.as_str()) {
            return Ok(());
        }
        let Some(old) = pending.back.as_ref().or(pending.old.as_ref()) else {
            return file::remove(path);
        };
        let gone = || Error::new("undo", path.display(), "the old text is gone");
        let old = self.kept_text(old)?.ok_or_else(gone)?;
        self.put_live_over(&old, Some(&pending.new), "undo")
    }

    /// Whether the live file is what was there before, or what stands in for that: a start may have written
    /// it in our own lay-out. If not, or if nobody can tell, it is not ours to bring into effect.
    fn is_back(&self, pending: &Pending) -> bool {
        let Ok(live) = self.live_text() else {
            return false;
        };
        let live = live.map(|l| l.sha256);
        let ours = |sha: &String| pending.back.as_ref() == Some(sha) || !self.is_foreign(sha);
        live == pending.old || live.as_ref().is_some_and(ours)
    }

    /// An older change that could not be taken back is over with the live file being taken in, whatever
    /// became of it: the next start must not settle it over that.
    pub(super) fn resolve_older(&self) {
        let older = persist::load::<Pending>(&self.pending_path(), PENDING_VERSION);
        match older {
            Ok(None) => return,
            Ok(Some(pending)) => {
                let change = self.change_of(&pending);
                let held = self.corosync_config_mtx.lock().u.clone();
                if held.is_none_or(|h| h.conf != change.new.sha256) {
                    let why =
                        "clusmgr ended in the middle of it, and what was live then was adopted";
                    self.remember(&change, Needs::Nothing.as_str(), Some(why));
                }
            }
            Err(e) => log::warn!("{e}"),
        }
        self.forget_pending();
    }

    /// What a clusmgr that was killed left beside the live files, and of corosync's check.
    fn clean_up(&self) {
        let paths = &self.params.paths;
        let elsewhere = self
            .held_config()
            .and_then(|c| Some(PathBuf::from(c.keyfile()?)));
        let key = elsewhere.as_ref().unwrap_or(&paths.authkey);
        for path in [&paths.conf, &paths.authkey, key] {
            // A directory that is not there has nothing in it; any other fault shows at the start.
            let _ = file::real_path(path).parent().map(file::clean_temps);
        }
        let Ok(found) = std::fs::read_dir(&self.params.run_dir) else {
            return;
        };
        for entry in found.flatten() {
            if entry.file_name().to_string_lossy().starts_with("check.") {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// What became of it: told here if it was kept, and else as the change that was taken back.
    pub(super) fn unfinished(&self) -> Option<Unfinished> {
        let pending = self.corosync_config_mtx.lock().unfinished.take()?;
        let change = self.change_of(&pending);
        if !pending.done && !self.is_back(&pending) {
            let change = Prepared {
                needs: Needs::Nothing,
                ..change
            };
            return Some(Unfinished::Foreign(Box::new(change), self.foreign("undo")));
        }
        if !pending.done {
            return Some(Unfinished::TakenBack(Box::new(change)));
        }
        let entries = self.history.read().unwrap_or_default().entries;
        let told = entries
            .last()
            .is_some_and(|e| e.sha256 == change.new.sha256 && e.undone.is_none());
        if told {
            let text = format!(
                "{} by {}: config_version {}, finished before clusmgr ended",
                change.what, change.by, change.new.version
            );
            self.note_changed(&change, text);
        } else {
            self.tell_kept(&change, change.needs.as_str());
        }
        Some(Unfinished::Kept)
    }

    fn change_of(&self, pending: &Pending) -> Prepared {
        let kept = |sha: &str| self.kept_text(sha).ok().flatten();
        // Without it nobody knows what corosync may have read: everything is proved.
        let new = kept(&pending.new).unwrap_or_else(|| Text {
            sha256: pending.new.clone(),
            ..text_of(Zeroizing::default())
        });
        let key = self
            .corosync_config_mtx
            .lock()
            .u
            .clone()
            .and_then(|u| u.key);
        let old = pending.old.as_deref().and_then(kept);
        let instead = pending.back.as_deref().and_then(kept);
        let back = instead
            .clone()
            .or_else(|| self.way_back(old.as_ref(), false));
        let config = |t: Option<&Text>| {
            t.and_then(|t| parse::parse(&t.bytes).ok())
                .unwrap_or_default()
        };
        let plan = if pending.done {
            plan::plan(&config(old.as_ref()), &config(Some(&new)))
        } else {
            plan::plan(&config(Some(&new)), &config(back.as_ref()))
        };
        // A file that is no good and still in its place: corosync was not told of any other.
        let untouched = instead.is_some() && self.is_live(old.as_ref()).unwrap_or(false);
        Prepared {
            what: match pending.what.as_str() {
                "revert" => "revert",
                "rollback" => "rollback",
                _ => "apply",
            },
            by: pending.by.clone(),
            same: false,
            needs: match needs(&plan) {
                _ if untouched => Needs::Nothing,
                // Nobody knows which key corosync has read; this one stays.
                Needs::Nothing if pending.key => Needs::Reload,
                needs => needs,
            },
            plan: plan_lines(&plan),
            warnings: Vec::new(),
            new,
            old,
            back,
            key,
            writes_key: pending.key,
        }
    }
}
