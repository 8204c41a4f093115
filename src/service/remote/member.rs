//! A connection of who has the key, on a thread of its own.

use super::super::Manager;
use super::super::conn::{Over, reply_line, would_block};
use super::super::dispatch::{Caller, dispatch, read_request, refuse};
use super::super::follow::{Stream, follow};
use super::Shared;
use crate::error::{Error, Kind};
use crate::event::Listen;
use crate::noise::{Channel, MESSAGE_MAX};
use crate::sys::ready::{Want, wait};
use crate::sys::wake::Waker;
use crate::wire::{Answer, PROTO, Request, WRONG_NODE, WireError};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Instant;
use zeroize::Zeroizing;

/// What other threads reach a connection by.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) stream: TcpStream,
    pub(super) waker: Waker,
}

impl Listen for Slot {
    fn something_new(&self) {
        self.waker.wake();
    }
}

/// The connection; [`Member::serve`] is its thread.
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) slot: Arc<Slot>,
    pub(super) channel: Box<Channel>,
    pub(super) caller: Caller,
    pub(super) shared: Arc<Shared>,
    pub(super) manager: Arc<dyn Manager>,
    pub(super) greeted: bool,
    /// Since when he has had his answer, and since when a message of his has begun.
    pub(super) rests: Instant,
    pub(super) began: Option<Instant>,
    /// Who answers here, and who was meant, if that is not this node.
    pub(super) mistaken: Option<String>,
}

impl Member {
    pub(super) fn serve(mut self) {
        self.channel.limit(MESSAGE_MAX);
        let Over = self.requests();
        self.shared.leave(self.id);
    }

    fn requests(&mut self) -> Over {
        loop {
            if self.shared.ends(self.id) {
                return Over;
            }
            match self.channel.open() {
                Err(_) => return Over,
                Ok(Some(message)) => {
                    self.began = None;
                    if let Err(over) = self.request(&message) {
                        return over;
                    }
                    self.rests = Instant::now();
                }
                Ok(None) => {
                    if let Err(over) = self.read() {
                        return over;
                    }
                }
            }
        }
    }

    /// Waits for bytes and reads some.
    fn read(&mut self) -> Result<(), Over> {
        let limits = self.shared.limits;
        let deadline = if self.channel.in_the_middle() {
            let began = self.began.get_or_insert_with(Instant::now);
            let deadline = *began + limits.half_message;
            // Asked of the clock: who sends a byte now and then is late too.
            if Instant::now() >= deadline {
                return Err(Over);
            }
            deadline
        } else {
            self.rests + limits.idle
        };
        loop {
            if self.shared.ends(self.id) {
                return Err(Over);
            }
            let mut chunk = Zeroizing::new([0; 4096]);
            match (&self.slot.stream).read(&mut *chunk) {
                Ok(0) => return Err(Over),
                Ok(n) => {
                    self.channel.push(&chunk[..n]);
                    return Ok(());
                }
                Err(e) if would_block(&e) => {}
                Err(_) => return Err(Over),
            }
            if Instant::now() >= deadline {
                return Err(Over);
            }
            let what = [
                (self.slot.stream.as_fd(), Want::Read),
                (self.slot.waker.as_fd(), Want::Read),
            ];
            let [_, woken] = wait(what, Some(deadline)).map_err(|_| Over)?;
            if woken.ready {
                self.slot.waker.clear();
            }
        }
    }

    fn request(&mut self, message: &[u8]) -> Result<(), Over> {
        let usage = |what: &str| {
            let e = Error::new("ask", "another node's clusmgr", what);
            refuse(&e.kind(Kind::Usage))
        };
        let (id, answer) = match read_request(message) {
            Err((id, e)) => (id, refuse(&e)),
            // Read first, so that the hanging up does not make the kernel throw away what is said.
            Ok(line) if self.mistaken.is_some() => {
                let message = self.mistaken.take().unwrap_or_default();
                let code = WRONG_NODE.to_owned();
                self.reply(line.id, Answer::Err(WireError { code, message }))?;
                return Err(Over);
            }
            Ok(line) if line.all || line.node.is_some() => {
                let answer = usage("it answers for itself alone, and asks nobody for others");
                (line.id, answer)
            }
            Ok(line) => match line.request {
                Request::Subscribe { since } => return self.subscribe(line.id, since),
                request => {
                    let answer = dispatch(self.manager.as_ref(), &request, &self.caller);
                    (line.id, answer)
                }
            },
        };
        self.reply(id, answer)
    }

    fn subscribe(&mut self, id: u64, since: Option<u64>) -> Result<(), Over> {
        let hub = self.manager.hub();
        let latest = hub.latest();
        let after = since.unwrap_or(latest).min(latest);
        self.reply(id, Answer::Ok(json!({"from": after.saturating_add(1)})))?;
        Err(follow(self, &hub, after))
    }

    fn reply(&mut self, id: u64, answer: Answer) -> Result<(), Over> {
        let proto = (!std::mem::replace(&mut self.greeted, true)).then_some(PROTO);
        let mut text = reply_line(id, proto, answer);
        if text.len() > MESSAGE_MAX {
            let e = Error::new("write", "the answer", "it is longer than a message may be");
            text = reply_line(id, proto, refuse(&e));
        }
        self.write(text.trim_end())
    }

    /// Writes all of it, or ends the connection: who does not read must not cost anything for longer.
    fn write(&mut self, line: &str) -> Result<(), Over> {
        let mut out = Vec::with_capacity(line.len() + 64);
        self.channel
            .seal(line.as_bytes(), &mut out)
            .map_err(|_| Over)?;
        let deadline = Instant::now() + self.shared.limits.write;
        let mut bytes = &out[..];
        while !bytes.is_empty() {
            match (&self.slot.stream).write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if would_block(&e) => {
                    let what = [(self.slot.stream.as_fd(), Want::Write)];
                    let [got] = wait(what, Some(deadline)).map_err(|_| Over)?;
                    if !got.ready || Instant::now() >= deadline {
                        return Err(Over);
                    }
                }
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }
}

impl Stream for Member {
    fn manager(&self) -> &dyn Manager {
        self.manager.as_ref()
    }

    fn waker(&self) -> &Waker {
        &self.slot.waker
    }

    fn listener(&self) -> Weak<dyn Listen> {
        let weak: Weak<Slot> = Arc::downgrade(&self.slot);
        weak
    }

    fn ending(&self) -> bool {
        self.shared.ends(self.id)
    }

    fn send(&mut self, line: &str) -> Result<(), Over> {
        // The key that it was asked for with counts no longer: not one event more.
        if self.shared.expelled(self.id) {
            return Err(Over);
        }
        self.write(line)
    }

    fn rest(&mut self) -> Result<(), Over> {
        let what = [
            (self.slot.stream.as_fd(), Want::Read),
            (self.slot.waker.as_fd(), Want::Read),
        ];
        let [client, _] = wait(what, None).map_err(|_| Over)?;
        if client.ended {
            return Err(Over);
        }
        if client.ready {
            // A peer that hangs up is done, and has nothing more to say before.
            match (&self.slot.stream).read(&mut [0; 512]) {
                Ok(0) => return Err(Over),
                Ok(_) => {}
                Err(e) if would_block(&e) => {}
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }
}
