//! The threads of a service's connections.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Deep enough for JSON nested as far as serde_json goes, in a debug build too.
pub(super) const STACK: usize = 256 * 1024;

/// Those that may still run.
#[derive(Debug, Default)]
pub(super) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Starts one; the kernel shows `prefix` and the connection's number as its name.
    ///
    /// # Errors
    /// No thread is to be had; `serve` is dropped.
    pub(super) fn spawn(
        &mut self,
        prefix: &str,
        id: u64,
        serve: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let name = format!("{prefix}{id}");
        let thread = Builder::new().name(name).stack_size(STACK).spawn(serve)?;
        self.0.push(thread);
        Ok(())
    }

    /// Joins those that have ended since.
    pub(super) fn reap(&mut self) {
        let all = std::mem::take(&mut self.0).into_iter();
        let (ended, run) = all.partition(JoinHandle::is_finished);
        self.0 = run;
        Threads(ended).join();
    }

    /// How many may still run.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Joins all.
    pub(super) fn join(self) {
        for thread in self.0 {
            let _ = thread.join();
        }
    }
}
