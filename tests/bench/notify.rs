//! From corosync's own callback to a subscriber's line, with the real daemon: a second client of
//! corosync's libraries, in this process, follows the same key as clusmgr does, and takes the time
//! when it hears of a change, before it has taken the change itself. A change is the
//! `config_version` that a node tells the ring, which any client may set, and which is an event.
//! Beside it, of the same changes: that client hands the value to another thread over a socket.

use crate::stats::{Row, Samples, remark, table};
use clusmgr::sys::clock;
use clusmgr::sys::corosync::Libraries;
use clusmgr::sys::corosync::cmap::{Cmap, Map, Track, Value};
use clusmgr::sys::ready;
use clusmgr::types::Mono;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const SOCKET: &str = "/run/clusmgr/clusmgr.sock";
const KEY: &str = "runtime.members.1.config_version";
const ROUNDS: u64 = 1000;
const LIMIT: Duration = Duration::from_secs(20);

pub fn run() {
    let libraries = Libraries::load(&[]).unwrap();
    let lines = subscribe();
    // A handle stays on its thread.
    let (begun, has_begun) = mpsc::channel();
    let (heard, hears) = mpsc::channel();
    let theirs = std::sync::Arc::clone(&libraries);
    let (mut line, mut read) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let mut map = Cmap::open(&theirs, Map::Config).unwrap();
        let any = Track {
            add: true,
            delete: true,
            modify: true,
            prefix: true,
        };
        map.track("runtime.members.", any).unwrap();
        begun.send(()).unwrap();
        loop {
            ready::wait_any(&[map.fd()], LIMIT);
            let at = clock::now();
            for change in map.dispatch().unwrap_or_default() {
                let value = change.value.and_then(|v| v.as_u64());
                if change.key == KEY {
                    line.write_all(&value.unwrap().to_le_bytes()).unwrap();
                }
                if heard.send((change.key, value, at)).is_err() {
                    return;
                }
            }
        }
    });
    has_begun.recv().unwrap();
    let (arrives, arrived) = mpsc::channel();
    thread::spawn(move || {
        let mut value = [0; 8];
        while read.read_exact(&mut value).is_ok() {
            let told = (u64::from_le_bytes(value), clock::now());
            if arrives.send(told).is_err() {
                return;
            }
        }
    });
    let map = Cmap::open(&libraries, Map::Config).unwrap();
    let first = map.get(KEY).unwrap().unwrap().as_u64().unwrap();
    let (mut after, mut bare, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for n in 1..=ROUNDS {
        // Not in step with anybody's period.
        thread::sleep(Duration::from_micros(2000 + n * 137 % 3000));
        let value = first + n;
        let set = clock::now();
        map.set(KEY, &Value::U64(value)).unwrap();
        let called = loop {
            let (key, what, at) = hears.recv_timeout(LIMIT).unwrap();
            if key == KEY && what == Some(value) {
                break at;
            }
        };
        let bare_at = arrived.recv_timeout(LIMIT).unwrap();
        assert_eq!(bare_at.0, value);
        let wanted = format!("\"version\":{value}");
        let line_at = loop {
            let (line, at) = lines.recv_timeout(LIMIT).unwrap();
            if line.contains("node.config_version") && line.contains(&wanted) {
                break at;
            }
        };
        let ms = |from: Mono, to: Mono| {
            let late = to.since(from).as_secs_f64();
            let early = from.since(to).as_secs_f64();
            (late - early) * 1e3
        };
        after.push(ms(called, line_at));
        bare.push(ms(called, bare_at.1));
        whole.push(ms(set, line_at));
    }
    map.set(KEY, &Value::U64(first)).unwrap();
    let early = after.iter().filter(|ms| **ms < 0.0).count();
    let [after, bare, whole] = [after, bare, whole].map(Samples::of);
    table(
        "from corosync's callback to a subscriber's line",
        "ms",
        &[
            Row::judged(
                "clusmgr after that callback",
                &after,
                "p99 < 1 ms",
                after.percentile(99) < 1.0,
            ),
            Row::other("a bare socket after that callback", &bare),
            Row::other("clusmgr after the change was asked", &whole),
        ],
    );
    remark(&format!(
        "{early} of {ROUNDS} lines came before the other client's callback"
    ));
}

/// Every line of a subscriber, and when it came.
pub fn subscribe() -> mpsc::Receiver<(String, Mono)> {
    let mut stream = BufReader::new(UnixStream::connect(Path::new(SOCKET)).unwrap());
    stream
        .get_mut()
        .write_all(b"{\"id\":1,\"req\":\"subscribe\"}\n")
        .unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.contains("\"ok\""), "{line}");
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in stream.lines() {
            let Ok(line) = line else { return };
            if send.send((line, clock::now())).is_err() {
                return;
            }
        }
    });
    lines
}
