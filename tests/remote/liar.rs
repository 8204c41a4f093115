//! A node that has the key and lies, or is of another version: it is named as what it is, nothing of it
//! is believed beyond bounds, and nothing stops.

use crate::bed::{after, peer, reached, wait_after, words};
use crate::common::{LONG, Lab, until};
use crate::lies::LIE;
use serde_json::{Value, json};

/// n1 and n3 are quorate; n2 lies. Its corosync does not run.
struct Lying {
    lab: Lab,
    pids: [i64; 2],
    ring: Value,
    seq: u64,
}

impl Lying {
    #[track_caller]
    fn begin(name: &str) -> Lying {
        let lab = Lab::up(name, "3 --no-clusmgr", &[]);
        lab.node(2).put(LIE, "honest");
        let mut told = words("lie 10.77.0.2:5407");
        told[1] = format!("'{}'", told[1]);
        lab.node(2).spawn(&told.join(" "));
        for k in [1, 3] {
            lab.node(k).start_daemon(&[]);
        }
        let (n1, n3) = (lab.node(1), lab.node(3));
        n1.wait_ring(2);
        n3.wait_ring(2);
        n1.wait("compared", |s| {
            let of = |name| {
                s["peers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|p| p["name"] == name)
            };
            ["n2", "n3"]
                .into_iter()
                .all(|n| of(n).is_some_and(|p| p["config_version"] == 1))
        });
        let pids = [n1.pid(), n3.pid()];
        let s = n1.status();
        let (ring, seq) = (s["cluster"]["ring_id"].clone(), n1.latest());
        Lying {
            lab,
            pids,
            ring,
            seq,
        }
    }

    /// Has it tell this lie; n1 takes it as this, in a field of what it knows of n2.
    #[track_caller]
    fn tells(&self, lie: &str, taken: impl Fn(&Value) -> bool) {
        let n1 = self.lab.node(1);
        self.lab.node(2).put(LIE, lie);
        let what = format!("the lie {lie} is taken for what it is");
        n1.wait(&what, |s| taken(peer(s, "n2")));
        self.all_goes_on(lie);
    }

    /// Each command answers, in bounded and clean text; nobody is touched.
    #[track_caller]
    fn all_goes_on(&self, lie: &str) {
        let n1 = self.lab.node(1);
        for verb in [
            "status",
            "status --json",
            "status --all",
            "why --all",
            "link matrix",
            "key fingerprint --all",
            "config diff --all",
            "--node n2 status",
            "--node n2 why",
            "--node n2 events --since 0",
            "--node n2 config show",
            "restart --all --dry-run",
        ] {
            let ran = n1.ctl(&verb.split(' ').collect::<Vec<_>>());
            assert!((0..=151).contains(&ran.code), "{lie}: {verb}: {ran:?}");
            assert_ne!(ran.code, 101, "{lie}: {verb} panicked: {ran:?}");
            // What it was asked for may be as long as a message; what is said of it may not.
            for (text, most) in [(&ran.out, 128 << 10), (&ran.err, 17_000)] {
                let long = text.chars().count();
                assert!(long < most, "{lie}: {verb}: {long} characters");
                let bad = text.chars().find(|c| harmful(*c));
                assert_eq!(bad, None, "{lie}: {verb}: {text:?}");
            }
        }
        assert_eq!(
            reached(&crate::bed::all(&n1, &["status"]))[2],
            "ok",
            "{lie}"
        );
        let s = n1.status();
        assert_eq!(s["cluster"]["quorate"], true, "{lie}: {s:#}");
        assert_eq!(s["cluster"]["ring_id"], self.ring, "{lie}: {s:#}");
        assert_eq!([n1.pid(), self.lab.node(3).pid()], self.pids, "{lie}");
    }

    /// What was told of it all is little, and clean.
    #[track_caller]
    fn end(self) {
        let n1 = self.lab.node(1);
        for event in n1.events() {
            let text = event.to_string();
            assert!(text.len() < 2048, "{text}");
            assert!(
                !event["text"].as_str().unwrap().chars().any(harmful),
                "{event}"
            );
        }
        let log = std::fs::read_to_string(n1.file("/run/clusmgr/log")).unwrap_or_default();
        assert!(log.len() < 64 << 10, "{} bytes of log", log.len());
        assert!(!log.chars().any(|c| c != '\n' && harmful(c)), "{log:?}");
        assert_eq!(after(&n1, self.seq, "service.starting").len(), 0);
    }
}

/// A terminal does as it says, or shows something else than there is.
fn harmful(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c != '\n' && c != '\t' && (c.is_control() || turns)
}

fn is(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |p| p["unreachable"] == reason
}

#[test]
fn a_peer_that_poses_as_another_node_is_named_an_impostor() {
    let lying = Lying::begin("liar-name");
    let n1 = lying.lab.node(1);
    lying.tells("another-node", |p| p["differs"] == json!(["identity"]));
    let told = wait_after(&n1, lying.seq, "peer.differs", |e| {
        e["fields"]["what"] == "identity"
    });
    assert_eq!(told["severity"], "err", "{told}");
    assert_eq!(told["fields"]["node"], "n2", "{told}");
    assert!(
        told["fields"]["theirs"].as_str().unwrap().contains("n3"),
        "{told}"
    );
    // Nothing of it counts as the real n3's.
    let s = n1.status();
    assert_eq!(peer(&s, "n3")["differs"], json!([]), "{s:#}");
    lying.tells("nobody", |p| p["differs"] == json!(["identity"]));
    lying.tells("honest", |p| {
        p["differs"] == json!([]) && p["unreachable"].is_null()
    });
    wait_after(&n1, lying.seq, "peer.agrees", |e| {
        e["fields"]["what"] == "identity"
    });
    lying.end();
}

#[test]
fn a_peer_that_reports_absurd_versions_or_members_breaks_nothing() {
    let lying = Lying::begin("liar-absurd");
    // Nothing of it is compared, or advised.
    lying.tells("absurd", |p| {
        p["config_version"].is_null() && p["unreachable"].is_null()
    });
    lying.tells("negative", is("other-protocol"));
    lying.tells("members", |p| {
        p["config_version"] == 1 && p["unreachable"].is_null()
    });
    lying.tells("fraction", is("other-protocol"));
    lying.end();
}

#[test]
fn a_peer_that_sends_a_mib_of_rubbish_or_control_characters_is_told_as_another_protocol() {
    let lying = Lying::begin("liar-rubbish");
    let n1 = lying.lab.node(1);
    lying.tells("rubbish", is("other-protocol"));
    let told = wait_after(&n1, lying.seq, "peer.unreachable", |e| {
        e["fields"]["reason"] == "other-protocol"
    });
    assert_eq!(told["fields"]["node"], "n2", "{told}");
    lying.tells("honest", |p| p["unreachable"].is_null());
    // So much may take longer than there is, where neither program is optimised.
    lying.tells("rubbish-mib", |p| {
        p["unreachable"] == "other-protocol" || p["unreachable"] == "timed-out"
    });
    lying.tells("rubbish-text", is("other-protocol"));
    lying.tells("controls", |p| p["unreachable"].is_null());
    lying.tells("error", is("other-protocol"));
    lying.end();
}

#[test]
fn a_peer_that_answers_half_or_never_costs_its_time_out_and_no_more() {
    let lying = Lying::begin("liar-half");
    for (lie, why) in [
        ("silence", "timed-out"),
        ("drip", "timed-out"),
        ("cut-short", "failed"),
        ("damaged", "failed"),
        ("half-a-reply", "other-protocol"),
    ] {
        lying.tells(lie, is(why));
    }
    lying.end();
}

#[test]
fn a_peer_of_an_older_and_of_a_newer_version_is_told_as_such() {
    let lying = Lying::begin("liar-version");
    let n1 = lying.lab.node(1);
    for (lie, word) in [
        ("version-0", "version 0"),
        ("version-2", "version 2"),
        ("older-inside", "protocol 0"),
        ("newer-inside", "protocol 2"),
    ] {
        lying.tells(lie, is("other-protocol"));
        until(&format!("{lie} is named"), LONG, || {
            let ran = n1.ctl(&["--node", "n2", "status"]);
            (ran.code == 4 && ran.err.contains(word)).then_some(())
        });
        lying.tells("honest", |p| p["unreachable"].is_null());
    }
    lying.end();
}

#[test]
fn a_member_with_an_absurd_name_is_named_in_bounds() {
    let lab = crate::bed::formed("liar-boasts", "2", 2);
    let n1 = lab.node(1);
    let (pid, seq) = (n1.pid(), n1.latest());
    let told = words("boast 10.77.0.1:5407");
    let words: Vec<&str> = told.iter().map(String::as_str).collect();
    lab.node(2).run(&words).ok();
    let asked = wait_after(&n1, seq, "peer.asked", |_| true);
    let from = asked["fields"]["from"].as_str().unwrap();
    assert!(
        from.chars().count() <= 64 && !from.chars().any(harmful),
        "{asked}"
    );
    assert_eq!(asked["fields"]["address"], "10.77.0.2");
    assert!(
        !asked["text"].as_str().unwrap().chars().any(harmful),
        "{asked}"
    );
    assert_eq!(n1.pid(), pid);
}

#[test]
fn one_who_lies_is_asked_no_more_often_than_another_and_told_once_a_minute() {
    let lying = Lying::begin("liar-flood");
    let n1 = lying.lab.node(1);
    // Another thing each time it is asked, and every second time nothing that can be understood.
    for lie in ["newer", "negative", "honest", "negative"].repeat(2) {
        lying.tells(lie, |p| match lie {
            "negative" => p["unreachable"] == "other-protocol",
            "newer" => p["unreachable"].is_null() && p["config_version"] == 9,
            _ => p["unreachable"].is_null() && p["config_version"] == 1,
        });
    }
    for kind in ["peer.unreachable", "peer.differs"] {
        let told = after(&n1, lying.seq, kind);
        assert!(!told.is_empty(), "{kind}");
        let at: Vec<u64> = told.iter().map(|e| e["at"].as_u64().unwrap()).collect();
        let close = at.windows(2).any(|two| two[1] - two[0] < 59_000);
        assert!(!close, "{told:#?}");
    }
    lying.end();
}
