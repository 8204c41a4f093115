//! The lab for tests: real nodes, real corosync, through `scripts/lab`.
//!
//! A test that needs waiting polls with a deadline ([`until`]); what it needs and cannot get is a
//! failure that says so, never a skip.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Long enough for anything on a loaded machine.
pub const LONG: Duration = Duration::from_secs(60);

/// Polls until `probe` gives something; fails with `what` at the deadline.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        pause(Duration::from_millis(50));
    }
}

/// The step of a poll.
pub fn pause(step: Duration) {
    std::thread::park_timeout(step);
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(o: &Output) -> Ran {
        Ran {
            code: o.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&o.stdout).into_owned(),
            err: String::from_utf8_lossy(&o.stderr).into_owned(),
        }
    }

    /// Standard output of what must succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// A lab of its own for one test; goes down when dropped.
#[derive(Debug)]
pub struct Lab {
    pub dir: PathBuf,
}

impl Lab {
    /// Nodes n1 … nN, each with a clusmgr that was given these flags; `what` are the words of
    /// `scripts/lab up`, as `"3"` or `"1 --empty"` or `"1 --no-clusmgr"`.
    #[track_caller]
    pub fn up(name: &str, what: &str, flags: &[&str]) -> Lab {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{name}"));
        let lab = Lab { dir };
        // What a killed run may have left.
        lab.verb(&["down"]).ok();
        let mut words: Vec<&str> = vec!["up"];
        words.extend(what.split_whitespace());
        if !flags.is_empty() {
            words.push("--");
            words.extend(flags);
        }
        lab.verb(&words).ok();
        lab
    }

    /// Runs `scripts/lab --dir DIR` with these words.
    pub fn verb(&self, words: &[&str]) -> Ran {
        let bin = Path::new(env!("CARGO_BIN_EXE_clusmgr")).parent().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab");
        let out = Command::new(script)
            .arg("--dir")
            .arg(&self.dir)
            .args(words)
            .env("CLUSMGR_BIN_DIR", bin)
            .env("LAB_MAX_SECS", "900")
            .stdin(Stdio::null())
            .output()
            .expect("scripts/lab can be run");
        Ran::of(&out)
    }

    pub fn node(&self, k: u32) -> Node<'_> {
        Node {
            lab: self,
            name: format!("n{k}"),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.verb(&["status"]).out);
            for k in 1..=16 {
                let Ok(text) =
                    std::fs::read_to_string(self.dir.join(format!("n{k}/run/clusmgr/log")))
                else {
                    continue;
                };
                eprintln!("--- log of n{k}\n{text}");
            }
            for k in 1..=16 {
                if self.dir.join(format!("n{k}")).exists() {
                    eprintln!("--- events of n{k}\n{}", self.node(k).ctl(&["events"]).out);
                }
            }
        }
        let down = self.verb(&["down"]);
        if !std::thread::panicking() {
            assert_eq!(down.code, 0, "{down:?}");
        }
    }
}

/// One node of a lab.
#[derive(Debug, Clone)]
pub struct Node<'l> {
    pub lab: &'l Lab,
    pub name: String,
}

impl Node<'_> {
    /// Runs a program in the node.
    pub fn run(&self, words: &[&str]) -> Ran {
        let mut all = vec!["exec", &self.name];
        all.extend(words);
        self.lab.verb(&all)
    }

    /// Runs a few lines of shell in the node.
    pub fn sh(&self, script: &str) -> Ran {
        self.run(&["bash", "-c", script])
    }

    pub fn ctl(&self, words: &[&str]) -> Ran {
        let mut all = vec!["clusmgrctl"];
        all.extend(words);
        self.run(&all)
    }

    /// A file of the node as it is seen from outside; `path` as in the node.
    pub fn file(&self, path: &str) -> PathBuf {
        let root = self.lab.dir.join(&self.name);
        for (inside, outside) in [
            ("/etc/corosync", "etc-corosync"),
            ("/etc/clusmgr", "etc-clusmgr"),
            ("/run", "run"),
            ("/var/lib", "var-lib"),
            ("/var/log", "var-log"),
            ("/tmp", "tmp"),
        ] {
            if let Some(rest) = path.strip_prefix(inside) {
                return root.join(outside).join(rest.trim_start_matches('/'));
            }
        }
        panic!("{path} cannot be seen from outside");
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        let ran = self.ctl(&["status", "--json"]);
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
    }

    /// Waits until the status is as wanted, and gives it.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let deadline = Instant::now() + LONG;
        loop {
            let ran = self.ctl(&["status", "--json"]);
            if let Ok(status) = serde_json::from_str::<Value>(&ran.out) {
                if wanted(&status) {
                    return status;
                }
                last = status;
            }
            assert!(
                Instant::now() < deadline,
                "{}: not within {LONG:?}: {what}\n{last:#}",
                self.name
            );
            pause(Duration::from_millis(50));
        }
    }

    /// Waits for a service state.
    #[track_caller]
    pub fn wait_state(&self, state: &str) -> Value {
        self.wait(state, |s| s["service"]["state"] == state)
    }

    /// All events so far.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let out = self.ctl(&["events", "--since", "0", "--json"]).ok();
        out.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    /// The events of one kind so far.
    #[track_caller]
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events()
            .into_iter()
            .filter(|e| e["kind"] == kind)
            .collect()
    }

    /// The pid of the node's corosync, from its status.
    #[track_caller]
    pub fn pid(&self) -> i64 {
        let status = self.status();
        status["service"]["pid"]
            .as_i64()
            .unwrap_or_else(|| panic!("no corosync runs: {status:#}"))
    }

    /// Sends a signal to a process of the node.
    #[track_caller]
    pub fn kill(&self, signal: &str, pid: i64) {
        self.run(&["kill", &format!("-{signal}"), &pid.to_string()])
            .ok();
    }

    /// The pid of the node's clusmgr.
    #[track_caller]
    pub fn daemon_pid(&self) -> i64 {
        let text = std::fs::read_to_string(self.file("/run/clusmgr/clusmgr.pid")).unwrap();
        text.trim().parse().unwrap()
    }

    /// Ends clusmgr by a signal and waits until it is gone.
    #[track_caller]
    pub fn end_daemon(&self, signal: &str) {
        let pid = self.daemon_pid();
        self.kill(signal, pid);
        self.wait_gone(pid);
    }

    /// Waits until a process of the node has ended.
    #[track_caller]
    pub fn wait_gone(&self, pid: i64) {
        let probe = format!("! grep -qs '^State:.[^ZX]' /proc/{pid}/status");
        until(&format!("pid {pid} ends"), LONG, || {
            (self.sh(&probe).code == 0).then_some(())
        });
    }

    /// Whether a process of the node lives.
    pub fn lives(&self, pid: i64) -> bool {
        self.sh(&format!("grep -qs '^State:.[^ZX]' /proc/{pid}/status"))
            .code
            == 0
    }

    /// Starts clusmgr in the node as its init would; it returns when it serves.
    #[track_caller]
    pub fn start_daemon(&self, flags: &[&str]) {
        let mut words = vec!["clusmgr"];
        words.extend(flags);
        self.run(&words).ok();
    }

    /// Waits until corosync itself says that the node is in a quorate ring of so many.
    #[track_caller]
    pub fn wait_ring(&self, nodes: u32) {
        let wanted = format!("Nodes:            {nodes}");
        until(
            &format!("{} in a quorate ring of {nodes}", self.name),
            LONG,
            || {
                let ran = self.run(&["corosync-quorumtool", "-s"]);
                (ran.out.contains(&wanted) && ran.out.contains("Quorate:          Yes"))
                    .then_some(())
            },
        );
    }

    /// Rewrites the node's corosync.conf.
    #[track_caller]
    pub fn edit_conf(&self, edit: impl Fn(&str) -> String) {
        let path = self.file("/etc/corosync/corosync.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, edit(&text)).unwrap();
    }
}
