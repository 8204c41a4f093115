//! This node's turn in a round of restarts over all nodes.

use super::Manager;
use crate::error::{Error, Kind, Result};
use crate::peer::compare::Peer;
use crate::peer::turn::{Look, look};
use crate::sys::clock;
use crate::types::{Mono, Pid, WallMs};
use crate::wire::{PeerReport, Status};
use std::time::{Duration, Instant};

/// How long the others are looked at before it is said that it cannot be.
const LOOK: Duration = Duration::from_secs(3);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// A turn that was taken ends by itself after this, whatever became of it.
const TURN: Duration = Duration::from_secs(60);

/// The turn, wanted or taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    taken: bool,
    /// The corosync from before it.
    run: (Option<Pid>, WallMs),
    until: Mono,
}

impl Claim {
    /// Whether it counts still: until a new corosync is a quorate member.
    fn lasts(&self, status: &Status, now: Mono) -> bool {
        let back = self.run != run_of(status) && status.is_quorate_member();
        now < self.until && !(self.taken && back)
    }
}

fn run_of(status: &Status) -> (Option<Pid>, WallMs) {
    (status.service.pid, status.service.since)
}

impl Manager {
    /// What peers get of this node.
    #[must_use]
    pub fn report(&self) -> PeerReport {
        let status = self.status();
        let mut report = status.report();
        let claim = self.claim(&status);
        report.claiming = claim.is_some_and(|c| !c.taken);
        report.restarting = claim.is_some_and(|c| c.taken);
        report
    }

    pub(super) fn claim(&self, status: &Status) -> Option<Claim> {
        let now = clock::now();
        self.with(|m| m.claim.filter(|c| c.lasts(status, now)))
    }

    /// Takes the turn, for a restart that follows at once; looks at the others for a few seconds at most.
    ///
    /// # Errors
    /// It is another node's turn, or this one's going would be felt; in words.
    fn await_turn(&self) -> Result<()> {
        let deadline = Instant::now() + LOOK;
        let not_now = |why: &str| {
            let e = Error::new("restart", "corosync", format_args!("not now: {why}"));
            e.hint("'clusmgrctl status --all' shows how it goes on")
                .kind(Kind::Busy)
        };
        if !self.claim_turn() {
            return Err(not_now("this node is being restarted in another round"));
        }
        let refused = loop {
            let why = match self.look(deadline) {
                Look::Clear => {
                    self.have_turn();
                    return Ok(());
                }
                Look::Against(why) => break why,
                Look::Again(why) => why,
            };
            if Instant::now() + PAUSE >= deadline {
                break why;
            }
            std::thread::sleep(PAUSE);
        };
        self.end_turn();
        Err(not_now(&refused))
    }

    /// Restarts in this node's turn, which is given back where nothing came of it.
    pub(super) fn in_turn(&self, restart: impl FnOnce() -> Result<()>) -> Result<()> {
        self.await_turn()?;
        let done = restart();
        if done.is_err() {
            self.end_turn();
        }
        done
    }

    fn end_turn(&self) {
        self.with(|m| m.claim = None);
    }

    /// False if there is one already.
    fn claim_turn(&self) -> bool {
        let status = self.status();
        let now = clock::now();
        let claim = Claim {
            taken: false,
            run: run_of(&status),
            until: now.plus(LOOK * 2),
        };
        self.with(|m| {
            let free = m.claim.is_none_or(|c| !c.lasts(&status, now));
            if free {
                m.claim = Some(claim);
            }
            free
        })
    }

    /// In one step: at no moment does a report say nothing of it.
    fn have_turn(&self) {
        let until = clock::now().plus(TURN);
        self.with(|m| {
            if let Some(claim) = &mut m.claim {
                (claim.taken, claim.until) = (true, until);
            }
        });
    }

    fn look(&self, deadline: Instant) -> Look {
        let view = self.driver_data().remote();
        let others = view.nodes.iter().enumerate();
        let others: Vec<Peer> = others
            .filter(|(n, _)| Some(*n) != view.local)
            .map(|(_, node)| Peer {
                name: node.name.clone(),
                nodeid: node.nodeid,
            })
            .collect();
        let heard = match self.can_ask() {
            // The round begins after the turn was claimed: who claims it after that sees this one's claim.
            Some(watch) if watch.round_now(deadline) => watch.heard(),
            Some(_) => return Look::Again("the other nodes do not answer in time".to_owned()),
            None if others.is_empty() => Vec::new(),
            None => return Look::Against("the other nodes cannot be asked".to_owned()),
        };
        look(&self.status(), &others, &heard)
    }
}
