//! What the state machine takes in, is in, and gives out.

use crate::driver::StartFailure;
use crate::types::Mono;
use crate::wire::Reason;

/// An operator holds corosync stopped; the one that lasts longer is the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// The next boot ends it.
    UntilBoot,
    /// Only a start ends it.
    Kept,
}

/// What corosync is told to end for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// An operator holds it stopped.
    Hold,
    /// The daemon ends.
    Shutdown,
    /// It is to be started again at once.
    Restart,
    /// It is to be started again, as after a death: the others count this node out.
    Isolated,
    /// It hangs: its end counts as a death.
    Fault,
}

/// What is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing runs and nothing should: held, unconfigured, or the daemon ends.
    Stopped,
    /// Executed at `since`, not ready yet.
    Starting {
        /// When it was executed.
        since: Mono,
    },
    /// It runs.
    Running {
        /// When it was executed.
        since: Mono,
    },
    /// It was told to end.
    Stopping {
        /// For what.
        why: Why,
        /// When it was executed.
        since: Mono,
        /// When SIGKILL is due (again).
        kill_at: Mono,
    },
    /// CLUSTER; the next start is due at `until`.
    Backoff {
        /// When.
        until: Mono,
    },
    /// STANDALONE; the next try is due at `retry_at`.
    Failed {
        /// Why.
        reason: Reason,
        /// When.
        retry_at: Mono,
    },
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The daemon begins.
    Boot {
        /// Since when the living corosync runs that was found and adopted.
        found: Option<Mono>,
    },
    /// `clusmgrctl start`; ends a hold that lasts at most so long, and does nothing under another.
    Start(Hold),
    /// `clusmgrctl stop`; a hold that lasts longer stays.
    Stop(Hold),
    /// `clusmgrctl restart`.
    Restart,
    /// SIGTERM: stop corosync, then end.
    Shutdown,
    /// SIGQUIT: end and leave corosync running.
    Leave,
    /// The start did not come to a process.
    StartFailed(StartFailure),
    /// A living corosync turned out to be there, and was adopted.
    Adopted {
        /// Since when it runs.
        since: Mono,
    },
    /// corosync said READY=1.
    Ready,
    /// The process ended; whether its exit code says that retrying cannot heal it.
    Exited {
        /// It cannot.
        permanent: bool,
    },
    /// It is stopped or silent for longer than the hang time-out.
    Hung,
    /// The others are quorate without this node, which they hear.
    Isolated,
    /// SIGTERM is sent. What came before it, such as keeping the hold on disk, may have taken a while.
    Told,
    /// A change needs a restart (C: `corosync_reboot_needed`).
    NeedRestart,
    /// The configuration, the key or the binary has changed.
    Changed,
    /// Time has passed.
    Tick,
}

/// What the monitor is to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Keep the hold on disk, or forget it.
    SaveHold(Option<Hold>),
    /// C: `start_service`; answered by `StartFailed`, `Adopted`, or silence if it runs.
    Start,
    /// C: `stop_service`: SIGTERM; answered by `Told`.
    Term,
    /// SIGKILL.
    Kill,
    /// The monitor's work is done.
    Finish,
}
