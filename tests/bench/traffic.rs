//! What the remote service sends between two nodes when nobody asks anything: every frame of its port
//! that passes the node's interface, both ways. Beside it, of the same time: corosync's own.

use crate::stats::{Row, Samples, remark, table};
use clusmgr::sys::ready;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

/// From a ring to quiet.
const SETTLE: Duration = Duration::from_secs(10);
/// So many times as long as the period of the comparison.
const TIME: Duration = Duration::from_secs(80);
const REMOTE: u16 = 5407;
const COROSYNC: u16 = 5405;
const TCP: u8 = 6;
const UDP: u8 = 17;
const OWN: [u8; 4] = [10, 77, 0, 1];

/// Of one pair of nodes.
#[derive(Default)]
struct Seen {
    sent: u64,
    received: u64,
    frames: u64,
    connections: u64,
    corosync: u64,
}

pub fn run() {
    let raw = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::EthAll,
    )
    .unwrap();
    thread::sleep(SETTLE);
    let mut head = [0; 64];
    // What has come meanwhile.
    while recv(raw.as_raw_fd(), &mut head, MsgFlags::empty()).is_ok() {}
    let mut pairs: BTreeMap<[u8; 4], Seen> = BTreeMap::new();
    let end = Instant::now() + TIME;
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            break;
        }
        ready::wait_any(&[raw.as_fd()], rest);
        // Its whole length, and the head of it.
        while let Ok(n) = recv(raw.as_raw_fd(), &mut head, MsgFlags::MSG_TRUNC) {
            count(&mut pairs, &head, u64::try_from(n).unwrap());
        }
    }
    report(&pairs);
}

fn count(pairs: &mut BTreeMap<[u8; 4], Seen>, head: &[u8; 64], length: u64) {
    let port = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    // IPv4 without options.
    if head[12..15] != [0x08, 0x00, 0x45] {
        return;
    }
    let address = |at: usize| -> [u8; 4] { head[at..at + 4].try_into().unwrap() };
    let (from, to) = (address(26), address(30));
    let sends = from == OWN;
    let peer = if sends { to } else { from };
    let of = |number: u16| port(34) == number || port(36) == number;
    let seen = pairs.entry(peer).or_default();
    if head[23] == TCP && of(REMOTE) {
        seen.frames += 1;
        if sends {
            seen.sent += length;
        } else {
            seen.received += length;
        }
        // A SYN without an ACK.
        if head[47] & 0x12 == 0x02 {
            seen.connections += 1;
        }
    } else if head[23] == UDP && of(COROSYNC) {
        seen.corosync += length;
    }
}

fn report(pairs: &BTreeMap<[u8; 4], Seen>) {
    let second = |bytes: u64| f64::from(u32::try_from(bytes).unwrap()) / TIME.as_secs_f64();
    let [mut both, mut sent, mut received, mut corosync] = [(); 4].map(|()| Samples::default());
    let asked = pairs.values().filter(|s| s.frames > 0);
    for seen in asked.clone() {
        both.push(second(seen.sent + seen.received));
        sent.push(second(seen.sent));
        received.push(second(seen.received));
        corosync.push(second(seen.corosync));
    }
    assert_eq!(both.len(), 2, "pairs of n1 that have spoken");
    table(
        &format!(
            "idle traffic of a pair of nodes in {} s, of 2 pairs",
            TIME.as_secs()
        ),
        "bytes a second",
        &[
            Row::judged(
                "clusmgr, both ways",
                &both,
                "< 1,000",
                both.percentile(100) < 1000.0,
            ),
            Row::other("of it sent", &sent),
            Row::other("of it received", &received),
            Row::other("corosync, both ways", &corosync),
        ],
    );
    for (peer, seen) in pairs.iter().filter(|(_, s)| s.frames > 0) {
        let peer = std::net::Ipv4Addr::from(*peer);
        let bytes = seen.sent + seen.received;
        remark(&format!(
            "{peer}: {} connections, {} frames, {} bytes a connection",
            seen.connections,
            seen.frames,
            bytes / seen.connections.max(1)
        ));
    }
}
