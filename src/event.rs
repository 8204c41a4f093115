//! Events, the two event queues of the C design, and the hub that subscribers read from.
//!
//! A [`Note`] is what happened; it goes through the internal queue to the manager, and from there
//! through the public queue to the `cm-events` thread, which numbers it (an [`Event`]), journals it
//! and hands it to the [`Hub`]. Nobody who produces an event ever waits for one who reads it.

use crate::types::WallMs;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How bad it is; the names are syslog's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Detail.
    Info,
    /// A transition that is as it should be.
    Notice,
    /// Degraded, but working.
    Warning,
    /// Failed.
    Err,
    /// The node is of no use to its cluster.
    Crit,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What happened. The text is part of the protocol and never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Kind { $($(#[$doc])* #[serde(rename = $text)] $name,)* }
        impl Kind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];
            /// The name on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// clusmgr serves.
    DaemonStarted = "daemon.started",
    /// clusmgr ends; says whether corosync stays.
    DaemonStopped = "daemon.stopped",
    /// CLUSTER or STANDALONE, or STANDALONE for another reason.
    ModeChanged = "mode.changed",
    /// corosync was executed.
    ServiceStarting = "service.starting",
    /// corosync said READY=1.
    ServiceReady = "service.ready",
    /// A living corosync was taken over.
    ServiceAdopted = "service.adopted",
    /// corosync is being stopped.
    ServiceStopping = "service.stopping",
    /// corosync ended because it was told to.
    ServiceStopped = "service.stopped",
    /// corosync ended without being told to.
    ServiceExited = "service.exited",
    /// corosync was stopped or silent for longer than the hang time-out.
    ServiceHung = "service.hung",
    /// corosync could not be started.
    ServiceStartFailed = "service.start-failed",
    /// The next start is set for later.
    ServiceRetry = "service.retry",
    /// corosync did not end on SIGTERM in time and was killed.
    ServiceKilled = "service.killed",
    /// An operator holds corosync stopped.
    HoldSet = "hold.set",
    /// The hold ended.
    HoldEnded = "hold.ended",
    /// An existing configuration was taken over.
    ConfigTakenOver = "config.taken-over",
    /// corosync.conf was written.
    ConfigWritten = "config.written",
    /// A change of the configuration was made and proved.
    ConfigChanged = "config.changed",
    /// A change of the configuration was taken back.
    ConfigUndone = "config.undone",
    /// The live file differs from what clusmgr last wrote.
    ConfigDrift = "config.drift",
    /// The live file is again what clusmgr last wrote.
    ConfigDriftEnded = "config.drift-ended",
    /// The configuration cannot be used.
    ConfigBad = "config.bad",
    /// The authkey was taken over.
    KeyTakenOver = "key.taken-over",
    /// The authkey was written.
    KeyWritten = "key.written",
    /// The authkey was readable for others and is no more.
    KeyTightened = "key.tightened",
    /// The live key differs from what clusmgr last wrote.
    KeyDrift = "key.drift",
    /// The live key is again what clusmgr last wrote.
    KeyDriftEnded = "key.drift-ended",
    /// This node is in a quorate partition.
    QuorumGained = "quorum.gained",
    /// It is no more.
    QuorumLost = "quorum.lost",
    /// There is a new ring; its members may be the same.
    RingChanged = "ring.changed",
    /// A node is a member.
    NodeJoined = "node.joined",
    /// A node is no member any more.
    NodeLeft = "node.left",
    /// A node runs with another configuration version than before.
    NodeConfigVersion = "node.config_version",
    /// A link to a node works.
    LinkUp = "link.up",
    /// A link to a node does not work.
    LinkDown = "link.down",
    /// A link goes down again and again; its single ups and downs are not told until it is steady.
    LinkFlapping = "link.flapping",
    /// It has stayed as it is for a while.
    LinkSteady = "link.steady",
    /// corosync has read its configuration again.
    ReloadOk = "reload.ok",
    /// It could not.
    ReloadFailed = "reload.failed",
    /// A reload does not come to its end.
    ReloadStuck = "reload.stuck",
    /// corosync was not scheduled for a while.
    SchedPause = "sched.pause",
    /// Another node's configuration or key is not this node's.
    PeerDiffers = "peer.differs",
    /// They are the same again.
    PeerAgrees = "peer.agrees",
    /// Another node's clusmgr answers.
    PeerReachable = "peer.reachable",
    /// It does not, and why.
    PeerUnreachable = "peer.unreachable",
    /// A peer asked for a start, stop or restart here.
    PeerAsked = "peer.asked",
    /// A reason to call the node degraded appeared.
    Degraded = "degraded",
    /// It went away.
    DegradedEnded = "degraded.ended",
    /// Events were lost before they could be numbered: a queue was full.
    EventsLost = "events.lost",
}

/// Something that happened, not yet numbered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// When it was noticed.
    pub at: WallMs,
    /// What.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// One line for people.
    pub text: String,
    /// For programs; the keys of a kind are in the README.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// Who wants to know when it is in the journal gives it one; goes nowhere else.
    #[serde(skip)]
    pub ticket: Option<u64>,
}

impl Note {
    /// A note of now.
    pub fn new(kind: Kind, severity: Severity, text: impl Into<String>) -> Note {
        Note {
            at: WallMs::now(),
            kind,
            severity,
            text: text.into(),
            fields: Map::new(),
            ticket: None,
        }
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Note {
        self.fields.insert(key.to_owned(), value.into());
        self
    }
}

/// A numbered event: what the journal holds and clients get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one with each event, across restarts too, and is never used twice.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub note: Note,
}

/// Who takes notes: all that a driver gets to see of the manager.
pub trait EventSink: Send + Sync {
    /// Hands over a note; never blocks.
    fn note(&self, note: Note);
}

/// A bounded queue of notes behind a mutex (C: `evt_internal_queue`, `evt_public_queue`).
///
/// When it is full the oldest note is dropped and counted: what happens now matters more.
#[derive(Debug)]
pub struct EvtQueue {
    /// The C design's `q_mtx`. No other lock is taken while it is held, but by [`EvtQueue::pass_to`].
    q_mtx: Mutex<QueueState>,
    filled: Condvar,
    cap: usize,
}

#[derive(Debug, Default)]
struct QueueState {
    notes: VecDeque<Note>,
    lost: u64,
    closed: bool,
}

/// What [`EvtQueue::take`] gives.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// All notes that were there, oldest first, and how many were lost before them.
    Notes(Vec<Note>, u64),
    /// The queue is empty and closed: nothing will come.
    Closed,
}

impl EvtQueue {
    /// A queue of at most `cap` notes.
    #[must_use]
    pub fn new(cap: usize) -> EvtQueue {
        EvtQueue {
            q_mtx: Mutex::new(QueueState::default()),
            filled: Condvar::new(),
            cap: cap.max(1),
        }
    }

    /// Puts a note in; never blocks.
    pub fn push(&self, note: Note) {
        let mut q = self.q_mtx.lock();
        if q.notes.len() >= self.cap {
            q.notes.pop_front();
            q.lost = q.lost.saturating_add(1);
        }
        q.notes.push_back(note);
        drop(q);
        self.filled.notify_one();
    }

    /// Puts all there is into another queue, in order, whoever else does the same at that time: both
    /// locks are held for it, ours first. What was lost is told there.
    pub fn pass_to(&self, other: &EvtQueue) {
        let mut q = self.q_mtx.lock();
        let lost = std::mem::take(&mut q.lost);
        if lost > 0 {
            let text = format!("{lost} events of the driver were lost");
            other.push(Note::new(Kind::EventsLost, Severity::Err, text).with("lost", lost));
        }
        // Taken, not drained: an empty queue holds no memory.
        for note in std::mem::take(&mut q.notes) {
            other.push(note);
        }
    }

    /// Waits until there is something, or the queue is closed. For one thread that lives off this.
    #[must_use]
    pub fn take(&self) -> Taken {
        let mut q = self.q_mtx.lock();
        while q.notes.is_empty() && q.lost == 0 {
            if q.closed {
                return Taken::Closed;
            }
            self.filled.wait(&mut q);
        }
        Taken::Notes(
            std::mem::take(&mut q.notes).into(),
            std::mem::take(&mut q.lost),
        )
    }

    /// No more notes will come; [`EvtQueue::take`] ends when it is empty.
    pub fn close(&self) {
        self.q_mtx.lock().closed = true;
        self.filled.notify_all();
    }
}

/// The newest numbered events in memory, for those who follow.
///
/// There is no queue per subscriber: each reads at its own pace from this ring, and what has left
/// the ring from the journal. A slow one therefore costs nothing and nobody.
#[derive(Debug)]
pub struct Hub {
    ring: Mutex<Ring>,
    grown: Condvar,
    cap: usize,
    /// Never locked together with `ring`, nor while one of them is called.
    listeners: Mutex<Vec<Weak<dyn Listen>>>,
}

/// Someone who cannot wait in [`Hub::wait_after`], for it waits for more than events.
pub trait Listen: Send + Sync + std::fmt::Debug {
    /// There is something new, or the hub was closed. Must not block.
    fn something_new(&self);
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<(u64, Arc<str>)>,
    latest: u64,
    closed: bool,
}

/// What [`Hub::wait_after`] gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Follow {
    /// The events after the one asked for, each one JSON line without its newline.
    Lines(Vec<(u64, Arc<str>)>),
    /// The next event has left the ring: read the journal first.
    Behind,
    /// Nothing new before the deadline.
    Nothing,
    /// The daemon ends.
    Closed,
}

impl Hub {
    /// A ring of at most `cap` events; `latest` is the last number used before this start.
    #[must_use]
    pub fn new(cap: usize, latest: u64) -> Hub {
        let ring = Ring {
            latest,
            ..Ring::default()
        };
        Hub {
            ring: Mutex::new(ring),
            grown: Condvar::new(),
            cap: cap.max(1),
            listeners: Mutex::default(),
        }
    }

    /// Tells of everything new from now on, until `who` is dropped.
    pub fn listen(&self, who: Weak<dyn Listen>) {
        let mut all = self.listeners.lock();
        // Here and not where they are told: there is then nothing to clean where nobody comes.
        all.retain(|l| l.strong_count() > 0);
        all.push(who);
    }

    fn tell_listeners(&self) {
        let all = self.listeners.lock().clone();
        for listener in all.iter().filter_map(Weak::upgrade) {
            listener.something_new();
        }
    }

    /// The number of the oldest event that is still in memory.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.ring.lock().lines.front().map(|l| l.0)
    }

    /// Those after event `after` that are still in memory.
    #[must_use]
    pub fn held(&self, after: u64) -> Vec<(u64, Arc<str>)> {
        let ring = self.ring.lock();
        let newer = ring.lines.iter().filter(|(seq, _)| *seq > after);
        newer.cloned().collect()
    }

    /// The number of the newest event.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.ring.lock().latest
    }

    /// Adds the newest event.
    pub fn publish(&self, seq: u64, line: Arc<str>) {
        let mut ring = self.ring.lock();
        if ring.lines.len() >= self.cap {
            ring.lines.pop_front();
        }
        ring.lines.push_back((seq, line));
        ring.latest = seq;
        drop(ring);
        self.grown.notify_all();
        self.tell_listeners();
    }

    /// What came after event `after`; waits until `deadline` for something to come.
    #[must_use]
    pub fn wait_after(&self, after: u64, deadline: Instant) -> Follow {
        let mut ring = self.ring.lock();
        loop {
            if ring.latest > after {
                return match ring.lines.front() {
                    Some((first, _)) if *first <= after.saturating_add(1) => Follow::Lines(
                        ring.lines
                            .iter()
                            .filter(|(seq, _)| *seq > after)
                            .cloned()
                            .collect(),
                    ),
                    _ => Follow::Behind,
                };
            }
            if ring.closed {
                return Follow::Closed;
            }
            if self.grown.wait_until(&mut ring, deadline).timed_out() {
                return Follow::Nothing;
            }
        }
    }

    /// Ends all who follow, once they have read what there is.
    pub fn close(&self) {
        self.ring.lock().closed = true;
        self.grown.notify_all();
        self.tell_listeners();
    }

    /// A deadline so far away that it stands for none, short enough for every clock.
    #[must_use]
    pub fn never() -> Instant {
        Instant::now() + Duration::from_secs(365 * 24 * 3600)
    }
}

#[cfg(test)]
mod tests;
