//! `status --wait` and `status --watch`.

use crate::bed::{Bed, Running, SOON};
use clusmgr::wire::ServiceState;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[test]
fn wait_ends_when_the_node_is_a_quorate_member_by_an_event() {
    let bed = Bed::new();
    *bed.manager.state.lock() = ServiceState::Starting;
    let waiting = Running::new(bed.command("status --wait=20"));
    bed.connected(2);
    *bed.manager.quorate.lock() = None;
    bed.manager.turn(ServiceState::Running);
    bed.manager.quorum(false);
    let early = waiting.lines.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "{early:?}");
    let told = std::time::Instant::now();
    bed.manager.quorum(true);
    waiting.expect("and quorate, with 2 of 2 nodes: corosync runs");
    assert!(told.elapsed() < Duration::from_secs(5), "by no event");
    let mut waiting = waiting;
    assert_eq!(waiting.child.wait().unwrap().code(), Some(0));
    *bed.manager.state.lock() = ServiceState::Starting;
    let (code, out, err) = bed.run("status --wait=0.2");
    assert_eq!(code, 151);
    assert!(
        out.contains("is starting") && err.lines().count() == 1,
        "{out}{err}"
    );
}

/// Waits until the status was asked for so often.
fn looked(bed: &Bed, times: usize) {
    let end = Instant::now() + SOON;
    while bed.manager.looks.load(Ordering::Relaxed) < times {
        assert!(Instant::now() < end, "not {times} looks");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn wait_looks_now_and_then_even_if_no_event_comes() {
    let bed = Bed::new();
    *bed.manager.quorate.lock() = Some(false);
    let mut waiting = Running::new(bed.command("status --wait=60"));
    // It has looked, and found no quorum.
    looked(&bed, 2);
    *bed.manager.quorate.lock() = Some(true);
    waiting.expect("and quorate");
    assert_eq!(waiting.child.wait().unwrap().code(), Some(0));
}

/// Subscriptions for as long as this lives.
fn subscribers(bed: &Bed, n: usize) -> Vec<UnixStream> {
    let all = (0..n).map(|_| {
        let mut stream = UnixStream::connect(bed.socket()).unwrap();
        stream.write_all(b"{\"req\":\"subscribe\"}\n").unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        stream
    });
    all.collect()
}

#[test]
fn wait_needs_no_subscription_of_which_there_are_few() {
    let bed = Bed::new();
    let all = subscribers(&bed, 32);
    let (code, out, err) = bed.run("status --wait=20");
    assert_eq!((code, err.as_str()), (0, ""), "a member already: {out}");
    *bed.manager.quorate.lock() = Some(false);
    let (code, out, err) = bed.run("status --wait=0.5");
    assert_eq!(code, 151, "{out}");
    assert!(err.contains("after 0.5 s"), "{err}");
    let before = bed.manager.looks.load(Ordering::Relaxed);
    let mut waiting = Running::new(bed.command("status --wait=60"));
    looked(&bed, before + 2);
    *bed.manager.quorate.lock() = Some(true);
    waiting.expect("and quorate");
    assert_eq!(waiting.child.wait().unwrap().code(), Some(0));
    drop(all);
}

#[test]
fn watch_follows_events_and_outlives_the_daemon() {
    let mut bed = Bed::new();
    let watching = Running::new(bed.command("status --watch"));
    watching.expect("corosync runs");
    bed.connected(2);
    bed.manager.quorum(false);
    watching.expect("NOT quorate");
    bed.manager.turn(ServiceState::Backoff);
    watching.expect("corosync will be started");
    bed.stop();
    watching.expect("there is no status");
    *bed.manager.state.lock() = ServiceState::Starting;
    bed.serve();
    watching.expect("corosync is starting");
}
