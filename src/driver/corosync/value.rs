//! Values and comments, and the care that a secret one takes.

use super::limits;
use super::options::{self, Unknown};
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

/// So many characters of hex or base64 under a name that nobody knows may be a key.
const KEY_LIKE: usize = 32;

/// Whether a value in the section of this path is a secret: `totem.key`, what reads like a misspelt or
/// misplaced one, and what looks like a key below totem under a name that corosync does not know.
pub(super) fn is_secret(section: &str, name: &str, value: &[u8]) -> bool {
    let path = limits::join(section, name);
    let (section, name) = path.rsplit_once('.').unwrap_or(("", &path));
    if (section, name) == ("totem", "key") {
        return true;
    }
    let below_totem = section == "totem" || section.starts_with("totem.");
    let suspect = reads_like_key(name) || (below_totem && looks_encoded(value));
    suspect && options::option(section, name).is_none()
}

/// `key`, or what was meant to be it: `keyy`, `Key`, `kye`; not `keyfile`.
fn reads_like_key(name: &str) -> bool {
    let begins = name.get(..3).is_some_and(|b| b.eq_ignore_ascii_case("key"));
    if begins {
        return !name.eq_ignore_ascii_case("keyfile");
    }
    name.len() <= 4 && options::unknown_key("totem", name) == Unknown::Near("key")
}

fn looks_encoded(value: &[u8]) -> bool {
    let of = |b: &u8| b.is_ascii_alphanumeric() || b"+/=-_".contains(b);
    value.len() >= KEY_LIKE && value.iter().all(of)
}

/// Whether a comment reads as `key: …`, or as a misspelt one.
pub(super) fn looks_like_key(comment: &[u8]) -> bool {
    let start = comment
        .iter()
        .take_while(|b| limits::is_blank(**b) || **b == b'#')
        .count();
    let text = comment.get(start..).unwrap_or_default();
    let Some(colon) = text.iter().position(|b| *b == b':') else {
        return false;
    };
    let name = limits::trim_end(text.get(..colon).unwrap_or_default());
    let name = std::str::from_utf8(name).unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.contains([' ', '\t']) && reads_like_key(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_commented_out_is_noticed() {
        for yes in [
            "key: a",
            " key:a",
            "\tkey : a",
            "# totem.key: a",
            "keys: a",
            "Key: a",
            "kye: a",
        ] {
            assert!(looks_like_key(yes.as_bytes()), "{yes}");
        }
        for no in ["", "key", "the key: a", "keyfile: /k", "token: 1"] {
            assert!(!looks_like_key(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn a_misspelt_or_misplaced_key_is_a_secret_and_so_is_what_looks_like_one() {
        let long = "0aF+/=_-".repeat(4);
        for (section, name, value) in [
            ("totem", "key", "a"),
            ("", "totem.key", "a"),
            ("totem", "keyy", "a"),
            ("totem", "Key", "a"),
            ("totem", "KEY", "a"),
            ("totem", "kye", "a"),
            ("totem", "ky", "a"),
            ("totem", "keyfil", "a"),
            ("", "totem.Key", "a"),
            ("", "key", "a"),
            ("quorum", "key", "a"),
            ("totem.interface", "Key", "a"),
            ("nodelist.node", "key", "a"),
            ("totem", "cipher_text", &long),
            ("totem.interface", "x", &long),
            ("", "totem.x", &long),
        ] {
            assert!(
                is_secret(section, name, value.as_bytes()),
                "{section} {name}"
            );
        }
        for (section, name, value) in [
            ("totem", "keyfile", "/etc/corosync/authkey"),
            ("totem", "Keyfile", "/etc/corosync/authkey"),
            ("totem", "token", "1000"),
            ("totem", "cluster_name", &long),
            ("totem", "x", "short"),
            ("totem", "x", &format!("{long} and words")),
            ("logging", "x", &long),
            ("nodelist.node", "name", "key"),
        ] {
            assert!(
                !is_secret(section, name, value.as_bytes()),
                "{section} {name}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let v = ConfValue::new(b"\xff\xfe");
        assert_eq!(v.expose(), b"\xff\xfe");
        assert_eq!(v.text(), "\u{fffd}\u{fffd}");
    }
}
