//! Files that somebody else changed: told, used if they are good, never overwritten.

use crate::common::{Lab, degraded, stays};
use serde_json::{Value, json};
use std::time::Duration;

const CONF: &str = "/etc/corosync/corosync.conf";
const KEY: &str = "/etc/corosync/authkey";
/// No retry in the time of a test: what brings corosync back is the change.
const FLAGS: [&str; 6] = [
    "--stable-after",
    "0.1",
    "--poll-interval",
    "0.2",
    "--standalone-retry",
    "600",
];

#[test]
fn a_hand_edit_is_drift_is_used_by_a_start_is_never_overwritten_and_is_taken_in_by_hup() {
    let lab = Lab::up("drift", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    let sha = n1.status()["config"]["sha256"].clone();
    assert_eq!(n1.cmap("runtime.config.totem.token"), "1000");
    // Not as clusmgr would lay it out.
    n1.edit_conf(|t| {
        format!(
            "# by hand\n{}",
            t.replace("\ttoken: 1000", "  token:   1300")
        )
    });
    let edited = n1.read(CONF);
    let identity = n1.identity(CONF);
    let s = n1.wait("drift", |s| s["config"]["drift"] == true);
    assert_eq!(degraded(&s), ["drift"]);
    assert_eq!(s["config"]["sha256"], sha, "that is what clusmgr holds");
    assert_eq!(s["service"]["pid"], first);
    let told = n1.wait_event("config.drift", 1);
    assert_eq!(told["severity"], "warning");
    assert_eq!(n1.wait_event("degraded", 1)["fields"]["reason"], "drift");

    n1.kill("KILL", first);
    let second = n1.wait_other(first);
    assert_eq!(
        n1.cmap("runtime.config.totem.token"),
        "1300",
        "the start used it"
    );
    assert_eq!(n1.read(CONF), edited);
    assert_eq!(n1.identity(CONF), identity);
    let s = n1.status();
    assert_eq!(degraded(&s), ["drift"]);
    assert_eq!(s["mode"], "cluster");
    assert_eq!(n1.events_of("config.drift").len(), 1, "told once");

    // A clusmgr that comes anew sees it too.
    n1.end_daemon("QUIT");
    n1.start_daemon(&FLAGS);
    let s = n1.wait_state("running");
    assert_eq!(s["service"]["pid"], second);
    assert_eq!(degraded(&s), ["drift"]);
    assert_eq!(n1.read(CONF), edited);

    n1.kill("HUP", n1.daemon_pid());
    let s = n1.wait("taken in", |s| s["config"]["drift"] == false);
    assert_eq!(s["degraded"], json!([]));
    assert_ne!(s["config"]["sha256"], sha);
    assert_eq!(s["service"]["pid"], second);
    assert_eq!(n1.wait_event("config.changed", 1)["fields"]["by"], "SIGHUP");
    assert_eq!(
        n1.wait_event("degraded.ended", 1)["fields"]["reason"],
        "drift"
    );
    assert_eq!(n1.ctl(&["status", "--wait"]).code, 0);
    let shown = n1.ctl(&["config", "show"]).ok();
    assert!(
        shown.contains("token: 1300") && shown.contains("# by hand"),
        "{shown}"
    );
    assert_eq!(n1.read(CONF), edited, "HUP writes no live file");

    // It is clusmgr's now: no drift at the next start.
    n1.ctl(&["restart"]).ok();
    assert_eq!(n1.cmap("runtime.config.totem.token"), "1300");
    assert_eq!(n1.status()["degraded"], json!([]));
}

#[test]
fn the_old_text_put_back_ends_the_drift() {
    let lab = Lab::up("drift-undone", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let good = n1.read(CONF);
    n1.edit_conf(|t| t.replace("token: 1000", "token: 1300"));
    n1.wait("drift", |s| s["config"]["drift"] == true);
    n1.put(CONF, &good);
    let s = n1.wait("no drift", |s| s["config"]["drift"] == false);
    assert_eq!(s["degraded"], json!([]));
    assert_eq!(n1.wait_event("config.drift-ended", 1)["severity"], "notice");
    assert_eq!(n1.events_of("service.exited").len(), 0);
}

#[test]
fn a_hand_edit_that_does_not_parse_leads_to_standalone_at_the_next_start_and_is_left_as_it_is() {
    let lab = Lab::up("drift-bad", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    let good = n1.read(CONF);
    let mut bad = b"totem\n".to_vec();
    bad.extend(&good);
    n1.put(CONF, &bad);
    let s = n1.wait("degraded", |s| degraded(s).contains(&"bad-config"));
    assert_eq!(s["service"]["state"], "running", "what runs is not touched");
    assert_eq!(s["service"]["pid"], first);
    assert_eq!(n1.ctl(&["status"]).code, 151);

    // HUP does not take it in.
    n1.kill("HUP", n1.daemon_pid());
    let refused = n1.wait_event("config.bad", 1);
    assert_eq!(refused["severity"], "err");
    assert_eq!(n1.events_of("config.changed").len(), 0);
    assert_eq!(n1.pid(), first);

    n1.kill("KILL", first);
    let s = n1.wait("STANDALONE", |s| s["mode"] == "standalone");
    assert_eq!(s["mode_reason"], "bad-config");
    assert_eq!(s["service"]["state"], "failed");
    assert_eq!(s["service"]["pid"], Value::Null);
    let detail = s["mode_detail"].as_str().unwrap();
    assert!(
        detail.contains(CONF) && detail.contains("line 1"),
        "{detail}"
    );
    let told = n1.wait_event("config.bad", 2);
    assert_eq!(told["fields"]["path"], CONF);
    assert!(!told["fields"]["findings"].as_array().unwrap().is_empty());
    n1.wait_event("service.start-failed", 1);
    assert_eq!(n1.events_of("service.starting").len(), 1);
    assert_eq!(n1.read(CONF), bad);
    let ran = n1.ctl(&["start"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("bad-config"), "{ran:?}");
    assert_eq!(n1.read(CONF), bad);

    n1.put(CONF, &good);
    let s = n1.wait_state("running");
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["degraded"], json!([]));
    assert_eq!(s["config"]["drift"], false);
    n1.wait_ring(1);
    assert_eq!(n1.read(CONF), good);
}

#[test]
fn deleted_files_are_written_again_at_the_next_start_and_a_second_start_writes_nothing() {
    let lab = Lab::up("deleted", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let (conf, key) = (n1.read(CONF), n1.read(KEY));
    let written = n1.events_of("config.written").len();
    std::fs::remove_file(n1.file(CONF)).unwrap();
    std::fs::remove_file(n1.file(KEY)).unwrap();
    let pid = n1.pid();
    stays(
        "no file is written while it runs",
        Duration::from_millis(700),
        || n1.pid() == pid && !n1.file(CONF).exists(),
    );
    n1.ctl(&["restart"]).ok();
    assert_eq!(n1.read(CONF), conf);
    assert_eq!(n1.read(KEY), key);
    assert_eq!(n1.mode(CONF), 0o644);
    assert_eq!(n1.mode(KEY), 0o400);
    assert_eq!(n1.status()["degraded"], json!([]));
    n1.wait_event("config.written", written + 1);
    n1.wait_event("key.written", 1);
    n1.wait_ring(1);

    let before = (n1.identity(CONF), n1.identity(KEY));
    n1.ctl(&["restart"]).ok();
    n1.end_daemon("TERM");
    n1.start_daemon(&FLAGS);
    n1.wait_state("running");
    assert_eq!((n1.identity(CONF), n1.identity(KEY)), before);
    assert_eq!(n1.events_of("config.written").len(), written + 1);
    assert_eq!(n1.events_of("key.written").len(), 1);
}

#[test]
fn another_key_is_drift_is_used_by_a_start_and_is_taken_in_by_hup() {
    let lab = Lab::up("key-drift", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let held = n1.status()["key"]["fingerprint"].clone();
    let key: Vec<u8> = (0..200u8).collect();
    n1.put(KEY, &key);
    let s = n1.wait("drift", |s| s["key"]["drift"] == true);
    assert_eq!(degraded(&s), ["key-drift"]);
    assert_eq!(s["config"]["drift"], false);
    n1.wait_event("key.drift", 1);
    n1.ctl(&["restart"]).ok();
    assert_eq!(n1.read(KEY), key);
    assert_eq!(degraded(&n1.status()), ["key-drift"]);
    n1.wait_ring(1);
    n1.kill("HUP", n1.daemon_pid());
    let s = n1.wait("taken in", |s| s["key"]["drift"] == false);
    assert_ne!(s["key"]["fingerprint"], held);
    assert_eq!(s["degraded"], json!([]));
    let shown = n1.ctl(&["key", "fingerprint"]).ok();
    assert_eq!(shown.trim(), s["key"]["fingerprint"].as_str().unwrap());
}

#[test]
fn a_hand_edit_that_brings_a_key_along_is_not_taken_in_by_way_of_it() {
    let lab = Lab::up("drift-key-new", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let key = n1.read("/etc/corosync/authkey");
    let none = |t: &str| {
        t.replace("crypto_cipher: aes256", "crypto_cipher: none")
            .replace("crypto_hash: sha256", "crypto_hash: none")
    };
    n1.edit_conf(none);
    n1.sh("rm /etc/corosync/authkey").ok();
    n1.start_daemon(&FLAGS);
    let ours = n1.wait_state("running")["config"]["sha256"].clone();
    n1.put("/etc/corosync/authkey", &key);
    n1.edit_conf(|t| {
        let t = t.replace("crypto_cipher: none", "crypto_cipher:   aes256");
        t.replace("crypto_hash: none", "crypto_hash: sha256")
    });
    let edited = n1.read(CONF);
    for _ in 0..2 {
        n1.ctl(&["restart"]).ok();
        let s = n1.status();
        assert_eq!(s["config"]["drift"], true);
        assert_eq!(
            s["config"]["sha256"], ours,
            "what clusmgr holds is as it was"
        );
        assert_eq!(n1.read(CONF), edited);
    }
}

#[test]
fn a_configuration_with_the_key_inside_is_for_root_alone_wherever_it_comes_from() {
    let inside = |t: &str| {
        let secret = "k".repeat(200);
        t.replace(
            "crypto_cipher:",
            &format!("key: {secret}\n\tcrypto_cipher:"),
        )
    };
    // A corosync that runs already: adopted.
    let lab = Lab::up("secret-adopted", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.edit_conf(inside);
    n1.sh("chmod 644 /etc/corosync/corosync.conf; setsid corosync -f </dev/null >/dev/null 2>&1 &")
        .ok();
    n1.wait_ring(1);
    n1.start_daemon(&FLAGS);
    assert_eq!(n1.wait_state("running")["service"]["adopted"], true);
    assert_eq!(n1.mode(CONF), 0o600);
    let told = n1.wait_event("key.tightened", 1);
    assert!(
        told["text"].as_str().unwrap().contains("holds totem.key"),
        "{told}"
    );

    // A hand edit.
    n1.edit_conf(|t| format!("{t}\n# by hand\n"));
    n1.sh("chmod 644 /etc/corosync/corosync.conf").ok();
    n1.wait("drift", |s| s["config"]["drift"] == true);
    crate::common::until("0600", crate::common::LONG, || {
        (n1.mode(CONF) == 0o600).then_some(())
    });
}
