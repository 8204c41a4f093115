//! Timers, interfaces, crypto and the key.

use super::*;
use clusmgr::driver::corosync::finding::has_errors;

fn totem(lines: &str) -> String {
    edited(&[("token: 3000\n", &format!("{lines}\n"))])
}

#[test]
fn a_file_without_totem_or_its_version_is_refused() {
    let text = edited(&[("version: 2\n", "")]);
    refused(&text, "totem {", "totem.version", "add \"version: 2\"");
    let text = edited(&[("version: 2\n", "version: 3\n")]);
    refused(
        &text.replace("config_version: 3", "config_version: 1"),
        "version: 3",
        "totem.version",
        "write 2",
    );
    let start = BASE.find("nodelist").unwrap();
    let findings = check(&BASE[start..]);
    assert!(
        findings.iter().any(|f| f.path == "totem" && f.line == 0),
        "{findings:?}"
    );
}

#[test]
fn a_token_below_the_minimum_is_refused() {
    refused(&totem("token: 29"), "token: 29", "totem.token", "from 30");
}

#[test]
fn a_token_beyond_what_corosync_can_compute_with_is_refused() {
    refused(
        &totem("token: 1789569707"),
        "token",
        "totem.token",
        "to 1789569706",
    );
    // In range by itself, and not with the coefficient of the third node.
    refused(
        &totem("token: 1789569706"),
        "token",
        "totem.token",
        "3 nodes",
    );
}

#[test]
fn too_many_retransmits_for_the_token_are_refused() {
    let path = "totem.token_retransmits_before_loss_const";
    let text = totem("token: 1000\ntoken_retransmits_before_loss_const: 60");
    refused(&text, "const", path, "corosync wants 30");
    let text = totem("token: 100\ntoken_coefficient: 0");
    refused(&text, "token: 100", "totem.token", "corosync wants 30");
    sound(&totem("token: 126\ntoken_coefficient: 0"));
}

#[test]
fn a_retransmit_no_shorter_than_the_token_is_a_warning() {
    let text = totem("token: 1000\ntoken_coefficient: 0\ntoken_retransmit: 1000");
    warned(
        &text,
        "token_retransmit:",
        "totem.token_retransmit",
        "never sent again",
    );
}

#[test]
fn a_consensus_less_than_join_is_refused() {
    let text = totem("consensus: 100\njoin: 200");
    refused(&text, "consensus", "totem.consensus", "less than join");
    let text = totem("token: 126\ntoken_coefficient: 0\njoin: 200");
    refused(&text, "join", "totem.join", "less than join");
}

#[test]
fn a_consensus_less_than_the_token_is_a_warning_with_three_nodes() {
    let text = totem("token: 1000\nconsensus: 1500");
    warned(&text, "consensus", "totem.consensus", "1980 ms");
    let two = two("").replace("token: 3000", "token: 1000\nconsensus: 900");
    sound(&two);
}

#[test]
fn more_messages_than_the_window_is_a_warning() {
    let path = "totem.max_messages";
    warned(
        &totem("max_messages: 60"),
        "max_messages",
        path,
        "window_size, 50",
    );
}

#[test]
fn a_link_number_over_7_is_refused() {
    let text = edited(&[("linknumber: 1", "linknumber: 8")]);
    refused(
        &text,
        "linknumber",
        "totem.interface.linknumber",
        "from 0 to 7",
    );
    let text = edited(&[(
        "ring1_addr: fd00::2\n",
        "ring1_addr: fd00::2\nring8_addr: fd01::2\n",
    )]);
    refused(
        &text,
        "ring8_addr",
        "nodelist.node.ring8_addr",
        "from 0 to 7",
    );
    let text = edited(&[(
        "ring1_addr: fd00::2\n",
        "ring1_addr: fd00::2\nring01_addr: fd01::2\n",
    )]);
    refused(
        &text,
        "ring01_addr",
        "nodelist.node.ring01_addr",
        "write ring1_addr",
    );
}

#[test]
fn an_interface_of_a_link_that_no_node_has_is_refused() {
    let text = edited(&[("linknumber: 1", "linknumber: 2")]);
    refused(
        &text,
        "linknumber",
        "totem.interface",
        "no node has a ring2_addr",
    );
}

#[test]
fn two_interfaces_of_one_link_are_a_warning() {
    let text = edited(&[(
        "token: 3000\n",
        "token: 3000\ninterface {\nlinknumber: 1\nmcastport: 5500\n}\n",
    )]);
    warned(
        &text,
        "linknumber",
        "totem.interface.linknumber",
        "a section in line 9 already",
    );
}

#[test]
fn a_ringnumber_of_corosync_2_is_a_warning() {
    let text = edited(&[("linknumber: 1", "ringnumber: 0")]);
    warned(
        &text,
        "ringnumber",
        "totem.interface.ringnumber",
        "write linknumber",
    );
}

#[test]
fn ping_timers_that_cannot_work_are_refused_and_half_a_pair_is_a_warning() {
    let pings = |lines: &str| edited(&[("_priority: 10\n", &format!("_priority: 10\n{lines}\n"))]);
    let path = "totem.interface.knet_ping_interval";
    refused(
        &pings("knet_ping_interval: 500\nknet_ping_timeout: 400"),
        "interval",
        path,
        "down again",
    );
    warned(
        &pings("knet_ping_interval: 500"),
        "interval",
        path,
        "knet_ping_timeout, too",
    );
    let path = "totem.interface.knet_ping_timeout";
    warned(
        &pings("knet_ping_timeout: 500"),
        "timeout",
        path,
        "knet_ping_interval, too",
    );
}

#[test]
fn a_cipher_without_a_hash_is_refused() {
    let text = edited(&[("crypto_hash: sha256", "crypto_hash: none")]);
    refused(
        &text,
        "crypto_cipher",
        "totem.crypto_cipher",
        "add \"crypto_hash: sha256\"",
    );
}

#[test]
fn crypto_without_knet_is_refused() {
    let text = with_udp("udpu").replace("crypto_hash: none", "crypto_hash: sha256");
    refused(
        &text,
        "crypto_cipher",
        "totem.crypto_cipher",
        "only knet can encrypt",
    );
}

#[test]
fn crypto_that_is_not_written_out_is_a_warning() {
    let text = edited(&[("crypto_cipher: aes256\ncrypto_hash: sha256\n", "")]);
    warned(&text, "", "totem.crypto_cipher", "write both");
}

#[test]
fn a_key_that_is_missing_or_too_short_is_refused() {
    let check = |text: &str, key| validate(&parse(text.as_bytes()).unwrap(), &n1(), key);
    let findings = check(BASE, KeyFile::Absent);
    assert!(
        findings.len() == 1 && findings[0].message.contains("there is no key"),
        "{findings:?}"
    );
    assert_eq!(check(BASE, KeyFile::Unknown), []);
    refused(&totem("key: SECRET"), "key", "totem.key", "it has 6 bytes");
    let shown = format!("{:?}", check(&totem("key: SECRET"), KeyFile::Absent));
    assert!(!shown.contains("SECRET"), "{shown}");
    // corosync 3.1.7 takes 127 characters, since it counts the NUL.
    sound(&totem(&format!("key: {}", "x".repeat(127))));
}

#[test]
fn a_key_that_is_not_used_is_a_warning() {
    let key = "x".repeat(200);
    let text = totem(&format!("keyfile: /etc/corosync/authkey\nkey: {key}"));
    warned(&text, "key: x", "totem.key", "keyfile goes before");
    let text = totem(&format!("key: {key}"))
        .replace("aes256", "none")
        .replace("sha256", "none");
    warned(&text, "key: x", "totem.key", "nothing is encrypted");
}

#[test]
fn what_another_transport_reads_is_a_warning_or_refused() {
    let path = "totem.interface.mcastaddr";
    let text = edited(&[("_priority: 10\n", "_priority: 10\nmcastaddr: 239.1.1.1\n")]);
    warned(&text, "mcastaddr", path, "only the transport udp reads it");
    let text = edited(&[("_priority: 10\n", "_priority: 10\nttl: 5\n")]);
    refused(&text, "ttl", "totem.interface.ttl", "udp only");
    let text = with_udp("udpu").replace("token: 3000", "link_mode: rr");
    warned(
        &text,
        "link_mode",
        "totem.link_mode",
        "only the transport knet reads it",
    );
    let link = "interface {\nlinknumber: 0\nknet_link_priority: 5\n}";
    let findings = check(&with_udp("udpu").replace("token: 3000", link));
    assert!(has_errors(&findings), "{findings:?}");
}

#[test]
fn udp_without_a_multicast_address_is_refused() {
    let text = with_udp("udp").replace("cluster_name: c\n", "");
    refused(&text, "totem {", "totem.cluster_name", "multicast");
    let link = "interface {\nlinknumber: 0\nbindnetaddr: 10.0.0.1\nmcastaddr: 10.0.0.9\n}";
    let text = with_udp("udp").replace("token: 3000", link);
    refused(
        &text,
        "mcastaddr",
        "totem.interface.mcastaddr",
        "no multicast address",
    );
}

#[test]
fn several_links_without_knet_are_refused() {
    let mut text = with_udp("udpu");
    for n in 1..=3 {
        let addr = format!("ring0_addr: 10.0.0.{n}\n");
        text = text.replace(&addr, &format!("{addr}ring1_addr: fd00::{n}\n"));
    }
    refused(
        &text,
        "transport",
        "nodelist.node",
        "only knet can have more than one",
    );
}
