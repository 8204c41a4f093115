//! Requests, good and bad, and who may make them.

use super::super::dispatch::read_request;
use super::*;
use std::collections::BTreeSet;

#[test]
fn the_first_reply_carries_the_protocol_and_each_its_id() {
    let bed = Bed::plain();
    let mut c = bed.client();
    let first = c.ask(STATUS);
    assert_eq!((&first["proto"], &first["id"]), (&json!(1), &json!(7)));
    assert_eq!(first["ok"]["node"]["name"], "n1");
    let second = c.ask(r#"{"id":8,"req":"key.fingerprint","some":"field"}"#);
    assert_eq!(second, json!({"id": 8, "ok": {"fingerprint": "f"}}));
    assert_eq!(code(&c.ask(r#"{"req":"config.check"}"#)), "not-configured");
    let why = c.ask(r#"{"id":9,"req":"why"}"#);
    assert_eq!(why["ok"]["ok"], false);
    // It runs, and this manager knows of no cluster.
    assert_eq!(why["ok"]["verdicts"][0]["code"], "starting");
    bed.stop();
}

#[test]
fn rubbish_is_answered_and_the_connection_goes_on() {
    let bed = Bed::plain();
    let mut c = bed.client();
    let nested = format!(r#"{{"id":5,"req":{}"#, "[".repeat(100_000));
    let cases: [(&[u8], u64); 9] = [
        (b"", 0),
        (b"hello", 0),
        (b"\0\0\0", 0),
        (b"\xff\xfe{}", 0),
        (b"{\"id\":3,\"req\":\"rm\"}", 3),
        (b"{\"id\":4}", 4),
        (b"{\"id\":\"x\",\"req\":\"status\"}", 0),
        (b"[1,2]", 0),
        (nested.as_bytes(), 0),
    ];
    for (bytes, id) in cases {
        assert!(c.send(bytes) && c.send(b"\n"));
        let reply = c.line().unwrap();
        assert_eq!((code(&reply), &reply["id"]), ("usage", &json!(id)));
    }
    let reply = c.ask(r#"{"req":"rm"}"#);
    let text = reply["err"]["message"].as_str().unwrap();
    assert!(text.contains("unknown variant `rm`"), "{text}");
    assert_eq!(c.ask(STATUS)["ok"]["schema"], 1);
    bed.stop();
}

#[test]
fn json_nested_as_deep_as_it_may_be_does_not_overflow_the_stack() {
    let bed = Bed::plain();
    let mut c = bed.client();
    let deep = format!(
        r#"{{"id":5,"req":"status","x":{}{}}}"#,
        "[".repeat(120),
        "]".repeat(120)
    );
    assert_eq!(c.ask(&deep)["ok"]["schema"], 1);
    bed.stop();
}

#[test]
fn a_line_of_2_mib_is_refused_and_costs_nobody_else() {
    let bed = Bed::plain();
    let mut c = bed.client();
    c.send(&vec![b'x'; 2 << 20]);
    let reply = c.line().unwrap();
    assert_eq!((code(&reply), &reply["proto"]), ("usage", &json!(1)));
    assert_eq!(c.line(), None, "it goes on");
    assert_eq!(bed.client().ask(STATUS)["ok"]["schema"], 1);
    bed.stop();
}

#[test]
fn half_a_request_has_its_time_and_no_more() {
    let limits = Limits {
        half_line: Duration::from_millis(200),
        ..Limits::default()
    };
    let bed = Bed::new(&Fake::new(64, 0), limits);
    let (mut idle, mut half) = (bed.client(), bed.client());
    half.send(br#"{"id":1,"#);
    assert_eq!(code(&half.line().unwrap()), "timed-out");
    assert_eq!(half.line(), None);
    assert_eq!(idle.ask(STATUS)["ok"]["schema"], 1, "idle is not half");

    let mut cut = bed.client();
    cut.send(br#"{"id":1,"req":"stop"}"#);
    cut.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(code(&cut.line().unwrap()), "usage");
    assert!(bed.manager.commands.lock().is_empty());
    bed.stop();
}

#[test]
fn a_byte_now_and_then_does_not_win_time() {
    let limits = Limits {
        half_line: Duration::from_millis(200),
        ..Limits::default()
    };
    let bed = Bed::new(&Fake::new(64, 0), limits);
    let mut c = bed.client();
    c.0.get_ref()
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let end = Instant::now() + SOON;
    let mut answer = [0; 4096];
    // Each read is the pause before the next byte.
    while c.send(b" ") && c.0.read(&mut answer).is_err() {
        assert!(Instant::now() < end, "it is still served");
    }
    bed.stop();
}

#[test]
fn a_hundred_idle_clients_leave_room_for_one_that_asks() {
    let bed = Bed::plain();
    let mut idle: Vec<Client> = (0..100).map(|_| bed.client()).collect();
    assert_eq!(bed.client().ask(STATUS)["ok"]["schema"], 1);
    let told = idle[0].line().unwrap();
    assert_eq!((code(&told), &told["proto"]), ("busy", &json!(1)));
    assert_eq!(idle[0].line(), None);
    assert_eq!(idle[99].ask(STATUS)["ok"]["schema"], 1, "the newest stay");
    bed.stop();
}

fn caller(uid: u32) -> Caller {
    Caller::Local {
        uid,
        gid: uid,
        pid: 123,
    }
}

/// Every request, by whether it changes something.
const CHANGING: [&str; 11] = [
    r#"{"req":"start"}"#,
    r#"{"req":"stop","runtime":true}"#,
    r#"{"req":"restart"}"#,
    r#"{"req":"config.apply","text":"totem {}"}"#,
    r#"{"req":"config.apply","text":"","dry_run":true}"#,
    r#"{"req":"config.adopt"}"#,
    r#"{"req":"config.adopt","dry_run":true}"#,
    r#"{"req":"config.revert"}"#,
    r#"{"req":"config.revert","dry_run":true}"#,
    r#"{"req":"config.rollback","number":1}"#,
    r#"{"req":"config.rollback","dry_run":true}"#,
];
const READING: [&str; 10] = [
    r#"{"req":"why"}"#,
    r#"{"req":"status"}"#,
    r#"{"req":"events"}"#,
    r#"{"req":"subscribe"}"#,
    r#"{"req":"config.show"}"#,
    r#"{"req":"config.check"}"#,
    r#"{"req":"config.diff","text":""}"#,
    r#"{"req":"config.history"}"#,
    r#"{"req":"key.fingerprint"}"#,
    r#"{"req":"peer.report"}"#,
];

#[test]
fn only_root_may_change_and_others_may_read() {
    let fake = Fake::new(4, 0);
    let other = 1000;
    let ask = |text: &str, uid| {
        let line = read_request(text.as_bytes()).unwrap();
        dispatch(fake.as_ref(), &line.request, &caller(uid))
    };
    for text in CHANGING {
        let Answer::Err(e) = ask(text, other) else {
            panic!("{text} was done");
        };
        assert_eq!(e.kind(), Kind::Denied, "{text}: {}", e.message);
        let words = format!("uid {other} pid 123");
        assert!(e.message.contains(&words), "{}", e.message);
    }
    assert!(fake.commands.lock().is_empty());
    for text in READING {
        if let Answer::Err(e) = ask(text, other) {
            assert_ne!(e.kind(), Kind::Denied, "{text}: {}", e.message);
        }
    }
}

#[test]
fn who_may_is_asked_for_every_request_there_is() {
    let (_, e) = read_request(br#"{"req":"rm"}"#).unwrap_err();
    let text = e.to_string();
    let (_, names) = text.split_once("expected one of ").unwrap();
    let names: BTreeSet<&str> = names.split('`').skip(1).step_by(2).collect();
    let asked: Vec<Value> = CHANGING
        .iter()
        .chain(&READING)
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let asked: BTreeSet<&str> = asked.iter().filter_map(|r| r["req"].as_str()).collect();
    assert_eq!(asked, names);
}

#[test]
fn a_command_knows_its_caller_and_waits_no_longer_than_it_may() {
    let fake = Fake::new(4, 0);
    for runtime in [false, true] {
        let wait_ms = u64::MAX;
        let request = Request::Stop { runtime, wait_ms };
        dispatch(fake.as_ref(), &request, &caller(0));
    }
    let calls = fake.commands.lock().clone();
    assert_eq!(
        calls,
        [Hold::Kept, Hold::UntilBoot].map(|hold| (
            Command::Stop(hold),
            "uid 0 pid 123".to_owned(),
            MAX_WAIT
        ))
    );
}

#[test]
fn no_answer_is_longer_than_a_line() {
    let bed = Bed::new(&Fake::new(16, 40_000), Limits::default());
    for seq in 1..=40 {
        bed.manager.publish(seq);
    }
    let mut c = bed.client();
    let page = c.ask(r#"{"req":"events","limit":1000000}"#);
    let events = page["ok"]["events"].as_array().unwrap();
    assert!(events.len() > 20 && events.len() < 40, "{}", events.len());
    assert_eq!(events[0]["seq"], 1);
    assert_eq!(code(&c.ask(r#"{"req":"config.show"}"#)), "failed");
    bed.stop();
}
