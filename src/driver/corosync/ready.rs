//! Ready for a start: take-over of existing files, and the first two of the three steps, each atomic.

use super::CorosyncSys;
use super::finding::Finding;
use super::live::{Live, LiveKey};
use super::render;
use super::store::{S01, first_of, mode_of, no_key};
use crate::driver::StartFailure;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::event::{Kind, Note, Severity as Level};
use crate::sys::file;
use crate::types::WallMs;
use crate::wire::HistoryEntry;
use std::path::Path;

/// A failure to get ready for a start.
pub type NotReady = (StartFailure, Error);

impl CorosyncSys {
    /// Steps 1 and 2 of a start (C: `corosync_gen_conf`, `corosync_write_authkey`): after this, the
    /// live files are what corosync is to read.
    ///
    /// # Errors
    /// What is wrong, and what that means for the mode.
    pub(super) fn make_ready(&self) -> std::result::Result<(), NotReady> {
        self.pay_back();
        let guard = self.corosync_config_mtx.lock();
        let (held, changing) = (guard.u.clone(), guard.pending.is_some());
        drop(guard);
        let conf = &self.params.paths.conf;
        let live = self
            .read_live()
            .map_err(|findings| self.bad_config(&findings))?;
        let transient = |e| (StartFailure::Transient, e);
        let live = match (held, live) {
            (None, None) => {
                let e = Error::new(
                    "start",
                    "corosync",
                    format!("there is no {}", conf.display()),
                )
                .hint("put the cluster's corosync.conf and authkey there")
                .kind(ErrorKind::NotConfigured);
                return Err((StartFailure::Unconfigured, e));
            }
            // A change is under way: its text is used as it is, and the record is the change's.
            (_, Some(live)) if changing => live,
            (None, Some(live)) => {
                self.take_over(&live).map_err(transient)?;
                self.write_ours(&live, true).map_err(transient)?;
                live
            }
            (Some(held), None) => {
                let bytes = self.kept_conf(&held).map_err(transient)?;
                let live = self
                    .check_conf(bytes)
                    .map_err(|findings| self.bad_config(&findings))?;
                self.write_ours(&live, false).map_err(transient)?;
                live
            }
            (Some(held), Some(live)) if held.is_ours(&live.sha) => {
                self.write_ours(&live, true).map_err(transient)?;
                live
            }
            (Some(_), Some(live)) => {
                self.see_version(Some(&live));
                self.set_drift(true);
                live
            }
        };
        self.in_use(&live);
        self.write_key(&live)
            .map_err(|e| (StartFailure::BadConfig, e))?;
        self.clear_degraded("bad-config");
        self.clear_degraded("restart-needed");
        Ok(())
    }

    pub(super) fn bad_config(&self, findings: &[Finding]) -> NotReady {
        let conf = &self.params.paths.conf;
        let e = first_of(conf, findings);
        let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let note = Note::new(Kind::ConfigBad, Level::Err, e.to_string())
            .with("path", conf.display().to_string())
            .with("findings", all);
        self.note(note);
        (StartFailure::BadConfig, e)
    }

    /// Takes existing files over: backup, kept text and key, record. Nothing live is touched yet but
    /// the mode of a key that others can read.
    pub(super) fn take_over(&self, live: &Live) -> Result<()> {
        let at = WallMs::now().0;
        let backup = self.params.state_dir.join("backup");
        let copy = self.backup_path(&live.sha);
        file::write_atomic(&copy, &live.bytes, 0o600)?;
        if let LiveKey::File(path, Some(key)) = &live.key {
            file::write_atomic(
                &backup.join(format!("authkey.{}", key.fingerprint())),
                key.expose(),
                0o600,
            )?;
            self.tighten_key(path)?;
        }
        self.keep(live)?;
        let held = self.corosync_config_mtx.lock().u.clone();
        self.add_history(HistoryEntry {
            id: 0,
            at: WallMs(at),
            version: live.config.config_version(),
            sha256: held.map_or_else(String::new, |u| u.conf),
            by: "clusmgr".to_owned(),
            what: "take-over".to_owned(),
            how: "nothing".to_owned(),
            key: live.key.fingerprint(),
            undone: None,
        });
        let conf = self.params.paths.conf.display().to_string();
        let text = format!("took over {conf}; its backup is {}", copy.display());
        let version = live.config.config_version().0;
        self.note(
            Note::new(Kind::ConfigTakenOver, Level::Notice, text)
                .with("path", conf)
                .with("version", version),
        );
        if let (LiveKey::File(path, Some(_)), Some(fingerprint)) =
            (&live.key, live.key.fingerprint())
        {
            let text = format!("took over {} (fingerprint {fingerprint})", path.display());
            self.note(
                Note::new(Kind::KeyTakenOver, Level::Notice, text).with("fingerprint", fingerprint),
            );
        }
        Ok(())
    }

    /// The files of an adopted corosync, if clusmgr holds none yet.
    pub(super) fn take_over_running(&self) -> Result<()> {
        if self.corosync_config_mtx.lock().u.is_some() {
            return Ok(());
        }
        match self.read_live() {
            Ok(Some(live)) => {
                self.take_over(&live)?;
                self.in_use(&live);
                Ok(())
            }
            Ok(None) => Err(Error::new(
                "read",
                self.params.paths.conf.display(),
                "it is not there",
            )),
            Err(findings) => Err(first_of(&self.params.paths.conf, &findings)),
        }
    }

    /// What the others are asked about, if clusmgr holds nothing yet. A file that is no good is the start's to
    /// tell, and one that a killed change left is no file to take over.
    pub(super) fn take_over_early(&self) {
        let guard = self.corosync_config_mtx.lock();
        let settling = guard.pending.is_some() || guard.unfinished.is_some() || guard.owes_old;
        drop(guard);
        if settling {
            return;
        }
        if let Err(e) = self.take_over_running() {
            log::debug!("{e}");
        }
    }

    /// Step 1: the canonical text, over a file that is ours or not there. A live file that cannot be
    /// rewritten is good enough as it is.
    pub(super) fn write_ours(&self, live: &Live, there: bool) -> Result<()> {
        let text = self.canonical(live)?;
        let sha = render::sha256_hex(&text);
        let held = self.corosync_config_mtx.lock().u.clone();
        if let Some(held) = held.filter(|h| h.conf != sha) {
            // Another lay-out than that of the clusmgr that kept it.
            file::write_atomic(&self.params.state_dir.join("conf").join(&sha), &text, 0o600)?;
            self.save(
                S01 {
                    conf: sha.clone(),
                    ..held
                },
                live.config.config_version(),
            )?;
        }
        self.set_drift(false);
        let path = &self.params.paths.conf;
        let mode = if live.config.secret_in_file() {
            0o600
        } else {
            mode_of(path).unwrap_or(0o644)
        };
        match file::write_atomic(path, &text, mode) {
            Ok(file::Written::Same) => {}
            Ok(_) => {
                let version = live.config.config_version();
                let text = format!("wrote {} (config_version {version})", path.display());
                let note = Note::new(Kind::ConfigWritten, Level::Notice, text);
                self.note(note.with("sha256", sha).with("version", version.0));
            }
            Err(e) if there => {
                self.set_degraded("config-unwritable", &e.to_string());
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        self.clear_degraded("config-unwritable");
        Ok(())
    }

    /// Step 2: the key, if it is not there or not as narrow as it should be.
    pub(super) fn write_key(&self, live: &Live) -> Result<()> {
        let LiveKey::File(path, key) = &live.key else {
            return Ok(());
        };
        let guard = self.corosync_config_mtx.lock();
        let held = guard.u.clone().and_then(|u| u.key);
        let changing = guard.pending.is_some();
        drop(guard);
        match (key, held) {
            (Some(key), Some(held)) if key.fingerprint() == held => {
                self.set_key_drift(false);
                let narrowed = self
                    .tighten_key(path)
                    .and_then(|()| file::write_atomic(path, key.expose(), 0o400));
                match narrowed {
                    Ok(_) => self.clear_degraded("key-unwritable"),
                    // It is the right key: good enough as it is.
                    Err(e) => self.set_degraded("key-unwritable", &e.to_string()),
                }
                Ok(())
            }
            // A drifted configuration needs a key, or one that is being tried: neither is ours to keep.
            (Some(_), None) if self.is_foreign(&live.sha) => self.tighten_key(path),
            (Some(_), None) => {
                self.tighten_key(path)?;
                self.keep(live)
            }
            (Some(_), Some(_)) => {
                self.tighten_key(path)?;
                // The key of a change that is under way is held once that is proved.
                if !changing {
                    self.set_key_drift(true);
                }
                Ok(())
            }
            (None, held) => {
                let key = held.map(|name| self.kept_key(&name)).transpose()?;
                match key.flatten() {
                    Some(key) => self.put_key(path, &key),
                    None => Err(no_key(path)),
                }
            }
        }
    }

    /// The live file is not what clusmgr holds: drift, or the text of a change that is under way.
    pub(super) fn is_foreign(&self, sha: &str) -> bool {
        let guard = self.corosync_config_mtx.lock();
        !guard.u.as_ref().is_some_and(|u| u.is_ours(sha))
    }

    /// A configuration that holds the key itself is a secret as a whole.
    pub(super) fn tighten_conf(&self, live: &Live) {
        if !live.config.secret_in_file() {
            return;
        }
        let path = &self.params.paths.conf;
        match file::tighten(path, 0o600) {
            Ok(true) => {
                let what = if live.config.key_inside() {
                    "totem.key"
                } else {
                    "what reads like a key"
                };
                let text = format!(
                    "{} holds {what} and could be read by others than root: its mode is now at most 0600",
                    path.display()
                );
                let note = Note::new(Kind::KeyTightened, Level::Warning, text);
                self.note(note.with("path", path.display().to_string()));
                self.clear_degraded("config-readable");
            }
            Ok(false) => self.clear_degraded("config-readable"),
            Err(e) => self.set_degraded("config-readable", &e.to_string()),
        }
    }

    pub(super) fn tighten_key(&self, path: &Path) -> Result<()> {
        if file::tighten(path, 0o600)? {
            let text = format!(
                "{} could be read by others than root: its mode is now at most 0600",
                path.display()
            );
            self.note(
                Note::new(Kind::KeyTightened, Level::Warning, text)
                    .with("path", path.display().to_string()),
            );
        }
        Ok(())
    }
}
