//! Reads corosync.conf by the rules of corosync 3.1, and tells all that is wrong with it at once.
//!
//! What corosync takes and this does not: NUL bytes where they happen to do no harm, a carriage
//! return inside a value, a section name with characters that no key could be stored under, an empty
//! key name (corosync after 3.1.7 refuses that too), and what is beyond the bounds in `limits`.
//!
//! No finding quotes a line: the line may hold a key.

use super::finding::{Finding, Severity, printable};
use super::limits::{self, MAX_DEPTH, MAX_FILE, MAX_ITEMS, MAX_LINE, NameOf, indent_of, trim_end};
use super::model::{Config, Item, Key, Pos, Section};
use super::value::{ConfValue, is_secret};

/// Most findings that are told; more help nobody, and a hostile file could make a million.
pub const MAX_FINDINGS: usize = 200;

/// Parses a whole file. Takes any bytes, in time linear in their number.
///
/// # Errors
/// Every finding, by line and column; there is at least one.
pub fn parse(bytes: &[u8]) -> Result<Config, Vec<Finding>> {
    let mut parser = Parser::new();
    if bytes.len() > MAX_FILE {
        let message = format!(
            "the file has {} bytes; at most {MAX_FILE} are read, is this a corosync.conf?",
            bytes.len()
        );
        parser.find(Pos { line: 1, column: 1 }, "", message);
        return Err(parser.findings);
    }
    let text = match bytes.strip_prefix(b"\xef\xbb\xbf".as_slice()) {
        Some(rest) => {
            let message = "the file begins with a byte-order mark; save it as plain UTF-8 or ASCII";
            parser.find(Pos { line: 1, column: 1 }, "", message.to_owned());
            rest
        }
        None => bytes,
    };
    for (index, line) in text.split(|b| *b == b'\n').enumerate() {
        parser.line(number(index), line);
        if parser.items > MAX_ITEMS {
            let at = Pos {
                line: number(index),
                column: 1,
            };
            let message = format!(
                "more than {MAX_ITEMS} keys, sections and comments up to here; is this a corosync.conf?"
            );
            parser.find(at, "", message);
            return Err(parser.into_findings());
        }
    }
    parser.finish()
}

/// A line or column number, from 1, of an index from 0.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

/// A section that is not closed yet; the first of them is the top level.
struct Open {
    name: String,
    at: Pos,
    /// Its path as corosync counts it.
    path: String,
    /// Its path as it is shown: a name is cut at its colon, since `key: abc{` would be a name too.
    shown: String,
    items: Vec<Item>,
}

struct Parser {
    top: Open,
    stack: Vec<Open>,
    /// How many sections are open that are too deep to be kept.
    skipped: usize,
    items: usize,
    findings: Vec<Finding>,
    untold: usize,
}

impl Parser {
    fn new() -> Parser {
        Parser {
            top: Open {
                name: String::new(),
                at: Pos::default(),
                path: String::new(),
                shown: String::new(),
                items: Vec::new(),
            },
            stack: Vec::new(),
            skipped: 0,
            items: 0,
            findings: Vec::new(),
            untold: 0,
        }
    }

    fn here(&self) -> &Open {
        self.stack.last().unwrap_or(&self.top)
    }

    fn push(&mut self, item: Item) {
        self.items += 1;
        let open = self.stack.last_mut().unwrap_or(&mut self.top);
        open.items.push(item);
    }

    /// Notes an error; `path` as it is to be shown.
    fn find(&mut self, at: Pos, path: &str, message: String) {
        if self.findings.len() >= MAX_FINDINGS {
            self.untold += 1;
            return;
        }
        self.findings.push(Finding {
            line: at.line,
            column: at.column,
            path: printable(path.as_bytes()),
            severity: Severity::Error,
            message,
        });
    }

    fn find_here(&mut self, line: u32, index: usize, message: &str) {
        let path = self.here().shown.clone();
        let column = number(index);
        self.find(Pos { line, column }, &path, message.to_owned());
    }

    /// Takes in one line, without its newline.
    fn line(&mut self, line: u32, raw: &[u8]) {
        if raw.len() > MAX_LINE {
            let message = format!(
                "the line has {} bytes; at most {MAX_LINE} are allowed, shorten it",
                raw.len()
            );
            return self.find_here(line, MAX_LINE, &message);
        }
        if let Some(at) = raw.iter().position(|b| *b == 0) {
            return self.find_here(line, at, "a NUL byte; is this a text file? remove it");
        }
        let mut text = trim_end(raw.strip_suffix(b"\r".as_slice()).unwrap_or(raw));
        let indent = indent_of(text);
        match text.get(indent) {
            None => return,
            Some(b'#') => return self.comment(text.get(indent + 1..).unwrap_or_default()),
            Some(_) => {}
        }
        if let Some(at) = text.iter().position(|b| *b == b'\r') {
            let message = "a carriage return inside the line; end lines with one newline";
            self.find_here(line, at, message);
            while let Some(rest) = text.strip_suffix(b"\r".as_slice()) {
                text = trim_end(rest);
            }
        }
        let at = |byte: u8| text.iter().position(|b| *b == byte);
        if let Some(brace) = at(b'{') {
            self.open(line, text, indent, brace);
        } else if self.skipped > 0 {
            if text.get(indent) == Some(&b'}') {
                self.skipped -= 1;
            }
        } else if let Some(colon) = at(b':') {
            self.key(line, text, indent, colon);
        } else if at(b'}').is_some() {
            self.close(line, text, indent);
        } else {
            let message = "neither \"name: value\" nor \"name {\" nor \"}\"; write one of these, or # before a comment";
            self.find_here(line, indent, message);
        }
    }

    fn comment(&mut self, mut text: &[u8]) {
        if self.skipped > 0 {
            return;
        }
        // One carriage return is gone already; more of them mean nothing in a comment.
        while let Some(rest) = text.strip_suffix(b"\r".as_slice()) {
            text = trim_end(rest);
        }
        self.push(Item::Comment(ConfValue::new(text)));
    }

    /// `name {`
    fn open(&mut self, line: u32, text: &[u8], indent: usize, brace: usize) {
        let rest = text.get(brace + 1..).unwrap_or_default();
        let extra = brace + 1 + indent_of(rest);
        let closed_at_once = text.get(extra) == Some(&b'}');
        if self.skipped > 0 {
            self.skipped += usize::from(!closed_at_once);
            return;
        }
        let name = section_name(text.get(indent..brace).unwrap_or_default());
        let (path, shown) = (self.here().path.clone(), self.here().shown.clone());
        let own = name.split(|b| *b == b':').next().unwrap_or_default();
        let mut own = String::from_utf8_lossy(own).into_owned();
        let problem = limits::name_problem(name, NameOf::Section);
        let before = text.get(..brace).unwrap_or_default();
        if problem.is_some() && before.contains(&b':') && !name.is_empty() {
            // A value with a brace, most likely: no section was meant.
            let message = "\"{\" opens a section, so a value cannot hold it; remove it";
            return self.find_here(line, brace, message);
        }
        if let Some((at, message)) = &problem {
            own.clear();
            let at = if name.is_empty() { brace } else { indent + at };
            self.find_here(line, at, message);
        }
        // All bytes of a valid name are ASCII; an invalid one is kept only to match its brace.
        let name = String::from_utf8_lossy(name).into_owned();
        let shown = if own.is_empty() {
            shown
        } else {
            limits::join(&shown, &own)
        };
        let at = Pos {
            line,
            column: number(indent),
        };
        let too_long = limits::path_problem(&path, &name, NameOf::Section);
        if let (None, Some(message)) = (&problem, &too_long) {
            self.find(at, &shown, message.clone());
        }
        if extra < text.len() {
            let column = number(extra);
            let message = "nothing may follow \"{\" on its line, and a value cannot hold \"{\"; put what follows, a \"}\" too, on a line of its own";
            self.find(Pos { line, column }, &shown, message.to_owned());
            if closed_at_once {
                return;
            }
        }
        if self.stack.len() >= MAX_DEPTH || too_long.is_some() {
            if too_long.is_none() {
                let message = format!(
                    "more than {MAX_DEPTH} sections inside one another; is a \"}}\" missing above?"
                );
                self.find(at, &shown, message);
            }
            self.skipped = 1;
            return;
        }
        self.items += 1;
        self.stack.push(Open {
            path: limits::join(&path, &name),
            name,
            at,
            shown,
            items: Vec::new(),
        });
    }

    /// `name: value`
    fn key(&mut self, line: u32, text: &[u8], indent: usize, colon: usize) {
        let name = trim_end(text.get(indent..colon).unwrap_or_default());
        if let Some((at, message)) = limits::name_problem(name, NameOf::Key) {
            return self.find_here(line, indent + at, &message);
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let at = Pos {
            line,
            column: number(indent),
        };
        if let Some(message) = limits::path_problem(&self.here().path, &name, NameOf::Key) {
            let shown = limits::join(&self.here().shown, &name);
            return self.find(at, &shown, message);
        }
        let rest = text.get(colon + 1..).unwrap_or_default();
        let start = indent_of(rest);
        let value_at = Pos {
            line,
            column: number(colon + 1 + start),
        };
        let mut value = ConfValue::new(rest.get(start..).unwrap_or_default());
        // Said here already, so that it is zeroed also if the file turns out not to parse.
        value.set_secret(is_secret(&self.here().path, &name, value.expose()));
        self.push(Item::Key(Key {
            name,
            value,
            at,
            value_at,
        }));
    }

    /// `}`, or a line that holds one, and neither `{` nor `:`.
    fn close(&mut self, line: u32, text: &[u8], indent: usize) {
        let own = text.get(indent..).unwrap_or_default();
        if own != b"}" {
            let at = match own.strip_prefix(b"}".as_slice()) {
                Some(rest) => indent + 1 + indent_of(rest),
                None => indent,
            };
            let message =
                "\"}\" must stand alone on its line; move the rest, a comment too, to another line";
            self.find_here(line, at, message);
        }
        let Some(open) = self.stack.pop() else {
            let at = text.iter().position(|b| *b == b'}').unwrap_or(indent);
            let message = "\"}\" closes nothing, no section is open; remove it, or look for a missing \"name {\" above";
            return self.find_here(line, at, message);
        };
        // It was counted when it was opened.
        self.items -= 1;
        self.push(Item::Section(Section {
            name: open.name,
            items: open.items,
            at: open.at,
        }));
    }

    fn finish(mut self) -> Result<Config, Vec<Finding>> {
        for open in std::mem::take(&mut self.stack) {
            let message = "the section is opened here and never closed; write \"}\" on a line of its own at its end";
            self.find(open.at, &open.shown, message.to_owned());
        }
        if self.findings.is_empty() {
            Ok(Config::new(self.top.items))
        } else {
            Err(self.into_findings())
        }
    }

    /// The findings in order of place, and how many were left out.
    fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|f| (f.line, f.column));
        if self.untold > 0 {
            self.findings.push(Finding {
                line: 0,
                column: 0,
                path: String::new(),
                severity: Severity::Error,
                message: format!("{} more findings are not shown", self.untold),
            });
        }
        self.findings
    }
}

/// What is before `{`, without the blanks and colons at its end: corosync takes `totem: {` too.
fn section_name(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text {
        if !limits::is_blank(*last) && *last != b':' {
            break;
        }
        text = rest;
    }
    text
}
