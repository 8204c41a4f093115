//! A connection that has become a stream of events.

use super::conn::{Conn, Over, Slot, would_block};
use crate::event::{Follow, Hub, Listen};
use crate::sys::ready::{Want, wait};
use crate::wire::{MAX_EVENTS, lagged_line};
use serde_json::Value;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Sends every event after number `after`, until the client hangs up, the hub is closed or the
/// service stops; in the last two cases not before it has sent what there is.
///
/// It waits for the client and the hub in one poll without a deadline, so a quiet subscriber costs
/// no wake-up at all, and its hanging up is seen at once.
pub(super) fn follow(conn: &Conn, hub: &Hub, mut after: u64) -> Over {
    let weak: Weak<Slot> = Arc::downgrade(&conn.slot);
    let listener: Weak<dyn Listen> = weak;
    hub.listen(listener);
    let mut hears = true;
    loop {
        // Cleared before the hub is asked: what comes in between wakes the wait below.
        conn.slot.waker.clear();
        let ending = conn.shared.end(conn.id).is_some();
        let sent = match hub.wait_after(after, Instant::now()) {
            Follow::Lines(lines) => lines
                .into_iter()
                .try_for_each(|(seq, line)| send_event(conn, &mut after, seq, &line)),
            Follow::Behind => catch_up(conn, hub, &mut after),
            Follow::Closed => Err(Over),
            Follow::Nothing if ending => Err(Over),
            Follow::Nothing => rest(conn, &mut hears),
        };
        if let Err(over) = sent {
            return over;
        }
    }
}

fn send_event(conn: &Conn, after: &mut u64, seq: u64, line: &str) -> Result<(), Over> {
    let mut text = String::with_capacity(line.len() + 1);
    text.push_str(line);
    text.push('\n');
    conn.send(text.as_bytes())?;
    *after = seq;
    Ok(())
}

/// Reads what has left memory from the journal, and says so where that lacks it.
fn catch_up(conn: &Conn, hub: &Hub, after: &mut u64) -> Result<(), Over> {
    // Asked before the journal is read: what leaves memory after this is in the journal, or lost
    // the next time round.
    let in_memory = hub.oldest().unwrap_or_else(|| hub.latest() + 1);
    let page = match conn.manager.events_since(*after, MAX_EVENTS) {
        Ok(page) => page,
        Err(e) => {
            log::warn!("{e}");
            return lagged(conn, after, in_memory);
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
            lagged(conn, after, seq)?;
            send_event(conn, after, seq, &event.to_string())?;
        }
    }
    match more {
        true => Ok(()),
        false => lagged(conn, after, in_memory),
    }
}

/// Says that the events before `next` are lost, and goes on from there.
fn lagged(conn: &Conn, after: &mut u64, next: u64) -> Result<(), Over> {
    let from = *after + 1;
    if next > from {
        let text = format!("{}\n", lagged_line(from, next));
        conn.send(text.as_bytes())?;
        *after = next - 1;
    }
    Ok(())
}

/// Waits for an event, the end of the service or of the client. What the client says is read and
/// forgotten; that it will say nothing more (`hears` turns false) is no reason to leave it.
fn rest(conn: &Conn, hears: &mut bool) -> Result<(), Over> {
    let want = if *hears { Want::Read } else { Want::End };
    let what = [
        (conn.slot.stream.as_fd(), want),
        (conn.slot.waker.as_fd(), Want::Read),
    ];
    let [client, _] = wait(what, None).map_err(|_| Over)?;
    if client.ended {
        return Err(Over);
    }
    if client.ready {
        match (&*conn.slot.stream).read(&mut [0; 512]) {
            Ok(0) => *hears = false,
            Ok(_) => {}
            Err(e) if would_block(&e) => {}
            Err(_) => return Err(Over),
        }
    }
    Ok(())
}
