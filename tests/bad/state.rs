//! The files of the state directory.

use crate::bed::{Before, one_error, refused};
use crate::common::{LONG, Lab, Node, until};
use std::fs;

const FILES: [&str; 2] = [
    "/var/lib/clusmgr/manager.json",
    "/var/lib/clusmgr/corosync.json",
];

/// With this content in each of the state files in turn, no clusmgr starts, and nothing changes; with
/// the old content back, the next one adopts the corosync that ran all the time.
fn each_is_refused(node: &Node<'_>, bad: &[u8], parts: &[&str]) {
    // So that both files are there.
    node.ctl(&["stop"]).ok();
    node.ctl(&["start", "--wait"]).ok();
    let corosync = node.pid();
    node.end_daemon("QUIT");
    for file in FILES {
        let path = node.file(file);
        let good = fs::read(&path).unwrap();
        fs::write(&path, bad).unwrap();
        let before = Before::now(node);
        let parts = [&[file], parts].concat();
        for flags in [&["-f"][..], &["-t"], &[]] {
            let words = [&["clusmgr"], flags].concat();
            refused(&node.run(&words), "clusmgr", 1, &parts);
        }
        before.is_so_still(node);
        assert!(!node.file("/run/clusmgr/clusmgr.pid").exists());
        assert!(!node.file("/run/clusmgr/clusmgr.sock").exists());
        fs::write(&path, good).unwrap();
    }
    node.start_daemon(&[]);
    let s = node.wait_state("running");
    assert_eq!(s["service"]["pid"], corosync);
    assert_eq!(s["service"]["adopted"], true);
}

#[test]
fn a_damaged_state_file() {
    let lab = Lab::up("bad-state", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let advice = "restore it from a backup, or move it away to begin anew";
    each_is_refused(
        &n1,
        b"{\"version\":\"s01\",\n\"ho",
        &["line 2 column 3", advice],
    );
    each_is_refused(&n1, b"", &["not valid JSON at line 1", advice]);
    let wrong = b"{\"version\":\"s01\",\"hold\":\"yes\",\"conf\":7}";
    each_is_refused(&n1, wrong, &["of the wrong kind at line 1", advice]);
}

#[test]
fn a_damaged_copy_of_the_configuration() {
    let lab = Lab::up("bad-copy", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let sha = n1.status()["config"]["sha256"].clone();
    n1.end_daemon("QUIT");
    let name = format!("/var/lib/clusmgr/conf/{}", sha.as_str().unwrap());
    let path = n1.file(&name);
    let good = fs::read(&path).unwrap();
    fs::write(&path, [&good[..], b"# more\n"].concat()).unwrap();
    let before = Before::now(&n1);
    let advice = format!("move {} away to take the live files over again", FILES[1]);
    for flags in [&["-f"][..], &["-t"], &[]] {
        let words = [&["clusmgr"], flags].concat();
        refused(&n1.run(&words), "clusmgr", 1, &[&name, &advice]);
    }
    before.is_so_still(&n1);
    // The advice is a good one.
    fs::remove_file(n1.file(FILES[1])).unwrap();
    n1.start_daemon(&[]);
    let s = n1.wait_state("running");
    assert_eq!(
        (&s["service"]["adopted"], &s["config"]["sha256"]),
        (&true.into(), &sha)
    );
    assert_eq!(fs::read(&path).unwrap(), good);
}

#[test]
fn a_state_file_of_an_unknown_version() {
    let lab = Lab::up("bad-version", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let text = b"{\"version\":\"s99\",\"hold\":false,\"conf\":\"\",\"live\":\"\",\"key\":null}";
    let parts = [
        "\"s99\"",
        "only \"s01\" is known",
        "use the clusmgr that wrote it",
    ];
    each_is_refused(&n1, text, &parts);
}

#[test]
fn what_fails_after_detaching_is_told_by_the_parent() {
    let lab = Lab::up("bad-detach", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.end_daemon("QUIT");
    fs::write(n1.file(FILES[0]), "rubbish").unwrap();
    let before = Before::now(&n1);
    let attached = n1.run(&["clusmgr", "-f"]);
    let detached = n1.run(&["clusmgr"]);
    assert_eq!(attached.code, 1);
    assert_eq!(detached, attached, "the same code, and the same words once");
    one_error(detached.err.trim_end(), "clusmgr", &[FILES[0]]);
    before.is_so_still(&n1);
    // A socket that is not ours to remove fails later still.
    fs::remove_file(n1.file(FILES[0])).unwrap();
    let ran = n1.run(&["clusmgr", "-s", "/etc/hosts"]);
    refused(&ran, "clusmgr", 1, &["/etc/hosts"]);
    // The parent says it a moment before its child is gone.
    until("no daemon is left behind", LONG, || {
        n1.sh("pgrep -x clusmgr").out.is_empty().then_some(())
    });
    n1.start_daemon(&[]);
    assert_eq!(n1.wait_state("running")["service"]["adopted"], true);
}
