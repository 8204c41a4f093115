//! `--node` and `--all` where nobody reads, where there is no answer, and where events are missing.

use crate::nodes::{all, status, unreachable};
use crate::scripted::{Scripted, refused};
use clusmgr::wire::{Answer, Request};
use parking_lot::Mutex;
use serde_json::{Value, json};

fn object(out: &str) -> Value {
    serde_json::from_str(out).unwrap()
}

#[test]
fn that_nobody_reads_does_not_change_the_exit_code_of_other_nodes_either() {
    let verdict = json!({"ok": false, "verdicts": [{"code": "no-link", "severity": "err",
        "summary": "x", "evidence": [], "what_to_do": []}]});
    let daemon = Scripted::new(move |line| {
        let one = |id: u32| match &line.request {
            _ if id == 3 => unreachable(),
            Request::Why => verdict.clone(),
            Request::ConfigShow => json!({"text": format!("token: {id}\n"), "source": "c"}),
            Request::ConfigCheck => json!({"path": "/c", "ok": false, "findings": []}),
            Request::KeyFingerprint => json!({"fingerprint": format!("f{id}")}),
            _ => {
                let mut s = status(id);
                s["cluster"]["quorate"] = json!(false);
                s
            }
        };
        match &line.node {
            _ if line.all => all(one),
            Some(_) => Answer::Ok(one(2)),
            None => refused("failed", "not for this node"),
        }
    });
    for (args, code) in [
        ("status --all", 4),
        ("why --all", 1),
        ("config diff --all", 1),
        ("key fingerprint --all", 1),
        ("link matrix", 1),
        ("status --node n2", 151),
        ("status --node n2 --wait=0.1", 151),
        ("why --node n2", 1),
        ("config check --node n2", 1),
    ] {
        assert_eq!(daemon.unread(args), code, "{args}");
        let json = format!("{args} --json");
        assert_eq!(daemon.unread(&json), code, "{json}");
    }
    for args in ["restart --all", "restart --all --json"] {
        assert_eq!(daemon.unread(args), 1, "{args}: it is refused");
    }
}

#[test]
fn a_program_gets_an_object_where_another_node_cannot_be_asked_too() {
    let words = "ask node n2: connection refused; start clusmgr there";
    let daemon = Scripted::new(move |_| refused("unreachable", words));
    let (code, out, err) = daemon.run("status --json --node n2");
    assert_eq!(
        object(&out),
        json!({
            "schema": 1, "asked": "n2",
            "daemon": {"answers": false, "running": null, "pid": null, "pid_file": null},
            "err": {"code": "unreachable", "message": words},
        })
    );
    assert_eq!((code, err), (4, format!("clusmgrctl: {words}\n")));
    let (code, out, err) = daemon.run("why --json --node n2");
    let value = object(&out);
    assert_eq!((code, &value["ok"]), (1, &json!(false)));
    assert_eq!(value["verdicts"][0]["code"], "unreachable");
    assert_eq!(value["verdicts"][0]["summary"], words);
    assert_eq!(err, format!("clusmgrctl: {words}\n"));
    assert_eq!(daemon.unread("why --json --node n2"), 1);
    assert_eq!(daemon.unread("status --json --node n2"), 4);
}

#[test]
fn a_program_gets_an_object_where_nobody_can_ask_all_nodes_too() {
    let bed = crate::bed::Bed::dead();
    std::fs::write(bed.dir.path().join("clusmgr.pid"), "4711\n").unwrap();
    let (code, out, err) = bed.run("status --all --json");
    let value = object(&out);
    assert_eq!((code, err.lines().count()), (4, 1), "{err}");
    assert_eq!(value["daemon"]["pid_file"], "stale");
    assert_eq!(
        (&value["nodes"], &value["concluded"]["exit"]),
        (&json!([]), &json!(4))
    );
    let (code, out, _) = bed.run("why --all --json");
    let value = object(&out);
    assert_eq!((code, &value["concluded"]["ok"]), (7, &json!(false)));
    let first = &value["concluded"]["verdicts"][0];
    assert_eq!(
        (&first["code"], &first["nodes"]),
        (&json!("clusmgr-dead"), &json!([]))
    );
    assert_eq!(value["err"]["code"], "not-running");
    // The pid file here tells nothing of another node.
    let (code, out, _) = bed.run("why --node n2 --json");
    let value = object(&out);
    assert_eq!(
        (code, &value["verdicts"][0]["code"]),
        (7, &json!("unreachable"))
    );
    let (code, out, _) = bed.run("status --node n2 --json");
    let value = object(&out);
    assert_eq!((code, &value["daemon"]["pid_file"]), (4, &json!(null)));
}

#[test]
fn wait_for_another_node_needs_no_subscription_and_names_it() {
    let asked = Mutex::new(0);
    let daemon = Scripted::new(move |line| match &line.request {
        Request::Status => {
            let mut n = asked.lock();
            *n += 1;
            let mut s = status(2);
            s["cluster"]["quorate"] = json!(*n > 2);
            Answer::Ok(s)
        }
        Request::Subscribe { .. } => refused("busy", "subscribe: all places are taken"),
        _ => refused("usage", "not asked for"),
    });
    let (code, out, err) = daemon.run("status --wait=20 --node n2");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with("n2 is in CLUSTER mode and quorate"),
        "{out}"
    );
    let heard = daemon.heard();
    let verbs: Vec<&str> = heard.iter().filter_map(|l| l["req"].as_str()).collect();
    assert_eq!(verbs, ["status", "subscribe", "status", "status"]);
    assert!(heard.iter().all(|l| l["node"] == "n2"), "{heard:?}");
    let daemon = Scripted::new(|_| {
        let mut s = status(2);
        s["cluster"]["quorate"] = json!(false);
        Answer::Ok(s)
    });
    let (code, out, err) = daemon.run("status --wait=0.1 --node n2");
    assert_eq!(code, 151);
    assert!(!out.contains("this node"), "{out}");
    assert!(
        err.contains("n2 is no member of one after 0.1 s") && err.contains("why --node n2"),
        "{err}"
    );
}

#[test]
fn events_that_another_node_has_lost_are_told() {
    let daemon = Scripted::new(|line| match &line.request {
        Request::Events { since, .. } => {
            let event = |seq: u64| {
                json!({"seq": seq, "at": 0, "kind": "service.ready", "severity": "notice",
                    "text": format!("event number {seq}")})
            };
            let events = [4, 7].into_iter().filter(|n| n > since).map(event);
            let events: Vec<Value> = events.collect();
            Answer::Ok(json!({"first": 4, "last": 8, "gone": *since < 3, "events": events}))
        }
        _ => refused("usage", "not asked for"),
    });
    let (code, out, err) = daemon.run("events --since 3 --node n2");
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    assert!(out.starts_with("On n2:\n     4  "), "{out}");
    assert_eq!(
        err,
        "clusmgrctl: read events: those from 5 to 6 are gone; it goes on with 7\n\
         clusmgrctl: read events: those from 8 to 8 are gone; it goes on with 9\n"
    );
}
