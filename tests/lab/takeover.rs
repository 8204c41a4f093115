//! The first start on a node that has files already, with the key in every place that corosync knows.

use crate::common::{Lab, Node};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const CONF: &str = "/etc/corosync/corosync.conf";
const KEY: &str = "/etc/corosync/authkey";
const FLAGS: [&str; 4] = ["--poll-interval", "0.2", "--standalone-retry", "600"];

fn set_mode(node: &Node<'_>, path: &str, mode: u32) {
    std::fs::set_permissions(node.file(path), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The one backup whose name begins so: its content and mode.
fn backup(node: &Node<'_>, name: &str) -> (Vec<u8>, u32) {
    let dir = "/var/lib/clusmgr/backup";
    let names: Vec<String> = std::fs::read_dir(node.file(dir))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with(name))
        .collect();
    let [one] = names.as_slice() else {
        panic!("not one backup of {name}: {names:?}");
    };
    let path = format!("{dir}/{one}");
    (node.read(&path), node.mode(&path))
}

#[test]
fn the_first_start_keeps_a_backup_byte_for_byte_and_tightens_a_wide_key() {
    let lab = Lab::up("takeover", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    // What no canonical text keeps.
    n1.edit_conf(|t| t.replace("totem {\n", "# ours\r\n\n  totem {\n    token:900\n"));
    set_mode(&n1, KEY, 0o644);
    let (conf, key) = (n1.read(CONF), n1.read(KEY));
    n1.start_daemon(&FLAGS);
    let s = n1.wait_state("running");
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["config"]["drift"], false);
    assert_eq!(s["config"]["version"], 1);
    assert_eq!(s["degraded"], json!([]));
    assert_eq!(backup(&n1, "corosync.conf."), (conf, 0o600));
    assert_eq!(backup(&n1, "authkey."), (key.clone(), 0o600));
    assert_eq!(n1.mode("/var/lib/clusmgr/backup"), 0o700);
    assert_eq!(n1.read(KEY), key);
    assert_eq!(n1.mode(KEY) & 0o377, 0, "{:o}", n1.mode(KEY));
    let tightened = n1.wait_event("key.tightened", 1);
    assert_eq!(tightened["severity"], "warning");
    assert_eq!(tightened["fields"]["path"], KEY);
    assert_eq!(
        n1.wait_event("config.taken-over", 1)["fields"],
        json!({"path": CONF, "version": 1})
    );
    assert_eq!(
        n1.wait_event("key.taken-over", 1)["fields"]["fingerprint"],
        s["key"]["fingerprint"]
    );
    n1.wait_ring(1);
    // The last of a repeated key wins, as ever.
    assert_eq!(n1.cmap("runtime.config.totem.token"), "1000");

    // Once, and never again.
    n1.end_daemon("TERM");
    n1.start_daemon(&FLAGS);
    n1.wait_state("running");
    assert_eq!(n1.events_of("config.taken-over").len(), 1);
    backup(&n1, "corosync.conf.");
}

#[test]
fn a_key_that_is_narrow_already_is_no_event() {
    let lab = Lab::up("takeover-narrow", "1", &FLAGS);
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.wait_event("key.taken-over", 1);
    assert_eq!(n1.events_of("key.tightened").len(), 0);
    assert_eq!(n1.mode(KEY), 0o400);
}

#[test]
fn a_configuration_without_crypto_needs_no_key_and_gets_none() {
    let lab = Lab::up("takeover-no-key", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.edit_conf(|t| t.replace("aes256", "none").replace("sha256", "none"));
    std::fs::remove_file(n1.file(KEY)).unwrap();
    n1.start_daemon(&FLAGS);
    let s = n1.wait_state("running");
    assert_eq!(s["key"]["fingerprint"], Value::Null);
    assert_eq!(s["key"]["drift"], false);
    assert_eq!(s["degraded"], json!([]));
    n1.wait_ring(1);
    assert!(!n1.file(KEY).exists());
    assert_eq!(n1.events_of("key.taken-over").len(), 0);
    assert_eq!(n1.ctl(&["key", "fingerprint"]).code, 6);
}

#[test]
fn a_key_inside_the_configuration_makes_the_file_a_secret_and_is_shown_nowhere() {
    let lab = Lab::up("takeover-inside", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let secret = "SeCrEt0123456789".repeat(10);
    n1.edit_conf(|t| t.replace("totem {\n", &format!("totem {{\n    key: {secret}\n")));
    std::fs::remove_file(n1.file(KEY)).unwrap();
    set_mode(&n1, CONF, 0o644);
    n1.start_daemon(&FLAGS);
    let s = n1.wait_state("running");
    assert_eq!(s["degraded"], json!([]));
    n1.wait_ring(1);
    assert_eq!(n1.mode(CONF), 0o600);
    assert!(!n1.file(KEY).exists());
    let (kept, mode) = backup(&n1, "corosync.conf.");
    assert!(String::from_utf8_lossy(&kept).contains(&secret));
    assert_eq!(mode, 0o600);
    assert!(String::from_utf8_lossy(&n1.read(CONF)).contains(&secret));

    let shown = n1.ctl(&["config", "show"]).ok();
    assert!(
        shown.contains("cluster_name: clab") && shown.contains("key:"),
        "{shown}"
    );
    let fingerprint = n1.ctl(&["key", "fingerprint"]).ok();
    assert_eq!(
        fingerprint.trim(),
        s["key"]["fingerprint"].as_str().unwrap()
    );
    let events = n1.ctl(&["events", "--since", "0", "--json"]).ok();
    let status = n1.ctl(&["status", "--json"]).out;
    let check = n1.ctl(&["config", "check", "--json"]).out;
    for text in [&shown, &fingerprint, &events, &status, &check] {
        assert!(!text.contains("SeCrEt"), "{text}");
    }
}

#[test]
fn a_key_in_another_keyfile_is_taken_over_from_there() {
    let lab = Lab::up("takeover-keyfile", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let other = "/etc/corosync/other.key";
    n1.edit_conf(|t| t.replace("totem {\n", &format!("totem {{\n    keyfile: {other}\n")));
    let key = n1.read(KEY);
    std::fs::rename(n1.file(KEY), n1.file(other)).unwrap();
    n1.start_daemon(&FLAGS);
    let s = n1.wait_state("running");
    assert_eq!(s["key"]["path"], other);
    assert_eq!(s["degraded"], json!([]));
    n1.wait_ring(1);
    assert_eq!(backup(&n1, "authkey."), (key.clone(), 0o600));
    assert!(!n1.file(KEY).exists());
    // It is written again in the same place.
    std::fs::remove_file(n1.file(other)).unwrap();
    n1.ctl(&["restart"]).ok();
    assert_eq!(n1.read(other), key);
    assert_eq!(n1.mode(other), 0o400);
    assert!(!n1.file(KEY).exists());
}

/// A node without files; then they arrive, the configuration first or the key first.
fn arrive(name: &str, keyfile: Option<&str>, conf_first: bool) {
    // Where the files come from.
    let source = Lab::up(&format!("{name}-source"), "1 --no-clusmgr", &[]);
    let (mut conf, key) = (source.node(1).read(CONF), source.node(1).read(KEY));
    drop(source);
    if let Some(path) = keyfile {
        let text = String::from_utf8(conf).unwrap();
        let line = format!("totem {{\n    keyfile: {path}\n");
        conf = text.replace("totem {\n", &line).into_bytes();
    }
    let lab = Lab::up(name, "1 --empty", &FLAGS);
    let n1 = lab.node(1);
    let s = n1.wait("unconfigured", |s| s["mode_reason"] == "unconfigured");
    assert_eq!(s["mode"], "standalone");
    assert_eq!(s["service"]["state"], "stopped");
    assert_eq!(s["config"]["version"], Value::Null);
    assert_eq!(n1.ctl(&["status"]).code, 150);
    assert_eq!(n1.ctl(&["start"]).code, 6);
    let put_key = || n1.put(keyfile.unwrap_or(KEY), &key);
    if conf_first {
        n1.put(CONF, &conf);
        let s = n1.wait("the key is missed", |s| s["mode_reason"] == "bad-config");
        let detail = s["mode_detail"].as_str().unwrap();
        assert!(detail.contains("there is no key"), "{detail}");
        put_key();
    } else {
        put_key();
        n1.put(CONF, &conf);
    }
    let s = n1.wait_state("running");
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["node"], json!({"name": "n1", "nodeid": 1}));
    assert_eq!(s["degraded"], json!([]));
    n1.wait_event("config.taken-over", 1);
    n1.wait_event("key.taken-over", 1);
    n1.wait_ring(1);
}

#[test]
fn on_a_node_without_files_the_start_comes_at_once_when_key_and_configuration_arrive() {
    arrive("arrive", None, false);
}

#[test]
fn on_a_node_without_files_the_start_comes_at_once_when_the_key_arrives_last() {
    arrive("arrive-key-last", None, true);
}

#[test]
fn on_a_node_without_files_the_start_comes_at_once_when_another_keyfile_arrives_last() {
    arrive("arrive-keyfile-last", Some("/etc/corosync/other.key"), true);
}
