//! How two nodes that have the same key come to a [`Channel`].

use super::channel::Channel;
use super::psk::Psk;
use super::stack::leaving_nothing;
use snow::{Builder, HandshakeState};
use std::fmt;

/// The version of all that travels between nodes; told before anything else.
pub const VERSION: u8 = 1;

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const MAGIC: &[u8; 7] = b"clusmgr";
const HEADER: usize = MAGIC.len() + 1;
/// A public key and a tag.
const NOISE: usize = 32 + 16;

/// Bytes of a client's first message.
pub const FIRST: usize = HEADER + NOISE;
/// Bytes of a server's refusal: those of a reply up to its code.
pub const REFUSAL: usize = HEADER + 1;
/// Bytes of a server's reply.
pub const REPLY: usize = REFUSAL + NOISE;

/// Why there is no channel. What a server says of it is not authenticated: a hint for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No clusmgr, or one of another version (which then is told).
    OtherProtocol(Option<u8>),
    /// The other side has another key.
    WrongKey,
    /// The server has no room for another connection.
    Busy,
}

impl Refusal {
    fn code(self) -> u8 {
        match self {
            Refusal::OtherProtocol(_) => 1,
            Refusal::WrongKey => 2,
            Refusal::Busy => 3,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::OtherProtocol(None) => f.write_str("what answers there is no clusmgr"),
            Refusal::OtherProtocol(Some(v)) => {
                write!(
                    f,
                    "it speaks version {v} of the protocol between nodes, not {VERSION}"
                )
            }
            Refusal::WrongKey => f.write_str("it has another authkey"),
            Refusal::Busy => f.write_str("it has too many connections"),
        }
    }
}

fn header() -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()] = VERSION;
    header
}

/// The version in a header of ours or of a later clusmgr.
fn version(bytes: &[u8]) -> Option<u8> {
    bytes.strip_prefix(MAGIC)?.first().copied()
}

fn builder<'a>(psk: &'a Psk, prologue: &'a [u8]) -> Option<Builder<'a>> {
    let builder = Builder::new(PATTERN.parse().ok()?);
    builder.psk(0, psk.expose()).ok()?.prologue(prologue).ok()
}

/// The client, between its first message and the reply.
#[derive(Debug)]
pub struct Initiator(Box<HandshakeState>);

impl Initiator {
    /// Begins; the bytes are to be sent. None if the system has no random numbers.
    #[must_use]
    pub fn begin(psk: &Psk) -> Option<(Initiator, [u8; FIRST])> {
        leaving_nothing(|| Initiator::make(psk))
    }

    fn make(psk: &Psk) -> Option<(Initiator, [u8; FIRST])> {
        let header = header();
        let mut state = Box::new(builder(psk, &header)?.build_initiator().ok()?);
        let mut first = [0; FIRST];
        first[..HEADER].copy_from_slice(&header);
        let n = state.write_message(&[], &mut first[HEADER..]).ok()?;
        (n == NOISE).then_some((Initiator(state), first))
    }

    /// What can be said after [`REFUSAL`] bytes of the reply: whether the rest will come.
    ///
    /// # Errors
    /// It refuses, or is no clusmgr.
    pub fn accepted(head: &[u8; REFUSAL]) -> Result<(), Refusal> {
        match (version(head), head[HEADER]) {
            (Some(VERSION), 0) => Ok(()),
            (Some(VERSION), 2) => Err(Refusal::WrongKey),
            (Some(VERSION), 3) => Err(Refusal::Busy),
            (other, _) => Err(Refusal::OtherProtocol(other)),
        }
    }

    /// Takes the whole reply.
    ///
    /// # Errors
    /// It refuses, or was not made by who has the key.
    pub fn finish(self, reply: &[u8; REPLY]) -> Result<Channel, Refusal> {
        leaving_nothing(|| self.take(reply))
    }

    fn take(mut self, reply: &[u8; REPLY]) -> Result<Channel, Refusal> {
        let (head, noise) = reply.split_at(REFUSAL);
        let head = head.try_into().map_err(|_| Refusal::OtherProtocol(None))?;
        Initiator::accepted(head)?;
        let read = self.0.read_message(noise, &mut []);
        read.map_err(|_| Refusal::WrongKey)?;
        Channel::of(*self.0).ok_or(Refusal::WrongKey)
    }
}

/// The server's half: answers a client's first message.
///
/// # Errors
/// It is of another version, or was not made by who has the key.
pub fn respond(psk: &Psk, first: &[u8; FIRST]) -> Result<(Channel, [u8; REPLY]), Refusal> {
    leaving_nothing(|| answer(psk, first))
}

fn answer(psk: &Psk, first: &[u8; FIRST]) -> Result<(Channel, [u8; REPLY]), Refusal> {
    let (head, noise) = first.split_at(HEADER);
    match version(head) {
        Some(VERSION) => {}
        other => return Err(Refusal::OtherProtocol(other)),
    }
    let state = builder(psk, head).and_then(|b| b.build_responder().ok());
    let mut state = Box::new(state.ok_or(Refusal::Busy)?);
    state
        .read_message(noise, &mut [])
        .map_err(|_| Refusal::WrongKey)?;
    let mut reply = [0; REPLY];
    reply[..HEADER].copy_from_slice(head);
    state
        .write_message(&[], &mut reply[REFUSAL..])
        .map_err(|_| Refusal::Busy)?;
    let channel = Channel::of(*state).ok_or(Refusal::Busy)?;
    Ok((channel, reply))
}

/// What a server sends to whom it refuses.
#[must_use]
pub fn refusal(why: Refusal) -> [u8; REFUSAL] {
    let mut bytes = [0; REFUSAL];
    bytes[..HEADER].copy_from_slice(&header());
    bytes[HEADER] = why.code();
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn psk(n: u8) -> Psk {
        Psk::derive(&[n; 256])
    }

    fn head(bytes: &[u8]) -> &[u8; REFUSAL] {
        bytes[..REFUSAL].try_into().unwrap()
    }

    #[test]
    fn the_same_key_makes_a_channel_both_ways() {
        let (client, first) = Initiator::begin(&psk(1)).unwrap();
        let (mut server, reply) = respond(&psk(1), &first).unwrap();
        assert_eq!(Initiator::accepted(head(&reply)), Ok(()));
        let mut client = client.finish(&reply).unwrap();
        let mut wire = Vec::new();
        client.seal(b"question", &mut wire).unwrap();
        server.push(&wire);
        assert_eq!(server.open().unwrap().unwrap().as_slice(), b"question");
        wire.clear();
        server.seal(b"answer", &mut wire).unwrap();
        client.push(&wire);
        assert_eq!(client.open().unwrap().unwrap().as_slice(), b"answer");
    }

    #[test]
    fn another_key_or_version_is_refused_and_named() {
        let (client, first) = Initiator::begin(&psk(1)).unwrap();
        assert_eq!(respond(&psk(2), &first).err(), Some(Refusal::WrongKey));
        // Of a server that says yes and does not have the key.
        let (_, other) = Initiator::begin(&psk(2)).unwrap();
        let (_, reply) = respond(&psk(2), &other).unwrap();
        assert_eq!(client.finish(&reply).err(), Some(Refusal::WrongKey));
        let mut newer = first;
        newer[MAGIC.len()] = VERSION + 1;
        let why = respond(&psk(1), &newer).err();
        assert_eq!(why, Some(Refusal::OtherProtocol(Some(VERSION + 1))));
        let rubbish = [b'x'; FIRST];
        assert_eq!(
            respond(&psk(1), &rubbish).err(),
            Some(Refusal::OtherProtocol(None))
        );
        for why in [Refusal::WrongKey, Refusal::Busy] {
            assert_eq!(Initiator::accepted(&refusal(why)), Err(why));
        }
        let said = refusal(Refusal::OtherProtocol(None));
        let why = Initiator::accepted(&said);
        assert_eq!(why, Err(Refusal::OtherProtocol(Some(VERSION))));
    }

    #[test]
    fn every_bit_of_a_first_message_and_of_a_reply_counts() {
        let (_, first) = Initiator::begin(&psk(1)).unwrap();
        for at in 0..FIRST {
            let mut bad = first;
            bad[at] ^= 1;
            assert!(respond(&psk(1), &bad).is_err(), "byte {at}");
        }
        for at in 0..REPLY {
            let (client, first) = Initiator::begin(&psk(1)).unwrap();
            let (_, mut reply) = respond(&psk(1), &first).unwrap();
            reply[at] ^= 1;
            assert!(client.finish(&reply).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_replayed_first_message_gives_no_channel_to_who_has_no_key() {
        let (client, first) = Initiator::begin(&psk(1)).unwrap();
        let (_, reply) = respond(&psk(1), &first).unwrap();
        let mut client = client.finish(&reply).unwrap();
        let mut said = Vec::new();
        client.seal(b"stop", &mut said).unwrap();
        // All that was recorded, once more.
        let (mut server, _) = respond(&psk(1), &first).unwrap();
        server.push(&said);
        assert!(server.open().is_err());
    }
}
