//! A change of corosync.conf, step by step: check, write, prove, keep or undo.
//!
//! While it is under way, `change.json` names the old and the new text. It is on disk before the live
//! file is touched, and gone when the change is kept or undone; so a daemon that is killed in between
//! finds at its next start what it has to take back.

use super::keys::foreign_key;
use super::model::MODEL_VERSION;
use super::proof::{Expected, differs, expected, unsettled};
use super::store::first_of;
use super::{CorosyncSys, limits, parse, render};
use crate::driver::change::{
    Changes, Effect, Needs, Prepared, Request, Runs, Text, Unfinished, What,
};
use crate::error::{Error, Result};
use crate::event::{Kind, Note, Severity};
use crate::persist;
use crate::sys::{clock, file, ready};
use crate::types::ConfigVersion;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// Version of `change.json`.
pub(super) const PENDING_VERSION: &str = "s01";

/// How long the running values may take to become the new ones after a reload that succeeded.
const PROVE_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at them.
const PROVE_STEP: Duration = Duration::from_millis(20);

/// A change under way, as it is on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// SHA-256 of the text that was; none if there was none.
    pub(super) old: Option<String>,
    /// SHA-256 of the text that a running corosync goes back to in its place: that one is no good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) back: Option<String>,
    /// SHA-256 of the text that is to be.
    pub(super) new: String,
    pub(super) what: String,
    pub(super) by: String,
    /// The key that clusmgr holds goes over another one, too.
    #[serde(default)]
    pub(super) key: bool,
    /// It is proved and kept, but for its record in the history and its event.
    #[serde(default)]
    pub(super) done: bool,
}

impl Pending {
    fn of(change: &Prepared, done: bool) -> Pending {
        Pending {
            old: change.old.as_ref().map(|o| o.sha256.clone()),
            back: change.instead().map(|b| b.sha256.clone()),
            new: change.new.sha256.clone(),
            what: change.what.to_owned(),
            by: change.by.clone(),
            key: change.writes_key,
            done,
        }
    }
}

impl CorosyncSys {
    pub(super) fn pending_path(&self) -> PathBuf {
        self.params.state_dir.join("change.json")
    }

    /// The live file as it stands, good or not; none if it is not there.
    pub(super) fn live_text(&self) -> Result<Option<Text>> {
        let conf = &self.params.paths.conf;
        let holds = self.corosync_config_mtx.lock().u.is_some();
        let way = "move it away: 'clusmgrctl config revert' then puts there what clusmgr holds";
        let bytes = file::read_bounded(conf, limits::MAX_FILE as u64);
        let bytes = bytes.map_err(|e| if holds { e.hint(way) } else { e })?;
        Ok(bytes.map(Zeroizing::new).map(text_of))
    }

    /// A text that is kept under its hash; none if it is not there.
    pub(super) fn kept_text(&self, sha: &str) -> Result<Option<Text>> {
        let path = self.params.state_dir.join("conf").join(sha);
        let bytes = file::read_bounded(&path, limits::MAX_FILE as u64)?;
        Ok(bytes.map(Zeroizing::new).map(text_of))
    }

    /// Whether the live file is this text; none for no file.
    pub(super) fn is_live(&self, text: Option<&Text>) -> Result<bool> {
        let live = self.live_text()?;
        Ok(live.map(|l| l.sha256) == text.map(|t| t.sha256.clone()))
    }

    /// Keeps a text under its hash.
    fn keep_text(&self, text: &Text) -> Result<()> {
        let path = self.params.state_dir.join("conf").join(&text.sha256);
        file::write_atomic(&path, &text.bytes, 0o600).map(drop)
    }

    /// A text in the place of the one with this hash, and of no other until right before the rename.
    pub(super) fn put_live_over(&self, text: &Text, old: Option<&str>, what: &str) -> Result<()> {
        let path = &self.params.paths.conf;
        let secret = parse::parse(&text.bytes).is_ok_and(|c| c.secret_in_file());
        let mode = if secret {
            0o600
        } else {
            super::store::mode_of(path).unwrap_or(0o644)
        };
        let check = || match self.live_text()?.map(|l| l.sha256).as_deref() == old {
            true => Ok(()),
            false => Err(self.foreign(what)),
        };
        file::write_atomic_if(path, &text.bytes, mode, &check).map(drop)
    }

    /// The old text of a change that is over is owed, and its record stays.
    fn owe_old(&self) {
        let mut guard = self.corosync_config_mtx.lock();
        guard.pending = None;
        guard.owes_old = true;
    }

    pub(super) fn forget_pending(&self) {
        let mut guard = self.corosync_config_mtx.lock();
        guard.pending = None;
        guard.unfinished = None;
        guard.owes_old = false;
        drop(guard);
        if let Err(e) = file::remove(&self.pending_path()) {
            log::error!("{e}");
        }
    }
}

impl Changes for CorosyncSys {
    fn change_prepare(
        &self,
        request: &Request,
        runs: Runs,
        others: Option<ConfigVersion>,
    ) -> Result<Prepared> {
        let prepared = self.prepare(request, runs, others)?;
        self.check_nodes(
            request,
            &parse::parse(&prepared.new.bytes).unwrap_or_default(),
        )?;
        Ok(prepared)
    }

    fn change_write(&self, change: &Prepared) -> Result<()> {
        if let Some(old) = &change.old {
            self.secure(old)?;
        }
        if let Some(back) = change.instead() {
            self.keep_text(back)?;
        }
        self.keep_text(&change.new)?;
        self.secure_key(change)?;
        // corosync's check took its time.
        if !self.is_live(change.old.as_ref())? {
            return Err(self.foreign(change.what));
        }
        let pending = Pending::of(change, false);
        // What an earlier one left to be taken back stays so if this one cannot be written.
        let owed = persist::load::<Pending>(&self.pending_path(), PENDING_VERSION);
        let owed = owed.ok().flatten();
        // Before the record: nobody else is to remove that.
        let mut guard = self.corosync_config_mtx.lock();
        let owes = std::mem::take(&mut guard.owes_old);
        guard.pending = Some(pending.new.clone());
        drop(guard);
        let written =
            persist::save(&self.pending_path(), PENDING_VERSION, &pending).and_then(|_| {
                self.put_held_key(change)?;
                let old = change.old.as_ref().map(|o| &*o.sha256);
                self.put_live_over(&change.new, old, change.what)
            });
        self.follow_remote();
        let Err(e) = written else { return Ok(()) };
        // It may be in its place all the same: only the sync of the directory failed.
        let back = match self.is_live(Some(&change.new)) {
            // Nobody has read it.
            Ok(true) => self.put_back(&change.new, change.old.as_ref()),
            _ => Ok(()),
        };
        match (back, owed) {
            (Ok(()), None) => {
                self.forget_pending();
                Err(e)
            }
            (Ok(()), Some(owed)) => {
                let mut guard = self.corosync_config_mtx.lock();
                (guard.pending, guard.owes_old) = (None, owes);
                drop(guard);
                let kept = persist::save(&self.pending_path(), PENDING_VERSION, &owed);
                Err(kept.err().unwrap_or(e))
            }
            // The record stays: the next start takes it back.
            (Err(back), _) => {
                self.owe_old();
                self.compare();
                Err(e.hint(format!("and the way back failed: {back}")))
            }
        }
    }

    fn change_reload(&self, change: &Prepared) -> Result<()> {
        self.expects_key(change)?;
        self.reload()
    }

    fn change_restart(&self, change: &Prepared) -> Result<()> {
        self.expects_key(change)?;
        self.corosync_event_mtx.lock().corosync_reboot_needed = true;
        self.params.waker.wake();
        Ok(())
    }

    fn change_prove(&self, change: &Prepared, undone: bool) -> Result<()> {
        let empty = Zeroizing::new(Vec::new());
        let of = |text: &'_ Option<Text>| text.as_ref().map_or(empty.clone(), |t| t.bytes.clone());
        let (from, to) = if undone {
            (change.new.bytes.clone(), of(&change.back))
        } else {
            (of(&change.old), change.new.bytes.clone())
        };
        let parsed = |bytes: &[u8]| parse::parse(bytes).unwrap_or_default();
        let (from, to) = (expected(&parsed(&from)), expected(&parsed(&to)));
        // Of the new file every value: one that both have may have been changed in corosync by hand. But to
        // go back is not the moment to ask for more than was there, and what changes nothing cannot mend it.
        let known = if undone || change.needs == Needs::Nothing {
            from.clone()
        } else {
            Expected::new()
        };
        let deadline = clock::now().plus(PROVE_LIMIT);
        loop {
            let cmap = self.cmap()?;
            let differs = differs(&known, &to, &cmap).or_else(|| differs(&from, &to, &cmap));
            match differs.or_else(|| unsettled(&cmap)) {
                None => return Ok(()),
                Some(what) if clock::now() >= deadline => {
                    return Err(Error::new("prove", "the change", what));
                }
                Some(_) => ready::wait_any(&[], PROVE_STEP),
            }
        }
    }

    fn change_keep(&self, change: &Prepared, how: Effect) -> Result<()> {
        let live = self
            .read_live()
            .map_err(|f| first_of(&self.params.paths.conf, &f))?;
        let live = live.ok_or_else(|| Error::new("keep", "the change", "the live file is gone"))?;
        // Of an adopted file the text that was checked is the canonical one.
        let same = match change.what {
            "adopt" => render::sha256_hex(&self.canonical(&live)?) == change.new.sha256,
            _ => live.sha == change.new.sha256,
        };
        if !same {
            return Err(self.foreign(change.what));
        }
        let swapped = live.key.is_there() && live.key.fingerprint() != change.key;
        if let (true, "adopt", Some(path)) = (swapped, change.what, live.key.path()) {
            return Err(foreign_key(change.what, path.display()));
        }
        // A start that comes in between leaves the record alone.
        self.corosync_config_mtx.lock().pending = Some(live.sha.clone());
        self.keep_with(&live, change.key.clone()).inspect_err(|_| {
            if change.what == "adopt" {
                self.corosync_config_mtx.lock().pending = None;
            }
        })?;
        if change.what == "revert" {
            let done = Pending::of(change, true);
            persist::save(&self.pending_path(), PENDING_VERSION, &done)?;
        }
        self.in_use(&live);
        self.corosync_config_mtx.lock().pending = None;
        self.follow_remote();
        self.set_drift(false);
        // It has passed the checks just now.
        self.clear_degraded("bad-config");
        // One that came in between is not taken in along with it.
        self.set_key_drift(swapped);
        let waits = change.needs != Needs::Nothing && how == Effect::By(Needs::Nothing);
        if change.what == "adopt" && waits {
            let detail = "corosync runs with an older configuration or key than what was taken in; \
                          'clusmgrctl restart' brings it into effect";
            self.set_degraded("restart-needed", detail);
        } else {
            self.clear_degraded("restart-needed");
        }
        if change.what == "adopt" {
            self.resolve_older();
        }
        self.tell_kept(change, how.as_str());
        Ok(())
    }

    fn change_undo(&self, change: &Prepared) -> Result<Option<String>> {
        let to = change.instead().or(change.old.as_ref());
        let back = self.go_back(&change.new, to);
        // What is somebody else's stays for good; what a fault has kept there is tried for again.
        self.corosync_config_mtx.lock().owes_old = back.is_err();
        if !back? {
            return Err(self.foreign("undo"));
        }
        self.follow_remote();
        Ok(self.said_instead(change))
    }

    fn change_undone(&self, change: &Prepared, how: Needs, why: &str) {
        let mut guard = self.corosync_config_mtx.lock();
        guard.pending = None;
        let held = guard.u.clone();
        drop(guard);
        // It may name the new text although its writing failed, at the sync of the directory.
        let record = self.record_path();
        let back = match held {
            Some(held) => persist::save(&record, MODEL_VERSION, &held).map(drop),
            None => file::remove(&record),
        };
        if let Err(e) = back {
            log::error!("{e}");
        }
        self.compare();
        let instead = change.instead().is_some() && self.is_live(change.instead()).unwrap_or(false);
        self.follow_remote();
        let said = self.said_instead(change).filter(|_| instead);
        let why = &said.map_or(why.to_owned(), |said| format!("{why}; {said}"));
        self.remember(change, how.as_str(), Some(why));
        let is = |text: Option<&Text>| self.is_live(text).unwrap_or(false);
        let back = instead || is(change.old.as_ref());
        // Of a live file that is somebody else's nothing was undone.
        let ended = if back { "was undone" } else { "was given up" };
        let text = format!("{} by {} {ended}: {why}", change.what, change.by);
        self.note(
            Note::new(Kind::ConfigUndone, Severity::Err, text)
                .with("version", change.new.version.0)
                .with("sha256", change.new.sha256.clone()),
        );
    }

    fn change_over(&self, proved: bool) {
        if proved || !self.corosync_config_mtx.lock().owes_old {
            self.forget_pending();
        }
    }

    fn change_is_out(&self, change: &Prepared) -> bool {
        let Some(back) = change.back.as_ref().filter(|_| !change.writes_key) else {
            return false;
        };
        let of = |text: &Text| parse::parse(&text.bytes).ok().map(|c| expected(&c));
        let (Some(new), Some(old)) = (of(&change.new), of(back)) else {
            return false;
        };
        // What cannot be told may be what differs.
        let told = new.values().chain(old.values()).all(Option::is_some);
        let Some(cmap) = told.then(|| self.cmap().ok()).flatten() else {
            return false;
        };
        unsettled(&cmap).is_none()
            && differs(&new, &old, &cmap).is_none()
            && differs(&old, &new, &cmap).is_some()
    }

    fn change_may_restart(&self, change: &Prepared) -> Result<()> {
        let text = change.back.as_ref().map_or(&[][..], |back| &back.bytes);
        let config = parse::parse(text).unwrap_or_default();
        let cause = match self.spares_quorum(&What::Revert, change.needs, &config) {
            Ok(None) => return Ok(()),
            // Nobody reads a warning here.
            Ok(Some(unsure)) => unsure,
            Err(e) => e.cause().to_owned(),
        };
        let way = "'clusmgrctl restart' brings the old configuration into effect";
        let detail = format!("corosync runs with a change that was taken back; {way}");
        self.set_degraded("restart-needed", &detail);
        Err(Error::new("restart", "corosync", cause).hint(way))
    }

    fn change_unfinished(&self) -> Option<Unfinished> {
        self.unfinished()
    }
}

pub(super) fn text_of(bytes: Zeroizing<Vec<u8>>) -> Text {
    let version = parse::parse(&bytes).map(|c| c.config_version());
    Text {
        sha256: render::sha256_hex(&bytes),
        version: version.unwrap_or_default(),
        bytes,
    }
}

impl CorosyncSys {
    /// Keeps what a change replaces. Where clusmgr holds nothing yet, as in a STANDALONE that nobody
    /// has left so far, that is a take-over. A hand edit may be nowhere else, whatever comes of this.
    fn secure(&self, old: &Text) -> Result<()> {
        if self.corosync_config_mtx.lock().u.is_none() {
            if let Ok(live) = self.check_conf(old.bytes.clone()) {
                self.take_over(&live)?;
            }
        }
        if self.is_foreign(&old.sha256) {
            file::write_atomic(&self.backup_path(&old.sha256), &old.bytes, 0o600)?;
        }
        self.keep_text(old)
    }

    /// In the place of the new text the one that was; whether it is back.
    fn go_back(&self, new: &Text, to: Option<&Text>) -> Result<bool> {
        if self.is_live(Some(new))? {
            return self.put_back(new, to).map(|()| true);
        }
        self.is_live(to)
    }

    fn put_back(&self, new: &Text, text: Option<&Text>) -> Result<()> {
        match text {
            Some(text) => self.put_live_over(text, Some(&new.sha256), "undo"),
            None => file::remove(&self.params.paths.conf),
        }
    }

    pub(super) fn foreign(&self, what: &str) -> Error {
        let conf = self.params.paths.conf.display();
        Error::new(what, conf, "somebody else changed it meanwhile; it stays")
            .hint("'clusmgrctl config adopt' takes it in, 'config revert' undoes it")
    }
}
