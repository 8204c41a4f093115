//! Ends of corosync that nobody asked clusmgr for, each with its cause, and what follows from it.

use crate::common::{LONG, Lab, Node, until};
use serde_json::{Value, json};

/// Puts lines at the beginning of a section.
fn into(text: &str, section: &str, lines: &str) -> String {
    let head = format!("{section} {{\n");
    assert!(text.contains(&head), "{text}");
    text.replacen(&head, &format!("{head}{lines}"), 1)
}

#[test]
fn a_term_from_outside_is_a_failure_and_is_answered_by_a_restart() {
    let lab = Lab::up("term", "1", &["--stable-after", "60"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    n1.kill("TERM", first);
    n1.wait_other(first);
    let s = n1.status();
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["service"]["restarts"], 1);
    assert_eq!(s["service"]["last_exit"]["code"], 0);
    assert_eq!(s["service"]["last_exit"]["cause"], "exit 0 (not asked for)");
    let exited = n1.wait_event("service.exited", 1);
    assert_eq!(exited["severity"], "err");
    assert_eq!(exited["fields"]["cause"], "exit 0 (not asked for)");
    assert_eq!(exited["fields"]["pid"], first);
    // It counts as an unstable run's death: the next start waited.
    assert_eq!(n1.events_of("service.retry").len(), 1);
    assert_eq!(n1.events_of("service.stopped").len(), 0);
    n1.wait_ring(1);
}

#[test]
fn an_end_by_cfgtool_is_an_administrators_act_and_is_answered_by_a_restart() {
    let lab = Lab::up("cfgtool-k", "2", &["--stable-after", "0.1"]);
    let (n1, n2) = (lab.node(1), lab.node(2));
    n1.wait_ring(2);
    n2.wait_state("running");
    let first = n2.pid();
    n1.run(&["corosync-cfgtool", "-k", "2"]).ok();
    n2.wait_other(first);
    let s = n2.status();
    let cause = "exit 255 (ended by corosync-cfgtool -k)";
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["service"]["restarts"], 1);
    assert_eq!(s["service"]["last_exit"]["code"], 255);
    assert_eq!(s["service"]["last_exit"]["cause"], cause);
    assert_eq!(n2.wait_event("service.exited", 1)["fields"]["cause"], cause);
    n2.wait_ring(2);
    n1.wait_ring(2);
    assert_eq!(n1.status()["service"]["restarts"], 0);
}

/// As in a container that has the host's network: the names of the sockets are taken, and nothing else is
/// shared. It is no fault of the configuration.
#[test]
fn a_corosync_of_another_root_in_the_same_network_is_named_and_not_taken_over() {
    let lab = Lab::up("exit-rival", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let pid = n1.spawn("unshare -m sh -c 'mount -n -t tmpfs none /run && exec corosync -f'");
    n1.wait_ring(1);
    n1.start_daemon(&["--standalone-retry", "2"]);
    let report = until("it is named", LONG, || {
        let ran = n1.ctl(&["why", "--json"]);
        let report: Value = serde_json::from_str(&ran.out).ok()?;
        (report["verdicts"][0]["code"] == "two-corosyncs").then_some(report)
    });
    let evidence = report["verdicts"][0]["evidence"][0].as_str().unwrap();
    for part in ["exit 20", &format!("pid {pid} serves in this network")] {
        assert!(evidence.contains(part), "no {part} in {evidence}");
    }
    let s = n1.status();
    assert_ne!(s["mode_reason"], "bad-config", "{s:#}");
    assert!(n1.lives(pid), "nobody may signal it");
    // Nothing but its end is needed.
    n1.kill("KILL", pid);
    let s = n1.wait_state("running");
    assert_eq!(s["mode"], "cluster");
    n1.wait_ring(1);
}

/// The live file is replaced by one that only corosync itself finds wrong, and corosync dies; then
/// the file is mended.
fn permanent(name: &str, break_it: fn(&str) -> String, code: i64, cause: &str, word: &str) {
    // No retry comes in the time of this test: what brings it back is the change alone.
    let flags = [
        "--stable-after",
        "0.1",
        "--standalone-retry",
        "600",
        "--poll-interval",
        "0.2",
    ];
    let lab = Lab::up(name, "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    n1.sh("mkdir -p /var/lib/corosync/ev_tracking").ok();
    let good = n1.read("/etc/corosync/corosync.conf");
    let bad = break_it(std::str::from_utf8(&good).unwrap());
    n1.put("/etc/corosync/corosync.conf", &bad);
    n1.kill("KILL", first);

    let s = n1.wait("STANDALONE", |s| s["mode"] == "standalone");
    assert_eq!(s["mode_reason"], "bad-config");
    assert_eq!(s["service"]["state"], "failed");
    assert_eq!(s["service"]["pid"], Value::Null);
    assert_eq!(s["service"]["last_exit"]["code"], code);
    assert_eq!(s["service"]["last_exit"]["cause"], cause);
    assert!(s["service"]["next_retry_ms"].as_u64() > Some(500_000));
    let detail = s["mode_detail"].as_str().unwrap();
    assert!(
        detail.starts_with(cause) && detail.contains(word),
        "{detail}"
    );
    assert_eq!(n1.ctl(&["status"]).code, 150);
    assert!(n1.corosyncs().is_empty());
    // At once: the kill, and one try with the bad file.
    let exited = n1.wait_event("service.exited", 2);
    assert_eq!(exited["fields"]["cause"], cause);
    assert_eq!(n1.events_of("service.starting").len(), 2);
    let mode = n1.wait_event("mode.changed", 2);
    assert_eq!(
        mode["fields"],
        json!({"mode": "standalone", "reason": "bad-config"})
    );
    assert_eq!(n1.read("/etc/corosync/corosync.conf"), bad.as_bytes());

    n1.put("/etc/corosync/corosync.conf", &good);
    let s = n1.wait_state("running");
    assert_eq!(s["mode"], "cluster");
    assert_eq!(s["config"]["drift"], false);
    assert_eq!(s["degraded"], json!([]));
    n1.wait_ring(1);
    assert_eq!(
        n1.wait_event("mode.changed", 3)["fields"]["mode"],
        "cluster"
    );
    assert_eq!(n1.read("/etc/corosync/corosync.conf"), good);
}

#[test]
fn exit_8_leads_to_standalone_bad_config_at_once_and_the_mended_file_out_of_it() {
    // What a check of the text cannot know: whether there is such a user.
    let user = |text: &str| format!("{text}\nuidgid {{\n\tuid: nobody-of-this-name\n}}\n");
    let cause = "exit 8 (main configuration or authkey)";
    permanent("exit-8", user, 8, cause, "nobody-of-this-name");
}

#[test]
fn exit_20_leads_to_standalone_bad_config_at_once_and_the_mended_file_out_of_it() {
    // Its file is a directory (see `permanent`), which no check of the text can know.
    let tracking = |text: &str| into(text, "quorum", "\texpected_votes_tracking: 1\n");
    let cause = "exit 20 (quorum configuration or a service's start)";
    permanent("exit-20", tracking, 20, cause, "ev_tracking");
}

#[test]
fn exit_8_with_a_name_to_be_resolved_may_heal_and_is_tried_again() {
    let flags = [
        "--stable-after",
        "60",
        "--restart-limit",
        "3/60",
        "--standalone-retry",
        "600",
    ];
    let lab = Lab::up("exit-8-name", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.edit_conf(|t| t.replace("ring0_addr: 10.77.0.1", "ring0_addr: nowhere.invalid"));
    n1.start_daemon(&flags);
    let s = n1.wait("STANDALONE", |s| s["mode_reason"] == "start-failed");
    assert_eq!(s["service"]["last_exit"]["code"], 8, "{s:#}");
    // Three tries, not one.
    assert_eq!(n1.events_of("service.exited").len(), 3);
    n1.edit_conf(|t| t.replace("nowhere.invalid", "10.77.0.1"));
    n1.wait_state("running");
}

fn set_version(node: &Node<'_>, version: u32) {
    node.edit_conf(|t| {
        assert!(t.contains("config_version: 1\n"), "{t}");
        t.replace(
            "config_version: 1\n",
            &format!("config_version: {version}\n"),
        )
    });
}

#[test]
fn a_config_version_behind_the_peers_is_told_as_the_cause_and_never_passes_for_running() {
    let flags = [
        "--restart-limit",
        "3/60",
        "--stable-after",
        "30",
        "--standalone-retry",
        "600",
        "--poll-interval",
        "0.2",
    ];
    let lab = Lab::up("old-version", "3", &flags);
    let (n1, n2, n3) = (lab.node(1), lab.node(2), lab.node(3));
    n1.wait_ring(3);
    n3.wait_state("running");
    set_version(&n1, 2);
    set_version(&n2, 2);
    n1.run(&["corosync-cfgtool", "-R"]).ok();
    for node in [&n1, &n2] {
        let s = node.wait("drift is told", |s| s["config"]["drift"] == true);
        assert_eq!(s["service"]["state"], "running");
        assert_eq!(s["config"]["version"], 1, "that is what clusmgr holds");
        node.wait_event("config.drift", 1);
    }
    n3.kill("KILL", n3.pid());
    let s = n3.wait("STANDALONE", |s| s["mode"] == "standalone");
    let cause = "exit 0 (not asked for: its config_version is not its peers')";
    assert_eq!(s["mode_reason"], "start-failed");
    assert_eq!(s["service"]["state"], "failed");
    assert_eq!(s["service"]["last_exit"]["code"], 0);
    assert_eq!(s["service"]["last_exit"]["cause"], cause);
    let detail = s["mode_detail"].as_str().unwrap();
    assert!(detail.contains("config_version"), "{detail}");
    assert!(n3.corosyncs().is_empty());
    let exits = n3.events_of("service.exited");
    assert_eq!(exits.len(), 3, "the kill and two starts");
    for exit in &exits[1..] {
        assert_eq!(exit["fields"]["cause"], cause);
        assert_eq!(exit["severity"], "err");
    }
    assert_eq!(n1.status()["service"]["restarts"], 0);

    // The third file brought to the peers' version ends it.
    set_version(&n3, 2);
    n3.wait_state("running");
    n3.wait_ring(3);
    assert_eq!(n3.cmap("totem.config_version"), "2");
}
