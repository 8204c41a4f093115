//! corosync is killed again and again while every kind of call is under way, each in a thread of its
//! own with handles of its own: an error comes, never a hang or a crash, and with the next corosync
//! it all works again.

use crate::common::pause;
use crate::libraries;
use clusmgr::sys::corosync::cfg::Cfg;
use clusmgr::sys::corosync::cmap::{Cmap, Map, Track, Value};
use clusmgr::sys::corosync::cpg::Cpg;
use clusmgr::sys::corosync::quorum::Quorum;
use clusmgr::sys::corosync::votequorum::Votequorum;
use clusmgr::sys::corosync::{CsError, CsResult, Libraries};
use clusmgr::types::NodeId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Calls one kind of function until it fails, or until it is told that it has done enough.
type Kind = fn(&Arc<Libraries>, &dyn Fn() -> CsResult<()>) -> CsResult<()>;

/// Enough.
const ENOUGH: CsError = CsError(u32::MAX);

const PREFIX: Track = Track {
    add: true,
    delete: true,
    modify: true,
    prefix: true,
};

const KINDS: &[(&str, Kind)] = &[
    ("cmap open and close", |l, ok| {
        loop {
            drop(Cmap::open(l, Map::Config)?);
            ok()?;
        }
    }),
    ("cmap get", |l, ok| {
        let map = Cmap::open(l, Map::Config)?;
        loop {
            map.get("totem.version")?;
            ok()?;
        }
    }),
    ("cmap set", |l, ok| {
        let map = Cmap::open(l, Map::Config)?;
        for i in 0.. {
            map.set("test.dying", &Value::U32(i))?;
            ok()?;
        }
        Ok(())
    }),
    ("cmap list", |l, ok| {
        let map = Cmap::open(l, Map::Config)?;
        loop {
            map.list(None)?;
            ok()?;
        }
    }),
    ("cmap dump of statistics", |l, ok| {
        let map = Cmap::open(l, Map::Stats)?;
        loop {
            map.dump(Some("stats.srp."))?;
            ok()?;
        }
    }),
    ("cmap track and untrack", |l, ok| {
        let mut map = Cmap::open(l, Map::Config)?;
        loop {
            let track = map.track("test.", PREFIX)?;
            map.untrack(track);
            ok()?;
        }
    }),
    ("cmap dispatch", |l, ok| {
        let mut map = Cmap::open(l, Map::Config)?;
        map.track("test.", PREFIX)?;
        loop {
            map.dispatch()?;
            ok()?;
        }
    }),
    ("quorum start", |l, ok| {
        loop {
            let mut quorum = Quorum::open(l)?;
            quorum.start()?;
            quorum.dispatch()?;
            ok()?;
        }
    }),
    ("quorum dispatch", |l, ok| {
        let mut quorum = Quorum::open(l)?;
        quorum.start()?;
        loop {
            quorum.dispatch()?;
            ok()?;
        }
    }),
    ("votequorum start and info", |l, ok| {
        let mut votes = Votequorum::open(l)?;
        votes.start()?;
        loop {
            votes.info(NodeId(1))?;
            votes.dispatch()?;
            ok()?;
        }
    }),
    ("cfg local node", |l, ok| {
        let cfg = Cfg::open(l)?;
        loop {
            cfg.local_nodeid()?;
            ok()?;
        }
    }),
    ("cfg reload", |l, ok| {
        let cfg = Cfg::open(l)?;
        loop {
            cfg.reload()?;
            ok()?;
            pause(Duration::from_millis(20));
        }
    }),
    ("cpg open, join and close", |l, ok| {
        loop {
            let mut cpg = Cpg::open(l)?;
            cpg.local_nodeid()?;
            cpg.join("test")?;
            ok()?;
        }
    }),
    ("cpg messages", |l, ok| {
        let mut cpg = Cpg::open(l)?;
        cpg.join("messages")?;
        loop {
            match cpg.mcast(&[7; 3000]) {
                Ok(()) | Err(CsError::TRY_AGAIN) => {}
                Err(e) => return Err(e),
            }
            cpg.dispatch()?;
            ok()?;
        }
    }),
];

const ROUNDS: u64 = 12;
const LIMIT: Duration = Duration::from_secs(60);

pub fn all() {
    let libraries = libraries();
    let stop = Arc::new(AtomicU32::new(0));
    // Calls that went well, and ends of all that had gone well before.
    let well: Arc<Vec<AtomicU64>> = Arc::new(KINDS.iter().map(|_| AtomicU64::new(0)).collect());
    let ends: Arc<Mutex<BTreeMap<(&str, u32), u64>>> = Arc::default();
    let threads: Vec<_> = KINDS
        .iter()
        .enumerate()
        .map(|(i, (name, kind))| {
            let (libraries, stop) = (Arc::clone(&libraries), Arc::clone(&stop));
            let (well, ends) = (Arc::clone(&well), Arc::clone(&ends));
            let named = std::thread::Builder::new().name((*name).to_owned());
            let run = move || {
                while stop.load(Ordering::SeqCst) == 0 {
                    let before = well[i].load(Ordering::SeqCst);
                    let end = kind(&libraries, &|| {
                        well[i].fetch_add(1, Ordering::SeqCst);
                        // So many callers would leave corosync no time to come up.
                        pause(Duration::from_micros(200));
                        // Who opens anew all the time may not have noticed the last death: while
                        // corosync starts, it lets callers wait.
                        if stop.load(Ordering::SeqCst) > 1 {
                            return Err(ENOUGH);
                        }
                        Ok(())
                    });
                    if well[i].load(Ordering::SeqCst) != before {
                        let code = end.unwrap_err().0;
                        *ends.lock().unwrap().entry((name, code)).or_default() += 1;
                    }
                    pause(Duration::from_millis(20));
                }
            };
            named.spawn(run).unwrap()
        })
        .collect();
    let (mut fds, mut slow) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let calls = |i: usize| well[i].load(Ordering::SeqCst);
        let before: Vec<u64> = (0..KINDS.len()).map(calls).collect();
        let began = Instant::now();
        let mut last = "";
        while let Some(i) = (0..KINDS.len()).find(|i| calls(*i) < before[*i] + 10) {
            last = KINDS[i].0;
            assert!(
                began.elapsed() < LIMIT,
                "round {round}: {} hangs: {:?}",
                KINDS[i].0,
                ends.lock().unwrap()
            );
            pause(Duration::from_millis(5));
        }
        slow.push((last, began.elapsed()));
        fds.push(std::fs::read_dir("/proc/self/fd").unwrap().count());
        let pid = corosync();
        if round % 3 == 2 {
            // Nobody gets an answer now; to kill it frees them all.
            kill(pid, Signal::SIGSTOP).unwrap();
            pause(Duration::from_millis(200));
        }
        if round + 1 == ROUNDS {
            stop.store(1, Ordering::SeqCst);
        }
        pause(Duration::from_millis(round * 7));
        kill(pid, Signal::SIGKILL).unwrap();
    }
    pause(Duration::from_secs(1));
    stop.store(2, Ordering::SeqCst);
    let deadline = Instant::now() + LIMIT;
    for (thread, (name, _)) in threads.into_iter().zip(KINDS) {
        while !thread.is_finished() {
            assert!(Instant::now() < deadline, "{name} hangs at the end");
            pause(Duration::from_millis(5));
        }
        thread.join().unwrap();
    }
    let ends = ends.lock().unwrap();
    println!("{ends:?}\ndescriptors: {fds:?}\nthe last of a round: {slow:?}");
    for (name, _) in KINDS {
        // Who opens anew all the time may get over a death without noticing: it waits for the next corosync.
        let opens = name.contains("open") || name.contains("start");
        let least = if opens { 1 } else { ROUNDS - 1 };
        let all: u64 = ends
            .iter()
            .filter(|(k, _)| k.0 == *name)
            .map(|(_, n)| n)
            .sum();
        assert!(all >= least, "{name} ended {all} times");
    }
    for (name, code) in ends.keys() {
        let code = CsError(*code);
        let wanted = [CsError::LIBRARY, CsError::TRY_AGAIN, ENOUGH];
        assert!(wanted.contains(&code), "{name}: {code}");
    }
    // No descriptor is left behind by a handle of a dead corosync.
    let left = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(
        left < fds[0],
        "{left} descriptors at the end, {fds:?} before"
    );
}

/// No corosync at all.
pub fn away() {
    let libraries = libraries();
    let began = Instant::now();
    for _ in 0..100 {
        for end in [
            Cmap::open(&libraries, Map::Config).map(drop),
            Cmap::open(&libraries, Map::Stats).map(drop),
            Quorum::open(&libraries).map(drop),
            Votequorum::open(&libraries).map(drop),
            Cfg::open(&libraries).map(drop),
            Cpg::open(&libraries).map(drop),
        ] {
            assert_eq!(end, Err(CsError::LIBRARY));
        }
    }
    assert!(began.elapsed() < LIMIT);
}

fn corosync() -> Pid {
    let pid = std::fs::read_to_string("/run/corosync.pid").unwrap();
    Pid::from_raw(pid.trim().parse().unwrap())
}

/// While corosync is stopped, what asks it something waits until it goes on; what only reads what
/// is there, sends, or closes does not.
pub fn stopped() {
    let libraries = libraries();
    let mut map = Cmap::open(&libraries, Map::Config).unwrap();
    let mut quorum = Quorum::open(&libraries).unwrap();
    let mut votes = Votequorum::open(&libraries).unwrap();
    let cfg = Cfg::open(&libraries).unwrap();
    let mut cpg = Cpg::open(&libraries).unwrap();
    cpg.join("stopped").unwrap();
    let pid = corosync();
    kill(pid, Signal::SIGSTOP).unwrap();
    let began = Instant::now();
    map.dispatch().unwrap();
    quorum.dispatch().unwrap();
    votes.dispatch().unwrap();
    cpg.dispatch().unwrap();
    cpg.mcast(b"x").unwrap();
    drop((map, quorum, votes, cfg));
    let took = began.elapsed();
    let asked: &[Kind] = &[
        |l, _| Cmap::open(l, Map::Config).map(drop),
        |l, _| Cfg::open(l).map(drop),
        |l, _| Cpg::open(l).map(drop),
    ];
    let threads: Vec<_> = asked
        .iter()
        .map(|call| {
            let libraries = Arc::clone(&libraries);
            std::thread::spawn(move || call(&libraries, &|| Ok(())))
        })
        .collect();
    pause(Duration::from_secs(1));
    let waited = threads.iter().all(|t| !t.is_finished());
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(waited, "an answer of a stopped corosync");
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
    println!("what does not ask: {took:?}");
    drop(cpg);
}
