//! Questions to the running corosync that a change of the configuration has: a reload, and what runs.
//!
//! Each is asked on a thread of its own, `cm-ask`, with a connection of its own, and waited for until
//! a deadline: a reload waits for the ring, and every call hangs for as long as corosync does. One is
//! under way at a time; one that never comes back keeps the next ones away until corosync has ended.

use super::CorosyncSys;
use super::tools::Cmap as Values;
use super::value::is_secret_in_cmap;
use crate::error::{Error, Result};
use crate::sys::corosync::cfg::Cfg;
use crate::sys::corosync::cmap::{Cmap, Map};
use crate::sys::corosync::{CsError, CsResult, Libraries};
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// A reload waits for the ring, which rests for token and consensus when a peer dies.
const LIMIT: Duration = Duration::from_secs(30);
/// corosync's main loop answers this at once.
const SOON: Duration = Duration::from_secs(10);
/// What is asked while corosync synchronises is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// Set while a question is under way, and cleared by its thread however that ends.
struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl CorosyncSys {
    /// Has the running corosync read its files again.
    ///
    /// # Errors
    /// What corosync says; or that it did not answer in time.
    pub(super) fn reload(&self) -> Result<()> {
        self.ask("reload", "corosync", LIMIT, |libs| {
            Cfg::open(libs)?.reload()
        })
    }

    /// The running configuration.
    ///
    /// # Errors
    /// When corosync does not answer in time.
    pub(super) fn cmap(&self) -> Result<Values> {
        self.ask("read", "the running configuration", SOON, |libs| {
            let map = Cmap::open(libs, Map::Config)?.hiding(is_secret_in_cmap);
            let all = map.dump(None)?;
            Ok(all
                .into_iter()
                .map(|(key, value)| (key, value.text()))
                .collect())
        })
    }

    fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        of: &'static str,
        limit: Duration,
        question: impl Fn(&Arc<Libraries>) -> CsResult<T> + Send + 'static,
    ) -> Result<T> {
        let libs = self
            .libraries()
            .map_err(|e| Error::new(what, of, e.to_string()))?;
        if self.asking.swap(true, Ordering::AcqRel) {
            return Err(
                Error::new(what, of, "corosync still owes an earlier answer")
                    .hint("is it stopped or hanging?"),
            );
        }
        let turn = Turn(Arc::clone(&self.asking));
        let deadline = Instant::now() + limit;
        let (tell, told) = bounded(1);
        let thread = Builder::new().name("cm-ask".into()).stack_size(256 << 10);
        let asked = move || {
            let answer = loop {
                match question(&libs) {
                    Err(CsError::TRY_AGAIN) if Instant::now() < deadline => {
                        std::thread::sleep(AGAIN);
                    }
                    answer => break answer,
                }
            };
            drop(turn);
            // Nobody waits any more after the deadline.
            let _ = tell.send(answer);
        };
        thread
            .spawn(asked)
            .map_err(|e| Error::io("start", "thread cm-ask", &e))?;
        match told.recv_deadline(deadline) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(Error::new(what, of, e.to_string())),
            Err(RecvTimeoutError::Timeout) => {
                let cause = format!("it did not answer within {} s", limit.as_secs());
                Err(Error::new(what, of, cause).hint("is it stopped or hanging?"))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::new(what, of, "the thread that asked it is gone"))
            }
        }
    }
}
