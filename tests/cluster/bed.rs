//! What these tests share: a cluster that has formed, and a subscriber of its events.

use crate::common::{LONG, Lab, Node, until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

/// Nodes on so many links without clusmgr, whose corosync.conf is then edited; clusmgr starts with
/// these flags.
#[track_caller]
pub fn up_edited(
    name: &str,
    (nodes, links): (u32, u32),
    flags: &[&str],
    edit: impl Fn(&str) -> String,
) -> Lab {
    let lab = Lab::up(name, &format!("{nodes} --links {links} --no-clusmgr"), &[]);
    for k in 1..=nodes {
        lab.node(k).edit_conf(&edit);
        lab.node(k).start_daemon(flags);
    }
    lab
}

/// Another token time-out than the lab's. A long one is not lost, nor are the links, when this machine
/// has a lot to do.
pub fn token(ms: u64) -> impl Fn(&str) -> String {
    move |text: &str| {
        let edited = text.replace("token: 1000\n", &format!("token: {ms}\n"));
        assert_ne!(edited, text, "{text}");
        edited
    }
}

/// Waits until each of the first nodes is well, with all of them as members and all links up; gives
/// the pids of their corosyncs.
#[track_caller]
pub fn formed(lab: &Lab, nodes: u32) -> Vec<i64> {
    let one = |k| {
        let s = lab.node(k).wait("formed", |s| well(s, nodes as usize));
        s["service"]["pid"].as_i64().unwrap()
    };
    (1..=nodes).map(one).collect()
}

/// Whether a status is one of a quorate node with so many members, and links to each.
pub fn well(status: &Value, nodes: usize) -> bool {
    let links = status["links"].as_array();
    status["service"]["state"] == "running"
        && status["cluster"]["quorate"] == true
        && members(status).len() == nodes
        && links.is_some_and(|l| l.len() >= nodes - 1 && l.iter().all(|l| l["connected"] == true))
        && status["degraded"] == serde_json::json!([])
}

/// The nodes that a status calls members.
pub fn members(status: &Value) -> Vec<u64> {
    in_state(status, "member")
}

/// The nodes that a status has in a state.
pub fn in_state(status: &Value, state: &str) -> Vec<u64> {
    let all = status["cluster"]["members"].as_array();
    let all = all.map(Vec::as_slice).unwrap_or_default();
    let them = all.iter().filter(|m| m["state"] == state);
    them.map(|m| m["nodeid"].as_u64().unwrap()).collect()
}

/// The events after a number, but those of these kinds only.
#[track_caller]
pub fn of_kinds(node: &Node<'_>, seq: u64, kinds: &[&str]) -> Vec<Value> {
    let mut all = node.events();
    all.retain(|e| {
        e["seq"].as_u64().unwrap() > seq && kinds.contains(&e["kind"].as_str().unwrap())
    });
    all
}

/// Waits for the first event of a kind after a number that is as wanted.
#[track_caller]
pub fn wait_after(node: &Node<'_>, seq: u64, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(&format!("{}: {kind}", node.name), LONG, || {
        of_kinds(node, seq, &[kind]).into_iter().find(|e| wanted(e))
    })
}

/// No event of these kinds came after a number.
#[track_caller]
pub fn none_of(node: &Node<'_>, seq: u64, kinds: &[&str]) {
    let found = of_kinds(node, seq, kinds);
    assert!(found.is_empty(), "{}: {found:#?}", node.name);
}

/// A subscriber in a node: `clusmgrctl events -f --json`.
#[derive(Debug)]
pub struct Follower {
    child: Child,
    lines: Receiver<Value>,
}

impl Follower {
    /// Follows from the event after this one.
    #[track_caller]
    pub fn since(node: &Node<'_>, seq: u64) -> Follower {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab");
        let mut child = Command::new(script)
            .arg("--dir")
            .arg(&node.lab.dir)
            .args(["exec", &node.name, "clusmgrctl", "events", "-f", "--json"])
            .args(["--since", &seq.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else {
                    panic!("no event: {line}");
                };
                if to.send(event).is_err() {
                    break;
                }
            }
        });
        Follower { child, lines }
    }

    /// Reads on until an event is as wanted; gives all that came, the wanted one last.
    #[track_caller]
    pub fn until(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Vec<Value> {
        // What is told last takes a minute by itself.
        let deadline = Instant::now() + 2 * LONG;
        let mut all = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = self.lines.recv_timeout(left) else {
                panic!("not told: {what}; {all:#?}");
            };
            let done = wanted(&event);
            all.push(event);
            if done {
                return all;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kinds of some events, in order.
pub fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["kind"].as_str().unwrap()).collect()
}
