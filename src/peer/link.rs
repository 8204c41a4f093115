//! An authenticated connection to another node.

use super::trouble::Trouble;
use crate::error::Kind;
use crate::noise::{Channel, Psk};
use crate::sys::ready::{Want, wait, wait_each};
use crate::wire::{Answer, Hello, PROTO, ReplyLine, Request, RequestLine, Unreachable, WRONG_NODE};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Most characters of what another node says of itself.
const WORDS: usize = 300;

/// A connection to a node that has our key. One request, or several one after the other, or one
/// subscription.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    channel: Channel,
    psk: Psk,
    /// How far its answer has come.
    heard: Heard,
    /// How many requests were sent: the id of the last one.
    asked: u64,
    /// The address that answered.
    pub address: SocketAddr,
}

/// What has been heard of a node since the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// It hung up before it said anything.
    End,
    /// It had no room after all, and read no request.
    NoRoom,
    Something,
}

impl Link {
    pub(super) fn new(stream: TcpStream, channel: Channel, psk: &Psk, address: SocketAddr) -> Link {
        Link {
            stream,
            channel,
            psk: psk.clone(),
            heard: Heard::Nothing,
            asked: 0,
            address,
        }
    }

    /// Whether it was made with this key.
    pub(super) fn is_of(&self, psk: Option<&Psk>) -> bool {
        psk == Some(&self.psk)
    }

    /// The answer may have so many bytes.
    pub(super) fn limit(&mut self, bytes: usize) {
        self.channel.limit(bytes);
    }

    /// Whether it said that it read no request.
    pub(super) fn is_unread(&self) -> bool {
        self.heard == Heard::NoRoom
    }

    /// Whether it hung up before it said anything.
    pub(super) fn has_hung_up_early(&self) -> bool {
        self.heard == Heard::End
    }

    /// Says whom it is for and asks, and waits for the answer.
    pub(super) fn call(
        &mut self,
        hello: &Hello,
        request: &Request,
        deadline: Instant,
        client: Option<BorrowedFd<'_>>,
    ) -> Result<Answer, Trouble> {
        let hello = serde_json::to_vec(hello).map_err(|e| broken(&e))?;
        let mut out = Vec::with_capacity(512);
        self.channel.seal(&hello, &mut out)?;
        self.request(request, &mut out)?;
        self.send(&out, deadline)?;
        self.answer(deadline, client)
    }

    /// Asks again, after an answer.
    pub(super) fn again(&mut self, request: &Request, deadline: Instant) -> Result<(), Trouble> {
        let mut out = Vec::new();
        self.request(request, &mut out)?;
        self.send(&out, deadline)
    }

    fn request(&mut self, request: &Request, out: &mut Vec<u8>) -> Result<(), Trouble> {
        self.asked += 1;
        let line = RequestLine::new(self.asked, request.clone());
        let line = Zeroizing::new(serde_json::to_vec(&line).map_err(|e| broken(&e))?);
        self.channel.seal(&line, out)?;
        Ok(())
    }

    /// Waits for the answer to what was asked last.
    pub(super) fn answer(
        &mut self,
        deadline: Instant,
        client: Option<BorrowedFd<'_>>,
    ) -> Result<Answer, Trouble> {
        let late = || {
            Trouble::new(
                Unreachable::TimedOut,
                "it took the request and does not answer",
            )
        };
        let reply = self.receive(Some(deadline), client)?.ok_or_else(late)?;
        let reply: ReplyLine = serde_json::from_slice(&reply).map_err(|e| broken(&e))?;
        if let Some(proto) = reply.proto.filter(|p| *p != PROTO) {
            let text = format!(
                "it speaks protocol {proto}, not {PROTO}; install the same clusmgr on both"
            );
            return Err(Trouble::new(Unreachable::OtherProtocol, text));
        }
        match reply.answer {
            Answer::Err(e) if e.code == WRONG_NODE => {
                // It is another node's to say, and so many characters of it are enough.
                let text = e.message.chars().take(WORDS).collect::<String>();
                Err(Trouble::new(Unreachable::WrongNode, text))
            }
            Answer::Err(e) if reply.id != self.asked && e.kind() == Kind::Busy => {
                self.heard = Heard::NoRoom;
                let text = "it has no room just now; try again later";
                Err(Trouble::new(Unreachable::Busy, text))
            }
            Answer::Ok(_) if reply.id != self.asked => {
                let text = "it answers what was not asked; install the same clusmgr on both";
                Err(Trouble::new(Unreachable::OtherProtocol, text))
            }
            answer => Ok(answer),
        }
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if waits(&e) => {
                    let [got] = wait([(self.stream.as_fd(), Want::Write)], Some(deadline))?;
                    if !got.ready && Instant::now() >= deadline {
                        let text = "it does not take the request";
                        return Err(Trouble::new(Unreachable::TimedOut, text));
                    }
                }
                Err(e) if ends(&e) => return Err(self.hung_up()),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// The next message; none at the deadline.
    ///
    /// # Errors
    /// It hangs up, or does not keep to the protocol.
    pub fn message(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        self.receive(deadline, None)
    }

    /// As [`Link::message`], for somebody who may go away meanwhile.
    fn receive(
        &mut self,
        deadline: Option<Instant>,
        client: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let late = || deadline.is_some_and(|d| Instant::now() >= d);
        let mut some = false;
        loop {
            if let Some(message) = self.channel.open()? {
                return Ok(Some(message));
            }
            // Who never stops sending is late too.
            if some && late() {
                return Ok(None);
            }
            let mut chunk = Zeroizing::new([0; 8192]);
            match self.stream.read(&mut *chunk) {
                Ok(0) => return Err(self.hung_up()),
                Ok(n) => {
                    self.heard = Heard::Something;
                    some = true;
                    self.channel.push(&chunk[..n]);
                }
                Err(e) if waits(&e) => {
                    if late() {
                        return Ok(None);
                    }
                    let mut fds = vec![(self.stream.as_fd(), Want::Read)];
                    fds.extend(client.map(|c| (c, Want::End)));
                    let got = wait_each(&fds, deadline)?;
                    if got.get(1).is_some_and(|client| client.ended) {
                        let text = "who asked has hung up";
                        return Err(Trouble::new(Unreachable::Failed, text));
                    }
                }
                Err(e) if ends(&e) => return Err(self.hung_up()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn hung_up(&mut self) -> Trouble {
        if self.heard == Heard::Nothing {
            self.heard = Heard::End;
        }
        Trouble::new(Unreachable::Failed, "it hung up")
    }

    /// The next message, if it is here already.
    ///
    /// # Errors
    /// As [`Link::message`].
    pub fn waiting(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        self.message(Some(Instant::now() - Duration::from_nanos(1)))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn broken(e: &serde_json::Error) -> Trouble {
    let text = format!("its answer is not understood: {e}");
    Trouble::new(Unreachable::OtherProtocol, text)
}

/// It has hung up, and not read all that was sent.
fn ends(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Not now, but maybe later.
fn waits(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
