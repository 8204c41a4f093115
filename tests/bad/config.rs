//! corosync.conf and the key.

use crate::bed::{Before, FOUND, UNPARSABLE, corosyncs, degraded, one_error, refused};
use crate::common::{LONG, Lab, until};
use serde_json::json;
use std::fs;

#[test]
fn a_corosync_conf_that_does_not_parse() {
    let lab = Lab::up("bad-conf", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.edit_conf(|_| UNPARSABLE.to_owned());
    let path = "/etc/corosync/corosync.conf";
    let before = Before::now(&n1);

    // Without the daemon, by both programs: every finding, each with its line and column.
    for words in [&["config", "check", path][..], &["config", "check"]] {
        let ran = n1.ctl(words);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!(lines.len(), FOUND.len() + 1, "{ran:?}");
        for (said, (line, column)) in lines.iter().zip(FOUND) {
            let place = format!("{path}:{line}:{column}: error: ");
            assert!(said.starts_with(&place), "{said}");
            assert!(said.contains("; "), "no advice: {said}");
        }
        assert_eq!(
            lines[FOUND.len()],
            format!("{path}: it cannot be used: 3 errors")
        );
    }
    let ran = n1.run(&["clusmgr", "--test"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.err.lines().count(), FOUND.len(), "{ran:?}");
    for (said, (line, column)) in ran.err.lines().zip(FOUND) {
        one_error(
            said,
            "clusmgr",
            &[path, &format!("line {line}, column {column}: ")],
        );
    }
    before.is_so_still(&n1);

    // The daemon serves, in STANDALONE, and touches nothing.
    n1.start_daemon(&[]);
    let s = n1.wait("STANDALONE", |s| s["mode_reason"] == "bad-config");
    assert_eq!(
        (&s["mode"], &s["service"]["state"]),
        (&json!("standalone"), &json!("failed"))
    );
    let detail = s["mode_detail"].as_str().unwrap();
    assert!(
        detail.contains(path) && detail.contains("line 3, column 5: "),
        "{detail}"
    );
    assert!(
        detail.contains("and 2 more: 'clusmgrctl config check' lists all"),
        "{detail}"
    );
    assert_eq!(n1.ctl(&["status"]).code, 150);
    let bad = n1.events_of("config.bad");
    let findings = bad[0]["fields"]["findings"].as_array().unwrap();
    assert_eq!(findings.len(), FOUND.len());
    for (finding, (line, column)) in findings.iter().zip(FOUND) {
        let place = format!("line {line}, column {column}: ");
        assert!(finding.as_str().unwrap().starts_with(&place), "{finding}");
    }
    refused(
        &n1.ctl(&["start"]),
        "clusmgrctl",
        1,
        &["bad-config", path, "column 5"],
    );
    before.is_so_still(&n1);
}

#[test]
fn a_key_too_short() {
    let lab = Lab::up("bad-key", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let key = n1.file("/etc/corosync/authkey");
    n1.sh("chmod 600 /etc/corosync/authkey").ok();
    fs::write(&key, "a secret of 23 bytes...").unwrap();
    let before = Before::now(&n1);
    let parts = [
        "/etc/corosync/authkey",
        "23 bytes",
        "128 to 4096",
        "corosync-keygen",
    ];
    let ran = n1.run(&["clusmgr", "--test"]);
    refused(&ran, "clusmgr", 1, &parts);
    assert!(!ran.err.contains("secret"), "{ran:?}");
    n1.start_daemon(&[]);
    let s = n1.wait("STANDALONE", |s| s["mode_reason"] == "bad-config");
    let detail = s["mode_detail"].as_str().unwrap().to_owned();
    one_error(&format!("x: {detail}"), "x", &parts);
    refused(&n1.ctl(&["start"]), "clusmgrctl", 1, &parts);
    let check = n1.ctl(&["config", "check"]);
    assert_eq!(check.code, 1, "{check:?}");
    assert!(check.out.contains("23 bytes"), "{check:?}");
    before.is_so_still(&n1);
    assert!(corosyncs(&n1).is_empty());
}

#[test]
fn a_hup_with_a_bad_file() {
    let lab = Lab::up("bad-hup", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let held = n1.ctl(&["config", "show"]).ok();
    let sha = n1.status()["config"]["sha256"].clone();
    n1.edit_conf(|_| UNPARSABLE.to_owned());
    let before = Before::now(&n1);
    n1.kill("HUP", n1.daemon_pid());
    let bad = until("the refusal of the file", LONG, || {
        n1.events_of("config.bad").pop()
    });
    let text = bad["text"].as_str().unwrap();
    one_error(
        &format!("x: {text}"),
        "x",
        &["/etc/corosync/corosync.conf", "line 3, column 5"],
    );
    let s = n1.wait("bad-config", |s| {
        degraded(s).contains(&"bad-config".to_owned())
    });
    assert_eq!(
        (&s["mode"], &s["service"]["state"]),
        (&json!("cluster"), &json!("running"))
    );
    assert_eq!(s["service"]["restarts"], 0);
    assert_eq!(s["config"]["sha256"], sha);
    assert_eq!(n1.ctl(&["config", "show"]).ok(), held);
    before.is_so_still(&n1);
}

#[test]
fn files_that_are_gone_but_held() {
    let lab = Lab::up("bad-gone", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let first = n1.daemon_pid();
    let ran = n1.run(&["clusmgr", "--test"]);
    let wanted = format!("clusmgr: one runs already, with pid {first}\nclusmgr: all is well\n");
    assert_eq!((ran.code, ran.out, ran.err), (0, wanted, String::new()));
    n1.end_daemon("QUIT");
    for file in ["corosync.conf", "authkey"] {
        n1.sh(&format!("mv /etc/corosync/{file} /tmp/{file}")).ok();
        // As a start would: what clusmgr holds is written again.
        let ran = n1.run(&["clusmgr", "-t"]);
        assert_eq!(ran.ok(), "clusmgr: all is well\n");
        assert!(!n1.file(&format!("/etc/corosync/{file}")).exists());
        n1.sh(&format!("mv /tmp/{file} /etc/corosync/{file}")).ok();
    }
    // Without a state to hold them they are missed.
    n1.sh("mv /etc/corosync/corosync.conf /tmp").ok();
    let ran = n1.run(&["clusmgr", "-t", "-S", "/tmp/none"]);
    refused(
        &ran,
        "clusmgr",
        6,
        &["/etc/corosync/corosync.conf: it is not there"],
    );
    n1.sh("mv /tmp/corosync.conf /etc/corosync").ok();
    before.is_so_still(&n1);
}
