//! What shows that corosync is well: the message to ourselves, and its own account of pauses.

use super::client::{Client, News};
use super::round::{SEND_EVERY, Watching};
use crate::event::{Kind, Note, Severity};
use crate::sys::corosync::CsResult;
use crate::types::Mono;
use std::time::Duration;

/// A message that is not back by then is asked after, and from then on every second.
const LATE: Duration = Duration::from_millis(250);
/// A pause of corosync counts as a fault for so long.
const PAUSE_COUNTS: Duration = Duration::from_secs(60);

impl Watching {
    /// A pause that is there at the first look is an old one.
    pub(super) fn take_pause(
        &mut self,
        pause: Option<(u64, f64)>,
        new: bool,
        now: Mono,
    ) -> Option<Note> {
        let (at, ms) = pause?;
        let before = self.pause.replace(at);
        if new || before == Some(at) {
            return None;
        }
        self.pause_until = Some(now.plus(PAUSE_COUNTS));
        let text = format!("corosync was not scheduled for {ms:.0} ms");
        Some(Note::new(Kind::SchedPause, Severity::Warning, text).with("ms", ms))
    }

    /// The message to ourselves: sent every second, asked after where it is late.
    pub(super) fn deliver(&mut self, client: &Client, news: &News, now: Mono) -> CsResult<()> {
        for number in &news.came {
            self.delivery.came(*number);
        }
        if !self.delivery.waits() {
            self.sys.clear_degraded("not-delivering");
        }
        if now >= self.send_at {
            if let Some(number) = self.delivery.next(now) {
                self.sent = Some((number, false));
                self.send_at = now.plus(SEND_EVERY);
                self.late_at = now.plus(LATE);
            }
        }
        let beat = &self.sys.watch.beat;
        if let Some((number, false)) = self.sent {
            self.sent = Some((number, beat.look(|| client.send(number))?));
        }
        if self.delivery.waits() && now >= self.late_at {
            // Silence of the ring is no hang; silence of corosync's main loop is one, and this call
            // does not return then.
            client.ping()?;
            self.late_at = now.plus(SEND_EVERY);
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
