//! From a request to its answer, whatever way it came.

use super::{Command, Hold, Manager};
use crate::driver::change::{Request as Changing, What};
use crate::error::{Error, Kind, Result};
use crate::verdict;
use crate::wire::{
    Answer, Change, ConfText, EventsPage, MAX_EVENTS, MAX_LINE, Request, RequestLine, WireError,
};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Longest time that a request may wait for its outcome.
pub const MAX_WAIT: Duration = Duration::from_secs(600);
/// Room in a line for everything around the events.
const ENVELOPE: usize = 4096;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on this machine, in the kernel's words (`SO_PEERCRED`).
    Local {
        /// Effective user id when it connected.
        uid: u32,
        /// Effective group id.
        gid: u32,
        /// Process id; 0 if it is in a pid namespace that we do not see.
        pid: i32,
    },
    /// Somebody who has the cluster's key.
    Peer {
        /// What it calls itself; every holder of the key can pose as any node.
        node: String,
        /// Where it comes from.
        address: IpAddr,
    },
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Local { uid, pid, .. } => write!(f, "uid {uid} pid {pid}"),
            Caller::Peer { node, address } => write!(f, "node {node} ({address})"),
        }
    }
}

impl Caller {
    /// Whether it may ask for this.
    ///
    /// # Errors
    /// What forbids it.
    pub fn may(&self, request: &Request) -> Result<()> {
        let denied = |cause: String, hint: &str| {
            let e = Error::new(word_of(request), "", cause);
            Err(e.hint(hint).kind(Kind::Denied))
        };
        match (self, request.changes()) {
            (_, Change::Nothing) | (Caller::Peer { .. }, Change::Service) => Ok(()),
            (Caller::Local { uid: 0, .. }, _) => Ok(()),
            (Caller::Local { .. }, _) => denied(
                format!("only root may change something here, and {self} asks"),
                "ask again as root",
            ),
            (Caller::Peer { .. }, Change::Configuration) => denied(
                format!("another node may not, and {self} asks"),
                "run clusmgrctl on this node",
            ),
        }
    }
}

/// Answers one request. `subscribe` is not among them: it is no answer but a stream, and the
/// connection's.
pub fn dispatch(manager: &dyn Manager, request: &Request, caller: &Caller) -> Answer {
    match answer(manager, request, caller) {
        Ok(value) => Answer::Ok(value),
        Err(e) => refuse(&e),
    }
}

/// An error as an answer.
#[must_use]
pub fn refuse(e: &Error) -> Answer {
    Answer::Err(WireError::from(e))
}

fn answer(manager: &dyn Manager, request: &Request, caller: &Caller) -> Result<Value> {
    caller.may(request)?;
    let command = |command: Command, wait_ms: u64| {
        let wait = Duration::from_millis(wait_ms).min(MAX_WAIT);
        json(&manager.command(command, caller, wait)?)
    };
    let change = |what: What, this_node_only: bool, dry_run: bool| {
        let by = caller.to_string();
        json(&manager.config_change(
            &Changing {
                what,
                this_node_only,
                by,
            },
            dry_run,
        )?)
    };
    match request {
        Request::Status => json(&manager.status()),
        Request::Why => json(&verdict::judge(&manager.status())),
        Request::Start { runtime, wait_ms } => command(Command::Start(hold(*runtime)), *wait_ms),
        Request::Stop { runtime, wait_ms } => command(Command::Stop(hold(*runtime)), *wait_ms),
        Request::Restart { wait_ms, rolling } => match rolling {
            true => command(Command::RestartInTurn, *wait_ms),
            false => command(Command::Restart, *wait_ms),
        },
        Request::Events { since, limit } => {
            let limit = limit.unwrap_or(MAX_EVENTS).min(MAX_EVENTS);
            json(&fit(manager.events_since(*since, limit)?))
        }
        Request::ConfigShow => manager.config_show(),
        Request::ConfigCheck => json(&manager.config_check()?),
        Request::ConfigDiff { text } => {
            json(&manager.config_diff(text.as_ref().map(ConfText::expose))?)
        }
        Request::ConfigApply {
            text,
            this_node_only,
            dry_run,
        } => change(
            What::Apply(text.expose().to_vec().into()),
            *this_node_only,
            *dry_run,
        ),
        Request::ConfigAdopt { dry_run } => change(What::Adopt, true, *dry_run),
        Request::ConfigRevert { dry_run } => change(What::Revert, true, *dry_run),
        Request::ConfigRollback {
            number,
            this_node_only,
            dry_run,
        } => change(What::Rollback(*number), *this_node_only, *dry_run),
        Request::ConfigHistory => json(&manager.config_history()?),
        Request::KeyFingerprint => manager.key_fingerprint(),
        Request::PeerReport => json(&manager.report()),
        Request::Subscribe { .. } => {
            Err(Error::new("subscribe", "", "not possible here").kind(Kind::Usage))
        }
    }
}

/// What a request that changes something wants, for its refusal.
fn word_of(request: &Request) -> &'static str {
    match request {
        Request::Start { .. } => "start corosync",
        Request::Stop { .. } => "stop corosync",
        Request::Restart { .. } => "restart corosync",
        _ => "change the configuration",
    }
}

fn hold(runtime: bool) -> Hold {
    if runtime { Hold::UntilBoot } else { Hold::Kept }
}

/// Leaves off the newest events of a page that would not fit in a line; the client asks for them
/// next, as it asks for what is beyond the limit.
fn fit(mut page: EventsPage) -> EventsPage {
    let mut room = MAX_LINE - ENVELOPE;
    let fitting = page.events.iter().take_while(|e| {
        let size = serde_json::to_string(e).map_or(0, |s| s.len() + 1);
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    });
    let n = fitting.count();
    page.events.truncate(n);
    page
}

fn json(what: &impl Serialize) -> Result<Value> {
    serde_json::to_value(what).map_err(|e| Error::new("write", "the answer", e))
}

/// Reads a request line, its newline taken off. What fails gives the id, if that much could be
/// read, and what to answer.
///
/// # Errors
/// It is not UTF-8, not JSON, or no request.
pub fn read_request(line: &[u8]) -> std::result::Result<RequestLine, (u64, Error)> {
    let wrong = |cause: &dyn fmt::Display| {
        Error::new("read", "request", cause)
            .hint("send one JSON object a line, as {\"id\":1,\"req\":\"status\"}")
            .kind(Kind::Usage)
    };
    let text = std::str::from_utf8(line).map_err(|e| (0, wrong(&format_args!("no UTF-8: {e}"))))?;
    serde_json::from_str::<RequestLine>(text).map_err(|e| {
        let id = serde_json::from_str::<Value>(text)
            .ok()
            .and_then(|v| v.get("id").and_then(Value::as_u64));
        (id.unwrap_or(0), wrong(&e))
    })
}
