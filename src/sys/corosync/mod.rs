//! A typed client of corosync's own libraries, which are loaded while we run ([`Libraries`]).
//!
//! One handle, one thread: [`cmap::Cmap`], [`quorum::Quorum`], [`votequorum::Votequorum`],
//! [`cfg::Cfg`], [`cpg::Cpg`]. A handle is closed when dropped; after [`CsError::LIBRARY`] it is of no
//! more use, and another must be opened.
//!
//! Nothing here has a deadline. **While corosync is stopped (SIGSTOP), whatever asks it something does
//! not return** until it goes on or is killed: opening, dropping a [`cpg::Cpg`], and every call but a
//! dispatch and [`cpg::Cpg::mcast`], which only look or send. Opening waits likewise while corosync
//! starts and already listens. Handles are opened and closed one at a time in the whole process, so
//! that a thread that opens in such a moment lets others wait that open or close.
//!
//! A dispatch takes 1 MiB of the caller's stack, so a thread that calls here has at least 2 MiB, which
//! is the default.

pub mod cfg;
pub mod cmap;
pub mod cpg;
mod error;
mod ffi;
mod handle;
mod inbox;
mod load;
pub mod quorum;
mod value;
pub mod votequorum;

pub use error::{CsError, CsResult};
pub use load::{Lack, Libraries, Missing, dirs_for};

use crate::types::NodeId;
use std::cmp::Ordering;
use std::fmt;

/// The identity of a ring: the same on every node that is in it, and new with each change of
/// membership, also when the members stay the same. Ordered by sequence, so that the later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RingId {
    /// The representative: the lowest node of the ring.
    pub nodeid: NodeId,
    /// Grows with each ring that a node sees.
    pub seq: u64,
}

impl Ord for RingId {
    fn cmp(&self, other: &RingId) -> Ordering {
        (self.seq, self.nodeid).cmp(&(other.seq, other.nodeid))
    }
}

impl PartialOrd for RingId {
    fn partial_cmp(&self, other: &RingId) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RingId {
    /// As corosync's log and tools have it: `1.2c`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.nodeid.0, self.seq)
    }
}

/// Compiles only for what is bound to one thread.
#[cfg(test)]
mod one_thread {
    trait Ambiguous<A> {
        fn send_or_sync() {}
    }
    impl<T: ?Sized> Ambiguous<()> for T {}
    struct IsSend;
    impl<T: ?Sized + Send> Ambiguous<IsSend> for T {}
    struct IsSync;
    impl<T: ?Sized + Sync> Ambiguous<IsSync> for T {}

    #[test]
    fn no_handle_can_go_to_another_thread() {
        let _ = <super::cmap::Cmap as Ambiguous<_>>::send_or_sync;
        let _ = <super::quorum::Quorum as Ambiguous<_>>::send_or_sync;
        let _ = <super::votequorum::Votequorum as Ambiguous<_>>::send_or_sync;
        let _ = <super::cfg::Cfg as Ambiguous<_>>::send_or_sync;
        let _ = <super::cpg::Cpg as Ambiguous<_>>::send_or_sync;
    }

    #[test]
    fn a_later_ring_is_greater_and_reads_as_in_corosyncs_log() {
        use super::RingId;
        use crate::types::NodeId;
        let ring = |nodeid, seq| RingId {
            nodeid: NodeId(nodeid),
            seq,
        };
        assert!(ring(1, 0x2c) > ring(3, 0x28));
        assert!(ring(3, 0x2c) > ring(1, 0x2c));
        assert_eq!(ring(11, 0x2c).to_string(), "b.2c");
    }
}
