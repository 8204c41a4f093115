//! Real files from the field: what is found in them, and that nothing of them is lost.
#![allow(clippy::unwrap_used)]

use clusmgr::driver::corosync::finding::{Finding, Severity};
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
    let findings = check(UDPU, KeyFile::Present);
    assert_eq!(findings[0].path, "nodelist", "{findings:?}");
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    assert_eq!(errors.count(), 1, "{findings:?}");
    let told = |says: &str| findings.iter().any(|f| f.to_string().contains(says));
    for says in [
        "line 8, column 25: warning: totem.interface.member.memberaddr: corosync 3 takes the members",
        "line 13, column 17: warning: totem.interface.ringnumber: corosync 3 does not read it",
        "warning: totem.interface.linknumber: link 0 has a section in line 6 already",
        "line 26, column 1: warning: service: corosync 3 does not read this section",
    ] {
        assert!(told(says), "{says}: {findings:#?}");
    }
}
