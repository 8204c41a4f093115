#![allow(clippy::unwrap_used)]

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

fn note(text: &str) -> Note {
    Note::new(Kind::ConfigDrift, Severity::Warning, text)
}

#[test]
fn a_full_queue_drops_the_oldest_and_counts_it() {
    let q = EvtQueue::new(2);
    for t in ["a", "b", "c"] {
        q.push(note(t));
    }
    let Taken::Notes(notes, lost) = q.take() else {
        unreachable!("it is not closed")
    };
    assert_eq!(
        notes.iter().map(|n| n.text.as_str()).collect::<Vec<_>>(),
        ["b", "c"]
    );
    assert_eq!(lost, 1);
}

#[test]
fn what_several_threads_pass_on_stays_in_order() {
    let (from, to) = (EvtQueue::new(100_000), EvtQueue::new(100_000));
    let all = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                while !all.load(Ordering::Relaxed) {
                    from.pass_to(&to);
                }
            });
        }
        for n in 0..20_000 {
            from.push(note(&n.to_string()));
        }
        all.store(true, Ordering::Relaxed);
    });
    from.pass_to(&to);
    let Taken::Notes(notes, 0) = to.take() else {
        unreachable!("none was lost")
    };
    let numbers: Vec<usize> = notes.iter().map(|n| n.text.parse().unwrap()).collect();
    assert_eq!(numbers, (0..20_000).collect::<Vec<_>>());
    let small = EvtQueue::new(1);
    small.push(note("a"));
    small.push(note("b"));
    small.pass_to(&to);
    let Taken::Notes(notes, 0) = to.take() else {
        unreachable!("none was lost here")
    };
    assert_eq!(notes[0].kind, Kind::EventsLost);
    assert_eq!((notes.len(), &*notes[1].text), (2, "b"));
}

#[test]
fn a_closed_queue_gives_what_it_holds_and_then_ends() {
    let q = EvtQueue::new(2);
    q.push(note("a"));
    q.close();
    assert!(matches!(q.take(), Taken::Notes(n, 0) if n.len() == 1));
    assert_eq!(q.take(), Taken::Closed);
}

#[test]
fn who_is_behind_the_ring_is_told_to_read_the_journal() {
    let hub = Hub::new(2, 10);
    let now = Instant::now();
    assert_eq!(hub.wait_after(10, now), Follow::Nothing);
    for seq in 11..=14 {
        hub.publish(seq, Arc::from("x"));
    }
    assert_eq!(hub.wait_after(10, now), Follow::Behind);
    let Follow::Lines(lines) = hub.wait_after(12, now) else {
        unreachable!("12 is the last that left")
    };
    assert_eq!(lines.iter().map(|l| l.0).collect::<Vec<_>>(), [13, 14]);
    hub.close();
    assert_eq!(hub.wait_after(14, now), Follow::Closed);
}

#[test]
fn who_listens_is_told_of_an_event_and_of_the_end_and_no_more_once_dropped() {
    #[derive(Debug, Default)]
    struct Count(std::sync::atomic::AtomicU32);
    impl Listen for Count {
        fn something_new(&self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let hub = Hub::new(2, 0);
    let count = Arc::new(Count::default());
    let weak: Weak<Count> = Arc::downgrade(&count);
    hub.listen(weak);
    hub.publish(1, Arc::from("x"));
    hub.close();
    assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert_eq!(hub.oldest(), Some(1));
    drop(count);
    hub.publish(2, Arc::from("x"));
    hub.listen(Arc::downgrade(
        &(Arc::new(Count::default()) as Arc<dyn Listen>),
    ));
    assert_eq!(hub.listeners.lock().len(), 1);
}

#[test]
fn an_event_is_one_flat_json_object_and_every_kind_survives_it() {
    for kind in Kind::ALL {
        let e = Event {
            seq: 7,
            note: Note::new(*kind, Severity::Err, "t").with("pid", 5),
        };
        let line = serde_json::to_string(&e).unwrap();
        assert!(
            line.contains(&format!("\"kind\":\"{}\"", kind.as_str())),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), e);
    }
}
