//! The numbers of events, across every way in which clusmgr can die.

use crate::apply_faults::{let_go, strace};
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

/// strace kills clusmgr at a write to one of the two files of the journal.
#[test]
fn killed_at_any_write_of_the_journal_it_goes_on_without_a_gap_or_a_repeat() {
    const DIR: &str = "/var/lib/clusmgr";
    let flags = ["--poll-interval", "0.2"];
    let lab = Lab::up("journal-kill", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_ring(1);
    let numbers = || -> Vec<u64> {
        let text = String::from_utf8(n1.read(&format!("{DIR}/events.jsonl"))).unwrap();
        let event = |l: &str| serde_json::from_str::<Value>(l).unwrap();
        // Something may be written just now.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let events = whole.lines().map(event);
        events.map(|e| e["seq"].as_u64().unwrap()).collect()
    };
    for (call, file) in [("write", "events.jsonl"), ("pwrite64", "events.seq")] {
        for k in 1..=4 {
            let what = format!("{call} {k}");
            let (daemon, before) = (n1.daemon_pid(), n1.latest());
            let fault =
                format!("-P {DIR}/{file} -e trace={call} -e inject={call}:signal=KILL:when={k}");
            let tracer = strace(&n1, &fault);
            n1.ctl(&["stop", "--no-wait"]);
            n1.ctl(&["start", "--no-wait"]);
            n1.wait_gone(daemon);
            let_go(&n1, tracer);
            let kept = numbers();
            // What it leaves that is killed while the kernel copies the line.
            if k % 2 == 0 && call == "write" {
                let next = kept.last().unwrap() + 1;
                n1.sh(&format!(
                    "printf '{{\"seq\":{next},\"at\":17' >>{DIR}/events.jsonl"
                ))
                .ok();
            }
            n1.start_daemon(&flags);
            n1.ctl(&["start"]).ok();
            n1.wait_state("running");
            let since = n1.ctl(&["events", "--json", "--since", &before.to_string()]);
            let replayed: Vec<u64> = since
                .ok()
                .lines()
                .map(|l| serde_json::from_str::<Value>(l).unwrap()["seq"].clone())
                .map(|seq| seq.as_u64().unwrap())
                .collect();
            let last = *replayed.last().unwrap();
            assert!(last > before, "{what}");
            assert!(replayed.into_iter().eq(before + 1..=last), "{what}");
            let now = numbers();
            assert!(now[..kept.len()] == kept, "{what}: {kept:?} {now:?}");
            let whole: Vec<u64> = (1..=now.len() as u64).collect();
            assert_eq!(now, whole, "{what}");
        }
    }
    assert_eq!(n1.events_of("daemon.started").len(), 9);
}
