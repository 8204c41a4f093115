//! Who answers, who does not, and how often that is told.

use super::*;

#[test]
fn an_unreachable_peer_is_told_after_two_rounds_and_is_no_degraded_reason() {
    for why in [
        Unreachable::Refused,
        Unreachable::TimedOut,
        Unreachable::NoAddress,
        Unreachable::Busy,
        Unreachable::Failed,
    ] {
        let mut r = Rounds::default();
        let out = r.two(fails(why));
        assert!(kinds(&out).is_empty(), "{why:?}");
        assert_eq!(out.statuses[0].unreachable, Some(why), "shown at once");
        let out = r.two(fails(why));
        assert_eq!(kinds(&out), ["peer.unreachable"]);
        assert_eq!(field(&out.notes[0], "reason"), why.as_str());
        assert!(
            out.notes[0].text.contains("10.0.0.2: no"),
            "{}",
            out.notes[0].text
        );
        assert!(kinds(&r.two(fails(why))).is_empty());
        let out = r.two(says(report(2)));
        assert_eq!(kinds(&out), ["peer.reachable"]);
        assert_eq!(field(&out.notes[0], "address"), "10.0.0.2:5407");
        assert!(r.reasons().is_empty());
    }
    let mut r = Rounds::default();
    assert_eq!(
        kinds(&r.two(fails(Unreachable::OtherProtocol))),
        ["peer.unreachable"]
    );
    let mut r = Rounds::default();
    for _ in 0..4 {
        let out = r.two(fails(Unreachable::NoKey));
        assert!(kinds(&out).is_empty(), "it is this node that has none");
        assert_eq!(out.statuses[0].unreachable, Some(Unreachable::NoKey));
    }
}

#[test]
fn silence_and_an_error_on_the_way_are_the_same_news() {
    let mut r = Rounds::default();
    r.two(fails(Unreachable::TimedOut));
    assert_eq!(
        kinds(&r.two(fails(Unreachable::TimedOut))),
        ["peer.unreachable"]
    );
    for _ in 0..20 {
        for why in [Unreachable::Failed, Unreachable::TimedOut] {
            assert!(kinds(&r.two(fails(why))).is_empty(), "{why:?}");
        }
    }
    for _ in 0..8 {
        let told = kinds(&r.two(fails(Unreachable::Refused)));
        assert!(told.is_empty() || told == ["peer.unreachable"], "{told:?}");
    }
}

#[test]
fn two_failures_at_the_same_moment_are_one() {
    let mut compare = Compare::default();
    let mut at = |s: u64| {
        let asked = vec![Asked {
            peer: peer(2),
            heard: fails(Unreachable::TimedOut),
        }];
        let out = compare.round(&report(1), asked, Mono(s * 1_000_000_000), WallMs(0));
        out.notes.len()
    };
    assert_eq!((at(10), at(11), at(12)), (0, 0, 0));
    assert_eq!(at(15), 1);
}

#[test]
fn a_peer_that_comes_and_goes_is_told_once_a_minute() {
    let mut r = Rounds::default();
    let mut told = Vec::new();
    // An hour of refusing and taking the key, round for round.
    for round in 0..360 {
        let heard = match round % 2 {
            0 => fails(Unreachable::WrongKey),
            _ => says(report(2)),
        };
        told.extend(r.two(heard).notes);
    }
    let of = |kind: Kind| told.iter().filter(|n| n.kind == kind).count();
    for kind in [
        Kind::PeerUnreachable,
        Kind::PeerReachable,
        Kind::PeerDiffers,
        Kind::PeerAgrees,
    ] {
        assert!((50..=60).contains(&of(kind)), "{kind:?}: {}", of(kind));
    }
    assert!(told.len() <= 360, "{}", told.len());
    assert!(
        told.iter()
            .any(|n| n.fields.get("untold") == Some(&json!(2)))
    );
}

#[test]
fn a_peer_that_says_something_else_each_round_does_not_flood() {
    let mut r = Rounds::default();
    let mut told = 0;
    for round in 0..360 {
        let lie = edit(report(2), |p| {
            p.config_version = Some(ConfigVersion(1000 + round));
            p.fingerprint = Some(format!("f{round}"));
        });
        told += r.two(says(lie)).notes.len();
    }
    assert!((100..=130).contains(&told), "{told} in an hour");
}
