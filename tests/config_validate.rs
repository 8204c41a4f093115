//! What a start needs of a configuration, and real files from the field.
#![allow(clippy::unwrap_used)]

use clusmgr::driver::corosync::finding::{Finding, has_errors};
use clusmgr::driver::corosync::model::Config;
use clusmgr::driver::corosync::nodes::{LinkId, LocalHost};
use clusmgr::driver::corosync::parse::parse;
use clusmgr::driver::corosync::render::render;
use clusmgr::driver::corosync::validate::{KeyFile, validate};
use clusmgr::types::{ConfigVersion, NodeId};

/// Made by `pcs cluster setup` (names and addresses changed).
const PCS: &str = "totem {
    version: 2
    cluster_name: hacluster
    transport: knet
    ip_version: ipv4-6
    link_mode: passive
    cluster_uuid: 5f1d3c9a2b7e4d0f8a6b1c2d3e4f5a6b
    crypto_cipher: aes256
    crypto_hash: sha256

    interface {
        linknumber: 0
        knet_transport: udp
    }
}

nodelist {
    node {
        ring0_addr: 192.168.122.11
        ring1_addr: 10.10.0.11
        name: alpha
        nodeid: 1
    }

    node {
        ring0_addr: 192.168.122.12
        ring1_addr: 10.10.0.12
        name: beta
        nodeid: 2
    }
}

quorum {
    provider: corosync_votequorum
    two_node: 1
}

logging {
    to_logfile: yes
    logfile: /var/log/cluster/corosync.log
    to_syslog: yes
    timestamp: on
}
";

/// In the style of the example that comes with corosync: a comment on everything.
const EXAMPLE: &str = "# Please read the corosync.conf.5 manual page
totem {
\tversion: 2

\t# Set name of the cluster
\tcluster_name: ExampleCluster

\t# crypto_cipher and crypto_hash: Used for mutual node authentication.
\tcrypto_cipher: none
\tcrypto_hash: none
}

logging {
\t# Log the source file and line: when in doubt, leave off {sic}.
\tfileline: off
\tto_stderr: yes
\tlogfile: /var/log/cluster/corosync.log
\t#timestamp: hires
\tlogger_subsys {
\t\tsubsys: QUORUM
\t\tdebug: off
\t}
}

quorum {
\t#provider: corosync_votequorum
}

nodelist {
\t# Change/uncomment/add node sections to match cluster configuration

\tnode {
\t\t# Hostname of the node
\t\tname: node1
\t\tnodeid: 1
\t\t#ring0_addr: 192.168.0.1
\t}
\t# ...
}
";

/// From corosync 1 and 2: udpu, interface sections with members, and parts that corosync 3 ignores.
const UDPU: &str = "compatibility: whitetank

totem {
        version: 2
        secauth: off
        interface {
                member {
                        memberaddr: 10.16.35.101
                }
                member {
                        memberaddr: 10.16.35.102
                }
                ringnumber: 0
                bindnetaddr: 10.16.35.0
                mcastport: 5405
                ttl: 1
        }
        interface {
                ringnumber: 1
                bindnetaddr: 10.17.35.0
                mcastport: 5407
        }
        transport: udpu
}

service {
        name: pacemaker
        ver: 1
}

logging {
        fileline: off
        to_stderr: no
        to_logfile: yes
        to_syslog: yes
        logfile: /var/log/cluster/corosync.log
        debug: off
        timestamp: on
        logger_subsys {
                subsys: AMF
                debug: off
        }
}
";

fn alpha() -> LocalHost {
    LocalHost {
        node_name: "alpha".to_owned(),
        hostname: "alpha".to_owned(),
        addresses: vec![],
    }
}

fn check(text: &str, key: KeyFile) -> Vec<Finding> {
    validate(&parse(text.as_bytes()).unwrap(), &alpha(), key)
}

/// A sound file with some lines in totem, in its one node, and at its end.
fn file(totem: &str, node: &str, more: &str) -> String {
    format!(
        "totem {{\nversion: 2\ncrypto_cipher: none\ncrypto_hash: none\n{totem}\n}}\n\
         nodelist {{\nnode {{\nname: alpha\n{node}\n}}\n}}\n{more}\n"
    )
}

#[track_caller]
fn one(text: &str, line: u32, column: u32, says: &str) {
    one_with(KeyFile::Present, text, line, column, says);
}

#[track_caller]
fn one_with(key: KeyFile, text: &str, line: u32, column: u32, says: &str) {
    let findings = check(text, key);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let f = &findings[0];
    assert!(f.to_string().contains(says), "{f}");
    assert_eq!((f.line, f.column), (line, column), "{f}");
}

fn canonical(text: &str) -> (Config, String) {
    let model = parse(text.as_bytes()).unwrap();
    let written = render(&model).unwrap();
    assert_eq!(parse(&written).unwrap(), model);
    (model, String::from_utf8(written.to_vec()).unwrap())
}

#[test]
fn a_file_of_pcs() {
    let (c, text) = canonical(PCS);
    assert_eq!(check(PCS, KeyFile::Present), []);
    // pcs indents with blanks, and has an empty line before each section: else it is the same.
    let lay_out = |t: &str| {
        t.lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(lay_out(&text), lay_out(PCS));
    assert!(text.starts_with("totem {\n\tversion: 2\n\tcluster_name: hacluster\n"));
    let nodes = c.nodes();
    assert_eq!(nodes.len(), 2);
    assert_eq!(nodes[1].nodeid, Some(NodeId(2)));
    assert_eq!(nodes[1].addr(LinkId(1)), Some("10.10.0.12"));
    assert_eq!(c.local_node(&alpha()).unwrap().nodeid, Some(NodeId(1)));
    assert!(c.two_node() && c.needs_key() && c.all_addresses_literal());
    assert_eq!(c.config_version(), ConfigVersion(0));
}

#[test]
fn a_file_in_the_style_of_the_example() {
    let (c, text) = canonical(EXAMPLE);
    let lay_out = |t: &str| {
        t.lines()
            .filter(|l| !l.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(lay_out(&text), lay_out(EXAMPLE));
    assert_eq!(c.cluster_name(), Some("ExampleCluster"));
    assert_eq!(c.get_str("logging.logger_subsys.subsys"), Some("QUORUM"));
    assert!(!c.needs_key());
}

#[test]
fn an_old_file_with_udpu() {
    let (c, text) = canonical(UDPU);
    // totem moves up, all else stays.
    assert!(
        text.starts_with("totem {\n\tversion: 2\n\tsecauth: off\n\tinterface {\n\t\tmember {\n")
    );
    assert!(
        text.contains("\n}\n\ncompatibility: whitetank\n\nservice {\n"),
        "{text}"
    );
    assert_eq!(c.transport(), "udpu");
    assert!(c.nodes().is_empty() && !c.needs_key());
    one(UDPU, 0, 0, "nodelist: there are no nodes");
}

#[test]
fn a_sound_file_has_no_findings() {
    assert_eq!(check(&file("", "nodeid: 1", ""), KeyFile::Absent), []);
}

#[test]
fn totem_must_be_there_with_version_2() {
    let node = "nodelist {\nnode {\nname: alpha\nnodeid: 1\n}\n}\n";
    let all = check(node, KeyFile::Unknown);
    assert!(
        all.iter().any(|f| f.path == "totem" && f.line == 0),
        "{all:?}"
    );
    let none = format!("{node}totem {{\nsecauth: off\n}}\n");
    one(&none, 7, 1, "totem.version: it is missing");
    one(
        &file("version: 3", "nodeid: 1", ""),
        5,
        10,
        "\"3\" is not valid; write 2",
    );
}

#[test]
fn values_that_corosync_would_not_take() {
    for (totem, more, column, says) in [
        (
            "config_version: x1",
            "",
            17,
            "write a whole number from 0 to 18446744073709551615",
        ),
        ("config_version: -1", "", 17, "\"-1\""),
        ("config_version: 18446744073709551616", "", 17, "not valid"),
        ("token: 1s", "", 8, "from 0 to 4294967295"),
        ("token:", "", 7, "\"\" is not valid"),
        ("crypto_hash: sha3", "", 14, "one of none, md5"),
        ("transport: iba", "", 12, "one of knet, udp, udpu"),
        ("", "system {\nsched_rr: maybe\n}", 11, "one of yes, no"),
        ("", "quorum {\ntwo_node: 256\n}", 11, "from 0 to 255"),
        ("", "uidgid {\nfoo: 1\n}", 1, "only uid and gid"),
    ] {
        let line = if more.is_empty() { 5 } else { 14 };
        one(&file(totem, "nodeid: 1", more), line, column, says);
    }
    one(
        &file("", "nodeid: 1", "logging {\nlogger_subsys {\n}\n}"),
        14,
        1,
        "no subsys",
    );
    let big = file(
        "config_version: 18446744073709551615\ntoken: +1000",
        "nodeid: 1",
        "",
    );
    assert_eq!(check(&big, KeyFile::Absent), []);
}

#[test]
fn a_nodeid_is_a_number_in_range() {
    one(&file("", "", ""), 8, 1, "nodeid is missing");
    one(&file("", "nodeid: one", ""), 10, 9, "\"one\"");
    one(&file("", "nodeid: 0", ""), 8, 1, "nodeid 0 is out of range");
    one(
        &file("", "nodeid: 65536", ""),
        8,
        1,
        "nodeid 65536 is out of range",
    );
    assert_eq!(check(&file("transport: udpu", "", ""), KeyFile::Absent), []);
    assert_eq!(check(&file("", "nodeid: 65535", ""), KeyFile::Absent), []);
}

#[test]
fn a_node_that_cannot_be_found_is_a_warning() {
    let text = file("", "nodeid: 1", "").replace("alpha", "omega");
    one(
        &text,
        0,
        0,
        "warning: nodelist: no node has the name \"alpha\"",
    );
    assert!(!has_errors(&check(&text, KeyFile::Absent)));
}

#[test]
fn a_key_that_is_needed_must_be_there() {
    let on = |more: &str| {
        file(
            &format!("crypto_cipher: aes256\ncrypto_hash: sha256\n{more}"),
            "nodeid: 1",
            "",
        )
    };
    one_with(KeyFile::Absent, &on(""), 0, 0, "there is no key");
    one_with(
        KeyFile::Absent,
        &on("keyfile: /k"),
        7,
        10,
        "there is no key",
    );
    for known in [KeyFile::Unknown, KeyFile::Present] {
        assert_eq!(check(&on(""), known), []);
    }
    one(&on("key: SECRET"), 7, 6, "it has 6 bytes");
    assert!(!format!("{:?}", check(&on("key: SECRET"), KeyFile::Absent)).contains("SECRET"));
    // corosync 3.1.7 takes 127 characters, since it counts the NUL.
    assert_eq!(
        check(&on(&format!("key: {}", "x".repeat(127))), KeyFile::Absent),
        []
    );
    one(
        &file("crypto_cipher: aes256", "nodeid: 1", ""),
        5,
        16,
        "aes256 needs a hash",
    );
    assert_eq!(check(&on("transport: udp"), KeyFile::Present).len(), 1);
}

#[test]
fn what_deserves_a_look() {
    let implicit = "totem {\nversion: 2\n}\nnodelist {\nnode {\nname: alpha\nnodeid: 1\n}\n}\n";
    one(implicit, 0, 0, "write both");
    one(
        &file("cluster_name: x\u{a0}", "nodeid: 1", ""),
        5,
        15,
        "0xA0",
    );
    one(
        &file("", "nodeid: 1\nfoo {\nx: y\n}", ""),
        11,
        1,
        "ends the node",
    );
}

/// Left to corosync and its exit codes, on purpose.
#[test]
fn rules_of_the_whole_are_not_applied_yet() {
    let twice = file("", "nodeid: 1\n}\nnode {\nname: beta\nnodeid: 1", "");
    assert_eq!(check(&twice, KeyFile::Absent), []);
    let qdevice = "quorum {\nprovider: corosync_votequorum\ntwo_node: 1\ndevice {\nmodel: net\nvotes: 1\n}\n}";
    assert_eq!(check(&file("", "nodeid: 1", qdevice), KeyFile::Absent), []);
}
