//! The text of a configuration in a request.

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use zeroize::Zeroizing;

/// The text of a corosync.conf on its way: a string, or an array of its bytes where it is no UTF-8, as an
/// old comment may be. It may hold a key: it is zeroed on drop, and `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfText(Zeroizing<Vec<u8>>);

impl ConfText {
    /// The bytes: never log them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for ConfText {
    fn from(text: Vec<u8>) -> ConfText {
        ConfText(Zeroizing::new(text))
    }
}

impl fmt::Debug for ConfText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfText({} bytes)", self.0.len())
    }
}

impl Serialize for ConfText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => to.serialize_str(text),
            Err(_) => to.collect_seq(self.0.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for ConfText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ConfText, D::Error> {
        from.deserialize_any(ReadText)
    }
}

struct ReadText;

impl<'de> Visitor<'de> for ReadText {
    type Value = ConfText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or an array of its bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfText, E> {
        Ok(text.as_bytes().to_vec().into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<ConfText, E> {
        Ok(text.into_bytes().into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<ConfText, A::Error> {
        let mut text = Zeroizing::new(Vec::new());
        while let Some(byte) = bytes.next_element::<u8>()? {
            text.push(byte);
        }
        Ok(ConfText(text))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use crate::wire::{Request, RequestLine};

    #[test]
    fn a_text_comes_as_it_was_sent_and_does_not_show() {
        // The text may hold a key.
        let text = r#"{"id":0,"req":"config.diff","text":"key: a"}"#;
        let r: RequestLine = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&r).unwrap(), text);
        assert!(!format!("{r:?}").contains("key: a"), "{r:?}");
        // An old comment.
        let text = r#"{"id":0,"req":"config.diff","text":[35,255]}"#;
        let r: RequestLine = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&r).unwrap(), text);
        let Request::ConfigDiff { text } = r.request else {
            panic!("{r:?}");
        };
        assert_eq!(text.unwrap().expose(), b"#\xff");
    }
}
