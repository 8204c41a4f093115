//! A status to begin a test with: a node that does well, among others that do.

#![allow(clippy::unwrap_used)]

use super::*;

/// The time at which it was asked for.
pub(crate) const NOW: u64 = 1_000_000_000;

/// Node 1 of so many, with so many links to each of the others; quorate, nothing wrong.
pub(crate) fn healthy(nodes: u32, links: u8) -> Status {
    let name = |id: u32| format!("n{id}");
    let members = (1..=nodes).map(|id| MemberStatus {
        nodeid: NodeId(id),
        name: name(id),
        votes: 1,
        state: MemberState::Member,
        local: id == 1,
        config_version: Some(ConfigVersion(7)),
        left_at: None,
    });
    let link = |id: u32, link: u8| LinkStatus {
        nodeid: NodeId(id),
        name: name(id),
        link,
        connected: true,
        mtu: 1397,
        latency_us: 250,
        down_count: 0,
        flapping: false,
        heard: None,
    };
    Status {
        schema: STATUS_SCHEMA,
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
            deaths: 0,
            last_exit: None,
            next_retry_ms: None,
            hold: false,
            hold_until_boot: false,
        },
        cluster: Some(ClusterStatus {
            name: "pair".to_owned(),
            config_version: Some(ConfigVersion(7)),
            quorate: true,
            ring_id: Some("1.2c".to_owned()),
            expected_votes: nodes,
            total_votes: nodes,
            quorum: nodes / 2 + 1,
            flags: Vec::new(),
            members: members.collect(),
        }),
        links: (2..=nodes)
            .flat_map(|id| (0..links).map(move |l| link(id, l)))
            .collect(),
        config: ConfigStatus {
            path: "/etc/corosync/corosync.conf".to_owned(),
            version: Some(ConfigVersion(7)),
            sha256: Some("0123456789abcdef".repeat(4)),
            drift: false,
            file_version: None,
        },
        key: KeyStatus {
            path: Some("/etc/corosync/authkey".to_owned()),
            fingerprint: Some("ab12cd34".to_owned()),
            drift: false,
        },
        peers: Vec::new(),
        degraded: Vec::new(),
        last_event: 42,
    }
}

impl Status {
    /// A node goes.
    pub(crate) fn without(mut self, id: u32, state: MemberState) -> Status {
        let cluster = self.cluster.as_mut().unwrap();
        let member = cluster.members.iter_mut().find(|m| m.nodeid == NodeId(id));
        member.unwrap().state = state;
        cluster.total_votes -= 1;
        cluster.quorate = cluster.total_votes >= cluster.quorum;
        for link in self.links.iter_mut().filter(|l| l.nodeid == NodeId(id)) {
            link.connected = false;
            link.down_count += 1;
        }
        self
    }

    /// A reason to call it degraded.
    pub(crate) fn degraded(mut self, reason: &str) -> Status {
        self.degraded.push(DegradedItem {
            reason: reason.to_owned(),
            since: WallMs(NOW - 60_000),
            detail: format!("the detail of {reason}"),
        });
        self
    }

    /// A peer as its clusmgr answered; it differs in these.
    pub(crate) fn peer(mut self, id: u32, differs: &[&str]) -> Status {
        let has = |what: &str| differs.contains(&what);
        self.peers.push(PeerStatus {
            name: format!("n{id}"),
            nodeid: Some(NodeId(id)),
            unreachable: None,
            address: Some(format!("10.0.0.{id}:5407")),
            seen: Some(WallMs(NOW - 3000)),
            config_version: Some(ConfigVersion(if has("config-version") { 9 } else { 7 })),
            sha256: Some(if has("config") { "ee" } else { "01" }.repeat(32)),
            fingerprint: Some(if has("key") { "ee99" } else { "ab12cd34" }.to_owned()),
            differs: differs.iter().map(|&d| d.to_owned()).collect(),
        });
        self
    }

    /// It does not run alone for nothing.
    pub(crate) fn standalone(mut self, reason: Reason) -> Status {
        self.mode = Mode::Standalone;
        self.mode_reason = Some(reason);
        self.mode_detail = Some(format!("the detail of {}", reason.as_str()));
        self.service.state = match reason {
            Reason::Unconfigured | Reason::Held => ServiceState::Stopped,
            _ => ServiceState::Failed,
        };
        self.service.hold = reason == Reason::Held;
        self.down()
    }

    /// corosync has died.
    pub(crate) fn died(mut self, cause: &str, restarts: u64) -> Status {
        self.service.state = ServiceState::Backoff;
        self.service.restarts = restarts;
        self.service.deaths = u32::try_from(restarts).unwrap() + 1;
        self.service.next_retry_ms = Some(4000);
        self.service.last_exit = Some(LastExit {
            cause: cause.to_owned(),
            code: None,
            signal: None,
            at: WallMs(NOW - 5000),
            ran_ms: 2500,
            hung: false,
            output: (1..=7).map(|n| format!("line {n}")).collect(),
        });
        self.down()
    }

    fn down(mut self) -> Status {
        self.service.pid = None;
        self.cluster = None;
        self.links.clear();
        self
    }
}
