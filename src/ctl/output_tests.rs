#![allow(clippy::unwrap_used)]

use super::*;
use crate::types::{ConfigVersion, NodeId, Pid};
use crate::wire::{ConfigStatus, DegradedItem, KeyStatus, NodeStatus, ServiceStatus};

const NOW: u64 = 1_000_000_000;

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

fn running() -> Status {
    Status {
        schema: 1,
        version: "0.1.0".to_owned(),
        node: NodeStatus {
            name: "n1".to_owned(),
            nodeid: Some(NodeId(1)),
        },
        mode: Mode::Cluster,
        mode_reason: None,
        mode_detail: None,
        driver: "corosync".to_owned(),
        daemon_pid: Pid(99),
        service: ServiceStatus {
            state: ServiceState::Running,
            pid: Some(Pid(123)),
            adopted: false,
            since: WallMs(NOW - 125_000),
            restarts: 0,
            last_exit: None,
            next_retry_ms: None,
            hold: false,
            hold_until_boot: false,
        },
        cluster: None,
        links: Vec::new(),
        config: ConfigStatus {
            path: "/etc/corosync/corosync.conf".to_owned(),
            version: Some(ConfigVersion(7)),
            sha256: Some("0123456789abcdef".repeat(4)),
            drift: false,
        },
        key: KeyStatus {
            path: Some("/etc/corosync/authkey".to_owned()),
            fingerprint: Some("ab12cd34".to_owned()),
            drift: false,
        },
        degraded: Vec::new(),
        last_event: 42,
    }
}

/// Everything that can be wrong at once, and all of it long.
fn troubled() -> Status {
    let mut s = running();
    s.mode = Mode::Standalone;
    s.mode_reason = Some(Reason::StartFailed);
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
        status(&running(), &view(true)),
        "\
n1 is in CLUSTER mode: corosync runs (pid 123) since 2026-01-31 @00999875,
2 m 5 s ago.

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
        "\n  what to do     see the last exit; clusmgr tries again by itself, clusmgrctl\n",
        "\n  corosync       failed, since 2026-01-31 @00999875\n",
        "\n  restarts       5 since clusmgr was started\n",
        "\n  last exit      killed by signal 9 (SIGKILL), at 2026-01-31 @00999995, after\n",
        "\n                 | one\n                 | two\u{fffd}[31m\n                 |\n",
        "\n  next try       at 2026-01-31 @01000030\n",
        "\n    drift        the file differs from what clusmgr last wrote\n",
        "\n    drift        the key differs from what clusmgr last wrote\n",
        "\n  degraded       drift: /etc/corosync/corosync.conf differs from what",
        "\n    what to do   check it with clusmgrctl config check; send clusmgr a HUP to\n",
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
    for width in [40, 80, 100] {
        let view = View {
            width,
            ..view(true)
        };
        for line in status(&s, &view).lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn colours_change_no_word_and_appear_only_if_wanted() {
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
