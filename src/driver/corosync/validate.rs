//! Checks a configuration, all of it at once: what corosync would not start with, what it would cut, ignore
//! or disable, and what it lets through to its own harm.
//!
//! A rule about one key is a row of the table in `options`; a rule about several is a function in the
//! room of its section: totem, nodes, quorum, system. What corosync refuses or what harms is an
//! error; what works and deserves a look is a warning, and never blocks.
//!
//! What this cannot know is left to `corosync -t` and to the start: names that must be resolved, users and
//! groups, files and directories.

mod keys;
mod nodes;
mod quorum;
mod system;
mod totem;

use super::finding::{Finding, Severity, printable};
use super::limits;
use super::model::{Config, Item, Pos, Section};
use super::nodes::{LocalHost, Node};
use super::parse::MAX_FINDINGS;

/// Most nodes in a nodelist: what knet and the manual page's advice for timers are made for.
pub const MAX_NODES: usize = 32;

/// Whether there is a key file, as far as the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFile {
    /// Not looked for: a check of a file alone.
    Unknown,
    /// It is there.
    Present,
    /// There is none.
    Absent,
}

/// Everything that is wrong, in order of place; what is missing altogether comes first.
///
/// At most [`MAX_FINDINGS`] errors and as many warnings are told one by one, and the rest is counted.
#[must_use]
pub fn validate(config: &Config, local: &LocalHost, keyfile: KeyFile) -> Vec<Finding> {
    let mut check = Check {
        config,
        local,
        nodes: config.nodes(),
        knet: config.transport() == "knet",
        udp: config.transport() == "udp",
        findings: Vec::new(),
        told: [0; 2],
    };
    check.keys(config.items(), "");
    check.nodelist();
    check.totem();
    check.interfaces();
    check.crypto();
    check.authkey(keyfile);
    check.quorum();
    check.system();
    check.finish()
}

/// A configuration under check, and what is known of it.
struct Check<'a> {
    config: &'a Config,
    local: &'a LocalHost,
    nodes: Vec<Node>,
    knet: bool,
    udp: bool,
    findings: Vec<Finding>,
    /// How many errors and warnings there are, told or not.
    told: [usize; 2],
}

impl<'a> Check<'a> {
    fn error(&mut self, at: Pos, path: &str, message: impl Into<String>) {
        self.find(Severity::Error, at, path, message.into());
    }

    fn warn(&mut self, at: Pos, path: &str, message: impl Into<String>) {
        self.find(Severity::Warning, at, path, message.into());
    }

    fn find(&mut self, severity: Severity, at: Pos, path: &str, message: String) {
        let told = &mut self.told[usize::from(severity == Severity::Warning)];
        *told += 1;
        if *told > MAX_FINDINGS {
            return;
        }
        self.findings.push(Finding {
            line: at.line,
            column: at.column,
            path: printable(path.as_bytes()),
            severity,
            message,
        });
    }

    /// Whether one more warning would still be told.
    fn room_for_warnings(&self) -> bool {
        self.told[1] < MAX_FINDINGS
    }

    fn finish(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|f| (f.line, f.column));
        for (severity, told) in [Severity::Error, Severity::Warning].iter().zip(self.told) {
            if told > MAX_FINDINGS {
                self.findings.push(Finding {
                    line: 0,
                    column: 0,
                    path: String::new(),
                    severity: *severity,
                    message: format!("{} more {severity}s are not shown", told - MAX_FINDINGS),
                });
            }
        }
        self.findings
    }

    /// Where the value of a key stands; nowhere if there is none.
    fn place(&self, path: &str) -> Pos {
        self.config
            .find(path)
            .map_or(Pos::default(), |k| k.value_at)
    }

    /// Where a section of the first level begins; nowhere if there is none.
    fn section_place(&self, name: &str) -> Pos {
        self.config.section(name).map_or(Pos::default(), |s| s.at)
    }

    /// The number that a key holds, if it is there and one.
    fn number(&self, path: &str) -> Option<u64> {
        self.config.get_str(path)?.parse().ok()
    }

    /// The number that a key of totem holds, if it is there, one, and not 0, which stands for the default.
    fn positive(&self, path: &str) -> Option<u64> {
        self.number(path).filter(|n| *n > 0)
    }

    /// Whether a switch of 0 and 1 is on.
    fn flag(&self, path: &str) -> bool {
        self.number(path).is_some_and(|n| n != 0)
    }

    /// All sections of this path, in order, wherever they were opened.
    fn sections(&self, path: &str) -> Vec<&'a Section> {
        let mut found = Vec::new();
        sections_at(self.config.items(), path, &mut found);
        found
    }
}

fn sections_at<'a>(items: &'a [Item], path: &str, found: &mut Vec<&'a Section>) {
    for item in items {
        let Item::Section(s) = item else { continue };
        if s.name == path {
            found.push(s);
        } else if let Some(rest) = path.strip_prefix(s.name.as_str()) {
            if let Some(rest) = rest.strip_prefix('.') {
                sections_at(&s.items, rest, found);
            }
        }
    }
}

/// A value fit to be quoted in a message.
fn quoted(value: &str) -> String {
    format!("\"{}\"", printable(value.as_bytes()))
}

/// The path of a name in a section.
fn join(section: &str, name: &str) -> String {
    limits::join(section, name)
}
