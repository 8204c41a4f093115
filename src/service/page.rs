//! Events by their numbers: from the journal, and from memory what a full disk kept out of it.

use crate::event::Hub;
use crate::journal::Reader;
use crate::wire::EventsPage;
use std::collections::BTreeMap;

/// Events with a greater number than `since`, at most `limit`.
pub(super) fn read(journal: &Reader, hub: &Hub, since: u64, limit: usize) -> EventsPage {
    // Memory first: what comes after this look is in the journal, or of the next page.
    let last = hub.latest();
    let oldest = hub.oldest();
    let held = hub.held(since);
    let page = journal.read_since(since, limit);
    let mut events: BTreeMap<u64, serde_json::Value> = BTreeMap::new();
    let held = held.iter().take(limit).map(|(_, line)| &**line);
    for line in held.chain(page.lines.iter().map(String::as_str)) {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        if let Some(seq) = event.get("seq").and_then(serde_json::Value::as_u64) {
            events.insert(seq, event);
        }
    }
    let first = page.first_available.into_iter().chain(oldest).min();
    let first = first.unwrap_or(0);
    EventsPage {
        first,
        last,
        gone: last > since && (first == 0 || first > since.saturating_add(1)),
        events: events.into_values().take(limit).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use serde_json::json;

    /// A journal that lacks some of the events 1 to 9, and a hub that holds the last four.
    fn bed(kept: &[u64]) -> (tempfile::TempDir, Journal, Hub) {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path(), "b1").unwrap();
        let hub = Hub::new(4, 0);
        for _ in 1..=9 {
            let seq = journal.next_seq();
            let line = json!({"seq": seq}).to_string();
            if kept.contains(&seq) {
                journal.append(seq, &line).unwrap();
            }
            hub.publish(seq, line.into());
        }
        (dir, journal, hub)
    }

    fn numbers(page: &EventsPage) -> Vec<u64> {
        let seq = |e: &serde_json::Value| e["seq"].as_u64().unwrap();
        page.events.iter().map(seq).collect()
    }

    #[test]
    fn what_the_journal_lacks_comes_from_memory_and_nothing_comes_twice() {
        let (_dir, journal, hub) = bed(&[1, 2, 7]);
        let read = |since, limit| super::read(&journal.reader(), &hub, since, limit);
        let page = read(0, 99);
        assert_eq!(numbers(&page), [1, 2, 6, 7, 8, 9], "3 to 5 are lost");
        assert_eq!((page.first, page.last, page.gone), (1, 9, false));
        assert_eq!(numbers(&read(6, 99)), [7, 8, 9]);
        for (since, want) in [(0, [1, 2, 6]), (2, [6, 7, 8])] {
            assert_eq!(numbers(&read(since, 3)), want, "pages follow one another");
        }
        assert_eq!(numbers(&read(9, 99)), [0; 0]);
    }

    #[test]
    fn a_journal_that_could_never_be_written_leaves_what_is_in_memory() {
        let (_dir, journal, hub) = bed(&[]);
        let page = super::read(&journal.reader(), &hub, 2, 99);
        assert_eq!(numbers(&page), [6, 7, 8, 9]);
        assert_eq!((page.first, page.gone), (6, true));
        let page = super::read(&journal.reader(), &hub, 5, 99);
        assert!(!page.gone);
    }
}
