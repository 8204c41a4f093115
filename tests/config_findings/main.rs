//! One named test for each class of finding: each begins with a sound file of three nodes and two links,
//! makes one mistake in it, and wants that mistake told, alone, at its place, and nothing else.
#![allow(clippy::unwrap_used)]

mod files;
mod keys;
mod nodes;
mod quorum;
mod totem;

use clusmgr::driver::corosync::finding::{Finding, Severity};
use clusmgr::driver::corosync::nodes::LocalHost;
use clusmgr::driver::corosync::parse::parse;
use clusmgr::driver::corosync::validate::{KeyFile, validate};

/// Sound, whatever it is looked at with.
const BASE: &str = "totem {
version: 2
cluster_name: c
config_version: 3
transport: knet
crypto_cipher: aes256
crypto_hash: sha256
token: 3000
interface {
linknumber: 1
knet_link_priority: 10
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
node {
nodeid: 3
name: n3
ring0_addr: 10.0.0.3
ring1_addr: fd00::3
}
}
quorum {
provider: corosync_votequorum
}
logging {
to_syslog: yes
}
";

fn n1() -> LocalHost {
    LocalHost {
        node_name: "n1".to_owned(),
        hostname: "n1".to_owned(),
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
    }
}

/// The base with lines replaced: each first text, which must be there, by the second.
#[track_caller]
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the file");
        text.replacen(from, to, 1)
    })
}

/// The base without its third node, and with quorum lines.
fn two(quorum: &str) -> String {
    let third = "node {\nnodeid: 3\nname: n3\nring0_addr: 10.0.0.3\nring1_addr: fd00::3\n}\n";
    edited(&[(third, "")]).replace("votequorum\n", &format!("votequorum\n{quorum}\n"))
}

/// The base with quorum lines.
fn quorum(lines: &str) -> String {
    edited(&[("votequorum\n", &format!("votequorum\n{lines}\n"))])
}

/// The base with one link and another transport.
fn with_udp(transport: &str) -> String {
    let mut text = edited(&[
        ("transport: knet", &format!("transport: {transport}")),
        ("aes256", "none"),
        ("sha256", "none"),
        (
            "interface {\nlinknumber: 1\nknet_link_priority: 10\n}\n",
            "",
        ),
    ]);
    for n in 1..=3 {
        text = text.replace(&format!("ring1_addr: fd00::{n}\n"), "");
    }
    text
}

fn check(text: &str) -> Vec<Finding> {
    validate(&parse(text.as_bytes()).unwrap(), &n1(), KeyFile::Present)
}

/// The line, from 1, of the last line that holds this; 0 for nothing.
fn line_of(text: &str, mark: &str) -> u32 {
    if mark.is_empty() {
        return 0;
    }
    let found = text.lines().rev().position(|l| l.contains(mark)).unwrap();
    u32::try_from(text.lines().count() - found).unwrap()
}

#[track_caller]
fn one(severity: Severity, text: &str, mark: &str, path: &str, says: &str) {
    let findings = check(text);
    let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), 1, "{all:#?}");
    let f = &findings[0];
    assert_eq!((f.severity, f.path.as_str()), (severity, path), "{all:?}");
    assert_eq!(f.line, line_of(text, mark), "{all:?}");
    assert!(f.message.contains(says), "{all:?}");
    assert!((f.line == 0) == (f.column == 0), "{all:?}");
}

/// There is one error and nothing else: in the line with this mark, of this path, and it says this.
#[track_caller]
fn refused(text: &str, mark: &str, path: &str, says: &str) {
    one(Severity::Error, text, mark, path, says);
}

/// The same for a warning.
#[track_caller]
fn warned(text: &str, mark: &str, path: &str, says: &str) {
    one(Severity::Warning, text, mark, path, says);
}

#[track_caller]
fn sound(text: &str) {
    assert_eq!(check(text), [], "{text}");
}

#[test]
fn the_files_that_the_mistakes_are_made_in_are_sound() {
    sound(BASE);
    sound(&two(""));
    sound(&two("two_node: 1"));
    sound(&with_udp("udp"));
    sound(&with_udp("udpu"));
    sound(&BASE.replace('\n', "\r\n"));
}
