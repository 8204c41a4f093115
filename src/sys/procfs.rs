//! Processes as `/proc` shows them (C: `clusmgr_find_process`, `clusmgr_check_process`).
//!
//! A process is known by its pid, its start time and its executable, never by the pid alone. The
//! root of proc is a parameter, so that tests need no real one. Format: proc(5).

mod dump;
mod work;

pub use work::Work;

use crate::error::{Error, Result};
use crate::types::Pid;
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The kernel cuts a process name to this many bytes.
pub const COMM_MAX: usize = 15;

/// What `/proc/PID/exe` has after the path when the file was replaced or removed.
const DELETED: &[u8] = b" (deleted)";

/// The namespaces that make a process ours: those that its pid and its addresses live in, and the
/// mounts, which come last (see [`Proc::sharing`]).
const NAMESPACES: [&str; 3] = ["pid", "net", "mnt"];

/// One mounted proc file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proc {
    root: PathBuf,
    /// See [`Proc::sharing`]; without links.
    places: Vec<PathBuf>,
}

impl Default for Proc {
    fn default() -> Proc {
        Proc::at("/proc")
    }
}

/// The fields of `/proc/PID/stat` that clusmgr uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The process.
    pub pid: Pid,
    /// Its name as the kernel keeps it: at most [`COMM_MAX`] bytes, any of them but NUL.
    pub comm: Vec<u8>,
    /// `R` running, `S` and `D` asleep, `T` stopped, `t` traced, `Z` zombie, `X` dead.
    pub state: char,
    /// Its parent; 0 for a process whose parent is not in our pid namespace.
    pub ppid: i32,
    /// Its process group.
    pub pgrp: i32,
    /// Its session.
    pub session: i32,
    /// When it started, in clock ticks since the machine booted.
    pub starttime: u64,
}

/// An executable as `/proc/PID/exe` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exe {
    /// The path, without ` (deleted)`.
    pub path: PathBuf,
    /// Whether the file was replaced or removed since, as an upgrade does.
    pub deleted: bool,
}

/// Who a process is: no other process of this boot has the same three.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProcId {
    /// Its number, which the kernel uses again once the process is gone.
    pub pid: Pid,
    /// When it started, in clock ticks since the machine booted.
    pub starttime: u64,
    /// Its executable, recorded after exec; empty where unknown, and then not compared.
    pub exe: PathBuf,
}

/// What became of a known process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is there, in this state (see [`Stat::state`]; a zombie is there too).
    Alive(char),
    /// No process has the pid.
    Gone,
    /// The pid now belongs to another process, or this one runs another program.
    Other,
}

impl Stat {
    /// Reads one line of `/proc/PID/stat`; none if it is not one.
    ///
    /// The name stands in parentheses and may itself hold parentheses, spaces and newlines, so
    /// everything after it is counted from the last `)`.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Stat> {
        let open = line.iter().position(|&b| b == b'(')?;
        let close = line.iter().rposition(|&b| b == b')')?;
        let comm = line.get(open + 1..close)?.to_vec();
        let pid = number(line.get(..open)?.trim_ascii())?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let mut letters = state.chars();
        let (state, None) = (letters.next()?, letters.next()) else {
            return None;
        };
        let ppid = fields.next()?.parse().ok()?;
        let pgrp = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        // session is field 6 of proc(5), starttime field 22.
        let starttime = fields.nth(15)?.parse().ok()?;
        Some(Stat {
            pid,
            comm,
            state,
            ppid,
            pgrp,
            session,
            starttime,
        })
    }
}

impl Proc {
    /// The proc file system mounted at a path.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Proc {
        Proc {
            root: root.into(),
            places: Vec::new(),
        }
    }

    /// Takes a process with another mount namespace for ours, too, if it sees the same files at all
    /// of these places: systemd gives a unit with `PrivateTmp=yes` a mount namespace that differs in
    /// `/tmp` alone, a container one that differs in everything.
    #[must_use]
    pub fn sharing(self, places: &[&Path]) -> Proc {
        // An absolute link would lead from the other root into ours, and compare ours with itself.
        let real = |p: &&Path| fs::canonicalize(p).unwrap_or_else(|_| p.to_path_buf());
        Proc {
            places: places.iter().map(real).collect(),
            ..self
        }
    }

    /// The path of one of a process's files.
    fn of(&self, pid: Pid, name: &str) -> PathBuf {
        self.root.join(format!("{pid}/{name}"))
    }

    /// `/proc/PID/stat`; none if there is no such process.
    ///
    /// # Errors
    /// If the file cannot be read or is not what proc(5) says.
    pub fn read_stat(&self, pid: Pid) -> Result<Option<Stat>> {
        let path = self.of(pid, "stat");
        // Read every second. Such files have no size to go by, and this has room for a whole one.
        let mut line = Vec::with_capacity(1024);
        match File::open(&path).and_then(|mut file| file.read_to_end(&mut line)) {
            Ok(_) => {}
            Err(e) if is_gone(&e) => return Ok(None),
            Err(e) => return Err(Error::io("read", path.display(), &e)),
        }
        match Stat::parse(&line) {
            Some(stat) => Ok(Some(stat)),
            // A process that goes while it is read leaves an empty file.
            None if line.is_empty() => Ok(None),
            None => Err(Error::new("read", path.display(), "not a stat line")),
        }
    }

    /// How often the process's first thread has been taken off a processor, by itself or by others:
    /// while it does not grow, the thread has not run. None if it cannot be read.
    #[must_use]
    pub fn switches(&self, pid: Pid) -> Option<u64> {
        let text = fs::read(self.of(pid, "status")).ok()?;
        let mut counts = text.split(|&b| b == b'\n').filter_map(|line| {
            let line = line.strip_prefix(b"non").unwrap_or(line);
            let count = line.strip_prefix(b"voluntary_ctxt_switches:")?;
            std::str::from_utf8(count).ok()?.trim().parse::<u64>().ok()
        });
        counts.next()?.checked_add(counts.next()?)
    }

    /// The numbers that processes of other pid namespaces have there, as far as they are seen from
    /// ours: those of containers. Not cheap where there are many processes.
    #[must_use]
    pub fn numbers_elsewhere(&self) -> BTreeSet<Pid> {
        let own = fs::read_link(self.root.join("self/ns/pid")).ok();
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let pids = entries.filter_map(|e| number(e.file_name().as_bytes()));
        let elsewhere = |pid: &Pid| fs::read_link(self.of(*pid, "ns/pid")).ok() != own;
        pids.filter(elsewhere)
            .flat_map(|pid| {
                let text = fs::read(self.of(pid, "status")).unwrap_or_default();
                inner_numbers(&text)
            })
            .collect()
    }

    /// The executable of a process; none if there is no such process, or it is a zombie or a
    /// kernel thread, which have none.
    ///
    /// # Errors
    /// If the link may not be read.
    pub fn exe(&self, pid: Pid) -> Result<Option<Exe>> {
        let path = self.of(pid, "exe");
        match fs::read_link(&path) {
            Ok(target) => Ok(Some(Exe::from_link(target))),
            Err(e) if is_gone(&e) => Ok(None),
            Err(e) => Err(Error::io("read", path.display(), &e)),
        }
    }

    /// The words that a process was executed with, its own name first; none if there is no such
    /// process, or it has none, as a zombie.
    ///
    /// # Errors
    /// If they may not be read.
    pub fn words(&self, pid: Pid) -> Result<Vec<Vec<u8>>> {
        let path = self.of(pid, "cmdline");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if is_gone(&e) => Vec::new(),
            Err(e) => return Err(Error::io("read", path.display(), &e)),
        };
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        let words = text.split(|b| *b == 0).map(<[u8]>::to_vec);
        Ok(words.filter(|_| !text.is_empty()).collect())
    }

    /// Whether a process shares our pid, network and mount namespace, or instead of the last the
    /// places that were named. A process that is gone, or whose namespaces we may not see, does not.
    #[must_use]
    pub fn same_namespaces(&self, pid: Pid) -> bool {
        self.own_namespaces()
            .is_some_and(|own| self.in_namespaces(pid, &own))
    }

    fn own_namespaces(&self) -> Option<[PathBuf; 3]> {
        let [a, b, c] = NAMESPACES.map(|n| fs::read_link(self.root.join("self/ns").join(n)).ok());
        Some([a?, b?, c?])
    }

    fn in_namespaces(&self, pid: Pid, own: &[PathBuf; 3]) -> bool {
        let same = |name: &str, own: &PathBuf| {
            fs::read_link(self.of(pid, &format!("ns/{name}"))).is_ok_and(|link| link == *own)
        };
        let [pids, net, mounts] = own;
        same(NAMESPACES[0], pids)
            && same(NAMESPACES[1], net)
            && (same(NAMESPACES[2], mounts) || self.sees_our_places(pid))
    }

    /// Whether all places are the same file or directory for a process as for us, or for neither.
    fn sees_our_places(&self, pid: Pid) -> bool {
        let root = self.of(pid, "root");
        let same = |place: &PathBuf| {
            let theirs = root.join(place.strip_prefix("/").unwrap_or(place));
            match (fs::symlink_metadata(place), fs::symlink_metadata(theirs)) {
                (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
                (Err(a), Err(b)) => is_gone(&a) && is_gone(&b),
                _ => false,
            }
        };
        !self.places.is_empty() && self.places.iter().all(same)
    }

    /// The identity of a running process; none if there is none, or it is a zombie.
    ///
    /// # Errors
    /// As [`Proc::read_stat`] and [`Proc::exe`].
    pub fn identify(&self, pid: Pid) -> Result<Option<ProcId>> {
        let Some(before) = self.read_stat(pid)? else {
            return Ok(None);
        };
        let Some(exe) = self.exe(pid)? else {
            return Ok(None);
        };
        // Read again: the pid may have changed hands between the two reads.
        let after = self.read_stat(pid)?;
        if after.is_none_or(|s| s.starttime != before.starttime) {
            return Ok(None);
        }
        Ok(Some(ProcId {
            pid,
            starttime: before.starttime,
            exe: exe.path,
        }))
    }

    /// Whether a known process is still there and still itself (C: `clusmgr_check_process`).
    ///
    /// The start time decides. The executable is compared too where both are known: a zombie has
    /// none, and a process of another user does not show it.
    ///
    /// # Errors
    /// As [`Proc::read_stat`].
    pub fn check_process(&self, id: &ProcId) -> Result<Check> {
        let Some(stat) = self.read_stat(id.pid)? else {
            return Ok(Check::Gone);
        };
        if stat.starttime != id.starttime {
            return Ok(Check::Other);
        }
        if stat.state == 'X' {
            return Ok(Check::Gone);
        }
        let other = !id.exe.as_os_str().is_empty()
            && stat.state != 'Z'
            && self
                .exe(id.pid)
                .ok()
                .flatten()
                .is_some_and(|exe| exe.path != id.exe);
        Ok(if other {
            Check::Other
        } else {
            Check::Alive(stat.state)
        })
    }

    /// Every running process of a name in our own namespaces, in the order of proc
    /// (C: `clusmgr_find_process`). With `exe`, only those that run this executable; a symlink in
    /// it counts as what it points to.
    ///
    /// One open, one read and one close for a process of another name; all else is read of those
    /// that match only. Processes that go meanwhile are left out.
    ///
    /// # Errors
    /// If proc is not there to be listed.
    pub fn find_process(&self, name: &str, exe: Option<&Path>) -> Result<Vec<ProcId>> {
        let fail = |e: &io::Error| {
            Error::io("list", self.root.display(), e).hint("mount proc there, unmasked")
        };
        let comm = &name.as_bytes()[..name.len().min(COMM_MAX)];
        let own = self.own_namespaces();
        let real = exe.and_then(|e| fs::canonicalize(e).ok());
        let mut path = self.root.clone().into_os_string().into_vec();
        path.push(b'/');
        let root_len = path.len();
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(|e| fail(&e))? {
            let entry = entry.map_err(|e| fail(&e))?;
            let file_name = entry.file_name();
            let Some(pid) = number(file_name.as_bytes()) else {
                continue;
            };
            path.truncate(root_len);
            path.extend_from_slice(file_name.as_bytes());
            path.extend_from_slice(b"/comm");
            if !comm_is(Path::new(OsStr::from_bytes(&path)), comm) {
                continue;
            }
            if !own.as_ref().is_some_and(|own| self.in_namespaces(pid, own)) {
                continue;
            }
            let Ok(Some(id)) = self.identify(pid) else {
                continue;
            };
            if exe.is_none_or(|exe| id.exe == exe || Some(&id.exe) == real.as_ref()) {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// The processes of a name in our network namespace, whatever else they see: where they serve, nobody
    /// else can. None if that cannot be told.
    #[must_use]
    pub fn in_our_network(&self, name: &str) -> Vec<Pid> {
        let net = |pid: &str| fs::read_link(self.root.join(pid).join("ns/net")).ok();
        let (Some(own), Ok(all)) = (net("self"), fs::read_dir(&self.root)) else {
            return Vec::new();
        };
        let comm = &name.as_bytes()[..name.len().min(COMM_MAX)];
        let pids = all
            .flatten()
            .filter_map(|e| number(e.file_name().as_bytes()));
        pids.filter(|pid| comm_is(&self.of(*pid, "comm"), comm))
            .filter(|pid| net(&pid.to_string()).as_ref() == Some(&own))
            .collect()
    }

    /// The random name of this boot, 36 characters; every boot has another.
    ///
    /// # Errors
    /// If it cannot be read, or is empty.
    pub fn boot_id(&self) -> Result<String> {
        let path = self.root.join("sys/kernel/random/boot_id");
        let text = fs::read_to_string(&path).map_err(|e| Error::io("read", path.display(), &e))?;
        let id = text.trim_ascii();
        if id.is_empty() {
            return Err(Error::new("read", path.display(), "it is empty"));
        }
        Ok(id.to_owned())
    }
}

impl Exe {
    fn from_link(target: PathBuf) -> Exe {
        let mut bytes = target.into_os_string().into_vec();
        let deleted = bytes.ends_with(DELETED);
        if deleted {
            bytes.truncate(bytes.len() - DELETED.len());
        }
        Exe {
            path: PathBuf::from(std::ffi::OsString::from_vec(bytes)),
            deleted,
        }
    }
}

/// A pid in decimal digits, and nothing else.
fn number(digits: &[u8]) -> Option<Pid> {
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let n = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (n > 0).then_some(Pid(n))
}

/// Whether a comm file holds exactly this name and its newline.
fn comm_is(path: &Path, comm: &[u8]) -> bool {
    let mut buf = [0u8; 64];
    let Ok(n) = File::open(path).and_then(|mut f| f.read(&mut buf)) else {
        return false;
    };
    buf[..n].strip_suffix(b"\n") == Some(comm)
}

/// No such process: the directory is not there, or went while it was read.
fn is_gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// `NSpid:` of `/proc/PID/status`: a process's number in each namespace from ours inwards, but for ours.
fn inner_numbers(status: &[u8]) -> Vec<Pid> {
    let mut lines = status.split(|&b| b == b'\n');
    let numbers = lines.find_map(|line| line.strip_prefix(b"NSpid:"));
    let numbers = String::from_utf8_lossy(numbers.unwrap_or_default());
    let inner = numbers.split_ascii_whitespace().skip(1);
    inner.filter_map(|n| n.parse().ok().map(Pid)).collect()
}

#[cfg(test)]
mod tests;
