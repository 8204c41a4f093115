//! The key of a change. Another one comes into effect by an adopt, or where the text names another
//! place for it; never along with a change of something else: a key that differs on one node splits
//! the cluster.

use super::CorosyncSys;
use super::authkey::AuthKey;
use super::finding::Finding;
use super::limits::MAX_FILE;
use super::live::{Live, LiveKey, MAX_KEY_FILE};
use super::model::Config;
use super::plan::Change;
use super::store::S01;
use super::{parse, render};
use crate::driver::change::{Prepared, What};
use crate::error::{Error, Result};
use crate::event::{Kind, Note, Severity};
use crate::sys::file;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The key that a change ends with.
#[derive(Debug)]
pub(super) struct ChangedKey {
    /// Its fingerprint; none where the new text needs none.
    pub(super) new: Option<String>,
    /// It is another one.
    pub(super) change: Option<Change>,
    /// A file of it has to be written.
    pub(super) writes: bool,
    /// Where corosync's own check finds it.
    pub(super) path: Option<PathBuf>,
}

impl CorosyncSys {
    /// Where the key of a configuration is, if it needs one in a file.
    pub(super) fn key_file(&self, config: &Config) -> Option<PathBuf> {
        match config.keyfile() {
            _ if !config.needs_key() => None,
            Some(path) => Some(path.to_owned()),
            None if config.key_inside() => None,
            None => Some(self.params.paths.authkey.clone()),
        }
    }

    fn kept_key_path(&self, name: &str) -> PathBuf {
        self.params.state_dir.join("keys").join(name)
    }

    /// Keeps a key under its fingerprint.
    pub(super) fn keep_key(&self, key: &AuthKey) -> Result<()> {
        let path = self.kept_key_path(&key.fingerprint());
        file::write_atomic(&path, key.expose(), 0o600).map(drop)
    }

    /// The key that is kept under a fingerprint; none if it is not there.
    pub(super) fn kept_key(&self, name: &str) -> Result<Option<AuthKey>> {
        let bytes = file::read_bounded(&self.kept_key_path(name), MAX_KEY_FILE)?;
        let key = bytes.map(|b| AuthKey::from_named("the kept authkey", b));
        key.transpose()
    }

    /// Checks a text as it is used with the key that clusmgr holds, whatever is in that one's place.
    pub(super) fn check_held(
        &self,
        bytes: Zeroizing<Vec<u8>>,
    ) -> std::result::Result<Live, Vec<Finding>> {
        let config = parse::parse(&bytes)?;
        let held = self.corosync_config_mtx.lock().u.clone();
        let name = held.and_then(|h| h.key);
        let (Some(path), Some(name)) = (self.key_file(&config), name) else {
            return self.check_conf(bytes);
        };
        let key = self.kept_key(&name);
        match key.map_err(|e| vec![Finding::of_file(&e)])? {
            Some(key) => self.check_with(bytes, config, Ok(LiveKey::File(path, Some(key)))),
            None => self.check_conf(bytes),
        }
    }

    /// What becomes of the key.
    ///
    /// # Errors
    /// When somebody else changed it, and the change is not about that.
    pub(super) fn changed_key(
        &self,
        what: &What,
        held: Option<&S01>,
        checked: &Live,
    ) -> Result<ChangedKey> {
        let new = checked.key.fingerprint();
        let mut key = ChangedKey {
            change: None,
            writes: false,
            path: checked.key.path().map(Path::to_owned),
            new,
        };
        let Some(held) = held else { return Ok(key) };
        let mut old = held.key.clone();
        match (what, &key.path) {
            (What::Apply(_) | What::Rollback(_), _) => self.no_foreign_key(what.as_str())?,
            (What::Revert, Some(path)) if held.key.is_some() => {
                if key.new != held.key {
                    let e = Error::new("revert", path.display(), "the key that was held is lost");
                    return Err(e.hint("copy it there from another node"));
                }
                // Also what is no key is replaced.
                old = file::read_bounded(path, MAX_KEY_FILE)?.map(name_of);
                key.writes = old != key.new;
                // Where its file is only missing, nobody has read another one.
                old = old.or_else(|| key.new.clone());
                if let (true, Some(name)) = (key.writes, &key.new) {
                    key.path = Some(self.kept_key_path(name));
                }
            }
            _ => {}
        }
        if old != key.new {
            key.change = Some(Change {
                path: "fingerprint of the key".to_owned(),
                old,
                new: key.new.clone(),
                hint: None,
            });
        }
        Ok(key)
    }

    /// Whether the live key, where clusmgr holds one, is that one.
    pub(super) fn no_foreign_key(&self, what: &str) -> Result<()> {
        let held = self.corosync_config_mtx.lock().u.clone();
        let (Some(held), Some(config)) = (held.and_then(|h| h.key), self.held_config()) else {
            return Ok(());
        };
        let Some(path) = self.key_file(&config) else {
            return Ok(());
        };
        match file::read_bounded(&path, MAX_KEY_FILE)?.map(name_of) {
            Some(live) if live != held => {
                let cause = format!(
                    "somebody else changed it: its fingerprint is {live}, and {held} is that of the key \
                     that clusmgr holds"
                );
                Err(Error::new(what, path.display(), cause).hint(
                    "compare 'clusmgrctl key fingerprint' on all nodes; 'config revert' puts the held \
                     one back, 'config adopt' takes this one in",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Keeps the key of a change, and what a revert replaces, which may be nowhere else.
    pub(super) fn secure_key(&self, change: &Prepared) -> Result<()> {
        if change.what != "revert" {
            // corosync's check took its time.
            self.no_foreign_key(change.what)?;
        }
        let config = parse::parse(&change.new.bytes).unwrap_or_default();
        let (Some(path), Some(wanted)) = (self.key_file(&config), &change.key) else {
            return Ok(());
        };
        let live = file::read_bounded(&path, MAX_KEY_FILE)?.map(Zeroizing::new);
        let name = live.as_ref().map(|l| name_of(l.to_vec()));
        if name.as_ref() == Some(wanted) {
            let key = live.map(|l| AuthKey::from_named(path.display(), l.to_vec()));
            return key.transpose()?.map_or(Ok(()), |key| self.keep_key(&key));
        }
        if change.what != "revert" {
            return match name {
                // The next start writes it.
                None => Ok(()),
                Some(_) => Err(foreign_key(change.what, path.display())),
            };
        }
        if let (Some(live), Some(name)) = (live, name) {
            let backup = self.params.state_dir.join("backup");
            file::write_atomic(&backup.join(format!("authkey.{name}")), &live, 0o600)?;
        }
        Ok(())
    }

    /// A revert puts the key that clusmgr holds over another one.
    pub(super) fn put_held_key(&self, change: &Prepared) -> Result<()> {
        let (true, Some(name)) = (change.writes_key, &change.key) else {
            return Ok(());
        };
        let config = parse::parse(&change.new.bytes).unwrap_or_default();
        let key = self.kept_key(name)?;
        match (self.key_file(&config), key) {
            (Some(path), Some(key)) => self.put_key(&path, &key),
            _ => Err(Error::new(
                "revert",
                "the key",
                "the one that was held is lost",
            )),
        }
    }

    /// Before corosync reads its files for the sake of a change: a key that somebody has put there in
    /// the meantime must not come along.
    pub(super) fn expects_key(&self, change: &Prepared) -> Result<()> {
        let bytes = file::read_bounded(&self.params.paths.conf, MAX_FILE as u64)?;
        let bytes = bytes.map(Zeroizing::new).unwrap_or_default();
        let config = parse::parse(&bytes).unwrap_or_default();
        let Some(path) = self.key_file(&config) else {
            return Ok(());
        };
        let held = self.corosync_config_mtx.lock().u.clone();
        let known = [change.key.clone(), held.and_then(|h| h.key)];
        match file::read_bounded(&path, MAX_KEY_FILE)?.map(name_of) {
            // Where none was held there is none to tell it from.
            Some(live) if known[1].is_some() && !known.contains(&Some(live.clone())) => {
                Err(foreign_key("bring into effect", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Writes the key where corosync reads it.
    pub(super) fn put_key(&self, path: &Path, key: &AuthKey) -> Result<()> {
        file::write_atomic(path, key.expose(), 0o400)?;
        self.set_key_drift(false);
        let fingerprint = key.fingerprint();
        let text = format!("wrote {} (fingerprint {fingerprint})", path.display());
        let note = Note::new(Kind::KeyWritten, Severity::Notice, text);
        self.note(note.with("fingerprint", fingerprint));
        Ok(())
    }
}

/// The fingerprint of what is in the place of a key; of what is none, a name of its own kind.
fn name_of(bytes: Vec<u8>) -> String {
    let bytes = Zeroizing::new(bytes);
    match AuthKey::from_bytes(bytes.to_vec()) {
        Ok(key) => key.fingerprint(),
        Err(_) => {
            let hash: String = render::sha256_hex(&bytes).chars().take(16).collect();
            format!("no-key-{hash}")
        }
    }
}

pub(super) fn foreign_key(what: &str, path: impl Display) -> Error {
    Error::new(what, path, "somebody else changed it meanwhile").hint(
        "compare 'clusmgrctl key fingerprint' on all nodes; 'config adopt' takes it in, \
         'config revert' puts the held one back",
    )
}
