//! Who has no key, or does not keep to the protocol, at the door of a real node, from the very address of
//! a member: one test each. The attackers are parts of this program, run in n2.

use crate::bed::{after, all, formed, reached, wait_all, words};
use crate::common::{LONG, until};
use clusmgr::noise::{Channel, FIRST, FRAME_MAX, Initiator, Psk, REFUSAL, REPLY};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Times that an attack that costs little is repeated.
const OFTEN: usize = 200;

fn key() -> Vec<u8> {
    std::fs::read("/etc/corosync/authkey").unwrap()
}

fn knock(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream
}

/// All that comes until the other side hangs up.
fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return all,
            Ok(n) => all.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return all,
            Err(e) => panic!("it does not hang up: {e}"),
        }
    }
}

/// A refusal, whole, or what a reset left of it; for this reason.
#[track_caller]
fn refused(got: &[u8], code: u8) -> bool {
    let whole = [b"clusmgr\x01".as_slice(), &[code]].concat();
    assert!(whole.starts_with(got), "it said {got:?}");
    got.len() == REFUSAL
}

/// Says something, and reads all that comes of it.
fn said(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = knock(address);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    rest(&stream)
}

/// A first message that was made with this key.
fn first(key: &[u8]) -> (Initiator, [u8; FIRST]) {
    Initiator::begin(&Psk::derive(key)).unwrap()
}

/// The attackers, by their names.
pub fn attack(name: &str, address: &str) {
    match name {
        "no-key" => no_key(address),
        "wrong-key" => wrong_key(address),
        "replay" => replay(address),
        "truncate" => truncate(address),
        "drip" => drip(address),
        "frames" => frames(address),
        "older" => version(address, 0),
        "newer" => [2, 3, 255].into_iter().for_each(|v| version(address, v)),
        _ => panic!("no attack {name}"),
    }
}

fn no_key(address: &str) {
    let long = [b"GET / HTTP/1.1\r\n".as_slice(), &[b'a'; 8192]].concat();
    let mut whole = 0;
    for n in 0..OFTEN {
        let bytes: &[u8] = match n % 4 {
            0 => &long,
            1 => &[0; FIRST],
            2 => &[0x5a; 4096],
            _ => {
                b"{\"id\":1,\"req\":\"status\"}\n................................................."
            }
        };
        whole += usize::from(refused(&said(address, bytes), 1));
    }
    assert!(whole > OFTEN / 4, "{whole} were refused in words");
}

fn wrong_key(address: &str) {
    let other: Vec<u8> = key().iter().map(|b| b ^ 0x55).collect();
    let mut whole = 0;
    for _ in 0..OFTEN {
        whole += usize::from(refused(&said(address, &first(&other).1), 2));
    }
    assert!(whole > OFTEN / 2, "{whole} were refused in words");
}

/// A member's conversation, and its bytes.
fn converse(address: &str, stream: &mut TcpStream, request: &[u8]) -> (Vec<u8>, Channel) {
    let (client, first) = first(&key());
    *stream = knock(address);
    stream.write_all(&first).unwrap();
    let mut reply = [0; REPLY];
    stream.read_exact(&mut reply).unwrap();
    let mut channel = client.finish(&reply).unwrap();
    let mut out = Vec::new();
    channel
        .seal(br#"{"proto":1,"node":"n2"}"#, &mut out)
        .unwrap();
    channel.seal(request, &mut out).unwrap();
    stream.write_all(&out).unwrap();
    ([first.as_slice(), &out].concat(), channel)
}

fn replay(address: &str) {
    let mut stream = knock(address);
    let (recorded, mut channel) = converse(address, &mut stream, br#"{"id":1,"req":"start"}"#);
    // It was done.
    let mut chunk = [0; 4096];
    while channel.open().unwrap().is_none() {
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "it hung up");
        channel.push(&chunk[..n]);
    }
    for n in 0..OFTEN {
        // All at once, or as it was said.
        let got = if n % 2 == 0 {
            said(address, &recorded)
        } else {
            let mut stream = knock(address);
            stream.write_all(&recorded[..FIRST]).unwrap();
            let mut reply = [0; REPLY];
            stream.read_exact(&mut reply).unwrap();
            let _ = stream.write_all(&recorded[FIRST..]);
            [reply.as_slice(), &rest(&stream)].concat()
        };
        assert!(got.len() <= REPLY, "it went on: {} bytes", got.len());
    }
}

fn truncate(address: &str) {
    let (_, first) = first(&key());
    for n in 0..FIRST {
        assert_eq!(said(address, &first[..n]), b"", "after {n} bytes");
    }
    // The first sealed message, cut at every byte; the request never comes.
    let hello = br#"{"proto":1,"node":"n2"}"#;
    for n in 0..hello.len() + 19 {
        let (client, first) = self::first(&key());
        let mut stream = knock(address);
        stream.write_all(&first).unwrap();
        let mut reply = [0; REPLY];
        stream.read_exact(&mut reply).unwrap();
        let mut channel = client.finish(&reply).unwrap();
        let mut out = Vec::new();
        channel.seal(hello, &mut out).unwrap();
        stream.write_all(&out[..n]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&stream), b"", "after {n} bytes of the hello");
    }
}

fn drip(address: &str) {
    let (_, first) = first(&key());
    let began = Instant::now();
    let mut stream = knock(address);
    let ended = first.iter().chain(&[0; 200]).find(|byte| {
        std::thread::sleep(Duration::from_millis(100));
        // A reset is told by the write after it.
        stream.write_all(&[**byte]).is_err()
    });
    let took = began.elapsed();
    assert!(ended.is_some(), "it may drip for ever");
    let limits = Duration::from_millis(1500)..Duration::from_millis(3500);
    assert!(limits.contains(&took), "ended after {took:?}, not 2 s");
}

fn frames(address: &str) {
    let lengths = (0..64)
        .chain((64..=FRAME_MAX).step_by(509))
        .chain([FRAME_MAX]);
    for (n, length) in lengths.enumerate() {
        let mut stream = knock(address);
        // As a stranger whose first message was good, and as a member.
        if n % 2 == 0 {
            stream.write_all(&first(&key()).1).unwrap();
            let mut reply = [0; REPLY];
            stream.read_exact(&mut reply).unwrap();
        } else {
            converse(address, &mut stream, br#"{"id":1,"req":"key.fingerprint"}"#);
            let mut chunk = [0; 4096];
            assert!(stream.read(&mut chunk).unwrap() > 0, "it was served before");
        }
        let length16 = u16::try_from(length).unwrap().to_be_bytes();
        let _ = stream.write_all(&length16);
        let _ = stream.write_all(&vec![0x5a; length]);
        let _ = stream.shutdown(Shutdown::Write);
        let got = rest(&stream);
        assert!(got.len() < 1024, "{length}: {} bytes", got.len());
        if n % 2 == 0 {
            assert_eq!(got, b"", "{length}");
        }
    }
}

fn version(address: &str, version: u8) {
    let (_, mut first) = first(&key());
    first[7] = version;
    for _ in 0..OFTEN / 4 {
        assert!(
            refused(&said(address, &first), 1),
            "it is told of it in words"
        );
    }
}

/// Attacks n1 from n2; meanwhile and afterwards all is as ever.
#[track_caller]
fn attacked(name: &str, orders: usize) {
    let lab = formed(&format!("stranger-{name}"), "2", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    wait_all(&n1, "both there", |n| reached(n) == ["ok"; 2]);
    let pids = [n1.pid(), n2.pid()];
    let seq = n1.latest();
    let ring = n1.status()["cluster"]["ring_id"].clone();
    let fds = |pid: i64| -> u32 {
        let script = format!("ls /proc/{pid}/fd | wc -l");
        n1.sh(&script).ok().trim().parse().unwrap()
    };
    let daemon = n1.daemon_pid();
    let before = fds(daemon);
    let told = words(&format!("attack {name} 10.77.0.1:5407"));
    let words: Vec<&str> = told.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        let attacking = scope.spawn(|| n2.run(&words));
        until("the attack is over", 2 * LONG, || {
            let began = Instant::now();
            n1.status();
            let took = began.elapsed();
            assert!(
                took < Duration::from_secs(3),
                "the local service took {took:?}"
            );
            assert_eq!(reached(&all(&n2, &["status"])), ["ok"; 2]);
            attacking.is_finished().then_some(())
        });
        let ran = attacking.join().unwrap();
        assert_eq!(ran.code, 0, "{ran:?}");
    });
    let s = n1.status();
    assert_eq!([n1.pid(), n2.pid()], pids);
    assert_eq!((&s["cluster"]["ring_id"], n1.daemon_pid()), (&ring, daemon));
    assert_eq!(s["service"]["hold"], false, "{s:#}");
    assert_eq!(after(&n1, seq, "peer.asked").len(), orders);
    let log = std::fs::read_to_string(n1.file("/run/clusmgr/log")).unwrap_or_default();
    let lines = log.lines().filter(|l| l.contains("refused a connection"));
    assert!(lines.count() <= 2, "{log}");
    let told = n1.latest() - seq;
    assert!(told < 20, "{told} events");
    until("no descriptor of theirs is left", LONG, || {
        (fds(daemon) <= before + 2).then_some(())
    });
}

#[test]
fn without_a_key_one_is_refused_and_learns_nothing() {
    attacked("no-key", 0);
}

#[test]
fn a_wrong_key_is_refused_and_learns_nothing() {
    attacked("wrong-key", 0);
}

#[test]
fn a_replayed_conversation_orders_nothing() {
    attacked("replay", 1);
}

#[test]
fn a_truncated_handshake_costs_nothing() {
    attacked("truncate", 0);
}

#[test]
fn a_slow_drip_ends_with_the_handshakes_time() {
    attacked("drip", 0);
}

#[test]
fn frames_of_every_length_end_their_own_connection() {
    attacked("frames", 0);
}

#[test]
fn an_older_version_of_the_protocol_is_refused_in_words() {
    attacked("older", 0);
}

#[test]
fn a_newer_version_of_the_protocol_is_refused_in_words() {
    attacked("newer", 0);
}
