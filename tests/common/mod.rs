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
    pub fn of(o: &Output) -> Ran {
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

    /// How often the threads of the node's clusmgr went to sleep so far, of their own will.
    #[track_caller]
    pub fn wake_ups(&self) -> u64 {
        let pid = self.daemon_pid();
        // A thread that serves a client may end meanwhile.
        let all = self.sh(&format!("cat /proc/{pid}/task/*/status 2>/dev/null; true"));
        let all = all.ok();
        all.lines()
            .filter_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))
            .map(|n| n.trim().parse::<u64>().unwrap())
            .sum()
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

    /// Waits for the n-th event of a kind, and gives it.
    #[track_caller]
    pub fn wait_event(&self, kind: &str, n: usize) -> Value {
        let mut seen = Vec::new();
        let deadline = Instant::now() + LONG;
        loop {
            if self.ctl(&["events"]).code == 0 {
                seen = self.events_of(kind);
            }
            if seen.len() >= n {
                return seen.swap_remove(n - 1);
            }
            assert!(
                Instant::now() < deadline,
                "{}: {} events {kind} and not {n}",
                self.name,
                seen.len()
            );
            pause(Duration::from_millis(50));
        }
    }

    /// The kinds of all events after a number, in order.
    #[track_caller]
    pub fn kinds_after(&self, seq: u64) -> Vec<String> {
        self.events()
            .iter()
            .filter(|e| e["seq"].as_u64() > Some(seq))
            .map(|e| e["kind"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The number of the newest event.
    #[track_caller]
    pub fn latest(&self) -> u64 {
        self.status()["last_event"].as_u64().unwrap()
    }

    /// Waits until a corosync other than this one runs; gives its pid.
    #[track_caller]
    pub fn wait_other(&self, pid: i64) -> i64 {
        let s = self.wait("another corosync runs", |s| {
            s["service"]["state"] == "running" && s["service"]["pid"] != pid
        });
        s["service"]["pid"].as_i64().unwrap()
    }

    /// The state letter of a process of the node, as in `/proc/PID/stat`.
    pub fn letter(&self, pid: i64) -> String {
        let ran = self.sh(&format!("grep -s ^State: /proc/{pid}/status"));
        ran.out
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits for a state letter.
    #[track_caller]
    pub fn wait_letter(&self, pid: i64, letter: &str) {
        until(&format!("pid {pid} is in state {letter}"), LONG, || {
            (self.letter(pid) == letter).then_some(())
        });
    }

    /// The pids of every corosync that the node sees.
    pub fn corosyncs(&self) -> Vec<i64> {
        let ran = self.sh(
            "for d in /proc/[0-9]*; do read -r c 2>/dev/null <$d/comm && [[ $c == corosync ]] \
             && grep -qs '^State:.[^ZX]' $d/status && echo ${d#/proc/}; done; true",
        );
        ran.out.lines().map(|l| l.parse().unwrap()).collect()
    }

    /// Starts a program in the node that lives on by itself; gives its pid. What it prints goes to
    /// `/tmp/spawned.out`.
    #[track_caller]
    pub fn spawn(&self, command: &str) -> i64 {
        let script = format!("{command} </dev/null >>/tmp/spawned.out 2>&1 & echo $!");
        self.sh(&script).ok().trim().parse().unwrap()
    }

    /// A file of the node, whole.
    #[track_caller]
    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.file(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Puts a file in place in one step, as an editor does.
    #[track_caller]
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let to = self.file(path);
        let mut new = to.clone().into_os_string();
        new.push(".new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(&new, &to).unwrap();
    }

    /// Permissions of a file.
    #[track_caller]
    pub fn mode(&self, path: &str) -> u32 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(self.file(path)).unwrap().mode() & 0o7777
    }

    /// Which file it is, and when it was last written.
    #[track_caller]
    pub fn identity(&self, path: &str) -> (u64, i64, i64) {
        use std::os::unix::fs::MetadataExt;
        let m = std::fs::metadata(self.file(path)).unwrap();
        (m.ino(), m.mtime(), m.mtime_nsec())
    }

    /// What corosync itself says of a key of its map.
    #[track_caller]
    pub fn cmap(&self, key: &str) -> String {
        let mut last = None;
        // Just after its start it may not serve yet.
        let deadline = Instant::now() + LONG;
        while Instant::now() < deadline {
            let ran = self.run(&["corosync-cmapctl", "-g", key]);
            if ran.code == 0 {
                return ran.out.rsplit("= ").next().unwrap().trim().to_owned();
            }
            last = Some(ran);
            pause(Duration::from_millis(200));
        }
        panic!("{}: no {key}: {last:?}", self.name)
    }

    /// Waits until a process is older than so many seconds.
    #[track_caller]
    pub fn wait_age(&self, pid: i64, secs: u32) {
        let script = format!(
            "line=$(</proc/{pid}/stat) && t=(${{line##*)}}) && read -r up _ </proc/uptime &&
             ((${{up%.*}} - t[19] / $(getconf CLK_TCK) > {secs}))"
        );
        until(&format!("pid {pid} is {secs} s old"), LONG, || {
            (self.sh(&script).code == 0).then_some(())
        });
    }

    /// The number that a process of the node has outside.
    #[track_caller]
    pub fn outside(&self, pid: i64) -> i32 {
        let init = std::fs::read_to_string(self.lab.dir.join(&self.name).join("init.pid")).unwrap();
        let space = |p: &str| std::fs::read_link(format!("/proc/{p}/ns/pid")).ok();
        let wanted = space(init.trim());
        let all = std::fs::read_dir("/proc").unwrap();
        all.filter_map(|e| e.ok()?.file_name().into_string().ok())
            .filter(|p| p.parse::<i32>().is_ok() && space(p) == wanted)
            .find(|p| {
                let status = std::fs::read_to_string(format!("/proc/{p}/status"));
                let status = status.unwrap_or_default();
                let numbers = status.lines().find_map(|l| l.strip_prefix("NSpid:"));
                numbers.and_then(|n| n.split_whitespace().last()) == Some(&pid.to_string())
            })
            .unwrap_or_else(|| panic!("pid {pid} of {} is not seen outside", self.name))
            .parse()
            .unwrap()
    }
}

/// Holds that something stays so all the time.
#[track_caller]
pub fn stays(what: &str, time: Duration, mut probe: impl FnMut() -> bool) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(probe(), "not any more: {what}");
        pause(Duration::from_millis(50));
    }
}

/// The reasons for which a status calls the node degraded.
pub fn degraded(status: &Value) -> Vec<&str> {
    let items = status["degraded"].as_array().unwrap();
    items
        .iter()
        .map(|d| d["reason"].as_str().unwrap())
        .collect()
}
