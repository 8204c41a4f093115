//! `status`: from the daemon, or from its pid file where it is dead.

use super::client::{Fail, Result};
use super::commands::Cli;
use super::output::{self, Out, even_unread};
use super::{complain, connect, flag, label, retry_before, said, watch};
use crate::error::{Error, Kind};
use crate::event::Severity;
use crate::sys::pidfile::{self, Holder};
use crate::types::Pid;
use crate::verdict::Verdict;
use crate::wire::{STATUS_SCHEMA, Status};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to go without a look at the status where no event comes: it may have changed by something
/// that is no event.
const SAFETY: Duration = Duration::from_secs(10);

/// Unknown: no permission, no answer.
pub(super) const UNKNOWN: u8 = 4;

/// Prints the status; gives the exit code.
pub(super) fn run(
    cli: &Cli,
    out: &Out,
    watch: bool,
    wait: Option<Duration>,
    json: bool,
) -> Result<u8> {
    let done = if watch {
        watch::run(cli, out, json)
    } else if let Some(wait) = wait {
        wait_quorate(cli, out, wait, json)
    } else {
        once(cli, out, json)
    };
    done.or_else(|e| unknown(cli, e))
}

/// What other verbs call a failure of this or that kind is here one of not knowing.
pub(super) fn unknown(cli: &Cli, e: Fail) -> Result<u8> {
    match e {
        Fail::Pipe => Err(e),
        other => {
            complain(&said(cli, &other));
            // A node that is in no configuration: a slip of who asks.
            Ok(match other.kind() {
                Kind::Usage => Kind::Usage.exit_code(),
                _ => UNKNOWN,
            })
        }
    }
}

/// A status as it is shown here: of another node's, no line is about "this node".
pub(super) fn shown(cli: &Cli, status: &Status) -> Status {
    let mut status = status.clone();
    if let (Some(_), Some(cluster)) = (&cli.node, &mut status.cluster) {
        cluster.members.iter_mut().for_each(|m| m.local = false);
    }
    status
}

fn once(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    let e = match connect(cli).and_then(|mut c| c.status()) {
        Ok((value, status)) => return show(cli, out, &value, &status, json),
        Err(e) => e,
    };
    // Of another node there is no pid file here.
    if let Some(node) = &cli.node {
        if json {
            even_unread(out.json(&silent(node, &e)))?;
        }
        return Err(e);
    }
    if e.kind() == Kind::NotRunning {
        let dead = Dead::look(&cli.socket)?;
        even_unread(match json {
            true => out.json(&dead.json()),
            false => out.print(&format!("{}\n", dead.words())),
        })?;
        return Ok(dead.exit_code());
    }
    // A program gets an object in any case.
    if let (true, Ok(dead)) = (json, Dead::look(&cli.socket)) {
        even_unread(out.json(&dead.json()))?;
    }
    Err(e)
}

fn show(cli: &Cli, out: &Out, value: &Value, status: &Status, json: bool) -> Result<u8> {
    even_unread(match json {
        true => out.json(value),
        false => out.print(&output::status(&shown(cli, status), &out.view(true))),
    })?;
    Ok(output::exit_code(status))
}

/// Of another node that could not be asked, for programs.
fn silent(node: &str, e: &Fail) -> Value {
    json!({
        "schema": STATUS_SCHEMA,
        "asked": node,
        "daemon": {"answers": false, "running": null, "pid": null, "pid_file": null},
        "err": e.wire(),
    })
}

/// What the pid file says of a daemon that nobody reaches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dead {
    found: Found,
    pid_file: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// There is none: it was stopped, or never started.
    Nothing,
    /// It is left from a daemon that crashed.
    Stale(Option<Pid>),
    /// A daemon has it, and still does not answer on this socket.
    Held(Option<Pid>),
}

impl Dead {
    /// Looks at the pid file beside a socket.
    pub(super) fn look(socket: &Path) -> Result<Dead> {
        let path = socket.with_file_name("clusmgr.pid");
        let found = match pidfile::holder(&path)? {
            Holder::Process(pid) => Found::Held(Some(pid)),
            Holder::Foreign => Found::Held(None),
            Holder::Nobody => match pidfile::read_pid(&path) {
                Ok(None) => Found::Nothing,
                Ok(Some(pid)) => Found::Stale(Some(pid)),
                Err(_) => Found::Stale(None),
            },
        };
        Ok(Dead {
            found,
            pid_file: path.display().to_string(),
        })
    }

    fn exit_code(&self) -> u8 {
        match self.found {
            Found::Nothing => 3,
            Found::Stale(_) => 1,
            Found::Held(_) => UNKNOWN,
        }
    }

    fn words(&self) -> String {
        let file = super::text::clean(&self.pid_file);
        let pid = |p: &Option<Pid>| p.map_or_else(String::new, |p| format!(" (pid {p})"));
        match &self.found {
            Found::Nothing => "clusmgr does not run.\n\
                A corosync, if one runs, is watched by nobody.\n\
                What to do: start clusmgr; it takes over a corosync that runs."
                .to_owned(),
            Found::Stale(p) => format!(
                "clusmgr is dead{}: it crashed or was killed.\n\
                 It left its pid file {file}.\n\
                 A corosync, if one runs, goes on and is watched by nobody.\n\
                 What to do: start clusmgr; it takes over a corosync that runs.",
                pid(p)
            ),
            Found::Held(p) => format!(
                "clusmgr runs{} but does not listen here.\n\
                 It holds {file}.\n\
                 What to do: wait if it is just starting or stopping; name its socket\n\
                 with --socket if it has another; else look at its log.",
                pid(p)
            ),
        }
    }

    /// The same as a verdict, for `why`.
    pub(super) fn verdict(&self) -> Verdict {
        let code = match self.found {
            Found::Nothing => "no-clusmgr",
            Found::Stale(_) => "clusmgr-dead",
            Found::Held(_) => "clusmgr-deaf",
        };
        let words = self.words().replace("\nwith --socket", " with --socket");
        let mut lines = words.lines().map(str::to_owned);
        Verdict {
            code: code.to_owned(),
            severity: Severity::Err,
            summary: lines.next().unwrap_or_default(),
            what_to_do: lines
                .clone()
                .filter_map(|l| l.strip_prefix("What to do: ").map(str::to_owned))
                .collect(),
            evidence: lines.filter(|l| !l.starts_with("What to do: ")).collect(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let (state, pid) = match &self.found {
            Found::Nothing => ("none", &None),
            Found::Stale(pid) => ("stale", pid),
            Found::Held(pid) => ("held", pid),
        };
        let running = matches!(self.found, Found::Held(_));
        json!({
            "schema": STATUS_SCHEMA,
            "daemon": {"answers": false, "running": running, "pid": pid, "pid_file": state},
        })
    }
}

/// Waits until the node is a quorate member, by events: the gate for what sits on top.
fn wait_quorate(cli: &Cli, out: &Out, wait: Duration, json: bool) -> Result<u8> {
    let deadline = Instant::now() + wait;
    let mut told = loop {
        match until_quorate(cli, deadline) {
            Ok(told) => break Some(told),
            Err(e) if e.passes() => {
                if !retry_before(Some(deadline)) {
                    break None;
                }
            }
            Err(e) => return Err(e),
        }
    };
    if told.is_none() {
        // A last look: it may be one by now, and code and words come from the same look.
        told = connect(cli).and_then(|mut c| c.status()).ok();
    }
    if let Some((value, status)) = told.as_ref().filter(|t| t.1.is_quorate_member()) {
        even_unread(if json {
            out.json(value)
        } else {
            let headline = output::headline(status, &out.view(false));
            out.print(&format!("{headline}\n"))
        })?;
        return Ok(0);
    }
    let code = match told {
        Some((value, status)) => show(cli, out, &value, &status, json),
        None => once(cli, out, json),
    };
    let who = cli.node.as_deref().map_or("this node".to_owned(), label);
    let late = format!("{who} is no member of one after {} s", wait.as_secs_f64());
    let e = Error::new("wait for", "a quorate cluster", late);
    complain(
        &e.hint(format!("see clusmgrctl why{}", flag(cli)))
            .to_string(),
    );
    code
}

/// The status once the node is a quorate member, or as it is at the deadline.
fn until_quorate(cli: &Cli, deadline: Instant) -> Result<(Value, Status)> {
    let mut asker = connect(cli)?;
    let told = asker.status()?;
    if told.1.is_quorate_member() || Instant::now() >= deadline {
        return Ok(told);
    }
    let mut stream = connect(cli)?;
    let mut events = match stream.subscribe(None) {
        Ok(()) => Some(stream),
        // Others have all the places: it asks now and then instead.
        Err(e) if e.kind() == Kind::Busy => None,
        Err(e) => return Err(e),
    };
    loop {
        // Asked once more after subscribing: what happens after the answer is in the subscription.
        let told = asker.status()?;
        if told.1.is_quorate_member() || Instant::now() >= deadline {
            return Ok(told);
        }
        let Some(events) = &mut events else {
            retry_before(Some(deadline));
            continue;
        };
        let look = deadline.min(Instant::now() + SAFETY);
        events.news(Some(look))?;
        // What has come meanwhile is in the next answer too.
        while events.waiting()? {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_daemon_that_is_away_is_told_from_one_that_crashed_or_is_deaf() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("clusmgr.sock");
        let pid_file = dir.path().join("clusmgr.pid");
        let dead = Dead::look(&socket).unwrap();
        assert_eq!((&dead.found, dead.exit_code()), (&Found::Nothing, 3));
        fs::write(&pid_file, "rubbish").unwrap();
        let dead = Dead::look(&socket).unwrap();
        assert_eq!((&dead.found, dead.exit_code()), (&Found::Stale(None), 1));
        fs::write(&pid_file, "4711\n").unwrap();
        let dead = Dead::look(&socket).unwrap();
        assert_eq!(dead.found, Found::Stale(Some(Pid(4711))));
        assert!(dead.words().contains("dead (pid 4711)"), "{}", dead.words());
        assert_eq!(dead.json()["daemon"]["pid"], 4711);
        let verdict = dead.verdict();
        assert_eq!(verdict.code, "clusmgr-dead");
        assert_eq!(verdict.evidence.len(), 2, "{verdict:?}");
        assert!(
            verdict.what_to_do[0].starts_with("start clusmgr"),
            "{verdict:?}"
        );
        let held = pidfile::PidFile::take(&pid_file).unwrap();
        let dead = Dead::look(&socket).unwrap();
        assert_eq!(dead.exit_code(), 4);
        assert!(dead.words().starts_with("clusmgr runs"), "{}", dead.words());
        let verdict = dead.verdict();
        assert_eq!((verdict.what_to_do.len(), verdict.evidence.len()), (1, 1));
        drop(held);
        assert_eq!(Dead::look(&socket).unwrap().found, Found::Nothing);
    }
}
