//! The key of the channel, derived from the cluster's key.

use super::stack::leaving_nothing;
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What makes its bytes differ from all else that is derived from the cluster's key: that one is never
/// used on another wire than corosync's.
const LABEL: &[u8] = b"clusmgr remote service 1";

/// Noise's pre-shared key; zeroed on drop, and shown by nothing but [`Psk::expose`]. However often it is
/// moved or cloned, it is in one place.
#[derive(Clone, PartialEq, Eq)]
pub struct Psk(Arc<Zeroizing<[u8; 32]>>);

impl Psk {
    /// Derives it from the bytes of the cluster's key, by HKDF-SHA256.
    #[must_use]
    pub fn derive(key: &[u8]) -> Psk {
        let mut out = Arc::new(Zeroizing::new([0; 32]));
        if let Some(out) = Arc::get_mut(&mut out) {
            let expand = || Hkdf::<Sha256>::new(None, key).expand(LABEL, out.as_mut_slice());
            let derived = leaving_nothing(expand);
            debug_assert!(derived.is_ok(), "32 bytes are within HKDF's bound");
        }
        Psk(out)
    }

    /// The bytes, for the handshake: never log them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_depends_on_the_whole_key_and_is_never_shown() {
        let mut key = [7; 256];
        let psk = Psk::derive(&key);
        assert_eq!(psk, Psk::derive(&key));
        key[255] = 8;
        assert_ne!(psk, Psk::derive(&key));
        assert_ne!(psk.expose(), &key[..32]);
        assert_eq!(format!("{psk:?}"), "Psk(<redacted>)");
    }
}
