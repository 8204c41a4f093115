//! Values and comments, and the care that a secret one takes.

use super::limits;
use std::borrow::Cow;
use std::fmt;
use zeroize::Zeroize;

/// A value or a comment: any bytes that fit in a line; not always UTF-8.
///
/// `Debug` and `Display` show `<redacted>` for a secret one, and its bytes are zeroed on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfValue {
    bytes: Vec<u8>,
    secret: bool,
}

/// What is shown in place of a secret.
pub const REDACTED: &str = "<redacted>";

impl ConfValue {
    /// A value. Whether it is a secret is found out when it becomes part of a [`Config`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> ConfValue {
        ConfValue {
            bytes: bytes.to_vec(),
            secret: false,
        }
    }

    /// The bytes, of a secret too: never log them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn set_secret(&mut self, secret: bool) {
        self.secret = secret;
    }

    /// Whether this is a key, or a comment that looks like one that was commented out.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// The value as text fit to be shown: a secret redacted, what is not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        if self.secret {
            Cow::Borrowed(REDACTED)
        } else {
            String::from_utf8_lossy(&self.bytes)
        }
    }
}

impl Drop for ConfValue {
    fn drop(&mut self) {
        if self.secret {
            self.bytes.zeroize();
        }
    }
}

impl fmt::Debug for ConfValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            f.write_str(REDACTED)
        } else {
            write!(f, "{:?}", self.text())
        }
    }
}

impl fmt::Display for ConfValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl From<&str> for ConfValue {
    fn from(text: &str) -> ConfValue {
        ConfValue::new(text.as_bytes())
    }
}

/// Whether a key in the section of this path is one whose value is a secret.
pub(super) fn is_secret_key(section: &str, name: &str) -> bool {
    (section == "totem" && name == "key") || (section.is_empty() && name == "totem.key")
}

/// Whether a comment reads as `key: …`.
pub(super) fn looks_like_key(comment: &[u8]) -> bool {
    let start = comment
        .iter()
        .take_while(|b| limits::is_blank(**b) || **b == b'#')
        .count();
    let text = comment.get(start..).unwrap_or_default();
    text.strip_prefix(b"totem.".as_slice())
        .unwrap_or(text)
        .strip_prefix(b"key".as_slice())
        .is_some_and(|rest| rest.get(limits::indent_of(rest)) == Some(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_commented_out_is_noticed() {
        for yes in ["key: a", " key:a", "\tkey : a", "# totem.key: a"] {
            assert!(looks_like_key(yes.as_bytes()), "{yes}");
        }
        for no in ["", "key", "the key: a", "keyfile: /k", "keys: a"] {
            assert!(!looks_like_key(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let v = ConfValue::new(b"\xff\xfe");
        assert_eq!(v.expose(), b"\xff\xfe");
        assert_eq!(v.text(), "\u{fffd}\u{fffd}");
    }
}
