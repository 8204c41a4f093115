//! What is wrong with this node, ranked, with its evidence and what to do: the answer to `why`.
//!
//! A pure function over the [`Status`], so that it says the same wherever it is asked: on the node
//! itself, or by another node that has its status.

mod across;
mod cluster;
mod peers;
mod remedy;
mod service;
#[cfg(test)]
mod tests;

pub use across::{UNREACHABLE, rank};
pub use remedy::{REASONS, known, remedy};

use crate::event::Severity;
use crate::types::{WallMs, span};
use crate::wire::{Mode, ServiceState, Status};
use serde::{Deserialize, Serialize};

/// What `why` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Nothing is wrong; the only verdict is then `healthy`.
    pub ok: bool,
    /// What is wrong, root causes before their symptoms; never empty.
    pub verdicts: Vec<Verdict>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// A word for programs; it never changes its meaning.
    pub code: String,
    /// How bad it is for this node.
    pub severity: Severity,
    /// One line for people.
    pub summary: String,
    /// What it was concluded from, a line each.
    pub evidence: Vec<String>,
    /// The steps that help, the likeliest first.
    pub what_to_do: Vec<String>,
}

/// While corosync does not run: what keeps it from running comes first. What is not listed follows,
/// in the order in which it was found.
const DOWN: &[&str] = &[
    "not-configured",
    "held",
    "no-binary",
    "pid-file-held",
    "two-corosyncs",
    "bad-config",
    "shm-full",
    "state-dir-full",
    "config-version-behind",
    "peer-config",
    "hung",
    "crash-loop",
    "died",
    "key-drift",
    "peer-key",
    "peer-identity",
    "drift",
    "starting",
];

/// While it runs: what disturbs corosync itself, then what it sees of the cluster, then what will hurt
/// at the next start. A full disk or an old version does not hurt a corosync that runs.
const UP: &[&str] = &[
    "two-corosyncs",
    "pid-file-held",
    "hung",
    "crash-loop",
    "no-libraries",
    "no-access",
    "not-answering",
    "no-answer",
    "not-ready",
    "sched-pause",
    "key-drift",
    "isolated",
    "peer-key",
    "peer-config",
    "peer-identity",
    "connected-but-no-member",
    "not-quorate",
    "not-delivering",
    "no-link",
    "node-missing",
    "reload-stuck",
    "bad-config",
    "running-differs",
    "restart-needed",
    "config-version-behind",
    "flapping",
    "link-down",
    "drift",
    "shm-full",
    "state-dir-full",
];

/// The place of what differs between nodes, where it explains nothing that is wrong by now.
const LATER_UP: &str = "config-version-behind";
const LATER_DOWN: &str = "key-drift";

/// Judges a status that was made just now.
#[must_use]
pub fn judge(status: &Status) -> Report {
    judge_at(status, WallMs::now())
}

/// Judges a status that was made at a time.
#[must_use]
pub fn judge_at(status: &Status, now: WallMs) -> Report {
    let mut found = Findings {
        status,
        now,
        verdicts: Vec::new(),
    };
    found.service();
    found.cluster();
    found.files();
    found.peers();
    found.degraded();
    found.starting();
    found.report()
}

impl Report {
    /// The code of the first verdict.
    #[must_use]
    pub fn first(&self) -> &str {
        self.verdicts.first().map_or("", |v| v.code.as_str())
    }

    /// A report of one verdict.
    #[must_use]
    pub fn of(verdict: Verdict) -> Report {
        Report {
            ok: verdict.code == "healthy",
            verdicts: vec![verdict],
        }
    }
}

impl Verdict {
    fn new(code: &str, severity: Severity, summary: impl Into<String>) -> Verdict {
        Verdict {
            code: code.to_owned(),
            severity,
            summary: summary.into(),
            evidence: Vec::new(),
            what_to_do: lines(remedy(code)),
        }
    }

    fn because(mut self, evidence: impl IntoIterator<Item = String>) -> Verdict {
        self.evidence.extend(evidence);
        self
    }
}

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|&l| l.to_owned()).collect()
}

/// The verdict that a degraded reason belongs to.
#[must_use]
pub fn code_of(reason: &str) -> &str {
    match reason {
        "link-flapping" => "flapping",
        other => other,
    }
}

/// What has been found so far.
struct Findings<'a> {
    status: &'a Status,
    now: WallMs,
    verdicts: Vec<Verdict>,
}

impl Findings<'_> {
    fn add(&mut self, verdict: Verdict) {
        self.verdicts.push(verdict);
    }

    fn has(&self, code: &str) -> bool {
        self.verdicts.iter().any(|v| v.code == code)
    }

    /// Whether corosync runs, and should.
    fn running(&self) -> bool {
        let status = self.status;
        status.mode == Mode::Cluster && status.service.state == ServiceState::Running
    }

    fn ago(&self, at: WallMs) -> String {
        format!("{} ago", span(self.now.0.saturating_sub(at.0)))
    }

    /// What the files and the configuration are wrong in, whether corosync runs or not.
    fn files(&mut self) {
        let (config, key) = (&self.status.config, &self.status.key);
        if config.drift {
            let summary = format!("{} is not what clusmgr last wrote", config.path);
            self.add(Verdict::new("drift", Severity::Warning, summary));
        }
        if key.drift {
            let mut verdict = Verdict::new(
                "key-drift",
                Severity::Warning,
                "the authkey is not what clusmgr last wrote: with another key than its peers' this \
                 node is cut off",
            );
            verdict.evidence.extend(key.path.clone());
            verdict.evidence.extend(
                key.fingerprint
                    .as_ref()
                    .map(|f| format!("its fingerprint is {f}")),
            );
            self.add(verdict);
        }
    }

    /// Every degraded reason has a verdict: one that was found already, or its own.
    fn degraded(&mut self) {
        for item in &self.status.degraded {
            let code = code_of(&item.reason);
            let line = format!("since {}: {}", self.ago(item.since), item.detail);
            // All links to that node are down, or it flaps: said already, and more of it.
            let told = code == "link-down" && (self.has("no-link") || self.has("flapping"));
            match self.verdicts.iter_mut().find(|v| v.code == code) {
                Some(verdict) => verdict.evidence.push(line),
                None if told => {}
                None => {
                    let severity = match code {
                        "isolated" => Severity::Crit,
                        "two-corosyncs" | "pid-file-held" | "no-libraries" | "no-answer"
                        | "no-access" => Severity::Err,
                        _ => Severity::Warning,
                    };
                    let mut verdict = Verdict::new(code, severity, item.detail.clone());
                    verdict
                        .evidence
                        .push(format!("since {}", self.ago(item.since)));
                    self.add(verdict);
                }
            }
        }
    }

    fn report(mut self) -> Report {
        if self.verdicts.is_empty() {
            return Report::of(self.healthy());
        }
        let order = if self.running() { UP } else { DOWN };
        // What differs between nodes is a cause of what else is wrong, or will be one at the next start.
        let (later, last) = (
            if self.running() { LATER_UP } else { LATER_DOWN },
            order.len(),
        );
        let of_peers = ["peer-key", "peer-config", "peer-identity"];
        let unrelated = of_peers.map(|code| self.has(code) && !self.explains(code));
        // A full /dev/shm hurts a corosync that runs in this alone: it serves no new client.
        let cause = self.has("no-answer").then_some("shm-full");
        let place = |v: &Verdict| {
            let is_cause = cause == Some(v.code.as_str());
            let code = if is_cause { "no-answer" } else { &v.code };
            let listed = |code: &str| order.iter().position(|c| *c == code).unwrap_or(last);
            let at = listed(code);
            let of_peer = of_peers.iter().position(|code| *code == v.code);
            match of_peer.is_some_and(|n| unrelated[n]) {
                true => (at.max(listed(later)), true),
                false => (at, !is_cause),
            }
        };
        self.verdicts.sort_by_key(place);
        Report {
            ok: false,
            verdicts: self.verdicts,
        }
    }
}
