//! The configuration and the key as clusmgr keeps them (C: `corosync_config.u.s01`).
//!
//! In the state directory: `corosync.json` (this record), `conf/SHA256` (the text that it stands
//! for), `keys/FINGERPRINT` (the key), and `backup/` (what was taken over, byte for byte). A text is
//! on disk before the record names it, so a crash leaves the old record or the new one, both whole.

use super::CorosyncSys;
use super::change::Pending;
use super::finding::{Finding, Severity};
use super::live::{Live, LiveKey};
use super::model::MODEL_VERSION;
use super::{parse, render};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::paths;
use crate::persist;
use crate::sys::file;
use crate::types::{ConfigVersion, NodeId};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The record, version `s01`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S01 {
    /// SHA-256 of the canonical text; its name under `conf/`.
    pub conf: String,
    /// SHA-256 of the live file as it was when it was taken over.
    pub live: String,
    /// Fingerprint of the key; its name under `keys/`. None where the configuration needs no file.
    pub key: Option<String>,
}

impl S01 {
    /// Whether a live file with this hash is ours: as it was taken over, or as we write it. (Both, so
    /// that a crash between the record and the live file makes no drift.)
    pub(super) fn is_ours(&self, sha: &str) -> bool {
        sha == self.live || sha == self.conf
    }
}

/// What `corosync_config_mtx` guards.
#[derive(Debug, Default)]
pub struct CorosyncConfig {
    /// What clusmgr holds; none before the first take-over. (C: `corosync_config.u`)
    pub u: Option<S01>,
    /// Version of what clusmgr holds.
    pub version: Option<ConfigVersion>,
    /// This node, as the configuration that is in use names it.
    pub nodeid: Option<NodeId>,
    /// Every address of its nodelist is a number and this node was found: exit 8 cannot heal.
    pub literal: bool,
    /// The live file is not ours.
    pub drift: bool,
    /// Version of the live file, where that can be used: of a start, if there is drift.
    pub(super) file_version: Option<ConfigVersion>,
    /// The live key is not ours.
    pub key_drift: bool,
    /// Where the key is; none where it needs no file.
    pub key_path: Option<PathBuf>,
    /// Of the key that is in use.
    pub fingerprint: Option<String>,
    /// SHA-256 of the text of a change that is under way: ours, though not held yet.
    pub(super) pending: Option<String>,
    /// A change that the last clusmgr did not finish.
    pub(super) unfinished: Option<Pending>,
    /// The old text of a change that is over could not be put back: it is owed, and its record stays.
    pub(super) owes_old: bool,
}

impl CorosyncSys {
    /// Reads the record at the daemon's start.
    ///
    /// # Errors
    /// When it is damaged or of an unknown version: it is left as it is.
    pub(super) fn load_record(&self) -> Result<()> {
        for dir in ["conf", "keys", "backup"] {
            let path = self.params.state_dir.join(dir);
            std::fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&path)
                .map_err(|e| Error::io("create", path.display(), &e))?;
            file::clean_temps(&path)?;
        }
        self.load_held()
    }

    /// Reads the record, and what it stands for.
    pub(super) fn load_held(&self) -> Result<()> {
        let record: Option<S01> = persist::load(&self.record_path(), MODEL_VERSION)?;
        let Some(record) = record else { return Ok(()) };
        let text = self.kept_conf(&record)?;
        let config = parse::parse(&text)
            .map_err(|f| unusable("use the kept", &self.conf_file(&record), &f))?;
        let mut guard = self.corosync_config_mtx.lock();
        guard.version = Some(config.config_version());
        guard.u = Some(record);
        Ok(())
    }

    pub(super) fn record_path(&self) -> PathBuf {
        self.params.state_dir.join("corosync.json")
    }

    /// Where a live text that was not ours is kept, byte for byte. Named by content: what is tried
    /// again and again makes one copy, not many.
    pub(super) fn backup_path(&self, sha: &str) -> PathBuf {
        let name: String = sha.chars().take(16).collect();
        let dir = self.params.state_dir.join("backup");
        dir.join(format!("corosync.conf.{name}"))
    }

    pub(super) fn conf_file(&self, record: &S01) -> PathBuf {
        self.params.state_dir.join("conf").join(&record.conf)
    }

    /// The text that the record stands for.
    pub(super) fn kept_conf(&self, record: &S01) -> Result<Zeroizing<Vec<u8>>> {
        let path = self.conf_file(record);
        let bytes = file::read_bounded(&path, super::limits::MAX_FILE as u64)?;
        let damaged = |cause: &str| {
            Error::new("read state", path.display(), cause).hint(format!(
                "move {} away to take the live files over again",
                self.record_path().display()
            ))
        };
        let bytes = Zeroizing::new(bytes.ok_or_else(|| damaged("it is not there"))?);
        if render::sha256_hex(&bytes) != record.conf {
            return Err(damaged("its content is not what its name says"));
        }
        Ok(bytes)
    }

    /// Makes the live files those that clusmgr holds.
    pub(super) fn keep(&self, live: &Live) -> Result<()> {
        self.keep_with(live, live.key.fingerprint())
    }

    /// Makes the live file what clusmgr holds, with the key of this fingerprint. It is kept already, or
    /// is the live one.
    pub(super) fn keep_with(&self, live: &Live, key: Option<String>) -> Result<()> {
        let text = self.canonical(live)?;
        let state = &self.params.state_dir;
        let record = S01 {
            conf: render::sha256_hex(&text),
            live: live.sha.clone(),
            key,
        };
        file::write_atomic(&state.join("conf").join(&record.conf), &text, 0o600)?;
        if let LiveKey::File(_, Some(key)) = &live.key {
            let name = key.fingerprint();
            if record.key.as_ref() == Some(&name) {
                self.keep_key(key)?;
            }
        }
        self.save(record, live.config.config_version())
    }

    pub(super) fn save(&self, record: S01, version: ConfigVersion) -> Result<()> {
        persist::save(&self.record_path(), MODEL_VERSION, &record)?;
        let mut guard = self.corosync_config_mtx.lock();
        guard.u = Some(record);
        guard.version = Some(version);
        Ok(())
    }

    /// The canonical text. Where the key is not where corosync looks by itself, it says where it is.
    pub(super) fn canonical(&self, live: &Live) -> Result<Zeroizing<Vec<u8>>> {
        let mut config = live.config.clone();
        if let LiveKey::File(path, _) = &live.key {
            if config.keyfile().is_none() && path != Path::new(paths::COROSYNC_DEFAULT_KEYFILE) {
                config.set_totem("keyfile", &path.to_string_lossy());
            }
        }
        render::render(&config)
    }

    /// The kept configuration, or else the live one, with secrets replaced.
    pub(super) fn shown(&self) -> Result<(String, String)> {
        let held = self.corosync_config_mtx.lock().u.clone();
        let conf = &self.params.paths.conf;
        let (bytes, source) = match &held {
            Some(held) => (self.kept_conf(held)?, self.conf_file(held)),
            None => {
                let bytes = file::read_bounded(conf, super::limits::MAX_FILE as u64)?;
                let missing = || {
                    Error::new("show", conf.display(), "it is not there")
                        .kind(ErrorKind::NotConfigured)
                };
                (Zeroizing::new(bytes.ok_or_else(missing)?), conf.clone())
            }
        };
        let config = parse::parse(&bytes).map_err(|f| first_of(&source, &f))?;
        Ok((
            render::render_redacted(&config)?,
            source.display().to_string(),
        ))
    }

    /// The fingerprint of the live key.
    pub(super) fn live_fingerprint(&self) -> Result<String> {
        let conf = &self.params.paths.conf;
        let live = self.read_live().map_err(|f| first_of(conf, &f))?;
        let live = live.ok_or_else(|| {
            Error::new("read", conf.display(), "it is not there").kind(ErrorKind::NotConfigured)
        })?;
        live.key.fingerprint().ok_or_else(|| {
            Error::new(
                "read",
                "the authkey",
                "the configuration uses none (crypto_cipher and crypto_hash are none)",
            )
            .kind(ErrorKind::NotConfigured)
        })
    }
}

/// The permissions of the file as it is, without those that nobody should have on it.
pub(super) fn mode_of(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|m| m.mode() & 0o755)
}

pub(super) fn no_key(path: &Path) -> Error {
    Error::new(
        "read",
        path.display(),
        "the configuration needs a key and there is none",
    )
    .hint("copy the cluster's authkey there, or make the first one with corosync-keygen")
    .kind(ErrorKind::NotConfigured)
}

/// The first error of several as one error; the rest are counted.
pub(super) fn first_of(path: &Path, findings: &[Finding]) -> Error {
    unusable("use", path, findings)
}

pub(super) fn unusable(op: &str, path: &Path, findings: &[Finding]) -> Error {
    let errors: Vec<&Finding> = findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .collect();
    let first = errors.first().map(ToString::to_string).unwrap_or_default();
    let e = Error::new(op, path.display(), first);
    match errors.len() {
        0 | 1 => e.hint("mend it; 'clusmgrctl config check' shows it again"),
        n => e.hint(format!(
            "and {} more: 'clusmgrctl config check' lists all",
            n - 1
        )),
    }
}
