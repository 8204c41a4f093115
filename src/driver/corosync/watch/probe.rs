//! What shows that corosync is well: the message to ourselves, and its own account of pauses.

use super::client::{Client, News};
use super::pauses::{self, Pause};
use super::round::{SEND_EVERY, Watching};
use crate::event::Note;
use crate::sys::corosync::CsResult;
use crate::types::Mono;
use std::time::Duration;

/// A pause of corosync counts as a fault for so long.
const PAUSE_COUNTS: Duration = Duration::from_secs(60);

impl Watching {
    /// Those since the last look, newest first; what is there at the first look at this corosync is old.
    pub(super) fn take_pauses(&mut self, found: &[Pause], now: Mono) -> Vec<Note> {
        let newest = found.first().map(|(at, _)| *at);
        let known = newest.or(self.pause).unwrap_or_default();
        let before = self.pause.replace(known);
        let (Some(at), Some(_)) = (newest, before) else {
            return Vec::new();
        };
        // corosync's clock is ours, in milliseconds.
        let ago = Duration::from_millis((now.0 / 1_000_000).saturating_sub(at));
        let left = PAUSE_COUNTS.saturating_sub(ago);
        self.pause_until = (!left.is_zero()).then(|| now.plus(left));
        found.iter().rev().copied().map(pauses::note).collect()
    }

    /// The message to ourselves: sent every so often, and asked after where it is not back by the next
    /// time. That it is back wakes nobody: it is taken with whatever does.
    pub(super) fn deliver(&mut self, client: &Client, news: &News, now: Mono) -> CsResult<()> {
        for number in &news.came {
            if self.delivery.came(*number) {
                self.sys.clear_degraded("not-delivering");
            }
        }
        let mut late = false;
        if now >= self.send_at {
            self.send_at = now.plus(SEND_EVERY);
            match self.delivery.next(now) {
                Some(number) => self.sent = Some((number, false)),
                None => late = true,
            }
        }
        let beat = &self.sys.watch.beat;
        if let Some((number, false)) = self.sent {
            self.sent = Some((number, beat.look(|| client.send(number))?));
        }
        if late {
            // Silence of the ring is no hang; silence of corosync's main loop is one, and this call
            // does not return then.
            client.ping()?;
            self.pause_at = now;
            let (token, consensus) = self.times;
            if let Some(silent) = self.delivery.look(now, token, consensus) {
                let text = format!(
                    "nothing that this node sends over the ring has come back for {} s",
                    silent.as_secs()
                );
                self.sys.set_degraded("not-delivering", &text);
            }
        }
        Ok(())
    }
}
