//! An authenticated connection to another node.

use super::trouble::Trouble;
use crate::noise::Channel;
use crate::sys::ready::{Want, wait};
use crate::wire::{Answer, Hello, PROTO, ReplyLine, Request, RequestLine, Unreachable};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The id of the only request of a connection.
const ID: u64 = 1;

/// A connection to a node that has our key. One request, or one subscription.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    channel: Channel,
    /// The address that answered.
    pub address: SocketAddr,
}

impl Link {
    pub(super) fn new(stream: TcpStream, channel: Channel, address: SocketAddr) -> Link {
        Link {
            stream,
            channel,
            address,
        }
    }

    /// Asks, and waits for the answer.
    pub(super) fn call(
        &mut self,
        node: &str,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let broken = |e: serde_json::Error| {
            let text = format!("its answer is not understood: {e}");
            Trouble::new(Unreachable::OtherProtocol, text)
        };
        let hello = Hello {
            proto: PROTO,
            node: node.to_owned(),
        };
        let hello = serde_json::to_vec(&hello).map_err(broken)?;
        let line = RequestLine::new(ID, request.clone());
        let line = Zeroizing::new(serde_json::to_vec(&line).map_err(broken)?);
        let mut out = Vec::with_capacity(line.len() + 256);
        self.channel.seal(&hello, &mut out)?;
        self.channel.seal(&line, &mut out)?;
        self.send(&out, deadline)?;
        let late = || {
            Trouble::new(
                Unreachable::TimedOut,
                "it took the request and does not answer",
            )
        };
        let reply = self.message(Some(deadline))?.ok_or_else(late)?;
        let reply: ReplyLine = serde_json::from_slice(&reply).map_err(broken)?;
        if let Some(proto) = reply.proto.filter(|p| *p != PROTO) {
            let text = format!(
                "it speaks protocol {proto}, not {PROTO}; install the same clusmgr on both"
            );
            return Err(Trouble::new(Unreachable::OtherProtocol, text));
        }
        Ok(reply.answer)
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
        loop {
            if let Some(message) = self.channel.open()? {
                return Ok(Some(message));
            }
            let mut chunk = Zeroizing::new([0; 8192]);
            match self.stream.read(&mut *chunk) {
                Ok(0) => return Err(Trouble::new(Unreachable::Failed, "it hung up")),
                Ok(n) => self.channel.push(&chunk[..n]),
                Err(e) if waits(&e) => {
                    if deadline.is_some_and(|d| Instant::now() >= d) {
                        return Ok(None);
                    }
                    wait([(self.stream.as_fd(), Want::Read)], deadline)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
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

/// Not now, but maybe later.
fn waits(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
