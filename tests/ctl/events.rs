//! `events`, and who follows them.

use crate::bed::{Bed, Running, SOON};
use serde_json::{Value, json};
use std::io::Read;
use std::process::Stdio;

#[test]
fn events_are_the_last_or_all_since_a_number() {
    let bed = Bed::new();
    for seq in 1..=60 {
        bed.manager.publish(seq);
    }
    // After a power loss reserved numbers are left out, and nobody knows which of them were used.
    bed.manager.publish(5000);
    let lost = "clusmgrctl: read events: those from 61 to 4999 are gone; it goes on with 5000\n";
    let (code, out, err) = bed.run("events");
    assert_eq!((code, out.lines().count()), (0, 50), "{out}");
    assert_eq!(err, lost);
    assert!(
        out.ends_with("service.ready        event number 5000\n"),
        "{out}"
    );
    assert!(
        out.lines().next().unwrap().contains("event number 12"),
        "{out}"
    );
    let (_, out, err) = bed.run("events --since 59 --json");
    let seqs: Vec<Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!((seqs.len(), err.as_str()), (3, ""));
    assert_eq!(seqs[1], json!({"lagged": {"from": 61, "next": 5000}}));
    assert_eq!(seqs[2]["seq"], 5000);
    bed.manager.journal.lock().drain(..9);
    let (_, out, err) = bed.run("events --since 4");
    assert_eq!(out.lines().count(), 52);
    let first = "clusmgrctl: read events: those from 5 to 9 are gone; it goes on with 10\n";
    assert_eq!(err, format!("{first}{lost}"));
    let (_, out, err) = bed.run("events --since 4 --json");
    assert_eq!(
        (out.lines().next(), err.as_str()),
        (Some(r#"{"lagged":{"from":5,"next":10}}"#), "")
    );
    let (code, out, err) = bed.run("events --since 9000");
    assert_eq!((code, out.as_str()), (0, ""));
    assert_eq!(
        err,
        "clusmgrctl: read events: number 9000 was not used yet, the newest is 5000\n"
    );
    let kept = std::mem::take(&mut *bed.manager.journal.lock());
    let (code, out, err) = bed.run("events --since 4");
    assert_eq!((code, out.as_str()), (0, ""), "a journal that has none");
    assert_eq!(
        err,
        "clusmgrctl: read events: those from 5 to 5000 are gone; it goes on with 5001\n"
    );
    *bed.manager.journal.lock() = kept;
    for seq in 5001..=7500 {
        bed.manager.publish(seq);
    }
    let (_, out, _) = bed.run("events --since 0");
    assert_eq!(out.lines().count(), 2552, "more than one page");
}

#[test]
fn events_that_a_full_disk_swallowed_are_told_where_they_are_missing() {
    let bed = Bed::new();
    for seq in 1..=9 {
        bed.manager.publish(seq);
    }
    let lost = [4, 5, 8, 9];
    let in_it = |e: &mut Value| !lost.contains(&e["seq"].as_u64().unwrap());
    bed.manager.journal.lock().retain_mut(in_it);
    for args in ["events --json", "events --since 0 --json"] {
        let (_, out, err) = bed.run(args);
        let told: Vec<Value> = out
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .map(|l: Value| {
                if l["seq"].is_u64() {
                    l["seq"].clone()
                } else {
                    l
                }
            })
            .collect();
        let hole = |from, next| json!({"lagged": {"from": from, "next": next}});
        let mut want = json!([1, 2, 3, hole(4, 6), 6, 7]);
        want.as_array_mut().unwrap().push(hole(8, 10));
        assert_eq!((json!(told), err.as_str()), (want, ""), "{args}");
    }
}

#[test]
fn following_goes_on_where_it_was_when_the_daemon_returns() {
    let mut bed = Bed::new();
    bed.manager.publish(1);
    let following = Running::new(bed.command("events -f"));
    following.expect("event number 1");
    bed.connected(1);
    bed.manager.publish(2);
    following.expect("event number 2");
    bed.stop();
    bed.manager.publish(3);
    bed.serve();
    assert!(
        following
            .lines
            .recv_timeout(SOON)
            .unwrap()
            .contains("event number 3")
    );
}

#[test]
fn a_follower_that_asks_for_what_is_gone_is_told_once_where_it_goes_on() {
    let bed = Bed::new();
    for seq in 1..=2000 {
        bed.manager.publish(seq);
    }
    // Memory has the last thousand.
    bed.manager.journal.lock().drain(..1500);
    let following = Running::new(bed.command("events -f --since 7 --json"));
    let first = following.lines.recv_timeout(SOON).unwrap();
    assert_eq!(first, r#"{"lagged":{"from":8,"next":1501}}"#);
    for seq in 1501..=2000 {
        let line: Value =
            serde_json::from_str(&following.lines.recv_timeout(SOON).unwrap()).unwrap();
        assert_eq!(line["seq"], seq);
    }
    bed.connected(1);
    bed.manager.publish(2001);
    following.expect("event number 2001");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let bed = Bed::new();
    for seq in 1..=5000 {
        bed.manager.publish(seq);
    }
    let mut command = bed.command("events --since 0");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}
