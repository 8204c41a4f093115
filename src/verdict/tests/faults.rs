//! The table of injected faults, healthy among them.

use super::{base, edit, exit, link};
use crate::types::ConfigVersion;
use crate::verdict::{REASONS, code_of};
use crate::wire::sample::healthy;
use crate::wire::{MemberState, Mode, Reason, ServiceState, Status, Unreachable};

/// Every fault by itself: its verdict comes first, and says what it must.
pub(super) fn faults() -> Vec<(&'static str, Status, &'static [&'static str])> {
    let two_gone = || {
        base()
            .without(2, MemberState::Left)
            .without(3, MemberState::Missing)
    };
    let mut all = vec![
        (
            "not-configured",
            base().standalone(Reason::Unconfigured),
            &[
                "there is no /etc/corosync/corosync.conf yet",
                "write corosync.conf",
            ][..],
        ),
        (
            "held",
            base().standalone(Reason::Held),
            &["across reboots too", "clusmgrctl start"],
        ),
        (
            "no-binary",
            base().standalone(Reason::NoBinary),
            &["the detail of no-binary", "--corosync-bin"],
        ),
        (
            "bad-config",
            edit(base().standalone(Reason::BadConfig), |s| {
                s.mode_detail = Some("use /c: line 3, column 1: no such key".to_owned());
            }),
            &["line 3, column 1: no such key", "clusmgrctl config check"],
        ),
        (
            "crash-loop",
            edit(base().died("killed by signal 11 (SIGSEGV)", 5), |s| {
                s.mode = Mode::Standalone;
                s.mode_reason = Some(Reason::StartFailed);
                s.service.state = ServiceState::Failed;
            }),
            &["SIGSEGV", "after 2 s", "| line 7", "the next try is in 4 s"],
        ),
        (
            "crash-loop",
            base().died("exit 15 (fatal error of knet or totem)", 3),
            &["exit 15", "3 times", "| line 3"],
        ),
        (
            "crash-loop",
            edit(base().died("exit 15 (x)", 3), |s| {
                s.service.state = ServiceState::Starting;
            }),
            &["exit 15"],
        ),
        (
            "died",
            base().died("killed by signal 9 (SIGKILL)", 0),
            &["SIGKILL", "the next try is in 4 s"],
        ),
        (
            "hung",
            edit(base().died("hung: killed by clusmgr", 0), |s| {
                exit(s).hung = true;
            }),
            &["was killed by clusmgr", "5 s ago"],
        ),
        (
            "config-version-behind",
            base().died(
                "exit 0 (not asked for: its config_version is not its peers')",
                4,
            ),
            &[
                "config_version is 7 here",
                "config apply FILE --this-node-only",
            ],
        ),
        (
            "config-version-behind",
            edit(base(), |s| {
                s.cluster.as_mut().unwrap().members[2].config_version = Some(ConfigVersion(9));
            }),
            &[
                "n3 has the newer config_version 9",
                "clusmgr holds config_version 7",
            ],
        ),
        (
            "drift",
            edit(base(), |s| s.config.drift = true).degraded("drift"),
            &[
                "corosync.conf",
                "the detail of drift",
                "config adopt",
                "config revert",
            ],
        ),
        (
            "key-drift",
            edit(base(), |s| s.key.drift = true),
            &["/etc/corosync/authkey", "ab12cd34", "key fingerprint"],
        ),
        (
            "not-quorate",
            two_gone(),
            &[
                "no quorum: 1 of 2 votes needed; n2 and n3 missing",
                "n2 left the cluster; all its 2 links are down",
                "n3 was not seen since the start of corosync",
            ],
        ),
        (
            "not-quorate",
            edit(healthy(2, 1).without(2, MemberState::Missing), |s| {
                let c = s.cluster.as_mut().unwrap();
                c.flags = vec!["2node".to_owned(), "wait-for-all".to_owned()];
                (c.quorum, c.quorate) = (1, false);
            }),
            &[
                "no quorum yet: wait_for_all",
                "not seen since the start of corosync: n2",
                "start the nodes that were not seen yet",
            ],
        ),
        (
            "link-down",
            edit(base(), |s| {
                let l = link(s, 1);
                (l.connected, l.down_count) = (false, 4);
            }),
            &[
                "link 1 to n3 down; another link still works",
                "it went down 4 times",
            ],
        ),
        (
            "no-link",
            base().without(3, MemberState::Left),
            &[
                "n3: no member, and no link works",
                "n3 left the cluster; all its 2 links are down",
            ],
        ),
        (
            "no-link",
            edit(base(), |s| {
                link(s, 0).connected = false;
                link(s, 1).connected = false;
            }),
            &["no link to n3 works any more", "link 0 to n3 is down"],
        ),
        (
            "node-missing",
            edit(base().without(3, MemberState::Left), |s| s.links.clear()),
            &["n3: not in the cluster"],
        ),
        (
            "connected-but-no-member",
            edit(base().without(3, MemberState::Missing), |s| {
                link(s, 1).connected = true;
            }),
            &[
                "n3: connected, but no member",
                "1 of its 2 links connected",
                "key fingerprint",
            ],
        ),
        (
            "flapping",
            edit(base(), |s| {
                let l = link(s, 0);
                (l.connected, l.flapping, l.down_count) = (false, true, 40);
            })
            .degraded("link-flapping"),
            &[
                "link 0 to n3",
                "it went down 40 times",
                "the detail of link-flapping",
            ],
        ),
        (
            "starting",
            edit(base(), |s| s.service.state = ServiceState::Starting),
            &["corosync is starting", "status --wait"],
        ),
        (
            "starting",
            edit(base(), |s| s.cluster = None),
            &["has not told about the cluster yet"],
        ),
        (
            "two-corosyncs",
            edit(
                base().died(
                    "exit 18 (already running): pid 5 holds /run/corosync.pid",
                    0,
                ),
                |s| {
                    exit(s).code = Some(18);
                },
            ),
            &["pid 5 holds"],
        ),
        (
            "pid-file-held",
            edit(
                base().died(
                    "exit 18 (already running): pid 5; it is not a corosync of this node: end it",
                    0,
                ),
                |s| exit(s).code = Some(18),
            ),
            &["pid 5", "--corosync-pid"],
        ),
        (
            "peer-config",
            base()
                .peer(2, &["config-version"])
                .peer(3, &["config"])
                .degraded("peer-config"),
            &[
                "the detail of peer-config",
                "n2 holds config_version 9, this node 7",
                "n3 holds the same config_version with the hash eeeeeeeeeeee, this node 0123456789ab",
                "config apply FILE --this-node-only",
            ],
        ),
        (
            "peer-key",
            base().peer(2, &["key"]).peer(3, &[]).degraded("peer-key"),
            &[
                "the detail of peer-key",
                "n2 has the key ee99, this node ab12cd34",
                "key fingerprint",
            ],
        ),
        (
            "peer-identity",
            base()
                .peer(2, &["identity"])
                .peer(3, &[])
                .degraded("peer-identity"),
            &[
                "the detail of peer-identity",
                "n2 does not answer at its own addresses",
                "/etc/hosts",
            ],
        ),
        (
            "peer-key",
            edit(
                base()
                    .without(3, MemberState::Missing)
                    .peer(2, &[])
                    .peer(3, &["key"])
                    .degraded("peer-key"),
                |s| {
                    s.peers[1].unreachable = Some(Unreachable::WrongKey);
                    link(s, 0).connected = true;
                },
            ),
            &["n3 has another key than this node (its clusmgr: wrong-key)"],
        ),
        (
            "config-version-behind",
            base()
                .died(
                    "exit 0 (not asked for: its config_version is not its peers')",
                    4,
                )
                .peer(2, &["config-version"])
                .degraded("peer-config"),
            &["n2 holds config_version 9, this node 7"],
        ),
        (
            "not-quorate",
            edit(two_gone().peer(2, &[]).peer(3, &[]), |s| {
                for p in &mut s.peers {
                    p.unreachable = Some(Unreachable::TimedOut);
                }
            }),
            &[
                "no other node is heard on any link, and no other clusmgr answers",
                "look at this node's own network first",
            ],
        ),
        (
            "healthy",
            base(),
            &["3 of 3 nodes are members", "all 4 links connected"],
        ),
        ("healthy", healthy(1, 0), &["1 of 1 nodes"]),
    ];
    for reason in REASONS {
        all.push((code_of(reason), base().degraded(reason), &["the detail of"]));
    }
    all
}
