//! A change of corosync.conf, step by step: check, write, prove, keep or undo.
//!
//! While it is under way, `change.json` names the old and the new text. It is on disk before the live
//! file is touched, and gone when the change is kept or undone; so a daemon that is killed in between
//! finds at its next start what it has to take back.

use super::live::Live;
use super::model::{Config, Item};
use super::plan::{self, Plan};
use super::store::{S01, first_of};
use super::tools::Cmap;
use super::{CorosyncSys, diff, limits, nodes, parse, render};
use crate::driver::change::{Changes, Needs, Prepared, Request, Text, What};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::event::{Kind, Note, Severity};
use crate::persist;
use crate::sys::{clock, file, ready};
use crate::types::{ConfigVersion, WallMs};
use crate::wire::{DiffReport, HistoryEntry as Entry};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// Version of `change.json`.
const PENDING_VERSION: &str = "s01";

/// How long the running values may take to become the new ones after a reload that succeeded.
const PROVE_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at them.
const PROVE_STEP: Duration = Duration::from_millis(20);

/// A change under way, as it is on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// SHA-256 of the text that was; none if there was none.
    old: Option<String>,
    /// SHA-256 of the text that is to be.
    pub(super) new: String,
    what: String,
    by: String,
}

impl CorosyncSys {
    fn pending_path(&self) -> PathBuf {
        self.params.state_dir.join("change.json")
    }

    /// What is live, and ours: the old side of a change.
    fn present(&self, what: &What) -> Result<Option<Live>> {
        let conf = &self.params.paths.conf;
        let drift = self.corosync_config_mtx.lock().drift;
        match self.read_live() {
            // What is being taken back, or taken in, is allowed to differ.
            Ok(live) if !drift || !matches!(what, What::Apply(_) | What::Rollback(_)) => Ok(live),
            Ok(_) => Err(Error::new(what.as_str(), conf.display(), "the live file was changed by somebody else")
                .hint("'clusmgrctl config diff' shows it; 'config adopt' takes it in, 'config revert' undoes it")),
            // A live file that is no good must not keep a better one out.
            Err(_) if !matches!(what, What::Adopt) => Ok(None),
            Err(findings) => Err(first_of(conf, &findings)),
        }
    }

    /// The text that is asked for, as a configuration.
    fn wanted(&self, request: &Request) -> Result<Config> {
        let conf = &self.params.paths.conf;
        let held = || {
            let held = self.corosync_config_mtx.lock().u.clone();
            held.ok_or_else(|| {
                Error::new(
                    request.what.as_str(),
                    conf.display(),
                    "clusmgr holds no configuration yet",
                )
                .kind(ErrorKind::NotConfigured)
            })
        };
        let parsed = |bytes: &[u8], name: &str| {
            parse::parse(bytes).map_err(|f| first_of(std::path::Path::new(name), &f))
        };
        match &request.what {
            What::Apply(bytes) => parsed(bytes, "the new configuration"),
            What::Adopt => {
                let bytes = file::read_bounded(conf, limits::MAX_FILE as u64)?.map(Zeroizing::new);
                let missing = || {
                    Error::new("adopt", conf.display(), "it is not there")
                        .kind(ErrorKind::NotConfigured)
                };
                parsed(&bytes.ok_or_else(missing)?, &conf.to_string_lossy())
            }
            What::Revert => parsed(&self.kept_conf(&held()?)?, "the kept configuration"),
            What::Rollback(id) => {
                let held = held()?;
                let entry = self.earlier(*id, &held)?;
                let bytes = self.kept_conf(&S01 {
                    conf: entry.sha256,
                    ..held
                })?;
                let mut config = parsed(&bytes, "the earlier configuration")?;
                let now = self.corosync_config_mtx.lock().version.unwrap_or_default();
                config.set_config_version(ConfigVersion(now.0.saturating_add(1)));
                Ok(config)
            }
        }
    }

    /// The entry of the history to go back to.
    fn earlier(&self, id: Option<u64>, held: &S01) -> Result<Entry> {
        let entries = self.history.read()?.entries;
        let holds = |e: &&Entry| e.undone.is_none();
        let found = match id {
            Some(id) => entries.iter().find(|e| e.id == id).cloned(),
            None => {
                let present = entries.iter().rposition(|e| e.sha256 == held.conf);
                let before = &entries[..present.unwrap_or(entries.len())];
                before.iter().rev().find(holds).cloned()
            }
        };
        let what = id.map_or("an earlier configuration".to_owned(), |id| {
            format!("configuration {id}")
        });
        found.ok_or_else(|| {
            Error::new("roll back to", what, "it is not in the history")
                .hint("see 'clusmgrctl config history'")
        })
    }

    fn check_versions(
        &self,
        what: &What,
        new: ConfigVersion,
        old: Option<ConfigVersion>,
    ) -> Result<()> {
        let running = self.corosync_config_mtx.lock().version;
        let floor = old.into_iter().chain(running).max();
        match floor {
            Some(floor) if matches!(what, What::Apply(_)) && new <= floor => {
                let next = ConfigVersion(floor.0.saturating_add(1));
                Err(Error::new(
                    "apply",
                    "the new configuration",
                    format!("its config_version {new} is not above {floor}"),
                )
                .hint(format!(
                    "write 'config_version: {next}' in its totem section"
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_nodes(&self, request: &Request, config: &Config) -> Result<()> {
        let nodes = config.nodes().len();
        let alone = matches!(request.what, What::Apply(_) | What::Rollback(_)) && nodes > 1;
        if !alone || request.this_node_only {
            return Ok(());
        }
        let cause = format!(
            "it has {nodes} nodes and would change on this one only; its peers could not start any more"
        );
        Err(
            Error::new(request.what.as_str(), "the configuration", cause)
                .hint("do the same on every node, each with --this-node-only"),
        )
    }

    fn prepare(&self, request: &Request) -> Result<Prepared> {
        let live = self.present(&request.what)?;
        let config = self.wanted(request)?;
        // All rules, and the key that it would be used with.
        let path = self.params.paths.conf.clone();
        let checked = self
            .check_conf(render::render(&config)?)
            .map_err(|f| first_of(&path, &f))?;
        let bytes = self.canonical(&checked)?;
        let config = parse::parse(&bytes).map_err(|f| first_of(&path, &f))?;
        let new = Text {
            sha256: render::sha256_hex(&bytes),
            version: config.config_version(),
            bytes,
        };
        let held = self.corosync_config_mtx.lock().u.clone();
        let old = match (&request.what, held) {
            (What::Adopt, Some(held)) => Some(self.held_text(&held)?),
            _ => live.as_ref().map(|l| Text {
                sha256: l.sha.clone(),
                version: l.config.config_version(),
                bytes: l.bytes.clone(),
            }),
        };
        let same = old.as_ref().is_some_and(|o| o.sha256 == new.sha256);
        if !same {
            self.check_versions(&request.what, new.version, old.as_ref().map(|o| o.version))?;
        }
        let empty = Config::default();
        let held = self.held_config();
        let from = match request.what {
            What::Adopt => held.as_ref(),
            _ => live.as_ref().map(|l| &l.config),
        };
        let plan = plan::plan(from.unwrap_or(&empty), &config);
        if let (Some(_), Some(first)) = (&live, plan.refused.first()) {
            let cause = format!("{first}: corosync refuses that on a link that stands");
            return Err(
                Error::new(request.what.as_str(), "the configuration", cause)
                    .hint("remove the link and apply, then add it anew and apply again"),
            );
        }
        self.corosync_t(&config, checked.key.path())?;
        Ok(Prepared {
            what: request.what.as_str(),
            by: request.by.clone(),
            needs: needs(&plan),
            plan: plan_lines(&plan),
            warnings: checked.warnings().iter().map(ToString::to_string).collect(),
            new,
            old,
        })
    }

    fn held_text(&self, held: &S01) -> Result<Text> {
        let bytes = self.kept_conf(held)?;
        let version = parse::parse(&bytes)
            .map(|c| c.config_version())
            .unwrap_or_default();
        Ok(Text {
            sha256: held.conf.clone(),
            version,
            bytes,
        })
    }

    /// What clusmgr holds; none if it holds nothing.
    fn held_config(&self) -> Option<Config> {
        let held = self.corosync_config_mtx.lock().u.clone()?;
        parse::parse(&self.kept_conf(&held).ok()?).ok()
    }

    /// What a text, or the live file, would change.
    pub(super) fn diff(&self, text: Option<&[u8]>) -> Result<DiffReport> {
        let conf = &self.params.paths.conf;
        let (name, new) = match text {
            Some(text) => (
                "the new configuration".to_owned(),
                Zeroizing::new(text.to_vec()),
            ),
            None => {
                let bytes = file::read_bounded(conf, limits::MAX_FILE as u64)?;
                let missing = || {
                    Error::new("compare", conf.display(), "it is not there")
                        .kind(ErrorKind::NotConfigured)
                };
                (
                    conf.display().to_string(),
                    Zeroizing::new(bytes.ok_or_else(missing)?),
                )
            }
        };
        let new = parse::parse(&new).map_err(|f| first_of(std::path::Path::new(&name), &f))?;
        let held = self.held_config().unwrap_or_default();
        let text = diff::unified(
            "what clusmgr holds",
            &render::render_redacted(&held)?,
            &name,
            &render::render_redacted(&new)?,
        );
        Ok(DiffReport {
            diff: text,
            plan: plan_lines(&plan::plan(&held, &new)),
        })
    }

    /// Keeps a text under its hash.
    fn keep_text(&self, text: &Text) -> Result<()> {
        let path = self.params.state_dir.join("conf").join(&text.sha256);
        file::write_atomic(&path, &text.bytes, 0o600).map(drop)
    }

    fn put_live(&self, text: &Text) -> Result<()> {
        let path = &self.params.paths.conf;
        let secret = parse::parse(&text.bytes).is_ok_and(|c| c.secret_in_file());
        let mode = if secret {
            0o600
        } else {
            super::store::mode_of(path).unwrap_or(0o644)
        };
        file::write_atomic(path, &text.bytes, mode).map(drop)
    }

    fn forget_pending(&self) {
        self.corosync_config_mtx.lock().pending = None;
        if let Err(e) = file::remove(&self.pending_path()) {
            log::error!("{e}");
        }
    }

    /// At the daemon's start: a change that was not finished is taken back, or was finished but for
    /// its record. Says which.
    pub(super) fn settle(&self) -> Result<()> {
        let Some(pending) = persist::load::<Pending>(&self.pending_path(), PENDING_VERSION)? else {
            return Ok(());
        };
        let held = self.corosync_config_mtx.lock().u.clone();
        if held.is_some_and(|h| h.conf == pending.new) {
            self.note(Note::new(
                Kind::ConfigChanged,
                Severity::Notice,
                format!(
                    "the {} that was under way when clusmgr ended holds: the new configuration",
                    pending.what
                ),
            ));
            self.forget_pending();
            return Ok(());
        }
        let path = &self.params.paths.conf;
        let live =
            file::read_bounded(path, limits::MAX_FILE as u64)?.map(|b| render::sha256_hex(&b));
        if live.as_deref() == Some(pending.new.as_str()) {
            match &pending.old {
                Some(old) => {
                    let bytes = file::read_bounded(
                        &self.params.state_dir.join("conf").join(old),
                        limits::MAX_FILE as u64,
                    )?;
                    let bytes = bytes.map(Zeroizing::new).ok_or_else(|| {
                        Error::new("undo", path.display(), "the old text is gone")
                    })?;
                    self.put_live(&Text {
                        sha256: old.clone(),
                        version: ConfigVersion(0),
                        bytes,
                    })?;
                }
                None => file::remove(path)?,
            }
        }
        self.note(Note::new(
            Kind::ConfigUndone,
            Severity::Warning,
            format!(
                "the {} that was under way when clusmgr ended was undone: the old configuration",
                pending.what
            ),
        ));
        self.corosync_config_mtx.lock().unfinished = Some(pending);
        Ok(())
    }
}

impl Changes for CorosyncSys {
    fn change_prepare(&self, request: &Request) -> Result<Prepared> {
        let prepared = self.prepare(request)?;
        self.check_nodes(
            request,
            &parse::parse(&prepared.new.bytes).unwrap_or_default(),
        )?;
        Ok(prepared)
    }

    fn change_write(&self, change: &Prepared) -> Result<()> {
        if let Some(old) = &change.old {
            self.keep_text(old)?;
        }
        self.keep_text(&change.new)?;
        let pending = Pending {
            old: change.old.as_ref().map(|o| o.sha256.clone()),
            new: change.new.sha256.clone(),
            what: change.what.to_owned(),
            by: change.by.clone(),
        };
        persist::save(&self.pending_path(), PENDING_VERSION, &pending)?;
        self.corosync_config_mtx.lock().pending = Some(pending.new);
        self.put_live(&change.new)
            .inspect_err(|_| self.forget_pending())
    }

    fn change_reload(&self) -> Result<()> {
        self.reload()
    }

    fn change_restart(&self) {
        self.corosync_event_mtx.lock().corosync_reboot_needed = true;
        self.params.waker.wake();
    }

    fn change_prove(&self, change: &Prepared, undone: bool) -> Result<()> {
        let empty = Zeroizing::new(Vec::new());
        let old = change.old.as_ref().map_or(&empty, |o| &o.bytes);
        let (from, to) = if undone {
            (&change.new.bytes, old)
        } else {
            (old, &change.new.bytes)
        };
        let parsed = |bytes: &[u8]| parse::parse(bytes).unwrap_or_default();
        let (from, to) = (expected(&parsed(from)), expected(&parsed(to)));
        let deadline = clock::now().plus(PROVE_LIMIT);
        loop {
            let cmap = self.cmap()?;
            match differs(&from, &to, &cmap).or_else(|| unsettled(&cmap)) {
                None => return Ok(()),
                Some(what) if clock::now() >= deadline => {
                    return Err(Error::new("prove", "the change", what));
                }
                Some(_) => ready::wait_any(&[], PROVE_STEP),
            }
        }
    }

    fn change_keep(&self, change: &Prepared, how: Needs, ran: bool) -> Result<()> {
        let live = self
            .read_live()
            .map_err(|f| first_of(&self.params.paths.conf, &f))?;
        let live = live.ok_or_else(|| Error::new("keep", "the change", "the live file is gone"))?;
        // A start that comes in between leaves the record alone.
        self.corosync_config_mtx.lock().pending = Some(live.sha.clone());
        self.keep(&live)?;
        self.in_use(&live);
        self.forget_pending();
        self.set_drift(false);
        if change.what == "adopt" {
            self.set_key_drift(false);
            if ran && change.needs == Needs::Restart {
                let detail = "corosync runs with an older configuration than the one that was taken in; \
                              'clusmgrctl restart' brings it into effect";
                self.set_degraded("restart-needed", detail);
            }
        }
        let how = if ran { how.as_str() } else { "start" };
        let (what, version) = (change.what, change.new.version);
        self.remember(change, how, None);
        let text = format!(
            "{what} by {}: config_version {version}, by {how}",
            change.by
        );
        self.note(
            Note::new(Kind::ConfigChanged, Severity::Notice, text)
                .with("what", what)
                .with("by", change.by.clone())
                .with("version", version.0)
                .with("sha256", change.new.sha256.clone())
                .with("plan", change.plan.clone()),
        );
        Ok(())
    }

    fn change_undo(&self, change: &Prepared) -> Result<()> {
        match &change.old {
            Some(old) => self.put_live(old),
            None => file::remove(&self.params.paths.conf),
        }
    }

    fn change_undone(&self, change: &Prepared, how: Needs, why: &str) {
        self.forget_pending();
        self.compare();
        self.remember(change, how.as_str(), Some(why));
        let text = format!("{} by {} was undone: {why}", change.what, change.by);
        self.note(
            Note::new(Kind::ConfigUndone, Severity::Err, text)
                .with("version", change.new.version.0),
        );
    }

    fn change_unfinished(&self) -> Option<Prepared> {
        let pending = self.corosync_config_mtx.lock().unfinished.take()?;
        let text = |sha: &str| {
            let path = self.params.state_dir.join("conf").join(sha);
            let bytes = Zeroizing::new(file::read_bounded(&path, limits::MAX_FILE as u64).ok()??);
            let version = parse::parse(&bytes).ok()?.config_version();
            Some(Text {
                sha256: sha.to_owned(),
                version,
                bytes,
            })
        };
        let new = text(&pending.new)?;
        let old = pending.old.as_deref().and_then(text);
        let config = |t: Option<&Text>| {
            t.and_then(|t| parse::parse(&t.bytes).ok())
                .unwrap_or_default()
        };
        let plan = plan::plan(&config(Some(&new)), &config(old.as_ref()));
        Some(Prepared {
            what: "undo",
            by: pending.by,
            needs: needs(&plan),
            plan: plan_lines(&plan),
            warnings: Vec::new(),
            new,
            old,
        })
    }
}

impl CorosyncSys {
    fn remember(&self, change: &Prepared, how: &str, undone: Option<&str>) {
        let entry = Entry {
            id: 0,
            at: WallMs::now(),
            version: change.new.version,
            sha256: change.new.sha256.clone(),
            by: change.by.clone(),
            what: change.what.to_owned(),
            how: how.to_owned(),
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
        let is = |name: &str, of: &dyn Fn(&S01) -> bool| {
            entries.iter().any(|e| e.sha256 == name) || held.as_ref().is_some_and(of)
        };
        self.prune("conf", &|name| {
            is(name, &|h| h.conf == name || h.live == name)
        });
        // An old key is a secret that nobody needs any more.
        self.prune("keys", &|name| {
            is(name, &|h| h.key.as_deref() == Some(name))
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

fn needs(plan: &Plan) -> Needs {
    match (plan.restart.is_empty(), plan.reload.is_empty()) {
        (false, _) => Needs::Restart,
        (true, false) => Needs::Reload,
        (true, true) => Needs::Nothing,
    }
}

fn plan_lines(plan: &Plan) -> Vec<String> {
    let all = [
        (&plan.reload, "reload"),
        (&plan.restart, "restart"),
        (&plan.refused, "refused"),
    ];
    let line = |word: &str, c: &plan::Change| format!("{c} ({word})");
    all.iter()
        .flat_map(|(changes, word)| changes.iter().map(|c| line(word, c)))
        .collect()
}

/// The keys that corosync has in its database for a configuration: those that it takes as they stand.
fn expected(config: &Config) -> Cmap {
    let mut cmap = Cmap::new();
    for item in config.items() {
        let Item::Section(section) = item else {
            continue;
        };
        if !["totem", "quorum", "logging"].contains(&section.name.as_str()) {
            continue;
        }
        for item in &section.items {
            if let Item::Key(key) = item {
                cmap.insert(
                    format!("{}.{}", section.name, key.name),
                    key.value.text().into_owned(),
                );
            }
        }
    }
    cmap.remove("totem.key");
    for (place, node) in config.nodes().iter().enumerate() {
        let path = |key: &str| format!("nodelist.node.{place}.{key}");
        cmap.extend(node.nodeid.map(|id| (path("nodeid"), id.to_string())));
        cmap.extend(node.name.clone().map(|name| (path("name"), name)));
        for (nodes::LinkId(link), addr) in &node.addrs {
            cmap.insert(path(&format!("ring{link}_addr")), addr.clone());
        }
    }
    cmap
}

/// The first value that should have changed, and has not.
fn differs(from: &Cmap, to: &Cmap, running: &Cmap) -> Option<String> {
    let changed = to
        .iter()
        .filter(|(key, value)| from.get(*key) != Some(value));
    for (key, value) in changed {
        let has = running.get(key).map(|v| v.trim());
        if !has.is_some_and(|has| same(has, value.trim())) {
            return Some(format!(
                "{key} is {} in the running corosync, not {value}",
                has.unwrap_or("absent")
            ));
        }
    }
    let gone = from.keys().filter(|key| !to.contains_key(*key));
    let left = gone.into_iter().find(|key| running.contains_key(*key));
    left.map(|key| format!("{key} is still there in the running corosync"))
}

/// corosync writes numbers its own way: `0100` is 100.
fn same(a: &str, b: &str) -> bool {
    a == b || matches!((a.parse::<u64>(), b.parse::<u64>()), (Ok(a), Ok(b)) if a == b)
}

/// A reload that is stuck or failed, as corosync notes it.
fn unsettled(running: &Cmap) -> Option<String> {
    let is = |key: &str, value: &str| running.get(key).is_some_and(|v| v == value);
    if is("config.totemconfig_reload_in_progress", "1") || is("config.reload_in_progress", "1") {
        return Some("the reload is stuck: it is still in progress".to_owned());
    }
    match running.get("config.reload_status") {
        Some(status) if status != "1" => Some(format!("corosync says reload_status {status}")),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cmap(of: &[(&str, &str)]) -> Cmap {
        of.iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn a_value_that_did_not_change_is_named() {
        let (from, to) = (
            cmap(&[("totem.token", "1000"), ("totem.join", "50")]),
            cmap(&[("totem.token", "2000")]),
        );
        assert_eq!(differs(&from, &to, &cmap(&[("totem.token", "2000")])), None);
        assert_eq!(
            differs(&from, &to, &cmap(&[("totem.token", "1000")])).unwrap(),
            "totem.token is 1000 in the running corosync, not 2000"
        );
        assert_eq!(
            differs(
                &from,
                &to,
                &cmap(&[("totem.token", "2000"), ("totem.join", "50")])
            )
            .unwrap(),
            "totem.join is still there in the running corosync"
        );
        assert_eq!(
            differs(&to, &to, &cmap(&[])),
            None,
            "what did not change is not asked for"
        );
    }

    #[test]
    fn a_stuck_or_failed_reload_is_seen() {
        assert!(unsettled(&cmap(&[("config.totemconfig_reload_in_progress", "1")])).is_some());
        assert!(unsettled(&cmap(&[("config.reload_status", "7")])).is_some());
        assert!(unsettled(&cmap(&[("config.reload_status", "1")])).is_none());
        assert!(unsettled(&cmap(&[])).is_none());
    }
}
