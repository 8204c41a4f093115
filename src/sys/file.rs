//! Whole files: written so that nobody ever sees half of one, and read within bounds.
//!
//! A path may be a symbolic link, as configuration files are on appliances: the link stays, and
//! the real file behind it is read and replaced. The directories are trusted: only their owner
//! and root may be able to write there. No error holds any content.

mod latest;

pub use latest::{Latest, last_line};

use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use std::fs::{self, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How the name of every temporary file begins; 16 hexadecimal digits follow.
pub const TEMP_PREFIX: &str = ".clusmgr-tmp.";

/// How many links a path may lead through.
const MAX_LINKS: usize = 16;

/// What [`write_atomic`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Content, mode and owner were already so: nothing was written at all.
    Same,
    /// There was a file, and it was replaced.
    Replaced,
    /// There was none.
    Created,
}

/// Puts a file with this content and mode in place, whole or not at all.
///
/// Temporary file beside the real one (never through a link), mode before content and whatever
/// the umask, fsync, rename, fsync of the directory. The new file belongs to the caller's
/// effective user; the group of the old one is kept where that is allowed. On any failure the
/// old file is as it was, and the temporary one is removed. If only the last fsync fails, the new
/// file is in place and the error says so.
///
/// # Errors
/// If any step fails, or if something other than a regular file is in the place.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<Written> {
    put(path, bytes, mode, true, &|| Ok(()))
}

/// As [`write_atomic`], if the check right before the new file takes its place has no objection: writing
/// takes its time, and somebody else may write too.
///
/// # Errors
/// As [`write_atomic`], and what the check says.
pub fn write_atomic_if(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    check: &dyn Fn() -> Result<()>,
) -> Result<Written> {
    put(path, bytes, mode, true, check)
}

/// As [`write_atomic`], for what says nothing once the machine has booted again: nobody sees half
/// of the file, but it is not synced, so that a slow disk costs no time. After a power loss it may
/// be the old file, the new one or an empty one.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_for_this_boot(path: &Path, bytes: &[u8], mode: u32) -> Result<Written> {
    put(path, bytes, mode, false, &|| Ok(()))
}

fn put(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    lasting: bool,
    check: &dyn Fn() -> Result<()>,
) -> Result<Written> {
    let fail = |e: &io::Error| Error::io("write", path.display(), e);
    let real = resolve(path).map_err(|e| fail(&e))?;
    let old = match fs::symlink_metadata(&real) {
        Ok(m) if m.is_file() => Some(m),
        Ok(_) => return Err(not_regular("write", path)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(fail(&e)),
    };
    if let Some(m) = &old {
        if is_same(&real, m, bytes, mode) {
            return Ok(Written::Same);
        }
    }
    let dir = parent(&real);
    let mut temp = Temp::create(dir).map_err(|e| fail(&e))?;
    temp.fill(bytes, mode, old.as_ref().map(MetadataExt::gid))
        .and_then(|()| {
            if lasting {
                temp.file.sync_all()
            } else {
                Ok(())
            }
        })
        .map_err(|e| fail(&e))?;
    check()?;
    temp.rename_to(&real).map_err(|e| fail(&e))?;
    if lasting {
        sync_dir(dir).map_err(|e| Error::io("sync the directory of", path.display(), &e))?;
    }
    Ok(if old.is_some() {
        Written::Replaced
    } else {
        Written::Created
    })
}

/// Removes what an earlier crash left of [`write_atomic`] in a directory, and counts it. For the
/// start, before anything writes there: it cannot tell a file left behind from one in use.
///
/// # Errors
/// If the directory cannot be listed, or a file not removed.
pub fn clean_temps(dir: &Path) -> Result<usize> {
    let mut removed = 0;
    let list = |e: &io::Error| Error::io("list", dir.display(), e);
    for entry in fs::read_dir(dir).map_err(|e| list(&e))? {
        let entry = entry.map_err(|e| list(&e))?;
        if is_temp(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("remove", path.display(), &e)),
            }
        }
    }
    Ok(removed)
}

/// The content of a regular file of at most `max` bytes; none if it is not there.
///
/// # Errors
/// If it is larger, not a regular file, or cannot be read.
pub fn read_bounded(path: &Path, max: u64) -> Result<Option<Vec<u8>>> {
    let Some((file, meta)) = open_regular("read", path)? else {
        return Ok(None);
    };
    let too_large = || {
        Error::new(
            "read",
            path.display(),
            format_args!("it is larger than {max} bytes"),
        )
        .hint("no file of this kind is so large: put the right one there, or name another")
    };
    if meta.len() > max {
        return Err(too_large());
    }
    let size = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    // One byte more than its size, so that reading to the end neither grows nor copies a secret.
    let mut bytes = Vec::with_capacity(size.saturating_add(1));
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", path.display(), &e))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        return Err(too_large());
    }
    Ok(Some(bytes))
}

/// Takes away every permission that `mode` does not have; adds none. Says whether it had to.
///
/// # Errors
/// If the file is not there, not a regular one, or its mode cannot be changed.
pub fn tighten(path: &Path, mode: u32) -> Result<bool> {
    let Some((file, meta)) = open_regular("tighten", path)? else {
        let e = io::Error::from(Errno::ENOENT);
        return Err(Error::io("tighten", path.display(), &e));
    };
    let have = meta.mode() & 0o7777;
    if have & !mode == 0 {
        return Ok(false);
    }
    file.set_permissions(Permissions::from_mode(have & mode))
        .map_err(|e| Error::io("tighten", path.display(), &e))?;
    Ok(true)
}

/// What changes when a file is written or replaced: cheap to compare, one stat(2) to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The file system's device number.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Last change of content, mode or owner, in nanoseconds since 1970.
    pub ctime_ns: i128,
}

impl FileId {
    /// Of the file at a path (behind any links); none if it is not there.
    ///
    /// # Errors
    /// If stat(2) fails otherwise.
    pub fn of(path: &Path) -> Result<Option<FileId>> {
        match fs::metadata(path) {
            Ok(m) => Ok(Some(FileId::from_metadata(&m))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("look at", path.display(), &e)),
        }
    }

    fn from_metadata(m: &fs::Metadata) -> FileId {
        let ns = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        FileId {
            dev: m.dev(),
            ino: m.ino(),
            size: m.size(),
            mtime_ns: ns(m.mtime(), m.mtime_nsec()),
            ctime_ns: ns(m.ctime(), m.ctime_nsec()),
        }
    }
}

/// Bytes that users other than root can still write to the file system of a path.
///
/// # Errors
/// If statvfs(3) fails.
pub fn free_space(path: &Path) -> Result<u64> {
    let v = nix::sys::statvfs::statvfs(path)
        .map_err(|e| Error::io("look at the free space of", path.display(), &e.into()))?;
    #[allow(clippy::useless_conversion)] // 32 bits wide on some machines
    Ok(u64::from(v.blocks_available()).saturating_mul(u64::from(v.fragment_size())))
}

/// Removes a file for good, behind any links, which stay; that it is not there is no failure.
///
/// # Errors
/// If it cannot be removed, or the directory not synced.
pub fn remove(path: &Path) -> Result<()> {
    let fail = |e: &io::Error| Error::io("remove", path.display(), e);
    let real = resolve(path).map_err(|e| fail(&e))?;
    match fs::remove_file(&real) {
        Ok(()) => sync_dir(parent(&real)).map_err(|e| fail(&e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fail(&e)),
    }
}

/// Makes the renames and removals in a directory last.
///
/// # Errors
/// Those of open(2) and fsync(2).
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The real place of a file that may be a link, also where nothing is there yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&at) {
            Ok(target) => at = parent(&at).join(target),
            // EINVAL: it is there, and no link.
            Err(e) if e.raw_os_error() == Some(Errno::EINVAL as i32) => return Ok(at),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(at),
            Err(e) => return Err(e),
        }
    }
    Err(Errno::ELOOP.into())
}

/// A path without symbolic links, also where the file itself is not there yet; as it is where it
/// cannot be told.
#[must_use]
pub fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    match (parent(path).canonicalize(), path.file_name()) {
        (Ok(dir), Some(name)) => dir.join(name),
        _ => path.to_path_buf(),
    }
}

/// Whether this process may run a file (`access(2)`, `X_OK`).
///
/// # Errors
/// Those of access(2).
pub fn executable(path: &Path) -> std::result::Result<(), Errno> {
    access(path, AccessFlags::X_OK)
}

/// Whether this process may write to what is at a path (`access(2)`, `W_OK`).
///
/// # Errors
/// Those of access(2).
pub fn writable(path: &Path) -> std::result::Result<(), Errno> {
    access(path, AccessFlags::W_OK)
}

/// Makes a directory, and what is missing above it (0755), whatever the umask; one that is there
/// stays as it is. Gives what was made, the topmost first.
///
/// # Errors
/// Those of mkdir(2) and chmod(2); what was made until then is removed again.
pub fn make_dir(path: &Path, mode: u32) -> Result<Vec<PathBuf>> {
    let fail = |at: &Path, e: &io::Error| Error::io("create", at.display(), e);
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|at| !at.as_os_str().is_empty() && !at.is_dir())
        .collect();
    let mut made = Vec::new();
    for at in missing.into_iter().rev() {
        let mode = if at == path { mode } else { 0o755 };
        let done = match fs::DirBuilder::new().mode(mode).create(at) {
            Ok(()) => {
                made.push(at.to_path_buf());
                fs::set_permissions(at, Permissions::from_mode(mode))
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && at.is_dir() => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = done {
            unmake_dirs(&made);
            return Err(fail(at, &e));
        }
    }
    Ok(made)
}

/// Removes directories that [`make_dir`] made, as far as they are empty.
pub fn unmake_dirs(made: &[PathBuf]) {
    for at in made.iter().rev() {
        let _ = fs::remove_dir(at);
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn not_regular(op: &str, path: &Path) -> Error {
    Error::new(op, path.display(), "it is not a regular file").hint("name a file, or move it away")
}

/// Opens for reading without waiting for the other end of a FIFO; none if it is not there.
fn open_regular(op: &str, path: &Path) -> Result<Option<(File, fs::Metadata)>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .and_then(|f| f.metadata().map(|m| (f, m)));
    match opened {
        Ok((_, m)) if !m.is_file() => Err(not_regular(op, path)),
        Ok(both) => Ok(Some(both)),
        // ENXIO: a socket, which cannot be opened.
        Err(e) if e.raw_os_error() == Some(Errno::ENXIO as i32) => Err(not_regular(op, path)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(op, path.display(), &e)),
    }
}

/// Whether the file has this content and mode, and is the caller's own.
fn is_same(path: &Path, m: &fs::Metadata, bytes: &[u8], mode: u32) -> bool {
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    m.mode() & 0o7777 == mode
        && m.len() == len
        && m.uid() == nix::unistd::geteuid().as_raw()
        // What is there may be a key.
        && matches!(read_bounded(path, len).map(|r| r.map(Zeroizing::new)), Ok(Some(have)) if *have == bytes)
}

fn is_temp(name: &str) -> bool {
    name.strip_prefix(TEMP_PREFIX)
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A temporary file, removed unless it was renamed.
struct Temp {
    file: File,
    path: PathBuf,
    done: bool,
}

impl Temp {
    fn create(dir: &Path) -> io::Result<Temp> {
        loop {
            // The keys of a RandomState come from the kernel, so nobody can lay a link there first;
            // O_EXCL refuses one in any case.
            let unique = RandomState::new().hash_one(0u8);
            let path = dir.join(format!("{TEMP_PREFIX}{unique:016x}"));
            let opened = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path);
            match opened {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
                Ok(file) => {
                    return Ok(Temp {
                        file,
                        path,
                        done: false,
                    });
                }
            }
        }
    }

    fn fill(&mut self, bytes: &[u8], mode: u32, group: Option<u32>) -> io::Result<()> {
        // The group first: a change of owner may clear mode bits. Not being allowed to keep it
        // only ever takes access away.
        let _ = group.map(|gid| fchown(&self.file, None, Some(gid)));
        self.file.set_permissions(Permissions::from_mode(mode))?;
        self.file.write_all(bytes)
    }

    fn rename_to(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
