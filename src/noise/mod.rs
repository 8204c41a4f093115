//! The secure channel between nodes: Noise `NNpsk0_25519_ChaChaPoly_BLAKE2s` over bytes that somebody
//! else carries. No I/O happens here.
//!
//! ```text
//! client                                                    server
//!   "clusmgr" VERSION, e                      56 bytes  →
//!                        ←  57 bytes   "clusmgr" VERSION 0, e
//!                        ←  9 bytes    "clusmgr" VERSION CODE   where it refuses, and hangs up
//!   frames: LENGTH, sealed { MORE, piece of a message }   ↔
//! ```
//!
//! Both `e` carry a tag that only who has the key can make. The first message can be replayed, and so
//! carries nothing: who has sent it is a member only once his first frame was opened.

mod channel;
mod handshake;
mod psk;
mod stack;

pub use channel::{Broken, Channel, FRAME_MAX, MESSAGE_MAX};
pub use handshake::{FIRST, Initiator, REFUSAL, REPLY, Refusal, VERSION, refusal, respond};
pub use psk::Psk;
