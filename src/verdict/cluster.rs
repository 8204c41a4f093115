//! What a running corosync sees of the cluster: who is missing, and which links do not work.

use super::{Findings, Verdict, lines, remedy};
use crate::event::Severity;
use crate::types::{NodeId, WallMs};
use crate::wire::{ClusterStatus, DegradedItem, LinkStatus, MemberState, MemberStatus};

/// For so long, in milliseconds, a link may look alive after its node has left: knet's ping time-out is
/// half of the token time-out, and one ping's interval comes on top.
const LINK_OUTLIVES: u64 = 10_000;

impl Findings<'_> {
    pub(super) fn cluster(&mut self) {
        let Some(cluster) = self.status.cluster.as_ref().filter(|_| self.running()) else {
            return;
        };
        if !cluster.quorate {
            self.not_quorate(cluster);
        }
        self.absent(cluster);
        self.links(cluster);
        self.behind(cluster);
    }

    fn links_to(&self, node: NodeId) -> Vec<&LinkStatus> {
        let links = self.status.links.iter();
        links.filter(|l| l.nodeid == node).collect()
    }

    /// How the links to a node do, in a few words; none where there are none.
    fn reach(&self, node: NodeId) -> Option<String> {
        let links = self.links_to(node);
        let up = links.iter().filter(|l| l.connected).count();
        match (up, links.len()) {
            (_, 0) => None,
            (0, 1) => Some("its link is down".to_owned()),
            (1, 1) => Some("its link is connected".to_owned()),
            (0, n) => Some(format!("all its {n} links are down")),
            (up, n) => Some(format!("{up} of its {n} links connected")),
        }
    }

    fn not_quorate(&mut self, cluster: &ClusterStatus) {
        let absent: Vec<&MemberStatus> = absent(cluster).collect();
        let names = names(absent.iter().map(|m| m.label()));
        let (total, quorum) = (cluster.total_votes, cluster.quorum);
        let mut summary = format!("no quorum: {total} of {quorum} votes needed");
        // votequorum has the votes, and waits all the same: for those it has never seen.
        let unseen = |m: &&&MemberStatus| m.state == MemberState::Missing;
        let waits =
            cluster.flags.iter().any(|f| f == "wait-for-all") && absent.iter().any(|m| unseen(&m));
        if waits && total >= quorum {
            summary = format!("no quorum yet: wait_for_all, and {total} votes are there");
        }
        if !absent.is_empty() {
            summary = format!("{summary}; {names} missing");
        }
        let mut verdict = Verdict::new("not-quorate", Severity::Crit, summary);
        verdict.evidence.push(format!(
            "{} of {} nodes are members, with {total} of {} votes; {quorum} are needed",
            cluster.present(),
            cluster.members.len(),
            cluster.expected_votes
        ));
        let own = cluster.config_version;
        for m in &absent {
            let mut line = format!("{} {}", m.label(), absence(m));
            if let Some(reach) = self.reach(m.nodeid) {
                line = format!("{line}; {reach}");
            }
            if let Some(theirs) = m.config_version.filter(|v| own.is_some_and(|own| *v < own)) {
                line = format!("{line}; it last ran with the older config_version {theirs}");
            }
            verdict.evidence.push(line);
            verdict.evidence.extend(self.known_to_differ(m.nodeid));
        }
        if waits {
            let unseen = self::names(absent.iter().filter(unseen).map(|m| m.label()));
            verdict.evidence.push(format!(
                "wait_for_all: a node that has just started has no quorum before it saw every \
                 other once; not seen since the start of corosync: {unseen}"
            ));
        }
        if waits && total >= quorum {
            let mut first = lines(remedy("no-quorum-yet"));
            first.append(&mut verdict.what_to_do);
            verdict.what_to_do = first;
        }
        if self.hears_nobody() {
            verdict.evidence.push(
                "no other node is heard on any link, and no other clusmgr answers: it may be this \
                 node's own network"
                    .to_owned(),
            );
            let mut first = lines(remedy("own-network"));
            first.append(&mut verdict.what_to_do);
            verdict.what_to_do = first;
        }
        self.add(verdict);
    }

    /// Nodes that are no members: why, as far as the links tell.
    fn absent(&mut self, cluster: &ClusterStatus) {
        let (mut heard, mut silent, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for m in absent(cluster) {
            let links = self.links_to(m.nodeid);
            let up = links.iter().any(|l| l.connected);
            if up && !self.just_left(m) {
                heard.push(m);
            } else if up || links.is_empty() {
                unknown.push(m);
            } else {
                silent.push(m);
            }
        }
        let told = |m: &&MemberStatus| {
            let reach = self
                .reach(m.nodeid)
                .map_or(String::new(), |r| format!("; {r}"));
            format!("{} {}{reach}", m.label(), absence(m))
        };
        let add = |code: &str, who: &[&MemberStatus], end: &str| {
            let names = names(who.iter().map(|m| m.label()));
            Verdict::new(code, Severity::Warning, format!("{names}: {end}"))
                .because(who.iter().map(told))
                .because(who.iter().filter_map(|m| self.known_to_differ(m.nodeid)))
        };
        let mut found = Vec::new();
        if !heard.is_empty() {
            let end = "connected, but no member: just starting, or its corosync hangs or has another \
                       configuration";
            found.push(add("connected-but-no-member", &heard, end));
        }
        // Without quorum these are the missing ones, and said already.
        if cluster.quorate && !silent.is_empty() {
            let end = "no member, and no link works: it is off, stopped, or cut off";
            found.push(add("no-link", &silent, end));
        }
        if cluster.quorate && !unknown.is_empty() {
            found.push(add("node-missing", &unknown, "not in the cluster"));
        }
        self.verdicts.extend(found);
    }

    /// It leaves, or did so a moment ago: its links look alive until knet misses its answers.
    fn just_left(&self, m: &MemberStatus) -> bool {
        let gone = |at: WallMs| self.now.0.saturating_sub(at.0) < LINK_OUTLIVES;
        match m.state {
            MemberState::Leaving => true,
            MemberState::Left => m.left_at.is_some_and(gone),
            MemberState::Member | MemberState::Missing => false,
        }
    }

    fn links(&mut self, cluster: &ClusterStatus) {
        let member = |l: &LinkStatus| cluster.absent().all(|m| m.nodeid != l.nodeid);
        let all = &self.status.links;
        let flapping: Vec<&LinkStatus> = all.iter().filter(|l| l.flapping).collect();
        // To a node that is no member, a link that is down is no news.
        let down: Vec<&LinkStatus> = all
            .iter()
            .filter(|l| !l.connected && !l.flapping && member(l))
            .collect();
        let cut = |l: &&LinkStatus| self.links_to(l.nodeid).iter().all(|l| !l.connected);
        let (none, some): (Vec<&LinkStatus>, Vec<&LinkStatus>) = down.into_iter().partition(cut);
        let told = |l: &&LinkStatus| {
            let state = if l.connected { "connected" } else { "down" };
            let times = match l.down_count {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            };
            format!("{} is {state}; it went down {times}", l.label())
        };
        let mut found = Vec::new();
        if !none.is_empty() && !self.has("no-link") {
            let who = names(unique(none.iter().map(|l| l.node_label())));
            let summary = format!("no link to {who} works any more");
            found.push(
                Verdict::new("no-link", Severity::Err, summary).because(none.iter().map(told)),
            );
        }
        if !some.is_empty() {
            let who = names(self.together(&some));
            let summary = format!("{who} down; another link still works");
            let verdict = Verdict::new("link-down", Severity::Warning, summary);
            found.push(verdict.because(some.iter().map(told)));
        }
        if !flapping.is_empty() {
            let who = names(flapping.iter().map(|l| l.label()));
            let summary = format!("{who} goes down and up again and again");
            let verdict = Verdict::new("flapping", Severity::Warning, summary);
            found.push(verdict.because(flapping.iter().map(told)));
        }
        self.verdicts.extend(found);
    }

    /// Links by their names; those of a network that is down to every node that can be reached, as
    /// one.
    fn together(&self, down: &[&LinkStatus]) -> Vec<String> {
        let up = self.status.links.iter().filter(|l| l.connected);
        let reached = unique(up.map(LinkStatus::node_label)).len();
        let all =
            |number: u8| reached > 1 && down.iter().filter(|l| l.link == number).count() == reached;
        let mut whole: Vec<u8> = down.iter().map(|l| l.link).filter(|n| all(*n)).collect();
        whole.sort_unstable();
        whole.dedup();
        let whole = whole.into_iter().map(|n| format!("link {n} to every node"));
        let single = down.iter().filter(|l| !all(l.link)).map(|l| l.label());
        whole.chain(single).collect()
    }

    /// A peer runs with a newer configuration than this node, or than its file.
    fn behind(&mut self, cluster: &ClusterStatus) {
        let config = &self.status.config;
        let running = cluster.config_version;
        let newest = cluster
            .members
            .iter()
            .filter_map(|m| Some((m.config_version?, m)))
            .filter(|(_, m)| !m.local)
            .max_by_key(|(v, _)| *v);
        let Some((version, who)) = newest else {
            return;
        };
        let older = |own: Option<_>| own.is_some_and(|own| own < version);
        // In a reload of the whole cluster one node is always first: what runs counts once the daemon
        // has seen it last. What clusmgr holds is not what the next start uses if there is drift.
        let to_start = if config.drift {
            config.file_version
        } else {
            config.version
        };
        let told = |d: &DegradedItem| d.reason == "config-version-behind";
        let behind = match older(running) {
            true => self.status.degraded.iter().any(told),
            false => older(to_start),
        };
        if !behind {
            return;
        }
        let mut verdict = Verdict::new(
            "config-version-behind",
            Severity::Warning,
            format!("{} has the newer config_version {version}", who.label()),
        );
        if let Some(v) = running {
            let line = format!("corosync runs with config_version {v} here");
            verdict.evidence.push(line);
        }
        if let Some(v) = config.version {
            let line = format!("clusmgr holds config_version {v}");
            verdict.evidence.push(line);
        }
        if let Some(v) = config.file_version {
            let line = format!("{} has config_version {v}", config.path);
            verdict.evidence.push(line);
        }
        self.add(verdict);
    }

    pub(super) fn healthy(&self) -> Verdict {
        let mut verdict = Verdict::new(
            "healthy",
            Severity::Info,
            "healthy: a member of a quorate cluster",
        );
        verdict.what_to_do.clear();
        if let Some(c) = &self.status.cluster {
            let (total, all, quorum) = (c.total_votes, c.expected_votes, c.quorum);
            let votes = match c.votes_count() {
                true => format!("with {total} of {all} votes; {quorum} are needed"),
                false => "and without a quorum provider each is quorate, also alone".to_owned(),
            };
            let (present, nodes) = (c.present(), c.members.len());
            let line = format!("{present} of {nodes} nodes are members, {votes}");
            verdict.evidence.push(line);
        }
        match self.status.links.len() {
            0 => {}
            1 => verdict.evidence.push("its link is connected".to_owned()),
            n => verdict.evidence.push(format!("all {n} links connected")),
        }
        verdict
    }
}

/// The other nodes that are no members. This node is one of its own ring, whatever else is said.
fn absent(cluster: &ClusterStatus) -> impl Iterator<Item = &MemberStatus> {
    cluster.absent().filter(|m| !m.local)
}

/// Why somebody is no member.
fn absence(m: &MemberStatus) -> &'static str {
    match m.state {
        MemberState::Member => "is a member",
        MemberState::Leaving => "leaves",
        MemberState::Left => "left the cluster",
        MemberState::Missing => "was not seen since the start of corosync",
    }
}

/// `a, b and c`; of many, the first few.
fn names(all: impl IntoIterator<Item = String>) -> String {
    const MOST: usize = 6;
    let mut all: Vec<String> = all.into_iter().collect();
    if all.len() > MOST {
        let rest = all.len() - MOST + 1;
        all.truncate(MOST - 1);
        all.push(format!("{rest} more"));
    }
    match all.pop() {
        None => "nobody".to_owned(),
        Some(last) if all.is_empty() => last,
        Some(last) => format!("{} and {last}", all.join(", ")),
    }
}

fn unique(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = all.collect();
    all.dedup();
    all
}
