//! `restart --all` and `link matrix` against a daemon that is scripted.

use crate::nodes::{all, status, unreachable};
use crate::scripted::{Scripted, refused};
use clusmgr::wire::{Answer, Request};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

/// How often each of three nodes was restarted, in the order in which it was asked.
type Order = Arc<Mutex<Vec<u32>>>;

/// Three nodes that can be restarted; what a node says afterwards can be changed.
fn cluster(change: impl Fn(u32, &[u32], &mut Value) + Send + Sync + 'static) -> (Scripted, Order) {
    let order: Order = Arc::default();
    let seen = Arc::clone(&order);
    let daemon = Scripted::new(move |line| match (&line.request, line.all) {
        (Request::Status, true) => {
            let order = seen.lock().clone();
            all(|id| {
                let mut s = status(id);
                let times = order.iter().filter(|o| **o == id).count();
                s["service"]["pid"] = json!(100 * id + u32::try_from(times).unwrap());
                change(id, &order, &mut s);
                s
            })
        }
        (Request::Restart { rolling, wait_ms }, false) => {
            assert!(*rolling);
            assert!(*wait_ms > 0);
            let id = line.node.as_ref().map_or(1, |n| n[1..].parse().unwrap());
            seen.lock().push(id);
            Answer::Ok(status(id))
        }
        _ => refused("usage", "not asked for"),
    });
    (daemon, order)
}

#[test]
fn all_nodes_are_restarted_one_by_one_this_one_last() {
    let (daemon, order) = cluster(|_, _, _| ());
    let (code, out, err) = daemon.run("restart --all --dry-run");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("  1  n2: 2 of 3 votes stay, 2 needed, margin 0\n"),
        "{out}"
    );
    assert!(order.lock().is_empty(), "a dry run restarted something");
    daemon.heard();
    let (code, out, err) = daemon.run("restart --all");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(*order.lock(), [2, 3, 1]);
    let names: Vec<&str> = out.lines().map(|l| &l[..2]).collect();
    assert_eq!(names, ["n2", "n3", "n1"], "{out}");
    assert!(out.contains("a quorate member again after"), "{out}");
    let restarts: Vec<Value> = daemon
        .heard()
        .into_iter()
        .filter(|l| l["req"] == "restart")
        .collect();
    assert_eq!(
        restarts,
        [
            json!({"req": "restart", "node": "n2", "rolling": true, "wait_ms": 60000}),
            json!({"req": "restart", "node": "n3", "rolling": true, "wait_ms": 60000}),
            json!({"req": "restart", "rolling": true, "wait_ms": 60000}),
        ]
    );
    let (code, out, _) = daemon.run("restart --all --json --wait=9");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["restarted"]), (0, &json!(["n2", "n3", "n1"])));
}

#[test]
fn it_stops_at_the_first_that_does_not_come_back_and_touches_no_other() {
    let (daemon, order) = cluster(|id, order, s| {
        if id == 3 && order.contains(&3) {
            s["cluster"]["quorate"] = json!(false);
        }
    });
    let (code, out, err) = daemon.run("restart --all --wait=0.6");
    assert_eq!(code, 1);
    assert_eq!(*order.lock(), [2, 3]);
    assert!(out.ends_with("n3: restarting … failed\n"), "{out}");
    assert_eq!(
        err,
        "clusmgrctl: restart all nodes: stopped at n3: restart n3: after 0.6 s it is no quorate \
         member; restarted before it: n2; not touched: n1; see clusmgrctl why --node n3\n"
    );
}

#[test]
fn a_node_that_falls_into_standalone_ends_it_at_once() {
    let (daemon, order) = cluster(|id, order, s| {
        if id == 2 && order.contains(&2) {
            s["mode"] = json!("standalone");
            s["mode_reason"] = json!("bad-config");
        }
    });
    let began = std::time::Instant::now();
    let (code, _, err) = daemon.run("restart --all --json");
    assert_eq!((code, order.lock().as_slice()), (1, &[2][..]));
    assert!(err.contains("it is STANDALONE now, bad-config"), "{err}");
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn a_node_that_goes_meanwhile_keeps_the_next_from_being_restarted() {
    // n3 is lost as soon as n2 was restarted.
    let (daemon, order) = cluster(|id, order, s| {
        if id == 3 && !order.is_empty() {
            *s = unreachable();
        }
    });
    let (code, _, err) = daemon.run("restart --all --wait=0.6");
    assert_eq!((code, order.lock().as_slice()), (1, &[2][..]));
    assert!(
        err.contains("n2 is back, but n3 does not answer: refused"),
        "{err}"
    );
}

#[test]
fn it_is_refused_where_quorum_has_no_margin_and_nothing_is_restarted() {
    let (daemon, order) = cluster(|id, _, s| {
        s["cluster"]["quorum"] = json!(3);
        if id == 2 {
            s["service"]["hold"] = json!(true);
        }
    });
    for args in ["restart --all", "restart --all --dry-run"] {
        let (code, out, err) = daemon.run(args);
        assert_eq!((code, out.as_str()), (1, ""), "{args}");
        assert!(
            err.contains("refused: without n2 there are 2 votes, and quorum needs 3\n"),
            "{err}"
        );
        assert!(err.contains("refused: n2 is held"), "{err}");
    }
    let (code, out, _) = daemon.run("restart --all --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, value["refused"].as_array().unwrap().len()), (1, 4));
    assert!(order.lock().is_empty(), "refused, and restarted");
}

#[test]
fn who_may_not_restart_is_told_so_at_the_first_node() {
    let daemon = Scripted::new(|line| match line.request {
        Request::Status => all(status),
        _ => refused(
            "denied",
            "restart corosync: only root may; ask again as root",
        ),
    });
    let (code, _, err) = daemon.run("restart --all");
    assert_eq!(code, 4);
    assert!(
        err.contains("stopped at n2") && err.contains("only root may"),
        "{err}"
    );
}

#[test]
fn the_matrix_asks_every_node_for_its_status_and_says_where_to_look() {
    let daemon = Scripted::new(|_| all(status));
    let (code, out, err) = daemon.run("link matrix");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with("link 0      n1      n2      n3\nn1           .      ok      ok\n"),
        "{out}"
    );
    assert!(
        out.ends_with("\nAll 3 nodes hear each other on their only link.\n"),
        "{out}"
    );
    assert_eq!(daemon.heard(), [json!({"req": "status", "all": true})]);
    let daemon = Scripted::new(|_| {
        all(|id| {
            let mut s = status(id);
            // What n1 sends does not arrive at n2.
            if id < 3 {
                s["links"][0]["connected"] = json!(false);
                s["links"][0]["heard"] = json!(id == 1);
            }
            s
        })
    });
    let (code, out, _) = daemon.run("link matrix");
    assert_eq!(code, 1);
    assert!(
        out.contains("one-way on link 0: n2 does not hear n1, which hears it:\n"),
        "{out}"
    );
    let (code, out, _) = daemon.run("link matrix --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["concluded"]["ok"]), (1, &json!(false)));
    let concluded = &value["concluded"];
    assert_eq!(
        concluded["links"][0]["cells"][0],
        json!(["self", "one-way", "connected"])
    );
    assert_eq!(
        (
            &concluded["faults"][0]["code"],
            &concluded["faults"][0]["nodes"]
        ),
        (&json!("one-way"), &json!(["n1", "n2"]))
    );
    assert!(value["nodes"][0]["ok"]["links"].is_array(), "as it came");
}
