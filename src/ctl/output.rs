//! The status in words, for one who has not read the manual.

use super::client::{Fail, Result};
use super::cluster;
use super::text::{self, Colour, clean, clean_json, paint, wrap};
use crate::error::Error;
use crate::sys::term;
use crate::types::{WallMs, span};
use crate::verdict::{code_of, judge_at, remedy};
use crate::wire::{DegradedItem, LastExit, Mode, Reason, ServiceState, Status};
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// Columns of the labels, and so the indent of what stands beside them.
const LABEL: usize = 17;
/// How many of a dead run's last lines are shown.
const LAST_LINES: usize = 3;

/// Stands for a space that no line may end at; nothing of it is shown.
const NO_BREAK: &str = text::NO_BREAK;

/// How to show it.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// When the status was asked for.
    pub now: WallMs,
    /// Also say how long ago things were: not where the text stays while time goes on.
    pub ago: bool,
    /// Columns.
    pub width: usize,
    /// Use colours.
    pub colour: bool,
    /// How a time is written.
    pub time: fn(WallMs) -> String,
}

/// Where words go: stdout, and what it can do.
#[derive(Debug)]
pub struct Out {
    /// Whether a person looks at it.
    pub terminal: bool,
    colour: bool,
}

impl Out {
    /// The program's stdout.
    #[must_use]
    pub fn stdout() -> Out {
        let terminal = io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Out {
            terminal: terminal && !dumb,
            colour: terminal && !dumb && !set("NO_COLOR"),
        }
    }

    /// How a status is shown here and now.
    #[must_use]
    pub fn view(&self, ago: bool) -> View {
        // Wide lines are hard to read; where there is no terminal a reader is not asked.
        let width = term::width(io::stdout()).unwrap_or(80);
        View {
            now: WallMs::now(),
            ago,
            width: width.clamp(40, 100),
            colour: self.colour,
            time: term::local_time,
        }
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// Nobody reads it ([`Fail::Pipe`]), or it cannot be written.
    pub fn print(&self, text: &str) -> Result<()> {
        let mut to = io::stdout().lock();
        let written = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        written.map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => Fail::Pipe,
            _ => Error::io("write", "stdout", &e).into(),
        })
    }

    /// Writes an object over several lines.
    ///
    /// # Errors
    /// As [`Out::print`].
    pub fn json(&self, value: &Value) -> Result<()> {
        self.print(&clean_json(&format!("{value:#}\n")))
    }
}

/// For words after which only the exit code is left: that nobody reads them does not change it.
///
/// # Errors
/// As [`Out::print`], but for [`Fail::Pipe`].
pub fn even_unread(written: Result<()>) -> Result<()> {
    match written {
        Err(Fail::Pipe) => Ok(()),
        other => other,
    }
}

/// The exit code of `status`.
#[must_use]
pub fn exit_code(status: &Status) -> u8 {
    match status.mode {
        Mode::Standalone => 150,
        Mode::Cluster if status.is_quorate_member() && status.degraded.is_empty() => 0,
        Mode::Cluster => 151,
    }
}

/// How this node does, in one sentence.
#[must_use]
pub fn headline(status: &Status, view: &View) -> String {
    sentence(status, view).replace(NO_BREAK, " ")
}

fn sentence(status: &Status, view: &View) -> String {
    let name = clean(&status.node.name);
    let service = &status.service;
    let since = when(service.since, view);
    let pid = service
        .pid
        .map_or_else(String::new, |p| format!(" (pid {p})"));
    if status.mode == Mode::Standalone {
        let why = status.mode_reason.map_or("no reason is given", why);
        let stranger = match status.runs_while_held() {
            true => format!(", and yet one runs{pid}"),
            false => String::new(),
        };
        return format!("{name} is in STANDALONE mode: {why}{stranger}.");
    }
    let does = match service.state {
        ServiceState::Running => format!("corosync runs{pid} since {since}"),
        ServiceState::Starting => format!("corosync is starting{pid} since {since}"),
        ServiceState::Stopping => format!("corosync is being stopped{pid} since {since}"),
        ServiceState::Backoff => {
            // At a boot nothing has died: the other nodes are looked at first.
            let died = service.last_exit.as_ref().map_or("", |_| "died and ");
            let when = match service.next_retry_ms {
                Some(ms) => coming(ms, view),
                None => "soon".to_owned(),
            };
            format!("corosync {died}will be started {when}")
        }
        ServiceState::Stopped => format!("corosync is stopped since {since}"),
        ServiceState::Failed => format!("corosync has failed since {since}"),
    };
    let cluster = status.cluster.as_ref();
    match cluster.filter(|_| service.state == ServiceState::Running) {
        None => format!("{name} is in CLUSTER mode: {does}."),
        Some(c) => {
            let quorum = if c.quorate {
                "and quorate"
            } else {
                "but NOT quorate"
            };
            let (here, all) = (c.present(), c.members.len());
            format!("{name} is in CLUSTER mode {quorum}, with {here} of {all} nodes: {does}.")
        }
    }
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Unconfigured => "there is no corosync.conf yet",
        Reason::Held => "an operator stopped corosync",
        Reason::BadConfig => "the configuration cannot be used",
        Reason::StartFailed => "corosync could not be started or died too often",
        Reason::NoBinary => "the corosync program is missing or cannot be executed",
    }
}

/// The word that the advice for a mode is found by.
fn word_of(reason: Reason) -> &'static str {
    match reason {
        Reason::Unconfigured => "not-configured",
        Reason::StartFailed => "crash-loop",
        other => other.as_str(),
    }
}

/// What helps, in one sentence.
fn remedy_for(word: &str) -> String {
    remedy(word).join("; ")
}

/// Verdicts that other parts of the status show already.
const SHOWN: &[&str] = &[
    "healthy",
    "starting",
    "not-configured",
    "held",
    "no-binary",
    "bad-config",
    "died",
    "drift",
    "key-drift",
];

/// The status, with its newline; no line is wider than the view.
#[must_use]
pub fn status(status: &Status, view: &View) -> String {
    let colour = match exit_code(status) {
        0 => Colour::Green,
        150 if status.mode_reason != Some(Reason::Held) => Colour::Red,
        _ if status.cluster.as_ref().is_some_and(|c| !c.quorate) => Colour::Red,
        _ => Colour::Yellow,
    };
    let mut page = Page {
        view,
        text: String::new(),
    };
    for line in wrap(&sentence(status, view), view.width) {
        page.line(&paint(&line, colour, view.colour));
    }
    page.line("");
    if let Some(reason) = status.mode_reason {
        if let Some(detail) = &status.mode_detail {
            page.row("because", &clean(detail));
        }
        page.row("what to do", &remedy_for(word_of(reason)));
    }
    page.cluster(status);
    page.troubles(status);
    page.service(status);
    page.configuration(status);
    let (version, driver) = (clean(&status.version), clean(&status.driver));
    page.row(
        "clusmgr",
        &format!(
            "{version}, pid {}, driver {driver}, newest event {}",
            status.daemon_pid, status.last_event
        ),
    );
    page.text
}

struct Page<'a> {
    view: &'a View,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn row(&mut self, label: &str, text: &str) {
        self.labelled(label, text, false);
    }

    /// A row that wants a look.
    fn marked(&mut self, label: &str, text: &str) {
        self.labelled(label, text, true);
    }

    fn labelled(&mut self, label: &str, text: &str, mark: bool) {
        let gap = LABEL.saturating_sub(2 + label.chars().count()).max(1);
        let painted = paint(label, Colour::Yellow, mark && self.view.colour);
        let mut head = format!("  {painted}{}", " ".repeat(gap));
        for line in wrap(text, self.view.width - LABEL) {
            self.line(&format!("{head}{line}"));
            head = " ".repeat(LABEL);
        }
    }

    fn cluster(&mut self, status: &Status) {
        let running = status.service.state == ServiceState::Running;
        match &status.cluster {
            None if running => self.row("cluster", "not known: corosync has not told about it yet"),
            None => {}
            Some(cluster) => {
                for (label, text, mark) in cluster::rows(status) {
                    self.labelled(label, &text, mark);
                }
                self.line("");
                for line in cluster::members(cluster, self.view) {
                    self.line(&format!("    {line}"));
                }
                self.line("");
            }
        }
    }

    /// What is degraded, and what else is wrong that no other part shows: the worst first.
    fn troubles(&mut self, status: &Status) {
        let before = self.text.len();
        let mut left: Vec<&DegradedItem> = status.degraded.iter().collect();
        for verdict in judge_at(status, self.view.now).verdicts {
            let of_it = |d: &&DegradedItem| code_of(&d.reason) == verdict.code;
            let (its, others): (Vec<_>, Vec<_>) = left.into_iter().partition(of_it);
            left = others;
            let alone = status.mode == Mode::Standalone && verdict.code == "crash-loop";
            if its.is_empty() && !alone && !SHOWN.contains(&verdict.code.as_str()) {
                self.marked("problem", &clean(&verdict.summary));
                self.row("  what to do", &clean(&verdict.what_to_do.join("; ")));
            }
            its.into_iter().for_each(|item| self.degraded(item));
        }
        left.into_iter().for_each(|item| self.degraded(item));
        if self.text.len() > before && status.cluster.is_some() {
            self.line("");
        }
    }

    fn degraded(&mut self, item: &DegradedItem) {
        let (reason, detail) = (clean(&item.reason), clean(&item.detail));
        let since = when(item.since, self.view);
        self.marked("degraded", &format!("{reason}: {detail}, since {since}"));
        self.row("  what to do", &remedy_for(&item.reason));
    }

    fn service(&mut self, status: &Status) {
        let s = &status.service;
        let pid = s.pid.map_or_else(String::new, |p| format!(", pid {p}"));
        let origin = match (s.pid, s.adopted) {
            (None, _) => "",
            (Some(_), true) => ", found running and taken over",
            (Some(_), false) => ", started by clusmgr",
        };
        let since = when(s.since, self.view);
        let hold = match (s.hold, s.hold_until_boot) {
            (false, _) => "",
            (true, false) => ", held until clusmgrctl start",
            (true, true) => ", held until clusmgrctl start or the next boot",
        };
        let text = format!("{}{pid}{origin}, since {since}{hold}", s.state.as_str());
        self.row("corosync", &text);
        self.row(
            "restarts",
            &match s.restarts {
                0 => "none since clusmgr was started".to_owned(),
                n => format!("{n} since clusmgr was started"),
            },
        );
        if let Some(exit) = &s.last_exit {
            self.last_exit(exit);
        }
        if let Some(ms) = s.next_retry_ms {
            self.row("next try", &coming(ms, self.view));
        }
    }

    fn last_exit(&mut self, exit: &LastExit) {
        let at = when(exit.at, self.view);
        let cause = clean(&exit.cause);
        let text = format!("{cause}, at {at}, after {}", together(&span(exit.ran_ms)));
        self.row("last exit", &text);
        let skip = exit.output.len().saturating_sub(LAST_LINES);
        for line in exit.output.iter().skip(skip) {
            self.row("", &format!("| {}", clean(line)));
        }
    }

    fn configuration(&mut self, status: &Status) {
        let c = &status.config;
        let path = clean(&c.path);
        let text = match (c.version, &c.sha256) {
            (None, None) => format!("none; its place is {path}"),
            (version, hash) => {
                let version = version.map_or_else(|| "none".to_owned(), |v| v.to_string());
                let hash = hash.as_deref().map_or_else(|| "none".to_owned(), short);
                format!("version {version}, sha256 {hash}, {path}")
            }
        };
        self.row("configuration", &text);
        if c.drift {
            self.marked("  drift", "the file differs from what clusmgr last wrote");
        }
        let key = &status.key;
        let place = key
            .path
            .as_deref()
            .map_or_else(String::new, |p| format!(", {}", clean(p)));
        let text = match &key.fingerprint {
            Some(print) => format!("fingerprint {}{place}", clean(print)),
            None => format!("none{place}"),
        };
        self.row("key", &text);
        if key.drift {
            self.marked("  drift", "the key differs from what clusmgr last wrote");
        }
    }
}

/// As much of a hash as a person compares.
fn short(hash: &str) -> String {
    clean(&hash.chars().take(12).collect::<String>())
}

/// Text that no line ends in.
fn together(text: &str) -> String {
    text.replace(' ', NO_BREAK)
}

fn when(at: WallMs, view: &View) -> String {
    let time = (view.time)(at);
    let text = match view.now.0.checked_sub(at.0) {
        Some(ms) if view.ago => format!("{time}, {} ago", together(&span(ms))),
        _ => time,
    };
    text.replacen(' ', NO_BREAK, 1)
}

fn coming(ms: u64, view: &View) -> String {
    let time = (view.time)(WallMs(view.now.0.saturating_add(ms)));
    let time = together(&time);
    if view.ago {
        format!("at {time}, in {}", together(&span(ms)))
    } else {
        format!("at {time}")
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
