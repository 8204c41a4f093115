//! The nodelist.

use super::*;

#[test]
fn a_file_without_nodes_is_refused() {
    let start = BASE.find("nodelist").unwrap();
    let end = BASE.find("quorum").unwrap();
    let text = BASE.replace(&BASE[start..end], "");
    refused(&text, "", "nodelist", "there are no nodes");
}

#[test]
fn more_than_32_nodes_are_refused() {
    let node = |n: u32| {
        format!(
            "node {{\nnodeid: {n}\nname: n{n}\nring0_addr: 10.0.0.{n}\nring1_addr: fd00::{n:x}\n}}\n"
        )
    };
    let list = |most: u32| {
        let nodes: String = (4..=most).map(node).collect();
        edited(&[("}\nquorum {", &format!("{nodes}}}\nquorum {{"))])
    };
    sound(&list(32));
    refused(
        &list(33),
        "nodelist",
        "nodelist",
        "there are 33 nodes; at most 32",
    );
}

#[test]
fn a_nodeid_given_twice_is_refused() {
    let text = edited(&[("nodeid: 3", "nodeid: 2")]);
    refused(
        &text,
        "nodeid: 2",
        "nodelist.node.nodeid",
        "node \"n2\" has nodeid 2 already (line 22)",
    );
}

#[test]
fn a_nodeid_that_is_missing_or_out_of_range_is_refused() {
    let path = "nodelist.node.nodeid";
    let nodeid = |line: &str| edited(&[("nodeid: 3\n", line)]);
    refused(&nodeid(""), "node {", path, "nodeid is missing");
    refused(
        &nodeid("nodeid: 0\n"),
        "nodeid: 0",
        path,
        "0 is out of range",
    );
    refused(&nodeid("nodeid: 65536\n"), "65536", path, "from 1 to 65535");
    refused(&nodeid("nodeid: three\n"), "three", path, "\"three\"");
    // Without knet corosync makes one from an IPv4 address, and takes 32 bits.
    sound(&with_udp("udpu").replace("nodeid: 3\n", ""));
    sound(&with_udp("udpu").replace("nodeid: 3\n", "nodeid: 65536\n"));
    warned(
        &with_udp("udpu").replace("nodeid: 3\n", "nodeid: 0\n"),
        "nodeid: 0",
        path,
        "is none",
    );
    let text = with_udp("udpu")
        .replace("10.0.0.", "fd00::")
        .replace("nodeid: 3\n", "");
    let findings = check(&text);
    assert!(
        findings
            .iter()
            .any(|f| f.message.contains("from an IPv6 address")),
        "{findings:?}"
    );
}

#[test]
fn a_name_given_twice_is_refused() {
    let text = edited(&[("name: n3", "name: N2")]);
    refused(
        &text,
        "N2",
        "nodelist.node.name",
        "the node of line 21 is called \"n2\"",
    );
}

#[test]
fn a_name_that_is_missing_with_several_links_or_empty_is_refused() {
    let text = edited(&[("name: n3\n", "")]);
    refused(
        &text,
        "node {",
        "nodelist.node.name",
        "every node needs a name",
    );
    let text = edited(&[("name: n3", "name:")]);
    refused(&text, "name:", "nodelist.node.name", "empty");
    sound(&with_udp("udpu").replace("name: n3\n", ""));
}

#[test]
fn an_address_given_to_two_nodes_is_refused() {
    let text = edited(&[("10.0.0.3", "10.0.0.2")]);
    refused(
        &text,
        "10.0.0.2",
        "nodelist.node.ring0_addr",
        "node \"n2\" has the address",
    );
    // Another spelling of it.
    let text = edited(&[("fd00::3", "fd00:0::2")]);
    refused(
        &text,
        "fd00:0::2",
        "nodelist.node.ring1_addr",
        "node \"n2\" has the address",
    );
}

#[test]
fn an_address_given_to_two_links_is_refused() {
    let text = edited(&[
        ("fd00::1", "10.1.0.1"),
        ("fd00::2", "10.1.0.2"),
        ("fd00::3", "10.0.0.3"),
    ]);
    let text = text.replace("10.1.0.1", "10.0.0.1");
    let findings = check(&text);
    let twice = findings
        .iter()
        .filter(|f| f.message.contains("has the address"));
    assert_eq!(twice.count(), 2, "{findings:?}");
}

#[test]
fn a_name_that_is_another_nodes_address_is_refused() {
    let text = edited(&[("10.0.0.3", "n2"), ("10.0.0.2", "h2")]);
    refused(
        &text,
        "ring0_addr: n2",
        "nodelist.node.ring0_addr",
        "name of another node",
    );
}

#[test]
fn a_link_missing_on_some_nodes_is_refused() {
    let text = edited(&[("ring1_addr: fd00::3\n", "")]);
    refused(
        &text,
        "node {",
        "nodelist.node",
        "node \"n3\" has no ring1_addr",
    );
    let text = edited(&[("ring1_addr: fd00::2\n", "ring2_addr: fd00::2\n")]);
    assert_eq!(check(&text).len(), 3, "each node lacks one");
}

#[test]
fn a_node_without_an_address_is_refused() {
    let text = with_udp("udpu").replace("ring0_addr: 10.0.0.3\n", "");
    refused(&text, "node {", "nodelist.node", "no ring0_addr");
    let mut text = with_udp("udpu");
    for n in 1..=3 {
        text = text.replace(&format!("ring0_addr: 10.0.0.{n}\n"), "");
    }
    let findings = check(&text);
    assert!(
        findings
            .iter()
            .any(|f| f.message.contains("no node has an address")),
        "{findings:?}"
    );
}

#[test]
fn three_nodes_without_link_0_are_a_warning() {
    let text = BASE.replace("ring0_addr", "ring2_addr");
    warned(
        &text,
        "nodelist",
        "nodelist.node",
        "does not lengthen the token",
    );
}

#[test]
fn two_families_on_a_link_are_refused() {
    let text = edited(&[("fd00::3", "10.1.0.3")]);
    refused(
        &text,
        "10.1.0.3",
        "nodelist.node.ring1_addr",
        "of two families",
    );
}

#[test]
fn an_address_of_another_family_than_ip_version_is_refused() {
    let text = with_udp("udpu").replace("token: 3000", "ip_version: ipv6");
    assert_eq!(check(&text).len(), 3);
    let text = with_udp("udp").replace("10.0.0.", "fd00::");
    let findings = check(&text);
    let all = findings
        .iter()
        .filter(|f| f.message.contains("with ip_version ipv4"))
        .count();
    assert_eq!(all, 3, "{findings:?}");
}

#[test]
fn what_is_no_address_is_refused() {
    for (bad, says) in [
        ("10.0.0.256", "is no IPv4 address"),
        ("10.0.3", "is no IPv4 address"),
        ("0x0a000003", "is no IPv4 address"),
        ("10.0.0x3", "is no IPv4 address"),
        ("167772163", "is no IPv4 address"),
        ("10.0.0.3/24", "network's length"),
        ("10.0.0.3:5405", "is no IPv6 address"),
        ("0.0.0.0", "no node's address"),
        ("239.1.1.1", "multicast"),
        ("", "is missing"),
        ("a b", "neither an address nor a host's name"),
    ] {
        let text = edited(&[("10.0.0.3", bad)]);
        let findings = check(&text);
        let found = findings
            .iter()
            .any(|f| f.severity == Severity::Error && f.line == 30 && f.message.contains(says));
        assert!(found, "{bad}: {findings:?}");
    }
    let text = edited(&[("fd00::3", "fe80::3")]);
    refused(&text, "fe80", "nodelist.node.ring1_addr", "link-local");
    sound(&edited(&[("10.0.0.3", "n3.example.org")]));
}

#[test]
fn a_loopback_address_is_a_warning() {
    let text = edited(&[("10.0.0.3", "127.0.0.3")]);
    warned(
        &text,
        "127.0.0.3",
        "nodelist.node.ring0_addr",
        "no other node",
    );
}

#[test]
fn a_nodelist_without_this_node_is_refused() {
    let text = edited(&[("name: n1", "name: m1"), ("10.0.0.1", "10.0.0.9")]);
    refused(&text, "nodelist", "nodelist", "this node is not in it");
    // What the resolver might know is not refused.
    let text = edited(&[("name: n1", "name: m1"), ("10.0.0.1", "m1.example")]);
    warned(&text, "", "nodelist", "by the resolver");
}

#[test]
fn a_host_that_is_one_node_for_clusmgr_and_another_for_corosync_is_refused() {
    let host = LocalHost {
        hostname: "n2".to_owned(),
        ..n1()
    };
    let findings = validate(&parse(BASE.as_bytes()).unwrap(), &host, KeyFile::Present);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].message.contains("node \"n2\" for corosync"),
        "{findings:?}"
    );
}

#[test]
fn an_address_that_this_host_has_not_is_a_warning() {
    let text = edited(&[("fd00::1", "fd00::9")]);
    warned(
        &text,
        "fd00::9",
        "nodelist.node.ring1_addr",
        "this host has no address",
    );
}

#[test]
fn a_section_inside_a_node_is_a_warning() {
    let text = edited(&[("ring1_addr: fd00::3\n", "ring1_addr: fd00::3\nextra {\n}\n")]);
    warned(&text, "extra", "nodelist.node.extra", "ends the node");
}
