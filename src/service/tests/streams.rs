//! Subscribers, full houses and the end.

use super::*;

#[test]
fn more_than_32_subscribers_are_refused_and_still_served() {
    let bed = Bed::plain();
    let mut some: Vec<Client> = (0..32).map(|_| bed.client()).collect();
    for c in &mut some {
        assert_eq!(c.ask(r#"{"id":1,"req":"subscribe"}"#)["ok"]["from"], 1);
    }
    let mut late = bed.client();
    assert_eq!(code(&late.ask(r#"{"id":1,"req":"subscribe"}"#)), "busy");
    assert_eq!(late.ask(STATUS)["ok"]["schema"], 1);
    drop(some);
    let end = Instant::now() + SOON;
    while late.ask(r#"{"id":1,"req":"subscribe"}"#)["ok"].is_null() {
        assert!(Instant::now() < end, "that they hung up is not noticed");
        std::thread::yield_now();
    }
    bed.stop();
}

#[test]
fn with_all_places_in_use_a_newcomer_is_told_so() {
    let limits = Limits {
        clients: 2,
        ..Limits::default()
    };
    let bed = Bed::new(&Fake::new(64, 0), limits);
    let mut c = [bed.client(), bed.client()];
    for c in &mut c {
        c.ask(r#"{"req":"subscribe"}"#);
    }
    let mut third = bed.client();
    let told = third.line().unwrap();
    assert_eq!((code(&told), &told["proto"]), ("busy", &json!(1)));
    assert_eq!(third.line(), None);
    bed.stop();
}

/// Waits until a subscriber is known not to read.
fn wait_stuck(bed: &Bed) {
    let end = Instant::now() + SOON;
    while bed.service.stuck() == 0 {
        assert!(Instant::now() < end, "it is not taken for stuck");
        std::thread::yield_now();
    }
}

#[test]
fn a_subscriber_that_does_not_read_slows_nobody_and_learns_that_it_lagged() {
    const N: u64 = 3000;
    let limits = Limits {
        write: Duration::from_millis(50),
        ..Limits::default()
    };
    let bed = Bed::new(&Fake::new(16, 500), limits);
    let (mut slow, mut quick) = (bed.client(), bed.client());
    slow.ask(r#"{"req":"subscribe"}"#);
    quick.ask(r#"{"req":"subscribe","since":0}"#);
    for seq in 1..=N {
        bed.manager.publish(seq);
        assert_eq!(quick.line().unwrap()["seq"], seq);
    }
    wait_stuck(&bed);
    // It has not read for far longer than a reply may wait; now it does, and the journal has 500 still.
    bed.manager.journal.lock().drain(..2500);
    let (mut next, mut lagged) = (1, 0);
    while next <= N {
        let line = slow.line().unwrap();
        if let Some(gap) = line.get("lagged") {
            assert_eq!(gap["from"], next);
            next = gap["next"].as_u64().unwrap();
            lagged += 1;
        } else {
            assert_eq!(line["seq"], next);
            next += 1;
        }
    }
    assert_eq!(lagged, 1);
    bed.stop();
}

#[test]
fn one_that_does_not_read_gives_its_place_to_another_that_wants_it() {
    let limits = Limits {
        clients: 3,
        subscribers: 1,
        write: Duration::from_millis(50),
        grace: 3 * SOON,
        ..Limits::default()
    };
    let bed = Bed::new(&Fake::new(3000, 3000), limits);
    let mut stuck = bed.client();
    stuck.ask(r#"{"req":"subscribe"}"#);
    let mut other = bed.client();
    assert_eq!(code(&other.ask(r#"{"req":"subscribe"}"#)), "busy");
    for seq in 1..=3000 {
        bed.manager.publish(seq);
    }
    let end = Instant::now() + SOON;
    while other.ask(r#"{"req":"subscribe"}"#)["ok"].is_null() {
        assert!(Instant::now() < end, "it keeps its place");
        std::thread::yield_now();
    }
    let got = std::iter::from_fn(|| {
        let mut text = String::new();
        stuck.0.read_line(&mut text).ok().filter(|n| *n > 0)
    });
    assert!(got.count() < 3000, "its stream has ended");
    // One more that does not read is no reason to wait at the end.
    for seq in 3001..=6000 {
        bed.manager.publish(seq);
    }
    wait_stuck(&bed);
    let begun = Instant::now();
    bed.stop();
    assert!(begun.elapsed() < 2 * SOON, "it was waited for");
}

#[test]
fn what_is_lost_is_told_with_its_numbers() {
    let bed = Bed::new(&Fake::new(2, 0), Limits::default());
    for seq in 1..=9 {
        bed.manager.publish(seq);
    }
    bed.manager.journal.lock().drain(..4);
    let mut c = bed.client();
    assert_eq!(c.ask(r#"{"req":"subscribe","since":1}"#)["ok"]["from"], 2);
    let lagged = json!({"lagged": {"from": 2, "next": 5}});
    assert_eq!(c.line().unwrap(), lagged);
    for seq in 5..=9 {
        assert_eq!(c.line().unwrap()["seq"], seq);
    }
    // A journal that could not be written: memory has 8 and 9.
    bed.manager.journal.lock().clear();
    let mut c = bed.client();
    c.ask(r#"{"req":"subscribe","since":3}"#);
    let lagged = json!({"lagged": {"from": 4, "next": 8}});
    assert_eq!(c.line().unwrap(), lagged);
    assert_eq!(c.line().unwrap()["seq"], 8);
    // A number of another life.
    let mut c = bed.client();
    assert_eq!(
        c.ask(r#"{"req":"subscribe","since":18446744073709551615}"#)["ok"]["from"],
        10
    );
    bed.stop();
}

/// A full disk for a while: a slow subscriber gets from memory what the journal has not, and is told
/// what nobody has.
#[test]
fn a_hole_in_the_journal_is_filled_from_memory_or_told() {
    let bed = Bed::new(&Fake::new(4, 0), Limits::default());
    for seq in 1..=9 {
        bed.manager.publish(seq);
    }
    let written = [1, 2, 3, 5, 8, 9];
    bed.manager.journal.lock().retain(|s| written.contains(s));
    let mut c = bed.client();
    c.ask(r#"{"req":"subscribe","since":0}"#);
    let told: Vec<Value> = (0..9).map(|_| c.line().unwrap()).collect();
    assert_eq!(told[3], json!({"lagged": {"from": 4, "next": 5}}));
    let numbers: Vec<u64> = told.iter().filter_map(|l| l["seq"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 3, 5, 6, 7, 8, 9]);
    bed.stop();
}

#[test]
fn who_says_no_more_after_subscribing_still_gets_events() {
    let bed = Bed::plain();
    let mut c = bed.client();
    c.ask(r#"{"req":"subscribe"}"#);
    c.send(b"more words\n");
    c.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    bed.manager.publish(1);
    assert_eq!(c.line().unwrap()["seq"], 1);
    bed.stop();
}

#[test]
fn stopping_ends_all_clients_and_subscribers_get_what_there_is() {
    needs_root();
    let limits = Limits {
        grace: SOON,
        ..Limits::default()
    };
    let bed = Bed::new(&Fake::new(64, 0), limits);
    let (mut idle, mut sub, mut asks) = (bed.client(), bed.client(), bed.client());
    idle.ask(STATUS);
    sub.ask(r#"{"req":"subscribe"}"#);
    asks.send(b"{\"id\":9,\"req\":\"restart\",\"wait_ms\":5}\n");
    bed.manager.entered.1.recv_timeout(SOON).unwrap();
    bed.manager.publish(1);
    bed.manager.release.0.send(()).unwrap();
    let begun = Instant::now();
    bed.stop();
    assert!(begun.elapsed() < SOON, "somebody had to be thrown out");
    assert_eq!(sub.line().unwrap()["seq"], 1);
    assert_eq!(sub.line(), None);
    assert_eq!(idle.line(), None);
    assert_eq!(asks.line().unwrap()["id"], 9, "a request under way ends");
    assert_eq!(asks.line(), None);
}

#[test]
fn stopping_does_not_wait_for_ever_for_a_manager_that_does_not_answer() {
    needs_root();
    let limits = Limits {
        grace: Duration::from_millis(50),
        ..Limits::default()
    };
    let bed = Bed::new(&Fake::new(64, 0), limits);
    let mut c = bed.client();
    c.send(b"{\"req\":\"restart\"}\n");
    bed.manager.entered.1.recv_timeout(SOON).unwrap();
    assert_eq!(bed.service.stop(), 1);
    assert_eq!(c.line(), None);
    bed.manager.release.0.send(()).unwrap();
}
