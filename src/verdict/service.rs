//! Whether corosync runs, and what keeps it from running.

use super::{Findings, Verdict, lines, remedy};
use crate::event::Severity;
use crate::types::span;
use crate::wire::{LastExit, Mode, Reason, ServiceState};

/// A death counts as news for so long, in milliseconds, once corosync runs again.
const NEWS: u64 = 60_000;
/// How many of a dead run's last lines are evidence.
const LAST_LINES: usize = 5;

const TWO: &str = "another corosync runs already, and clusmgr cannot take it over";

impl Findings<'_> {
    pub(super) fn service(&mut self) {
        match (self.status.mode, self.status.mode_reason) {
            (Mode::Standalone, Some(reason)) => self.standalone(reason),
            (Mode::Standalone, None) => self.standalone(Reason::StartFailed),
            (Mode::Cluster, _) => self.deaths(),
        }
        self.behind_by_its_end();
        self.rival();
    }

    fn standalone(&mut self, reason: Reason) {
        let detail = || self.status.mode_detail.clone();
        let path = &self.status.config.path;
        let verdict = match reason {
            Reason::Unconfigured => {
                let summary = format!("there is no {path} yet: this node has no cluster");
                Verdict::new("not-configured", Severity::Notice, summary).because(detail())
            }
            Reason::Held => {
                let until = match self.status.service.hold_until_boot {
                    true => "until clusmgrctl start or the next boot",
                    false => "until clusmgrctl start, across reboots too",
                };
                let summary = format!("an operator stopped corosync, {until}");
                match self.status.runs_while_held() {
                    true => self.runs_while_held(&summary),
                    false => Verdict::new("held", Severity::Notice, summary),
                }
                .because(detail())
            }
            Reason::NoBinary => {
                let summary = "the corosync program is missing or cannot be executed";
                Verdict::new("no-binary", Severity::Crit, summary).because(detail())
            }
            Reason::BadConfig => {
                let summary = match detail() {
                    Some(detail) => format!("the configuration cannot be used: {detail}"),
                    None => "the configuration cannot be used".to_owned(),
                };
                Verdict::new("bad-config", Severity::Crit, summary)
                    .because([format!("the file is {path}")])
                    .because(self.last_lines())
            }
            Reason::StartFailed => {
                if self.hung_last() {
                    self.hung();
                }
                Verdict::new(
                    "crash-loop",
                    Severity::Crit,
                    "corosync died too often or cannot be started; clusmgr gave up for a while",
                )
                .because(detail())
                .because(self.end_of_run())
                .because(self.next_try())
            }
        };
        self.add(verdict);
    }

    /// Held, and somebody else has started a corosync: nobody restarts it, and it may be what the
    /// operator wanted gone.
    fn runs_while_held(&self, summary: &str) -> Verdict {
        let service = &self.status.service;
        let pid = service.pid.map_or(0, |p| p.0);
        let summary = format!("{summary}; and yet one runs (pid {pid})");
        let mut verdict = Verdict::new("held", Severity::Warning, summary).because([format!(
            "somebody else started it, {}; clusmgr leaves it alone: neither its hang nor its death \
             leads to anything",
            self.ago(service.since)
        )]);
        verdict.what_to_do = lines(remedy("held-and-runs"));
        verdict
    }

    /// In CLUSTER mode: what the last death says, while it is news.
    fn deaths(&mut self) {
        let service = &self.status.service;
        let Some(exit) = &service.last_exit else {
            return;
        };
        let recent = self.now.0.saturating_sub(exit.at.0) < NEWS;
        let settled = self.running() && self.status.is_quorate_member();
        let away = matches!(service.state, ServiceState::Backoff | ServiceState::Failed);
        let again = service.deaths >= 2;
        if exit.hung && (away || recent && !settled) {
            self.hung();
        }
        if again && (away || recent) {
            let verdict = Verdict::new(
                "crash-loop",
                Severity::Err,
                format!(
                    "corosync dies again and again: {}, after {}",
                    exit.cause,
                    span(exit.ran_ms)
                ),
            )
            .because([format!(
                "it died {} times in a row, each time soon after its start",
                service.deaths
            )])
            .because(self.end_of_run())
            .because(self.next_try());
            self.add(verdict);
        } else if away && !self.has("hung") {
            let summary = format!("corosync died and is started again: {}", exit.cause);
            let verdict = Verdict::new("died", Severity::Err, summary)
                .because(self.end_of_run())
                .because(self.next_try());
            self.add(verdict);
        }
    }

    fn hung_last(&self) -> bool {
        self.status
            .service
            .last_exit
            .as_ref()
            .is_some_and(|e| e.hung)
    }

    fn hung(&mut self) {
        let verdict = Verdict::new(
            "hung",
            Severity::Err,
            "corosync hung and was killed by clusmgr: it was stopped, or answered no call",
        )
        .because(self.end_of_run())
        .because(self.next_try());
        self.add(verdict);
    }

    /// corosync leaves with exit 0 when its peers run with a newer version.
    fn behind_by_its_end(&mut self) {
        let said = |e: &LastExit| e.cause.contains("config_version is not its peers'");
        let last = self.status.service.last_exit.as_ref();
        if self.running() || !last.is_some_and(said) || self.held() {
            return;
        }
        let held = self.status.config.version;
        let held = held.map(|v| format!("config_version is {v} here, and another at its peers"));
        let verdict = Verdict::new(
            "config-version-behind",
            Severity::Err,
            "corosync leaves because its config_version is not that of its peers",
        )
        .because(held)
        .because(self.end_of_run());
        self.add(verdict);
    }

    /// Another process is in corosync's place.
    fn rival(&mut self) {
        let Some(exit) = &self.status.service.last_exit else {
            return;
        };
        if self.running() || self.held() {
            return;
        }
        // Another program; a corosync that sees other files has a comma there.
        let stranger = exit.cause.contains("it is not a corosync of this node:");
        let rival = exit.cause.contains("serves in this network already");
        let (code, summary) = match exit.code {
            Some(18) if !stranger => ("two-corosyncs", TWO),
            Some(20) if rival => ("two-corosyncs", TWO),
            Some(17 | 18) => (
                "pid-file-held",
                "corosync's pid file is held by another process",
            ),
            _ => return,
        };
        let verdict = Verdict::new(code, Severity::Err, summary).because([exit.cause.clone()]);
        self.add(verdict);
    }

    fn held(&self) -> bool {
        self.status.mode_reason == Some(Reason::Held)
    }

    /// How the last run ended, and its last lines.
    fn end_of_run(&self) -> Vec<String> {
        let Some(exit) = &self.status.service.last_exit else {
            return Vec::new();
        };
        let ended = format!(
            "it ended {}, after {}: {}",
            self.ago(exit.at),
            span(exit.ran_ms),
            exit.cause
        );
        let mut all = vec![ended];
        all.extend(self.last_lines());
        all
    }

    fn last_lines(&self) -> Vec<String> {
        let output = self.status.service.last_exit.as_ref().map(|e| &e.output);
        let output = output.map_or(&[][..], |o| o);
        let skip = output.len().saturating_sub(LAST_LINES);
        output.iter().skip(skip).map(|l| format!("| {l}")).collect()
    }

    fn next_try(&self) -> Option<String> {
        let ms = self.status.service.next_retry_ms?;
        Some(format!("the next try is in {}", span(ms)))
    }

    /// Not an error, but nothing to rely on yet.
    pub(super) fn starting(&mut self) {
        let service = &self.status.service;
        let since = self.ago(service.since);
        let summary = match service.state {
            _ if self.status.mode == Mode::Standalone => return,
            ServiceState::Starting => "corosync is starting",
            ServiceState::Stopping => "corosync is being stopped, to be started again or to rest",
            ServiceState::Backoff if self.verdicts.is_empty() => "corosync is about to be started",
            ServiceState::Stopped | ServiceState::Failed if self.verdicts.is_empty() => {
                "corosync does not run"
            }
            ServiceState::Running if self.status.cluster.is_none() && self.verdicts.is_empty() => {
                "corosync runs, and has not told about the cluster yet"
            }
            _ => return,
        };
        let verdict = Verdict::new("starting", Severity::Notice, summary)
            .because([format!("since {since}")])
            .because(self.next_try());
        self.add(verdict);
    }
}
