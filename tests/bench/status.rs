//! Status requests over the local socket of a real daemon in a cluster of three, each connection
//! asking again as soon as it is answered. Beside it, in turns: a thread for each connection that
//! sends back as many bytes and does nothing else.

use crate::stats::{Row, Samples, remark, table};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/clusmgr/clusmgr.sock";
const REQUEST: &[u8] = b"{\"id\":1,\"req\":\"status\"}\n";
const CONNECTIONS: [usize; 3] = [1, 4, 16];
const TIME: Duration = Duration::from_secs(3);

pub fn run() {
    let mut all = Vec::new();
    for n in CONNECTIONS {
        let ours = ask(n, || UnixStream::connect(Path::new(SOCKET)).unwrap());
        let len = ours.1;
        let bare = ask(n, || bare(len));
        all.push((n, ours, bare));
    }
    let most = all.iter().map(|(_, o, _)| rate(&o.0)).fold(0.0, f64::max);
    let named: Vec<_> = all
        .iter()
        .map(|(n, ours, bare)| {
            (
                format!("clusmgr, {n} at a time"),
                format!("bare, {n} at a time"),
                ours,
                bare,
            )
        })
        .collect();
    let mut rows = Vec::new();
    for (a, b, (ours, _), (bare, _)) in &named {
        rows.push(Row::judged(
            a,
            ours,
            "p99 <= 1 ms",
            ours.percentile(99) <= 1.0,
        ));
        rows.push(Row::other(b, bare));
    }
    table("status over the local socket", "ms", &rows);
    for (n, (ours, len), (bare, _)) in &all {
        remark(&format!(
            "{n} at a time: {:.0} a second, bare {:.0}; an answer has {len} bytes",
            rate(ours),
            rate(bare)
        ));
    }
    let reached = if most >= 20_000.0 {
        "reached"
    } else {
        "MISSED"
    };
    remark(&format!(
        "{most:.0} a second at most   >= 20,000: {reached}"
    ));
}

fn rate(samples: &Samples) -> f64 {
    f64::from(u32::try_from(samples.len()).unwrap()) / TIME.as_secs_f64()
}

/// The time of each request, and the length of an answer.
fn ask(connections: usize, connect: impl Fn() -> UnixStream) -> (Samples, usize) {
    let begin = Arc::new(std::sync::Barrier::new(connections));
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let mut stream = BufReader::with_capacity(64 << 10, connect());
            let begin = Arc::clone(&begin);
            thread::spawn(move || {
                let mut times = Vec::new();
                let mut line = Vec::new();
                begin.wait();
                let end = Instant::now() + TIME;
                loop {
                    let asked = Instant::now();
                    if asked >= end {
                        return (times, line.len());
                    }
                    stream.get_mut().write_all(REQUEST).unwrap();
                    line.clear();
                    stream.read_until(b'\n', &mut line).unwrap();
                    times.push(asked.elapsed().as_secs_f64() * 1e3);
                    assert!(line.starts_with(b"{\"id\":1,"), "{line:?}");
                }
            })
        })
        .collect();
    let (mut all, mut len) = (Vec::new(), 0);
    for thread in threads {
        let (times, one) = thread.join().unwrap();
        all.extend(times);
        len = len.max(one);
    }
    (Samples::of(all), len)
}

/// The other end answers every line with so many bytes, and ends with the connection.
fn bare(len: usize) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let mut stream = BufReader::new(theirs);
        let mut answer = b"{\"id\":1,".to_vec();
        answer.resize(len - 1, b'x');
        answer.push(b'\n');
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            line.clear();
            if stream.get_mut().write_all(&answer).is_err() {
                return;
            }
        }
    });
    ours
}
