//! The two places for log lines: standard error, and syslogd's datagram socket.

use super::{Line, Target, utc};
use crate::error::{Error, Kind, Result};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;
use syslog::{Facility, Formatter3164, LogFormat};

/// How long one write to syslogd may take before we look whether we are to end.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) const FACILITIES: [(&str, Facility); 20] = [
    ("kern", Facility::LOG_KERN),
    ("user", Facility::LOG_USER),
    ("mail", Facility::LOG_MAIL),
    ("daemon", Facility::LOG_DAEMON),
    ("auth", Facility::LOG_AUTH),
    ("syslog", Facility::LOG_SYSLOG),
    ("lpr", Facility::LOG_LPR),
    ("news", Facility::LOG_NEWS),
    ("uucp", Facility::LOG_UUCP),
    ("cron", Facility::LOG_CRON),
    ("authpriv", Facility::LOG_AUTHPRIV),
    ("ftp", Facility::LOG_FTP),
    ("local0", Facility::LOG_LOCAL0),
    ("local1", Facility::LOG_LOCAL1),
    ("local2", Facility::LOG_LOCAL2),
    ("local3", Facility::LOG_LOCAL3),
    ("local4", Facility::LOG_LOCAL4),
    ("local5", Facility::LOG_LOCAL5),
    ("local6", Facility::LOG_LOCAL6),
    ("local7", Facility::LOG_LOCAL7),
];

/// Where syslogd listens on the systems we know.
#[must_use]
pub fn sockets() -> Vec<PathBuf> {
    vec!["/dev/log".into(), "/var/run/syslog".into()]
}

/// The syslog facility of a name, as in syslog.conf(5).
///
/// # Errors
/// [`Kind::Usage`] for an unknown one; it lists the names.
pub fn facility(name: &str) -> Result<Facility> {
    let known = FACILITIES.iter().find(|(n, _)| *n == name);
    known.map(|(_, f)| *f).ok_or_else(|| {
        let names: Vec<&str> = FACILITIES.iter().map(|(n, _)| *n).collect();
        Error::new("find syslog facility", name, "there is no such facility")
            .hint(format_args!("name one of {}", names.join(", ")))
            .kind(Kind::Usage)
    })
}

/// Where the log thread writes.
pub(super) enum Sink {
    Stderr,
    Syslog {
        format: Box<Formatter3164>,
        paths: Vec<PathBuf>,
        socket: Option<UnixDatagram>,
    },
}

impl Sink {
    pub(super) fn new(target: Target) -> Sink {
        match target {
            Target::Stderr => Sink::Stderr,
            Target::Syslog { facility, paths } => Sink::Syslog {
                format: Box::new(Formatter3164 {
                    facility,
                    hostname: None,
                    process: "clusmgr".to_owned(),
                    pid: std::process::id(),
                }),
                paths,
                socket: None,
            },
        }
    }

    /// Writes one line. [`io::ErrorKind::WouldBlock`]: the other side took nothing within the
    /// time-out; any other error: it is not there.
    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        match self {
            Sink::Stderr => {
                let (at, name) = (utc(line.at), line.severity.name());
                // A terminal that is gone must not stop the queue.
                let _ = writeln!(io::stderr(), "{at} {name}: {}", line.text);
                Ok(())
            }
            Sink::Syslog {
                format,
                paths,
                socket,
            } => {
                let text = datagram(format, line);
                if let Some(s) = socket {
                    match s.send(&text) {
                        Ok(_) => return Ok(()),
                        Err(e) if is_full(&e) => return Err(io::ErrorKind::WouldBlock.into()),
                        // syslogd went, and perhaps came back: try the new one at once.
                        Err(_) => *socket = None,
                    }
                }
                let s = connect(paths)?;
                let sent = s.send(&text);
                *socket = Some(s);
                match sent {
                    Ok(_) => Ok(()),
                    Err(e) if is_full(&e) => Err(io::ErrorKind::WouldBlock.into()),
                    Err(e) => {
                        *socket = None;
                        Err(io::Error::other(e))
                    }
                }
            }
        }
    }
}

/// The time-out of a write went by.
fn is_full(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn connect(paths: &[PathBuf]) -> io::Result<UnixDatagram> {
    let mut last = io::ErrorKind::NotFound.into();
    for path in paths {
        let socket = UnixDatagram::unbound()?;
        match socket.connect(path) {
            Ok(()) => {
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
                return Ok(socket);
            }
            // Never of the kind that means a full queue.
            Err(e) => last = io::Error::other(e),
        }
    }
    Err(last)
}

/// `<PRIORITY>clusmgr[PID]: TEXT`. The crate puts a time in front of the name, in UTC, where every
/// syslogd expects local time; without one syslogd uses its own clock (RFC 3164, 4.3).
fn datagram(format: &Formatter3164, line: &Line) -> Vec<u8> {
    const STAMP: usize = "Jan 01 00:00:00 ".len();
    let mut text = Vec::with_capacity(64 + line.text.len());
    // Writing to memory does not fail.
    let _ = format.format(&mut text, line.severity.syslog(), &line.text);
    if let Some(at) = text.iter().position(|&b| b == b'>') {
        text.drain(at + 1..(at + 1 + STAMP).min(text.len()));
    }
    text
}
