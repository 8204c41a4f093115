//! What a corosync that was killed leaves in `/dev/shm`, and nobody else removes.
//!
//! libqb makes there, for a server S: `qb-corosync-S-blackbox-data` and `-header` (8 MiB), and for
//! each connection of a client C on descriptor F a directory `qb-S-C-F-XXXXXX`. Removed is only what
//! has such a name, belongs to us or root, and whose processes are gone. The name does not say whose
//! corosync S was: containers may share the directory, and their numbers are others. So S must be
//! one that clusmgr itself ran or adopted in this boot; these numbers are kept in the run directory.

use crate::persist;
use crate::sys::host;
use crate::sys::procfs::Proc;
use crate::types::Pid;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Name of the file of those that are remembered.
const NAME: &str = "remains.json";
const VERSION: &str = "1";
/// No more are remembered; each may have left 8 MiB.
const MOST: usize = 64;

/// Our dead, whose remains are to be removed, and the one that lives.
#[derive(Debug)]
pub struct Remains {
    dir: PathBuf,
    /// Where they are remembered.
    file: PathBuf,
    ours: Ours,
}

/// Who is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ours {
    /// In this boot.
    boot: String,
    /// Oldest first.
    pids: VecDeque<Pid>,
}

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Blackbox { server: Pid },
    Connection { server: Pid, client: Option<Pid> },
}

impl Name {
    fn server(self) -> Pid {
        match self {
            Name::Blackbox { server } | Name::Connection { server, .. } => server,
        }
    }

    fn parse(name: &str) -> Option<Name> {
        let rest = name.strip_prefix("qb-")?;
        if let Some(rest) = rest.strip_prefix("corosync-") {
            let pid = rest
                .strip_suffix("-blackbox-data")
                .or_else(|| rest.strip_suffix("-blackbox-header"))?;
            return Some(Name::Blackbox {
                server: number(pid).and_then(pid_of)?,
            });
        }
        let mut parts = rest.split('-');
        let (server, client, fd, random) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none()
            && random.len() == 6
            && random.bytes().all(|b| b.is_ascii_alphanumeric());
        number(fd)?;
        // A client of another pid namespace has the number 0.
        let client = pid_of(number(client)?);
        let server = number(server).and_then(pid_of)?;
        whole.then_some(Name::Connection { server, client })
    }
}

/// A number as printf's `%d` writes it.
fn number(digits: &str) -> Option<i32> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    (plain && canonical).then(|| digits.parse().ok()).flatten()
}

fn pid_of(number: i32) -> Option<Pid> {
    (number > 0).then_some(Pid(number))
}

impl Remains {
    /// Those in a directory, of whom an earlier clusmgr of this boot left word in the run directory.
    #[must_use]
    pub fn load(dir: &Path, run_dir: &Path, boot: &str) -> Remains {
        let file = run_dir.join(NAME);
        let found = persist::load(&file, VERSION).unwrap_or_else(|e| {
            log::warn!("{e}; what dead corosyncs left in {} stays", dir.display());
            None
        });
        let ours = found.filter(|o: &Ours| o.boot == boot).unwrap_or(Ours {
            boot: boot.to_owned(),
            ..Ours::default()
        });
        Remains {
            dir: dir.to_owned(),
            file,
            ours,
        }
    }

    /// This corosync is ours.
    pub fn ours(&mut self, pid: Pid) {
        if self.ours.pids.contains(&pid) {
            return;
        }
        self.ours.pids.push_back(pid);
        while self.ours.pids.len() > MOST {
            self.ours.pids.pop_front();
        }
        self.keep();
    }

    /// Writes down who is remembered.
    pub fn keep(&self) {
        if let Err(e) = persist::save_for_this_boot(&self.file, VERSION, &self.ours) {
            log::debug!("{e}");
        }
    }

    /// Removes what can be removed now; gives how many files and directories that were. What waits for
    /// a client that still lives is removed by a later call.
    pub fn remove(&mut self, proc: &Proc) -> usize {
        // As far as that can be told: who cannot be looked at counts as living. What we ourselves still
        // have mapped of a dead one is not looked at any more.
        // A zombie has let go of all it had; its number is its own for as long as it is one.
        let lives = |pid| match proc.read_stat(pid) {
            Ok(Some(stat)) => !matches!(stat.state, 'Z' | 'X'),
            Ok(None) => false,
            Err(_) => true,
        };
        let dead: Vec<Pid> = self
            .ours
            .pids
            .iter()
            .copied()
            .filter(|p| !lives(*p))
            .collect();
        if dead.is_empty() {
            return 0;
        }
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return 0;
        };
        let found: Vec<(PathBuf, Name)> = entries
            .flatten()
            .filter_map(|e| Some((e.path(), Name::parse(e.file_name().to_str()?)?)))
            .filter(|(_, name)| dead.contains(&name.server()))
            .collect();
        // A container's server of the same number uses the same names.
        let elsewhere = match found.is_empty() {
            true => BTreeSet::new(),
            false => proc.numbers_elsewhere(),
        };
        let mut removed = 0;
        let mut left = BTreeSet::new();
        for (path, name) in found {
            let server = name.server();
            let gone = match name {
                _ if elsewhere.contains(&server) => false,
                Name::Blackbox { .. } => remove_file(&path),
                Name::Connection { client, .. } => {
                    let waits = |pid| pid != host::own_pid() && lives(pid);
                    !client.is_some_and(waits) && remove_connection(&path)
                }
            };
            if gone {
                removed += 1;
            } else {
                left.insert(server);
            }
        }
        // The number may become another server's.
        let is_over = |pid: &Pid| dead.contains(pid) && !left.contains(pid);
        if self.ours.pids.iter().any(is_over) {
            self.ours.pids.retain(|pid| !is_over(pid));
            self.keep();
        }
        removed
    }
}

/// Ours or root's; of the thing itself, never of what a link points to.
fn own(path: &Path) -> Option<Metadata> {
    let meta = fs::symlink_metadata(path).ok()?;
    (meta.uid() == 0 || meta.uid() == nix::unistd::geteuid().as_raw()).then_some(meta)
}

fn remove_file(path: &Path) -> bool {
    own(path).is_some_and(|m| m.is_file()) && fs::remove_file(path).is_ok()
}

/// Only its owner can put anything in the place of such a directory, or of what is in it.
fn remove_connection(path: &Path) -> bool {
    if !own(path).is_some_and(|m| m.is_dir()) {
        return false;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"qb-") {
            remove_file(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_names_that_libqb_makes_for_corosync_are_read() {
        let pid = |n| Pid(n);
        for kind in ["data", "header"] {
            let name = Name::parse(&format!("qb-corosync-64-blackbox-{kind}"));
            assert_eq!(name, Some(Name::Blackbox { server: pid(64) }));
        }
        for (name, client) in [
            ("qb-64-70-31-a0Zb9c", Some(pid(70))),
            ("qb-64-0-31-a0Zb9c", None),
        ] {
            let server = pid(64);
            assert_eq!(Name::parse(name), Some(Name::Connection { server, client }));
        }
        for name in [
            "qb-other-64-blackbox-data",
            "qb-corosync-64-blackbox-data2",
            "qb-corosync--64-blackbox-data",
            "qb-corosync-064-blackbox-data",
            "qb-corosync-0-blackbox-data",
            "qb-corosync-99999999999-blackbox-data",
            "qb-corosync-64-blackbox",
            "qb-64-70-31-a0Zb9",
            "qb-64-70-31-a0Zb9c-x",
            "qb-64-70-31-a0/b9c",
            "qb-64-70--a0Zb9c",
            "qb-+64-70-31-a0Zb9c",
            "qb-64-70-a0Zb9c",
            "xqb-64-70-31-a0Zb9c",
            "qb-",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }

    /// A made /dev/shm, and a made proc in which 1 and 70 live.
    fn bed() -> (tempfile::TempDir, Remains, Proc) {
        let dir = tempfile::tempdir().unwrap();
        let shm = dir.path().join("shm");
        fs::create_dir(&shm).unwrap();
        for pid in [1, 70] {
            live(dir.path(), &pid.to_string(), 1, &format!("{pid}"));
        }
        live(dir.path(), "self", 1, "1");
        let proc = Proc::at(dir.path().join("proc"));
        let remains = Remains::load(&shm, dir.path(), "b1");
        (dir, remains, proc)
    }

    /// A process in a pid namespace, with its numbers.
    fn live(dir: &Path, pid: &str, namespace: u32, numbers: &str) {
        process(dir, pid, 'S', namespace, numbers);
    }

    fn process(dir: &Path, pid: &str, state: char, namespace: u32, numbers: &str) {
        let of = dir.join(format!("proc/{pid}"));
        fs::create_dir_all(of.join("ns")).unwrap();
        let zeros = " 0".repeat(18);
        fs::write(of.join("stat"), format!("{pid} (x) {state}{zeros} 9\n")).unwrap();
        fs::write(of.join("status"), format!("NSpid:\t{numbers}\n")).unwrap();
        symlink(format!("pid:[{namespace}]"), of.join("ns/pid")).unwrap();
    }

    fn file(of: &Remains, name: &str) {
        fs::write(of.dir.join(name), "x").unwrap();
    }

    fn connection(of: &Remains, name: &str) {
        fs::create_dir(of.dir.join(name)).unwrap();
        file(of, &format!("{name}/qb-request-cmap-data"));
        file(of, &format!("{name}/qb-event-cmap-header"));
    }

    fn names(of: &Remains) -> Vec<String> {
        let mut all: Vec<String> = fs::read_dir(&of.dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn only_what_our_own_dead_left_is_removed() {
        let (_dir, mut it, proc) = bed();
        for name in [
            "qb-corosync-64-blackbox-data",
            "qb-corosync-64-blackbox-header",
            "qb-corosync-65-blackbox-data",
            "qb-corosync-70-blackbox-data",
            "qb-other-64-blackbox-data",
        ] {
            file(&it, name);
        }
        connection(&it, "qb-64-66-31-aaaaaa");
        connection(&it, "qb-65-66-31-aaaaaa");
        assert_eq!(it.remove(&proc), 0, "none is ours");
        it.ours(Pid(64));
        it.ours(Pid(70));
        assert_eq!(it.remove(&proc), 3);
        let left = [
            "qb-65-66-31-aaaaaa",
            "qb-corosync-65-blackbox-data",
            "qb-corosync-70-blackbox-data",
            "qb-other-64-blackbox-data",
        ];
        assert_eq!(names(&it), left, "a living one's and a stranger's stay");
        assert_eq!(it.ours.pids, [Pid(70)], "the number is free again");
    }

    #[test]
    fn who_was_ours_is_known_to_the_next_clusmgr_of_this_boot() {
        let (dir, mut it, proc) = bed();
        it.ours(Pid(64));
        file(&it, "qb-corosync-64-blackbox-data");
        let mut other_boot = Remains::load(&it.dir, dir.path(), "b2");
        assert_eq!(other_boot.remove(&proc), 0);
        let mut next = Remains::load(&it.dir, dir.path(), "b1");
        assert_eq!(next.remove(&proc), 1);
        let mut third = Remains::load(&it.dir, dir.path(), "b1");
        file(&third, "qb-corosync-64-blackbox-data");
        assert_eq!(third.remove(&proc), 0, "it is a stranger's now");
        for pid in 100..200 {
            third.ours(Pid(pid));
        }
        assert_eq!(third.ours.pids.len(), MOST);
    }

    #[test]
    fn what_a_living_one_of_a_container_has_stays() {
        let (dir, mut it, proc) = bed();
        it.ours(Pid(64));
        file(&it, "qb-corosync-64-blackbox-data");
        connection(&it, "qb-64-66-31-aaaaaa");
        live(dir.path(), "900", 2, "900\t64");
        assert_eq!(it.remove(&proc), 0);
        fs::remove_dir_all(dir.path().join("proc/900")).unwrap();
        assert_eq!(it.remove(&proc), 2);
    }

    #[test]
    fn a_connection_waits_for_its_client() {
        let (dir, mut it, proc) = bed();
        it.ours(Pid(64));
        connection(&it, "qb-64-70-31-aaaaaa");
        assert_eq!(it.remove(&proc), 0);
        fs::remove_dir_all(dir.path().join("proc/70")).unwrap();
        assert_eq!(it.remove(&proc), 1);
        assert_eq!(names(&it), Vec::<String>::new());
    }

    /// An adopted one is somebody else's child, who may take his time to reap it.
    #[test]
    fn a_zombie_is_dead() {
        let (dir, mut it, proc) = bed();
        process(dir.path(), "64", 'Z', 1, "64");
        process(dir.path(), "71", 'Z', 1, "71");
        file(&it, "qb-corosync-64-blackbox-data");
        connection(&it, "qb-64-71-31-aaaaaa");
        it.ours(Pid(64));
        assert_eq!(it.remove(&proc), 2);
        assert_eq!(names(&it), Vec::<String>::new());
    }

    #[test]
    fn links_and_what_is_not_libqbs_stay() {
        let (dir, mut it, proc) = bed();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("qb-precious"), "x").unwrap();
        symlink(&outside, it.dir.join("qb-64-66-31-aaaaaa")).unwrap();
        symlink(
            outside.join("qb-precious"),
            it.dir.join("qb-corosync-64-blackbox-data"),
        )
        .unwrap();
        connection(&it, "qb-64-66-32-aaaaaa");
        file(&it, "qb-64-66-32-aaaaaa/notes");
        it.ours(Pid(64));
        assert_eq!(it.remove(&proc), 0);
        assert!(outside.join("qb-precious").exists());
        assert_eq!(names(&it).len(), 3);
        assert!(it.dir.join("qb-64-66-32-aaaaaa/notes").exists());
    }
}
