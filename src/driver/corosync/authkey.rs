//! The cluster's key: corosync's authkey.

use super::render::hex;
use crate::error::{Error, Result};
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Fewest bytes that corosync takes for a key.
pub const MIN_KEY: usize = 128;
/// Most bytes of a key; corosync silently cuts a longer file.
pub const MAX_KEY: usize = 4096;

/// What makes the fingerprint's bytes differ from all else that is derived from the key.
const FINGERPRINT_LABEL: &[u8] = b"clusmgr fingerprint 1";

/// A key. Its bytes are zeroed on drop, and nothing but [`AuthKey::expose`] shows them.
#[derive(Clone)]
pub struct AuthKey(Zeroizing<Vec<u8>>);

impl AuthKey {
    /// Takes the content of a key file; zeroes it if it is no key.
    ///
    /// # Errors
    /// Under 128 or over 4096 bytes. The error tells the length and never the content.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<AuthKey> {
        AuthKey::from_named("authkey", bytes)
    }

    /// As [`AuthKey::from_bytes`], with the name of the file for the error.
    ///
    /// # Errors
    /// As [`AuthKey::from_bytes`].
    pub fn from_named(name: impl fmt::Display, bytes: Vec<u8>) -> Result<AuthKey> {
        let key = AuthKey(Zeroizing::new(bytes));
        let length = key.0.len();
        let problem = match length {
            0..MIN_KEY => "is too short",
            MIN_KEY..=MAX_KEY => return Ok(key),
            _ => "is too long, corosync would cut it silently",
        };
        Err(Error::new(
            "check key",
            name,
            format!("{length} bytes {problem}; corosync wants {MIN_KEY} to {MAX_KEY}"),
        )
        .hint(
            "copy the key from another node, or make a new one for all nodes with corosync-keygen",
        ))
    }

    /// The bytes, for writing the key file and deriving from: never log them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// A name for the key that tells nothing about it: 16 bytes of HKDF-SHA256 as
    /// `xxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxx`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut out = [0; 16];
        let derived = Hkdf::<Sha256>::new(None, &self.0).expand(FINGERPRINT_LABEL, &mut out);
        debug_assert!(derived.is_ok(), "16 bytes are within HKDF's bound");
        out.chunks(2).map(hex).collect::<Vec<_>>().join("-")
    }
}

/// In a time that depends on the lengths only.
impl PartialEq for AuthKey {
    fn eq(&self, other: &AuthKey) -> bool {
        let differ = self
            .0
            .iter()
            .zip(other.0.iter())
            .fold(0, |acc, (a, b)| std::hint::black_box(acc | (a ^ b)));
        self.0.len() == other.0.len() && differ == 0
    }
}

impl Eq for AuthKey {}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKey(<redacted>)")
    }
}

impl fmt::Display for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_has_128_to_4096_bytes() {
        for good in [128, 256, 4096] {
            assert!(AuthKey::from_bytes(vec![1; good]).is_ok());
        }
        for bad in [0, 127, 4097] {
            let err = AuthKey::from_named("/etc/corosync/authkey", vec![b'S'; bad]).unwrap_err();
            let text = err.to_string();
            assert!(text.contains("/etc/corosync/authkey"), "{text}");
            assert!(text.contains(&format!("{bad} bytes")), "{text}");
            assert!(text.contains("128 to 4096"), "{text}");
            assert!(!text.contains("SS") && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn the_fingerprint_is_stable_and_of_its_own_form() {
        let key = AuthKey::from_bytes((0..=255).collect()).unwrap();
        let print = key.fingerprint();
        assert_eq!(
            print,
            AuthKey::from_bytes((0..=255).collect())
                .unwrap()
                .fingerprint()
        );
        assert_eq!(print.len(), 39);
        assert!(
            print
                .split('-')
                .all(|g| g.len() == 4 && g.bytes().all(|b| b.is_ascii_hexdigit()))
        );
        let other = AuthKey::from_bytes(vec![0; 256]).unwrap();
        assert_ne!(print, other.fingerprint());
        assert_ne!(key, other);
        assert_eq!(key, key.clone());
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = AuthKey::from_bytes(vec![b'S'; 200]).unwrap();
        let shown = format!("{key:?} {key}");
        assert!(!shown.contains("SS") && !shown.contains("83"), "{shown}");
    }
}
