//! `why --all`: the first verdict of each node, root causes first.

use super::{Node, ask, list, with};
use crate::ctl::client::Result;
use crate::ctl::commands::Cli;
use crate::ctl::output::{Out, View};
use crate::ctl::text::wrap;
use crate::ctl::why::lines;
use crate::event::Severity;
use crate::verdict::{Report, UNREACHABLE, Verdict, rank};
use crate::wire::{Request, Unreachable};
use serde::Serialize;
use serde_json::json;

pub(super) fn run(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    let (value, nodes) = ask::<Report>(cli, Request::Why)?;
    let groups = groups(&nodes);
    let ok = groups.iter().all(|g| g.verdict.code == "healthy");
    if json {
        let concluded = json!({"ok": ok, "verdicts": groups});
        out.json(&with(value, concluded))?;
    } else {
        out.print(&words(&groups, &out.view(false)))?;
    }
    Ok(u8::from(!ok))
}

/// A verdict, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Group {
    nodes: Vec<String>,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Nodes that say the same are one group; roots come before symptoms.
fn groups(nodes: &[Node<Report>]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for node in nodes {
        let verdict = match &node.said {
            Ok(report) => report.verdicts.first().cloned(),
            Err(silent) => Some(Verdict {
                code: UNREACHABLE.to_owned(),
                severity: Severity::Err,
                summary: silent.words.clone(),
                evidence: Vec::new(),
                what_to_do: what_to_do(silent.reason),
            }),
        };
        let Some(verdict) = verdict else {
            continue;
        };
        let same =
            |g: &&mut Group| g.verdict.code == verdict.code && g.verdict.summary == verdict.summary;
        match groups.iter_mut().find(same) {
            Some(group) => group.nodes.push(node.name.clone()),
            None => groups.push(Group {
                nodes: vec![node.name.clone()],
                verdict,
            }),
        }
    }
    groups.sort_by_key(|g| (rank(&g.verdict.code), std::cmp::Reverse(g.nodes.len())));
    groups
}

/// What helps where a node does not answer.
fn what_to_do(why: Option<Unreachable>) -> Vec<String> {
    let all: &[&str] = match why {
        Some(Unreachable::Refused) => &["log in there and start clusmgr"],
        Some(Unreachable::TimedOut) => &[
            "see that it has power and that the network to it works: clusmgrctl link matrix",
            "see that its firewall lets TCP port 5407 in",
        ],
        Some(Unreachable::WrongKey) => &[
            "compare clusmgrctl key fingerprint on both nodes, and give the odd one the others' authkey",
        ],
        Some(Unreachable::OtherProtocol) => &["install the same clusmgr on all nodes"],
        Some(Unreachable::NoKey) => &["give this node the others' authkey"],
        Some(Unreachable::NoAddress) => {
            &["see that the addresses in its node section can be resolved and used here"]
        }
        Some(Unreachable::WrongNode) => &[
            "look at its addresses in corosync.conf, and at its names in /etc/hosts and in DNS",
            "see who has these addresses now: ip addr on both nodes",
        ],
        Some(Unreachable::Busy) => &["ask again in a few seconds"],
        Some(Unreachable::Failed) | None => &["log in there and see clusmgrctl why"],
    };
    all.iter().map(|&l| l.to_owned()).collect()
}

fn words(groups: &[Group], view: &View) -> String {
    let mut text = String::new();
    for group in groups {
        if !text.is_empty() {
            text.push('\n');
        }
        for line in wrap(&format!("On {}:", list(&group.nodes)), view.width) {
            text.push_str(&line);
            text.push('\n');
        }
        for line in lines(&group.verdict, view) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{cluster, silent, view};
    use super::*;
    use crate::types::WallMs;
    use crate::verdict::judge_at;
    use crate::wire::sample::NOW;
    use crate::wire::{MemberState, Reason, Status};

    fn judged(nodes: Vec<Node<Status>>) -> Vec<Node<Report>> {
        let one = |n: Node<Status>| Node {
            name: n.name,
            nodeid: n.nodeid,
            local: n.local,
            said: n.said.map(|s| judge_at(&s, WallMs(NOW))),
        };
        nodes.into_iter().map(one).collect()
    }

    #[test]
    fn the_root_comes_first_and_those_who_see_it_are_one_group() {
        let mut nodes = cluster(4, 1);
        for n in [0, 1] {
            let status = nodes[n].said.as_ref().unwrap().clone();
            nodes[n].said = Ok(status.without(3, MemberState::Left));
        }
        let held = nodes[2].said.as_ref().unwrap().clone();
        nodes[2].said = Ok(held.standalone(Reason::Held));
        silent(&mut nodes[3], Unreachable::Refused);
        let groups = groups(&judged(nodes));
        let codes: Vec<(&str, String)> = groups
            .iter()
            .map(|g| (g.verdict.code.as_str(), list(&g.nodes)))
            .collect();
        assert_eq!(
            codes,
            [
                ("held", "n3".to_owned()),
                ("unreachable", "n4".to_owned()),
                ("no-link", "n1 and n2".to_owned()),
            ]
        );
        let text = words(&groups, &view(80, false));
        assert!(text.starts_with("On n3:\nheld: "), "{text}");
        assert!(
            text.contains("\n\nOn n4:\nunreachable: refused: the machine is there"),
            "{text}"
        );
        assert!(text.contains("\n\nOn n1 and n2:\nno-link: n3: "), "{text}");
    }

    #[test]
    fn nodes_that_all_do_well_are_one_group() {
        let groups = groups(&judged(cluster(3, 2)));
        assert_eq!(groups.len(), 1);
        let text = words(&groups, &view(80, false));
        assert!(
            text.starts_with("On n1, n2 and n3:\nhealthy: a member of a quorate cluster\n"),
            "{text}"
        );
    }
}
