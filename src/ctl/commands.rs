//! The command line of `clusmgrctl`: noun before verb, and what each may be told.

use super::change::{self, Change};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
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
        /// Wait so long for corosync to run.
        wait: Option<Duration>,
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
                    wait()
                        .value_parser(read_seconds)
                        .help("Wait until corosync runs, at most so long [alone: 60]"),
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
}

const STATUS_CODES: &str = "Exit codes: 0 corosync runs; 150 STANDALONE; 151 starting, stopping, \
about to be started again, or running but degraded; 1 clusmgr is dead and left its pid file; \
3 clusmgr does not run; 4 unknown (no permission, no answer in time).";

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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, Stop> {
        parse(line.split(' ').map(OsString::from))
    }

    fn usage(line: &str) -> String {
        match read(line) {
            Err(Stop::Usage(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_has_no_contradiction() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_with_its_defaults() {
        let cli = read("clusmgrctl status").unwrap();
        assert_eq!(cli.socket, PathBuf::from(SOCKET));
        assert_eq!(cli.timeout, Duration::from_secs(10));
        let s = Duration::from_secs;
        let act = |action, wait| Verb::Act {
            action,
            runtime: false,
            wait,
        };
        let runtime = |action, wait| Verb::Act {
            action,
            runtime: true,
            wait,
        };
        let status = |watch, wait, json| Verb::Status { watch, wait, json };
        for (line, verb) in [
            ("status", status(false, None, false)),
            ("status --watch --json", status(true, None, true)),
            ("status --wait", status(false, Some(s(60)), false)),
            ("status --wait=5", status(false, Some(s(5)), false)),
            ("start", act(Action::Start, s(10))),
            ("start --timeout 3", act(Action::Start, s(3))),
            ("start --wait", act(Action::Start, s(60))),
            ("start --no-wait", act(Action::Start, s(0))),
            ("stop", act(Action::Stop, s(20))),
            ("stop --runtime", runtime(Action::Stop, s(20))),
            ("start --runtime --wait=9", runtime(Action::Start, s(9))),
            ("restart --wait=7", act(Action::Restart, s(7))),
            (
                "events -f --since 5",
                Verb::Events {
                    follow: true,
                    since: Some(5),
                    json: false,
                },
            ),
            ("config show --json", Verb::ConfigShow { json: true }),
            (
                "config check /x",
                Verb::ConfigCheck {
                    file: Some("/x".into()),
                    json: false,
                },
            ),
            ("key fingerprint", Verb::KeyFingerprint { json: false }),
        ] {
            let cli = read(&format!("clusmgrctl {line}")).unwrap();
            assert_eq!(cli.verb, verb, "{line}");
        }
        let cli = read("clusmgrctl config show --socket /s").unwrap();
        assert_eq!(cli.socket, PathBuf::from("/s"));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line_with_a_suggestion() {
        for (line, part) in [
            ("clusmgrctl statsu", "'status'"),
            ("clusmgrctl status --jsno", "'--json'"),
            ("clusmgrctl", "subcommand"),
            ("clusmgrctl config", "show, check"),
            ("clusmgrctl start --wait=601", "at most 600 seconds"),
            ("clusmgrctl start --wait=0", "seconds above 0"),
            ("clusmgrctl restart --runtime", "'--runtime'"),
            ("clusmgrctl --timeout nan status", "seconds above 0"),
            ("clusmgrctl events --since -1", "-1"),
            ("clusmgrctl status --watch --wait", "cannot be used with"),
            ("clusmgrctl status now", "'now'"),
        ] {
            let text = usage(line);
            assert!(text.contains(part), "{line}: {text}");
            assert!(!text.contains('\n') && !text.contains("  "), "{text}");
            assert!(text.ends_with("; see clusmgrctl --help"), "{text}");
        }
        assert_eq!(
            usage("clusmgrctl eventz"),
            "unrecognized subcommand 'eventz'; tip: a similar subcommand exists: 'events'; \
             see clusmgrctl --help"
        );
    }

    #[test]
    fn help_is_no_error() {
        let Err(Stop::Show(text)) = read("clusmgrctl --help") else {
            panic!("no help");
        };
        assert!(
            text.contains("fingerprint") || text.contains("key"),
            "{text}"
        );
    }
}
