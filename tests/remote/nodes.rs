//! `--all` and `--node`, with whatever may be wrong with the others.

use crate::bed::{all, formed, reached, wait_all};
use crate::common::{LONG, Lab, until};
use serde_json::Value;

fn states(nodes: &[Value]) -> Vec<&str> {
    let state = |n: &'_ Value| {
        n["ok"]["service"]["state"]
            .as_str()
            .unwrap_or("-")
            .to_owned()
    };
    nodes
        .iter()
        .map(|n| match state(n).as_str() {
            "running" => "running",
            "stopped" => "stopped",
            _ => "-",
        })
        .collect()
}

#[test]
fn any_node_shows_all_and_says_why_one_is_missing() {
    let lab = formed("remote-all", "3", 3);
    let n1 = lab.node(1);
    let nodes = wait_all(&n1, "all there", |n| reached(n) == ["ok"; 3]);
    assert_eq!(states(&nodes), ["running"; 3]);
    assert_eq!(nodes[0]["local"], true);
    for (k, node) in nodes.iter().enumerate() {
        assert_eq!(node["node"], format!("n{}", k + 1));
        assert_eq!(node["ok"]["node"]["name"], node["node"]);
    }
    // In words, in 80 columns.
    let text = n1.ctl(&["status", "--all"]).ok();
    assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
    for name in ["n1", "n2", "n3"] {
        assert!(text.lines().any(|l| l.starts_with(name)), "{text}");
    }

    // A node whose corosync is down and whose clusmgr is not.
    lab.node(2).ctl(&["stop"]).ok();
    let nodes = all(&n1, &["status"]);
    assert_eq!(reached(&nodes), ["ok"; 3]);
    assert_eq!(states(&nodes), ["running", "stopped", "running"]);
    let why: Value = serde_json::from_str(&n1.ctl(&["--node", "n2", "why", "--json"]).out).unwrap();
    assert_eq!(why["verdicts"][0]["code"], "held", "{why}");
    lab.node(2).ctl(&["start"]).ok();

    // A pair that is cut: n1 says so, and n3 has both.
    lab.verb(&["cut", "n1", "n2"]).ok();
    assert_eq!(reached(&all(&n1, &["status"])), ["ok", "timed-out", "ok"]);
    assert_eq!(reached(&all(&lab.node(3), &["status"])), ["ok"; 3]);
    let ran = n1.ctl(&["--node", "n2", "status"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.err.contains("n2") && ran.err.contains("10.77.0.2:5407"),
        "{ran:?}"
    );
    lab.verb(&["heal"]).ok();

    // One way only.
    lab.verb(&["cut", "--one-way", "n3", "n1"]).ok();
    assert_eq!(reached(&all(&n1, &["status"])), ["ok", "ok", "timed-out"]);
    lab.verb(&["heal"]).ok();

    // A node without its clusmgr.
    lab.node(3).end_daemon("QUIT");
    assert_eq!(reached(&all(&n1, &["status"])), ["ok", "ok", "refused"]);
    lab.node(3).start_daemon(&[]);
    wait_all(&n1, "n3 is back", |n| reached(n) == ["ok"; 3]);

    // A whole split: n1 alone.
    lab.verb(&["cut", "n1"]).ok();
    assert_eq!(
        reached(&all(&n1, &["status"])),
        ["ok", "timed-out", "timed-out"]
    );
    assert_eq!(
        reached(&all(&lab.node(2), &["status"])),
        ["timed-out", "ok", "ok"]
    );
    lab.verb(&["heal"]).ok();
    wait_all(&n1, "healed", |n| reached(n) == ["ok"; 3]);
}

#[test]
fn another_key_is_named_and_a_changed_key_followed_at_once_in_standalone_too() {
    let lab = formed("remote-key", "3", 3);
    let nodes = [1, 2, 3].map(|k| lab.node(k));
    let old = nodes[0].read("/etc/corosync/authkey");
    let new: Vec<u8> = old.iter().map(|b| b ^ 0x55).collect();
    // In STANDALONE there is a key as well.
    nodes[2].ctl(&["stop"]).ok();
    wait_all(&nodes[0], "all", |n| reached(n) == ["ok"; 3]);
    nodes[2].put("/etc/corosync/authkey", &new);
    wait_all(&nodes[0], "another key", |n| {
        reached(n) == ["ok", "ok", "wrong-key"]
    });
    wait_all(&nodes[2], "another key", |n| {
        reached(n) == ["wrong-key", "wrong-key", "ok"]
    });
    let ran = nodes[0].ctl(&["--node", "n3", "why"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("another authkey"), "{ran:?}");
    nodes[2].put("/etc/corosync/authkey", &old);
    wait_all(&nodes[0], "the same again", |n| reached(n) == ["ok"; 3]);
    // No key at all: nobody is served, and nobody can be asked.
    std::fs::remove_file(nodes[2].file("/etc/corosync/authkey")).unwrap();
    std::fs::remove_dir_all(nodes[2].file("/var/lib/clusmgr/keys")).unwrap();
    wait_all(&nodes[0], "no key", |n| {
        reached(n) == ["ok", "ok", "refused"]
    });
    for node in &nodes {
        let status = node.status();
        assert_eq!(status["service"]["restarts"], 0, "{status}");
    }
}

#[test]
fn a_changed_link_address_is_followed_and_the_first_that_answers_is_used() {
    let lab = formed("remote-links", "2 --links 2", 2);
    let n1 = lab.node(1);
    wait_all(&n1, "both", |n| reached(n) == ["ok"; 2]);
    let listens = |node: u32| {
        let ran = lab.node(node).run(&["ss", "-Hltn"]);
        let all: Vec<String> = ran.out.split_whitespace().map(str::to_owned).collect();
        all
    };
    for l in [0, 1] {
        let address = format!("10.77.{l}.2:5407");
        assert!(listens(2).contains(&address), "{:?}", listens(2));
    }
    // By the other link, whichever is cut.
    for link in ["0", "1"] {
        lab.verb(&["cut", "n1", "n2", link]).ok();
        assert_eq!(
            reached(&all(&n1, &["status"])),
            ["ok"; 2],
            "link {link} cut"
        );
        lab.verb(&["heal"]).ok();
    }
    // Link 1 is taken out of the configuration.
    let without = |text: &str| {
        let kept = text.lines().filter(|l| !l.contains("ring1_addr"));
        let text: String = kept.map(|l| format!("{l}\n")).collect();
        text.replace("config_version: 1", "config_version: 2")
    };
    lab.node(2).edit_conf(without);
    lab.node(2).ctl(&["config", "adopt"]).ok();
    until("it does not listen there any more", LONG, || {
        let all = listens(2);
        let gone = !all.contains(&"10.77.1.2:5407".to_owned());
        (gone && all.contains(&"10.77.0.2:5407".to_owned())).then_some(())
    });
    // And back in: it listens there again, and by that alone it is asked.
    let ran = lab.node(2).ctl(&["config", "rollback", "--this-node-only"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    until("it listens there again", LONG, || {
        let again = listens(2).contains(&"10.77.1.2:5407".to_owned());
        again.then_some(())
    });
    lab.verb(&["cut", "n1", "n2", "0"]).ok();
    wait_all(&n1, "by the new one", |n| reached(n) == ["ok"; 2]);
}

#[test]
fn a_node_that_is_not_configured_or_has_no_key_says_so() {
    let lab = Lab::up("remote-empty", "1 --empty", &[]);
    let n1 = lab.node(1);
    let nodes = all(&n1, &["status"]);
    assert_eq!(reached(&nodes), ["ok"]);
    assert_eq!(nodes[0]["ok"]["mode_reason"], "unconfigured");
    let ran = n1.ctl(&["--node", "n2", "status"]);
    assert!(ran.err.contains("no such node"), "{ran:?}");
    let ran = n1.ctl(&["--node", "n1", "status", "--json"]);
    assert_eq!(ran.code, 150, "{ran:?}");
}

#[test]
fn a_node_without_a_configuration_answers_by_its_key_where_it_is_told_to_listen() {
    let lab = formed("remote-bare", "2", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    wait_all(&n1, "both", |n| reached(n) == ["ok"; 2]);
    n2.end_daemon("TERM");
    n2.sh("rm -r /etc/corosync/corosync.conf /var/lib/clusmgr/*")
        .ok();
    n2.start_daemon(&["--listen", "10.77.0.2"]);
    let status = || {
        let ran = n1.ctl(&["--node", "n2", "status", "--json"]);
        serde_json::from_str::<Value>(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
    };
    assert_eq!(status()["mode_reason"], "unconfigured", "{}", status());
    let nodes = all(&n1, &["status"]);
    assert_eq!(reached(&nodes), ["ok"; 2]);
    // One that is no good, and was never held.
    n2.put("/etc/corosync/corosync.conf", "totem {\n");
    until("it is no good", LONG, || {
        (status()["mode_reason"] == "bad-config").then_some(())
    });
    assert_eq!(reached(&all(&n1, &["status"])), ["ok"; 2]);
}

#[test]
fn a_link_address_by_name_is_followed_when_the_name_comes_to_stand_for_another() {
    let lab = Lab::up("remote-name", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.sh("cat /etc/hosts >/tmp/hosts && mount -n --bind /tmp/hosts /etc/hosts")
        .ok();
    // Neither is an address of the node yet: it listens there all the same.
    let is = |address: &str| {
        n1.sh(&format!("echo {address} ring.test >/tmp/hosts")).ok();
    };
    let listens_at = |address: &str| {
        until(&format!("it listens at {address}"), LONG, || {
            let out = n1.run(&["ss", "-Hltn"]).out;
            let all = out.split_whitespace().filter(|w| w.ends_with(":5407"));
            let all: Vec<&str> = all.collect();
            (all == [format!("{address}:5407")]).then_some(())
        });
    };
    listens_at("10.77.0.1");
    is("10.77.0.8");
    n1.edit_conf(|t| t.replace("ring0_addr: 10.77.0.1", "ring0_addr: ring.test"));
    listens_at("10.77.0.8");
    is("10.77.0.9");
    listens_at("10.77.0.9");
}
