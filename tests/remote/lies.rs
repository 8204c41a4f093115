//! A stand-in for a node that has the key and lies, or is of another version: parts of this program that
//! are run in a node, with its key.

use clusmgr::noise::{Channel, FIRST, Initiator, Psk, REPLY, respond};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const KEY: &str = "/etc/corosync/authkey";
/// What the liar says, by its name in [`said`].
pub const LIE: &str = "/tmp/lie";

fn key() -> Psk {
    Psk::derive(&std::fs::read(KEY).unwrap())
}

/// Answers everybody on this address with the lie of the moment; in a node, with its key.
pub fn lie(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    for stream in listener.incoming().map_while(Result::ok) {
        std::thread::spawn(move || {
            let name = std::fs::read_to_string(LIE).unwrap();
            let _ = answer(stream, name.trim());
        });
    }
}

/// The next message of the other side.
fn message(stream: &mut TcpStream, channel: &mut Channel) -> Option<()> {
    let mut chunk = [0; 4096];
    loop {
        if channel.open().ok()?.is_some() {
            return Some(());
        }
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            n => channel.push(&chunk[..n]),
        }
    }
}

fn answer(mut stream: TcpStream, name: &str) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream
        .set_write_timeout(Some(Duration::from_secs(5)))
        .ok()?;
    let mut first = [0; FIRST];
    stream.read_exact(&mut first).ok()?;
    // Another version of what travels between nodes: said in the clear, before anything else.
    if let Some(version) = name.strip_prefix("version-") {
        let refusal = [b"clusmgr".as_slice(), &[version.parse().ok()?, 1]].concat();
        return stream.write_all(&refusal).ok();
    }
    let (mut channel, reply) = respond(&key(), &first).ok()?;
    if name == "half-a-reply" {
        stream.write_all(&reply[..REPLY - 10]).ok()?;
        return None;
    }
    stream.write_all(&reply).ok()?;
    message(&mut stream, &mut channel)?;
    message(&mut stream, &mut channel)?;
    let mut out = Vec::new();
    channel.seal(&said(name), &mut out).ok()?;
    if name == "cut-short" {
        out.truncate(out.len() - 3);
    }
    if name == "damaged" {
        *out.last_mut()? ^= 1;
    }
    match name {
        // It never ends, and is never silent.
        "drip" => out.iter().try_for_each(|byte| {
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(&[*byte]).ok()
        }),
        "silence" => {
            std::thread::sleep(Duration::from_secs(4));
            None
        }
        _ => stream.write_all(&out).ok(),
    }
}

/// A report as it should be, of n2.
fn honest() -> Value {
    json!({
        "node": "n2", "nodeid": 2, "config_version": 1, "sha256": null, "running_version": null,
        "fingerprint": null, "state": "stopped", "quorate": false, "members": [], "isolated": false,
    })
}

fn said(name: &str) -> Vec<u8> {
    let mut report = honest();
    let mut set = |key: &str, value: Value| report[key] = value;
    let controls = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{202e}";
    match name {
        "rubbish" => return [0x1b, b'[', b'2', b'J', 0, 0xff].repeat(10_000),
        // As long as a message may be, nearly.
        "rubbish-mib" => return [0x1b, b'[', b'2', b'J', 0, 0xff].repeat((1 << 20) / 6),
        "rubbish-text" => {
            let text = controls.repeat(1000);
            return serde_json::to_vec(&json!({"id": 1, "proto": 1, "ok": text})).unwrap();
        }
        "error" => {
            let message = controls.repeat(1000);
            let e = json!({"code": controls, "message": message});
            return serde_json::to_vec(&json!({"id": 1, "proto": 1, "err": e})).unwrap();
        }
        "another-node" => {
            set("node", json!("n3"));
            set("nodeid", json!(3));
        }
        "nobody" => set("nodeid", json!(u32::MAX)),
        "absurd" => {
            set("config_version", json!(u64::MAX));
            set("running_version", json!(u64::MAX));
            set("members", json!([0, u32::MAX, 2, 2, 2]));
            set("quorate", json!(true));
            set("isolated", json!(true));
        }
        "newer" => set("config_version", json!(9)),
        "negative" => set("config_version", json!(-1)),
        "fraction" => set("config_version", json!(1e300)),
        "controls" => {
            set("node", json!(controls.repeat(1000)));
            set("sha256", json!(controls.repeat(1000)));
            set("fingerprint", json!(controls.repeat(1000)));
        }
        "members" => {
            let many: Vec<u32> = (1..=10_000).collect();
            set("members", json!(many));
            set("node", json!("x".repeat(2000)));
        }
        "older-inside" => {
            return serde_json::to_vec(&json!({"id": 1, "proto": 0, "ok": report})).unwrap();
        }
        "newer-inside" => {
            return serde_json::to_vec(&json!({"id": 1, "proto": 2, "ok": report})).unwrap();
        }
        _ => {}
    }
    serde_json::to_vec(&json!({"id": 1, "proto": 1, "ok": report})).unwrap()
}

/// A member that gives itself this much of a name, and orders a start of what runs.
pub fn boast(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let (client, first) = Initiator::begin(&key()).unwrap();
    stream.write_all(&first).unwrap();
    let mut reply = [0; REPLY];
    stream.read_exact(&mut reply).unwrap();
    let mut channel = client.finish(&reply).unwrap();
    let node = format!("\u{1b}[2J\u{202e}{}", "x".repeat(900));
    let hello = serde_json::to_vec(&json!({"proto": 1, "node": node})).unwrap();
    let mut out = Vec::new();
    channel.seal(&hello, &mut out).unwrap();
    channel
        .seal(br#"{"id":1,"req":"start"}"#, &mut out)
        .unwrap();
    stream.write_all(&out).unwrap();
    message(&mut stream, &mut channel).unwrap();
}
