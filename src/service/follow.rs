//! A connection that has become a stream of events.

use super::Manager;
use super::conn::Over;
use crate::event::{Follow, Hub, Listen};
use crate::sys::wake::Waker;
use crate::wire::{MAX_EVENTS, lagged_line};
use serde_json::Value;
use std::sync::Weak;
use std::time::Instant;

/// A connection, of the local service or the remote one.
pub(super) trait Stream {
    fn manager(&self) -> &dyn Manager;
    /// What ends [`Stream::rest`].
    fn waker(&self) -> &Waker;
    /// Wakes it.
    fn listener(&self) -> Weak<dyn Listen>;
    /// Whether the service ends it.
    fn ending(&self) -> bool;
    /// Sends a line, its newline not given.
    fn send(&mut self, line: &str) -> Result<(), Over>;
    /// Waits for an event, the end of the service or of the client. What the client says is read and
    /// forgotten.
    fn rest(&mut self) -> Result<(), Over>;
}

/// Sends every event after number `after`, until the client hangs up, the hub is closed or the
/// service stops; in the last two cases not before it has sent what there is.
///
/// It waits for the client and the hub in one poll without a deadline, so a quiet subscriber costs
/// no wake-up at all, and its hanging up is seen at once.
pub(super) fn follow(stream: &mut dyn Stream, hub: &Hub, mut after: u64) -> Over {
    hub.listen(stream.listener());
    loop {
        // Cleared before the hub is asked: what comes in between wakes the wait below.
        stream.waker().clear();
        let ending = stream.ending();
        let sent = match hub.wait_after(after, Instant::now()) {
            Follow::Lines(lines) => lines
                .into_iter()
                .try_for_each(|(seq, line)| send_event(stream, &mut after, seq, &line)),
            Follow::Behind => catch_up(stream, hub, &mut after),
            Follow::Closed => Err(Over),
            Follow::Nothing if ending => Err(Over),
            Follow::Nothing => stream.rest(),
        };
        if let Err(over) = sent {
            return over;
        }
    }
}

fn send_event(stream: &mut dyn Stream, after: &mut u64, seq: u64, line: &str) -> Result<(), Over> {
    stream.send(line)?;
    *after = seq;
    Ok(())
}

/// Reads what has left memory from the journal, and says so where that lacks it.
fn catch_up(stream: &mut dyn Stream, hub: &Hub, after: &mut u64) -> Result<(), Over> {
    // Asked before the journal is read: what leaves memory after this is in the journal, or lost
    // the next time round.
    let in_memory = hub.oldest().unwrap_or_else(|| hub.latest() + 1);
    let page = match stream.manager().events_since(*after, MAX_EVENTS) {
        Ok(page) => page,
        Err(e) => {
            log::warn!("{e}");
            return lagged(stream, after, in_memory);
        }
    };
    let mut more = page.events.len() >= MAX_EVENTS;
    for event in &page.events {
        let Some(seq) = event.get("seq").and_then(Value::as_u64) else {
            continue;
        };
        // From there on memory has every one, which the journal need not.
        if seq >= in_memory {
            more = false;
            break;
        }
        if seq > *after {
            // It could not be written for a while.
            lagged(stream, after, seq)?;
            send_event(stream, after, seq, &event.to_string())?;
        }
    }
    match more {
        true => Ok(()),
        false => lagged(stream, after, in_memory),
    }
}

/// Says that the events before `next` are lost, and goes on from there.
fn lagged(stream: &mut dyn Stream, after: &mut u64, next: u64) -> Result<(), Over> {
    let from = *after + 1;
    if next > from {
        stream.send(&lagged_line(from, next))?;
        *after = next - 1;
    }
    Ok(())
}
