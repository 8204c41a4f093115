//! The lab leaves nothing behind, neither after `down` nor when `up` is killed.

use crate::common::{LONG, pause, until};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a lab could leave on the machine.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    mounts: BTreeSet<String>,
    interfaces: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
}

fn names(dir: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|e| Some(e.ok()?.path()))
}

impl Machine {
    fn now(root: &Path) -> Machine {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let dev = fs::read_to_string("/proc/self/net/dev").unwrap();
        let places = [
            "/etc/corosync",
            "/etc/clusmgr",
            "/run/clusmgr",
            "/run/netns",
        ];
        let more = ["/var/lib/corosync", "/var/lib/clusmgr", "/var/log/corosync"];
        let shared = names("/dev/shm").filter(|p| p.to_string_lossy().contains("/qb-"));
        Machine {
            mounts: mounts.lines().map(str::to_owned).collect(),
            interfaces: dev
                .lines()
                .filter_map(|l| Some(l.split_once(':')?.0.trim().to_owned()))
                .collect(),
            files: places
                .into_iter()
                .chain(more)
                .flat_map(names)
                .chain(names(root))
                .chain(shared)
                .collect(),
        }
    }
}

/// One lab whose processes are known by a word in their environment, and by the namespaces that any
/// of them was ever seen in.
struct Traced {
    root: tempfile::TempDir,
    mark: String,
    /// Held open: the number of one that has gone would be given to another lab's.
    spaces: BTreeMap<PathBuf, File>,
}

const SPACES: [&str; 4] = ["user", "mnt", "net", "pid"];

/// The namespaces of a process that a lab makes anew.
fn spaces(pid: &str) -> impl Iterator<Item = PathBuf> + '_ {
    let of = move |name| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
    SPACES.into_iter().filter_map(of)
}

/// The same, held open.
fn held_spaces(pid: &str) -> impl Iterator<Item = (PathBuf, File)> + '_ {
    SPACES.into_iter().filter_map(move |name| {
        let file = File::open(format!("/proc/{pid}/ns/{name}")).ok()?;
        let held = format!("/proc/self/fd/{}", file.as_raw_fd());
        Some((fs::read_link(held).ok()?, file))
    })
}

fn all_pids() -> Vec<String> {
    names("/proc")
        .filter_map(|p| p.file_name()?.to_str().map(str::to_owned))
        .filter(|n| n.bytes().all(|b| b.is_ascii_digit()))
        .collect()
}

impl Drop for Traced {
    /// What a failed test leaves must end all the same.
    fn drop(&mut self) {
        let _ = self.verb(&["down"]).output();
    }
}

impl Traced {
    fn new(name: &str) -> Traced {
        Traced {
            root: tempfile::Builder::new()
                .prefix(&format!("traces-{name}-"))
                .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
                .unwrap(),
            mark: format!("LAB_TRACED={name}-{}", std::process::id()),
            spaces: BTreeMap::new(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("lab")
    }

    fn verb(&self, words: &[&str]) -> Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_clusmgr")).parent().unwrap();
        let (key, value) = self.mark.split_once('=').unwrap();
        let mut c = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab"));
        c.arg("--dir").arg(self.dir()).args(words);
        c.env("CLUSMGR_BIN_DIR", bin)
            .env(key, value)
            .env("LAB_MAX_SECS", "300");
        c.stdin(Stdio::null());
        c
    }

    /// The lab's living processes; learns their namespaces on the way.
    fn processes(&mut self) -> Vec<String> {
        let ours: BTreeSet<PathBuf> = spaces("self").collect();
        let pids = all_pids();
        let word = |pid: &String| {
            let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            env.split(|b| *b == 0).any(|v| v == self.mark.as_bytes())
        };
        let marked: Vec<String> = pids.iter().filter(|p| word(p)).cloned().collect();
        for pid in &marked {
            let new = held_spaces(pid).filter(|(s, _)| !ours.contains(s));
            self.spaces.extend(new);
        }
        let inside = |pid: &String| spaces(pid).any(|s| self.spaces.contains_key(&s));
        let all: BTreeSet<String> = marked
            .into_iter()
            .chain(pids.into_iter().filter(inside))
            .collect();
        all.into_iter()
            .map(|p| {
                let cmdline = fs::read(format!("/proc/{p}/cmdline")).unwrap_or_default();
                format!(
                    "{p} {}",
                    String::from_utf8_lossy(&cmdline).replace('\0', " ")
                )
            })
            .collect()
    }

    /// Waits until there is no process of the lab, and nothing else of it.
    #[track_caller]
    fn wait_gone(&mut self, before: &Machine) {
        let deadline = Instant::now() + LONG;
        loop {
            let left = self.processes();
            let now = Machine::now(self.root.path());
            if left.is_empty() && now == *before {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "left: {left:#?}\nbefore {before:#?}\nnow {now:#?}"
            );
            pause(Duration::from_millis(50));
        }
    }

    /// `up`, killed as soon as it is as far as this.
    fn kill_up_when(&mut self, is_there: impl Fn(&Path) -> bool) {
        let before = Machine::now(self.root.path());
        let mut up: Child = self
            .verb(&["up", "3", "--", "--stable-after", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let dir = self.dir();
        // The whole of `up` takes a tenth of a second.
        let deadline = Instant::now() + LONG;
        while !is_there(&dir) {
            assert!(Instant::now() < deadline, "up does not come so far");
            pause(Duration::from_micros(200));
        }
        assert_eq!(
            up.try_wait().unwrap(),
            None,
            "up has ended too early to be killed"
        );
        // Only itself: what it started must see to its own end.
        up.kill().unwrap();
        up.wait().unwrap();
        self.processes();
        self.wait_gone_or_down(&before);
    }

    /// The processes end by themselves; of files, what a kill at the very first step leaves is what
    /// the next verb removes.
    #[track_caller]
    fn wait_gone_or_down(&mut self, before: &Machine) {
        until("every process of the lab ends by itself", LONG, || {
            self.processes().is_empty().then_some(())
        });
        let down = self.verb(&["down"]).output().unwrap();
        assert!(down.status.success(), "{down:?}");
        self.wait_gone(before);
    }
}

#[test]
fn up_and_down_leave_nothing_behind() {
    let mut lab = Traced::new("down");
    let before = Machine::now(lab.root.path());
    let up = lab.verb(&["up", "3"]).output().unwrap();
    assert!(up.status.success(), "{up:?}");
    let wait = lab.verb(&["exec", "n1", "clusmgrctl", "status", "--wait"]);
    assert!({ wait }.output().unwrap().status.success());
    let cut = lab.verb(&["cut", "n1", "n2"]).output().unwrap();
    assert!(cut.status.success(), "{cut:?}");
    // The oracle sees what is to be gone.
    let running = lab.processes();
    for name in ["clusmgr", "corosync -f"] {
        let seen = running.iter().filter(|p| p.contains(name)).count();
        assert!(seen >= 3, "{seen} of {name}: {running:#?}");
    }
    // One of each kind for the lab and every node, and the user namespace.
    assert_eq!(lab.spaces.len(), 1 + 3 * 4, "{:?}", lab.spaces);
    assert_eq!(Machine::now(lab.root.path()).mounts, before.mounts);
    let down = lab.verb(&["down"]).output().unwrap();
    assert!(down.status.success(), "{down:?}");
    lab.wait_gone(&before);
}

#[test]
fn an_up_that_is_killed_when_its_directory_is_there_leaves_nothing_behind() {
    Traced::new("kill-1").kill_up_when(|dir| dir.join(".clusmgr-lab").exists());
}

#[test]
fn an_up_that_is_killed_while_the_nodes_are_made_leaves_nothing_behind() {
    Traced::new("kill-2").kill_up_when(|dir| dir.join("lab.pid").exists());
}

#[test]
fn an_up_that_is_killed_while_clusmgr_starts_leaves_nothing_behind() {
    Traced::new("kill-3").kill_up_when(|dir| dir.join("n2/run/clusmgr").exists());
}
