#![allow(clippy::unwrap_used)]

mod faults;

use super::*;
use crate::types::{ConfigVersion, NodeId};
use crate::wire::sample::{NOW, healthy};
use crate::wire::{MemberState, Reason};
use faults::faults;

fn judged(status: &Status) -> Report {
    judge_at(status, WallMs(NOW))
}

/// All that is said of the first verdict, in one text.
fn said(report: &Report) -> String {
    let v = &report.verdicts[0];
    let mut all = vec![v.summary.clone()];
    all.extend(v.evidence.clone());
    all.extend(v.what_to_do.clone());
    all.join("\n")
}

fn edit(mut status: Status, f: impl FnOnce(&mut Status)) -> Status {
    f(&mut status);
    status
}

/// The link to node 3 that has this number.
fn link(status: &mut Status, number: u8) -> &mut crate::wire::LinkStatus {
    let mut links = status.links.iter_mut();
    links
        .find(|l| l.nodeid == NodeId(3) && l.link == number)
        .unwrap()
}

fn exit(status: &mut Status) -> &mut crate::wire::LastExit {
    status.service.last_exit.as_mut().unwrap()
}

fn base() -> Status {
    healthy(3, 2)
}

#[test]
fn every_fault_has_its_verdict_with_evidence_and_what_to_do() {
    for (code, status, parts) in faults() {
        let report = judged(&status);
        let text = said(&report);
        assert_eq!(report.first(), code, "{report:#?}");
        assert_eq!(report.ok, code == "healthy", "{report:#?}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        let first = &report.verdicts[0];
        assert!(!first.evidence.is_empty(), "{report:#?}");
        assert_eq!(first.what_to_do.is_empty(), report.ok, "{report:#?}");
        assert!(report.ok || known(code).is_some(), "no advice for {code}");
        assert!(!text.contains('\r') && !first.summary.contains('\n'));
    }
}

#[test]
fn every_fault_is_told_once() {
    for (_, status, _) in faults() {
        let mut codes: Vec<_> = judged(&status).verdicts;
        let all = codes.len();
        codes.sort_by(|a, b| a.code.cmp(&b.code));
        codes.dedup_by(|a, b| a.code == b.code);
        assert_eq!(codes.len(), all, "{codes:#?}");
    }
}

#[test]
fn root_causes_come_before_their_symptoms() {
    let codes =
        |s: &Status| -> Vec<String> { judged(s).verdicts.into_iter().map(|v| v.code).collect() };
    let no_quorum = || {
        base()
            .without(2, MemberState::Left)
            .without(3, MemberState::Left)
    };
    for (status, want) in [
        (no_quorum().standalone(Reason::NoBinary), &["no-binary"][..]),
        (
            edit(base().standalone(Reason::BadConfig), |s| {
                s.config.drift = true;
            }),
            &["bad-config", "drift"],
        ),
        (
            base().degraded("reload-stuck").degraded("bad-config"),
            &["bad-config", "reload-stuck"],
        ),
        (
            base().died("exit 9 (x)", 3).degraded("shm-full"),
            &["shm-full", "crash-loop"],
        ),
        (
            no_quorum().degraded("shm-full"),
            &["not-quorate", "shm-full"],
        ),
        (
            edit(base(), |s| s.cluster = None)
                .degraded("no-answer")
                .degraded("drift")
                .degraded("shm-full"),
            &["shm-full", "no-answer", "drift"],
        ),
        (
            edit(no_quorum(), |s| s.key.drift = true).degraded("drift"),
            &["key-drift", "not-quorate", "drift"],
        ),
        (
            edit(no_quorum(), |s| link(s, 0).connected = true),
            &["connected-but-no-member", "not-quorate"],
        ),
        (
            edit(base().died("hung: killed by clusmgr", 3), |s| {
                let was = no_quorum();
                s.service.state = ServiceState::Running;
                exit(s).hung = true;
                (s.cluster, s.links) = (was.cluster, was.links);
            }),
            &["hung", "crash-loop", "not-quorate"],
        ),
        (
            base()
                .died(
                    "exit 0 (not asked for: its config_version is not its peers')",
                    3,
                )
                .degraded("state-dir-full"),
            &["state-dir-full", "config-version-behind", "crash-loop"],
        ),
        (
            no_quorum().degraded("sched-pause").degraded("link-down"),
            &["sched-pause", "not-quorate", "link-down"],
        ),
        (
            no_quorum().degraded("isolated").degraded("not-delivering"),
            &["isolated", "not-quorate", "not-delivering"],
        ),
        // Another key explains who is away; where all are there, it will hurt at the next start.
        (
            edit(no_quorum().peer(3, &["key"]).degraded("peer-key"), |s| {
                link(s, 0).connected = true;
            }),
            &["peer-key", "connected-but-no-member", "not-quorate"],
        ),
        (
            no_quorum()
                .peer(2, &["config-version"])
                .degraded("peer-config"),
            &["peer-config", "not-quorate"],
        ),
        (
            edit(base().without(3, MemberState::Left), |s| {
                s.config.drift = true;
            })
            .peer(2, &["key", "config"])
            .degraded("peer-key")
            .degraded("peer-config"),
            &["no-link", "peer-key", "peer-config", "drift"],
        ),
        (
            base()
                .died(
                    "exit 0 (not asked for: its config_version is not its peers')",
                    3,
                )
                .peer(2, &["config-version"])
                .degraded("peer-config"),
            &["config-version-behind", "peer-config", "crash-loop"],
        ),
        (
            base()
                .died("exit 9 (x)", 3)
                .peer(2, &["config-version", "key"])
                .degraded("peer-config")
                .degraded("peer-key"),
            &["crash-loop", "peer-config", "peer-key"],
        ),
        (
            edit(base().without(3, MemberState::Left), |s| {
                s.links[0].connected = false;
                s.config.drift = true;
            })
            .degraded("link-down"),
            &["no-link", "link-down", "drift"],
        ),
    ] {
        assert_eq!(codes(&status), want);
    }
}

#[test]
fn an_old_death_is_no_news() {
    let healed = |deaths, ago, hung| {
        edit(base(), |s| {
            s.service.last_exit = base().died("x", 0).service.last_exit;
            (s.service.restarts, s.service.deaths) = (9, deaths);
            exit(s).at = WallMs(NOW - ago);
            exit(s).hung = hung;
        })
    };
    assert!(
        judged(&healed(1, 5_000, true)).ok,
        "it is back, and quorate"
    );
    assert!(judged(&healed(9, 90_000, false)).ok);
    assert_eq!(judged(&healed(2, 5_000, false)).first(), "crash-loop");
    let once = edit(base().died("x", 9), |s| s.service.deaths = 1);
    assert_eq!(judged(&once).first(), "died", "the others were long ago");
    // Days later the others die.
    let later = healed(1, 300_000_000, true)
        .without(2, MemberState::Left)
        .without(3, MemberState::Left);
    assert_eq!(judged(&later).first(), "not-quorate");
}

/// Its link outlives it for a moment, which is no sign of a corosync that hangs.
#[test]
fn a_node_that_has_just_left_is_away_and_not_one_that_is_heard_and_does_not_join() {
    let left = |ago: Option<u64>| {
        edit(base().without(3, MemberState::Left), |s| {
            link(s, 0).connected = true;
            let members = &mut s.cluster.as_mut().unwrap().members;
            members[2].left_at = ago.map(|ms| WallMs(NOW - ms));
        })
    };
    let report = judged(&left(Some(2_000)));
    assert_eq!(report.first(), "node-missing");
    assert_eq!(report.verdicts.len(), 1, "{report:#?}");
    assert!(said(&report).contains("n3 left the cluster; 1 of its 2 links connected"));
    for ago in [Some(10_000), None] {
        assert_eq!(judged(&left(ago)).first(), "connected-but-no-member");
    }
    let leaving = edit(base().without(3, MemberState::Leaving), |s| {
        link(s, 0).connected = true;
    });
    assert_eq!(judged(&leaving).first(), "node-missing");
}

/// While a whole cluster reloads, one node is always first.
#[test]
fn a_newer_version_of_a_peer_counts_once_it_lasts() {
    let newer = |file| {
        edit(base(), |s| {
            s.cluster.as_mut().unwrap().members[2].config_version = Some(ConfigVersion(8));
            s.config.version = Some(ConfigVersion(file));
        })
    };
    assert!(judged(&newer(7)).ok && judged(&newer(8)).ok);
    let lasts = newer(7).degraded("config-version-behind");
    assert_eq!(judged(&lasts).first(), "config-version-behind");
    // It runs with the new one, and its file would bring the old one back.
    let own = |s: &mut Status| s.cluster.as_mut().unwrap().config_version = Some(ConfigVersion(8));
    assert_eq!(
        judged(&edit(newer(7), own)).first(),
        "config-version-behind"
    );
    assert!(judged(&edit(newer(8), own)).ok);
    // A hand edit is what the next start uses, whatever is held.
    let edited = |file, version: Option<u64>| {
        edit(edit(newer(file), own), |s| {
            (s.config.drift, s.config.file_version) = (true, version.map(ConfigVersion));
        })
    };
    let report = judged(&edited(8, Some(7)));
    assert_eq!(report.first(), "config-version-behind");
    let evidence = report.verdicts[0].evidence.join("\n");
    assert!(
        evidence.contains("corosync.conf has config_version 7"),
        "{evidence}"
    );
    for version in [Some(8), None] {
        let report = judged(&edited(7, version));
        let behind = report
            .verdicts
            .iter()
            .any(|v| v.code == "config-version-behind");
        assert!(!behind, "{report:#?}");
    }
}

#[test]
fn of_many_nodes_only_some_are_named() {
    let mut status = healthy(16, 2);
    for id in 2..=16 {
        status = status.without(id, MemberState::Missing);
    }
    let report = judged(&status);
    let summary = &report.verdicts[0].summary;
    assert!(
        summary.contains("n2, n3, n4, n5, n6 and 10 more missing"),
        "{summary}"
    );
    assert_eq!(report.verdicts[0].evidence.len(), 16);
}

#[test]
fn a_network_that_is_down_to_every_node_is_one_fault() {
    let mut status = healthy(4, 2).without(4, MemberState::Left);
    for l in status.links.iter_mut().filter(|l| l.link == 1) {
        l.connected = false;
    }
    let report = judged(&status);
    let found = report.verdicts.iter().find(|v| v.code == "link-down");
    let summary = &found.unwrap().summary;
    assert_eq!(
        summary,
        "link 1 to every node down; another link still works"
    );
}

#[test]
fn a_peer_that_is_behind_is_named_as_what_keeps_it_away() {
    let status = edit(
        base()
            .without(2, MemberState::Left)
            .without(3, MemberState::Left),
        |s| s.cluster.as_mut().unwrap().members[1].config_version = Some(ConfigVersion(6)),
    );
    let text = said(&judged(&status));
    assert!(
        text.contains("it last ran with the older config_version 6"),
        "{text}"
    );
}

#[test]
fn every_reason_that_the_sources_set_has_its_advice() {
    fn walk(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("_degraded(").skip(1) {
                if let Some(word) = part.trim_start().strip_prefix('"') {
                    let word = word.split('"').next().unwrap();
                    let is_word = word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                    found.extend(is_word.then(|| word.to_owned()));
                }
            }
        }
    }
    let mut found = Vec::new();
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walk(&src, &mut found);
    assert!(found.len() > 10, "the reader of reasons found {found:?}");
    // Their words are in variables.
    found.extend(
        [
            "shm-full",
            "state-dir-full",
            "hold-unsaved",
            "drift",
            "key-drift",
            "isolated",
            "peer-config",
            "peer-key",
            "peer-identity",
        ]
        .map(str::to_owned),
    );
    for reason in &found {
        assert!(
            REASONS.contains(&reason.as_str()),
            "{reason} is not in REASONS"
        );
    }
    for reason in REASONS {
        assert!(known(reason).is_some(), "no advice for {reason}");
    }
    assert!(known("later-invented").is_none() && !remedy("later-invented").is_empty());
}

#[test]
fn every_word_for_what_is_wrong_is_in_the_readme() {
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, table) = readme.split_once("| verdict | what it means |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let faults = faults();
    let codes = faults.iter().map(|f| f.0);
    let listed = REASONS.iter().map(|r| code_of(r));
    let ranked = DOWN.iter().chain(UP).copied();
    for code in codes.chain(listed).chain(ranked) {
        assert!(table.contains(&format!("`{code}`")), "{code}");
    }
    for kind in crate::event::Kind::ALL {
        let kind = format!("`{}`", kind.as_str());
        assert!(readme.contains(&kind), "{kind}");
    }
}

#[test]
fn a_report_survives_the_wire() {
    for (_, status, _) in faults() {
        let report = judged(&status);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
    let text = serde_json::to_value(judged(&base())).unwrap();
    assert_eq!(text["ok"], true);
    assert_eq!(text["verdicts"][0]["severity"], "info");
}
