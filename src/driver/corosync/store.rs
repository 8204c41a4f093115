//! The configuration and the key as clusmgr keeps them (C: `corosync_config.u.s01`), beside the live
//! files: take-over, the drift rule, and the first two steps of a start.
//!
//! In the state directory: `corosync.json` (this record), `conf/SHA256` (the text that it stands
//! for), `keys/FINGERPRINT` (the key), and `backup/` (what was taken over, byte for byte). A text is
//! on disk before the record names it, so a crash leaves the old record or the new one, both whole.
//!
//! The rule: a live file is ours if it is what we last wrote or took over. One that is not is drift:
//! told, used for a start if it passes every check, and never overwritten.

use super::authkey::AuthKey;
use super::finding::{Finding, Severity, has_errors};
use super::model::{Config, MODEL_VERSION};
use super::nodes::LocalHost;
use super::validate::{KeyFile, validate};
use super::{CorosyncSys, parse, render};
use crate::driver::StartFailure;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::event::{Kind, Note, Severity as Level};
use crate::paths;
use crate::persist;
use crate::sys::{file, host};
use crate::types::{ConfigVersion, NodeId, WallMs};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest key file that is read, in bytes; more than corosync takes, so that the error can say so.
const MAX_KEY_FILE: u64 = 64 << 10;

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
    fn is_ours(&self, sha: &str) -> bool {
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
    /// The live key is not ours.
    pub key_drift: bool,
    /// Where the key is; none where it needs no file.
    pub key_path: Option<PathBuf>,
    /// Of the key that is in use.
    pub fingerprint: Option<String>,
}

/// A failure to get ready for a start.
pub type NotReady = (StartFailure, Error);

/// The live files, read and checked.
pub struct Live {
    bytes: Zeroizing<Vec<u8>>,
    sha: String,
    config: Config,
    nodeid: Option<NodeId>,
    key: LiveKey,
    warnings: Vec<Finding>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("sha", &self.sha)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// What is not wrong enough to forbid a start.
    pub(super) fn warnings(&self) -> &[Finding] {
        &self.warnings
    }
}

/// Where the key is, and what is there.
enum LiveKey {
    /// The configuration needs none.
    NotNeeded,
    /// In the configuration itself.
    Inside(Option<String>),
    /// In this file; none if it is not there.
    File(PathBuf, Option<AuthKey>),
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

    fn record_path(&self) -> PathBuf {
        self.params.state_dir.join("corosync.json")
    }

    fn conf_file(&self, record: &S01) -> PathBuf {
        self.params.state_dir.join("conf").join(&record.conf)
    }

    /// The text that the record stands for.
    fn kept_conf(&self, record: &S01) -> Result<Zeroizing<Vec<u8>>> {
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

    /// This host, as far as it takes to tell which node of the configuration it is. The addresses
    /// come last there, and to list them is the longest step of a start.
    fn local_host(&self, config: &Config) -> LocalHost {
        let mut this = LocalHost {
            node_name: self.params.node_name.clone(),
            hostname: host::hostname(),
            addresses: Vec::new(),
        };
        if config.local_node(&this).is_none() {
            this.addresses = host::addresses();
        }
        this
    }

    /// Reads and checks the live files; `None` where there is no live configuration.
    ///
    /// # Errors
    /// The first error of several, and how many there are; all of them are in the event.
    pub(super) fn read_live(&self) -> std::result::Result<Option<Live>, Vec<Finding>> {
        let path = &self.params.paths.conf;
        let whole = |e: &Error| vec![Finding::of_file(e)];
        let bytes =
            file::read_bounded(path, super::limits::MAX_FILE as u64 + 1).map_err(|e| whole(&e))?;
        let Some(bytes) = bytes.map(Zeroizing::new) else {
            return Ok(None);
        };
        self.check_conf(bytes).map(Some)
    }

    fn check_conf(&self, bytes: Zeroizing<Vec<u8>>) -> std::result::Result<Live, Vec<Finding>> {
        let config = parse::parse(&bytes)?;
        let host = self.local_host(&config);
        let key = self.read_key(&config);
        let mut guard = self.corosync_config_mtx.lock();
        if let Ok(LiveKey::File(path, _)) = &key {
            // Known from here on even if the check fails: its arrival is worth another try.
            guard.key_path = Some(path.clone());
        }
        // A key that is kept is written again at the next start.
        let kept = guard.u.as_ref().is_some_and(|u| u.key.is_some());
        drop(guard);
        let there = match &key {
            Ok(LiveKey::File(_, None)) if !kept => KeyFile::Absent,
            Ok(LiveKey::File(_, Some(_))) | Err(_) => KeyFile::Present,
            Ok(_) => KeyFile::Unknown,
        };
        let mut findings = validate(&config, &host, there);
        let key = key.map_err(|e| findings.push(Finding::of_file(&e)));
        match key {
            Ok(key) if !has_errors(&findings) => Ok(Live {
                sha: render::sha256_hex(&bytes),
                nodeid: config.local_node(&host).and_then(|n| n.nodeid),
                bytes,
                config,
                key,
                warnings: findings,
            }),
            _ => Err(findings),
        }
    }

    fn read_key(&self, config: &Config) -> Result<LiveKey> {
        if !config.needs_key() {
            return Ok(LiveKey::NotNeeded);
        }
        let path = match config.keyfile() {
            Some(path) => path.to_owned(),
            None if config.secret_in_file() => {
                let value = config.get("totem.key").map(|v| v.expose().to_vec());
                return Ok(LiveKey::Inside(
                    value
                        .and_then(|v| AuthKey::from_bytes(v).ok())
                        .map(|k| k.fingerprint()),
                ));
            }
            None => self.params.paths.authkey.clone(),
        };
        let bytes = file::read_bounded(&path, MAX_KEY_FILE)?;
        let key = bytes
            .map(|b| AuthKey::from_named(path.display(), b))
            .transpose()?;
        Ok(LiveKey::File(path, key))
    }

    /// Compares the live files with what clusmgr holds, and tells what changed. For an adopted
    /// corosync and for the housekeeping: nothing is written to a live file.
    pub(super) fn compare(&self) {
        let held = self.corosync_config_mtx.lock().u.clone();
        let Some(held) = held else { return };
        match self.read_live() {
            Ok(None) => self.set_drift(false),
            Ok(Some(live)) => {
                self.set_drift(!held.is_ours(&live.sha));
                self.set_key_drift(live.key.fingerprint() != held.key && live.key.is_there());
                self.in_use(&live);
                self.clear_degraded("bad-config");
            }
            Err(findings) => {
                let bytes =
                    file::read_bounded(&self.params.paths.conf, super::limits::MAX_FILE as u64);
                let sha = bytes.ok().flatten().map(|b| render::sha256_hex(&b));
                self.set_drift(!sha.is_some_and(|s| held.is_ours(&s)));
                self.set_degraded(
                    "bad-config",
                    &first_of(&self.params.paths.conf, &findings).to_string(),
                );
            }
        }
    }

    /// Steps 1 and 2 of a start (C: `corosync_gen_conf`, `corosync_write_authkey`): after this, the
    /// live files are what corosync is to read.
    ///
    /// # Errors
    /// What is wrong, and what that means for the mode.
    pub(super) fn make_ready(&self) -> std::result::Result<(), NotReady> {
        let held = self.corosync_config_mtx.lock().u.clone();
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
                self.set_drift(true);
                live
            }
        };
        self.in_use(&live);
        self.write_key(&live)
            .map_err(|e| (StartFailure::BadConfig, e))?;
        self.clear_degraded("bad-config");
        Ok(())
    }

    fn bad_config(&self, findings: &[Finding]) -> NotReady {
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
    fn take_over(&self, live: &Live) -> Result<()> {
        let at = WallMs::now().0;
        let backup = self.params.state_dir.join("backup");
        let copy = backup.join(format!("corosync.conf.{at}"));
        file::write_atomic(&copy, &live.bytes, 0o600)?;
        if let LiveKey::File(path, Some(key)) = &live.key {
            file::write_atomic(&backup.join(format!("authkey.{at}")), key.expose(), 0o600)?;
            self.tighten_key(path)?;
        }
        self.keep(live)?;
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

    /// Makes the live files those that clusmgr holds.
    fn keep(&self, live: &Live) -> Result<()> {
        let text = self.canonical(live)?;
        let state = &self.params.state_dir;
        let record = S01 {
            conf: render::sha256_hex(&text),
            live: live.sha.clone(),
            key: live.key.fingerprint(),
        };
        file::write_atomic(&state.join("conf").join(&record.conf), &text, 0o600)?;
        if let (LiveKey::File(_, Some(key)), Some(name)) = (&live.key, &record.key) {
            file::write_atomic(&state.join("keys").join(name), key.expose(), 0o600)?;
        }
        self.save(record, live.config.config_version())
    }

    fn save(&self, record: S01, version: ConfigVersion) -> Result<()> {
        persist::save(&self.record_path(), MODEL_VERSION, &record)?;
        let mut guard = self.corosync_config_mtx.lock();
        guard.u = Some(record);
        guard.version = Some(version);
        Ok(())
    }

    /// The canonical text. Where the key is not where corosync looks by itself, it says where it is.
    fn canonical(&self, live: &Live) -> Result<Zeroizing<Vec<u8>>> {
        let mut config = live.config.clone();
        if let LiveKey::File(path, _) = &live.key {
            if config.keyfile().is_none() && path != Path::new(paths::COROSYNC_DEFAULT_KEYFILE) {
                config.set_totem("keyfile", &path.to_string_lossy());
            }
        }
        render::render(&config)
    }

    /// Step 1: the canonical text, over a file that is ours or not there. A live file that cannot be
    /// rewritten is good enough as it is.
    fn write_ours(&self, live: &Live, there: bool) -> Result<()> {
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
    fn write_key(&self, live: &Live) -> Result<()> {
        let LiveKey::File(path, key) = &live.key else {
            return Ok(());
        };
        let held = self
            .corosync_config_mtx
            .lock()
            .u
            .clone()
            .and_then(|u| u.key);
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
            (Some(_), None) => {
                self.tighten_key(path)?;
                self.keep(live)
            }
            (Some(_), Some(_)) => {
                self.tighten_key(path)?;
                self.set_key_drift(true);
                Ok(())
            }
            (None, held) => {
                let kept = held.map(|name| self.params.state_dir.join("keys").join(name));
                let bytes = kept
                    .map(|p| file::read_bounded(&p, MAX_KEY_FILE))
                    .transpose()?
                    .flatten();
                let key = bytes
                    .map(|b| AuthKey::from_named("the kept authkey", b))
                    .transpose()?;
                let Some(key) = key else {
                    return Err(no_key(path));
                };
                file::write_atomic(path, key.expose(), 0o400)?;
                self.set_key_drift(false);
                let text = format!(
                    "wrote {} (fingerprint {})",
                    path.display(),
                    key.fingerprint()
                );
                self.note(
                    Note::new(Kind::KeyWritten, Level::Notice, text)
                        .with("fingerprint", key.fingerprint()),
                );
                Ok(())
            }
        }
    }

    fn tighten_key(&self, path: &Path) -> Result<()> {
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

    /// Remembers what `status` and the reading of exit codes need of the configuration in use.
    fn in_use(&self, live: &Live) {
        let mut guard = self.corosync_config_mtx.lock();
        guard.nodeid = live.nodeid;
        // Where this node was not found, an address may come up yet.
        guard.literal = live.nodeid.is_some() && live.config.all_addresses_literal();
        guard.fingerprint = live.key.fingerprint();
        guard.key_path = match &live.key {
            LiveKey::File(path, _) => Some(path.clone()),
            _ => None,
        };
    }

    fn set_drift(&self, drift: bool) {
        let before = std::mem::replace(&mut self.corosync_config_mtx.lock().drift, drift);
        let path = self.params.paths.conf.display();
        let detail = format!(
            "{path} is not what clusmgr last wrote; 'kill -HUP' takes it in, putting the old text back undoes it"
        );
        self.tell_drift(
            "drift",
            (before, drift),
            (Kind::ConfigDrift, Kind::ConfigDriftEnded),
            detail,
        );
    }

    fn set_key_drift(&self, drift: bool) {
        let before = std::mem::replace(&mut self.corosync_config_mtx.lock().key_drift, drift);
        let detail =
            "the authkey is not what clusmgr last wrote; 'kill -HUP' takes it in".to_owned();
        self.tell_drift(
            "key-drift",
            (before, drift),
            (Kind::KeyDrift, Kind::KeyDriftEnded),
            detail,
        );
    }

    fn tell_drift(
        &self,
        reason: &'static str,
        (before, now): (bool, bool),
        kinds: (Kind, Kind),
        detail: String,
    ) {
        if now {
            self.set_degraded(reason, &detail);
        } else {
            self.clear_degraded(reason);
        }
        if now && !before {
            self.note(Note::new(kinds.0, Level::Warning, detail));
        } else if before && !now {
            self.note(Note::new(
                kinds.1,
                Level::Notice,
                "the live file is what clusmgr last wrote again",
            ));
        }
    }

    /// Takes the live files in.
    pub(super) fn adopt_live(&self) -> Result<()> {
        let conf = &self.params.paths.conf;
        let live = self.read_live().map_err(|f| first_of(conf, &f))?;
        let live = live.ok_or_else(|| {
            Error::new("take in", conf.display(), "it is not there").kind(ErrorKind::NotConfigured)
        })?;
        if let LiveKey::File(path, key) = &live.key {
            if key.is_none() {
                return Err(no_key(path));
            }
            self.tighten_key(path)?;
        }
        self.keep(&live)?;
        self.in_use(&live);
        self.set_drift(false);
        self.set_key_drift(false);
        self.clear_degraded("bad-config");
        let version = live.config.config_version();
        let text = format!("took in {} (config_version {version})", conf.display());
        self.note(Note::new(Kind::ConfigAdopted, Level::Notice, text).with("version", version.0));
        Ok(())
    }

    /// The kept configuration, or else the live one, with secrets replaced.
    pub(super) fn shown(&self) -> Result<String> {
        let held = self.corosync_config_mtx.lock().u.clone();
        let conf = &self.params.paths.conf;
        let bytes = match held {
            Some(held) => self.kept_conf(&held)?,
            None => {
                let bytes = file::read_bounded(conf, super::limits::MAX_FILE as u64)?;
                Zeroizing::new(bytes.ok_or_else(|| {
                    Error::new("show", conf.display(), "it is not there")
                        .kind(ErrorKind::NotConfigured)
                })?)
            }
        };
        let config = parse::parse(&bytes).map_err(|f| first_of(conf, &f))?;
        render::render_redacted(&config)
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

impl LiveKey {
    fn fingerprint(&self) -> Option<String> {
        match self {
            LiveKey::File(_, Some(key)) => Some(key.fingerprint()),
            LiveKey::Inside(fingerprint) => fingerprint.clone(),
            LiveKey::File(_, None) | LiveKey::NotNeeded => None,
        }
    }

    fn is_there(&self) -> bool {
        !matches!(self, LiveKey::File(_, None))
    }
}

/// The permissions of the file as it is, without those that nobody should have on it.
fn mode_of(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|m| m.mode() & 0o755)
}

fn no_key(path: &Path) -> Error {
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

fn unusable(op: &str, path: &Path, findings: &[Finding]) -> Error {
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
