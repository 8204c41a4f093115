//! `restart --all`: one node at a time, each a quorate member again before the next.

mod plan;

use super::all::{self, Node};
use super::client::{Client, Result};
use super::commands::Cli;
use super::output::{Out, even_unread};
use super::{complain, connect};
use crate::error::Error;
use crate::types::{Pid, WallMs};
use crate::wire::{MemberState, Request, Status};
use plan::{Step, plan};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Between two looks at the cluster while a node comes back.
const LOOK: Duration = Duration::from_millis(500);

/// Restarts every node; gives the exit code.
pub(super) fn run(cli: &Cli, out: &Out, wait: Duration, dry_run: bool, json: bool) -> Result<u8> {
    let (_, nodes) = all::ask::<Status>(cli, Request::Status)?;
    let steps = match plan(&nodes) {
        Ok(steps) => steps,
        Err(against) => return refuse(out, &against, json),
    };
    if dry_run {
        if json {
            out.json(&json!({"steps": steps, "refused": [], "restarted": []}))?;
        } else {
            out.print(&words(&steps))?;
        }
        return Ok(0);
    }
    let mut done: Vec<&str> = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        // A cluster is not left half restarted because nobody reads how far it is.
        let say = |text: &str| match json {
            true => Ok(()),
            false => even_unread(out.print(text)),
        };
        say(&format!("{}: restarting … ", step.node))?;
        let began = Instant::now();
        if let Err(e) = turn(cli, step, wait) {
            say("failed\n")?;
            let (code, cause) = (e.kind().exit_code(), e.to_string());
            let left: Vec<&str> = steps[n + 1..].iter().map(|s| s.node.as_str()).collect();
            if json {
                let stopped = json!({"node": step.node, "cause": cause});
                even_unread(out.json(&report(&steps, &done, &stopped)))?;
            }
            complain(&last_words(step, &cause, &done, &left));
            return Ok(code);
        }
        let took = began.elapsed().as_secs_f64();
        say(&format!("a quorate member again after {took:.1} s\n"))?;
        done.push(&step.node);
    }
    if json {
        even_unread(out.json(&report(&steps, &done, &Value::Null)))?;
    }
    Ok(0)
}

fn report(steps: &[Step], done: &[&str], stopped: &Value) -> Value {
    json!({"steps": steps, "refused": [], "restarted": done, "stopped": stopped})
}

fn refuse(out: &Out, against: &[String], json: bool) -> Result<u8> {
    if json {
        even_unread(out.json(&json!({"steps": [], "refused": against, "restarted": []})))?;
    }
    for line in against {
        complain(&format!("restart all nodes: refused: {line}"));
    }
    Ok(1)
}

fn words(steps: &[Step]) -> String {
    let mut text = String::from("One node after the other would be restarted:\n");
    for (n, s) in steps.iter().enumerate() {
        text.push_str(&format!(
            "{:>3}  {}: {} of {} votes stay, {} needed, margin {}\n",
            n + 1,
            s.node,
            s.left,
            s.left + s.votes,
            s.quorum,
            s.margin()
        ));
    }
    text
}

/// Where it stopped, and how far it got.
fn last_words(step: &Step, cause: &str, done: &[&str], left: &[&str]) -> String {
    let node = &step.node;
    let mut text = format!("restart all nodes: stopped at {node}: {cause}");
    if !done.is_empty() {
        text.push_str(&format!("; restarted before it: {}", all::list(done)));
    }
    if !left.is_empty() {
        text.push_str(&format!("; not touched: {}", all::list(left)));
    }
    text.push_str(&match &step.ask {
        Some(ask) => format!("; see clusmgrctl why --node {ask}"),
        None => "; see clusmgrctl why".to_owned(),
    });
    text
}

/// Which run of corosync it is.
type Run = (Option<Pid>, WallMs);

fn run_of(status: &Status) -> Run {
    (status.service.pid, status.service.since)
}

/// Restarts one node and waits until the cluster is whole again.
fn turn(cli: &Cli, step: &Step, wait: Duration) -> Result<()> {
    let deadline = Instant::now() + wait;
    // Between two nodes another one may have gone.
    let (_, nodes) = all::ask::<Status>(cli, Request::Status)?;
    if let Err(against) = plan(&nodes) {
        let cause = against.join("; ");
        return Err(Error::new("restart", &step.node, format!("not now: {cause}")).into());
    }
    let before = find(&nodes, step).map(run_of);
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    // Another round may be under way: the node looks for itself whether it may go.
    let rolling = true;
    client(cli, step)?.call(Request::Restart { rolling, wait_ms }, wait)?;
    loop {
        let (_, nodes) = all::ask::<Status>(cli, Request::Status)?;
        let Some(missing) = missing(&nodes, step, before) else {
            return Ok(());
        };
        // It will not come back by waiting.
        let status = find(&nodes, step);
        let reason = status.and_then(|s| s.mode_reason);
        if let Some(reason) = reason {
            let cause = format!("it is STANDALONE now, {}", reason.as_str());
            return Err(Error::new("restart", &step.node, cause).into());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let cause = format!("after {} s {missing}", wait.as_secs_f64());
            return Err(Error::new("restart", &step.node, cause).into());
        }
        std::thread::sleep(left.min(LOOK));
    }
}

fn client(cli: &Cli, step: &Step) -> Result<Client> {
    let client = connect(cli)?;
    match &step.ask {
        Some(node) => client.of(node),
        None => Ok(client),
    }
}

fn find<'n>(nodes: &'n [Node<Status>], step: &Step) -> Option<&'n Status> {
    let node = nodes.iter().find(|n| n.name == step.node)?;
    node.said.as_ref().ok()
}

/// What is still missing of a node that was restarted; none if all is well and the next may go.
fn missing(nodes: &[Node<Status>], step: &Step, before: Option<Run>) -> Option<String> {
    let name = &step.node;
    let Some(status) = find(nodes, step) else {
        return Some("it does not answer".to_owned());
    };
    // The old run may be told for a moment still.
    if before == Some(run_of(status)) {
        return Some("its corosync is still the one from before".to_owned());
    }
    if !status.is_quorate_member() {
        return Some("it is no quorate member".to_owned());
    }
    let here = nodes.iter().find(|n| n.local);
    let cluster = here.and_then(|n| n.said.as_ref().ok()?.cluster.as_ref());
    let sees = cluster.is_some_and(|c| {
        let id = status.node.nodeid;
        let mut members = c.members.iter().filter(|m| m.state == MemberState::Member);
        members.any(|m| Some(m.nodeid) == id)
    });
    if !sees {
        return Some("it is no member to this node".to_owned());
    }
    match plan(nodes) {
        Ok(_) => None,
        Err(against) => Some(format!("{name} is back, but {}", against.join("; "))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ctl::all::tests::{cluster, silent};
    use crate::wire::{ServiceState, Unreachable};

    #[test]
    fn a_node_is_back_when_a_new_run_of_it_is_a_member_to_all() {
        let mut nodes = cluster(3, 1);
        let steps = plan(&nodes).unwrap();
        let step = &steps[0];
        let before = Some(run_of(find(&nodes, step).unwrap()));
        let why = |nodes: &[Node<Status>]| missing(nodes, step, before);
        assert!(why(&nodes).unwrap().contains("the one from before"));
        nodes[1].said.as_mut().unwrap().service.pid = Some(Pid(777));
        assert_eq!(why(&nodes), None);
        nodes[1].said.as_mut().unwrap().service.state = ServiceState::Starting;
        assert!(why(&nodes).unwrap().contains("no quorate member"));
        nodes[1].said.as_mut().unwrap().service.state = ServiceState::Running;
        let here = nodes[0].said.as_ref().unwrap().clone();
        nodes[0].said = Ok(here.clone().without(2, MemberState::Left));
        assert!(why(&nodes).unwrap().contains("no member to this node"));
        nodes[0].said = Ok(here);
        silent(&mut nodes[2], Unreachable::Refused);
        assert!(
            why(&nodes)
                .unwrap()
                .contains("n2 is back, but n3 does not answer")
        );
        silent(&mut nodes[1], Unreachable::Refused);
        assert!(why(&nodes).unwrap().contains("does not answer"));
    }

    #[test]
    fn the_order_and_how_far_it_got_are_told() {
        let steps = plan(&cluster(3, 1)).unwrap();
        assert_eq!(
            words(&steps),
            "\
One node after the other would be restarted:
  1  n2: 2 of 3 votes stay, 2 needed, margin 0
  2  n3: 2 of 3 votes stay, 2 needed, margin 0
  3  n1: 2 of 3 votes stay, 2 needed, margin 0
"
        );
        assert_eq!(
            last_words(&steps[1], "it is off", &["n2"], &["n1"]),
            "restart all nodes: stopped at n3: it is off; restarted before it: n2; not touched: n1; \
             see clusmgrctl why --node n3"
        );
    }
}
