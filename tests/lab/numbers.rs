//! The numbers of events, across every way in which clusmgr can die.

use crate::common::{LONG, Lab, pause, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn event_numbers_have_no_gap_and_no_repeat_across_kill_9_of_clusmgr_in_the_middle_of_things() {
    let flags = [
        "--stable-after",
        "0.1",
        "--poll-interval",
        "0.1",
        "--restart-limit",
        "0",
    ];
    let lab = Lab::up("numbers", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    // What a follower has seen is what the journal says later.
    let mut seen: BTreeMap<u64, Value> = BTreeMap::new();
    for round in 0..8u64 {
        // Orders, deaths and an edit, all under way when the kill comes.
        n1.sh(&format!(
            "clusmgrctl events -f --json >>/tmp/followed 2>/dev/null &
             clusmgrctl stop --no-wait; clusmgrctl start --no-wait; clusmgrctl restart --no-wait
             kill -KILL $(</run/corosync.pid); echo '# {round}' >>/etc/corosync/corosync.conf; true"
        ))
        .ok();
        pause(Duration::from_millis(round * 37));
        n1.end_daemon("KILL");
        n1.start_daemon(&flags);
        // It may have been killed with the hold on disk, and before it heard of the start.
        n1.ctl(&["start"]).ok();
        n1.wait("it serves", |s| s["service"]["state"] == "running");
    }
    n1.ctl(&["start"]).ok();
    n1.wait_ring(1);
    let events = n1.events();
    let numbers: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    let whole: Vec<u64> = (1..=u64::try_from(numbers.len()).unwrap()).collect();
    assert_eq!(numbers, whole);
    assert_eq!(n1.events_of("daemon.started").len(), 9);
    let latest = until("the newest number is in the journal", LONG, || {
        let latest = n1.latest();
        (n1.events().last()?["seq"].as_u64() == Some(latest)).then_some(latest)
    });
    assert!(latest >= 60, "something happened: {latest}");
    for line in String::from_utf8(n1.read("/tmp/followed")).unwrap().lines() {
        // The last line of a killed follower may be cut.
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if let Some(seq) = event["seq"].as_u64() {
            if let Some(other) = seen.insert(seq, event.clone()) {
                assert_eq!(other, event, "number {seq} was given twice");
            }
        }
    }
    assert!(seen.len() > 20, "followers saw {}", seen.len());
    // Read again: what the last start found came after the first reading.
    let events = n1.events();
    for (seq, event) in &seen {
        let kept = events.iter().find(|e| e["seq"] == *seq);
        assert_eq!(kept, Some(event), "number {seq}");
    }
}
