#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn at(s: u64) -> Mono {
    Mono(s * 1_000_000_000)
}

fn report(id: u32, members: &[u32]) -> PeerReport {
    PeerReport {
        node: format!("n{id}"),
        nodeid: Some(NodeId(id)),
        config_version: None,
        sha256: None,
        running_version: None,
        fingerprint: None,
        state: ServiceState::Running,
        quorate: true,
        members: members.iter().copied().map(NodeId).collect(),
        isolated: false,
        drift: false,
        file_version: None,
        claiming: false,
        restarting: false,
    }
}

/// Node 2 of three, which delivers nothing; what it believes of its ring is of no account.
fn own() -> Own {
    Own {
        report: report(2, &[1, 2, 3]),
        not_delivering: Some(WallMs(77)),
        free: true,
    }
}

fn from(report: PeerReport) -> (Peer, PeerReport) {
    let peer = Peer {
        name: report.node.clone(),
        nodeid: report.nodeid,
    };
    (peer, report)
}

fn others() -> Vec<(Peer, PeerReport)> {
    vec![from(report(1, &[1, 3])), from(report(3, &[1, 3]))]
}

/// The seconds, of a round every 10 s, at which it is isolated for the first time and restarted.
fn when(
    rounds: std::ops::Range<u64>,
    mut what: impl FnMut(u64) -> (Own, Vec<(Peer, PeerReport)>),
) -> (Option<u64>, Vec<u64>) {
    let mut it = Isolated::default();
    let (mut first, mut restarts) = (None, Vec::new());
    for s in rounds.map(|r| r * 10) {
        let (own, heard) = what(s);
        let decision = it.round(&own, &heard, at(s), WallMs(s * 1000));
        if it.degraded().is_some() && first.is_none() {
            first = Some(s);
        }
        if decision.restart.is_some() {
            assert!(it.degraded().is_some(), "it is said before it is done");
            restarts.push(s);
        }
    }
    (first, restarts)
}

#[test]
fn a_node_that_is_cut_off_says_so_and_is_restarted_once_in_ten_minutes() {
    // Seen at 10 s, 30 s silent at 40 s, said at the second such round, done at the third.
    let (said, restarts) = when(1..140, |_| (own(), others()));
    assert_eq!(said, Some(50));
    assert_eq!(restarts, [60, 660, 1260]);
}

#[test]
fn the_reason_is_told_once_with_who_is_quorate_and_ends_when_something_is_delivered() {
    let mut it = Isolated::default();
    let mut notes = Vec::new();
    for s in 1..=6 {
        notes.extend(it.round(&own(), &others(), at(s * 10), WallMs(0)).notes);
    }
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].kind.as_str(), "degraded");
    assert_eq!(notes[0].severity, Severity::Crit);
    assert!(
        notes[0].text.contains("these are quorate: n1, n3"),
        "{}",
        notes[0].text
    );
    let well = Own {
        not_delivering: None,
        ..own()
    };
    let notes = it.round(&well, &others(), at(70), WallMs(0)).notes;
    assert_eq!(notes[0].kind.as_str(), "degraded.ended");
    assert!(it.degraded().is_none());
}

#[test]
fn one_condition_that_does_not_hold_keeps_it_from_being_restarted() {
    type Case = (&'static str, fn(&mut Own, &mut Vec<(Peer, PeerReport)>));
    let never: &[Case] = &[
        ("delivers", |own, _| own.not_delivering = None),
        ("does not run", |own, _| {
            own.report.state = ServiceState::Starting;
        }),
        ("is not in the nodelist", |own, _| own.report.nodeid = None),
        ("nobody answers", |_, heard| heard.clear()),
        ("nobody is quorate", |_, heard| {
            heard.iter_mut().for_each(|h| h.1.quorate = false);
        }),
        ("one has this node", |_, heard| {
            heard[1].1.members.push(NodeId(2));
        }),
        ("a partition without the peer itself", |_, heard| {
            heard.iter_mut().for_each(|h| h.1.members = vec![NodeId(9)]);
        }),
        ("a partition of nobody", |_, heard| {
            heard.iter_mut().for_each(|h| h.1.members.clear());
        }),
        ("peers whose corosync does not run", |_, heard| {
            heard
                .iter_mut()
                .for_each(|h| h.1.state = ServiceState::Failed);
        }),
    ];
    for (what, change) in never {
        let got = when(1..100, |_| {
            let (mut own, mut heard) = (own(), others());
            change(&mut own, &mut heard);
            (own, heard)
        });
        assert_eq!(got, (None, vec![]), "{what}");
    }
    let waits: &[Case] = &[
        ("held", |own, _| own.free = false),
        ("another starts", |_, heard| {
            heard[1].1.state = ServiceState::Starting;
        }),
        ("another stops", |_, heard| {
            heard[1].1.state = ServiceState::Stopping;
        }),
        ("another is about to start", |_, heard| {
            heard[1].1.state = ServiceState::Backoff;
        }),
        ("another is restarted in a round", |_, heard| {
            heard[1].1.restarting = true;
        }),
        ("another is about to be", |_, heard| {
            heard[1].1.claiming = true;
        }),
        ("a lower one is isolated", |_, heard| {
            heard[0].1.isolated = true;
        }),
    ];
    for (what, change) in waits {
        let got = when(1..100, |_| {
            let (mut own, mut heard) = (own(), others());
            change(&mut own, &mut heard);
            (own, heard)
        });
        assert_eq!(
            got,
            (Some(50), vec![]),
            "{what}: it is isolated all the same"
        );
    }
    let (_, restarts) = when(1..10, |_| {
        let mut heard = others();
        heard[1].1.isolated = true;
        (own(), heard)
    });
    assert_eq!(restarts, [60], "a higher one waits for this one");
}

#[test]
fn a_peer_that_is_silent_for_once_does_not_take_it_back_but_holds_the_restart() {
    let (said, restarts) = when(1..12, |s| {
        let heard = if s == 60 { Vec::new() } else { others() };
        (own(), heard)
    });
    // Two rounds in a row anew: 70 and 80.
    assert_eq!((said, restarts), (Some(50), vec![80]));
    let mut it = Isolated::default();
    for s in 1..=6 {
        let heard = if s == 6 { Vec::new() } else { others() };
        it.round(&own(), &heard, at(s * 10), WallMs(0));
        assert_eq!(it.degraded().is_some(), s >= 5, "{s}");
    }
}

#[test]
fn another_silence_begins_anew_and_so_does_one_of_a_paused_machine() {
    let (said, restarts) = when(1..12, |s| {
        let since = if s < 50 { 77 } else { 50_000 };
        let own = Own {
            not_delivering: Some(WallMs(since)),
            ..own()
        };
        (own, others())
    });
    // Silent anew since 50: 30 s are over at 80.
    assert_eq!((said, restarts), (Some(90), vec![100]));
    let mut it = Isolated::default();
    it.round(&own(), &others(), at(10), WallMs(0));
    for s in [5000, 5001, 5002] {
        assert!(
            it.round(&own(), &others(), at(s), WallMs(0))
                .restart
                .is_none()
        );
        assert!(
            it.degraded().is_none(),
            "an hour without a look is no hour of silence"
        );
    }
}

#[test]
fn rounds_at_the_same_moment_are_one() {
    let mut it = Isolated::default();
    for s in [10, 20, 30, 40, 41, 42, 43, 44] {
        it.round(&own(), &others(), at(s), WallMs(0));
        assert!(it.degraded().is_none(), "{s}");
    }
    it.round(&own(), &others(), at(45), WallMs(0));
    assert!(it.degraded().is_some());
    for s in [46, 47, 48, 49] {
        assert!(
            it.round(&own(), &others(), at(s), WallMs(0))
                .restart
                .is_none()
        );
    }
    assert!(
        it.round(&own(), &others(), at(50), WallMs(0))
            .restart
            .is_some()
    );
}

/// One round, as the generator makes it: mostly what leads to a restart, so that those are reached.
#[derive(Debug, Clone)]
struct Round {
    gap_ms: u64,
    own: Own,
    heard: Vec<(Peer, PeerReport)>,
}

fn state() -> impl Strategy<Value = ServiceState> {
    prop_oneof![
        30 => Just(ServiceState::Running),
        1 => Just(ServiceState::Starting),
        1 => Just(ServiceState::Stopping),
        1 => Just(ServiceState::Backoff),
        1 => Just(ServiceState::Failed),
        1 => Just(ServiceState::Stopped),
    ]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop_oneof![19 => Just(false), 1 => Just(true)]
}

fn a_peer(id: u32) -> impl Strategy<Value = Option<(Peer, PeerReport)>> {
    (state(), rarely(), rarely(), rarely(), rarely(), rarely()).prop_map(
        move |(state, away, not_quorate, has_us, isolated, odd)| {
            let mut r = report(id, if odd { &[9] } else { &[1, 3] });
            r.state = state;
            r.quorate = !not_quorate;
            r.isolated = isolated;
            if has_us {
                r.members.push(NodeId(2));
            }
            (!away).then(|| from(r))
        },
    )
}

fn a_round() -> impl Strategy<Value = Round> {
    let gap = prop_oneof![8 => 8_000_u64..12_000, 1 => 0_u64..3_000, 1 => 12_000_u64..700_000];
    let silence = prop_oneof![
        40 => Just(Some(WallMs(77))),
        1 => Just(Some(WallMs(78))),
        1 => Just(None)
    ];
    let own =
        (silence, state(), rarely(), rarely()).prop_map(|(not_delivering, state, bare, held)| {
            let mut own = own();
            own.not_delivering = not_delivering;
            own.report.state = state;
            own.free = !held;
            if bare {
                own.report.nodeid = None;
            }
            own
        });
    (gap, own, a_peer(1), a_peer(3)).prop_map(|(gap_ms, own, one, three)| Round {
        gap_ms,
        own,
        heard: one.into_iter().chain(three).collect(),
    })
}

/// In other words than the code's: what must hold in one round.
fn holds(round: &Round) -> bool {
    let Some(NodeId(2)) = round.own.report.nodeid else {
        return false;
    };
    let quorate: Vec<&PeerReport> = round
        .heard
        .iter()
        .map(|h| &h.1)
        .filter(|r| r.quorate)
        .collect();
    let ours = quorate.iter().any(|r| r.members.contains(&NodeId(2)));
    let theirs = quorate
        .iter()
        .any(|r| r.state == ServiceState::Running && r.members == [NodeId(1), NodeId(3)]);
    round.own.report.state == ServiceState::Running
        && round.own.not_delivering.is_some()
        && theirs
        && !ours
}

fn at_rest(round: &Round) -> bool {
    round.own.free
        && round.heard.iter().all(|(_, r)| {
            let moves = [
                ServiceState::Starting,
                ServiceState::Stopping,
                ServiceState::Backoff,
            ];
            let goes_first = r.isolated && r.nodeid < Some(NodeId(2));
            !(moves.contains(&r.state) || goes_first)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_restart_unless_all_conditions_hold(rounds in prop::collection::vec(a_round(), 1..60)) {
        let mut it = Isolated::default();
        let mut now = at(1000);
        let mut times = Vec::new();
        let mut last: Option<Mono> = None;
        for (n, round) in rounds.iter().enumerate() {
            now = now.plus(Duration::from_millis(round.gap_ms));
            times.push(now);
            let said = it.degraded().is_some();
            let decision = it.round(&round.own, &round.heard, now, WallMs(0));
            if decision.restart.is_none() {
                continue;
            }
            prop_assert!(holds(round) && at_rest(round), "round {n}");
            // Two rounds in a row, with some time between; and it was said before.
            let span = rounds[..=n].iter().rev().take_while(|r| holds(r)).count();
            prop_assert!(span >= 2, "{span} rounds at {n}");
            prop_assert!(now.since(times[n + 1 - span]) >= APART);
            prop_assert!(said, "not said before round {n}");
            // One silence all the time, for so long.
            let same = |r: &&Round| r.own.not_delivering == round.own.not_delivering;
            let silent = rounds[..=n].iter().rev().take_while(same).count();
            prop_assert!(now.since(times[n + 1 - silent]) >= SILENT_FOR);
            prop_assert!(last.is_none_or(|l| now.since(l) >= RESTART_EVERY));
            prop_assert!(it.degraded().is_some());
            last = Some(now);
        }
    }
}

#[test]
fn the_generator_reaches_restarts() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(a_round(), 60);
    let mut restarts = 0;
    for _ in 0..200 {
        let rounds = strategy.new_tree(&mut runner).unwrap().current();
        let mut it = Isolated::default();
        let mut now = at(1000);
        for round in rounds {
            now = now.plus(Duration::from_millis(round.gap_ms));
            let decision = it.round(&round.own, &round.heard, now, WallMs(0));
            restarts += usize::from(decision.restart.is_some());
        }
    }
    assert!(
        restarts > 50,
        "only {restarts} in 200 runs: the property above shows nothing"
    );
}
