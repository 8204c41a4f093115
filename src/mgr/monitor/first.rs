//! Before its first start of corosync this node looks at the others for a moment: what differs is then
//! told before it can hurt. Nothing else waits for it, and an order ends it.

use super::super::state::{Input, Phase};
use super::Running;
use crate::sys::clock;
use crate::types::Mono;
use std::time::Duration;

/// The longest that the first start waits for the others' answers.
const LONGEST: Duration = Duration::from_secs(1);

/// The first start, as long as it waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    /// The round that it waits for.
    round: u64,
    pub(super) until: Mono,
}

impl Running {
    /// The daemon begins: with what was adopted, or with a start, which is told to come after the first
    /// look at the others where there are any.
    pub(super) fn boot(&mut self, found: Option<Mono>) {
        let now = clock::now();
        if found.is_some() || self.state.held() || !self.ask_first(now) {
            self.take(Input::Boot { found }, now);
        }
    }

    /// The configuration, the key or the binary is another one; on a node that had no configuration, it is
    /// the first start.
    pub(super) fn changed(&mut self, now: Mono) {
        let begins = self.state.phase == Phase::Stopped && !self.state.held() && !self.state.ending;
        if !begins || !self.ask_first(now) {
            self.take(Input::Changed, now);
        }
    }

    /// Asks the others, where there are any.
    fn ask_first(&mut self, now: Mono) -> bool {
        let Some(peers) = self.it.manager.can_ask() else {
            return false;
        };
        self.it.service.look_first();
        self.first = Some(First {
            round: peers.ask_round(),
            until: now.plus(LONGEST),
        });
        true
    }

    /// Starts for the first time once the others have been asked, or do not answer in time; unless
    /// something else has come of it meanwhile.
    pub(super) fn start_first(&mut self, now: Mono) {
        let Some(first) = self.first else {
            return;
        };
        if self.state.phase != Phase::Stopped || self.state.held() || self.state.ending {
            self.first = None;
            return;
        }
        let peers = self.it.manager.can_ask();
        if first.until <= now || peers.is_none_or(|p| p.is_over(first.round)) {
            self.first = None;
            self.take(Input::Boot { found: None }, now);
        }
    }
}
