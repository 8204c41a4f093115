//! The live files: read, checked, and compared with what clusmgr holds.
//!
//! The drift rule: a live file is ours if it is what we last wrote or took over. One that is not is
//! drift: told, used for a start if it passes every check, and never overwritten.

use super::CorosyncSys;
use super::authkey::AuthKey;
use super::finding::{Finding, has_errors};
use super::model::Config;
use super::nodes::LocalHost;
use super::store::first_of;
use super::validate::{KeyFile, validate};
use super::{parse, render};
use crate::error::{Error, Result};
use crate::event::{Kind, Note, Severity as Level};
use crate::sys::{file, host};
use crate::types::NodeId;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Longest key file that is read, in bytes; more than corosync takes, so that the error can say so.
pub(super) const MAX_KEY_FILE: u64 = 64 << 10;

/// The live files, read and checked.
pub struct Live {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) sha: String,
    pub(super) config: Config,
    nodeid: Option<NodeId>,
    pub(super) key: LiveKey,
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

    /// Which node of it this one is.
    pub(super) fn nodeid(&self) -> Option<NodeId> {
        self.nodeid
    }
}

/// Where the key is, and what is there.
pub(super) enum LiveKey {
    /// The configuration needs none.
    NotNeeded,
    /// In the configuration itself.
    Inside(Option<AuthKey>),
    /// In this file; none if it is not there.
    File(PathBuf, Option<AuthKey>),
}

impl CorosyncSys {
    /// This host, as far as it takes to tell which node of the configuration it is. The addresses
    /// come last there, and to list them is the longest step of a start.
    pub(super) fn local_host(&self, config: &Config) -> LocalHost {
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

    pub(super) fn check_conf(
        &self,
        bytes: Zeroizing<Vec<u8>>,
    ) -> std::result::Result<Live, Vec<Finding>> {
        let config = parse::parse(&bytes)?;
        let key = self.read_key(&config);
        self.check_with(bytes, config, key)
    }

    /// As [`CorosyncSys::check_conf`], with this key in the place of the one that is there.
    pub(super) fn check_with(
        &self,
        bytes: Zeroizing<Vec<u8>>,
        config: Config,
        key: Result<LiveKey>,
    ) -> std::result::Result<Live, Vec<Finding>> {
        let host = self.local_host(&config);
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

    pub(super) fn read_key(&self, config: &Config) -> Result<LiveKey> {
        if !config.needs_key() {
            return Ok(LiveKey::NotNeeded);
        }
        let Some(path) = self.key_file(config) else {
            let value = config.get("totem.key").map(|v| v.expose().to_vec());
            return Ok(LiveKey::Inside(
                value.and_then(|v| AuthKey::from_bytes(v).ok()),
            ));
        };
        read_key_file(path)
    }

    /// Compares the live files with what clusmgr holds, and tells what changed. For an adopted
    /// corosync and for the housekeeping: nothing is written to a live file.
    pub(super) fn compare(&self) {
        let guard = self.corosync_config_mtx.lock();
        let (held, pending) = (guard.u.clone(), guard.pending.clone());
        drop(guard);
        let Some(held) = held else { return };
        let ours = |sha: &str| held.is_ours(sha) || pending.as_deref() == Some(sha);
        match self.read_live() {
            Ok(None) => self.set_drift(false),
            Ok(Some(live)) => {
                self.see_version(Some(&live));
                self.set_drift(!ours(&live.sha));
                // A change that is under way may name another key, which is held once it is proved.
                if held.is_ours(&live.sha) || pending.as_deref() != Some(live.sha.as_str()) {
                    self.set_key_drift(live.key.fingerprint() != held.key && live.key.is_there());
                }
                self.in_use(&live);
                self.clear_degraded("bad-config");
            }
            Err(findings) => {
                let bytes =
                    file::read_bounded(&self.params.paths.conf, super::limits::MAX_FILE as u64);
                let bytes = bytes.ok().flatten().map(Zeroizing::new);
                let sha = bytes.map(|b| render::sha256_hex(&b));
                self.see_version(None);
                self.set_drift(!sha.is_some_and(|s| ours(&s)));
                self.set_degraded(
                    "bad-config",
                    &first_of(&self.params.paths.conf, &findings).to_string(),
                );
            }
        }
    }

    /// Remembers what `status` and the reading of exit codes need of the configuration in use.
    pub(super) fn in_use(&self, live: &Live) {
        let mut guard = self.corosync_config_mtx.lock();
        guard.nodeid = live.nodeid;
        // Where this node was not found, an address may come up yet.
        guard.literal = live.nodeid.is_some() && live.config.all_addresses_literal();
        guard.fingerprint = live.key.fingerprint();
        guard.key_path = match &live.key {
            LiveKey::File(path, _) => Some(path.clone()),
            _ => None,
        };
        drop(guard);
        self.tighten_conf(live);
        if let LiveKey::File(path, Some(_)) = &live.key {
            if let Err(e) = self.tighten_key(path) {
                // It is a key all the same: good enough as it is.
                self.set_degraded("key-unwritable", &e.to_string());
            }
        }
    }

    /// Which version a live file that is not ours would be started with; before it is called drift.
    pub(super) fn see_version(&self, live: Option<&Live>) {
        let version = live.map(|l| l.config.config_version());
        self.corosync_config_mtx.lock().file_version = version;
    }

    pub(super) fn set_drift(&self, drift: bool) {
        let before = std::mem::replace(&mut self.corosync_config_mtx.lock().drift, drift);
        let path = self.params.paths.conf.display();
        let detail = format!(
            "{path} is not what clusmgr last wrote; 'clusmgrctl config adopt' takes it in, 'config revert' undoes it"
        );
        self.tell_drift(
            "drift",
            (before, drift),
            (Kind::ConfigDrift, Kind::ConfigDriftEnded),
            detail,
        );
    }

    pub(super) fn set_key_drift(&self, drift: bool) {
        let before = std::mem::replace(&mut self.corosync_config_mtx.lock().key_drift, drift);
        let detail =
            "the authkey is not what clusmgr last wrote; 'clusmgrctl config adopt' takes it in, \
             'config revert' puts the kept one back"
                .to_owned();
        self.tell_drift(
            "key-drift",
            (before, drift),
            (Kind::KeyDrift, Kind::KeyDriftEnded),
            detail,
        );
    }

    pub(super) fn tell_drift(
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
}

/// What is in the place of a key, checked.
pub(super) fn read_key_file(path: PathBuf) -> Result<LiveKey> {
    let bytes = file::read_bounded(&path, MAX_KEY_FILE)?;
    let key = bytes
        .map(|b| AuthKey::from_named(path.display(), b))
        .transpose()?;
    Ok(LiveKey::File(path, key))
}

impl LiveKey {
    /// Where it is, if it is in a file of its own.
    pub(super) fn path(&self) -> Option<&std::path::Path> {
        match self {
            LiveKey::File(path, _) => Some(path),
            _ => None,
        }
    }

    /// Of the key, where there is one.
    pub(super) fn fingerprint(&self) -> Option<String> {
        match self {
            LiveKey::File(_, Some(key)) | LiveKey::Inside(Some(key)) => Some(key.fingerprint()),
            LiveKey::File(_, None) | LiveKey::Inside(None) | LiveKey::NotNeeded => None,
        }
    }

    pub(super) fn is_there(&self) -> bool {
        !matches!(self, LiveKey::File(_, None))
    }
}
