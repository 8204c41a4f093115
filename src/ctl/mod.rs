//! `clusmgrctl`, the control tool.
//!
//! It knows the protocol and nothing of the daemon's inside. What it can say without the daemon it
//! says without the daemon.

mod all;
pub mod change;
mod check;
pub mod client;
mod cluster;
pub mod commands;
mod events;
mod link;
mod matrix;
pub mod output;
mod rolling;
mod status;
pub mod text;
mod watch;
mod why;

use crate::error::{Error, Kind};
use crate::wire::{Request, ServiceState, Status};
use client::{Client, Fail, Result};
use commands::{Action, Cli, Stop, Verb};
use output::Out;
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long to wait before a daemon that is away is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Most characters of a line on stderr.
const COMPLAINT: usize = 16_384;

/// All that the program does.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let out = Out::stdout();
    let cli = match commands::parse(args) {
        Ok(cli) => cli,
        Err(Stop::Show(text)) => {
            return match out.print(&text) {
                Ok(()) | Err(Fail::Pipe) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        Err(Stop::Usage(text)) => {
            complain(&text);
            return ExitCode::from(Kind::Usage.exit_code());
        }
    };
    let done = match &cli.verb {
        Verb::Status { watch, wait, json } => status::run(&cli, &out, *watch, *wait, *json),
        Verb::Why { json } => why::run(&cli, &out, *json),
        Verb::LinkList { json } => link::run(&cli, &out, *json),
        Verb::Act {
            action,
            runtime,
            wait,
        } => act(&cli, &out, *action, *runtime, *wait),
        Verb::RestartAll {
            wait,
            dry_run,
            json,
        } => rolling::run(&cli, &out, *wait, *dry_run, *json),
        Verb::All { what, json } => all::run(&cli, &out, *what, *json),
        Verb::Events {
            follow,
            since,
            json,
        } => events::run(&cli, &out, *follow, *since, *json),
        Verb::ConfigShow { json } => show(&cli, &out, Request::ConfigShow, "text", *json),
        Verb::ConfigCheck { file, json } => check::run(&cli, &out, file.as_deref(), *json),
        Verb::Change { change, json } => change::run(&cli, &out, change, *json),
        Verb::KeyFingerprint { json } => {
            show(&cli, &out, Request::KeyFingerprint, "fingerprint", *json)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Fail::Pipe) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&said(&cli, &e));
            ExitCode::from(e.kind().exit_code())
        }
    }
}

/// One line on stderr, under our name. That nobody reads it changes nothing.
fn complain(text: &str) {
    // Other nodes' words are among it.
    let text = text::brief(&text::clean(text), COMPLAINT);
    let _ = writeln!(std::io::stderr(), "clusmgrctl: {text}");
}

/// A connection to this node's daemon, and by way of it to the node that was named.
fn connect(cli: &Cli) -> Result<Client> {
    let client = Client::connect(&cli.socket, cli.timeout);
    let Some(node) = &cli.node else {
        return client;
    };
    match client {
        Err(e) if e.kind() == Kind::NotRunning => {
            let cause = "clusmgr does not run here, and it is by way of it that others are asked";
            let e = Error::new("ask", node, cause).kind(Kind::NotRunning);
            Err(e.hint("start it, or ask on that node itself").into())
        }
        other => other?.of(node),
    }
}

/// What went wrong, and on which node if it was another one.
fn said(cli: &Cli, e: &Fail) -> String {
    let text = e.to_string();
    match (&cli.node, e) {
        // What cannot be reached, or is not known, is named by the daemon.
        (Some(node), Fail::Told(_)) if !text.contains(&label(node)) => {
            format!("{}: {text}", label(node))
        }
        _ => text,
    }
}

/// A node as it was named: `n2`, `node 2`.
fn label(node: &str) -> String {
    match node.bytes().all(|b| b.is_ascii_digit()) {
        true => format!("node {node}"),
        false => text::clean(node),
    }
}

/// The line above what another node says; nothing above what this one says.
fn heading(cli: &Cli, mark: &str) -> String {
    let node = cli.node.as_deref().map(label);
    node.map_or_else(String::new, |node| format!("{mark}On {node}:\n"))
}

/// For commands that are to be typed: ` --node n2`, or nothing.
fn flag(cli: &Cli) -> String {
    let node = cli.node.as_deref().map(text::clean);
    node.map_or_else(String::new, |node| format!(" --node {node}"))
}

/// Waits before the daemon is asked again; false if the deadline is over.
fn retry_before(deadline: Option<Instant>) -> bool {
    let left = deadline.map_or(RETRY, |d| d.saturating_duration_since(Instant::now()));
    std::thread::sleep(left.min(RETRY));
    !left.is_zero()
}

fn act(cli: &Cli, out: &Out, action: Action, runtime: bool, wait: Duration) -> Result<u8> {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let (request, wanted) = match action {
        Action::Start => (Request::Start { runtime, wait_ms }, ServiceState::Running),
        Action::Stop => (Request::Stop { runtime, wait_ms }, ServiceState::Stopped),
        Action::Restart => {
            let rolling = false;
            (Request::Restart { rolling, wait_ms }, ServiceState::Running)
        }
    };
    let mut client = connect(cli)?;
    let value = client.call(request, wait)?;
    let status: Status =
        serde_json::from_value(value).map_err(|e| Error::new("read", "the daemon's answer", e))?;
    if wait.is_zero() && status.service.state != wanted {
        let node = flag(cli);
        out.print(&format!(
            "clusmgr has the order; clusmgrctl status --watch{node} shows what comes of it\n"
        ))?;
        return Ok(0);
    }
    out.print(&format!(
        "{}\n",
        output::headline(&status, &out.view(false))
    ))?;
    Ok(0)
}

/// Prints one field of an answer, or all of it as JSON.
fn show(cli: &Cli, out: &Out, request: Request, field: &str, json: bool) -> Result<u8> {
    let value = connect(cli)?.call(request, Duration::ZERO)?;
    match value.get(field).and_then(Value::as_str) {
        Some(shown) if !json => {
            let shown = text::clean_lines(shown);
            let end = if shown.ends_with('\n') { "" } else { "\n" };
            // A comment above a whole file; beside a single word, the name alone.
            let head = match (&cli.node, shown.contains('\n')) {
                (Some(node), false) => format!("{}: ", label(node)),
                _ => heading(cli, "# "),
            };
            out.print(&format!("{head}{shown}{end}"))?;
        }
        _ => out.json(&value)?,
    }
    Ok(0)
}
