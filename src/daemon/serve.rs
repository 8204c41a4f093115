//! The running daemon: the main thread's signals, and the end, in the reverse order of the start.

use super::keep::SharedLocks;
use super::reload::Reload;
use super::supervisor;
use crate::driver::change::{Request, What};
use crate::error::{Error, Kind::Busy};
use crate::event::{Kind, Note, Severity};
use crate::log as cm_log;
use crate::mgr::Manager;
use crate::mgr::state::Input;
use crate::sys::signal::Signals;
use crate::sys::sock;
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a SIGHUP waits for a change that is under way, and how often it looks. One that checks, restarts
/// and goes back takes some minutes at most.
const BUSY_FOR: Duration = Duration::from_secs(600);
const BUSY_STEP: Duration = Duration::from_millis(200);
/// Beyond the stop time-out, how long the end may take: a killed corosync, and a slow disk.
const STOP_MARGIN: Duration = Duration::from_secs(30);

/// How long the monitor may take to be gone once it says that it ends, or is told to leave.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long `cm-watch` may take to say good-bye to corosync.
const WATCH_ENDS: Duration = Duration::from_secs(1);

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) manager: Arc<Manager>,
    pub(super) signals: Signals,
    pub(super) events: JoinHandle<()>,
    pub(super) watch: Option<JoinHandle<()>>,
    pub(super) log: cm_log::Handle,
    pub(super) reload: Reload,
    pub(super) stop_timeout: Duration,
    pub(super) poll_interval: Duration,
    pub(super) socket: PathBuf,
    pub(super) locks: SharedLocks,
}

impl Daemon {
    /// Serves until a signal ends it.
    pub(super) fn run_to_end(self) {
        supervisor::ready();
        let leaves = self.obey_signals();
        let data = self.manager.driver_data();
        // In the reverse order of their start.
        if let Some(monitor) = self.manager.with(|m| m.cl_hdl.take()) {
            // One that hangs in the kernel must not keep the daemon for ever; it ends with the process.
            if ends_by(&monitor, Instant::now() + LAST_WORDS) {
                join("cm-monitor", monitor);
            } else {
                log::error!("thread cm-monitor does not end and is left behind");
            }
        }
        self.manager.end_peers();
        data.end_watch();
        if let Some(watch) = self.watch {
            // corosync's libraries have no time-out: one that is stopped, and left so, holds the thread.
            if ends_by(&watch, Instant::now() + WATCH_ENDS) {
                join("cm-watch", watch);
            } else {
                log::warn!("corosync does not answer; thread cm-watch is left behind");
            }
        }
        // What cm-watch told of the end.
        self.manager.pass_last_events();
        if let Some(service) = self.manager.with(|m| m.cl_svc_hdl_remote.take()) {
            service.stop();
        }
        if let Some(service) = self.manager.with(|m| m.cl_svc_hdl.take()) {
            service.stop();
        }
        sock::remove(&self.socket);
        let text = if leaves {
            "corosync is left as it is"
        } else {
            "corosync is stopped"
        };
        data.evt_public_queue()
            .push(Note::new(Kind::DaemonStopped, Severity::Notice, text));
        data.evt_public_queue().close();
        join("cm-events", self.events);
        self.log.shutdown();
        let locks = self.locks.lock().take();
        drop(locks);
    }

    /// Serves until the monitor has ended; true if corosync is left as it is.
    fn obey_signals(&self) -> bool {
        let watch = supervisor::watchdog();
        loop {
            match self.signals.wait(watch.map(|w| w / 2)) {
                Some(Signal::SIGTERM | Signal::SIGINT) => return self.end(Input::Shutdown),
                Some(Signal::SIGQUIT) => return self.end(Input::Leave),
                Some(Signal::SIGHUP) => self.take_in(),
                Some(Signal::SIGUSR1) => self.write_state(),
                _ => {}
            }
            // A monitor that no longer looks is what the watchdog is for.
            if watch.is_some_and(|w| self.manager.quiet_for() < w.max(self.poll_interval * 2)) {
                supervisor::alive();
            }
        }
    }

    /// Ends the monitor; true if corosync is left as it is. QUIT still counts while TERM is obeyed.
    fn end(&self, input: Input) -> bool {
        let mut leaves = input == Input::Leave;
        self.reload.end();
        let limit = self.stop_timeout + STOP_MARGIN;
        supervisor::stopping(limit);
        self.manager.tell(input, "a signal");
        let deadline = Instant::now() + limit;
        while !self
            .manager
            .wait_ended(deadline.min(Instant::now() + Duration::from_millis(100)))
        {
            if self.signals.wait(Some(Duration::ZERO)) == Some(Signal::SIGQUIT) {
                leaves = true;
                self.manager.tell(Input::Leave, "a signal");
            }
            if Instant::now() >= deadline {
                log::error!(
                    "corosync did not end within {} s and is left as it is",
                    limit.as_secs()
                );
                self.manager.tell(Input::Leave, "the deadline");
                return true;
            }
        }
        leaves
    }

    /// SIGHUP: takes the live configuration in, as `config adopt`. On a thread of its own: corosync's
    /// check takes its time, and signals go on being heard. A client's change that is under way
    /// refuses it, as any second change.
    fn take_in(&self) {
        supervisor::reloading();
        let manager = Arc::clone(&self.manager);
        let adopt = move || {
            let request = Request {
                what: What::Adopt,
                this_node_only: true,
                by: "SIGHUP".to_owned(),
            };
            // Another change may be under way: nobody is there who could try again.
            let end = Instant::now() + BUSY_FOR;
            let again = |e: &Error| e.of_kind() == Busy && Instant::now() < end;
            let outcome = loop {
                match manager.change(&request, false) {
                    Err(e) if again(&e) => {
                        if manager.wait_ended(Instant::now() + BUSY_STEP) {
                            return;
                        }
                    }
                    outcome => break outcome,
                }
            };
            match outcome {
                // Nor to read a report.
                Ok(report) => report
                    .warnings
                    .iter()
                    .for_each(|w| log::warn!("SIGHUP: {w}")),
                Err(e) => manager.publish(Note::new(Kind::ConfigBad, Severity::Err, e.to_string())),
            }
        };
        if let Err(e) = self.reload.ask(adopt, supervisor::ready) {
            log::error!("start thread cm-change: {e}");
            supervisor::ready();
        }
    }

    /// SIGUSR1: the state, to the log.
    fn write_state(&self) {
        match serde_json::to_string(&self.manager.status()) {
            Ok(text) => log::info!(target: "notice", "state: {text}"),
            Err(e) => log::error!("state: {e}"),
        }
    }
}

/// Whether a thread that is about to end has ended by a deadline.
fn ends_by<T>(thread: &JoinHandle<T>, deadline: Instant) -> bool {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

fn join(name: &str, thread: JoinHandle<()>) {
    if thread.join().is_err() {
        log::error!("thread {name} panicked");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_thread_that_does_not_end_is_waited_for_until_the_deadline_only() {
        let (end, wait) = channel::<()>();
        let thread = std::thread::spawn(move || wait.recv().is_err());
        let began = Instant::now();
        assert!(!ends_by(&thread, began + Duration::from_millis(50)));
        assert!(began.elapsed() < Duration::from_secs(10));
        drop(end);
        assert!(ends_by(&thread, began + Duration::from_secs(60)));
        assert!(thread.join().unwrap());
    }
}
