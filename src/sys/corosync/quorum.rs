//! libquorum, model v1: quorate or not, and who is in the ring.
#![allow(unsafe_code)]

use super::error::{CsResult, check};
use super::ffi::{self, QuorumModelV1, QuorumRing};
use super::handle::{Handle, copied};
use super::inbox::{self, Intake, Slot};
use super::{Libraries, RingId};
use crate::types::NodeId;
use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// What corosync tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Whether the node is quorate, and with whom. Comes after a change of the ring when corosync has
    /// synchronized, whether or not `quorate` is another.
    Quorum {
        /// Whether there is quorum.
        quorate: bool,
        /// The ring.
        ring: RingId,
        /// The nodes in it.
        members: Vec<NodeId>,
    },
    /// The ring is another. Comes at once, before synchronization.
    Nodes {
        /// The ring.
        ring: RingId,
        /// The nodes in it.
        members: Vec<NodeId>,
        /// Those that were not in the last one.
        joined: Vec<NodeId>,
        /// Those that were in the last one only.
        left: Vec<NodeId>,
    },
}

/// A connection.
#[derive(Debug)]
pub struct Quorum {
    handle: Handle,
    intake: Intake,
}

thread_local! {
    static INBOX: Slot<Notice> = const { RefCell::new(None) };
}

impl Quorum {
    /// Connects.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`](super::CsError::LIBRARY) if corosync does not run,
    /// [`CsError::TRY_AGAIN`](super::CsError::TRY_AGAIN) while it starts.
    pub fn open(libraries: &Arc<Libraries>) -> CsResult<Quorum> {
        let fns = &libraries.quorum;
        let initialize = |id: &mut u64| {
            let mut model = QuorumModelV1 {
                model: ffi::QUORUM_MODEL_V1,
                quorum_notify_fn: Some(quorum),
                nodelist_notify_fn: Some(nodes),
            };
            let mut kind = 0;
            // SAFETY: places for the handle and the type; the library reads as much of the model as
            // its number says, and copies it; the callbacks live as long as the process.
            unsafe {
                (fns.quorum_model_initialize)(
                    id,
                    ffi::QUORUM_MODEL_V1,
                    (&raw mut model).cast(),
                    &raw mut kind,
                    std::ptr::null_mut(),
                )
            }
        };
        let handle = Handle::open(
            libraries,
            initialize,
            fns.quorum_fd_get,
            fns.quorum_finalize,
        )?;
        Ok(Quorum {
            handle,
            intake: Intake::default(),
        })
    }

    /// Readable when [`Quorum::dispatch`] has something to do, or corosync has gone.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.fd()
    }

    /// Asks for the present state and every change; [`Quorum::dispatch`] gives them.
    ///
    /// # Errors
    /// The library's.
    pub fn start(&mut self) -> CsResult<()> {
        let flags = ffi::CS_TRACK_CURRENT | ffi::CS_TRACK_CHANGES;
        // SAFETY: two numbers.
        check(unsafe { (self.handle.libraries.quorum.quorum_trackstart)(self.handle.id, flags) })
    }

    /// What was told since the last time; does not wait.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`](super::CsError::LIBRARY) when corosync has gone; what it told before
    /// comes first.
    pub fn dispatch(&mut self) -> CsResult<Vec<Notice>> {
        let (dispatch, id) = (self.handle.libraries.quorum.quorum_dispatch, self.handle.id);
        // SAFETY: two numbers; the callbacks find their inbox by themselves.
        self.intake
            .dispatch(&INBOX, || unsafe { dispatch(id, ffi::CS_DISPATCH_ALL) })
    }

    /// Notices that were dropped so far, since one dispatch brought too many.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.intake.lost
    }
}

impl From<QuorumRing> for RingId {
    fn from(ring: QuorumRing) -> RingId {
        RingId {
            nodeid: NodeId(ring.nodeid),
            seq: ring.seq,
        }
    }
}

/// Bytes of so many lists of so many nodes; about.
fn size(nodes: u32) -> usize {
    64 + size_of::<NodeId>() * nodes as usize
}

/// Called in [`Quorum::dispatch`].
unsafe extern "C" fn quorum(
    _handle: u64,
    quorate: u32,
    ring: QuorumRing,
    members_len: u32,
    members: *const u32,
) {
    inbox::push(&INBOX, size(members_len), || {
        // SAFETY: the library says how many there are.
        let members = unsafe { copied(members, members_len as usize, NodeId) }?;
        Some(Notice::Quorum {
            quorate: quorate != 0,
            ring: ring.into(),
            members,
        })
    });
}

/// Called in [`Quorum::dispatch`].
unsafe extern "C" fn nodes(
    _handle: u64,
    ring: QuorumRing,
    members_len: u32,
    members: *const u32,
    joined_len: u32,
    joined: *const u32,
    left_len: u32,
    left: *const u32,
) {
    let sum = members_len
        .saturating_add(joined_len)
        .saturating_add(left_len);
    inbox::push(&INBOX, size(sum), || {
        // SAFETY: the library says how many there are, three times.
        let (members, joined, left) = unsafe {
            (
                copied(members, members_len as usize, NodeId)?,
                copied(joined, joined_len as usize, NodeId)?,
                copied(left, left_len as usize, NodeId)?,
            )
        };
        Some(Notice::Nodes {
            ring: ring.into(),
            members,
            joined,
            left,
        })
    });
}
