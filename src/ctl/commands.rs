//! The command line of `clusmgrctl`: noun before verb, and what each may be told.

use super::change::{self, Change};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Where the daemon listens by default.
pub const SOCKET: &str = "/run/clusmgr/clusmgr.sock";
/// Longest wait that the daemon grants to one request.
const MAX_WAIT: u64 = 600;
/// What `--wait` without a number stands for, in seconds.
const WAIT: &str = "60";

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Cli {
    /// `--socket`.
    pub socket: PathBuf,
    /// `--timeout`: longest time for one answer.
    pub timeout: Duration,
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
    let timeout = seconds(&matches, "timeout").unwrap_or_default();
    let (name, m) = matches.subcommand().unwrap_or(("", &matches));
    let json = m.try_get_one("json").is_ok_and(|j| j == Some(&true));
    let act = |action, default: Duration| Verb::Act {
        action,
        runtime: m.try_get_one("runtime").is_ok_and(|r| r == Some(&true)),
        wait: if m.get_flag("no-wait") {
            Duration::ZERO
        } else {
            seconds(m, "wait").unwrap_or(default)
        },
    };
    // A stop may take until the daemon's --stop-timeout (10 s by default) and the kill after it.
    let ending = timeout + Duration::from_secs(10);
    let verb = match name {
        "start" => act(Action::Start, timeout),
        "stop" => act(Action::Stop, ending),
        "restart" => act(Action::Restart, ending),
        "events" => Verb::Events {
            follow: m.get_flag("follow"),
            since: m.get_one("since").copied(),
            json,
        },
        "config" => match m.subcommand() {
            Some(("check", m)) => Verb::ConfigCheck {
                file: m.get_one("file").cloned(),
                json: m.get_flag("json"),
            },
            Some((name, m)) => match change::read(name, m) {
                Some(change) => Verb::Change {
                    change,
                    json: m.get_flag("json"),
                },
                None => Verb::ConfigShow {
                    json: m.get_flag("json"),
                },
            },
            None => Verb::ConfigShow { json: false },
        },
        "completion" => {
            let shell = *m.get_one("shell").unwrap_or(&Shell::Bash);
            return Err(Stop::Show(completion(shell)));
        }
        "why" => Verb::Why { json },
        "link" => Verb::LinkList {
            json: m.subcommand().is_some_and(|(_, m)| m.get_flag("json")),
        },
        "key" => Verb::KeyFingerprint {
            json: m.subcommand().is_some_and(|(_, m)| m.get_flag("json")),
        },
        _ => Verb::Status {
            watch: m.get_flag("watch"),
            wait: seconds(m, "wait"),
            json,
        },
    };
    Ok(Cli {
        socket: matches.get_one("socket").cloned().unwrap_or_default(),
        timeout,
        verb,
    })
}

fn seconds(m: &ArgMatches, name: &str) -> Option<Duration> {
    m.get_one(name).copied()
}

/// A time in seconds, with fractions if wished; more than a year is a slip.
fn read_seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "give seconds above 0, as 10 or 0.5".to_owned();
    let n: f64 = text.parse().map_err(|_| wrong())?;
    if n > 0.0 && n <= 31_536_000.0 {
        Duration::try_from_secs_f64(n).map_err(|_| wrong())
    } else {
        Err(wrong())
    }
}

fn read_granted_wait(text: &str) -> Result<Duration, String> {
    let wait = read_seconds(text)?;
    if wait > Duration::from_secs(MAX_WAIT) {
        return Err(format!("at most {MAX_WAIT} seconds"));
    }
    Ok(wait)
}

/// The whole command line, for the parser, help and completion.
#[must_use]
pub fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let json = || flag("json", "Print JSON, for programs");
    let wait = || {
        Arg::new("wait")
            .long("wait")
            .value_name("SECS")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(WAIT)
    };
    let act = |name: &'static str, about: &'static str| {
        let help = "Wait at most so long for the outcome [alone: 60; else about --timeout]";
        Command::new(name)
            .about(about)
            .arg(wait().value_parser(read_granted_wait).help(help))
            .arg(
                flag("no-wait", "Return as soon as the daemon has the order")
                    .conflicts_with("wait"),
            )
    };
    Command::new("clusmgrctl")
        .about("Looks at and steers clusmgr, the daemon that owns this node's corosync")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .arg(
            Arg::new("socket")
                .long("socket")
                .value_name("PATH")
                .global(true)
                .default_value(SOCKET)
                .value_parser(value_parser!(PathBuf))
                .help("The daemon's socket"),
        )
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECS")
                .global(true)
                .default_value("10")
                .value_parser(read_seconds)
                .help("Longest time to wait for an answer"),
        )
        .subcommand(
            Command::new("status")
                .about("Says how this node does; the exit code says it too")
                .after_help(STATUS_CODES)
                .arg(
                    flag(
                        "watch",
                        "Show it anew whenever something happens, until Ctrl-C",
                    )
                    .conflicts_with("wait"),
                )
                .arg(
                    wait().value_parser(read_seconds).help(
                        "Wait until this node is a quorate member, at most so long [alone: 60]",
                    ),
                )
                .arg(json()),
        )
        .subcommand(
            Command::new("why")
                .about(
                    "Says what is wrong, why, and what to do; exits with 0 if nothing is, else 1",
                )
                .arg(json()),
        )
        .subcommand(act("start", "Starts corosync, and ends a hold").arg(flag(
            "runtime",
            "End only a hold of 'stop --runtime'; fail under another",
        )))
        .subcommand(
            act(
                "stop",
                "Stops corosync, and holds it stopped, across reboots too",
            )
            .arg(flag("runtime", "The hold ends with the next boot")),
        )
        .subcommand(act("restart", "Stops corosync and starts it again"))
        .subcommand(
            Command::new("events")
                .about("Shows what happened: the last 50 events, or all since a number")
                .arg(flag("follow", "Go on with new events, until Ctrl-C").short('f'))
                .arg(
                    Arg::new("since")
                        .long("since")
                        .value_name("N")
                        .value_parser(value_parser!(u64))
                        .help("All events after number N"),
                )
                .arg(json()),
        )
        .subcommand(
            Command::new("config")
                .about("The cluster's configuration")
                .subcommand_required(true)
                .disable_help_subcommand(true)
                .subcommand(
                    Command::new("show")
                        .about("Shows corosync.conf as clusmgr holds it, secrets left out")
                        .arg(json()),
                )
                .subcommand(
                    Command::new("check")
                        .about("Checks corosync.conf, or FILE; works without the daemon too")
                        .arg(
                            Arg::new("file")
                                .value_name("FILE")
                                .value_parser(value_parser!(PathBuf))
                                .help("The file to check [the live corosync.conf]"),
                        )
                        .arg(json()),
                )
                .subcommands(change::verbs()),
        )
        .subcommand(
            Command::new("link")
                .about("The links to the other nodes")
                .subcommand_required(true)
                .disable_help_subcommand(true)
                .subcommand(
                    Command::new("list")
                        .about("Shows every link: connected, MTU, latency, how often it went down")
                        .arg(json()),
                ),
        )
        .subcommand(
            Command::new("key")
                .about("The cluster's key")
                .subcommand_required(true)
                .disable_help_subcommand(true)
                .subcommand(
                    Command::new("fingerprint")
                        .about("Shows the key's fingerprint, to compare nodes by")
                        .arg(json()),
                ),
        )
        .subcommand(
            Command::new("completion")
                .about("Prints what a shell needs to complete our verbs and flags")
                .arg(
                    Arg::new("shell")
                        .value_name("SHELL")
                        .required(true)
                        .value_parser(value_parser!(Shell)),
                ),
        )
}

fn completion(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command(), "clusmgrctl", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

const STATUS_CODES: &str = "Exit codes: 0 a quorate member, and nothing degraded; 150 STANDALONE; \
151 running but not quorate or degraded, or starting, stopping, about to be started again; 1 clusmgr \
is dead and left its pid file; 3 clusmgr does not run; 4 unknown (no permission, no answer in time).";

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
