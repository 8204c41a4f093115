//! Single keys and sections: the table of options, names that it does not hold, and the system section.

use super::*;

fn totem(line: &str) -> String {
    edited(&[("token: 3000\n", &format!("token: 3000\n{line}\n"))])
}

fn at_end(lines: &str) -> String {
    format!("{BASE}{lines}\n")
}

#[test]
fn a_number_that_is_none_is_refused() {
    let text = edited(&[("token: 3000", "token: 3s")]);
    refused(
        &text,
        "token",
        "totem.token",
        "whole number of ms from 30 to",
    );
}

#[test]
fn a_number_out_of_its_range_is_refused() {
    for (line, path, says) in [
        ("token_warning: 101", "totem.token_warning", "from 0 to 100"),
        ("join: 29", "totem.join", "from 30"),
        ("merge: 5", "totem.merge", "from 30"),
        ("downcheck: 5", "totem.downcheck", "from 30"),
        ("max_network_delay: 5", "totem.max_network_delay", "from 30"),
        ("hold: 13", "totem.hold", "from 14"),
        (
            "knet_pmtud_interval: 86401",
            "totem.knet_pmtud_interval",
            "of s from 1 to 86400",
        ),
        ("knet_mtu: 65536", "totem.knet_mtu", "to 65535"),
        ("knet_mtu: 113", "totem.knet_mtu", "of bytes from 576"),
        ("netmtu: 70000", "totem.netmtu", "to 65536"),
        ("window_size: 16385", "totem.window_size", "to 16384"),
        ("send_join: 4294967296", "totem.send_join", "to 4294967295"),
        ("threads: -1", "totem.threads", "from 0"),
    ] {
        refused(&totem(line), line, path, says);
    }
    let interface =
        |line: &str| edited(&[("_priority: 10\n", &format!("_priority: 10\n{line}\n"))]);
    let path = "totem.interface.knet_pong_count";
    refused(
        &interface("knet_pong_count: 256"),
        "256",
        path,
        "from 1 to 255",
    );
    refused(
        &interface("mcastport: 65536"),
        "65536",
        "totem.interface.mcastport",
        "to 65535",
    );
    let text = edited(&[("_priority: 10", "_priority: 256")]);
    refused(&text, "256", "totem.interface.knet_link_priority", "to 255");
    let watchdog = at_end("resources {\nwatchdog_timeout: 121\n}");
    refused(
        &watchdog,
        "121",
        "resources.watchdog_timeout",
        "from 2 to 120",
    );
}

#[test]
fn zero_for_the_default_is_a_warning() {
    warned(
        &totem("join: 0"),
        "join",
        "totem.join",
        "0 stands for the default here, 50",
    );
}

#[test]
fn a_word_that_corosync_does_not_know_is_refused() {
    for (line, path) in [
        ("link_mode: both", "totem.link_mode"),
        ("ip_version: 4", "totem.ip_version"),
        ("crypto_model: gnutls", "totem.crypto_model"),
    ] {
        refused(&totem(line), line, path, "write one of");
    }
    for (lines, mark, path) in [
        ("logging {\ndebug: yes\n}", "debug", "logging.debug"),
        (
            "logging {\ntimestamp: yes\n}",
            "timestamp",
            "logging.timestamp",
        ),
        (
            "logging {\nsyslog_priority: error\n}",
            "error",
            "logging.syslog_priority",
        ),
        (
            "logging {\nlogger_subsys {\nsubsys: QUORUM\ndebug: 1\n}\n}",
            "debug",
            "logging.logger_subsys.debug",
        ),
        (
            "system {\nqb_ipc_type: posix\n}",
            "posix",
            "system.qb_ipc_type",
        ),
        (
            "system {\nmove_to_root_cgroup: maybe\n}",
            "maybe",
            "system.move_to_root_cgroup",
        ),
    ] {
        refused(&at_end(lines), mark, path, "write one of");
    }
}

#[test]
fn a_word_that_corosync_would_ignore_is_refused_where_it_protects() {
    let path = "totem.block_unlisted_ips";
    refused(
        &totem("block_unlisted_ips: on"),
        "block",
        path,
        "silently takes yes",
    );
    let text = totem("secauth: yes");
    refused(&text, "secauth", "totem.secauth", "silently takes off");
}

#[test]
fn a_word_that_corosync_would_ignore_is_a_warning_elsewhere() {
    let path = "totem.cancel_token_hold_on_retransmit";
    warned(
        &totem("cancel_token_hold_on_retransmit: 1"),
        "cancel",
        path,
        "silently takes no",
    );
}

#[test]
fn a_switch_other_than_0_and_1_is_a_warning_and_above_255_refused() {
    let path = "quorum.wait_for_all";
    warned(&quorum("wait_for_all: 2"), "wait", path, "takes 2 for 1");
    refused(&quorum("wait_for_all: 256"), "wait", path, "write 0 or 1");
    refused(&quorum("wait_for_all: yes"), "wait", path, "write 0 or 1");
}

#[test]
fn compression_model_none_is_refused() {
    let path = "totem.knet_compression_model";
    refused(
        &totem("knet_compression_model: none"),
        "none",
        path,
        "remove it",
    );
    sound(&totem("knet_compression_model: zlib"));
}

#[test]
fn a_path_that_is_not_absolute_is_refused() {
    refused(
        &totem("keyfile: authkey"),
        "keyfile",
        "totem.keyfile",
        "an absolute path",
    );
    let text = at_end("system {\nstate_dir: state\n}");
    refused(&text, "state_dir:", "system.state_dir", "an absolute path");
}

#[test]
fn a_config_version_that_is_no_number_is_refused() {
    let with = |v: &str| edited(&[("config_version: 3", &format!("config_version: {v}"))]);
    for bad in ["x", "-1", "18446744073709551616", "1.2", ""] {
        refused(
            &with(bad),
            "config_version",
            "totem.config_version",
            "18446744073709551615",
        );
    }
    sound(&with("18446744073709551614"));
    refused(
        &with("18446744073709551615"),
        "config_version",
        "totem.config_version",
        "no greater version could follow",
    );
}

#[test]
fn a_priority_that_is_none_is_refused() {
    let system = |v: &str| at_end(&format!("system {{\nsched_rr: no\npriority: {v}\n}}"));
    refused(
        &system("high"),
        "priority",
        "system.priority",
        "write max, min",
    );
    sound(&system("max"));
    sound(&system("-20"));
    let alone = at_end("system {\npriority: 5\n}");
    warned(&alone, "priority", "system.priority", "sched_rr: no");
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_name() {
    warned(
        &totem("tokn: 5"),
        "tokn",
        "totem.tokn",
        "did you mean token?",
    );
    warned(
        &quorum("two_nodes: 1"),
        "two_nodes",
        "quorum.two_nodes",
        "did you mean two_node?",
    );
    warned(
        &totem("two_node: 1"),
        "two_node",
        "totem.two_node",
        "there is one in quorum",
    );
    warned(
        &totem("frobnicate: 1"),
        "frob",
        "totem.frobnicate",
        "knows no such key",
    );
}

#[test]
fn a_misspelt_key_is_told_by_its_name_alone() {
    let hex = "0123456789abcdef".repeat(2);
    let cases = [
        (
            totem("keyy: SECRET"),
            "keyy",
            "totem.keyy",
            "did you mean key?",
        ),
        (
            totem("Key: SECRET"),
            "Key",
            "totem.Key",
            "did you mean key?",
        ),
        (
            quorum("key: SECRET"),
            "key: S",
            "quorum.key",
            "there is one in totem",
        ),
        (
            totem(&format!("salt: {hex}")),
            "salt",
            "totem.salt",
            "knows no such key",
        ),
    ];
    for (text, mark, path, says) in cases {
        warned(&text, mark, path, says);
        let shown = format!("{:?}", check(&text));
        assert!(
            !shown.contains("SECRET") && !shown.contains(&hex),
            "{shown}"
        );
    }
    // Given twice, and where nothing of the kind may be.
    let shown = |text: &str| format!("{:?}", check(text));
    let twice = shown(&totem("keyy: SECRET\nkeyy: OTHERSECRET"));
    assert!(
        twice.contains("given again") && !twice.contains("SECRET"),
        "{twice}"
    );
    let only = shown(&at_end("uidgid {\nkey: SECRET\n}"));
    assert!(
        only.contains("only uid and gid") && !only.contains("SECRET"),
        "{only}"
    );
}

#[test]
fn an_unknown_section_is_a_warning_with_the_nearest_name() {
    warned(
        &at_end("loging {\ndebug: on\n}"),
        "loging",
        "loging",
        "did you mean logging?",
    );
    warned(
        &at_end("interface {\nlinknumber: 0\n}"),
        "interface",
        "interface",
        "known as totem.interface",
    );
    warned(
        &at_end("extra {\na: b\nc {\n}\n}"),
        "extra",
        "extra",
        "knows no such section",
    );
}

#[test]
fn what_corosync_3_does_not_read_any_more_is_a_warning() {
    warned(&totem("nodeid: 77"), "77", "totem.nodeid", "ignores it");
}

#[test]
fn what_is_of_older_corosyncs_is_a_warning() {
    warned(
        &totem("rrp_mode: active"),
        "rrp",
        "totem.rrp_mode",
        "link_mode",
    );
    warned(
        &at_end("service {\nname: pacemaker\n}"),
        "service",
        "service",
        "does not read this section",
    );
    warned(
        &at_end("logging {\nto_file: no\n}"),
        "to_file",
        "logging.to_file",
        "to_logfile",
    );
}

#[test]
fn what_corosync_would_still_stumble_over_is_refused() {
    let findings = check(&totem("rrp_problem_count_timeout: long"));
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(
        findings[1].message.contains("from 0 to 4294967295"),
        "{findings:?}"
    );
}

#[test]
fn a_key_given_twice_is_a_warning() {
    let text = edited(&[("token: 3000\n", "token: 2000\ntoken: 3000\n")]);
    warned(&text, "token: 2000", "totem.token", "again in line 9");
    sound(&edited(&[("token: 3000\n", "token: 3000\ntoken: 3000\n")]));
}

#[test]
fn a_number_outside_of_its_section_is_refused() {
    refused(
        &at_end("totem.token: 5000"),
        "5000",
        "totem.token",
        "inside totem",
    );
    warned(
        &at_end("totem.cluster_name: x"),
        "name: x",
        "totem.cluster_name",
        "inside totem",
    );
}

#[test]
fn other_than_uid_and_gid_in_uidgid_is_refused() {
    sound(&at_end("uidgid {\nuid: hacluster\nuid: root\ngid: 0\n}"));
    refused(
        &at_end("uidgid {\nuser: a\n}"),
        "user",
        "uidgid.user",
        "only uid and gid",
    );
}

#[test]
fn a_log_section_without_its_subsystem_is_refused() {
    let text = at_end("logging {\nlogger_subsys {\ndebug: on\n}\n}");
    refused(&text, "logger_subsys", "logging.logger_subsys", "no subsys");
}

#[test]
fn a_log_to_no_file_is_a_warning() {
    let text = edited(&[("to_syslog: yes", "to_logfile: yes")]);
    warned(&text, "to_logfile", "logging.to_logfile", "no logfile");
}

#[test]
fn a_byte_that_newer_versions_cut_is_a_warning() {
    let text = edited(&[("cluster_name: c", "cluster_name: c\u{a0}")]);
    warned(&text, "cluster_name", "totem.cluster_name", "0xA0");
}

#[test]
fn a_flood_of_findings_is_counted() {
    let text = at_end(&"junk: 1\nmore {\n}\n".repeat(5000));
    let findings = check(&text);
    assert_eq!(findings.len(), 201);
    assert_eq!(findings[200].message, "9800 more warnings are not shown");
    assert_eq!(findings[200].severity, Severity::Warning);
    // An error behind them is told all the same.
    let findings = check(&(text + "system {\nsched_rr: x\n}\n"));
    assert!(findings.iter().any(|f| f.path == "system.sched_rr"));
}
