//! One client of the local service, on a thread of its own.

use super::dispatch::{Caller, dispatch, read_request, refuse};
use super::follow::{Stream, follow};
use super::forward::Elsewhere;
use super::line::Lines;
use super::local::{Limits, Shared};
use super::table::End;
use super::{Manager, forward};
use crate::error::{Error, Kind};
use crate::event::Listen;
use crate::sys::ready::{Want, wait};
use crate::sys::wake::Waker;
use crate::wire::{Answer, MAX_LINE, PROTO, ReplyLine, Request, RequestLine};
use serde::Serialize;
use serde_json::json;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How often it is seen, by who follows another node, whether this node's key is still the one by which he
/// does so.
const KEY_LOOK: Duration = Duration::from_secs(2);

/// What other threads reach a connection by.
#[derive(Debug)]
pub(super) struct Slot {
    /// Non-blocking.
    pub(super) stream: Arc<UnixStream>,
    /// Ends the connection's wait: it has to end, or there is an event for it.
    pub(super) waker: Waker,
}

impl Slot {
    /// For one that does not read: the write that its thread waits in fails.
    pub(super) fn shut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Listen for Slot {
    fn something_new(&self) {
        self.waker.wake();
    }
}

/// A connection; [`Conn::serve`] is its thread.
pub(super) struct Conn {
    pub(super) id: u64,
    pub(super) slot: Arc<Slot>,
    pub(super) caller: Caller,
    pub(super) shared: Arc<Shared>,
    pub(super) manager: Arc<dyn Manager>,
    pub(super) greeted: bool,
}

/// A [`ReplyLine`] of one that went well.
#[derive(Serialize)]
struct OkLine<'a, T> {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    proto: Option<u32>,
    ok: &'a T,
}

/// The connection is over. Whatever was to be said has been said.
pub(super) struct Over;

impl Conn {
    /// Serves the client until one of both ends it.
    pub(super) fn serve(mut self) {
        let Over = self.requests();
        self.shared.leave(self.id);
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }

    fn requests(&mut self) -> Over {
        let mut lines = Lines::default();
        loop {
            while let Some(line) = lines.next(Instant::now()) {
                if let Err(over) = self.request(&line) {
                    return over;
                }
            }
            if lines.too_long() {
                let e = Error::new(
                    "read",
                    "request",
                    format_args!("a line over {MAX_LINE} bytes"),
                );
                let e = e.hint("send one JSON object a line, and a shorter one");
                return self.farewell(&e.kind(Kind::Usage));
            }
            if let Some(end) = self.shared.end(self.id) {
                return self.ended(end);
            }
            if let Err(over) = self.read(&mut lines) {
                return over;
            }
        }
    }

    /// Waits for bytes and reads some.
    fn read(&mut self, lines: &mut Lines) -> Result<(), Over> {
        let deadline = lines.begun().map(|b| b + self.limits().half_line);
        let what = [
            (self.slot.stream.as_fd(), Want::Read),
            (self.slot.waker.as_fd(), Want::Read),
        ];
        let [client, woken] = wait(what, deadline).map_err(|_| Over)?;
        if woken.ready {
            self.slot.waker.clear();
        }
        // Asked of the clock and not of the wait: who sends a byte now and then is late too.
        if deadline.is_some_and(|d| Instant::now() >= d) {
            let cause = "half a line, and no more of it in time";
            let e = Error::new("read", "request", cause).hint("send a whole line at a time");
            return Err(self.farewell(&e.kind(Kind::TimedOut)));
        }
        if !client.ready && !client.ended {
            return Ok(());
        }
        // What comes may hold a key, and the stack of a thread that has ended is kept for the next.
        let mut chunk = Zeroizing::new([0; 4096]);
        match (&*self.slot.stream).read(&mut *chunk) {
            Ok(0) if lines.begun().is_some() => {
                let cause = "it ends without a newline";
                let e = Error::new("read", "request", cause).hint("end every line with one");
                Err(self.farewell(&e.kind(Kind::Usage)))
            }
            Ok(0) => Err(Over),
            Ok(n) => {
                lines.push(&chunk[..n], Instant::now());
                Ok(())
            }
            Err(e) if would_block(&e) => Ok(()),
            Err(_) => Err(Over),
        }
    }

    fn request(&mut self, line: &[u8]) -> Result<(), Over> {
        if let Err(end) = self.shared.begin(self.id) {
            return Err(self.ended(end));
        }
        let (id, answer) = match read_request(line) {
            Err((id, e)) => (id, refuse(&e)),
            Ok(line) => match line.request {
                Request::Subscribe { since } => return self.subscribe(&line, since),
                _ if line.all || line.node.is_some() => {
                    let answer = forward::forward(
                        self.manager.as_ref(),
                        &line,
                        &self.caller,
                        self.slot.stream.as_fd(),
                    );
                    (line.id, answer)
                }
                Request::Status => {
                    let status = self.manager.status();
                    self.reply_ok(line.id, &status)?;
                    self.shared.done(self.id);
                    return Ok(());
                }
                request => (
                    line.id,
                    dispatch(self.manager.as_ref(), &request, &self.caller),
                ),
            },
        };
        self.reply(id, answer)?;
        self.shared.done(self.id);
        Ok(())
    }

    fn subscribe(&mut self, line: &RequestLine, since: Option<u64>) -> Result<(), Over> {
        let id = line.id;
        let there = match forward::elsewhere(self.manager.as_ref(), line) {
            Ok(there) => there,
            Err(e) => {
                self.reply(id, refuse(&e))?;
                self.shared.done(self.id);
                return Ok(());
            }
        };
        if !self.shared.subscribe(self.id) {
            let max = self.limits().subscribers;
            let e = Error::new(
                "subscribe",
                "events",
                format_args!("{max} clients do so already"),
            )
            .hint("end one of them, or read by \"events\"")
            .kind(Kind::Busy);
            self.reply(id, refuse(&e))?;
            self.shared.done(self.id);
            return Ok(());
        }
        if let Some(there) = there {
            return self.relay(id, &there, since);
        }
        let hub = self.manager.hub();
        let latest = hub.latest();
        // A number that was never used (of another node, or from before the state was lost) would
        // leave the client without events for ever; `from` tells it where it really begins.
        let after = since.unwrap_or(latest).min(latest);
        self.reply(id, Answer::Ok(json!({"from": after.saturating_add(1)})))?;
        let mut stream = Subscriber {
            conn: self,
            want: Want::Read,
        };
        Err(follow(&mut stream, &hub, after))
    }

    /// A subscription to another node: its lines are handed on as they come.
    fn relay(&mut self, id: u64, there: &Elsewhere, since: Option<u64>) -> Result<(), Over> {
        let (mut link, _turn) = match there.subscribe(since) {
            Ok((answer @ Answer::Ok(_), link, turn)) => {
                self.reply(id, answer)?;
                (link, turn)
            }
            other => {
                let answer = other.map_or_else(|e| refuse(&e), |(answer, ..)| answer);
                self.reply(id, answer)?;
                self.shared.unsubscribe(self.id);
                return Ok(());
            }
        };
        let mut want = Want::Read;
        loop {
            if !there.is_current(&link) {
                self.reply(id, refuse(&there.other_key()))?;
                return Err(Over);
            }
            while let Some(line) = match link.waiting() {
                Ok(line) => line,
                Err(trouble) => {
                    self.reply(id, refuse(&there.lost(&trouble)))?;
                    return Err(Over);
                }
            } {
                let text = std::str::from_utf8(&line).map_err(|_| Over)?;
                // Not patiently: of the turns to follow that node there are few.
                self.send(format!("{}\n", text.replace('\n', " ")).as_bytes())?;
            }
            if let Some(end) = self.shared.end(self.id) {
                return Err(self.ended(end));
            }
            let what = [
                (link.as_fd(), Want::Read),
                (self.slot.stream.as_fd(), want),
                (self.slot.waker.as_fd(), Want::Read),
            ];
            let look = Instant::now() + KEY_LOOK;
            let [_, client, woken] = wait(what, Some(look)).map_err(|_| Over)?;
            if woken.ready {
                self.slot.waker.clear();
            }
            if client.ended {
                return Err(Over);
            }
            if client.ready {
                self.forget(&mut want)?;
            }
        }
    }

    /// What a subscriber says is read and forgotten; that it will say nothing more is no reason to leave
    /// it.
    fn forget(&self, want: &mut Want) -> Result<(), Over> {
        match (&*self.slot.stream).read(&mut [0; 512]) {
            Ok(0) => *want = Want::End,
            Ok(_) => {}
            Err(e) if would_block(&e) => {}
            Err(_) => return Err(Over),
        }
        Ok(())
    }

    fn proto(&mut self) -> Option<u32> {
        (!std::mem::replace(&mut self.greeted, true)).then_some(PROTO)
    }

    fn reply(&mut self, id: u64, answer: Answer) -> Result<(), Over> {
        let proto = self.proto();
        self.send_reply(id, proto, reply_line(id, proto, answer))
    }

    /// As [`Conn::reply`], but made into JSON only once: `status` is large, and asked often.
    fn reply_ok(&mut self, id: u64, ok: &impl Serialize) -> Result<(), Over> {
        let proto = self.proto();
        let text = match serde_json::to_string(&OkLine { id, proto, ok }) {
            Ok(text) => text + "\n",
            Err(e) => reply_line(id, proto, refuse(&Error::new("write", "the answer", e))),
        };
        self.send_reply(id, proto, text)
    }

    fn send_reply(&self, id: u64, proto: Option<u32>, mut text: String) -> Result<(), Over> {
        if text.len() > MAX_LINE {
            let e = Error::new("write", "the answer", "it is longer than a line may be");
            text = reply_line(id, proto, refuse(&e));
        }
        self.send(text.as_bytes())
    }

    /// The last thing that is said.
    fn farewell(&mut self, e: &Error) -> Over {
        match self.reply(0, refuse(e)) {
            Ok(()) | Err(Over) => Over,
        }
    }

    fn ended(&mut self, end: End) -> Over {
        match end {
            // A client that waits for nothing finds the end of the stream when it next looks.
            End::Stopping => Over,
            End::Evicted => {
                let e = Error::new("serve", "client", "all places are taken, and it was idle");
                let e = e.hint("connect again").kind(Kind::Busy);
                let proto = (!self.greeted).then_some(PROTO);
                // Not one moment of waiting: the place is given away already.
                let _ = (&*self.slot.stream).write(reply_line(0, proto, refuse(&e)).as_bytes());
                Over
            }
        }
    }

    /// Writes all of it, or ends the connection: with the write deadline over the client is not
    /// reading, and must not cost anything for longer.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<(), Over> {
        let deadline = Instant::now() + self.limits().write;
        match send_some(&self.slot.stream, bytes, Some(deadline))? {
            [] => Ok(()),
            _ => Err(Over),
        }
    }

    /// As [`Conn::send`], to one that follows: with the deadline over it keeps its place until another
    /// client wants it. What comes meanwhile it gets from the journal, or is told that it lagged.
    fn send_patiently(&self, bytes: &[u8]) -> Result<(), Over> {
        let deadline = Instant::now() + self.limits().write;
        let late = send_some(&self.slot.stream, bytes, Some(deadline))?;
        if !late.is_empty() {
            if self.shared.end(self.id).is_some() {
                return Err(Over);
            }
            self.shared.stuck(self.id, true);
            send_some(&self.slot.stream, late, None)?;
            self.shared.stuck(self.id, false);
        }
        Ok(())
    }
}

/// A connection that has become a stream of events.
struct Subscriber<'a> {
    conn: &'a Conn,
    /// What is still waited for of the client.
    want: Want,
}

impl Stream for Subscriber<'_> {
    fn manager(&self) -> &dyn Manager {
        self.conn.manager.as_ref()
    }

    fn waker(&self) -> &Waker {
        &self.conn.slot.waker
    }

    fn listener(&self) -> Weak<dyn Listen> {
        let weak: Weak<Slot> = Arc::downgrade(&self.conn.slot);
        weak
    }

    fn ending(&self) -> bool {
        self.conn.shared.end(self.conn.id).is_some()
    }

    fn send(&mut self, line: &str) -> Result<(), Over> {
        let mut text = String::with_capacity(line.len() + 1);
        text.push_str(line);
        text.push('\n');
        self.conn.send_patiently(text.as_bytes())
    }

    fn rest(&mut self) -> Result<(), Over> {
        let what = [
            (self.conn.slot.stream.as_fd(), self.want),
            (self.conn.slot.waker.as_fd(), Want::Read),
        ];
        let [client, _] = wait(what, None).map_err(|_| Over)?;
        if client.ended {
            return Err(Over);
        }
        if client.ready {
            self.conn.forget(&mut self.want)?;
        }
        Ok(())
    }
}

/// Writes what the client takes before the deadline, if there is one; gives what is left.
fn send_some<'b>(
    mut stream: &UnixStream,
    mut bytes: &'b [u8],
    deadline: Option<Instant>,
) -> Result<&'b [u8], Over> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if would_block(&e) => {
                let [got] = wait([(stream.as_fd(), Want::Write)], deadline).map_err(|_| Over)?;
                if !got.ready && got.ended {
                    return Err(Over);
                }
                if deadline.is_some_and(|d| Instant::now() >= d) {
                    return Ok(bytes);
                }
            }
            Err(_) => return Err(Over),
        }
    }
    Ok(bytes)
}

/// Not now, but maybe later.
pub(super) fn would_block(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// A reply with its newline.
pub(super) fn reply_line(id: u64, proto: Option<u32>, answer: Answer) -> String {
    let reply = ReplyLine { id, proto, answer };
    // Maps with string keys and no custom types always serialise; an empty line would break the
    // protocol, so the improbable is told as what it is.
    let mut text = serde_json::to_string(&reply).unwrap_or_else(|_| {
        format!(r#"{{"id":{id},"err":{{"code":"failed","message":"write the answer: failed"}}}}"#)
    });
    text.push('\n');
    text
}
