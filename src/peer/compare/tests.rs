#![allow(clippy::unwrap_used)]

mod identity;
mod reach;

use super::*;
use crate::types::ConfigVersion;
use crate::wire::ServiceState;
use serde_json::{Value, json};

fn peer(id: u32) -> Peer {
    Peer {
        name: format!("n{id}"),
        nodeid: Some(NodeId(id)),
    }
}

fn report(id: u32) -> PeerReport {
    PeerReport {
        node: format!("n{id}"),
        nodeid: Some(NodeId(id)),
        config_version: Some(ConfigVersion(7)),
        sha256: Some("0123456789abcdef".repeat(4)),
        running_version: None,
        fingerprint: Some("ab12cd34".to_owned()),
        state: ServiceState::Running,
        quorate: true,
        members: [1, 2, 3].map(NodeId).into(),
        isolated: false,
        drift: false,
        file_version: None,
        claiming: false,
        restarting: false,
    }
}

fn edit(mut report: PeerReport, f: impl FnOnce(&mut PeerReport)) -> PeerReport {
    f(&mut report);
    report
}

/// Rounds, 10 s apart, of node 1.
#[derive(Default)]
struct Rounds {
    compare: Compare,
    round: u64,
}

impl Rounds {
    fn go(&mut self, own: &PeerReport, asked: Vec<(u32, Heard)>) -> Outcome {
        self.round += 1;
        let asked = asked.into_iter().map(|(id, heard)| Asked {
            peer: peer(id),
            heard,
        });
        let now = Mono(self.round * 10_000_000_000);
        self.compare
            .round(own, asked.collect(), now, WallMs(self.round * 10_000))
    }

    /// Of node 2 alone.
    fn two(&mut self, heard: Heard) -> Outcome {
        self.go(&report(1), vec![(2, heard)])
    }

    fn reasons(&self) -> Vec<String> {
        let all = self.compare.degraded().into_iter();
        all.map(|d| d.reason).collect()
    }
}

fn says(report: PeerReport) -> Heard {
    Ok((report, "10.0.0.2:5407".to_owned()))
}

fn fails(why: Unreachable) -> Heard {
    Err((why, "10.0.0.2: no".to_owned()))
}

fn kinds(out: &Outcome) -> Vec<&'static str> {
    out.notes.iter().map(|n| n.kind.as_str()).collect()
}

fn field(note: &Note, key: &str) -> Value {
    note.fields
        .get(key)
        .cloned()
        .unwrap_or_else(|| json!("<no field>"))
}

#[test]
fn who_is_the_same_is_no_news() {
    let mut r = Rounds::default();
    for _ in 0..3 {
        let out = r.two(says(report(2)));
        assert_eq!(kinds(&out), [""; 0]);
        assert_eq!(out.heard, [(peer(2), report(2))]);
        let status = &out.statuses[0];
        assert!(status.differs.is_empty() && status.unreachable.is_none());
        assert_eq!(status.address.as_deref(), Some("10.0.0.2:5407"));
        assert_eq!(status.seen, Some(WallMs(r.round * 10_000)));
    }
    assert!(r.reasons().is_empty());
}

#[test]
fn another_version_is_told_once_with_who_is_behind() {
    for (theirs, words) in [
        (
            8,
            "this node is behind, and the next start of corosync here would fail",
        ),
        (
            6,
            "it is behind, and the next start of its corosync would fail",
        ),
    ] {
        let mut r = Rounds::default();
        let other = edit(report(2), |p| {
            p.config_version = Some(ConfigVersion(theirs));
        });
        let out = r.two(says(other.clone()));
        assert_eq!(kinds(&out), ["peer.differs", "degraded"]);
        let note = &out.notes[0];
        assert!(note.text.contains(words), "{}", note.text);
        assert_eq!(field(note, "node"), "n2");
        assert_eq!(field(note, "what"), "config-version");
        assert_eq!(
            (field(note, "ours"), field(note, "theirs")),
            (json!(7), json!(theirs))
        );
        assert_eq!(out.statuses[0].differs, ["config-version"]);
        assert_eq!(r.reasons(), ["peer-config"]);
        let detail = r.compare.degraded()[0].detail.clone();
        assert!(
            detail.contains(&format!("n2 (config_version {theirs})")),
            "{detail}"
        );
        assert!(kinds(&r.two(says(other))).is_empty(), "told once");
        let out = r.two(says(report(2)));
        assert_eq!(kinds(&out), ["peer.agrees", "degraded.ended"]);
        assert_eq!(field(&out.notes[0], "theirs"), 7);
        assert!(r.reasons().is_empty());
    }
}

#[test]
fn the_same_version_with_other_content_is_another_difference() {
    let mut r = Rounds::default();
    let out = r.two(says(edit(report(2), |p| p.sha256 = Some("f".repeat(64)))));
    assert_eq!(field(&out.notes[0], "what"), "config");
    assert_eq!(field(&out.notes[0], "theirs"), "f".repeat(64));
    let detail = r.compare.degraded()[0].detail.clone();
    assert!(detail.contains("other content"), "{detail}");
    assert!(detail.contains("n2 (hash ffffffffffff)"), "{detail}");
    // Then the version differs: that they agree on the content is not to be said.
    let out = r.two(says(edit(report(2), |p| {
        p.config_version = Some(ConfigVersion(8));
        p.sha256 = Some("f".repeat(64));
    })));
    assert_eq!(kinds(&out), ["peer.differs"]);
    assert_eq!(field(&out.notes[0], "what"), "config-version");
    assert_eq!(r.reasons(), ["peer-config"]);
}

#[test]
fn every_node_that_differs_is_named_with_what_it_has() {
    let mut r = Rounds::default();
    let version = |id, v| {
        says(edit(report(id), |p| {
            p.config_version = Some(ConfigVersion(v));
        }))
    };
    let other = says(edit(report(5), |p| p.sha256 = Some("ee".repeat(32))));
    r.go(
        &report(1),
        vec![
            (2, version(2, 9)),
            (3, version(3, 6)),
            (4, version(4, 8)),
            (5, other),
        ],
    );
    let detail = r.compare.degraded()[0].detail.clone();
    for part in [
        "n2 (config_version 9), n4 (config_version 8)",
        "n3 (config_version 6)",
        "n5 (hash eeeeeeeeeeee)",
    ] {
        assert!(detail.contains(part), "{part} is not in {detail}");
    }
}

#[test]
fn another_fingerprint_and_a_refused_key_are_another_key() {
    let mut r = Rounds::default();
    let out = r.two(says(edit(report(2), |p| {
        p.fingerprint = Some("ee".to_owned());
    })));
    assert_eq!(kinds(&out), ["peer.differs", "degraded"]);
    assert_eq!(field(&out.notes[0], "what"), "key");
    assert_eq!(field(&out.notes[0], "theirs"), "ee");
    assert_eq!(r.reasons(), ["peer-key"]);

    let mut r = Rounds::default();
    r.two(says(report(2)));
    let out = r.two(fails(Unreachable::WrongKey));
    assert_eq!(
        kinds(&out),
        ["peer.unreachable", "peer.differs", "degraded"]
    );
    assert_eq!(field(&out.notes[0], "reason"), "wrong-key");
    assert_eq!(field(&out.notes[1], "what"), "key");
    assert_eq!(field(&out.notes[1], "theirs"), Value::Null);
    assert_eq!(out.statuses[0].differs, ["key"]);
    assert!(
        out.heard.is_empty(),
        "what it said earlier is no answer of now"
    );
    // It is off now: that says nothing of its key.
    assert!(kinds(&r.two(fails(Unreachable::TimedOut))).is_empty());
    assert_eq!(r.reasons(), ["peer-key"]);
    let out = r.two(says(report(2)));
    assert_eq!(
        kinds(&out),
        ["peer.reachable", "peer.agrees", "degraded.ended"]
    );
}

#[test]
fn a_key_that_was_refused_is_not_agreed_on_because_this_node_has_another_now() {
    let mut r = Rounds::default();
    r.two(fails(Unreachable::WrongKey));
    let own = edit(report(1), |p| p.fingerprint = Some("new".to_owned()));
    let out = r.go(&own, vec![(2, fails(Unreachable::TimedOut))]);
    assert!(!kinds(&out).contains(&"peer.agrees"), "{:?}", kinds(&out));
    let theirs = edit(report(2), |p| p.fingerprint = Some("new".to_owned()));
    let out = r.go(&own, vec![(2, says(theirs))]);
    assert!(kinds(&out).contains(&"peer.agrees"), "{:?}", kinds(&out));
}

#[test]
fn where_no_node_that_answers_has_this_ones_key_it_is_the_odd_one() {
    let mut r = Rounds::default();
    let detail = |r: &Rounds| r.compare.degraded()[0].detail.clone();
    let no = || fails(Unreachable::WrongKey);
    r.go(&report(1), vec![(2, no()), (3, no())]);
    assert!(detail(&r).contains("it is the odd one"), "{}", detail(&r));
    assert!(detail(&r).contains("n2 (") && detail(&r).contains("n3 ("));
    r.go(&report(1), vec![(2, no()), (3, says(report(3)))]);
    assert!(!detail(&r).contains("odd one"), "{}", detail(&r));
}

#[test]
fn what_one_of_the_two_does_not_have_is_not_compared_but_shown() {
    let bare = |id| {
        edit(report(id), |p| {
            p.config_version = None;
            p.sha256 = None;
            p.fingerprint = None;
            p.nodeid = None;
        })
    };
    for (own, theirs) in [
        (report(1), bare(2)),
        (bare(1), report(2)),
        (bare(1), bare(2)),
    ] {
        let mut r = Rounds::default();
        let out = r.go(&own, vec![(2, says(theirs.clone()))]);
        assert!(
            kinds(&out).is_empty() && r.reasons().is_empty(),
            "{:?}",
            out.notes
        );
        let status = &out.statuses[0];
        assert_eq!(status.config_version, theirs.config_version);
        assert_eq!(status.fingerprint, theirs.fingerprint);
        assert!(status.differs.is_empty() && status.seen.is_some());
    }
    // Its configuration is gone: that is no agreement.
    let mut r = Rounds::default();
    r.two(says(edit(report(2), |p| {
        p.config_version = Some(ConfigVersion(8));
    })));
    assert_eq!(kinds(&r.two(says(bare(2)))), ["degraded.ended"]);
}

#[test]
fn what_a_peer_says_is_bounded_and_clean() {
    let mut r = Rounds::default();
    let evil = "\x1b[2J\n\u{202e}".repeat(1000);
    let lie = edit(report(2), |p| {
        p.node = evil.clone();
        p.sha256 = Some(evil.clone());
        p.fingerprint = Some(evil.clone());
        p.members = (0..100_000).map(NodeId).collect();
    });
    let out = r.two(Ok((lie, evil.clone())));
    let said = &out.heard[0].1;
    assert_eq!(said.members.len(), 64);
    let mut texts = vec![said.node.clone(), out.statuses[0].address.clone().unwrap()];
    texts.extend(out.statuses[0].fingerprint.clone());
    for text in &texts {
        assert_eq!(text.chars().count(), 128);
    }
    texts.extend(out.notes.iter().map(|n| n.text.clone()));
    texts.extend(r.compare.degraded().into_iter().map(|d| d.detail));
    assert_eq!(
        kinds(&out),
        ["peer.differs", "peer.differs", "degraded", "degraded"]
    );
    r.two(Err((Unreachable::WrongKey, evil)));
    texts.extend(
        r.two(fails(Unreachable::WrongKey))
            .notes
            .iter()
            .map(|n| n.text.clone()),
    );
    for text in &texts {
        assert!(!text.contains(crate::types::harmful), "{text:?}");
        assert!(text.len() < 2000);
    }
}

#[test]
fn a_removed_peer_is_forgotten_and_what_it_made_degraded_ends() {
    let mut r = Rounds::default();
    let other = || {
        says(edit(report(2), |p| {
            p.config_version = Some(ConfigVersion(8));
        }))
    };
    r.go(&report(1), vec![(2, other()), (3, says(report(3)))]);
    assert_eq!(r.reasons(), ["peer-config"]);
    let out = r.go(&report(1), vec![(3, says(report(3)))]);
    assert_eq!(kinds(&out), ["degraded.ended"]);
    assert_eq!(out.statuses.len(), 1);
    assert!(r.reasons().is_empty());
    // Come back it is a new one: told again, not held back.
    let out = r.go(&report(1), vec![(2, other())]);
    assert!(kinds(&out).contains(&"peer.differs"), "{:?}", kinds(&out));
}

#[test]
fn what_a_peer_said_last_counts_while_it_is_away_and_is_said_so() {
    let mut r = Rounds::default();
    r.two(says(edit(report(2), |p| {
        p.config_version = Some(ConfigVersion(6));
    })));
    r.two(fails(Unreachable::TimedOut));
    let detail = r.compare.degraded()[0].detail.clone();
    assert!(detail.contains("when it last answered"), "{detail}");
    let since = r.compare.degraded()[0].since;
    assert_eq!(since, WallMs(10_000), "the reason is as old as it was");
}

#[test]
fn what_a_peer_runs_with_counts_where_it_is_newer_than_what_it_holds() {
    // A hand edit there, which was read: whoever starts with 7 cannot join it.
    let edited = || {
        says(edit(report(2), |p| {
            (p.running_version, p.drift) = (Some(ConfigVersion(9)), true);
        }))
    };
    let mut r = Rounds::default();
    let out = r.two(edited());
    assert_eq!(kinds(&out), ["peer.differs", "degraded"]);
    let note = &out.notes[0];
    assert!(note.text.contains("this node is behind"), "{}", note.text);
    assert_eq!(
        (field(note, "ours"), field(note, "theirs")),
        (json!(7), json!(9))
    );
    assert_eq!(out.statuses[0].config_version, Some(ConfigVersion(9)));
    // What is held here was made 9 too: what is held there is no matter of this.
    let nine = edit(report(1), |p| p.config_version = Some(ConfigVersion(9)));
    let out = r.go(&nine, vec![(2, edited())]);
    assert_eq!(kinds(&out), ["peer.agrees", "degraded.ended"]);
    // As is a hand edit here, which is what would be started.
    let drifts = edit(report(1), |p| {
        (p.running_version, p.drift) = (Some(ConfigVersion(9)), true);
    });
    let mut r = Rounds::default();
    assert_eq!(kinds(&r.go(&drifts, vec![(2, edited())])), [""; 0]);
    // A node that runs with less than it holds starts with what it holds.
    let waits = edit(report(1), |p| p.running_version = Some(ConfigVersion(6)));
    assert_eq!(kinds(&r.go(&waits, vec![(2, says(report(2)))])), [""; 0]);
}

#[test]
fn a_version_that_no_cluster_reaches_is_not_believed() {
    for lie in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let lies = |config, running| {
            let other = edit(report(2), |p| {
                p.config_version = Some(ConfigVersion(config));
                p.running_version = Some(ConfigVersion(running));
            });
            Rounds::default().two(says(other))
        };
        let out = lies(lie, lie);
        assert_eq!(kinds(&out), [""; 0]);
        assert_eq!(out.statuses[0].config_version, None);
        let said = &out.heard[0].1;
        assert_eq!((said.config_version, said.running_version), (None, None));
        let out = lies(8, lie);
        assert_eq!(out.statuses[0].config_version, Some(ConfigVersion(8)));
        let out = lies((1 << 63) - 1, 7);
        assert_eq!(field(&out.notes[0], "theirs"), (1u64 << 63) - 1);
    }
}

#[test]
fn a_hand_edit_that_nothing_runs_with_counts_as_it_would_be_started() {
    let drifts = |version: Option<u64>| {
        edit(report(1), |p| {
            (p.state, p.drift) = (ServiceState::Stopped, true);
            p.file_version = version.map(ConfigVersion);
        })
    };
    let go = |version, theirs| {
        let other = edit(report(2), |p| {
            p.config_version = Some(ConfigVersion(theirs));
        });
        Rounds::default().go(&drifts(version), vec![(2, says(other))])
    };
    // Older than what is held, here and there.
    let out = go(Some(5), 7);
    assert_eq!(kinds(&out), ["peer.differs", "degraded"]);
    let note = &out.notes[0];
    assert!(note.text.contains("this node is behind"), "{}", note.text);
    assert_eq!(
        (field(note, "ours"), field(note, "theirs")),
        (json!(5), json!(7))
    );
    // As new as the others' already, whatever is held here; and one that cannot be started.
    assert_eq!(kinds(&go(Some(9), 9)), [""; 0]);
    assert_eq!(kinds(&go(Some(7), 7)), [""; 0]);
    assert_eq!(kinds(&go(None, 7)), [""; 0]);
}
