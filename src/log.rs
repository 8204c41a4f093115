//! The log: a thread of its own (`cm-log`), so that no other ever waits for syslogd or a terminal.
//!
//! Lines go through a bounded queue. What does not fit is dropped, counted, and told once there is
//! room again. Toward syslogd the thread has a time-out, keeps the line it could not write, and
//! comes back after a restart of syslogd; datagram sockets only, which every syslogd has. The
//! syslog crate gives facilities, severities and the format of a line; its own transports block
//! for ever on a full `/dev/log` and never reconnect.
//!
//! Severities: crit for quorum lost, err for what failed, warning for what is degraded, notice for
//! transitions, info for detail, debug for the rest. The first and the fourth are no levels of the
//! log crate: ask for them with `target: "crit"` (at `error!`) and `target: "notice"` (at `info!`).

mod sink;

pub use sink::{facility, sockets};

use crate::error::{Error, Result, one_line};
use crate::types::WallMs;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{Level, LevelFilter, Log, Metadata, Record};
use sink::Sink;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use syslog::Facility;

/// Lines that wait to be written.
pub const QUEUE: usize = 1024;

/// A longer line is cut: syslogd's own bound is 8 KiB or less.
pub const LINE_MAX: usize = 4096;

/// How long [`Handle::shutdown`] waits for the lines that are still queued.
pub const FLUSH: Duration = Duration::from_secs(2);

/// Between two attempts to reach a syslogd that is not there: the first wait and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));

/// How long a syslogd that is not there is waited for at the end.
const RESTART: Duration = Duration::from_millis(300);

/// Where the log goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// Standard error, with time (UTC) and severity.
    Stderr,
    /// The local syslogd: the first of these sockets that answers.
    Syslog {
        /// See [`facility`].
        facility: Facility,
        /// Candidates, in order; [`sockets`] has the usual ones.
        paths: Vec<PathBuf>,
    },
}

/// How urgent a line is, in syslog's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Severity {
    fn of(meta: &Metadata<'_>) -> Severity {
        match (meta.level(), meta.target()) {
            (_, "crit") => Severity::Crit,
            (_, "notice") => Severity::Notice,
            (Level::Error, _) => Severity::Err,
            (Level::Warn, _) => Severity::Warning,
            (Level::Info, _) => Severity::Info,
            (Level::Debug | Level::Trace, _) => Severity::Debug,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Severity::Crit => "crit",
            Severity::Err => "err",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
            Severity::Info => "info",
            Severity::Debug => "debug",
        }
    }

    fn syslog(self) -> syslog::Severity {
        match self {
            Severity::Crit => syslog::Severity::LOG_CRIT,
            Severity::Err => syslog::Severity::LOG_ERR,
            Severity::Warning => syslog::Severity::LOG_WARNING,
            Severity::Notice => syslog::Severity::LOG_NOTICE,
            Severity::Info => syslog::Severity::LOG_INFO,
            Severity::Debug => syslog::Severity::LOG_DEBUG,
        }
    }
}

#[derive(Debug)]
struct Line {
    at: WallMs,
    severity: Severity,
    text: String,
}

/// What the other threads hold: the queue's entrance.
#[derive(Debug)]
struct Logger {
    level: LevelFilter,
    queue: Sender<Line>,
    dropped: Arc<AtomicU64>,
}

impl Log for Logger {
    fn enabled(&self, meta: &Metadata<'_>) -> bool {
        meta.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = Line {
            at: WallMs::now(),
            severity: Severity::of(record.metadata()),
            text: bounded_line(&one_line(record.args())),
        };
        if self.queue.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Does nothing: nobody may wait for the log but [`Handle::shutdown`].
    fn flush(&self) {}
}

fn bounded_line(text: &str) -> String {
    let mut end = text.len().min(LINE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The running log; it ends when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Handle {
    thread: JoinHandle<()>,
    stop: Sender<Instant>,
    done: Receiver<()>,
}

impl Handle {
    /// Writes what is queued, for [`FLUSH`] at most, and ends the thread. One that is stuck in a
    /// write is left behind. What is logged from now on is lost.
    pub fn shutdown(self) {
        self.shutdown_within(FLUSH);
    }

    fn shutdown_within(self, limit: Duration) {
        let until = Instant::now() + limit;
        let _ = self.stop.send(until);
        // The thread drops its end when it is done; nothing is ever sent on it.
        if self.done.recv_deadline(until) == Err(RecvTimeoutError::Disconnected) {
            let _ = self.thread.join();
        }
    }
}

/// Starts the log thread and makes it the log crate's logger. Once in a process, after detaching.
///
/// # Errors
/// If there is a logger already, or no thread can be made.
pub fn start(target: Target, level: LevelFilter) -> Result<Handle> {
    let (logger, handle) = spawn(target, level)?;
    log::set_boxed_logger(Box::new(logger)).map_err(|e| Error::new("start", "the log", e))?;
    log::set_max_level(level);
    Ok(handle)
}

fn spawn(target: Target, level: LevelFilter) -> Result<(Logger, Handle)> {
    let (queue, lines) = bounded(QUEUE);
    let (stop, stopped) = bounded(1);
    let (ended, done) = bounded::<()>(0);
    let dropped = Arc::new(AtomicU64::new(0));
    let writer = Writer {
        lines,
        stopped,
        dropped: Arc::clone(&dropped),
        until: None,
        sink: Sink::new(target),
    };
    let thread = thread::Builder::new()
        .name("cm-log".to_owned())
        .spawn(move || {
            writer.run();
            drop(ended);
        })
        .map_err(|e| Error::io("start", "the log thread", &e))?;
    let logger = Logger {
        level,
        queue,
        dropped,
    };
    Ok((logger, Handle { thread, stop, done }))
}

/// The thread: takes lines out of the queue and writes them, one after the other.
struct Writer {
    lines: Receiver<Line>,
    stopped: Receiver<Instant>,
    dropped: Arc<AtomicU64>,
    until: Option<Instant>,
    sink: Sink,
}

impl Writer {
    fn run(mut self) {
        while let Some(line) = self.next() {
            if !self.write(&line) {
                return;
            }
            // Told as soon as a line goes out again.
            let lost = self.dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                let told = Line {
                    at: WallMs::now(),
                    severity: Severity::Warning,
                    text: format!("{lost} log lines were dropped"),
                };
                if !self.write(&told) {
                    return;
                }
            }
        }
    }

    /// The next line; none when we are to end and the queue is empty.
    fn next(&mut self) -> Option<Line> {
        if self.until.is_none() {
            crossbeam_channel::select! {
                recv(self.lines) -> line => return line.ok(),
                recv(self.stopped) -> until => self.until = Some(until.unwrap_or_else(|_| Instant::now())),
            }
        }
        self.lines.try_recv().ok()
    }

    /// Writes a line, however long that takes; false if we are to end first.
    fn write(&mut self, line: &Line) -> bool {
        let mut wait = RETRY.0;
        let mut ends: Option<Instant> = None;
        loop {
            let written = self.sink.write(line);
            let there = matches!(&written, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
            match written {
                Ok(()) => return true,
                // It is there, and took its time to take nothing.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => wait = Duration::ZERO,
                Err(_) => wait = (wait * 2).clamp(RETRY.0, RETRY.1),
            }
            if self.until.is_none() {
                self.until = match self.stopped.recv_timeout(wait) {
                    Ok(until) => Some(until),
                    Err(RecvTimeoutError::Timeout) => None,
                    // The handle was dropped: nobody waits.
                    Err(RecvTimeoutError::Disconnected) => Some(Instant::now()),
                };
            } else {
                thread::sleep(wait.min(RETRY.0));
            }
            // At the end, a syslogd that is not there is waited for no longer than its restart takes.
            if self.until.is_some() && !there {
                ends = ends.or_else(|| Some(Instant::now() + RESTART));
            }
            if [self.until, ends]
                .into_iter()
                .flatten()
                .any(|until| Instant::now() >= until)
            {
                return false;
            }
        }
    }
}

/// `2026-01-31T23:59:59.123Z`.
fn utc(at: WallMs) -> String {
    let (days, ms) = (at.0 / 86_400_000, at.0 % 86_400_000);
    // Days to a date, in years that begin on 1 March, so that a leap day is the last one
    // (H. Hinnant, chrono-compatible low-level date algorithms).
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let frac = ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{frac:03}Z")
}

#[cfg(test)]
mod tests;
