//! What the door of the remote service takes: who has the key asks for a report, on a connection of its
//! own each time; who has not fails in each of the ways there are. It is the CPU time of the daemon that
//! counts. Beside it, in turns: a thread that accepts and closes. All are in one node: client and daemon
//! share its CPUs.

use crate::stats::{Row, Samples, remark, table};
use clusmgr::noise::{FIRST, Initiator, Psk, REPLY};
use clusmgr::peer::Peers;
use clusmgr::remote::{RemoteNode, RemoteSource, RemoteView};
use clusmgr::sys::wake::Waker;
use clusmgr::types::{NodeId, Pid};
use clusmgr::wire::{Answer, Request};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const NODE: &str = "10.77.0.1";
const ADDRESS: &str = "10.77.0.1:5407";
const TIME: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(5);
/// At a time: fewer than an address may have connections.
const AT_ONCE: [usize; 2] = [1, 3];
const BATCHES: u32 = 10;
const BATCH: usize = 100;
/// Connections that an address may have.
const OF_ADDRESS: usize = 4;
/// For what the daemon still does when the client has seen the end.
const SETTLE: Duration = Duration::from_millis(50);

/// What the client of the other nodes is told of them.
struct Known(Arc<RemoteView>);

impl RemoteSource for Known {
    fn remote(&self) -> Arc<RemoteView> {
        Arc::clone(&self.0)
    }

    fn watch_remote(&self, _: &Arc<Waker>) {}
}

pub fn run() {
    let Pid(pid) = clusmgr::sys::pidfile::owner(Path::new("/run/clusmgr/clusmgr.pid")).unwrap();
    let daemon = clock_getcpuclockid(nix::unistd::Pid::from_raw(pid)).unwrap();
    let psk = Psk::derive(&std::fs::read("/etc/corosync/authkey").unwrap());
    members(daemon, &psk);
    strangers(daemon, &psk);
}

fn used(clock: ClockId) -> Duration {
    clock_gettime(clock).unwrap().into()
}

fn members(daemon: ClockId, psk: &Psk) {
    let node = RemoteNode {
        name: "n1".to_owned(),
        nodeid: Some(NodeId(1)),
        addrs: vec![NODE.to_owned()],
    };
    let view = RemoteView {
        generation: 1,
        psk: Some(psk.clone()),
        nodes: vec![node.clone()],
        local: None,
    };
    let known = Known(Arc::new(view));
    let peers = Peers::new(Arc::new(known), "bench".to_owned(), 5407);
    let mut all = Vec::new();
    for n in AT_ONCE {
        let before = used(daemon);
        let begun = Instant::now();
        let times: Vec<f64> = thread::scope(|scope| {
            let threads: Vec<_> = (0..n)
                .map(|_| scope.spawn(|| reports(&peers, &node)))
                .collect();
            let each = threads.into_iter().map(|t| t.join().unwrap());
            each.flatten().collect()
        });
        let took = begun.elapsed().as_secs_f64();
        let cpu = (used(daemon) - before).as_secs_f64() * 1e3;
        all.push((format!("{n} at a time"), Samples::of(times), took, cpu));
    }
    let rows: Vec<_> = all
        .iter()
        .map(|(what, s, ..)| Row::other(what, s))
        .collect();
    table("connect, handshake, peer.report, close", "ms", &rows);
    for (what, times, took, cpu) in &all {
        let n = f64::from(u32::try_from(times.len()).unwrap());
        remark(&format!(
            "{what}: {:.0} a second; {:.0} ms of the daemon's CPU for 1,000",
            n / took,
            cpu / n * 1e3
        ));
    }
}

fn reports(peers: &Peers, node: &RemoteNode) -> Vec<f64> {
    let mut times = Vec::new();
    let end = Instant::now() + TIME;
    loop {
        let asked = Instant::now();
        if asked >= end {
            return times;
        }
        let answered = peers.ask(node, &Request::PeerReport, LIMIT, None);
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        assert!(matches!(answered, Ok((Answer::Ok(_), _))), "{answered:?}");
    }
}

/// How somebody without the key fails.
enum Failing {
    /// Sends this, and reads to the end.
    Says(Vec<u8>),
    /// Sends this, waits for the reply, and goes on with what was not made with the key.
    Replays([u8; FIRST]),
    /// Sends this and stays, until others push him out.
    Stays(&'static [u8]),
    /// Connects and hangs up.
    HangsUp,
}

fn strangers(daemon: ClockId, psk: &Psk) {
    let begin = |psk: &Psk| Initiator::begin(psk).unwrap().1;
    let mut no_key = vec![0x5a; FIRST];
    no_key[..8].copy_from_slice(b"clusmgr\x01");
    let mut kinds = [
        ("no clusmgr", Failing::Says(vec![0x5a; FIRST])),
        ("no key", Failing::Says(no_key)),
        (
            "a wrong key",
            Failing::Says(begin(&Psk::derive(b"another")).to_vec()),
        ),
        (
            "a recorded first message, replayed",
            Failing::Replays(begin(psk)),
        ),
        ("silent, until pushed out", Failing::Stays(b"")),
        (
            "half of it, until pushed out",
            Failing::Stays(b"clusmgr\x01half of it"),
        ),
        ("hangs up at once", Failing::HangsUp),
    ]
    .map(|(what, failing)| (what, failing, Samples::default()));
    let mut bare = Samples::default();
    // Of a batch, scaled to 1,000.
    let scaled = |cpu: Duration| cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(BATCH).unwrap());
    for _ in 0..BATCHES {
        for (_, failing, cpu) in &mut kinds {
            let before = used(daemon);
            fail(failing);
            thread::sleep(SETTLE);
            cpu.push(scaled(used(daemon) - before));
        }
        bare.push(scaled(bare_batch()));
    }
    let mut rows: Vec<_> = kinds
        .iter()
        .map(|(what, _, s)| Row::other(what, s))
        .collect();
    rows.push(Row::other("bare accept and close", &bare));
    let title = format!("CPU of the daemon for failed handshakes, {BATCHES} times {BATCH} of each");
    table(&title, "ms for 1,000", &rows);
    for (what, _, cpu) in &kinds {
        remark(&format!(
            "{what} / bare: {:.1}",
            cpu.median() / bare.median()
        ));
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Whatever comes until the other side hangs up, also by a reset.
fn to_the_end(mut stream: TcpStream) {
    let mut bytes = [0; 256];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) => {
                let late = matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                assert!(!late, "it does not hang up");
                return;
            }
        }
    }
}

/// One batch.
fn fail(failing: &Failing) {
    let mut staying = VecDeque::new();
    for _ in 0..BATCH {
        let mut stream = connect(ADDRESS);
        match failing {
            Failing::Says(bytes) => {
                stream.write_all(bytes).unwrap();
                to_the_end(stream);
            }
            Failing::Replays(first) => {
                stream.write_all(first).unwrap();
                let mut reply = [0; REPLY];
                stream.read_exact(&mut reply).unwrap();
                let mut frame = [0x5a; 66];
                frame[..2].copy_from_slice(&64_u16.to_be_bytes());
                stream.write_all(&frame).unwrap();
                to_the_end(stream);
            }
            Failing::Stays(bytes) => {
                stream.write_all(bytes).unwrap();
                staying.push_back(stream);
                if staying.len() > OF_ADDRESS {
                    staying.pop_front().map(to_the_end).unwrap();
                }
            }
            Failing::HangsUp => drop(stream),
        }
    }
}

/// The CPU time of the thread that accepts and closes a batch.
fn bare_batch() -> Duration {
    let listener = TcpListener::bind((NODE, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepting = thread::spawn(move || {
        let before = used(ClockId::CLOCK_THREAD_CPUTIME_ID);
        for _ in 0..BATCH {
            drop(listener.accept().unwrap());
        }
        used(ClockId::CLOCK_THREAD_CPUTIME_ID) - before
    });
    for _ in 0..BATCH {
        to_the_end(connect(&address));
    }
    accepting.join().unwrap()
}
