//! 5,000 events a second, made by as many changes in corosync's map, through the real daemon: every
//! one comes to each of ten subscribers, in order.

use crate::libraries;
use clusmgr::sys::corosync::cmap::{Cmap, Map, Value};
use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/clusmgr/clusmgr.sock";
/// A node that there is not: nothing else tells of it.
const KEY: &str = "runtime.members.2.config_version";
const RATE: u32 = 5000;
pub const EVENTS: u64 = 10_000;
const SUBSCRIBERS: usize = 10;

pub fn all() {
    let readers: Vec<JoinHandle<()>> = (0..SUBSCRIBERS).map(|_| subscriber()).collect();
    let map = Cmap::open(&libraries(), Map::Config).unwrap();
    let begin = Instant::now();
    for n in 1..=EVENTS {
        let due = begin + Duration::from_secs(n) / RATE;
        while Instant::now() < due {
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
        // The first is no news if it is the version of this node.
        map.set(KEY, &Value::U64(1 + n)).unwrap();
    }
    println!("{EVENTS} changes in {:?}", begin.elapsed());
    for reader in readers {
        reader.join().unwrap();
    }
    println!("all came within {:?}", begin.elapsed());
}

fn subscriber() -> JoinHandle<()> {
    let mut stream = BufReader::new(UnixStream::connect(SOCKET).unwrap());
    let limit = Some(Duration::from_secs(60));
    stream.get_ref().set_read_timeout(limit).unwrap();
    stream
        .get_mut()
        .write_all(b"{\"id\":1,\"req\":\"subscribe\"}\n")
        .unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.contains("\"ok\""), "{line}");
    thread::spawn(move || {
        let mut lines = stream.lines();
        let (mut wanted, mut seq) = (2, None);
        while wanted <= 1 + EVENTS {
            let line = lines.next().unwrap().unwrap();
            let event: Json = serde_json::from_str(&line).unwrap();
            let number = event["seq"].as_u64();
            assert!(number.is_some(), "no event: {line}");
            assert!(seq.is_none() || number == seq, "{seq:?}: {line}");
            seq = number.map(|n| n + 1);
            assert_ne!(event["kind"], "events.lost", "{line}");
            if event["kind"] == "node.config_version" && event["fields"]["nodeid"] == 2 {
                assert_eq!(event["fields"]["version"], wanted, "{line}");
                wanted += 1;
            }
        }
    })
}
