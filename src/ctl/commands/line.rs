//! What there is to be said on the command line: verbs and flags, their help, and completion.

use super::super::change;
use super::SOCKET;
use clap::{Arg, ArgAction, Command, value_parser};
use clap_complete::Shell;
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait that the daemon grants to one request.
const MAX_WAIT: u64 = 600;
/// What `--wait` without a number stands for, in seconds.
const WAIT: &str = "60";

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
    let all = |help: &'static str| flag("all", help);
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
        .arg(
            Arg::new("node")
                .long("node")
                .value_name("NAME")
                .global(true)
                .value_parser(read_node)
                .help("Ask this node, by its name or nodeid, by way of this node's daemon"),
        )
        .subcommand(
            Command::new("status")
                .about("Says how this node does; the exit code says it too")
                .after_help(STATUS_CODES)
                .arg(
                    all("Ask every node: a table, and below it what differs")
                        .conflicts_with_all(["watch", "wait"]),
                )
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
                .arg(all("Ask every node: the first verdict of each, root causes first"))
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
        .subcommand(
            act("restart", "Stops corosync and starts it again")
                .after_help(RESTART_ALL)
                .arg(
                    all("Every node, one at a time, this node last; refused where quorum has no margin")
                        .conflicts_with("no-wait"),
                )
                .arg(
                    flag("dry-run", "With --all: say the order and the margin, and do nothing")
                        .requires("all"),
                )
                .arg(json().requires("all")),
        )
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
                )
                .subcommand(
                    Command::new("matrix")
                        .about(
                            "Shows who hears whom on every link, as every node says, and what that \
                             comes from; exits with 0 if nothing is wrong, else 1",
                        )
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
                        .arg(all("Ask every node; exits with 0 if all have the same, else 1"))
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

pub(super) fn completion(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command(), "clusmgrctl", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

const STATUS_CODES: &str = "Exit codes: 0 a quorate member, and nothing degraded; 150 STANDALONE; \
151 running but not quorate or degraded, or starting, stopping, about to be started again; 1 clusmgr \
is dead and left its pid file; 3 clusmgr does not run; 4 unknown (no permission, no answer in time, \
or a node that cannot be reached). With --all: 0 if every node is a quorate member with nothing \
degraded, and none differs from the others; else the worst of them: 4 before 150 before 151.";

const RESTART_ALL: &str = "With --all: the next node follows when the one before is a quorate member \
again, and a member to this node; --wait is for each of them [60]. It stops at the first that is not. \
It is refused beforehand if a node cannot be reached, is held or STANDALONE or no quorate member, or \
if the votes without it would be less than quorum.";

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

/// A name or a nodeid; what is none is the daemon's to say.
fn read_node(text: &str) -> Result<String, String> {
    match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err("give a node's name or nodeid".to_owned()),
    }
}
