//! What a change comes to, before anything is touched: the text that is asked for, its checks, its plan.

use super::change::text_of;
use super::finding::{Finding, Severity};
use super::live::Live;
use super::model::Config;
use super::plan::{self, Plan};
use super::running::Running;
use super::store::{S01, first_of};
use super::{CorosyncSys, diff, limits, names, parse, render};
use crate::driver::change::{Needs, Prepared, Request, Runs, Text, What};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::sys::file;
use crate::types::ConfigVersion;
use crate::wire::{DiffReport, HistoryEntry as Entry};
use zeroize::Zeroizing;

impl CorosyncSys {
    /// What is live, checked. It is looked at as it is now: an edit that nobody has told yet counts.
    fn present(&self, what: &What, text: Option<&Text>) -> Result<Option<Live>> {
        let conf = &self.params.paths.conf;
        let held = self.corosync_config_mtx.lock().u.clone();
        let ours = |live: &Live| held.as_ref().is_none_or(|h| h.is_ours(&live.sha));
        match text.map(|t| self.check_conf(t.bytes.clone())).transpose() {
            // What is being taken back, or taken in, is allowed to differ.
            Ok(Some(live)) if matches!(what, What::Apply(_) | What::Rollback(_)) && !ours(&live) =>
                Err(Error::new(what.as_str(), conf.display(), "the live file was changed by somebody else")
                .hint("'clusmgrctl config diff' shows it; 'config adopt' takes it in, 'config revert' undoes it")),
            Ok(live) => Ok(live),
            // A live file that is no good must not keep a better one out.
            Err(_) if !matches!(what, What::Adopt) => Ok(None),
            Err(findings) => Err(first_of(conf, &findings)),
        }
    }

    /// The text that is asked for, as a configuration.
    fn wanted(
        &self,
        request: &Request,
        live: Option<&Text>,
        runs: Option<ConfigVersion>,
        others: Option<ConfigVersion>,
    ) -> Result<Config> {
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
            What::Apply(bytes) => parse::parse(bytes).map_err(|f| all_of(&f)),
            What::Adopt => {
                let missing = || {
                    Error::new("adopt", conf.display(), "it is not there")
                        .kind(ErrorKind::NotConfigured)
                };
                parsed(&live.ok_or_else(missing)?.bytes, &conf.to_string_lossy())
            }
            What::Revert => {
                let mut config = parsed(&self.kept_conf(&held()?)?, "the kept configuration")?;
                let version = config.config_version();
                // Versions only grow: corosync has read a newer one from a hand edit.
                let above = runs.filter(|runs| *runs > version);
                let above = above.map(|runs| ConfigVersion(runs.0.saturating_add(1)));
                // Peers that have a newer one would not be joined; what runs as it is held has joined them.
                let stands = runs.is_some() && live.is_some_and(|l| !self.is_foreign(&l.sha256));
                let others = others.filter(|others| !stands && *others > version);
                if let Some(version) = above.max(others) {
                    config.set_config_version(version);
                }
                Ok(config)
            }
            What::Rollback(id) => {
                let held = held()?;
                let entry = self.earlier(*id, &held)?;
                let text = self.earlier_text(&entry)?;
                let mut config = parsed(&text.bytes, "the earlier configuration")?;
                let now = self.corosync_config_mtx.lock().version.max(runs);
                let now = now.unwrap_or_default();
                let next = ConfigVersion(now.0.saturating_add(1));
                config.set_config_version(next.max(others.unwrap_or_default()));
                Ok(config)
            }
        }
    }

    /// The text of an entry of the history. That it is lost says nothing against what is held.
    fn earlier_text(&self, entry: &Entry) -> Result<Text> {
        let lost = |cause: &dyn std::fmt::Display| {
            let what = format!("configuration {}", entry.id);
            let e = Error::new("roll back to", what, cause);
            e.hint("choose another number of 'clusmgrctl config history'")
        };
        match self.kept_text(&entry.sha256) {
            Ok(Some(text)) if text.sha256 == entry.sha256 => Ok(text),
            Ok(Some(_)) => Err(lost(&"its kept text is damaged")),
            Ok(None) => Err(lost(&"its text is not kept any more")),
            Err(e) => Err(lost(&e)),
        }
    }

    /// The entry of the history to go back to: of another text than the present one, where none is
    /// named, and one that came into effect.
    fn earlier(&self, id: Option<u64>, held: &S01) -> Result<Entry> {
        let entries = self.history.read()?.entries;
        let holds = |e: &&Entry| e.undone.is_none();
        let found = match id {
            Some(id) => entries.iter().find(|e| e.id == id),
            None => {
                let present = entries
                    .iter()
                    .rposition(|e| holds(&e) && e.sha256 == held.conf);
                let before = &entries[..present.unwrap_or(entries.len())];
                let other = |e: &&Entry| holds(e) && e.sha256 != held.conf;
                before.iter().rev().find(other)
            }
        };
        let what = id.map_or("an earlier configuration".to_owned(), |id| {
            format!("configuration {id}")
        });
        let cause = match found {
            Some(entry) if holds(&entry) => return Ok(entry.clone()),
            Some(_) => "it was undone, and never in effect",
            None => "it is not in the history",
        };
        Err(Error::new("roll back to", what, cause).hint("see 'clusmgrctl config history'"))
    }

    /// What a corosync that runs runs with; none as long as it starts and has served nobody yet.
    ///
    /// # Errors
    /// It does not say though it should: nothing that takes effect could be planned, nor proved.
    fn asked(&self, what: &What, runs: Runs) -> Result<Option<Running>> {
        let e = match self.cmap() {
            Ok(values) => return Ok(Some(Running(values))),
            Err(e) => e,
        };
        let starts = runs == Runs::Starts && self.libraries().is_ok() && !self.watch.answered();
        if starts || matches!(what, What::Adopt) {
            return Ok(None);
        }
        let cause = format!("corosync runs, and cannot be asked what it runs with: {e}");
        let e = Error::new(what.as_str(), "the configuration", cause);
        Err(e.hint("mend that; or 'clusmgrctl stop', the same again, 'clusmgrctl start'"))
    }

    pub(super) fn prepare(
        &self,
        request: &Request,
        state: Runs,
        others: Option<ConfigVersion>,
    ) -> Result<Prepared> {
        let what = &request.what;
        let runs = state != Runs::No;
        let running = match runs {
            true => self.asked(what, state)?,
            false => None,
        };
        let version = running.as_ref().and_then(Running::version);
        let ring = running.as_ref().and_then(Running::version_of_others);
        let others = ring.max(others);
        // Read once: what is looked at is what will be replaced.
        let text = self.live_text()?;
        let live = self.present(what, text.as_ref())?;
        let config = self.wanted(request, text.as_ref(), version, others)?;
        let live_sha = text.as_ref().map(|t| t.sha256.clone());
        let held = self.corosync_config_mtx.lock().u.clone();
        let old = match (what, &held) {
            (What::Adopt, Some(held)) => Some(self.held_text(held)?),
            // Also one that is no good: a change that fails gives back what was there.
            _ => text,
        };
        let back = self.way_back(old.as_ref(), runs);
        // All rules, and the key that it would be used with.
        let path = self.params.paths.conf.clone();
        let checked = match &request.what {
            // As it was written: what is told of it has its own lines.
            What::Apply(bytes) => self.check_conf(bytes.clone()).map_err(|f| all_of(&f))?,
            What::Revert => self
                .check_held(render::render(&config)?)
                .map_err(|f| first_of(&path, &f))?,
            _ => self
                .check_conf(render::render(&config)?)
                .map_err(|f| first_of(&path, &f))?,
        };
        let key = self.changed_key(what, held.as_ref(), &checked)?;
        let bytes = self.canonical(&checked)?;
        let config = parse::parse(&bytes).map_err(|f| first_of(&path, &f))?;
        let new = Text {
            sha256: render::sha256_hex(&bytes),
            version: config.config_version(),
            bytes,
        };
        let same = old.as_ref().is_some_and(|o| o.sha256 == new.sha256);
        let said = match !same || version > Some(new.version) {
            true => {
                let old = old.as_ref().map(|o| o.version);
                self.check_versions(what, new.version, old, version, others)?
            }
            false => None,
        };
        let live = live.as_ref().map(|l| &l.config);
        let mut plan = plan::plan(
            &self.before(what, live, running.as_ref(), runs, &config),
            &config,
        );
        if matches!(what, What::Apply(_) | What::Rollback(_)) && running.is_some() {
            if let Some(first) = plan.refused.first() {
                let cause = format!("{first}: corosync refuses that on a link that stands");
                let e = Error::new(what.as_str(), "the configuration", cause);
                return Err(e.hint("remove the link and apply, then add it anew and apply again"));
            }
        }
        // Without a link that stands, or when the file is what it is already, a restart does it.
        let restart = plan
            .refused
            .drain(..)
            .map(|c| plan::Change { hint: None, ..c });
        plan.restart.extend(restart);
        let unresolved = names::are_apart(what.as_str(), &config)?;
        self.corosync_t(&config, key.path.as_deref())?;
        let mut warnings: Vec<String> =
            checked.warnings().iter().map(ToString::to_string).collect();
        warnings.extend(unresolved);
        warnings.extend(said);
        if let Some(change) = key.change {
            plan.reload.push(change);
            if config.nodes().len() > 1 {
                warnings.push(OTHER_KEY.to_owned());
            }
        }
        let needs = needs(&plan);
        if needs == Needs::Reload {
            warnings.extend(running.as_ref().and_then(Running::reaches));
        }
        let same = match what {
            What::Apply(_) | What::Rollback(_) => same,
            What::Revert => same && needs == Needs::Nothing && !key.writes,
            // A restart that an earlier one left to the operator is left to him still.
            What::Adopt => {
                let ours = held.is_some_and(|h| {
                    live_sha.is_some_and(|sha| h.is_ours(&sha))
                        && checked.key.fingerprint() == h.key
                });
                same && ours && needs != Needs::Reload
            }
        };
        if running.is_some() && !same {
            // Last of all: what the checks took their time for may have changed meanwhile.
            warnings.extend(self.spares_quorum(what, needs, &config)?);
        }
        Ok(Prepared {
            what: what.as_str(),
            by: request.by.clone(),
            same,
            needs,
            plan: plan_lines(&plan),
            warnings,
            new,
            old,
            back,
            key: key.new,
            writes_key: key.writes,
        })
    }

    /// What a change is planned against: what corosync runs with; where it does not run, or does not
    /// say, what is live or held.
    fn before(
        &self,
        what: &What,
        live: Option<&Config>,
        running: Option<&Running>,
        runs: bool,
        new: &Config,
    ) -> Config {
        let held = self.held_config();
        let texts = [live, held.as_ref()];
        if let Some(running) = running {
            let texts: Vec<&Config> = texts.into_iter().flatten().collect();
            return running.config(&texts, new);
        }
        let [live, held] = texts;
        let before = match what {
            What::Adopt => held.or(live),
            _ if runs => held.or(live),
            _ => live.or(held),
        };
        before.cloned().unwrap_or_default()
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

/// What to know of another key where the cluster has other nodes.
const OTHER_KEY: &str = "the key becomes another one: a node with the old one is cut off and cannot join; \
                         compare 'clusmgrctl key fingerprint' on all nodes first";

/// So many findings are told in one error.
const TOLD: usize = 10;

/// All errors of a text that somebody wants applied, in one line.
fn all_of(findings: &[Finding]) -> Error {
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    let told = &errors[..errors.len().min(TOLD)];
    let e = Error::new("apply", "the new configuration", told.join("; "));
    e.hint(match errors.len() - told.len() {
        0 => "'clusmgrctl config check FILE' shows them line by line".to_owned(),
        more => format!("and {more} more: 'clusmgrctl config check FILE' shows all"),
    })
}

pub(super) fn needs(plan: &Plan) -> Needs {
    // What a reload is refused for comes with a restart.
    let reloads = plan.restart.is_empty() && plan.refused.is_empty();
    match (reloads, plan.reload.is_empty()) {
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
