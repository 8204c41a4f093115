//! The local socket.

use crate::bed::{Before, Client, as_another, refused, refused_by_wire};
use crate::common::{Lab, Node};
use std::time::{Duration, Instant};

const STATUS: &[u8] = b"{\"id\":7,\"req\":\"status\"}\n";

/// Others are served as ever.
#[track_caller]
fn others_are_served(node: &Node<'_>) {
    let begun = Instant::now();
    node.ctl(&["config", "show"]).ok();
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_line_of_2_mib() {
    let lab = Lab::up("bad-long", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    for newline in [false, true] {
        let mut client = Client::connect(&n1);
        let mut line = vec![b'x'; 2 << 20];
        line.extend(newline.then_some(b'\n'));
        client.send(&line);
        let reply = client.reply();
        refused_by_wire(&reply, "usage", &["request", "1048576 bytes"]);
        assert_eq!(client.rest(), "", "and that is its last word");
        others_are_served(&n1);
    }
    before.is_so_still(&n1);
}

#[test]
fn rubbish_on_the_socket() {
    let lab = Lab::up("bad-rubbish", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let mut client = Client::connect(&n1);
    let deep = "[".repeat(100_000);
    for line in [
        &b"rubbish"[..],
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b"{\"id\":1}",
        b"{\"id\":-1,\"req\":\"status\"}",
        b"{\"id\":1,\"req\":\"nonsense\"}",
        b"{\"id\":1,\"req\":\"stop\",\"wait_ms\":\"x\"}",
        deep.as_bytes(),
    ] {
        client.send(line);
        client.send(b"\n");
        refused_by_wire(
            &client.reply(),
            "usage",
            &["request", "one JSON object a line"],
        );
        // The connection is as good as before.
        client.send(STATUS);
        let reply = client.reply();
        assert_eq!(
            (&reply["id"], &reply["ok"]["mode"]),
            (&7.into(), &"cluster".into()),
            "{reply}"
        );
    }
    others_are_served(&n1);
    before.is_so_still(&n1);
}

#[test]
fn half_a_request() {
    let lab = Lab::up("bad-half", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let mut halves: Vec<Client> = (0..10).map(|_| Client::connect(&n1)).collect();
    for half in &mut halves {
        half.send(b"{\"id\":1,\"req\":\"sto");
    }
    others_are_served(&n1);
    // Each is told, and closed, after its deadline.
    for half in &mut halves {
        refused_by_wire(&half.reply(), "timed-out", &["request", "half a line"]);
        assert_eq!(half.rest(), "");
    }
    // One that ends in the middle is told at once.
    let mut cut = Client::connect(&n1);
    cut.send(b"{\"id\":1,\"req\":\"sto");
    cut.stream.shutdown(std::net::Shutdown::Write).unwrap();
    refused_by_wire(&cut.reply(), "usage", &["request", "without a newline"]);
    assert_eq!(cut.rest(), "");
    others_are_served(&n1);
    before.is_so_still(&n1);
}

#[test]
fn a_hundred_clients() {
    let lab = Lab::up("bad-many", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    // That say nothing, half of something, and one thing and then nothing.
    for said in [&b""[..], b"{\"id\":1", STATUS] {
        let mut many: Vec<Client> = (0..100).map(|_| Client::connect(&n1)).collect();
        for client in &mut many {
            client.send(said);
        }
        others_are_served(&n1);
    }
    // That all want every event: some are refused, and nobody else is.
    let mut many: Vec<Client> = (0..100).map(|_| Client::connect(&n1)).collect();
    let mut subscribed = 0;
    for client in &mut many {
        if !client.send(b"{\"id\":1,\"req\":\"subscribe\"}\n") {
            continue;
        }
        let reply = client.reply();
        if reply["ok"].is_object() {
            subscribed += 1;
        } else {
            refused_by_wire(&reply, "busy", &[]);
        }
    }
    assert!((1..64).contains(&subscribed), "{subscribed}");
    others_are_served(&n1);
    before.is_so_still(&n1);
}

#[test]
fn a_client_that_may_not() {
    let lab = Lab::up("bad-may-not", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let as_uid = |group: u32, words: &[&str]| {
        let nobody = as_another(&n1, group);
        let nobody: Vec<&str> = nobody.iter().map(String::as_str).collect();
        n1.run(&[&nobody[..], &["clusmgrctl"], words].concat())
    };
    // Of the socket's group: it may look, and change nothing.
    for words in [
        &["link", "list"][..],
        &["events"],
        &["config", "show"],
        &["key", "fingerprint"],
    ] {
        let ran = as_uid(0, words);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    }
    for verb in ["start", "stop", "restart"] {
        let parts = [
            verb,
            "corosync",
            "uid 65534",
            "only root",
            "ask again as root",
        ];
        refused(&as_uid(0, &[verb]), "clusmgrctl", 4, &parts);
    }
    // Nor the configuration, not even on trial: corosync's check opens the log that the text names.
    let mut text = String::from_utf8(n1.read("/etc/corosync/corosync.conf")).unwrap();
    text = text.replace("config_version: 1\n", "config_version: 2\n");
    text.push_str("logging {\n\tto_logfile: yes\n\tlogfile: /var/log/nobody.log\n}\n");
    n1.put("/tmp/new.conf", text);
    n1.sh("chmod 755 /tmp; chmod 644 /tmp/new.conf").ok();
    for words in [
        &["apply", "/tmp/new.conf"][..],
        &["apply", "/tmp/new.conf", "--dry-run"],
        &["adopt"],
        &["revert"],
        &["revert", "--dry-run"],
        &["rollback", "1"],
    ] {
        let words = [&["config"], words].concat();
        let parts = ["change the configuration", "uid 65534", "only root"];
        refused(&as_uid(0, &words), "clusmgrctl", 4, &parts);
    }
    assert!(!n1.file("/var/log/nobody.log").exists());
    // Of no group of ours: it does not even get in.
    for words in [&["status"][..], &["stop"], &["events"], &["config", "show"]] {
        let parts = [
            "/run/clusmgr/clusmgr.sock",
            "Permission denied",
            "run as root",
        ];
        refused(&as_uid(65534, words), "clusmgrctl", 4, &parts);
    }
    before.is_so_still(&n1);
    assert_eq!(n1.status()["service"]["hold"], false);
    // And with --group, that group does.
    n1.end_daemon("QUIT");
    n1.start_daemon(&["--group", "65534"]);
    assert_eq!(as_uid(65534, &["config", "show"]).code, 0);
    refused(&as_uid(65534, &["stop"]), "clusmgrctl", 4, &["only root"]);
    before.is_so_still(&n1);
}
