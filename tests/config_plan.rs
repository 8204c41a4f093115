//! What a change means for a running corosync, key by key, and how it is told.
#![allow(clippy::unwrap_used)]

use clusmgr::driver::corosync::diff::unified;
use clusmgr::driver::corosync::model::Config;
use clusmgr::driver::corosync::parse::parse;
use clusmgr::driver::corosync::plan::{Change, Plan, plan};
use clusmgr::driver::corosync::render::render_redacted;

const OLD: &str = "totem {
version: 2
cluster_name: c
config_version: 3
crypto_cipher: aes256
crypto_hash: sha256
token: 1000
interface {
linknumber: 1
knet_link_priority: 10
mcastport: 5410
}
}
nodelist {
node {
nodeid: 1
name: n1
ring0_addr: 10.0.0.1
ring1_addr: fd00::1
}
node {
nodeid: 2
name: n2
ring0_addr: 10.0.0.2
ring1_addr: fd00::2
}
}
quorum {
provider: corosync_votequorum
two_node: 1
}
logging {
logger_subsys {
subsys: QUORUM
debug: off
}
}
";

fn model(text: &str) -> Config {
    parse(text.as_bytes()).unwrap()
}

#[track_caller]
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(OLD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the file");
        text.replacen(from, to, 1)
    })
}

#[track_caller]
fn planned(edits: &[(&str, &str)]) -> Plan {
    plan(&model(OLD), &model(&edited(edits)))
}

/// The plan of these edits is this text.
#[track_caller]
fn tells(edits: &[(&str, &str)], text: &str) {
    assert_eq!(planned(edits).to_string(), text);
}

#[test]
fn equal_content_in_other_order_and_lay_out_is_no_change() {
    let plan = |new: &str| plan(&model(OLD), &model(new));
    assert!(plan(OLD).is_empty());
    let (head, rest) = OLD.split_once("nodelist {\n").unwrap();
    let (list, tail) = rest.split_once("}\nquorum").unwrap();
    let (one, two) = list.split_once("node {\nnodeid: 2").unwrap();
    let turned =
        format!("# by hand\nquorum{tail}{head}nodelist {{\nnode {{\nnodeid: 2{two}{one}}}\n");
    let turned = turned.replace("token: 1000", "token: 0500\n# longer\ntoken: +1000");
    let new = plan(&turned.replace("fd00::2", "fd00:0::2"));
    assert!(new.is_empty(), "{new}");
    assert_eq!(new.to_string(), "");
}

#[test]
fn timers_nodes_logging_and_crypto_reload() {
    tells(
        &[("token: 1000", "token: 2000")],
        "totem.token: 1000 → 2000 (reload)\n",
    );
    tells(
        &[("token: 1000\n", "")],
        "totem.token: 1000 → (none) (reload)\n",
    );
    tells(
        &[
            ("token: 1000\n", "token: 1000\njoin: 60\n"),
            ("_version: 3", "_version: 4"),
        ],
        "totem.config_version: 3 → 4 (reload)\ntotem.join: (none) → 60 (reload)\n",
    );
    tells(
        &[("aes256", "aes128")],
        "totem.crypto_cipher: aes256 → aes128 (reload)\n",
    );
    tells(
        &[("debug: off", "debug: on")],
        "logging.logger_subsys[QUORUM].debug: off → on (reload)\n",
    );
    tells(
        &[("two_node: 1\n", "")],
        "quorum.two_node: 1 → (none) (reload)\n",
    );
    tells(
        &[("name: n2", "name: m2")],
        "nodelist.node[2].name: n2 → m2 (reload)\n",
    );
    tells(
        &[("priority: 10", "priority: 20")],
        "totem.interface[1].knet_link_priority: 10 → 20 (reload)\n",
    );
}

#[test]
fn what_a_reload_would_not_change_needs_a_restart() {
    for (from, to, path) in [
        ("cluster_name: c", "cluster_name: d", "totem.cluster_name"),
        (
            "token: 1000\n",
            "token: 1000\ntransport: udpu\n",
            "totem.transport",
        ),
        (
            "token: 1000\n",
            "token: 1000\nip_version: ipv4\n",
            "totem.ip_version",
        ),
        (
            "token: 1000\n",
            "token: 1000\nnetmtu: 1400\n",
            "totem.netmtu",
        ),
        (
            "token: 1000\n",
            "token: 1000\nlink_mode: rr\n",
            "totem.link_mode",
        ),
        (
            "mcastport: 5410",
            "mcastport: 5420",
            "totem.interface[1].mcastport",
        ),
        (
            "two_node: 1",
            "two_node: 1\nwait_for_all: 0",
            "quorum.wait_for_all",
        ),
        ("provider: corosync_votequorum\n", "", "quorum.provider"),
        (
            "logging {\n",
            "system {\nsched_rr: no\n}\nlogging {\n",
            "system.sched_rr",
        ),
    ] {
        let plan = planned(&[(from, to)]);
        assert_eq!(plan.restart.len(), 1, "{plan}");
        assert_eq!(plan.restart[0].path, path);
        assert!(plan.reload.is_empty() && plan.refused.is_empty(), "{plan}");
        assert!(plan.to_string().ends_with(" (restart)\n"), "{plan}");
    }
    // A reload does not take it away again.
    let with = edited(&[(
        "logging {\n",
        "resources {\nwatchdog_timeout: 9\n}\nlogging {\n",
    )]);
    let away = plan(&model(&with), &model(OLD));
    assert_eq!((away.restart.len(), away.reload.len()), (1, 0), "{away}");
}

#[test]
fn an_address_on_a_link_that_stands_is_refused() {
    let text = "nodelist.node[2].ring0_addr: 10.0.0.2 → 10.0.0.9 (refused: the link stands; remove the link and reload, then add it with the new value and reload)\n";
    tells(&[("10.0.0.2", "10.0.0.9")], text);
    let plan = planned(&[("mcastport: 5410", "mcastport: 5410\nknet_transport: sctp")]);
    assert_eq!(plan.refused.len(), 1, "{plan}");
    let plan = planned(&[("mcastport: 5410", "mcastport: 5410\nknet_transport: udp")]);
    assert_eq!((plan.refused.len(), plan.reload.len()), (0, 1), "{plan}");
}

#[test]
fn a_link_that_goes_or_comes_reloads_but_not_all_at_once() {
    let one = edited(&[("ring1_addr: fd00::1\n", ""), ("ring1_addr: fd00::2\n", "")]);
    let one = one.replace(
        "interface {\nlinknumber: 1\nknet_link_priority: 10\nmcastport: 5410\n}\n",
        "",
    );
    for (from, to) in [(OLD, one.as_str()), (&one, OLD)] {
        let plan = plan(&model(from), &model(to));
        assert_eq!(plan.reload.len(), 4, "{plan}");
        assert!(plan.restart.is_empty() && plan.refused.is_empty(), "{plan}");
    }
    let swapped = one.replace("ring0_addr", "ring2_addr");
    let plan = plan(&model(&one), &model(&swapped));
    assert_eq!((plan.refused.len(), plan.reload.len()), (4, 0), "{plan}");
    assert!(plan.to_string().contains("no link would stand"), "{plan}");
}

#[test]
fn nodes_are_compared_by_nodeid_and_come_and_go_as_one_line() {
    let third = "node {\nnodeid: 3\nname: n3\nring0_addr: 10.0.0.3\nring1_addr: fd00::3\n}\n";
    let new = edited(&[
        ("nodelist {\n", &format!("nodelist {{\n{third}")),
        ("two_node: 1\n", ""),
    ]);
    let there = plan(&model(OLD), &model(&new));
    assert_eq!(
        there.to_string(),
        "nodelist.node[3]: (none) → n3 10.0.0.3 fd00::3 (reload)\nquorum.two_node: 1 → (none) (reload)\n"
    );
    let back = plan(&model(&new), &model(OLD));
    assert!(
        back.to_string()
            .starts_with("nodelist.node[3]: n3 10.0.0.3 fd00::3 → (none) (reload)\n"),
        "{back}"
    );
}

#[test]
fn a_node_under_another_nodeid_needs_a_restart() {
    let plan = planned(&[("nodeid: 2", "nodeid: 5")]);
    let paths: Vec<&str> = plan.restart.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(paths, ["nodelist.node[2]", "nodelist.node[5]"], "{plan}");
    assert!(plan.to_string().contains("changes its nodeid"), "{plan}");
}

#[test]
fn a_secret_is_compared_and_never_told() {
    let with = |key: &str| {
        edited(&[(
            "token: 1000\n",
            &format!("token: 1000\nkey: {}\n", key.repeat(40)),
        )])
    };
    let (old, new) = (model(&with("AAAA")), model(&with("BBBB")));
    assert!(plan(&old, &old).is_empty());
    let changed = plan(&old, &new);
    assert_eq!(
        changed.to_string(),
        "totem.key: <redacted> → <redacted> (reload)\n"
    );
    let told = format!("{changed:?}{}", serde_json::to_string(&changed).unwrap());
    assert!(!told.contains("AAAA") && !told.contains("BBBB"), "{told}");
    let diff = unified(
        "a",
        &render_redacted(&old).unwrap(),
        "b",
        &render_redacted(&new).unwrap(),
    );
    assert_eq!(diff, "");
}

#[test]
fn a_plan_is_json_for_programs() {
    let plan = planned(&[("token: 1000", "token: 2000")]);
    let change = Change {
        path: "totem.token".to_owned(),
        old: Some("1000".to_owned()),
        new: Some("2000".to_owned()),
        hint: None,
    };
    assert_eq!(plan.reload, [change]);
    let json = r#"{"reload":[{"path":"totem.token","old":"1000","new":"2000"}],"restart":[],"refused":[]}"#;
    assert_eq!(serde_json::to_string(&plan).unwrap(), json);
}

#[test]
fn a_diff_is_of_the_canonical_text() {
    let shown = |text: &str| render_redacted(&model(text)).unwrap();
    let new = edited(&[("two_node: 1\n", "")]);
    let diff = unified("running", &shown(OLD), "new", &shown(&new));
    assert!(diff.starts_with("--- running\n+++ new\n@@ -"), "{diff}");
    assert!(diff.contains("\n-\ttwo_node: 1\n"), "{diff}");
    assert_eq!(diff.lines().filter(|l| l.starts_with('-')).count(), 2);
}

#[test]
fn a_default_that_is_written_out_or_left_out_needs_no_restart() {
    let of = |text: &str| text.to_owned();
    for (from, to) in [
        ("token: 1000\n", "token: 1000\ntransport: knet\n"),
        ("token: 1000\n", "token: 1000\nlink_mode: passive\n"),
        ("token: 1000\n", "token: 1000\nthreads: 00\n"),
        ("token: 1000\n", "token: 1000\nmax_network_delay: 0\n"),
        ("logging {\n", "system {\nsched_rr: yes\n}\nlogging {\n"),
        ("two_node: 1\n", "two_node: 1\nlast_man_standing: 0\n"),
        (
            "token: 1000\n",
            "token: 1000\ninterface {\nmcastport: 5405\n}\n",
        ),
    ] {
        let (old, new) = (of(OLD), edited(&[(from, to)]));
        for (old, new) in [(&old, &new), (&new, &old)] {
            let plan = plan(&model(old), &model(new));
            assert_eq!(plan.restart, [], "{to}");
            let hint = plan.reload[0].hint.unwrap();
            assert!(hint.contains("it is the default"), "{to} {hint}");
        }
    }
    // Not from or to another value, and not where the default is computed or of the build.
    for (from, to) in [
        ("token: 1000\n", "token: 1000\ntransport: udpu\n"),
        ("token: 1000\n", "token: 1000\nip_version: ipv6-4\n"),
        ("mcastport: 5410\n", ""),
        ("two_node: 1\n", "two_node: 1\nwait_for_all: 1\n"),
        (
            "logging {\n",
            "system {\nstate_dir: /var/lib/corosync\n}\nlogging {\n",
        ),
        (
            "token: 1000\n",
            "token: 1000\ninterface {\nmcastport: 5406\n}\n",
        ),
    ] {
        let plan = planned(&[(from, to)]);
        assert_eq!(plan.restart.len(), 1, "{to} {plan:?}");
    }
    let old = edited(&[("logging {\n", "system {\nsched_rr: no\n}\nlogging {\n")]);
    let new = edited(&[("logging {\n", "system {\nsched_rr: yes\n}\nlogging {\n")]);
    assert_eq!(plan(&model(&old), &model(&new)).restart.len(), 1);
}
