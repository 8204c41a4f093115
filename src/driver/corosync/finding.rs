//! What is wrong in a configuration, where, and what to write instead.

use crate::error::Error;
use std::fmt;

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// corosync would not start, or would do something else than is meant.
    Error,
    /// It works, and deserves a look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One thing that is wrong, at one place.
///
/// No message ever quotes a value of `totem.key`, or of what may be one: findings are logged and sent to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line, from 1; 0 for what is missing from the whole file.
    pub line: u32,
    /// Column in bytes, from 1; 0 where no column applies.
    pub column: u32,
    /// Path of the key or section, as `totem.token`; empty outside of every section.
    pub path: String,
    /// Whether corosync would fail over it.
    pub severity: Severity,
    /// What is wrong, and what to write.
    pub message: String,
}

impl Finding {
    /// A file that could not be read, or not used as a whole.
    #[must_use]
    pub fn of_file(e: &Error) -> Finding {
        Finding {
            line: 0,
            column: 0,
            path: String::new(),
            severity: Severity::Error,
            message: e.to_string(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => {}
            (line, 0) => write!(f, "line {line}: ")?,
            (line, column) => write!(f, "line {line}, column {column}: ")?,
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Whether a list holds a finding that forbids a start.
#[must_use]
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.severity == Severity::Error)
}

/// Makes text from a file fit to be shown: printable ASCII only, and not longer than a screen line.
pub(super) fn printable(text: &[u8]) -> String {
    const MOST: usize = 120;
    let mut out = String::new();
    for &b in text.iter().take(MOST) {
        if b == b' ' || b.is_ascii_graphic() {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    if text.len() > MOST {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let f = Finding {
            line: 3,
            column: 9,
            path: "totem.token".to_owned(),
            severity: Severity::Error,
            message: "not a number".to_owned(),
        };
        assert_eq!(f.to_string(), "line 3, column 9: totem.token: not a number");
        assert!(has_errors(std::slice::from_ref(&f)));
        let w = Finding {
            line: 0,
            column: 0,
            path: String::new(),
            severity: Severity::Warning,
            message: "m".to_owned(),
        };
        assert_eq!(w.to_string(), "warning: m");
        assert!(!has_errors(&[w]));
    }

    #[test]
    fn foreign_text_is_made_printable() {
        assert_eq!(printable(b"a\x1b[31m\xff b"), "a\\x1b[31m\\xff b");
        assert_eq!(printable(&[b'x'; 500]).len(), 123);
    }
}
