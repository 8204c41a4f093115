//! The client's side of the protocol.

use super::text::brief;
use crate::error::{Error, Kind};
use crate::event;
use crate::sys::sock::connect_local;
use crate::wire::{
    AllReply, Answer, MAX_LINE, PROTO, ReplyLine, Request, RequestLine, Status, WireError,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Most characters of what is not understood.
const RUBBISH: usize = 400;

/// Why something was not done.
#[derive(Debug)]
pub enum Fail {
    /// We found out ourselves.
    Error(Error),
    /// The daemon says so; its words are a whole line already.
    Told(WireError),
    /// Nobody reads our output any more. Not worth a word.
    Pipe,
}

impl Fail {
    /// The kind, for the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Fail::Error(e) => e.of_kind(),
            Fail::Told(e) => e.kind(),
            Fail::Pipe => Kind::Failed,
        }
    }

    /// Whether asking again later may help: the daemon or the node is away, or too busy to answer.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Fail::Error(_) | Fail::Told(_) => {
                matches!(
                    self.kind(),
                    Kind::NotRunning | Kind::TimedOut | Kind::Busy | Kind::Unreachable
                )
            }
            Fail::Pipe => false,
        }
    }
}

impl Fail {
    /// As the daemon would say it on the wire.
    #[must_use]
    pub fn wire(&self) -> WireError {
        match self {
            Fail::Told(e) => e.clone(),
            other => WireError {
                code: other.kind().wire_code().to_owned(),
                message: other.to_string(),
            },
        }
    }
}

impl From<Error> for Fail {
    fn from(e: Error) -> Fail {
        Fail::Error(e)
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fail::Error(e) => e.fmt(f),
            Fail::Told(e) => f.write_str(&e.message),
            Fail::Pipe => f.write_str("write: nobody reads it"),
        }
    }
}

/// Short for a result with [`Fail`].
pub type Result<T> = std::result::Result<T, Fail>;

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    /// Read, and no whole line yet.
    rest: Vec<u8>,
    last_id: u64,
    timeout: Duration,
    /// The node that all requests are for; this one if none.
    node: Option<String>,
}

/// What a subscription brings.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// An event, as it came.
    Event(Value),
    /// The events from this number to the one before the other are gone.
    Lagged(u64, u64),
}

impl Client {
    /// Connects to the daemon's socket. The time-out is for this, and for every answer.
    ///
    /// # Errors
    /// Nobody is there ([`Kind::NotRunning`]), or we may not ([`Kind::Denied`]).
    pub fn connect(path: &Path, timeout: Duration) -> Result<Client> {
        Ok(Client {
            stream: connect_local(path, timeout)?,
            path: path.to_path_buf(),
            rest: Vec::new(),
            last_id: 0,
            timeout,
            node: None,
        })
    }

    /// From now on asks another node by way of this one's daemon.
    ///
    /// # Errors
    /// The daemon is from before nodes asked each other: it would not see the node's name in a request,
    /// and carry out on this node what is meant for another one.
    pub fn of(mut self, node: &str) -> Result<Client> {
        self.must_reach_nodes()?;
        self.node = Some(node.to_owned());
        Ok(self)
    }

    fn must_reach_nodes(&mut self) -> Result<()> {
        let asked = RequestLine::new(0, Request::PeerReport);
        match self.send(asked, Duration::ZERO) {
            Err(Fail::Told(e)) if e.kind() == Kind::Usage => Err(Error::new(
                "ask",
                "another node",
                "the clusmgr that runs here is older than this clusmgrctl, and cannot",
            )
            .hint("restart clusmgr; corosync goes on running if it is ended by SIGQUIT")
            .into()),
            other => other.map(|_| ()),
        }
    }

    fn failed(&self, e: &io::Error) -> Fail {
        Error::io("talk to", self.path.display(), e).into()
    }

    fn late(&self) -> Fail {
        Error::new(
            "talk to",
            self.path.display(),
            "clusmgr does not answer in time",
        )
        .hint("give it more by --timeout, or look at the daemon's log")
        .kind(Kind::TimedOut)
        .into()
    }

    fn rubbish(&self, cause: impl fmt::Display) -> Fail {
        // It may quote what came, which may be long and of another node's.
        let cause = brief(&cause.to_string(), RUBBISH);
        Error::new("talk to", self.path.display(), cause)
            .hint("use the clusmgrctl that came with the daemon")
            .into()
    }

    /// Asks, and waits for the answer; `more` on top of the time-out is what the request itself may
    /// take.
    ///
    /// # Errors
    /// The daemon refuses, goes away, or does not answer in time.
    pub fn call(&mut self, request: Request, more: Duration) -> Result<Value> {
        let node = self.node.clone();
        let line = RequestLine {
            node,
            ..RequestLine::new(0, request)
        };
        self.send(line, more)
    }

    /// Asks every configured node: as it came, and read.
    ///
    /// # Errors
    /// As [`Client::call`]; that one of them does not answer is none.
    pub fn everywhere(&mut self, request: Request) -> Result<(Value, AllReply)> {
        self.must_reach_nodes()?;
        let line = RequestLine {
            all: true,
            ..RequestLine::new(0, request)
        };
        let value = self.send(line, Duration::ZERO)?;
        let reply = serde_json::from_value(value.clone())
            .map_err(|e| self.rubbish(format_args!("the answer is not understood: {e}")))?;
        Ok((value, reply))
    }

    fn send(&mut self, mut line: RequestLine, more: Duration) -> Result<Value> {
        let deadline = Instant::now() + self.timeout + more;
        self.last_id += 1;
        line.id = self.last_id;
        // It may hold a key.
        let text = serde_json::to_string(&line).map_err(|e| self.rubbish(e))?;
        let mut text = Zeroizing::new(text);
        text.push('\n');
        if text.len() > MAX_LINE {
            let cause = format!(
                "the request has {} bytes, and at most {MAX_LINE} can be sent",
                text.len()
            );
            let e = Error::new("talk to", self.path.display(), cause);
            return Err(e
                .hint("take comments and unused sections out of the file")
                .into());
        }
        if let Err(e) = self.stream.write_all(text.as_bytes()) {
            match e.kind() {
                io::ErrorKind::WouldBlock => return Err(self.late()),
                // It may have said why before it hung up: that is read below.
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {}
                _ => return Err(self.failed(&e)),
            }
        }
        let reply = self.line(Some(deadline))?.ok_or_else(|| self.late())?;
        let reply: ReplyLine = serde_json::from_slice(&reply)
            .map_err(|e| self.rubbish(format_args!("the answer is not understood: {e}")))?;
        if let Some(proto) = reply.proto.filter(|p| *p != PROTO) {
            return Err(self.rubbish(format_args!("it speaks protocol {proto}, not {PROTO}")));
        }
        match reply.answer {
            // Id 0 is the daemon's when it was not even asked yet: all places taken.
            Answer::Err(e) if reply.id == self.last_id || reply.id == 0 => Err(Fail::Told(e)),
            Answer::Ok(value) if reply.id == self.last_id => Ok(value),
            _ => Err(self.rubbish("the answer is to another question")),
        }
    }

    /// Asks, and reads the answer into its type.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn ask<T: DeserializeOwned>(&mut self, request: Request) -> Result<T> {
        let value = self.call(request, Duration::ZERO)?;
        serde_json::from_value(value)
            .map_err(|e| self.rubbish(format_args!("the answer is not understood: {e}")))
    }

    /// Asks for the status: as it came, and read.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn status(&mut self) -> Result<(Value, Status)> {
        let value = self.call(Request::Status, Duration::ZERO)?;
        let status = serde_json::from_value(value.clone())
            .map_err(|e| self.rubbish(format_args!("the status is not understood: {e}")))?;
        Ok((value, status))
    }

    /// Subscribes to the events after a number, or from now on; [`Client::news`] brings them.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn subscribe(&mut self, since: Option<u64>) -> Result<()> {
        self.call(Request::Subscribe { since }, Duration::ZERO)?;
        Ok(())
    }

    /// The next event of a subscription; `None` if none comes before the deadline.
    ///
    /// # Errors
    /// The daemon goes away.
    pub fn news(&mut self, deadline: Option<Instant>) -> Result<Option<News>> {
        let Some(line) = self.line(deadline)? else {
            return Ok(None);
        };
        let value: Value = serde_json::from_slice(&line)
            .map_err(|e| self.rubbish(format_args!("an event is not understood: {e}")))?;
        let number = |name: &str| value["lagged"][name].as_u64();
        // The node that the stream comes from went away, and not the daemon that hands it on.
        if let Some(err) = value.get("err") {
            let e: WireError = serde_json::from_value(err.clone())
                .map_err(|e| self.rubbish(format_args!("an error is not understood: {e}")))?;
            return Err(Fail::Told(e));
        }
        Ok(Some(match (number("from"), number("next")) {
            (Some(from), Some(next)) => News::Lagged(from, next),
            _ => News::Event(value),
        }))
    }

    /// Takes an event that is here already; false if there is none.
    ///
    /// # Errors
    /// The daemon goes away.
    pub fn waiting(&mut self) -> Result<bool> {
        Ok(self.rest.contains(&b'\n') && self.news(None)?.is_some())
    }

    /// The next line without its newline; `None` if it is not whole before the deadline.
    fn line(&mut self, deadline: Option<Instant>) -> Result<Option<Vec<u8>>> {
        let mut scanned = 0;
        loop {
            if let Some(n) = self.rest[scanned..].iter().position(|b| *b == b'\n') {
                let after = self.rest.split_off(scanned + n + 1);
                let mut line = std::mem::replace(&mut self.rest, after);
                line.pop();
                return Ok(Some(line));
            }
            scanned = self.rest.len();
            if scanned >= MAX_LINE {
                return Err(self.rubbish("a line longer than the protocol allows"));
            }
            let left = match deadline {
                None => None,
                Some(d) => match d.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return Ok(None),
                    // Zero would mean for ever, and the kernel rounds down to it.
                    left => Some(left.max(Duration::from_millis(1))),
                },
            };
            self.stream
                .set_read_timeout(left)
                .map_err(|e| self.failed(&e))?;
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(self.gone()),
                Ok(n) => self.rest.extend_from_slice(&chunk[..n]),
                Err(e) => match e.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                        return Err(self.gone());
                    }
                    _ => return Err(self.failed(&e)),
                },
            }
        }
    }

    fn gone(&self) -> Fail {
        Error::new("talk to", self.path.display(), "clusmgr hung up")
            .hint("see clusmgrctl status, and the daemon's log")
            .kind(Kind::NotRunning)
            .into()
    }
}

/// An event with all its fields, if it is one.
#[must_use]
pub fn read_event(value: &Value) -> Option<event::Event> {
    serde_json::from_value(value.clone()).ok()
}
