//! Reloads that go well and that get stuck, versions that differ, what runs against the file, and
//! pauses.

use crate::bed::{formed, kinds, members, none_of, of_kinds, token, up_edited, wait_after, well};
use crate::common::{Node, degraded, stays};
use serde_json::Value;
use std::time::Duration;

const CONF: &str = "/etc/corosync/corosync.conf";
const RELOADS: [&str; 3] = ["reload.ok", "reload.failed", "reload.stuck"];

/// Applies the live text with another version and merge timer.
#[track_caller]
fn apply(node: &Node<'_>, version: u64, merge: u64) {
    let text = String::from_utf8(node.read(CONF)).unwrap();
    let old = text.lines().find(|l| l.contains("config_version:"));
    let (old, rest) = (old.unwrap(), format!("config_version: {version}"));
    let lines = text.lines().filter(|l| !l.trim().starts_with("merge:"));
    let lines = lines.map(|l| match l == old {
        true => format!("\t{rest}\n\tmerge: {merge}\n"),
        false => format!("{l}\n"),
    });
    node.put("/tmp/new.conf", lines.collect::<String>());
    let words = ["config", "apply", "/tmp/new.conf", "--this-node-only"];
    node.ctl(&words).ok();
}

fn first_verdict(node: &Node<'_>) -> (i32, Value) {
    let ran = node.ctl(&["why", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    (ran.code, report["verdicts"][0]["code"].clone())
}

#[test]
fn reloads_versions_differences_and_pauses_are_told_where_they_are() {
    let lab = up_edited("reloads", (2, 1), &["--poll-interval", "0.2"], token(3000));
    let pids = formed(&lab, 2);
    let (n1, n2) = (lab.node(1), lab.node(2));

    // A change at one node: all reload, and the other one is behind.
    let seq = [n1.latest(), n2.latest()];
    apply(&n1, 2, 210);
    let ok = wait_after(&n1, seq[0], "reload.ok", |_| true);
    assert_eq!(ok["fields"]["status"], 1);
    wait_after(&n2, seq[1], "reload.ok", |_| true);
    let told = wait_after(&n2, seq[1], "node.config_version", |_| true);
    assert_eq!(told["fields"]["nodeid"], 1);
    assert_eq!(told["fields"]["name"], "n1");
    assert_eq!(told["fields"]["version"], 2);
    let s = n2.wait("behind", |s| degraded(s) == ["config-version-behind"]);
    assert_eq!(s["cluster"]["config_version"], 1);
    assert_eq!(s["cluster"]["members"][0]["config_version"], 2);
    assert_eq!(
        first_verdict(&n2),
        (1, Value::from("config-version-behind"))
    );
    n1.wait("well", |s| well(s, 2));
    apply(&n2, 2, 210);
    n2.wait("no more behind", |s| well(s, 2));
    wait_after(&n1, seq[0], "node.config_version", |e| {
        e["fields"]["nodeid"] == 2 && e["fields"]["version"] == 2
    });
    for (n, seq) in [&n1, &n2].into_iter().zip(seq) {
        let told = of_kinds(n, seq, &RELOADS);
        assert_eq!(kinds(&told), ["reload.ok", "reload.ok"], "{}", n.name);
    }

    // A file that does not parse, and a reload from another node.
    let good = n2.read(CONF);
    let seq = [n1.latest(), n2.latest()];
    n2.put(CONF, [good.as_slice(), b"}\n"].concat());
    n1.run(&["corosync-cfgtool", "-R"]);
    wait_after(&n2, seq[1], "reload.stuck", |_| true);
    wait_after(&n1, seq[0], "reload.ok", |_| true);
    n2.wait("stuck", |s| {
        let told = degraded(s);
        told.contains(&"reload-stuck") && told.contains(&"bad-config")
    });
    // The root first: corosync could not read that file.
    assert_eq!(first_verdict(&n2), (1, Value::from("bad-config")));
    // Another one of that kind is told too.
    let again = n2.latest();
    n1.run(&["corosync-cfgtool", "-R"]);
    wait_after(&n2, again, "reload.stuck", |_| true);
    n2.put(CONF, &good);
    n1.run(&["corosync-cfgtool", "-R"]).ok();
    n2.wait("it recovers", |s| well(s, 2));
    let told = of_kinds(&n2, seq[1], &RELOADS);
    assert_eq!(kinds(&told), ["reload.stuck", "reload.stuck", "reload.ok"]);
    none_of(&n1, seq[0], &["reload.stuck", "reload.failed"]);

    // Somebody changes what runs.
    n1.run(&["corosync-cmapctl", "-s", "totem.merge", "u32", "333"])
        .ok();
    let s = n1.wait("it differs", |s| degraded(s) == ["running-differs"]);
    let detail = s["degraded"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("totem.merge is 333"), "{detail}");
    assert_eq!(first_verdict(&n1), (1, Value::from("running-differs")));
    n1.run(&["corosync-cmapctl", "-s", "totem.merge", "u32", "210"])
        .ok();
    n1.wait("as in the file", |s| well(s, 2));

    // A corosync that does not get to run for a while, shorter than the hang time-out.
    let seq = n1.latest();
    n1.kill("STOP", pids[0]);
    stays("stopped", Duration::from_millis(2700), || {
        n1.letter(pids[0]) == "T"
    });
    n1.kill("CONT", pids[0]);
    let pause = wait_after(&n1, seq, "sched.pause", |_| true);
    let ms = pause["fields"]["ms"].as_f64().unwrap();
    assert!((2400.0..60_000.0).contains(&ms), "{pause}");
    n1.wait("degraded", |s| degraded(s).contains(&"sched-pause"));
    let follows = wait_after(&n1, seq, "degraded", |e| {
        e["fields"]["reason"] == "sched-pause"
    });
    assert!(follows["seq"].as_u64() > pause["seq"].as_u64(), "{follows}");
    assert_eq!(first_verdict(&n1), (1, Value::from("sched-pause")));
    assert_eq!(n1.pid(), pids[0]);
    assert_eq!(n1.ctl(&["status"]).code, 151);
    none_of(&n1, seq, &["service.hung", "service.starting"]);

    // It was that corosync's pause, and no other's.
    n1.kill("KILL", pids[0]);
    let s = n1.wait("another one is known", |s| {
        s["service"]["pid"] != pids[0] && members(s) == [1, 2]
    });
    assert!(!degraded(&s).contains(&"sched-pause"), "{s:#}");
}
