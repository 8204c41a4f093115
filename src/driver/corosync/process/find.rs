//! Which running corosync is this node's.

use super::{Process, RECORD, Record};
use crate::error::Result;
use crate::paths::CorosyncPaths;
use crate::sys::clock;
use crate::sys::file;
use crate::sys::host;
use crate::sys::pidfd::PidFd;
use crate::sys::pidfile::{self, Holder};
use crate::sys::procfs::{Check, Proc, ProcId, Stat};
use crate::types::Pid;
use std::path::{Path, PathBuf};

/// Where corosync and its clients meet, beside their sockets' names.
const SHM: &str = "/dev/shm";

impl Process {
    /// Looks for a living corosync of this node: the one that the last clusmgr started, then the
    /// owner of corosync's pid file, then any in `/proc`; always in our own namespaces (see [`here`]).
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn find(paths: &CorosyncPaths, run_dir: &Path) -> Result<Option<Process>> {
        let proc = here(paths);
        if let Some(found) = recorded(&proc, run_dir) {
            return Ok(Some(found));
        }
        let real = real_bin(paths);
        let owner = pidfile::owner(&paths.pid).and_then(|pid| proc.identify(pid).ok().flatten());
        if let Some(found) = owner
            .filter(|id| id.exe == real)
            .and_then(|id| hold(&proc, id, run_dir))
        {
            return Ok(Some(found));
        }
        let name = real.file_name().unwrap_or_default().to_string_lossy();
        let mut found = proc.find_process(&name, Some(&real))?;
        // It may be somebody's check of a configuration, which is nobody's to signal. One that runs as
        // the node's has no lock yet when it begins, so the lock does not tell.
        found.retain(|id| proc.words(id.pid).is_ok_and(|words| runs(&words)));
        Ok(found.into_iter().find_map(|id| hold(&proc, id, run_dir)))
    }

    /// Who holds corosync's pid file, if that is a corosync of this node, whatever its executable is:
    /// the one that keeps ours from running. It is recorded, so that the next clusmgr knows it.
    #[must_use]
    pub fn rival(paths: &CorosyncPaths, run_dir: &Path) -> Option<Process> {
        let proc = here(paths);
        let id = proc.identify(pidfile::owner(&paths.pid)?).ok()??;
        if !is_corosync(&proc, id.pid) {
            return None;
        }
        let found = hold(&proc, id, run_dir)?;
        found.keep();
        Some(found)
    }

    /// Who holds corosync's pid file, in words; none if nobody does.
    #[must_use]
    pub fn rival_text(paths: &CorosyncPaths) -> Option<String> {
        let proc = here(paths);
        let file = paths.pid.display();
        let pid = match pidfile::holder(&paths.pid) {
            Ok(Holder::Process(pid)) => pid,
            Ok(Holder::Foreign) => {
                return Some(format!("a process of another pid namespace holds {file}"));
            }
            _ => return None,
        };
        let real = real_bin(paths);
        let exe = proc.exe(pid).ok().flatten().map(|e| e.path);
        let other = match &exe {
            Some(exe) if *exe != real => format!(", which is not {},", paths.bin.display()),
            _ => String::new(),
        };
        let exe = exe.map_or("unknown".into(), |e| e.display().to_string());
        let mut text = format!("pid {pid}, executable {exe}{other} holds {file}");
        if !is_corosync(&proc, pid) {
            text += "; it is not a corosync of this node: end it, or name its binary with --corosync-bin";
        } else if !proc.same_namespaces(pid) {
            text += "; it is not a corosync of this node, as it sees other files or another network: end it";
        }
        Some(text)
    }

    /// A corosync that serves in our network namespace and is not of this node, in words: one in a
    /// container that has the host's network, say. The names of the sockets are its own there, and ours
    /// ends without having got as far as the pid file.
    #[must_use]
    pub fn network_rival(paths: &CorosyncPaths) -> Option<String> {
        let proc = here(paths);
        let mut all = proc.in_our_network("corosync").into_iter();
        let pid = all.find(|pid| {
            let lives = |s: &Stat| !matches!(s.state, 'Z' | 'X') && s.ppid != host::own_pid().0;
            let stat = proc.read_stat(*pid).ok().flatten();
            let serves = proc.words(*pid).is_ok_and(|words| runs(&words));
            stat.as_ref().is_some_and(lives) && serves && !proc.same_namespaces(*pid)
        })?;
        Some(format!(
            "pid {pid} serves in this network already; it is not a corosync of this node, as it sees \
             other files: end it, or give it a network of its own"
        ))
    }
}

/// A process in a mount namespace of its own is of this node if it sees the same root, corosync.conf,
/// shared memory and place of the pid file: the distribution's unit makes one, for a private `/tmp`.
fn here(paths: &CorosyncPaths) -> Proc {
    let run = paths.pid.parent().unwrap_or(Path::new("/"));
    Proc::default().sharing(&[Path::new("/"), &paths.conf, Path::new(SHM), run])
}

fn real_bin(paths: &CorosyncPaths) -> PathBuf {
    std::fs::canonicalize(&paths.bin).unwrap_or_else(|_| paths.bin.clone())
}

/// Opens the process and verifies it after that: the descriptor is surely the one identified.
fn hold(proc: &Proc, id: ProcId, run_dir: &Path) -> Option<Process> {
    let pidfd = PidFd::open(id.pid).ok()?;
    let lives = matches!(proc.check_process(&id), Ok(Check::Alive(state)) if state != 'Z');
    // Who looks around has no corosync of his own: a child of ours is corosync's check `-t`, and must be
    // left to who waits for it.
    let stat = proc.read_stat(id.pid).ok()??;
    if stat.ppid == host::own_pid().0 {
        return None;
    }
    if !lives || !proc.same_namespaces(id.pid) {
        return None;
    }
    let since = clock::started_at(id.starttime);
    Some(Process::new(id, pidfd, true, since, run_dir))
}

fn is_corosync(proc: &Proc, pid: Pid) -> bool {
    matches!(proc.read_stat(pid), Ok(Some(stat)) if stat.comm == b"corosync")
}

/// Whether corosync, executed with these words, becomes the node's: not with `-t` (a check of the
/// configuration) or `-v` (its version), as getopt(3) finds them anywhere among the words.
fn runs(words: &[Vec<u8>]) -> bool {
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        let Some(flags) = word.strip_prefix(b"-") else {
            continue;
        };
        if flags == b"-" {
            break;
        }
        for (n, flag) in flags.iter().enumerate() {
            match flag {
                b't' | b'v' => return false,
                // The rest of the word is its value, or else the next word.
                b'c' | b'l' => {
                    if n + 1 == flags.len() {
                        words.next();
                    }
                    break;
                }
                _ => {}
            }
        }
    }
    true
}

/// The process of the record, if it still lives. Another executable is no other process if it is
/// corosync by now: the record may be from before a wrapper's exec.
fn recorded(proc: &Proc, run_dir: &Path) -> Option<Process> {
    let bytes = file::read_bounded(&run_dir.join(RECORD), 4096).ok()??;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    if record.pid <= 0 || !proc.boot_id().is_ok_and(|b| b == record.boot) {
        return None;
    }
    let id = proc.identify(Pid(record.pid)).ok()??;
    if id.starttime != record.starttime || (id.exe != record.exe && !is_corosync(proc, id.pid)) {
        return None;
    }
    let mut found = hold(proc, id, run_dir)?;
    found.from = record.from;
    Some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sys::pidfd::Exit;
    use crate::sys::tool;
    use std::time::Duration;

    #[test]
    fn what_only_checks_or_tells_its_version_is_told_by_its_words() {
        let of = |line: &str| {
            let words: Vec<Vec<u8>> = line.split(' ').map(|w| w.as_bytes().to_vec()).collect();
            runs(&words)
        };
        for yes in [
            "corosync",
            "corosync -f",
            "corosync -f -c /etc/t.conf",
            "corosync -fc /t -l /v",
            "corosync -fc/etc/t",
            "corosync -c -t",
            "corosync -l -v",
            "corosync -f -- -t",
            "/bin/sh /usr/sbin/corosync -f",
        ] {
            assert!(of(yes), "{yes}");
        }
        for no in [
            "corosync -t",
            "corosync -v",
            "corosync -ft",
            "corosync -c /x -t",
            "corosync -c/x -t",
            "corosync -tc /x",
            "corosync -fvc/x",
            "corosync x -t",
            "corosync - -t",
        ] {
            assert!(!of(no), "{no}");
        }
        assert!(runs(&[]));
    }

    /// corosync's check has its name and its executable, and runs while corosync does not.
    #[test]
    fn a_check_that_we_run_is_no_corosync_to_adopt_and_keeps_its_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("corosync");
        std::fs::copy("/bin/sleep", &bin).unwrap();
        let paths = CorosyncPaths {
            bin: bin.clone(),
            conf: dir.path().join("corosync.conf"),
            authkey: dir.path().join("authkey"),
            pid: dir.path().join("corosync.pid"),
        };
        std::fs::write(&paths.conf, "").unwrap();
        let check = std::thread::spawn(move || {
            tool::run(&bin, &["corosync", "1"], Duration::from_secs(60)).unwrap()
        });
        let mut seen = false;
        while !check.is_finished() {
            let real = real_bin(&paths);
            seen |= !Proc::default()
                .find_process("corosync", Some(&real))
                .unwrap()
                .is_empty();
            assert!(Process::find(&paths, dir.path()).unwrap().is_none());
        }
        assert!(seen, "it ran");
        assert_eq!(check.join().unwrap().exit, Some(Exit::Code(0)));
    }
}
