//! `events`: what happened, and what happens.

use super::client::{Client, Fail, News, Result, read_event};
use super::commands::Cli;
use super::output::Out;
use super::text::{clean, clean_json};
use super::{complain, connect, heading, retry_before, said};
use crate::event::Severity;
use crate::sys::term::local_time;
use crate::wire::{EventsPage, Request, lagged_line};
use serde_json::Value;

/// How many events are shown if none was named to begin with.
const LAST: usize = 50;

/// Prints events; gives the exit code.
pub(super) fn run(
    cli: &Cli,
    out: &Out,
    follow: bool,
    since: Option<u64>,
    json: bool,
) -> Result<u8> {
    let mut client = connect(cli)?;
    let head = if json {
        String::new()
    } else {
        heading(cli, "")
    };
    let mut seen = match since {
        Some(n) => after(&mut client, out, &head, n, json)?,
        None => last(&mut client, out, &head, json)?,
    };
    if !follow {
        return Ok(0);
    }
    // Its place is for someone else: the stream has a connection of its own.
    drop(client);
    let mut told = false;
    loop {
        let e = match stream(cli, out, &mut seen, &mut told, json) {
            Err(e) => e,
            Ok(never) => match never {},
        };
        if !e.passes() {
            return Err(e);
        }
        // Nothing is lost: it goes on after the last number seen.
        if !std::mem::replace(&mut told, true) {
            complain(&format!("{}; trying again every second", said(cli, &e)));
        }
        retry_before(None);
    }
}

/// Prints all events after a number; gives the last one's.
fn after(client: &mut Client, out: &Out, head: &str, since: u64, json: bool) -> Result<u64> {
    let mut head = head;
    let mut seen = since;
    loop {
        let page = page(client, seen)?;
        out.print(std::mem::take(&mut head))?;
        let before = seen;
        for event in &page.events {
            show(out, &mut seen, event, json)?;
        }
        if seen > before {
            continue;
        }
        if page.last > seen {
            // None of them is left: it goes on with what is to come.
            gone(out, seen + 1, page.last.saturating_add(1), json)?;
            seen = page.last;
        } else if since > page.last {
            complain(&format!(
                "read events: number {since} was not used yet, the newest is {}",
                page.last
            ));
        }
        return Ok(seen);
    }
}

/// Prints an event, and before it which are lost between it and the last one.
fn show(out: &Out, seen: &mut u64, event: &Value, json: bool) -> Result<()> {
    let seq = number(event).unwrap_or(*seen);
    if seq > seen.saturating_add(1) {
        gone(out, *seen + 1, seq, json)?;
    }
    out.print(&line(event, json))?;
    *seen = seq.max(*seen);
    Ok(())
}

/// Prints the last few events; gives the last one's number.
///
/// Numbers have gaps (a crash leaves reserved ones unused), so it looks back further and further
/// until it has enough.
fn last(client: &mut Client, out: &Out, head: &str, json: bool) -> Result<u64> {
    let some: EventsPage = client.ask(Request::Events {
        since: 0,
        limit: Some(1),
    })?;
    let newest = some.last;
    let mut back = u64::try_from(LAST).unwrap_or(u64::MAX);
    loop {
        let from = newest.saturating_sub(back);
        let mut events = Vec::new();
        let mut seen = from;
        let first = loop {
            let page = page(client, seen)?;
            match page.events.iter().filter_map(number).max() {
                Some(n) if n > seen => seen = n,
                _ => break page.first,
            }
            events.extend(page.events);
            let surplus = events.len().saturating_sub(LAST);
            events.drain(..surplus);
        };
        if events.len() >= LAST || from <= first {
            out.print(head)?;
            // What was before the first of them was not asked for.
            let first = events.first().and_then(number);
            let mut shown = first.map_or(seen, |n| n.saturating_sub(1));
            for event in &events {
                show(out, &mut shown, event, json)?;
            }
            if newest > shown {
                gone(out, shown + 1, newest.saturating_add(1), json)?;
            }
            return Ok(seen.max(newest));
        }
        back = back.saturating_mul(4);
    }
}

fn page(client: &mut Client, since: u64) -> Result<EventsPage> {
    client.ask(Request::Events { since, limit: None })
}

fn number(event: &Value) -> Option<u64> {
    event.get("seq").and_then(Value::as_u64)
}

fn stream(
    cli: &Cli,
    out: &Out,
    seen: &mut u64,
    told: &mut bool,
    json: bool,
) -> std::result::Result<std::convert::Infallible, Fail> {
    let mut client = connect(cli)?;
    client.subscribe(Some(*seen))?;
    *told = false;
    loop {
        match client.news(None)? {
            Some(News::Event(event)) => {
                out.print(&line(&event, json))?;
                *seen = number(&event).unwrap_or(*seen);
            }
            Some(News::Lagged(from, next)) => {
                gone(out, from, next, json)?;
                *seen = next.saturating_sub(1);
            }
            None => {}
        }
    }
}

/// Says which events are lost, and where it goes on; to a program as the daemon would.
fn gone(out: &Out, from: u64, next: u64, json: bool) -> Result<()> {
    if json {
        return out.print(&format!("{}\n", lagged_line(from, next)));
    }
    complain(&format!(
        "read events: those from {from} to {} are gone; it goes on with {next}",
        next.saturating_sub(1)
    ));
    Ok(())
}

/// An event as a line: as it came, or in words.
fn line(value: &Value, json: bool) -> String {
    let Some(event) = read_event(value).filter(|_| !json) else {
        // A kind that is younger than this program is shown all the same.
        return clean_json(&format!("{value}\n"));
    };
    let severity = match event.note.severity {
        Severity::Info => "info",
        Severity::Notice => "notice",
        Severity::Warning => "warning",
        Severity::Err => "err",
        Severity::Crit => "crit",
    };
    format!(
        "{:>6}  {}  {severity:<7} {:<20} {}\n",
        event.seq,
        local_time(event.note.at),
        event.note.kind.as_str(),
        clean(&event.note.text)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_clean_line_and_an_unknown_kind_is_shown_as_it_came() {
        let mut event = json!({
            "seq": 7, "at": 1_700_000_000_000_u64, "kind": "service.exited",
            "severity": "err", "text": "killed\nby \u{1b}[2J",
        });
        let text = line(&event, false);
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("     7  2023-11-1"), "{text}");
        assert!(
            text.ends_with("  err     service.exited       killed\u{fffd}by \u{fffd}[2J\n"),
            "{text}"
        );
        assert_eq!(line(&event, true), format!("{event}\n"));
        event["kind"] = "later.invented".into();
        assert_eq!(line(&event, false), format!("{event}\n"));
    }
}
