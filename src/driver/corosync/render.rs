//! Writes a model as corosync.conf (the C design's `corosync_gen_conf`): one canonical text for a
//! model, the totem section above all.
//!
//! A tab per depth, `name: value`, `name {`, an empty line between top-level sections, comments
//! where they were. A line that would be too long for corosync only because of its lay-out is
//! written without it, so that whatever was parsed can be written.

use super::finding::printable;
use super::limits::{self, MAX_FILE, MAX_LINE, NameOf, indent_of, is_blank, trim_end};
use super::model::{Config, Item, Key, Section};
use super::value::{ConfValue, REDACTED};
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Words of a rendering error.
const OP: &str = "render";
const OBJECT: &str = "corosync.conf";

/// The canonical text. It may hold `totem.key`, so it is zeroed on drop.
///
/// # Errors
/// If the model holds what no corosync.conf can: a value with `{` or a newline, a line of more than
/// 510 bytes, a bad name, more than 1 MiB in all. A model that was parsed fails at most with the last.
pub fn render(config: &Config) -> Result<Zeroizing<Vec<u8>>> {
    let mut writer = Writer {
        out: Zeroizing::new(Vec::with_capacity(most_bytes(config.items(), 0))),
        redact: false,
    };
    writer.top(config.items())?;
    if writer.out.len() > MAX_FILE {
        let cause = format!(
            "it would have {} bytes, at most {MAX_FILE} are allowed",
            writer.out.len()
        );
        return Err(Error::new(OP, OBJECT, cause).hint("remove comments or unused sections"));
    }
    Ok(writer.out)
}

/// The canonical text with every secret replaced by `<redacted>`, for showing.
///
/// # Errors
/// As [`render`].
pub fn render_redacted(config: &Config) -> Result<String> {
    let mut writer = Writer {
        out: Zeroizing::new(Vec::with_capacity(most_bytes(config.items(), 0))),
        redact: true,
    };
    writer.top(config.items())?;
    Ok(String::from_utf8_lossy(&writer.out).into_owned())
}

/// The SHA-256 of some bytes in 64 hex digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hex digits.
#[must_use]
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS.get(usize::from(n)).copied().unwrap_or(b'?'));
    bytes
        .iter()
        .flat_map(|b| [digit(b >> 4), digit(b & 15)])
        .collect()
}

/// At least as many bytes as the items take: a buffer that grows would leave copies of a key behind.
fn most_bytes(items: &[Item], depth: usize) -> usize {
    let line = |bytes: usize| bytes + depth + " {\n\n".len() + REDACTED.len();
    let of = |item: &Item| match item {
        Item::Comment(c) => line(c.expose().len()),
        Item::Key(k) => line(k.name.len() + k.value.expose().len()),
        Item::Section(s) => line(s.name.len()) + most_bytes(&s.items, depth + 1) + line(0),
    };
    items.iter().map(of).sum()
}

struct Writer {
    out: Zeroizing<Vec<u8>>,
    redact: bool,
}

impl Writer {
    fn top(&mut self, items: &[Item]) -> Result<()> {
        let mut before: Option<&Item> = None;
        for item in items {
            // A comment belongs to what follows it; a section stands apart from all others.
            let apart = match (before, item) {
                (None, _) | (Some(Item::Comment(_)), _) => false,
                (Some(Item::Section(_)), _) | (_, Item::Section(_) | Item::Comment(_)) => true,
                (Some(Item::Key(_)), Item::Key(_)) => false,
            };
            if apart {
                self.out.push(b'\n');
            }
            self.item(item, "", 0)?;
            before = Some(item);
        }
        Ok(())
    }

    fn item(&mut self, item: &Item, path: &str, depth: usize) -> Result<()> {
        match item {
            Item::Comment(c) => self.comment(c, path, depth),
            Item::Key(k) => self.key(k, path, depth),
            Item::Section(s) => self.section(s, path, depth),
        }
    }

    fn section(&mut self, section: &Section, path: &str, depth: usize) -> Result<()> {
        check_name(path, &section.name, NameOf::Section)?;
        let inner = limits::join(path, &section.name);
        if depth >= limits::MAX_DEPTH {
            return Err(refuse(&inner, "it is in too many sections"));
        }
        self.line(depth, &[section.name.as_bytes(), b" ", b"{"], &inner)?;
        for item in &section.items {
            self.item(item, &inner, depth + 1)?;
        }
        self.line(depth, &[b"}", b"", b""], &inner)
    }

    fn key(&mut self, key: &Key, path: &str, depth: usize) -> Result<()> {
        check_name(path, &key.name, NameOf::Key)?;
        let whole = limits::join(path, &key.name);
        let value = key.value.expose();
        if let Some(bad) = value.iter().find(|b| b"{\n\r\0".contains(b)) {
            let cause = format!("its value holds \"{}\"", printable(&[*bad]));
            return Err(refuse(&whole, &cause));
        }
        if indent_of(value) > 0 || trim_end(value).len() < value.len() {
            return Err(refuse(&whole, "its value begins or ends with a blank"));
        }
        let name = [key.name.as_bytes(), b":"].concat();
        match (self.redact && key.value.is_secret(), value) {
            (true, _) => self.line(depth, &[&name, b" ", REDACTED.as_bytes()], &whole),
            (false, []) => self.line(depth, &[&name, b"", b""], &whole),
            (false, _) => self.line(depth, &[&name, b" ", value], &whole),
        }
    }

    fn comment(&mut self, comment: &ConfValue, path: &str, depth: usize) -> Result<()> {
        let text = comment.expose();
        let ends_badly = text.last().is_some_and(|b| is_blank(*b) || *b == b'\r');
        if ends_badly || text.iter().any(|b| b"\n\0".contains(b)) {
            return Err(refuse(
                path,
                "a comment in it has a newline, NUL or blank end",
            ));
        }
        if self.redact && comment.is_secret() {
            return self.line(depth, &[b"#", b"key: ", REDACTED.as_bytes()], path);
        }
        self.line(depth, &[b"#", b"", text], path)
    }

    /// Writes a line of start, gap and end, without indentation and then without the gap if it is too long.
    fn line(&mut self, depth: usize, [start, gap, end]: &[&[u8]; 3], path: &str) -> Result<()> {
        let bare = start.len() + end.len();
        // A section's gap does not make a difference: its name has at most 254 bytes.
        let (tabs, gap) = match MAX_LINE.checked_sub(bare) {
            None => {
                let cause = format!("its line would have {bare} bytes, at most {MAX_LINE} fit");
                return Err(refuse(path, &cause));
            }
            Some(room) if depth + gap.len() <= room => (depth, *gap),
            Some(room) if gap.len() <= room => (0, *gap),
            Some(_) => (0, b"".as_slice()),
        };
        self.out.extend(std::iter::repeat_n(b'\t', tabs));
        for part in [start, gap, end] {
            self.out.extend_from_slice(part);
        }
        self.out.push(b'\n');
        Ok(())
    }
}

fn check_name(path: &str, name: &str, of: NameOf) -> Result<()> {
    let problem = limits::name_problem(name.as_bytes(), of)
        .map(|p| p.1)
        .or_else(|| limits::path_problem(path, name, of))
        .or_else(|| {
            (of == NameOf::Section && name.ends_with(':')).then(|| "it ends with \":\"".to_owned())
        });
    match problem {
        Some(cause) => Err(refuse(&limits::join(path, name), &cause)),
        None => Ok(()),
    }
}

fn refuse(path: &str, cause: &str) -> Error {
    let path = printable(path.as_bytes());
    Error::new(OP, OBJECT, format!("{path}: {cause}")).hint("corosync could not read it back")
}
