//! What a change comes to, before anything is touched: the text that is asked for, its checks, its plan.

use super::change::text_of;
use super::live::Live;
use super::model::Config;
use super::plan::{self, Plan};
use super::store::{S01, first_of};
use super::{CorosyncSys, diff, limits, parse, render};
use crate::driver::change::{Needs, Prepared, Request, Text, What};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::sys::file;
use crate::types::ConfigVersion;
use crate::wire::{DiffReport, HistoryEntry as Entry};
use zeroize::Zeroizing;

impl CorosyncSys {
    /// What is live, and ours: the old side of a change.
    pub(super) fn present(&self, what: &What) -> Result<Option<Live>> {
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
    pub(super) fn wanted(&self, request: &Request) -> Result<Config> {
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
    pub(super) fn earlier(&self, id: Option<u64>, held: &S01) -> Result<Entry> {
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

    pub(super) fn check_versions(
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

    pub(super) fn check_nodes(&self, request: &Request, config: &Config) -> Result<()> {
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

    pub(super) fn prepare(&self, request: &Request, runs: bool) -> Result<Prepared> {
        let live = self.present(&request.what)?;
        let config = self.wanted(request)?;
        let held = self.corosync_config_mtx.lock().u.clone();
        let old = match (&request.what, held) {
            (What::Adopt, Some(held)) => Some(self.held_text(&held)?),
            // Also one that is no good: a change that fails gives back what was there.
            _ => self.live_text()?,
        };
        let back = self.way_back(old.as_ref(), runs);
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
            back,
        })
    }

    /// What corosync runs with if a change of this text is undone ([`Prepared::back`]).
    pub(super) fn way_back(&self, old: Option<&Text>, runs: bool) -> Option<Text> {
        let good = |text: Text| self.check_conf(text.bytes.clone()).is_ok().then_some(text);
        match old.cloned().and_then(good) {
            Some(old) => Some(old),
            None if old.is_some() && !runs => None,
            None => {
                let held = self.corosync_config_mtx.lock().u.clone();
                self.held_text(&held?).ok().and_then(good)
            }
        }
    }

    /// In words: what is in the place of a file that is no good, and where that one is.
    pub(super) fn said_instead(&self, change: &Prepared) -> Option<String> {
        let (back, old) = (change.instead()?, change.old.as_ref()?);
        Some(format!(
            "the live file that was there does not pass the checks: it is kept as {}, and the last good \
             configuration (config_version {}) is in its place",
            self.backup_path(&old.sha256).display(),
            back.version
        ))
    }

    pub(super) fn held_text(&self, held: &S01) -> Result<Text> {
        self.kept_conf(held).map(text_of)
    }

    /// What clusmgr holds; none if it holds nothing.
    pub(super) fn held_config(&self) -> Option<Config> {
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
}

pub(super) fn needs(plan: &Plan) -> Needs {
    match (plan.restart.is_empty(), plan.reload.is_empty()) {
        (false, _) => Needs::Restart,
        (true, false) => Needs::Reload,
        (true, true) => Needs::Nothing,
    }
}

pub(super) fn plan_lines(plan: &Plan) -> Vec<String> {
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
