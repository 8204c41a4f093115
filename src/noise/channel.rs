//! Messages, sealed into frames and opened out of them.

use snow::{HandshakeState, TransportState};
use std::fmt;
use zeroize::Zeroizing;

/// Longest frame, its length not counted; Noise allows no more.
pub const FRAME_MAX: usize = 65_535;
/// Longest message, as of a line of the local service.
pub const MESSAGE_MAX: usize = crate::wire::MAX_LINE;

const LENGTH: usize = 2;
const TAG: usize = 16;
/// The byte that says whether the message goes on in the next frame.
const MORE: usize = 1;
const PIECE: usize = FRAME_MAX - TAG - MORE;

/// The other side does not keep to the protocol, or somebody has changed what it sent; or a message is
/// too long. The connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One end of an authenticated channel.
pub struct Channel {
    /// In the heap, where what is freed is cleared.
    state: Box<TransportState>,
    /// Bytes that have come and are no whole frame yet.
    received: Vec<u8>,
    /// The pieces of a message that has begun.
    message: Zeroizing<Vec<u8>>,
    limit: usize,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

impl Channel {
    pub(super) fn of(state: HandshakeState) -> Option<Channel> {
        Some(Channel {
            state: Box::new(state.into_transport_mode().ok()?),
            received: Vec::new(),
            message: Zeroizing::default(),
            limit: MESSAGE_MAX,
        })
    }

    /// Messages from the other side may have so many bytes, [`MESSAGE_MAX`] at most. Frames are bounded
    /// accordingly, so that no more than that is ever kept.
    pub fn limit(&mut self, bytes: usize) {
        self.limit = bytes.min(MESSAGE_MAX);
    }

    /// Appends a message, sealed, to what is to be sent.
    ///
    /// # Errors
    /// It is longer than [`MESSAGE_MAX`].
    pub fn seal(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if message.len() > MESSAGE_MAX {
            return Err(Broken("a message that is too long"));
        }
        let mut rest = message;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(PIECE));
            let mut plain = Zeroizing::new(Vec::with_capacity(MORE + piece.len()));
            plain.push(u8::from(!after.is_empty()));
            plain.extend_from_slice(piece);
            let length = plain.len() + TAG;
            let sized = u16::try_from(length).map_err(|_| Broken("a frame that is too long"))?;
            let at = out.len() + LENGTH;
            out.extend_from_slice(&sized.to_be_bytes());
            out.resize(at + length, 0);
            let sealed = self.state.write_message(&plain, &mut out[at..]);
            sealed.map_err(|_| Broken("it cannot be sealed"))?;
            rest = after;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes bytes in that have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Whether a message has begun and is not whole.
    #[must_use]
    pub fn in_the_middle(&self) -> bool {
        !self.received.is_empty() || !self.message.is_empty()
    }

    /// The next whole message; none before more has come.
    ///
    /// # Errors
    /// A frame of an impossible length, or not sealed by the other side; a message over the limit.
    pub fn open(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Broken> {
        loop {
            let Some((head, rest)) = self.received.split_first_chunk::<LENGTH>() else {
                return Ok(None);
            };
            let length = usize::from(u16::from_be_bytes(*head));
            // Before anything is kept for it.
            if length < MORE + TAG {
                return Err(Broken("a frame that is too short"));
            }
            if length > self.limit - self.message.len() + MORE + TAG {
                return Err(Broken("a message that is too long"));
            }
            let Some(frame) = rest.get(..length) else {
                return Ok(None);
            };
            let mut plain = Zeroizing::new(vec![0; length]);
            let opened = self.state.read_message(frame, &mut plain);
            let n = opened.map_err(|_| Broken("a frame that was not made with this key"))?;
            self.received.drain(..LENGTH + length);
            if self.received.is_empty() {
                self.received.shrink_to(4096);
            }
            let (more, piece) = plain[..n]
                .split_first()
                .ok_or(Broken("a frame that is too short"))?;
            self.message.extend_from_slice(piece);
            match more {
                0 => return Ok(Some(std::mem::take(&mut self.message))),
                1 if !piece.is_empty() => {}
                _ => return Err(Broken("a frame that neither ends a message nor goes on")),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Initiator, Psk, respond};
    use super::*;

    fn pair() -> (Channel, Channel) {
        let psk = Psk::derive(&[7; 128]);
        let (client, first) = Initiator::begin(&psk).unwrap();
        let (server, reply) = respond(&psk, &first).unwrap();
        (client.finish(&reply).unwrap(), server)
    }

    #[test]
    fn messages_of_every_size_pass_however_they_were_cut() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, MESSAGE_MAX] {
            let (mut a, mut b) = pair();
            let message: Vec<u8> = (0..=250).cycle().take(size).collect();
            let mut wire = Vec::new();
            a.seal(&message, &mut wire).unwrap();
            a.seal(b"next", &mut wire).unwrap();
            let mut got = Vec::new();
            for bytes in wire.chunks(4099) {
                b.push(bytes);
                while let Some(m) = b.open().unwrap() {
                    got.push(m.to_vec());
                }
                assert!(b.received.len() <= FRAME_MAX + LENGTH + 4099);
            }
            assert_eq!(got, [message, b"next".to_vec()], "{size}");
            assert!(!b.in_the_middle());
        }
        let (mut a, _) = pair();
        let long = vec![0; MESSAGE_MAX + 1];
        assert!(a.seal(&long, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_frame_of_every_length_is_refused_unless_it_was_sealed() {
        // A frame that is refused changes nothing: one pair does for all.
        let (mut a, mut b) = pair();
        let bytes = vec![0x5a; FRAME_MAX];
        for limit in [1024, MESSAGE_MAX] {
            b.limit(limit);
            for length in 0..=u16::MAX {
                b.received.clear();
                b.push(&length.to_be_bytes());
                let early = b.open();
                // Of a length that cannot be, before a byte of it has come.
                let length = usize::from(length);
                if length < MORE + TAG || length > limit + MORE + TAG {
                    assert!(early.is_err(), "{length}");
                    continue;
                }
                assert_eq!(early.unwrap(), None);
                b.push(&bytes[..length]);
                assert!(b.open().is_err(), "{length}");
            }
        }
        b.received.clear();
        let mut wire = Vec::new();
        a.seal(b"sealed", &mut wire).unwrap();
        b.push(&wire);
        assert_eq!(b.open().unwrap().unwrap().as_slice(), b"sealed");
    }

    #[test]
    fn the_limit_holds_for_the_sum_of_the_pieces() {
        let (mut a, mut b) = pair();
        b.limit(PIECE + 10);
        let mut wire = Vec::new();
        a.seal(&vec![1; PIECE + 10], &mut wire).unwrap();
        b.push(&wire);
        assert_eq!(b.open().unwrap().unwrap().len(), PIECE + 10);
        wire.clear();
        a.seal(&vec![1; PIECE + 11], &mut wire).unwrap();
        b.push(&wire);
        assert!(b.open().is_err());
    }

    #[test]
    fn what_was_changed_repeated_or_left_out_is_refused() {
        let frames = |a: &mut Channel| {
            let mut all = Vec::new();
            for text in ["one", "two"] {
                let mut wire = Vec::new();
                a.seal(text.as_bytes(), &mut wire).unwrap();
                all.push(wire);
            }
            all
        };
        let (mut a, mut b) = pair();
        let sent = frames(&mut a);
        b.push(&sent[0]);
        b.open().unwrap().unwrap();
        b.push(&sent[0]);
        assert!(b.open().is_err(), "repeated");
        let (mut a, mut b) = pair();
        b.push(&frames(&mut a)[1]);
        assert!(b.open().is_err(), "left out");
        let (mut a, mut b) = pair();
        let mut sent = frames(&mut a);
        *sent[0].last_mut().unwrap() ^= 1;
        b.push(&sent[0]);
        assert!(b.open().is_err(), "changed");
    }
}
