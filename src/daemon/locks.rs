//! What makes this the only clusmgr: its pid file, and locks on all that two must not share.

use super::flags::Flags;
use crate::error::Result;
use crate::paths;
use crate::sys::file;
use crate::sys::pidfile::PidFile;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Held as long as the daemon runs; all files go when this is dropped.
#[derive(Debug)]
pub(super) struct Locks {
    /// In reverse order of their taking.
    held: Vec<PidFile>,
}

impl Locks {
    /// The run directory, by the pid file, and corosync, by its configuration and its pid file:
    /// whatever directories another clusmgr was given, it is noticed here. To be called in the final
    /// process.
    ///
    /// # Errors
    /// If another clusmgr holds one of them (the error names its pid), or it cannot be written.
    pub(super) fn take(flags: &Flags) -> Result<Locks> {
        let mut held = vec![PidFile::take(&flags.pid_file)?];
        for owned in [&flags.corosync.conf, &flags.corosync.pid] {
            held.push(PidFile::lock(&lock_of(owned), owned.display())?);
        }
        Ok(Locks { held })
    }

    /// The state directory too, which exists: before anything is written there.
    ///
    /// # Errors
    /// As [`Locks::take`].
    pub(super) fn take_state(&mut self, dir: &Path) -> Result<()> {
        let lock = PidFile::lock(&dir.join(paths::LOCK_NAME), dir.display())?;
        self.held.push(lock);
        Ok(())
    }

    /// Takes those again whose files somebody has removed.
    ///
    /// # Errors
    /// As [`Locks::take`].
    pub(super) fn keep(&mut self) -> Result<()> {
        self.held.iter_mut().try_for_each(PidFile::keep)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        while self.held.pop().is_some() {}
    }
}

/// The lock of a file that may be in a directory where nobody can write: its name is a hash of the
/// file's real path.
fn lock_of(path: &Path) -> PathBuf {
    let real = file::real_path(path);
    let hash = Sha256::digest(real.as_os_str().as_bytes());
    let name: String = hash[..8].iter().map(|b| format!("{b:02x}")).collect();
    Path::new(paths::LOCK_DIR).join(OsStr::new(&format!("clusmgr-{name}.lock")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_has_one_lock_under_all_its_names() {
        let d = tempfile::tempdir().unwrap();
        let real = d.path().join("real");
        std::fs::create_dir(&real).unwrap();
        symlink(&real, d.path().join("link")).unwrap();
        let absent = lock_of(&real.join("x"));
        assert_eq!(lock_of(&d.path().join("link/x")), absent);
        std::fs::write(real.join("x"), "").unwrap();
        assert_eq!(lock_of(&real.join("x")), absent);
        symlink("real/x", d.path().join("y")).unwrap();
        assert_eq!(lock_of(&d.path().join("y")), absent);
        assert_ne!(lock_of(&real.join("z")), absent);
        assert_eq!(absent.parent(), Some(Path::new("/run")));
    }
}
