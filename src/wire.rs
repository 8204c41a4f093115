//! The protocol: one JSON object a line, requests and replies, and the status that clients see.
//!
//! The README describes it for programs in other languages. Fields are only ever added.

mod cluster;
mod config;
mod page;
mod peer;
mod request;
#[cfg(test)]
pub(crate) mod sample;
mod text;

pub use cluster::{ClusterStatus, LinkStatus, MemberState, MemberStatus};
pub use config::{ChangeReport, CheckReport, DiffReport, HistoryEntry, HistoryPage, WireFinding};
pub use page::{EventsPage, lagged_line};
pub use peer::{
    ANSWERS, AllReply, Hello, NodeAnswer, PeerReport, PeerStatus, To, Unreachable, WRONG_NODE,
    called, short,
};
pub use request::{Change, Request};
pub use text::ConfText;

use crate::error::{Error, Kind};
use crate::types::{ConfigVersion, NodeId, Pid, WallMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the protocol; the first reply of a connection carries it as `proto`.
pub const PROTO: u32 = 1;
/// Version of the status object (`schema`).
pub const STATUS_SCHEMA: u32 = 1;
/// Longest line in either direction, in bytes, newline included.
pub const MAX_LINE: usize = 1 << 20;
/// Most events in one reply to `events`.
pub const MAX_EVENTS: usize = 1000;

/// A request line: `{"id":1,"req":"status"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestLine {
    /// Chosen by the client, given back in the reply; 0 if left out.
    #[serde(default)]
    pub id: u64,
    /// The node that is asked, by its name or nodeid: this node's daemon asks it, and hands its answer
    /// on. Left out: this node. Only over the local service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Every configured node is asked: the answer is an [`AllReply`]. Only over the local service, and
    /// only where nothing is changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

impl RequestLine {
    /// A request to the node that it is sent to.
    #[must_use]
    pub fn new(id: u64, request: Request) -> RequestLine {
        RequestLine {
            id,
            node: None,
            all: false,
            request,
        }
    }
}

/// A reply line: `{"id":1,"ok":…}` or `{"id":1,"err":{"code":…,"message":…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyLine {
    /// The request's.
    pub id: u64,
    /// Only in the first reply of a connection: [`PROTO`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<u32>,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It was done; what was asked for.
    #[serde(rename = "ok")]
    Ok(Value),
    /// It was not.
    #[serde(rename = "err")]
    Err(WireError),
}

/// An error as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    /// [`Kind::wire_code`].
    pub code: String,
    /// One line: operation, object, cause, what to do.
    pub message: String,
}

impl From<&Error> for WireError {
    fn from(e: &Error) -> WireError {
        WireError {
            code: e.of_kind().wire_code().to_owned(),
            message: e.to_string(),
        }
    }
}

impl WireError {
    /// The kind that the code stands for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::from_wire_code(&self.code)
    }
}

/// CLUSTER: corosync should run. STANDALONE: it should not, or cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// corosync should run.
    Cluster,
    /// The node runs alone.
    Standalone,
}

/// Why STANDALONE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There is no corosync.conf, and never was.
    Unconfigured,
    /// An operator said so.
    Held,
    /// The configuration cannot be used.
    BadConfig,
    /// corosync was started and died too often, or cannot be started.
    StartFailed,
    /// The corosync binary is not there or cannot be executed.
    NoBinary,
}

impl Reason {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unconfigured => "unconfigured",
            Reason::Held => "held",
            Reason::BadConfig => "bad-config",
            Reason::StartFailed => "start-failed",
            Reason::NoBinary => "no-binary",
        }
    }
}

/// State of the service, corosync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It does not run, and should not.
    Stopped,
    /// Executed; its READY=1 is awaited.
    Starting,
    /// It runs.
    Running,
    /// It was told to end.
    Stopping,
    /// It will be started again at a set time.
    Backoff,
    /// It cannot run (STANDALONE).
    Failed,
}

impl ServiceState {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceState::Stopped => "stopped",
            ServiceState::Starting => "starting",
            ServiceState::Running => "running",
            ServiceState::Stopping => "stopping",
            ServiceState::Backoff => "backoff",
            ServiceState::Failed => "failed",
        }
    }
}

/// What `status` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`STATUS_SCHEMA`].
    pub schema: u32,
    /// Version of the daemon.
    pub version: String,
    /// This node.
    pub node: NodeStatus,
    /// CLUSTER or STANDALONE.
    pub mode: Mode,
    /// Why STANDALONE; null in CLUSTER.
    pub mode_reason: Option<Reason>,
    /// More about that reason, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_detail: Option<String>,
    /// Name of the driver.
    pub driver: String,
    /// The daemon's own pid.
    pub daemon_pid: Pid,
    /// corosync.
    pub service: ServiceStatus,
    /// The cluster; null where corosync does not run or does not answer.
    #[serde(default)]
    pub cluster: Option<ClusterStatus>,
    /// The links to the other nodes; by nodeid and link.
    #[serde(default)]
    pub links: Vec<LinkStatus>,
    /// The configuration.
    pub config: ConfigStatus,
    /// The key.
    pub key: KeyStatus,
    /// The other configured nodes, as their clusmgr answered this one's; in order of the nodelist.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// What is not as it should be, though it works.
    pub degraded: Vec<DegradedItem>,
    /// The number of the newest event.
    pub last_event: u64,
}

/// This node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// `--node`, or the host name.
    pub name: String,
    /// From the nodelist; null where this node is not in it.
    pub nodeid: Option<NodeId>,
}

/// corosync's process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its state.
    pub state: ServiceState,
    /// Null where none runs.
    pub pid: Option<Pid>,
    /// Whether it was found running instead of started by this daemon.
    pub adopted: bool,
    /// Since when it is in this state.
    pub since: WallMs,
    /// How often this daemon started it again after a death.
    pub restarts: u64,
    /// How often in a row it died soon after its start; a run that lasted, a change, or an operator's
    /// start makes it 0.
    #[serde(default)]
    pub deaths: u32,
    /// How the last run ended; null if none has.
    pub last_exit: Option<LastExit>,
    /// Milliseconds to the next try; null where none is set.
    pub next_retry_ms: Option<u64>,
    /// Whether an operator holds it stopped.
    pub hold: bool,
    /// Whether that hold ends with the boot.
    #[serde(default)]
    pub hold_until_boot: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// In words that do not change: `killed by signal 9 (SIGKILL)`, `exit 8 (…)`, ….
    pub cause: String,
    /// The exit code, where it ended by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal's number, where one killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it was noticed.
    pub at: WallMs,
    /// How long it had run, in milliseconds.
    pub ran_ms: u64,
    /// Whether clusmgr killed it because it hung.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hung: bool,
    /// Its last lines of output, at most 20.
    pub output: Vec<String>,
}

/// The configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// Path of corosync.conf.
    pub path: String,
    /// `totem.config_version` as clusmgr holds it; null if it holds none.
    pub version: Option<ConfigVersion>,
    /// SHA-256 of the file as clusmgr last wrote it or took it over, in hex.
    pub sha256: Option<String>,
    /// Whether the live file differs from that.
    pub drift: bool,
    /// Its version then: a start uses it as it is. Left out where it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_version: Option<ConfigVersion>,
}

/// The key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// Path of the key file; null where the configuration needs none or holds it itself.
    pub path: Option<String>,
    /// A keyed hash from which nothing about the key follows; null without a key.
    pub fingerprint: Option<String>,
    /// Whether the live key file differs from what clusmgr last wrote.
    pub drift: bool,
}

/// One reason to call the node degraded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DegradedItem {
    /// A word for programs.
    pub reason: String,
    /// Since when.
    pub since: WallMs,
    /// One line for people.
    pub detail: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_look_as_the_readme_says() {
        let r: RequestLine = serde_json::from_str(r#"{"id":1,"req":"status"}"#).unwrap();
        assert_eq!(r, RequestLine::new(1, Request::Status));
        let r: RequestLine = serde_json::from_str(r#"{"req":"events","since":5}"#).unwrap();
        assert_eq!(
            r.request,
            Request::Events {
                since: 5,
                limit: None
            }
        );
        for (text, runtime) in [
            (r#"{"id":0,"req":"stop","wait_ms":5}"#, false),
            (r#"{"id":0,"req":"stop","runtime":true,"wait_ms":5}"#, true),
        ] {
            let r: RequestLine = serde_json::from_str(text).unwrap();
            let wait_ms = 5;
            assert_eq!(r.request, Request::Stop { runtime, wait_ms });
            assert_eq!(serde_json::to_string(&r).unwrap(), text);
        }
        assert!(serde_json::from_str::<RequestLine>(r#"{"req":"rm"}"#).is_err());
        let ok = ReplyLine {
            id: 1,
            proto: Some(PROTO),
            answer: Answer::Ok(Value::Null),
        };
        assert_eq!(
            serde_json::to_string(&ok).unwrap(),
            r#"{"id":1,"proto":1,"ok":null}"#
        );
        let e = Error::new("stop", "corosync", "only uid 0 may").kind(Kind::Denied);
        let err = ReplyLine {
            id: 2,
            proto: None,
            answer: Answer::Err(WireError::from(&e)),
        };
        let text = r#"{"id":2,"err":{"code":"denied","message":"stop corosync: only uid 0 may"}}"#;
        assert_eq!(serde_json::to_string(&err).unwrap(), text);
        assert_eq!(serde_json::from_str::<ReplyLine>(text).unwrap(), err);
    }
}
