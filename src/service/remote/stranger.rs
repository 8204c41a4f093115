//! Somebody who has connected and has not shown yet that he has the key. He costs a descriptor and these
//! few bytes; no thread waits for him.

use super::super::conn::reply_line;
use super::super::dispatch::refuse;
use crate::error::{Error, Kind};
use crate::noise::{Channel, FIRST, Psk, Refusal, refusal, respond};
use crate::wire::{Hello, PROTO};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Instant;

/// Most bytes of the first message that he sends sealed.
const HELLO_MAX: usize = 1024;

/// One of them.
pub(super) struct Stranger {
    pub(super) id: u64,
    pub(super) ip: IpAddr,
    pub(super) stream: TcpStream,
    /// By when he must have shown it.
    pub(super) deadline: Instant,
    stage: Stage,
}

enum Stage {
    First([u8; FIRST], usize),
    Hello(Box<Channel>),
}

/// What he has come to.
pub(super) enum Step {
    /// More of him is awaited.
    Waits,
    /// His first message was made with the key; more of him is awaited.
    Proven,
    /// He has the key, and this is what he calls himself.
    Member(Box<Channel>, Hello),
    /// He goes, for this reason.
    Gone(Why),
}

/// Why a stranger goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    HungUp,
    Refused(Refusal),
    /// What he sent after his first message was not made with the key.
    NoKey,
    /// A member, for whom there is no thread or descriptor.
    Short,
    /// A member; all threads wait for the outcome of orders that others gave.
    Orders,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Why::HungUp => "hung up",
            Why::Refused(Refusal::OtherProtocol(None)) => "no clusmgr",
            Why::Refused(Refusal::OtherProtocol(Some(_))) => "another version of the protocol",
            Why::Refused(Refusal::WrongKey) => "another key, or none",
            Why::Refused(Refusal::Busy) => "no room",
            Why::NoKey => "a repeated or damaged handshake",
            Why::Short => "no thread or descriptor is to be had",
            Why::Orders => "too many that were ended by another key wait for what they ordered",
        }
    }
}

impl Stranger {
    pub(super) fn new(id: u64, ip: IpAddr, stream: TcpStream, deadline: Instant) -> Stranger {
        Stranger {
            id,
            ip,
            stream,
            deadline,
            stage: Stage::First([0; FIRST], 0),
        }
    }

    /// Reads what is there, and answers.
    pub(super) fn step(&mut self, psk: Option<&Psk>) -> Step {
        match &mut self.stage {
            Stage::First(bytes, have) => {
                while *have < FIRST {
                    match read(&self.stream, &mut bytes[*have..]) {
                        Ok(Some(n)) => *have += n,
                        Ok(None) => return Step::Waits,
                        Err(_) => return Step::Gone(Why::HungUp),
                    }
                }
                let Some(psk) = psk else {
                    return self.refuse(Refusal::WrongKey);
                };
                match respond(psk, bytes) {
                    Err(why) => self.refuse(why),
                    Ok((mut channel, reply)) => {
                        // So few bytes find room in a new connection, or are not worth a wait.
                        if !matches!((&self.stream).write(&reply), Ok(n) if n == reply.len()) {
                            return Step::Gone(Why::HungUp);
                        }
                        channel.limit(HELLO_MAX);
                        self.stage = Stage::Hello(Box::new(channel));
                        Step::Proven
                    }
                }
            }
            Stage::Hello(channel) => loop {
                match channel.open() {
                    Err(_) => return Step::Gone(Why::NoKey),
                    Ok(Some(message)) => {
                        let Ok(hello) = serde_json::from_slice(&message) else {
                            return Step::Gone(Why::Refused(Refusal::OtherProtocol(None)));
                        };
                        let Stage::Hello(channel) =
                            std::mem::replace(&mut self.stage, Stage::First([0; FIRST], 0))
                        else {
                            return Step::Gone(Why::HungUp);
                        };
                        return Step::Member(channel, hello);
                    }
                    Ok(None) => {}
                }
                let mut chunk = [0; HELLO_MAX];
                match read(&self.stream, &mut chunk) {
                    Ok(Some(n)) => channel.push(&chunk[..n]),
                    Ok(None) => return Step::Waits,
                    Err(_) => return Step::Gone(Why::HungUp),
                }
            },
        }
    }

    /// Says so, and that is all. Who has shown the key is told by a reply that answers nothing: he knows
    /// then that no request of his was read.
    pub(super) fn refuse(&mut self, why: Refusal) -> Step {
        let said = match &mut self.stage {
            Stage::First(..) => refusal(why).to_vec(),
            Stage::Hello(channel) => {
                let e = Error::new("serve", "node", "there is no room just now");
                let line = reply_line(0, Some(PROTO), refuse(&e.kind(Kind::Busy)));
                let mut sealed = Vec::new();
                let _ = channel.seal(line.trim_end().as_bytes(), &mut sealed);
                sealed
            }
        };
        let _ = (&self.stream).write(&said);
        // What he has sent besides would make the kernel throw away what we have said.
        let _ = (&self.stream).read(&mut [0; 4096]);
        Step::Gone(Why::Refused(why))
    }
}

/// Some bytes; none if there are none yet.
fn read(mut stream: &TcpStream, bytes: &mut [u8]) -> io::Result<Option<usize>> {
    match stream.read(bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => Ok(Some(n)),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}
