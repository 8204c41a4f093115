//! What is seen on the network of the remote service: nothing.

use crate::bed::{all, formed, reached, wait_all, words};
use crate::common::{LONG, until};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Writes every packet of TCP port 5407 that passes a bridge to a file, until it is killed.
pub fn capture(device: &str, file: &str) {
    let raw = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )
    .unwrap();
    let index = nix::net::if_::if_nametoindex(device).unwrap();
    println!("capturing on {device} ({index})");
    let mut out = std::fs::File::create(file).unwrap();
    let mut packet = vec![0; 65_536];
    loop {
        let n = recv(raw.as_raw_fd(), &mut packet, MsgFlags::empty()).unwrap();
        let ports = packet.get(34..38).unwrap_or_default();
        let tcp = packet.get(23) == Some(&6);
        if tcp
            && (ports.starts_with(&5407_u16.to_be_bytes())
                || ports.ends_with(&5407_u16.to_be_bytes()))
        {
            out.write_all(&packet[..n]).unwrap();
        }
    }
}

struct Capture(Child);

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_word_of_the_configuration_and_no_run_of_the_key_is_on_the_wire() {
    let lab = formed("remote-wire", "3", 3);
    let n1 = lab.node(1);
    wait_all(&n1, "all there", |n| reached(n) == ["ok"; 3]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab");
    // The lab's own namespace has the bridges; its files are the caller's.
    let file = lab.dir.join("captured");
    let part = format!("capture br0 {}", file.display());
    let exe = std::env::current_exe().unwrap();
    let mut told = words(&part);
    told[2] = exe.to_str().unwrap().to_owned();
    let child = Command::new(script)
        .arg("--dir")
        .arg(&lab.dir)
        .args(["exec", "lab"])
        .args(&told)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let capture = Capture(child);
    let size = || std::fs::metadata(&file).map_or(0, |m| m.len());
    until("something is captured", LONG, || {
        all(&n1, &["status"]);
        (size() > 0).then_some(())
    });
    let before = size();
    // All that travels: statuses, configurations, events, fingerprints, an order.
    all(&n1, &["status"]);
    all(&n1, &["why"]);
    n1.ctl(&["config", "diff", "--all"]);
    n1.ctl(&["--node", "n2", "config", "show"]).ok();
    n1.ctl(&["--node", "n2", "events", "--since", "0"]).ok();
    n1.ctl(&["key", "fingerprint", "--all"]);
    n1.ctl(&["--node", "n3", "restart"]).ok();
    until("it was captured", LONG, || {
        (size() > before + 10_000).then_some(())
    });
    drop(capture);
    let seen = std::fs::read(&file).unwrap();
    // The greeting is: so it is the service's traffic, and whole.
    let holds = |what: &[u8]| seen.windows(what.len()).any(|w| w == what);
    assert!(holds(b"clusmgr\x01"));
    let conf = String::from_utf8(n1.read("/etc/corosync/corosync.conf")).unwrap();
    let long = |w: &&str| w.len() >= 6 && *w != "clusmgr";
    for word in conf
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(long)
    {
        assert!(!holds(word.as_bytes()), "{word}");
    }
    for word in ["status", "quorate", "corosync", "n1", "config", "\"req\""] {
        let word = format!("{word}\"");
        assert!(!holds(word.as_bytes()), "{word}");
    }
    let key = n1.read("/etc/corosync/authkey");
    for run in key.windows(6) {
        assert!(!holds(run), "a run of the key");
    }
}
