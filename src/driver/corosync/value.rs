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
/// So many of anything may be: corosync takes no key of fewer than 128 bytes, and no other value has so many.
const LONG: usize = 100;

/// Whether a value in the section of this path is a secret: `totem.key`, what reads like a misspelt or
/// misplaced one, and what looks like a key below totem under a name that corosync does not know.
pub(super) fn is_secret(section: &str, name: &str, value: &[u8]) -> bool {
    let path = limits::join(section, name);
    let (section, name) = path.rsplit_once('.').unwrap_or(("", &path));
    if (section, name) == ("totem", "key") {
        return true;
    }
    let below_totem = section == "totem" || section.starts_with("totem.");
    let suspect = reads_like_key(name.as_bytes())
        || (below_totem && (value.len() >= LONG || (value.len() >= KEY_LIKE && encoded(value))));
    suspect && options::option(section, name).is_none()
}

/// The same of a key of corosync's database, where a section that repeats has its number in the path; by
/// the key alone where there is no value.
pub(super) fn is_secret_in_cmap(key: &str, value: Option<&str>) -> bool {
    let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
    let number = |word: &&str| word.parse::<u32>().is_ok();
    let section: Vec<&str> = path.split('.').filter(|w| !number(w)).collect();
    is_secret(
        &section.join("."),
        name,
        value.unwrap_or_default().as_bytes(),
    )
}

/// A name with `key` in it, or what was meant to be it: `keyy`, `authkey`, `Key`, `kye`; not `keyfile`.
fn reads_like_key(name: &[u8]) -> bool {
    if name.windows(3).any(|w| w.eq_ignore_ascii_case(b"key")) {
        return !name.eq_ignore_ascii_case(b"keyfile");
    }
    let near = |name| options::unknown_key("totem", name) == Unknown::Near("key");
    name.len() <= 4 && std::str::from_utf8(name).is_ok_and(near)
}

fn encoded(value: &[u8]) -> bool {
    let of = |b: &u8| b.is_ascii_alphanumeric() || b"+/=-_".contains(b);
    value.iter().all(of)
}

/// Whether a comment may hold a key: a word that reads like one and then `:` or `=`, wherever it
/// stands, or a word that is as long as a key.
pub(super) fn looks_like_key(comment: &[u8]) -> bool {
    let blank = |b: &u8| limits::is_blank(*b);
    // A line of `-` or `=` is none.
    let long = |w: &[u8]| w.len() >= LONG && encoded(w) && w.iter().any(u8::is_ascii_digit);
    if comment.split(blank).any(long) {
        return true;
    }
    let ends = (0..comment.len()).filter(|i| b":=".contains(&comment[*i]));
    ends.into_iter().any(|end| {
        let before = limits::trim_end(&comment[..end]);
        let of_name = |b: &&u8| b.is_ascii_alphanumeric() || b"_-/".contains(b);
        let length = before.iter().rev().take_while(of_name).count();
        reads_like_key(&before[before.len() - length..])
    })
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
            "the key: a",
            "key=a",
            " my key : a",
            "was: authkey = a",
            "PSK_KEY:a",
            &format!("old {}", "0aF+/=_-".repeat(16)),
        ] {
            assert!(looks_like_key(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "key",
            "the key is below",
            "keyfile: /k",
            "token: 1",
            "make it with corosync-keygen",
            &"-=".repeat(60),
        ] {
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
            ("totem", "authkey", "a"),
            ("totem", "secret_KEY", "a"),
            ("quorum", "totem.key", "a"),
            ("logging", "mykey", "a"),
            ("totem", "x", &format!("{long} {long} {long} {long}")),
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
    fn a_secret_is_one_in_corosyncs_database_too_and_nothing_else_there_is() {
        let long = "0aF+/=_-".repeat(4);
        for (key, value) in [
            ("totem.key", None),
            ("totem.keyy", None),
            ("totem.interface.1.Key", None),
            ("quorum.key", None),
            ("nodelist.node.0.key", None),
            ("strange.totem.key", None),
            ("totem.salt", Some(long.as_str())),
            ("totem.interface.1.x", Some(&long)),
        ] {
            assert!(is_secret_in_cmap(key, value), "{key}");
        }
        for (key, value) in [
            ("totem.keyfile", Some("/etc/corosync/authkey")),
            ("totem.cluster_name", Some(long.as_str())),
            ("totem.salt", Some("short")),
            ("totem.interface.0.bindnetaddr", Some("10.0.0.1")),
            ("nodelist.node.0.ring0_addr", Some(&long)),
            ("nodelist.node.12.name", Some("key")),
            ("nodelist.local_node_pos", None),
            ("runtime.members.1.ip", Some("r(0) ip(10.77.0.1) ")),
            ("runtime.services.cpg.0.rx", None),
            ("logging.logger_subsys.QUORUM.subsys", Some("QUORUM")),
            ("uidgid.config.uid.0", None),
            ("config.reload_status", None),
        ] {
            assert!(!is_secret_in_cmap(key, value), "{key}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let v = ConfValue::new(b"\xff\xfe");
        assert_eq!(v.expose(), b"\xff\xfe");
        assert_eq!(v.text(), "\u{fffd}\u{fffd}");
    }
}
