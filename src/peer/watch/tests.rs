#![allow(clippy::unwrap_used)]

use super::*;
use crate::event::Kind;
use crate::peer::compare::Peer;
use crate::wire::{PeerReport, ServiceState, Unreachable};

/// Two other nodes, as the test says they are; and the manager.
#[derive(Debug, Default)]
struct Script {
    rounds: Vec<Instant>,
    deadlines: Vec<Duration>,
    /// How long the next answers take.
    takes: Duration,
    version: u64,
    notes: Vec<Note>,
    restarts: Vec<String>,
    asked_over: u32,
    not_delivering: bool,
    /// The node has another key with each round, of which the peers refuse that of before.
    rekeys: Option<u32>,
}

#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<Script>>);

fn report(id: u32, version: u64) -> PeerReport {
    PeerReport {
        node: format!("n{id}"),
        nodeid: Some(NodeId(id)),
        config_version: Some(crate::types::ConfigVersion(version)),
        sha256: None,
        running_version: None,
        fingerprint: None,
        state: ServiceState::Running,
        quorate: true,
        members: vec![NodeId(2), NodeId(3)],
        isolated: false,
        drift: false,
        file_version: None,
        claiming: false,
        restarting: false,
    }
}

impl Ask for Fake {
    fn ask_all(&mut self, deadline: Instant) -> Vec<Asked> {
        let mut script = self.0.lock();
        script.rounds.push(Instant::now());
        let left = deadline.saturating_duration_since(Instant::now());
        script.deadlines.push(left);
        let (takes, version) = (script.takes.min(left), script.version);
        let refused = script.rekeys.as_mut().map(|n| *n += 1).is_some();
        drop(script);
        std::thread::sleep(takes);
        let peer = |id: u32| Peer {
            name: format!("n{id}"),
            nodeid: Some(NodeId(id)),
        };
        vec![
            Asked {
                peer: peer(2),
                heard: Ok((report(2, version), "a".into())),
            },
            Asked {
                peer: peer(3),
                heard: match refused {
                    true => Err((Unreachable::WrongKey, "another".into())),
                    false => Err((Unreachable::Refused, "no".into())),
                },
            },
        ]
    }
}

impl Home for Fake {
    fn own(&self) -> Own {
        let (silent, rekeys) = {
            let script = self.0.lock();
            (script.not_delivering, script.rekeys)
        };
        Own {
            report: PeerReport {
                fingerprint: rekeys.map(|n| n.to_string()),
                ..report(1, 0)
            },
            not_delivering: silent.then_some(WallMs(1)),
            free: true,
        }
    }
    fn publish(&self, note: Note) {
        self.0.lock().notes.push(note);
    }
    fn restart(&self, why: &str) {
        self.0.lock().restarts.push(why.to_owned());
    }
    fn asked_round_over(&self) {
        self.0.lock().asked_over += 1;
    }
}

impl Fake {
    fn start(&self, every: Duration) -> Arc<PeerWatch> {
        let waker = Arc::new(Waker::new().unwrap());
        let (ask, home) = (Box::new(self.clone()), Box::new(self.clone()));
        PeerWatch::start_every(every, ask, home, waker, Some(NodeId(1))).unwrap()
    }

    fn rounds(&self) -> usize {
        self.0.lock().rounds.len()
    }

    #[track_caller]
    fn wait_rounds(&self, n: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.rounds() < n {
            assert!(Instant::now() < deadline, "{} rounds", self.rounds());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

const NEVER: Duration = Duration::from_secs(3600);

fn soon(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

#[test]
fn a_round_is_made_when_it_is_asked_for_and_its_outcome_shown_before_it_is_told() {
    let fake = Fake::default();
    fake.0.lock().version = 8;
    let watch = fake.start(NEVER);
    assert!(watch.round_now(soon(20_000)));
    let statuses = watch.statuses();
    assert_eq!(statuses.len(), 2);
    assert_eq!(statuses[0].differs, ["config-version"]);
    assert_eq!(statuses[1].unreachable, Some(Unreachable::Refused));
    assert_eq!(watch.degraded()[0].reason, "peer-config");
    let script = fake.0.lock();
    let kinds: Vec<Kind> = script.notes.iter().map(|n| n.kind).collect();
    assert_eq!(kinds, [Kind::PeerDiffers, Kind::Degraded]);
    // Who is off must be known to be so before the first start has waited as long as it may.
    assert!(script.deadlines[0] <= Duration::from_millis(700));
    let heard = watch.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].0.name, "n2");
    assert!(script.restarts.is_empty());
    drop(script);
    watch.stop();
    assert_eq!(fake.0.lock().asked_over, 1);
}

#[test]
fn a_round_that_takes_too_long_is_waited_for_until_the_deadline_only() {
    let fake = Fake::default();
    fake.0.lock().takes = NEVER;
    let watch = fake.start(NEVER);
    let began = Instant::now();
    let first = watch.ask_round();
    fake.wait_rounds(1);
    assert!(!watch.is_over(first));
    // The round that is under way began before: it is not the one that is asked for now.
    assert!(!watch.round_now(soon(100)));
    assert!(began.elapsed() < Duration::from_secs(10));
    fake.wait_rounds(2);
    assert!(watch.is_over(first));
    watch.stop();
    assert!(watch.is_over(99), "no round comes any more");
    assert!(!watch.round_now(soon(10_000)));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn it_asks_on_its_period_and_a_quiet_node_is_woken_for_nothing_else() {
    let fake = Fake::default();
    let watch = fake.start(Duration::from_millis(100));
    fake.wait_rounds(4);
    watch.stop();
    let rounds = fake.0.lock().rounds.clone();
    let n = rounds.len();
    for pair in rounds.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(45), "{rounds:?}");
    }
    assert!(fake.0.lock().deadlines.iter().all(|d| *d <= ANSWER));
    assert_eq!(fake.rounds(), n, "stopped, and joined");
    watch.stop();
}

#[test]
fn a_change_is_looked_into_at_once_and_a_burst_of_them_as_one() {
    let fake = Fake::default();
    let watch = fake.start(NEVER);
    assert!(watch.round_now(soon(20_000)));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        watch.waker.wake();
        std::thread::sleep(Duration::from_millis(1));
    }
    fake.wait_rounds(2);
    assert!(began.elapsed() < Duration::from_secs(15));
    let rounds = fake.0.lock().rounds.clone();
    assert!(rounds.len() <= 3, "{rounds:?}");
    assert!(rounds[1] - rounds[0] >= CLOSEST.mul_f32(0.9), "{rounds:?}");
    watch.stop();
}

#[test]
fn silence_seen_in_quick_rounds_alone_restarts_nothing() {
    let fake = Fake::default();
    fake.0.lock().not_delivering = true;
    let watch = fake.start(Duration::from_millis(20));
    fake.wait_rounds(20);
    watch.stop();
    assert!(fake.0.lock().restarts.is_empty());
    assert!(watch.degraded().iter().all(|d| d.reason != "isolated"));
}

#[test]
fn nodes_do_not_ask_in_step_and_none_asks_more_often_than_it_may() {
    let mut sums = Vec::new();
    for node in 1..=16 {
        let all: Vec<Duration> = (0..100).map(|round| pause(EVERY, node, round)).collect();
        for p in &all {
            assert!(*p >= EVERY - SPREAD && *p <= EVERY + SPREAD, "{p:?}");
        }
        sums.push(all.iter().take(3).sum::<Duration>());
    }
    sums.sort_unstable();
    sums.dedup();
    assert!(sums.len() >= 14, "{sums:?}");
}

#[test]
fn a_refusal_of_the_key_before_is_not_booked_on_the_next() {
    let fake = Fake::default();
    fake.0.lock().rekeys = Some(0);
    let watch = fake.start(NEVER);
    assert!(watch.round_now(soon(20_000)));
    let reasons: Vec<_> = watch.degraded().into_iter().map(|d| d.reason).collect();
    assert!(!reasons.contains(&"peer-key".to_owned()), "{reasons:?}");
    watch.stop();
    // Where it stays the same, it is.
    let fake = Fake::default();
    fake.0.lock().rekeys = Some(0);
    let own = fake.own();
    let mut compare = Compare::default();
    let asked = fake.clone().ask_all(soon(1000));
    compare.round(&own.report, asked, clock::now(), WallMs::now());
    let reasons: Vec<_> = compare.degraded().into_iter().map(|d| d.reason).collect();
    assert!(reasons.contains(&"peer-key".to_owned()), "{reasons:?}");
}
