//! The secure channel between nodes: Noise `NNpsk0_25519_ChaChaPoly_BLAKE2s` over bytes that somebody
//! else carries. No I/O happens here.

mod psk;

pub use psk::Psk;
