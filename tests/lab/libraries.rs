//! corosync's client libraries in the daemon: what any client may write into corosync's maps,
//! libraries that do not fit, and a corosync that dies in the middle of a call.

use crate::common::{LONG, Lab, degraded, stays, until};
use serde_json::{Value, json};
use std::time::Duration;

const TYPES: [(&str, &str); 12] = [
    ("i8", "-7"),
    ("u8", "201"),
    ("i16", "-8"),
    ("u16", "60001"),
    ("i32", "-9"),
    ("u32", "4000000001"),
    ("i64", "-10"),
    ("u64", "18446744073709551615"),
    ("flt", "1.5"),
    ("dbl", "-2.25"),
    ("str", "no number"),
    ("bin", "/tmp/bytes"),
];

/// The numbers among them that a version can be.
const NUMBERS: [u64; 4] = [201, 60001, 4_000_000_001, u64::MAX];

/// Keys that clusmgr reads or follows, and that a client may set. What corosync itself makes of
/// them matters only in that it lives.
const KEYS: [&str; 9] = [
    "config.reload_status",
    "config.any",
    "runtime.members.2.config_version",
    "runtime.members.2.status",
    "runtime.members.99999999999.config_version",
    "runtime.members.x.config_version",
    "quorum.any",
    "nodelist.any",
    "totem.config_version",
];

#[test]
fn a_value_of_any_length_and_type_in_corosyncs_maps_is_no_harm_and_no_nonsense() {
    let lab = Lab::up("cmap-values", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_ring(1);
    n1.wait("the cluster is known", |s| s["cluster"]["quorate"] == true);
    let pids = (n1.daemon_pid(), n1.pid());
    let mut script = "head -c 9000 /dev/urandom >/tmp/bytes\n".to_owned();
    for key in KEYS {
        for (kind, value) in TYPES {
            let set = match kind {
                "bin" => format!("corosync-cmapctl -s {key} bin {value}\n"),
                _ => format!("corosync-cmapctl -s {key} {kind} '{value}'\n"),
            };
            script += &set;
        }
        script += &format!(
            "corosync-cmapctl -s {key} str \"$(printf 'x%.0s' {{1..9000}})\"
             corosync-cmapctl -s {key} str $'\\e[31mred\\a\\nline'
             corosync-cmapctl -s {key} str ''
             : >/tmp/empty; corosync-cmapctl -s {key} bin /tmp/empty\n"
        );
    }
    // What is no version at all, where clusmgr compares it with the file.
    script += "corosync-cmapctl -s totem.config_version str $'\\e[31mred\\a\\nline'\n";
    // One that is told when all before it were taken.
    script += "corosync-cmapctl -s runtime.members.2.config_version u32 4711\n";
    n1.sh(&script).ok();
    let versions = || -> Vec<u64> {
        let events = n1.events_of("node.config_version");
        let of_2 = events.iter().filter(|e| e["fields"]["nodeid"] == 2);
        of_2.map(|e| e["fields"]["version"].as_u64().unwrap())
            .collect()
    };
    until("the last value is told", LONG, || {
        (versions().last() == Some(&4711)).then_some(())
    });
    let mut wanted = NUMBERS.to_vec();
    wanted.push(4711);
    assert_eq!(versions(), wanted, "numbers as they were, and nothing else");
    let of_others = n1.events_of("node.config_version");
    let mut of_others = of_others.iter().map(|e| &e["fields"]["nodeid"]);
    assert!(of_others.all(|id| *id == 2 || *id == 1));

    let s = n1.wait("the difference is told", |s| {
        let items = s["degraded"].as_array().unwrap();
        let detail = |d: &Value| d["detail"].as_str().unwrap().contains("red");
        items.iter().any(detail)
    });
    assert_eq!(s["cluster"]["config_version"], Value::Null);
    assert_eq!((n1.daemon_pid(), n1.pid()), pids);
    assert_eq!(s["service"]["restarts"], 0);
    let reasons = degraded(&s);
    for reason in ["no-answer", "no-access", "reload-stuck", "not-delivering"] {
        assert!(!reasons.contains(&reason), "{s:#}");
    }
    let shown = n1.ctl(&["status"]).out + &n1.ctl(&["events"]).out + &n1.ctl(&["why"]).out;
    let bad = shown.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(bad, None, "{shown}");
    for kind in ["reload.failed", "reload.stuck", "service.hung"] {
        assert_eq!(n1.events_of(kind).len(), 0, "{kind}");
    }
    // It still sees what happens.
    n1.sh("corosync-cfgtool -R").ok();
    n1.wait_event("reload.ok", 1);
}

/// Hides the machine's own libcmap from what starts after this.
const HIDE: &str = "for f in /usr/lib/*-linux-gnu/libcmap.so.4.*; do
                        mount -n --bind /dev/null $f || exit 1
                    done";

#[test]
fn with_libraries_of_another_version_corosync_runs_and_what_is_missing_is_named() {
    let lab = Lab::up("other-libraries", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.sh(
        "mkdir -p /tmp/ddr/bin /tmp/ddr/lib64 /tmp/new && cp /usr/sbin/corosync /tmp/ddr/bin/ &&
         cp /usr/lib/*-linux-gnu/libcmap.so.4.* /tmp/new/libcmap.so.4 &&
         cp /tmp/new/libcmap.so.4 /tmp/ddr/lib64/libcmap.so.5",
    )
    .ok();
    n1.sh(HIDE).ok();
    n1.start_daemon(&["--corosync-bin", "/tmp/ddr/bin/corosync"]);
    n1.wait_state("running");
    let s = n1.wait("no-libraries", |s| degraded(s).contains(&"no-libraries"));
    let pids = (n1.daemon_pid(), n1.pid());
    let detail = s["degraded"][0]["detail"].as_str().unwrap();
    for part in ["libcmap.so.4", "cannot be loaded", "install libcmap4"] {
        assert!(detail.contains(part), "no {part} in {detail}");
    }
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["cluster"], Value::Null);
    let told = n1.wait_event("degraded", 1);
    assert_eq!(told["fields"], json!({"reason": "no-libraries"}));
    let why = n1.ctl(&["why"]);
    assert_eq!(why.code, 1, "{why:?}");
    assert!(why.out.contains("libcmap.so.4"), "{why:?}");
    // A corosync that nobody could ask has not failed to answer, however long that lasts.
    let before = n1.wake_ups();
    stays("that alone", Duration::from_secs(12), || {
        degraded(&n1.status()) == ["no-libraries"]
    });
    assert!(n1.wake_ups() > before);
    assert_eq!((n1.daemon_pid(), n1.pid()), pids);
    assert_eq!(n1.events_of("degraded").len(), 1);
    // What nobody could prove is not done to it.
    let file = n1.read("/etc/corosync/corosync.conf");
    let text = String::from_utf8(file.clone()).unwrap();
    n1.put(
        "/tmp/next.conf",
        text.replace("config_version: 1", "config_version: 2")
            .replace("totem {", "totem {\n\ttoken: 4000"),
    );
    let ran = n1.ctl(&["config", "apply", "/tmp/next.conf"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("cannot be asked") && ran.err.contains("libcmap.so.4"),
        "{ran:?}"
    );
    assert_eq!(n1.read("/etc/corosync/corosync.conf"), file);
    assert_eq!((n1.daemon_pid(), n1.pid()), pids);
    // Installed now.
    n1.sh("mv /tmp/new/libcmap.so.4 /tmp/ddr/lib64/").ok();
    let s = n1.wait("the cluster is known", |s| s["cluster"]["quorate"] == true);
    assert_eq!(degraded(&s), [""; 0]);
    n1.wait_event("degraded.ended", 1);
    assert_eq!((n1.daemon_pid(), n1.pid()), pids);
}

#[test]
fn a_corosync_that_dies_in_the_middle_of_a_call_is_reached_again_each_time_without_a_busy_loop() {
    let flags = ["--restart-limit", "0", "--stable-after", "0.1"];
    let lab = Lab::up("dying-calls", "1", &flags);
    let n1 = lab.node(1);
    let known = |s: &Value| s["cluster"]["quorate"] == true;
    n1.wait("the cluster is known", known);
    let daemon = n1.daemon_pid();
    // Changes that come all the time keep cm-watch at its calls.
    let busy = n1.spawn(
        "bash -c 'for ((i = 1; ; i++)); do corosync-cmapctl -s totem.test u32 $i; done' 2>/dev/null",
    );
    for _ in 0..10 {
        let pid = n1.pid();
        n1.kill("KILL", pid);
        n1.wait("the next is known", |s| {
            known(s) && s["service"]["pid"] != pid
        });
        assert_eq!(n1.daemon_pid(), daemon);
    }
    n1.kill("KILL", busy);
    n1.wait_gone(busy);
    n1.wait_ring(1);
    let s = n1.wait("the cluster is known", known);
    assert_eq!(s["service"]["restarts"], 10);
    assert_eq!(n1.events_of("quorum.gained").len(), 11);
    assert_eq!(n1.events_of("service.hung").len(), 0);
    // Quiet now: a loop would go round thousands of times.
    let before = n1.wake_ups();
    stays("it lives", Duration::from_secs(4), || n1.lives(daemon));
    let woke = n1.wake_ups() - before;
    assert!(woke < 200, "{woke} wake-ups in 4 s");
    // Nor where corosync stays away.
    n1.ctl(&["stop"]).ok();
    n1.wait_state("stopped");
    let before = n1.wake_ups();
    stays("it lives", Duration::from_secs(2), || n1.lives(daemon));
    let woke = n1.wake_ups() - before;
    assert!(woke < 100, "{woke} wake-ups in 2 s");
}
