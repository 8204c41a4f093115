//! `--node` and `--all`: what is asked of the daemon, and what is made of its answers.

use crate::bed::Running;
use crate::scripted::{Scripted, refused};
use clusmgr::wire::{Answer, Request};
use serde_json::{Value, json};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// A status of one of three nodes, as it comes over the wire.
pub fn status(id: u32) -> Value {
    let others = (1..=3).filter(|other| *other != id);
    let links: Vec<Value> = others
        .map(|other| {
            json!({"nodeid": other, "name": format!("n{other}"), "link": 0, "connected": true,
                "mtu": 1397, "latency_us": 250, "down_count": 0, "flapping": false})
        })
        .collect();
    let members: Vec<Value> = (1..=3)
        .map(|m| {
            json!({"nodeid": m, "name": format!("n{m}"), "votes": 1, "state": "member",
                "local": m == id, "config_version": 7})
        })
        .collect();
    json!({
        "schema": 1, "version": "0.1.0", "node": {"name": format!("n{id}"), "nodeid": id},
        "mode": "cluster", "mode_reason": null, "driver": "corosync", "daemon_pid": 9,
        "service": {"state": "running", "pid": 100 + id, "adopted": false, "since": 1000,
            "restarts": 0, "last_exit": null, "next_retry_ms": null, "hold": false},
        "cluster": {"name": "c", "config_version": 7, "quorate": true, "ring_id": "1.4",
            "expected_votes": 3, "total_votes": 3, "quorum": 2, "flags": [], "members": members},
        "links": links,
        "config": {"path": "/c", "version": 7, "sha256": "ab".repeat(32), "drift": false},
        "key": {"path": "/k", "fingerprint": "f1", "drift": false},
        "peers": [], "degraded": [], "last_event": 1,
    })
}

/// An answer of all three nodes, of which the first was asked.
pub fn all(of: impl Fn(u32) -> Value) -> Answer {
    let nodes: Vec<Value> = (1..=3)
        .map(|id| {
            let mut node = json!({"node": format!("n{id}"), "nodeid": id, "local": id == 1,
                "took_ms": 2});
            let said = of(id);
            let said = match said.get("code") {
                None => json!({"ok": said}),
                Some(_) => json!({"unreachable": "refused", "err": said}),
            };
            node.as_object_mut()
                .unwrap()
                .extend(said.as_object().unwrap().clone());
            node
        })
        .collect();
    Answer::Ok(json!({"nodes": nodes}))
}

pub fn unreachable() -> Value {
    json!({"code": "unreachable", "message": "ask n3: connection refused"})
}

fn of_n2() -> Scripted {
    Scripted::new(|line| match &line.request {
        _ if line.node.as_deref() != Some("n2") || line.all => refused("failed", "not for n2"),
        Request::Status
        | Request::Start { .. }
        | Request::Stop { .. }
        | Request::Restart { .. } => Answer::Ok(status(2)),
        Request::Why => Answer::Ok(json!({"ok": true, "verdicts": [{"code": "healthy",
            "severity": "info", "summary": "healthy: well", "evidence": [], "what_to_do": []}]})),
        Request::Events { since, .. } => {
            let event = json!({"seq": 4, "at": 0, "kind": "service.ready",
                "severity": "notice", "text": "it runs"});
            let events = if *since < 4 { vec![event] } else { vec![] };
            Answer::Ok(json!({"first": 4, "last": 4, "gone": false, "events": events}))
        }
        Request::ConfigShow => Answer::Ok(json!({"text": "totem {\n}\n", "source": "c"})),
        Request::ConfigCheck => Answer::Ok(json!({"path": "/c", "ok": true, "findings": []})),
        Request::ConfigDiff { .. } => Answer::Ok(json!({"diff": "", "plan": []})),
        Request::ConfigHistory => Answer::Ok(json!({"entries": [], "damaged": 0})),
        Request::KeyFingerprint => Answer::Ok(json!({"fingerprint": "f1"})),
        _ => refused("usage", "not asked for"),
    })
}

#[test]
fn every_verb_asks_the_node_that_is_named_and_prints_its_name() {
    let daemon = of_n2();
    for (verb, request, start) in [
        ("status", "status", "n2 is in CLUSTER mode and quorate"),
        ("why", "why", "On n2:\nhealthy: well\n"),
        ("start", "start", "n2 is in CLUSTER mode"),
        ("stop --no-wait", "stop", "clusmgr has the order"),
        ("restart", "restart", "n2 is in CLUSTER mode"),
        ("events --since 3", "events", "On n2:\n     4  "),
        ("events", "events", "On n2:\n     4  "),
        ("link list", "status", "On n2:\nnode  nodeid  link"),
        ("config show", "config.show", "# On n2:\ntotem {\n}\n"),
        ("config check", "config.check", "n2:/c: nothing is wrong\n"),
        ("config diff", "config.diff", "# On n2:\nno difference\n"),
        (
            "config history",
            "config.history",
            "On n2:\nno changes yet\n",
        ),
        ("key fingerprint", "key.fingerprint", "n2: f1\n"),
    ] {
        let (code, out, err) = daemon.run(&format!("{verb} --node n2"));
        assert_eq!((code, err.as_str()), (0, ""), "{verb}");
        assert!(out.starts_with(start), "{verb}: {out}");
        assert!(!out.contains("this node"), "{verb}: {out}");
        for line in daemon.heard() {
            assert_eq!(
                (&line["node"], &line["req"]),
                (&json!("n2"), &json!(request))
            );
            assert!(line.get("all").is_none(), "{line}");
        }
    }
    let (code, out, _) = daemon.run("--node n2 status --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, value), (0, status(2)), "as it came");
}

#[test]
fn a_node_that_cannot_be_reached_is_4_for_status_and_1_for_the_others() {
    let daemon = Scripted::new(|_| {
        refused(
            "unreachable",
            "ask n2: 10.0.0.2:5407: connection refused; start clusmgr there",
        )
    });
    for (verb, code) in [
        ("status", 4),
        ("why", 1),
        ("restart", 1),
        ("events", 1),
        ("config check", 1),
        ("key fingerprint", 1),
    ] {
        let (got, out, err) = daemon.run(&format!("--node n2 {verb}"));
        assert_eq!((got, out.as_str()), (code, ""), "{verb}");
        assert_eq!(
            err, "clusmgrctl: ask n2: 10.0.0.2:5407: connection refused; start clusmgr there\n",
            "{verb}"
        );
    }
}

#[test]
fn a_node_that_is_in_no_configuration_is_a_slip() {
    let words = "ask node n9: the configuration here has no such node; it has n1, n2";
    let daemon = Scripted::new(move |_| refused("usage", words));
    for verb in ["status", "why", "stop"] {
        let (code, out, err) = daemon.run(&format!("{verb} --node n9"));
        assert_eq!((code, out.as_str()), (2, ""), "{verb}");
        assert_eq!(err, format!("clusmgrctl: {words}\n"));
    }
}

#[test]
fn a_stream_of_another_node_is_followed_and_goes_on_after_a_pause() {
    // The stream ends once by an error line in the place of an event, and is taken up after event 5.
    let daemon = Scripted::new(|line| match &line.request {
        Request::Events { .. } => {
            Answer::Ok(json!({"first": 0, "last": 4, "gone": false, "events": []}))
        }
        Request::Subscribe { .. } => Answer::Ok(json!(null)),
        _ => refused("usage", "not asked for"),
    });
    let event = |seq: u64| {
        json!({"seq": seq, "at": 0, "kind": "service.ready",
        "severity": "notice", "text": format!("event number {seq}")})
    };
    let gone = json!({"id": 0, "err": {"code": "unreachable", "message": "ask n2: it hung up"}});
    daemon
        .stream
        .lock()
        .extend([vec![event(5), gone], vec![event(6)]]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clusmgrctl"));
    command.args(["events", "-f", "--node", "n2", "--since", "4"]);
    command.arg("--socket").arg(daemon.socket());
    let following = Running::new(command);
    following.expect("On n2:");
    following.expect("event number 5");
    following.expect("event number 6");
    let since: Vec<Value> = daemon
        .heard()
        .into_iter()
        .filter(|l| l["req"] == "subscribe")
        .map(|l| json!([l["node"], l["since"]]))
        .collect();
    assert_eq!(since, [json!(["n2", 4]), json!(["n2", 5])]);
}

#[test]
fn what_another_node_refuses_keeps_its_exit_code_and_gets_its_name() {
    let daemon = Scripted::new(|_| refused("not-configured", "read authkey: there is none"));
    assert_eq!(
        daemon.run("--node 2 key fingerprint"),
        (
            6,
            String::new(),
            "clusmgrctl: node 2: read authkey: there is none\n".to_owned()
        )
    );
}

#[test]
fn without_a_daemon_here_no_other_node_can_be_asked_and_no_pid_file_is_looked_at() {
    let bed = crate::bed::Bed::dead();
    std::fs::write(bed.dir.path().join("clusmgr.pid"), "4711\n").unwrap();
    for (verb, code) in [("status", 4), ("why", 7), ("config check", 7)] {
        let (got, out, err) = bed.run(&format!("{verb} --node n2"));
        assert_eq!((got, out.as_str()), (code, ""), "{verb}");
        assert!(
            err.contains("ask n2: clusmgr does not run here") && err.lines().count() == 1,
            "{err}"
        );
    }
    for (verb, code) in [("status --all", 4), ("why --all", 7), ("link matrix", 7)] {
        assert_eq!(bed.run(verb).0, code, "{verb}");
    }
}

#[test]
fn an_older_daemon_is_never_told_to_stop_itself_in_the_place_of_another_node() {
    // It reads no "node" in a request, and knows no "peer.report".
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("clusmgr.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        for stream in listener.incoming().map_while(Result::ok) {
            let mut to = stream.try_clone().unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = tell.send(line);
                let reply = r#"{"id":1,"proto":1,"err":{"code":"usage","message":"unknown"}}"#;
                writeln!(to, "{reply}").unwrap();
            }
        }
    });
    for args in ["--node n2 stop", "status --all", "restart --all"] {
        let mut c = std::process::Command::new(env!("CARGO_BIN_EXE_clusmgrctl"));
        c.args(args.split(' ')).arg("--socket").arg(&socket);
        let out = c.output().unwrap();
        let err = String::from_utf8(out.stderr).unwrap();
        assert!(!out.status.success() && err.contains("is older"), "{err}");
    }
    let lines: Vec<String> = heard.try_iter().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|l| l.contains("peer.report")), "{lines:?}");
}

#[test]
fn status_of_all_is_a_table_and_the_worst_exit_code() {
    let daemon = Scripted::new(|_| all(status));
    let (code, out, err) = daemon.run("status --all");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with("3 of 3 nodes are quorate members.\n"),
        "{out}"
    );
    assert!(!out.contains('\x1b'), "colours without a terminal");
    assert_eq!(daemon.heard(), [json!({"req": "status", "all": true})]);
    let daemon = Scripted::new(|_| {
        all(|id| match id {
            3 => unreachable(),
            2 => {
                let mut s = status(2);
                s["key"]["fingerprint"] = json!("f2");
                s
            }
            _ => status(1),
        })
    });
    let (code, out, _) = daemon.run("status --all");
    assert_eq!(code, 4);
    assert!(
        out.contains("n3         3  refused: the machine is there"),
        "{out}"
    );
    assert!(
        out.contains("key differs, by its fingerprint: f1 on n1; f2 on n2\n"),
        "{out}"
    );
    let (code, out, _) = daemon.run("status --all --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["concluded"]["exit"]), (4, &json!(4)));
    assert_eq!(value["nodes"][2]["unreachable"], "refused");
    assert_eq!(value["nodes"][0]["ok"], status(1));
    assert_eq!(value["concluded"]["differs"][0]["what"], "key");
    assert_eq!(
        value["concluded"]["differs"][0]["values"][1],
        json!({"value": "f2", "nodes": ["n2"]})
    );
}

#[test]
fn why_of_all_groups_what_is_the_same() {
    let verdict = |code: &str| {
        json!({"ok": code == "healthy", "verdicts": [{"code": code, "severity": "err",
            "summary": code, "evidence": ["seen"], "what_to_do": ["do"]}]})
    };
    let daemon = Scripted::new(move |_| {
        all(|id| match id {
            2 => verdict("held"),
            _ => verdict("no-link"),
        })
    });
    let (code, out, err) = daemon.run("why --all");
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(
        out.starts_with(
            "On n2:\nheld\n  seen\n  What to do:\n    - do\n\nOn n1 and n3:\nno-link\n"
        ),
        "{out}"
    );
    let (_, out, _) = daemon.run("why --all --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    let verdicts = &value["concluded"]["verdicts"];
    assert_eq!(
        (&verdicts[0]["code"], &verdicts[1]["nodes"]),
        (&json!("held"), &json!(["n1", "n3"]))
    );
    let daemon = Scripted::new(move |_| all(|_| verdict("healthy")));
    assert_eq!(daemon.run("why --all").0, 0);
}

#[test]
fn configurations_and_keys_of_all_are_compared() {
    let daemon = Scripted::new(|line| {
        let other = line.request == Request::ConfigShow;
        all(|id| match (&line.request, id) {
            (_, 3) if other => unreachable(),
            (Request::ConfigShow, _) => json!({"text": format!("token: {id}\n"), "source": "c"}),
            (Request::KeyFingerprint, _) => json!({"fingerprint": "f1"}),
            _ => status(id),
        })
    });
    let (code, out, err) = daemon.run("config diff --all");
    assert_eq!((code, err.as_str()), (1, ""));
    assert_eq!(
        out,
        "# n2: text\n# n3: refused: the machine is there, and no clusmgr listens on it\n\n\
         --- n1\n+++ n2\n@@ -1 +1 @@\n-token: 1\n+token: 2\n"
    );
    let asked = daemon.heard();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|l| l["all"] == true), "{asked:?}");
    let (code, out, _) = daemon.run("key fingerprint --all");
    assert_eq!((code, out.as_str()), (0, "n1  f1\nn2  f1\nn3  f1\n"));
    let (code, out, _) = daemon.run("key fingerprint --all --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["concluded"]["same"]), (0, &json!(true)));
}

#[test]
fn what_takes_two_questions_to_all_asks_them_side_by_side() {
    // Neither is answered before both are there, or for so long that the program gives up.
    let came = (Mutex::new(0), Condvar::new());
    let daemon = Scripted::new(move |line| {
        let (count, changed) = &came;
        let mut all_came = count.lock().unwrap();
        *all_came += 1;
        changed.notify_all();
        let enough = |n: &mut i32| *n < 2;
        let waited = changed.wait_timeout_while(all_came, Duration::from_secs(20), enough);
        drop(waited.unwrap());
        match &line.request {
            Request::ConfigShow => all(|_| json!({"text": "totem {\n}\n"})),
            _ => all(status),
        }
    });
    let (code, out, err) = daemon.run("config diff --all");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(daemon.heard().len(), 2);
}
