//! Who answers is not who was asked.

use super::*;

#[test]
fn another_node_in_its_place_is_named_and_not_compared() {
    let mut r = Rounds::default();
    let other = edit(report(3), |p| p.config_version = Some(ConfigVersion(99)));
    let out = r.two(says(other));
    assert_eq!(kinds(&out), ["peer.differs", "degraded"]);
    assert_eq!(field(&out.notes[0], "what"), "identity");
    assert_eq!(field(&out.notes[0], "theirs"), "n3 (nodeid 3)");
    assert_eq!(out.statuses[0].differs, ["identity"]);
    assert_eq!(out.statuses[0].config_version, None);
    assert!(out.heard.is_empty());
    assert_eq!(r.reasons(), ["peer-identity"]);
    let out = r.two(says(report(2)));
    assert_eq!(kinds(&out), ["peer.agrees", "degraded.ended"]);
    // Found by its host name or address, a node has another name in the nodelist, and the same nodeid.
    let out = r.two(says(edit(report(2), |p| {
        p.node = "n2.example.org".to_owned();
    })));
    assert!(kinds(&out).is_empty());
    let mut compare = Compare::default();
    let unnumbered = Asked {
        peer: Peer {
            name: "n2".to_owned(),
            nodeid: None,
        },
        heard: says(report(3)),
    };
    let out = compare.round(&report(1), vec![unnumbered], Mono(1), WallMs(1));
    assert_eq!(kinds(&out), ["peer.differs", "degraded"]);
}

#[test]
fn another_node_at_its_address_is_an_identity_and_a_degraded_reason() {
    let message = "10.0.0.2:5407: ask: n3 (nodeid 3) answers at this address, and n2 was asked";
    let mut r = Rounds::default();
    r.two(says(report(2)));
    let out = r.two(Err((Unreachable::WrongNode, message.to_owned())));
    assert_eq!(kinds(&out), ["peer.differs", "degraded"]);
    assert_eq!(field(&out.notes[0], "what"), "identity");
    assert_eq!(field(&out.notes[0], "theirs"), "n3 (nodeid 3)");
    assert_eq!(r.reasons(), ["peer-identity"]);
    let status = &out.statuses[0];
    assert_eq!(status.unreachable, Some(Unreachable::WrongNode));
    assert_eq!(status.differs, ["identity"]);
    // Nothing of the other one counts as this one's, and what it said before no more either.
    assert_eq!(status.config_version, None);
    let out = r.two(says(report(2)));
    assert_eq!(kinds(&out), ["peer.agrees", "degraded.ended"]);
    assert!(r.reasons().is_empty());
    // Whatever it says, it is bounded.
    let long = format!("{}{}", "x".repeat(9000), crate::wire::ANSWERS);
    let out = r.two(Err((Unreachable::WrongNode, long)));
    assert!(out.notes.iter().all(|n| n.text.len() < 2000));
}
