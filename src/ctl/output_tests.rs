#![allow(clippy::unwrap_used)]

use super::*;
use crate::types::Pid;
use crate::wire::sample::{NOW, healthy};
use crate::wire::{DegradedItem, MemberState};

fn view(ago: bool) -> View {
    View {
        now: WallMs(NOW),
        ago,
        width: 80,
        colour: false,
        // As long as a real one.
        time: |t| format!("2026-01-31 @{:08}", t.0 / 1000),
    }
}

/// Of one node, by itself.
fn running() -> Status {
    healthy(1, 0)
}

/// Everything that can be wrong at once, and all of it long.
fn troubled() -> Status {
    let mut s = running();
    s.mode = Mode::Standalone;
    s.mode_reason = Some(Reason::StartFailed);
    s.cluster = None;
    s.mode_detail = Some("5 unstable runs died within 60 s; ".repeat(5));
    s.service.state = ServiceState::Failed;
    s.service.pid = None;
    s.service.restarts = 5;
    s.service.next_retry_ms = Some(30_000);
    s.service.last_exit = Some(LastExit {
        cause: "killed by signal 9 (SIGKILL)".to_owned(),
        code: None,
        signal: Some(9),
        at: WallMs(NOW - 5000),
        ran_ms: 2500,
        hung: false,
        output: vec![
            "not shown".to_owned(),
            "one".to_owned(),
            "two\u{1b}[31m".to_owned(),
            "x".repeat(200),
        ],
    });
    s.config.drift = true;
    s.key.drift = true;
    s.degraded = vec![DegradedItem {
        reason: "drift".to_owned(),
        since: WallMs(NOW - 60_000),
        detail: "/etc/corosync/corosync.conf differs from what clusmgr last wrote".to_owned(),
    }];
    s
}

#[test]
fn a_node_that_does_well_looks_like_this() {
    assert_eq!(
        status(&healthy(3, 2), &view(true)),
        "\
n1 is in CLUSTER mode and quorate, with 3 of 3 nodes: corosync runs (pid 123)
since 2026-01-31 @00999875, 2 m 5 s ago.

  cluster        pair, quorate: 3 of 3 votes, 2 needed
  ring           1.2c, runs with config version 7
  links          all 4 connected

    name  nodeid  state    votes  config version
    n1         1  member       1               7  this node
    n2         2  member       1               7
    n3         3  member       1               7

  corosync       running, pid 123, started by clusmgr, since
                 2026-01-31 @00999875, 2 m 5 s ago
  restarts       none since clusmgr was started
  configuration  version 7, sha256 0123456789ab, /etc/corosync/corosync.conf
  key            fingerprint ab12cd34, /etc/corosync/authkey
  clusmgr        0.1.0, pid 99, driver corosync, newest event 42
"
    );
}

#[test]
fn a_node_that_does_badly_looks_like_this() {
    let text = status(&troubled(), &view(false));
    let start = "\
n1 is in STANDALONE mode: corosync could not be started or died too often.

  because        5 unstable runs died within 60 s; 5 unstable runs died within
                 60 s; ";
    assert!(text.starts_with(start), "{text}");
    for part in [
        "\n  what to do     look at the last lines of its output, and at corosync's own\n",
        "\n  corosync       failed, since 2026-01-31 @00999875\n",
        "\n  restarts       5 since clusmgr was started\n",
        "\n  last exit      killed by signal 9 (SIGKILL), at 2026-01-31 @00999995, after\n",
        "\n                 | one\n                 | two\u{fffd}[31m\n                 |\n",
        "\n  next try       at 2026-01-31 @01000030\n",
        "\n    drift        the file differs from what clusmgr last wrote\n",
        "\n    drift        the key differs from what clusmgr last wrote\n",
        "\n  degraded       drift: /etc/corosync/corosync.conf differs from what",
        "\n    what to do   clusmgrctl config diff shows the difference; clusmgrctl config\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("not shown"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_view() {
    let mut s = troubled();
    s.node.name = "a-host-name-that-is-longer-than-anybody-likes".repeat(2);
    s.config.path = "/a/path/".repeat(20);
    let mut many = healthy(16, 8);
    many.links.iter_mut().for_each(|l| l.connected = false);
    for m in &mut many.cluster.as_mut().unwrap().members {
        m.name = format!("{}-with-a-long-name", m.name).repeat(3);
        m.nodeid.0 += 4_000_000_000;
        m.state = MemberState::Missing;
    }
    for width in [40, 80, 100] {
        let view = View {
            width,
            ..view(true)
        };
        for line in [&s, &many].iter().flat_map(|s| {
            let text = status(s, &view);
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        }) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn colours_change_no_word_and_appear_only_if_wanted() {
    let lost = healthy(3, 1).without(2, MemberState::Left);
    let lost = status(
        &lost,
        &View {
            colour: true,
            ..view(false)
        },
    );
    let row = "\x1b[1;33mn2         2  left         1               7\x1b[0m";
    assert!(lost.contains(row), "{lost}");
    let plain = status(&troubled(), &view(false));
    let coloured = View {
        colour: true,
        ..view(false)
    };
    let coloured = status(&troubled(), &coloured);
    assert!(!plain.contains('\x1b'));
    assert!(
        coloured.starts_with("\x1b[1;31mn1 is in STANDALONE"),
        "{coloured}"
    );
    let mut stripped = coloured;
    for code in ["\x1b[1;31m", "\x1b[1;33m", "\x1b[0m"] {
        stripped = stripped.replace(code, "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn every_state_has_a_sentence_and_an_exit_code() {
    let mut s = running();
    let mut all = Vec::new();
    for (state, pid, code, part) in [
        (ServiceState::Running, true, 0, "corosync runs (pid 123)"),
        (ServiceState::Starting, true, 151, "is starting (pid 123)"),
        (ServiceState::Stopping, true, 151, "is being stopped"),
        (
            ServiceState::Backoff,
            false,
            151,
            "started at 2026-01-31 @01000009",
        ),
        (ServiceState::Stopped, false, 151, "is stopped"),
        (ServiceState::Failed, false, 151, "has failed"),
    ] {
        s.service.state = state;
        s.service.pid = pid.then_some(Pid(123));
        s.service.next_retry_ms = (state == ServiceState::Backoff).then_some(9000);
        let text = headline(&s, &view(false));
        assert!(text.contains(part), "{text}");
        assert_eq!(exit_code(&s), code, "{text}");
        all.push(text);
    }
    // At a boot, while the other nodes are looked at, nothing has died.
    s.service.state = ServiceState::Backoff;
    let text = headline(&s, &view(false));
    assert!(text.contains("corosync will be started soon"), "{text}");
    s.service.last_exit = troubled().service.last_exit;
    assert!(s.service.last_exit.is_some());
    let text = headline(&s, &view(false));
    assert!(text.contains("corosync died and will be started"), "{text}");
    s.service.last_exit = None;
    s.mode = Mode::Standalone;
    for reason in [
        Reason::Unconfigured,
        Reason::Held,
        Reason::BadConfig,
        Reason::StartFailed,
        Reason::NoBinary,
    ] {
        s.mode_reason = Some(reason);
        assert_eq!(exit_code(&s), 150);
        all.push(headline(&s, &view(false)));
    }
    let mut s = running();
    s.degraded = troubled().degraded;
    assert_eq!(exit_code(&s), 151, "degraded");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 11, "two states share a sentence: {all:#?}");
}

#[test]
fn without_quorum_it_says_who_is_missing_before_anything_else() {
    let s = healthy(3, 1)
        .without(2, MemberState::Missing)
        .without(3, MemberState::Left)
        .degraded("shm-full");
    let text = status(&s, &view(true));
    let start = "\
n1 is in CLUSTER mode but NOT quorate, with 1 of 3 nodes: corosync runs (pid
123) since 2026-01-31 @00999875, 2 m 5 s ago.

  cluster        pair, NOT quorate: 1 of 3 votes, 2 needed
  ring           1.2c, runs with config version 7
  links          0 of 2 connected, 2 down
                 n2: no member, and no link works
                 n3: no member, and no link works

    name  nodeid  state    votes  config version
    n1         1  member       1               7  this node
    n2         2  missing      1               7
    n3         3  left         1               7

  problem        no quorum: 1 of 2 votes needed; n2 and n3 missing
    what to do   bring the missing nodes back: see that they have power and that
";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(exit_code(&s), 151);
    let (problem, degraded) = (text.find("  problem"), text.find("  degraded"));
    assert!(problem < degraded && degraded.is_some(), "{text}");
}

#[test]
fn sixteen_nodes_are_a_table_and_their_odd_links_a_few_lines() {
    let mut s = healthy(16, 2)
        .without(3, MemberState::Left)
        .degraded("link-flapping");
    for l in s.links.iter_mut().filter(|l| l.link == 1) {
        l.connected = false;
    }
    let (flaps, name) = (&mut s.links[0], "n2.a-long-domain.example.org");
    (flaps.flapping, flaps.down_count) = (true, 40);
    s.cluster.as_mut().unwrap().members[1].name = name.to_owned();
    let text = status(&s, &view(true));
    for part in [
        "\n  links          14 of 30 connected, 16 down\n",
        "\n                 n3: no member, and no link works\n",
        "\n                 link 1: down to every node\n",
        "\n                 link 0 to n2: flaps, went down 40 times\n",
        "\n    n2.a-long-domain.ex…       2  member       1               7\n",
        "\n    n16                       16  member       1               7\n",
        "\n  problem        link 1 to every node down; another link still works\n",
        "\n  degraded       link-flapping: ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(text.lines().count() < 48, "{text}");
    for (n, l) in s.links.iter_mut().enumerate() {
        l.connected = n % 3 == 0;
    }
    let text = status(&s, &view(true));
    assert!(text.contains(" more: see clusmgrctl link list"), "{text}");
}

#[test]
fn a_table_of_wide_letters_is_no_wider_than_the_screen() {
    let mut s = healthy(3, 2);
    s.cluster.as_mut().unwrap().members[1].name = "节".repeat(20);
    let text = status(&s, &view(true));
    for line in text.lines() {
        assert!(text::columns(line) <= 80, "{line}");
    }
    let column = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        text::columns(line.split("member ").next().unwrap())
    };
    assert_eq!(column("    n1"), column("    节节"), "{text}");
}

#[test]
fn a_corosync_that_runs_while_it_is_held_is_in_the_first_sentence() {
    let mut s = running();
    (s.mode, s.mode_reason) = (Mode::Standalone, Some(Reason::Held));
    s.cluster = None;
    let first =
        "n1 is in STANDALONE mode: an operator stopped corosync, and yet one runs (pid 123).";
    assert_eq!(headline(&s, &view(false)), first);
    s.service.state = ServiceState::Stopping;
    assert!(!headline(&s, &view(false)).contains("and yet"));
}

#[test]
fn a_corosync_that_says_nothing_of_the_cluster_is_not_called_a_member() {
    let mut s = healthy(3, 2);
    s.cluster = None;
    let text = status(&s, &view(false));
    assert!(
        text.starts_with("n1 is in CLUSTER mode: corosync runs"),
        "{text}"
    );
    assert!(text.contains("\n  cluster        not known: "), "{text}");
    assert_eq!(exit_code(&s), 151);
}

#[test]
fn without_a_quorum_provider_no_votes_are_told() {
    let mut s = healthy(2, 1);
    let cluster = s.cluster.as_mut().unwrap();
    (cluster.expected_votes, cluster.total_votes, cluster.quorum) = (0, 0, 0);
    let text = status(&s, &view(false));
    let line = "\n  cluster        pair, quorate: no quorum provider, so no votes are counted\n";
    assert!(text.contains(line), "{text}");
    let line =
        "2 of 2 nodes are members, and without a quorum provider each is quorate, also alone";
    let report = crate::verdict::judge(&s);
    assert_eq!(
        (report.first(), &*report.verdicts[0].evidence[0]),
        ("healthy", line)
    );
}
