//! The command line of `clusmgrctl`: noun before verb, and what each may be told.

mod line;

pub use line::command;

use super::change::{self, Change};
use clap::ArgMatches;
use clap::error::ErrorKind;
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Where the daemon listens by default.
pub const SOCKET: &str = "/run/clusmgr/clusmgr.sock";

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Cli {
    /// `--socket`.
    pub socket: PathBuf,
    /// `--timeout`: longest time for one answer.
    pub timeout: Duration,
    /// `--node`: which node is asked, by its name or nodeid; this one if left out.
    pub node: Option<String>,
    /// What to do.
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// `status`
    Status {
        /// Refresh on every event.
        watch: bool,
        /// Wait so long for the node to be a quorate member.
        wait: Option<Duration>,
        /// As the daemon sends it.
        json: bool,
    },
    /// `why`
    Why {
        /// As the daemon sends it.
        json: bool,
    },
    /// `link list`
    LinkList {
        /// As the daemon sends it.
        json: bool,
    },
    /// `start`, `stop`, `restart`
    Act {
        /// Which.
        action: Action,
        /// The hold that it makes or ends is one that ends with the boot.
        runtime: bool,
        /// How long to wait for the outcome; zero for not at all.
        wait: Duration,
    },
    /// `restart --all`
    RestartAll {
        /// How long to wait for each node to be a quorate member again.
        wait: Duration,
        /// Only say what would be done.
        dry_run: bool,
        /// The plan and what came of it, as an object.
        json: bool,
    },
    /// A question to every node.
    All {
        /// Which.
        what: Question,
        /// As the daemon sends it, and what is concluded from it.
        json: bool,
    },
    /// `events`
    Events {
        /// Go on with new ones.
        follow: bool,
        /// All after this number; the last few if left out.
        since: Option<u64>,
        /// As the daemon sends them.
        json: bool,
    },
    /// `config show`
    ConfigShow {
        /// As the daemon sends it.
        json: bool,
    },
    /// `config check`
    ConfigCheck {
        /// This one, without the daemon.
        file: Option<PathBuf>,
        /// The report as an object.
        json: bool,
    },
    /// The other verbs of `config`.
    Change {
        /// Which, and of what.
        change: Change,
        /// As the daemon sends it.
        json: bool,
    },
    /// `key fingerprint`
    KeyFingerprint {
        /// As the daemon sends it.
        json: bool,
    },
}

/// A change that an operator orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `start`
    Start,
    /// `stop`
    Stop,
    /// `restart`
    Restart,
}

/// What every node can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `status --all`
    Status,
    /// `why --all`
    Why,
    /// `config diff --all`
    ConfigDiff,
    /// `key fingerprint --all`
    KeyFingerprint,
    /// `link matrix`
    LinkMatrix,
}

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Help or version: for stdout, and all is well.
    Show(String),
    /// The command line is wrong, in one line.
    Usage(String),
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// Help was asked for, or there is something in it that we do not know.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Stop> {
    let matches = command().try_get_matches_from(args).map_err(|e| stop(&e))?;
    let node: Option<String> = matches.get_one("node").cloned();
    let cli = Cli {
        socket: matches.get_one("socket").cloned().unwrap_or_default(),
        timeout: seconds(&matches, "timeout").unwrap_or_default(),
        verb: verb(&matches)?,
        node,
    };
    match cli
        .node
        .as_deref()
        .and_then(|node| misplaced(&cli.verb, node))
    {
        Some(wrong) => Err(Stop::Usage(wrong)),
        None => Ok(cli),
    }
}

fn verb(matches: &ArgMatches) -> Result<Verb, Stop> {
    let timeout = seconds(matches, "timeout").unwrap_or_default();
    let (name, m) = matches.subcommand().unwrap_or(("", matches));
    // `config show` and the like: the noun has no flags of its own.
    let (below, m) = m.subcommand().unwrap_or(("", m));
    let is = |flag: &str| m.try_get_one(flag).is_ok_and(|f| f == Some(&true));
    let json = is("json");
    let act = |action, default: Duration| Verb::Act {
        action,
        runtime: is("runtime"),
        wait: if is("no-wait") {
            Duration::ZERO
        } else {
            seconds(m, "wait").unwrap_or(default)
        },
    };
    let all = |what| Verb::All { what, json };
    // A stop may take until the daemon's --stop-timeout (10 s by default) and the kill after it.
    let ending = timeout + Duration::from_secs(10);
    Ok(match (name, below) {
        ("start", _) => act(Action::Start, timeout),
        ("stop", _) => act(Action::Stop, ending),
        ("restart", _) if is("all") => Verb::RestartAll {
            wait: seconds(m, "wait").unwrap_or(Duration::from_secs(60)),
            dry_run: is("dry-run"),
            json,
        },
        ("restart", _) => act(Action::Restart, ending),
        ("events", _) => Verb::Events {
            follow: m.get_flag("follow"),
            since: m.get_one("since").copied(),
            json,
        },
        ("config", "check") => Verb::ConfigCheck {
            file: m.get_one("file").cloned(),
            json,
        },
        ("config", "diff") if is("all") => all(Question::ConfigDiff),
        ("config", name) => match change::read(name, m) {
            Some(change) => Verb::Change { change, json },
            None => Verb::ConfigShow { json },
        },
        ("completion", _) => {
            let shell = *m.get_one("shell").unwrap_or(&Shell::Bash);
            return Err(Stop::Show(line::completion(shell)));
        }
        ("why", _) if is("all") => all(Question::Why),
        ("why", _) => Verb::Why { json },
        ("link", "matrix") => all(Question::LinkMatrix),
        ("link", _) => Verb::LinkList { json },
        ("key", _) if is("all") => all(Question::KeyFingerprint),
        ("key", _) => Verb::KeyFingerprint { json },
        _ if is("all") => all(Question::Status),
        _ => Verb::Status {
            watch: m.get_flag("watch"),
            wait: seconds(m, "wait"),
            json,
        },
    })
}

/// Why a verb cannot be asked of another node; none if it can.
fn misplaced(verb: &Verb, node: &str) -> Option<String> {
    let on_it = |verb: &str| {
        Some(format!(
            "config {verb} cannot be used with --node: a configuration is changed on its own node; \
             run clusmgrctl config {verb} on {node}"
        ))
    };
    match verb {
        Verb::All { .. } | Verb::RestartAll { .. } => Some(
            "--node is about one node, and this about all of them; leave --node out".to_owned(),
        ),
        Verb::ConfigCheck { file: Some(_), .. } => Some(
            "config check FILE cannot be used with --node: a file is checked here, and without the \
             daemon; leave --node or FILE out"
                .to_owned(),
        ),
        Verb::Change { change, .. } => match change {
            Change::Apply(..) => on_it("apply"),
            Change::Adopt(_) => on_it("adopt"),
            Change::Revert(_) => on_it("revert"),
            Change::Rollback(..) => on_it("rollback"),
            Change::Diff(_) | Change::History => None,
        },
        _ => None,
    }
}

fn seconds(m: &ArgMatches, name: &str) -> Option<Duration> {
    m.get_one(name).copied()
}

/// clap says it in several paragraphs; logs and scripts want one line.
fn stop(e: &clap::Error) -> Stop {
    let text = e.render().to_string();
    if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Stop::Show(text);
    }
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let said: Vec<String> = text
        .lines()
        .map(words)
        .take_while(|l| !l.starts_with("Usage:"))
        .filter(|l| !l.is_empty() && !l.starts_with("For more information"))
        .collect();
    let said = said.join("; ").replace(":; ", ": ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    Stop::Usage(format!("{said}; see clusmgrctl --help"))
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
