//! Pid files, held under fcntl(2) locks: our own, those that only lock something, and corosync's.
//!
//! A file without a lock is stale, whatever is in it; `kill -0` is never asked. Two properties of
//! these locks matter. They are not inherited by fork, so the lock is taken in the last process,
//! after detaching. And a process loses them when it closes *any* descriptor of the file, so this
//! module remembers what it holds and never opens that a second time.

use crate::error::{Error, Result};
use crate::sys::file;
use crate::sys::host::own_pid;
use crate::sys::procfs::Proc;
use crate::types::Pid;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use parking_lot::Mutex;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A pid file holds less than this many bytes.
const MAX_LEN: u64 = 32;

/// How often the file may be replaced under us before we give up.
const TRIES: usize = 100;
/// How long one that was killed may take to let go, and how often that is looked at. Its locks go with the
/// last of its threads, and one that waits for a disk ends after the first.
const LET_GO: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

/// Device and inode of what this process holds.
static HELD: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// Our own pid file: locked as long as this lives, removed when it is dropped.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    path: PathBuf,
    id: (u64, u64),
    role: Role,
}

/// Who has the lock of a pid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: there is no such file, or it is stale.
    Nobody,
    /// This process.
    Process(Pid),
    /// A process that has no number in our pid namespace.
    Foreign,
}

impl PidFile {
    /// Locks the file and writes our pid into it. To be called in the final process, after every
    /// fork. What an earlier daemon, a stranger or a crash left there is taken over if nobody
    /// holds the lock. The mode is 0644, whatever the umask.
    ///
    /// # Errors
    /// If another daemon holds it (the error names its pid), if the path is a symbolic link or no
    /// regular file, or if it cannot be written.
    pub fn take(path: &Path) -> Result<PidFile> {
        take(
            path,
            &Role {
                write: "write pid file",
                take: "take pid file",
                object: path.display().to_string(),
                advice: "remove it, or name another with --pid-file",
            },
            LET_GO,
        )
    }

    /// As [`PidFile::take`], for a file that stands for something else, which the errors name.
    ///
    /// # Errors
    /// As [`PidFile::take`].
    pub fn lock(path: &Path, what: impl std::fmt::Display) -> Result<PidFile> {
        take(
            path,
            &Role {
                write: "write lock file",
                take: "lock",
                object: format!("{what} (by {})", path.display()),
                advice: "remove it",
            },
            LET_GO,
        )
    }

    /// Takes it again if somebody has removed it; what was put in its place is left alone.
    ///
    /// # Errors
    /// As [`PidFile::take`].
    pub fn keep(&mut self) -> Result<()> {
        if at(&self.path).is_some() {
            return Ok(());
        }
        // The monitor waits for nobody, and tries again.
        *self = take(&self.path, &self.role, Duration::ZERO)?;
        log::warn!("{} was removed: it is made again", self.path.display());
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(0o644))?;
        self.file.set_len(0)?;
        self.file.write_all(format!("{}\n", own_pid()).as_bytes())
    }
}

/// What a pid file is for, in the words of its errors.
#[derive(Debug, Clone)]
struct Role {
    write: &'static str,
    take: &'static str,
    object: String,
    advice: &'static str,
}

/// Waits so long for an owner that is about to be gone.
fn take(path: &Path, role: &Role, patience: Duration) -> Result<PidFile> {
    let fail = |e: &io::Error| Error::io(role.write, path.display(), e);
    if held(path) {
        return Err(taken(role, Some(own_pid())));
    }
    let patience = Instant::now() + patience;
    let mut tries = 0;
    while tries < TRIES {
        let file = open(path, role)?;
        let meta = file.metadata().map_err(|e| fail(&e))?;
        if !meta.is_file() {
            let e = Error::new(role.write, path.display(), "it is not a regular file");
            return Err(e.hint(role.advice));
        }
        match fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
            Ok(_) => {}
            Err(Errno::EACCES | Errno::EAGAIN) => {
                if is_ending(&file) && Instant::now() < patience {
                    std::thread::sleep(LOOK);
                    continue;
                }
                return Err(taken(role, first(&file, path)));
            }
            Err(e) => return Err(fail(&e.into())),
        }
        // Its last owner may have removed it between our open and our lock.
        let id = (meta.dev(), meta.ino());
        if at(path) != Some(id) {
            tries += 1;
            continue;
        }
        let mut ours = PidFile {
            file,
            path: path.to_path_buf(),
            id,
            role: role.clone(),
        };
        HELD.lock().push(id);
        ours.write().map_err(|e| fail(&e))?;
        return Ok(ours);
    }
    Err(Error::new(
        role.write,
        path.display(),
        "others keep replacing it",
    ))
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Only our own: an administrator may have put another file in its place.
        if at(&self.path) == Some(self.id) {
            let _ = fs::remove_file(&self.path);
        }
        HELD.lock().retain(|id| *id != self.id);
    }
}

/// Who holds the lock of a pid file, ours or corosync's (which locks its own in the same way).
///
/// # Errors
/// If the file is there and cannot be asked.
pub fn holder(path: &Path) -> Result<Holder> {
    let fail = |e: &io::Error| Error::io("look at pid file", path.display(), e);
    if held(path) {
        return Ok(Holder::Process(own_pid()));
    }
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    match opened {
        Ok(file) => lock_of(&file).map_err(|e| fail(&e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Holder::Nobody),
        Err(e) => Err(fail(&e)),
    }
}

/// The process that holds the lock of a pid file; none if nobody does, or it cannot be told.
#[must_use]
pub fn owner(path: &Path) -> Option<Pid> {
    match holder(path) {
        Ok(Holder::Process(pid)) => Some(pid),
        _ => None,
    }
}

/// The number in a pid file, alive or not; none if there is no such file.
///
/// # Errors
/// If the file holds anything but one pid above 0 in decimal digits and at most a newline.
pub fn read_pid(path: &Path) -> Result<Option<Pid>> {
    if held(path) {
        return Ok(Some(own_pid()));
    }
    let rubbish = || Error::new("read pid file", path.display(), "it does not hold a pid");
    match fs::metadata(path) {
        Ok(m) if m.is_file() && m.len() > MAX_LEN => return Err(rubbish()),
        _ => {}
    }
    match file::read_bounded(path, MAX_LEN)? {
        None => Ok(None),
        Some(bytes) => parse(&bytes).map(Some).ok_or_else(rubbish),
    }
}

fn parse(bytes: &[u8]) -> Option<Pid> {
    let digits = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if !digits.iter().all(u8::is_ascii_digit) || digits.first() == Some(&b'0') {
        return None;
    }
    let n = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Pid(n))
}

fn open(path: &Path, role: &Role) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|e| {
            if e.raw_os_error() == Some(Errno::ELOOP as i32) {
                Error::new(role.write, path.display(), "it is a symbolic link").hint(role.advice)
            } else {
                Error::io(role.write, path.display(), &e)
            }
        })
}

/// Device and inode at a path, not through a link.
fn at(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// Whether this process holds the file. It must then not be opened: closing it drops the lock.
fn held(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| HELD.lock().contains(&(m.dev(), m.ino())))
}

fn lock_of(file: &File) -> nix::Result<Holder> {
    let mut lock = whole_file();
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok(if i32::from(lock.l_type) == libc::F_UNLCK {
        Holder::Nobody
    } else if lock.l_pid > 0 {
        Holder::Process(Pid(lock.l_pid))
    } else {
        Holder::Foreign
    })
}

/// Whether who holds the lock is dead but for some of its threads, or has let go meanwhile.
fn is_ending(file: &File) -> bool {
    match lock_of(file) {
        Ok(Holder::Nobody) => true,
        Ok(Holder::Process(pid)) => match Proc::default().read_stat(pid) {
            Ok(Some(stat)) => matches!(stat.state, 'Z' | 'X'),
            Ok(None) => true,
            Err(_) => false,
        },
        Ok(Holder::Foreign) | Err(_) => false,
    }
}

/// The pid of the first daemon, for the error of the second: the lock's, else the file's.
fn first(file: &File, path: &Path) -> Option<Pid> {
    match lock_of(file) {
        Ok(Holder::Process(pid)) => Some(pid),
        _ => read_pid(path).ok().flatten(),
    }
}

fn taken(role: &Role, pid: Option<Pid>) -> Error {
    let cause = match pid {
        Some(pid) => format!("clusmgr already runs with pid {pid}"),
        None => "clusmgr already runs".to_owned(),
    };
    Error::new(role.take, &role.object, cause)
        .hint("stop that one first: a node's corosync has one clusmgr")
}

#[allow(clippy::cast_possible_truncation)] // the constants are small
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests;
