//! What a client can ask.

use super::ConfText;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "req")]
pub enum Request {
    /// The [`Status`](super::Status).
    #[serde(rename = "status")]
    Status,
    /// What is wrong, and what to do: a [`crate::verdict::Report`].
    #[serde(rename = "why")]
    Why,
    /// End a hold and start corosync. Succeeds if it runs already.
    #[serde(rename = "start")]
    Start {
        /// End only a hold that ends with the boot, and fail under one that survives it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        runtime: bool,
        /// Milliseconds to wait for `running`; 0 returns when the command is taken.
        #[serde(default)]
        wait_ms: u64,
    },
    /// Stop corosync and hold it stopped, across reboots too. Succeeds if it is stopped already.
    #[serde(rename = "stop")]
    Stop {
        /// The hold ends with the boot; one that survives it stays.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        runtime: bool,
        /// Milliseconds to wait until it has ended; 0 returns when the command is taken.
        #[serde(default)]
        wait_ms: u64,
    },
    /// Stop corosync and start it again; ends a hold.
    #[serde(rename = "restart")]
    Restart {
        /// It is one of a round over all nodes: only if all others are members and well, quorum stays, and
        /// no other node is restarted in such a round.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rolling: bool,
        /// Milliseconds to wait for `running`; 0 returns when the command is taken.
        #[serde(default)]
        wait_ms: u64,
    },
    /// Journaled events after a number: an [`EventsPage`](super::EventsPage).
    #[serde(rename = "events")]
    Events {
        /// Events with a greater number than this.
        #[serde(default)]
        since: u64,
        /// At most so many, and at most [`MAX_EVENTS`](super::MAX_EVENTS).
        #[serde(default)]
        limit: Option<usize>,
    },
    /// Turns the connection into a stream of events, each on a line of its own.
    #[serde(rename = "subscribe")]
    Subscribe {
        /// Begin after this number; left out: with the next event.
        #[serde(default)]
        since: Option<u64>,
    },
    /// The configuration, secrets replaced: `{"text":…,"source":…}`.
    #[serde(rename = "config.show")]
    ConfigShow,
    /// Checks the live corosync.conf: a [`CheckReport`](super::CheckReport).
    #[serde(rename = "config.check")]
    ConfigCheck,
    /// What a text, or the live file, would change: a [`DiffReport`](super::DiffReport).
    #[serde(rename = "config.diff")]
    ConfigDiff {
        /// A corosync.conf; left out: the live file against what clusmgr holds.
        #[serde(default)]
        text: Option<ConfText>,
    },
    /// Makes a text the configuration: a [`ChangeReport`](super::ChangeReport).
    #[serde(rename = "config.apply")]
    ConfigApply {
        /// A corosync.conf.
        text: ConfText,
        /// It is meant for this node alone.
        #[serde(default)]
        this_node_only: bool,
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// Takes the live file in: a [`ChangeReport`](super::ChangeReport).
    #[serde(rename = "config.adopt")]
    ConfigAdopt {
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// Puts what clusmgr holds over the live file: a [`ChangeReport`](super::ChangeReport).
    #[serde(rename = "config.revert")]
    ConfigRevert {
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// The last changes: a [`HistoryPage`](super::HistoryPage).
    #[serde(rename = "config.history")]
    ConfigHistory,
    /// Makes an earlier text the configuration, under a newer version: a [`ChangeReport`](super::ChangeReport).
    #[serde(rename = "config.rollback")]
    ConfigRollback {
        /// Its number in the history; left out: the one before the present one.
        #[serde(default)]
        number: Option<u64>,
        /// It is meant for this node alone.
        #[serde(default)]
        this_node_only: bool,
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// The authkey's fingerprint: `{"fingerprint":…}`.
    #[serde(rename = "key.fingerprint")]
    KeyFingerprint,
    /// What peers compare: a [`PeerReport`](super::PeerReport).
    #[serde(rename = "peer.report")]
    PeerReport,
}

/// What a request changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it reads.
    Nothing,
    /// Whether corosync runs.
    Service,
    /// The configuration. A dry run counts: corosync's own check, which is part of it, opens the log file
    /// that the text names, as root.
    Configuration,
}

impl Request {
    /// What it changes; it needs uid 0 if that is anything.
    #[must_use]
    pub fn changes(&self) -> Change {
        // Without a `_`, so that a new request cannot be forgotten here.
        match self {
            Request::Start { .. } | Request::Stop { .. } | Request::Restart { .. } => {
                Change::Service
            }
            Request::ConfigApply { .. }
            | Request::ConfigAdopt { .. }
            | Request::ConfigRevert { .. }
            | Request::ConfigRollback { .. } => Change::Configuration,
            Request::Status
            | Request::Why
            | Request::Events { .. }
            | Request::Subscribe { .. }
            | Request::ConfigShow
            | Request::ConfigCheck
            | Request::ConfigDiff { .. }
            | Request::ConfigHistory
            | Request::KeyFingerprint
            | Request::PeerReport => Change::Nothing,
        }
    }

    /// How long its outcome may be waited for, as it says itself.
    #[must_use]
    pub fn wait(&self) -> Duration {
        match self {
            Request::Start { wait_ms, .. }
            | Request::Stop { wait_ms, .. }
            | Request::Restart { wait_ms, .. } => Duration::from_millis(*wait_ms),
            _ => Duration::ZERO,
        }
    }
}
