//! Quorum, votes, groups and configuration of a running corosync of two nodes.

use crate::libraries;
use crate::maps::readable;
use clusmgr::sys::corosync::cfg::Cfg;
use clusmgr::sys::corosync::cpg::{self, Cpg, Message};
use clusmgr::sys::corosync::quorum::{self, Quorum};
use clusmgr::sys::corosync::votequorum::{self, Votequorum};
use clusmgr::sys::corosync::{CsError, CsResult, Libraries, RingId};
use clusmgr::types::NodeId;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BOTH: [NodeId; 2] = [NodeId(1), NodeId(2)];

pub fn all() {
    let libraries = libraries();
    let ring = quorum(&libraries);
    assert_eq!(votes(&libraries), ring);
    assert_eq!(group(&libraries), ring);
    let cfg = Cfg::open(&libraries).unwrap();
    assert_eq!(cfg.local_nodeid(), Ok(NodeId(1)));
    assert_eq!(cfg.reload(), Ok(()));
    several_threads(&libraries);
}

/// Dispatches until something is found in what came.
fn find<H, N, T>(
    handle: &mut H,
    fd: impl Fn(&H) -> BorrowedFd<'_>,
    dispatch: impl Fn(&mut H) -> CsResult<Vec<N>>,
    mut wanted: impl FnMut(N) -> Option<T>,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if readable(fd(handle), Duration::from_millis(100)) {
            if let Some(found) = dispatch(handle).unwrap().into_iter().find_map(&mut wanted) {
                return found;
            }
        }
    }
    panic!("it has not come");
}

fn quorum(libraries: &Arc<Libraries>) -> RingId {
    let mut quorum = Quorum::open(libraries).unwrap();
    assert_eq!(quorum.dispatch().unwrap(), []);
    quorum.start().unwrap();
    let (mut told, mut nodes) = (None, None);
    find(&mut quorum, Quorum::fd, Quorum::dispatch, |notice| {
        println!("{notice:?}");
        match notice {
            quorum::Notice::Quorum {
                quorate,
                ring,
                members,
            } => {
                assert!(quorate);
                assert_eq!(members, BOTH);
                told = Some(ring);
            }
            quorum::Notice::Nodes {
                ring,
                members,
                joined,
                left,
            } => {
                assert_eq!(members, BOTH);
                assert!(joined.iter().all(|n| BOTH.contains(n)), "{joined:?}");
                assert_eq!(left, []);
                nodes = Some(ring);
            }
        }
        (told.is_some() && nodes.is_some()).then_some(())
    });
    assert_eq!(told, nodes);
    assert_eq!(quorum.lost(), 0);
    told.unwrap()
}

fn votes(libraries: &Arc<Libraries>) -> RingId {
    let mut votes = Votequorum::open(libraries).unwrap();
    votes.start().unwrap();
    let (mut expected, mut quorate, mut told) = (None, None, None);
    find(&mut votes, Votequorum::fd, Votequorum::dispatch, |notice| {
        println!("{notice:?}");
        match notice {
            votequorum::Notice::ExpectedVotes(n) => expected = Some(n),
            votequorum::Notice::Quorum { quorate: q } => quorate = Some(q),
            votequorum::Notice::Nodes { ring, members } => {
                assert_eq!(members, BOTH);
                told = Some(ring);
            }
        }
        (quorate.is_some() && told.is_some()).then_some(())
    });
    println!("expected votes: {expected:?}");
    assert_eq!(quorate, Some(true));
    for node in BOTH {
        let info = votes.info(node).unwrap().unwrap();
        println!("{info:?}");
        assert_eq!(info.node_state, votequorum::STATE_MEMBER);
        assert_eq!((info.votes, info.expected_votes), (1, 2));
        assert_eq!((info.highest_expected, info.total_votes), (2, 2));
        assert_ne!(info.flags & votequorum::FLAG_QUORATE, 0);
    }
    for _ in 0..1000 {
        assert_eq!(votes.info(NodeId(99)), Ok(None));
    }
    told.unwrap()
}

fn group(libraries: &Arc<Libraries>) -> RingId {
    let mut cpg = Cpg::open(libraries).unwrap();
    assert_eq!(cpg.local_nodeid(), Ok(NodeId(1)));
    let e = cpg.mcast(b"before the join");
    println!("a message before the join: {e:?}");
    assert_eq!(cpg.join(&"g".repeat(129)), Err(CsError::NAME_TOO_LONG));
    cpg.join("clusmgr test").unwrap();
    let me = (NodeId(1), std::process::id());
    let (mut ring, mut here) = (None, false);
    find(&mut cpg, Cpg::fd, Cpg::dispatch, |message| {
        println!("{message:?}");
        match message {
            Message::Totem { ring: r, members } => {
                assert_eq!(members, BOTH);
                ring = Some(r);
            }
            Message::Members {
                members,
                joined,
                left,
            } => {
                // CPG_REASON_JOIN.
                assert_eq!(joined, [(me.0, me.1, 1)]);
                assert!(members.iter().any(|m| (m.0, m.1) == me));
                assert_eq!(left, []);
                here = true;
            }
            Message::Deliver { .. } => panic!("nobody sent"),
        }
        (here && ring.is_some()).then_some(())
    });
    for len in [0, 1, 16, 255, 4096, 100_000, cpg::MESSAGE_MAX] {
        let sent: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        send(&cpg, &sent);
        let got = find(&mut cpg, Cpg::fd, Cpg::dispatch, |message| match message {
            Message::Deliver { nodeid, pid, data } => Some((nodeid, pid, data)),
            _ => None,
        });
        assert_eq!((got.0, got.1), me);
        assert!(got.2 == sent, "{len} bytes came back as {}", got.2.len());
    }
    let e = cpg.mcast(&vec![0; cpg::MESSAGE_MAX + 1]);
    assert_eq!(e, Err(CsError::TOO_BIG));
    assert_eq!(cpg.lost(), 0);
    ring.unwrap()
}

fn send(cpg: &Cpg, data: &[u8]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(e) = cpg.mcast(data) {
        assert_eq!(e, CsError::TRY_AGAIN);
        assert!(Instant::now() < deadline);
        crate::common::pause(Duration::from_millis(5));
    }
}

/// Handles of their own come and go on four threads at once.
fn several_threads(libraries: &Arc<Libraries>) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    crate::maps::one_call(libraries);
                    let cfg = Cfg::open(libraries).unwrap();
                    assert_eq!(cfg.local_nodeid(), Ok(NodeId(1)));
                }
            });
        }
    });
}
