//! What somebody may have removed from under the daemon: its socket and its pid file are made again.

use super::locks::Locks;
use crate::error::Result;
use crate::service::local::Renewer;
use crate::sys::{file, sock};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;

/// The locks, between the monitor and the end of the daemon, which comes after the monitor's.
pub(super) type SharedLocks = Arc<Mutex<Option<Locks>>>;

/// Looked after once a period, by the monitor.
#[derive(Debug)]
pub(super) struct Keep {
    pub(super) run_dir: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) group: u32,
    pub(super) local: Renewer,
    /// Taken out while they are looked at: there is no I/O under a lock.
    pub(super) locks: SharedLocks,
    /// The last failure: told once.
    pub(super) failed: Option<String>,
}

impl Keep {
    pub(super) fn look(&mut self) {
        let failed = self.make_again().err().map(|e| e.to_string());
        if let Some(e) = failed.as_ref().filter(|e| self.failed.as_ref() != Some(*e)) {
            log::error!("{e}");
        }
        self.failed = failed;
    }

    fn make_again(&self) -> Result<()> {
        if !self.run_dir.exists() {
            file::make_dir(&self.run_dir, 0o755)?;
        }
        // First, so that another clusmgr that comes just now finds this one.
        let locks = self.locks.lock().take();
        if let Some(mut locks) = locks {
            let kept = locks.keep();
            *self.locks.lock() = Some(locks);
            kept?;
        }
        if !self.socket.exists() {
            self.local
                .renew(sock::bind_local(&self.socket, Some(self.group))?);
            log::warn!("{} was removed: it is made again", self.socket.display());
        }
        Ok(())
    }
}
