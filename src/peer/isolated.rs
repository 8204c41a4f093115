//! Whether this node is isolated: its corosync runs and delivers nothing, while its peers are quorate
//! without it; and whether corosync is restarted for it, which heals that. Pure.
//!
//! A restart of a healthy node is worse than an isolated one that waits. So nothing is concluded from
//! silence, nor from what a single round says; what a peer says counts only where it is whole; and one
//! node at a time is restarted, the one with the lowest nodeid first.

use super::compare::Peer;
use super::items::Item;
use crate::event::{Note, Severity};
use crate::types::{Mono, NodeId, WallMs, span};
use crate::wire::{DegradedItem, PeerReport, ServiceState};
use std::time::Duration;

/// So long nothing was delivered, beyond what makes that a degraded reason.
pub const SILENT_FOR: Duration = Duration::from_secs(30);
/// Between two restarts for it.
pub const RESTART_EVERY: Duration = Duration::from_secs(600);
/// Two rounds are two looks only with this between them.
pub const APART: Duration = Duration::from_secs(5);
/// No one round adds more than this: in a pause of the whole machine nothing can be delivered.
const MOST: Duration = Duration::from_secs(15);

/// What of this node it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// As its peers get it.
    pub report: PeerReport,
    /// Since when it is degraded for `not-delivering`, where it is.
    pub not_delivering: Option<WallMs>,
    /// Nobody holds corosync, no change of the configuration is under way, and the daemon does not end.
    pub free: bool,
}

/// What a round leads to.
#[derive(Debug, Default)]
pub struct Decision {
    /// What is news.
    pub notes: Vec<Note>,
    /// Why corosync is to be restarted now; none where it is not.
    pub restart: Option<String>,
}

/// What the rounds before this one have shown.
#[derive(Debug)]
pub struct Isolated {
    /// Which silence it is, and how long it has lasted.
    silence: Option<(WallMs, Duration)>,
    looked: Mono,
    /// Since when every round says that peers are quorate without this node.
    cut: Option<Mono>,
    /// Since when this node says that it is isolated; in its report too.
    said: Option<Mono>,
    restarted: Option<Mono>,
    item: Item,
}

impl Default for Isolated {
    fn default() -> Isolated {
        Isolated {
            silence: None,
            looked: Mono::default(),
            cut: None,
            said: None,
            restarted: None,
            item: Item::new("isolated", Severity::Crit),
        }
    }
}

impl Isolated {
    /// One round: what this node is, and who answered, as itself, and what.
    pub fn round(
        &mut self,
        own: &Own,
        heard: &[(Peer, PeerReport)],
        now: Mono,
        wall: WallMs,
    ) -> Decision {
        let silent = self.silent(own, now);
        let runs = own.report.state == ServiceState::Running;
        let me = own.report.nodeid.filter(|_| runs);
        let without: Vec<&str> = heard
            .iter()
            .filter(|(_, r)| me.is_some_and(|me| is_without(r, me)))
            .map(|(p, _)| p.name.as_str())
            .collect();
        let with = |r: &PeerReport| me.is_none_or(|me| r.quorate && r.members.contains(&me));
        let seen = heard.iter().any(|(_, r)| with(r));
        let is = silent >= SILENT_FOR && !without.is_empty() && !seen;
        // Before this round, all the time.
        let lasted = |since: Option<Mono>| since.is_some_and(|s| now.since(s) >= APART);
        let cut = is && lasted(self.cut);
        self.cut = is.then(|| self.cut.unwrap_or(now));
        let said = lasted(self.said);
        // A peer that does not answer for once is no reason to take it back; one that has this node, or
        // an end of the silence, is.
        let stays = self.said.is_some() && self.silence.is_some() && me.is_some() && !seen;
        if !cut && !stays {
            self.said = None;
            let notes = self.item.set(None, now, wall);
            return Decision {
                notes: notes.into_iter().collect(),
                restart: None,
            };
        }
        self.said = Some(self.said.unwrap_or(now));
        let wait = self.wait(own, heard, now);
        let restart = cut && said && wait.is_none();
        let ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        let mut detail = format!("nothing is delivered on this node for {} more", span(ms));
        if !without.is_empty() {
            let who = without.join(", ");
            detail = format!("{detail}, while without it these are quorate: {who}");
        }
        let next = match &wait {
            Some(wait) => wait.as_str(),
            None if restart => "corosync is restarted for it",
            None => "corosync is about to be restarted for it",
        };
        let why = restart.then(|| detail.clone());
        let note = self.item.set(Some(format!("{detail}; {next}")), now, wall);
        if restart {
            self.restarted = Some(now);
            self.cut = None;
        }
        Decision {
            notes: note.into_iter().collect(),
            restart: why,
        }
    }

    /// What of it makes this node degraded.
    #[must_use]
    pub fn degraded(&self) -> Option<DegradedItem> {
        self.item.get().cloned()
    }

    /// How long this silence has lasted since it was first seen here.
    fn silent(&mut self, own: &Own, now: Mono) -> Duration {
        let step = now.since(self.looked).min(MOST);
        self.looked = now;
        let before = self.silence.take();
        self.silence = own.not_delivering.map(|since| match before {
            Some((same, time)) if same == since => (since, time.saturating_add(step)),
            _ => (since, Duration::ZERO),
        });
        self.silence.map_or(Duration::ZERO, |s| s.1)
    }

    /// What a restart has to wait for.
    fn wait(&self, own: &Own, heard: &[(Peer, PeerReport)], now: Mono) -> Option<String> {
        if !own.free {
            return Some("corosync is not restarted: it is held, or about to change".to_owned());
        }
        if let Some(at) = self.restarted.filter(|at| now.since(*at) < RESTART_EVERY) {
            let ms = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
            return Some(format!(
                "corosync was restarted for it {} ago, and is so once in 10 minutes",
                span(ms)
            ));
        }
        heard.iter().find_map(|(peer, report)| {
            let name = &peer.name;
            match report.state {
                ServiceState::Starting | ServiceState::Stopping | ServiceState::Backoff => {
                    let state = report.state.as_str();
                    return Some(format!("a restart waits for {name}, which is {state}"));
                }
                _ => {}
            }
            if report.restarting || report.claiming {
                return Some(format!(
                    "a restart waits for {name}, which is restarted in a round"
                ));
            }
            let lower = report.nodeid < own.report.nodeid && report.nodeid.is_some();
            (report.isolated && lower)
                .then(|| format!("a restart waits for {name}, which is isolated too"))
        })
    }
}

/// Whether a peer is in a quorate partition that this node is not in. What it says must be whole.
fn is_without(report: &PeerReport, me: NodeId) -> bool {
    let members = &report.members;
    report.quorate
        && report.state == ServiceState::Running
        && report.nodeid.is_some_and(|id| members.contains(&id))
        && !members.contains(&me)
}

#[cfg(test)]
mod tests;
