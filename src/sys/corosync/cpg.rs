//! libcpg, model v1: messages to a group, in the same order for all.
#![allow(unsafe_code)]

use super::error::{CsError, CsResult, check};
use super::ffi::{self, CpgAddress, CpgModelV1, CpgName, CpgRing};
use super::handle::{Handle, copied};
use super::inbox::{self, Intake, Slot};
use super::{Libraries, RingId};
use crate::types::NodeId;
use libc::{c_char, iovec};
use std::cell::RefCell;
use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// The longest message: what the library sends in one piece. Longer ones it would send in several,
/// asleep in between, with a word on standard error.
pub const MESSAGE_MAX: usize = (1 << 20) - 1024;

/// A member of a group: node, process, and why it is named (`CPG_REASON_*`).
pub type Member = (NodeId, u32, u32);

/// What corosync tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A message to the group, our own among them.
    Deliver {
        /// The sender's node.
        nodeid: NodeId,
        /// The sender's process there.
        pid: u32,
        /// What it sent.
        data: Vec<u8>,
    },
    /// The group has other members.
    Members {
        /// All of them now.
        members: Vec<Member>,
        /// Who came.
        joined: Vec<Member>,
        /// Who went.
        left: Vec<Member>,
    },
    /// The ring is another; the present one is told after [`Cpg::join`].
    Totem {
        /// The ring.
        ring: RingId,
        /// The nodes in it.
        members: Vec<NodeId>,
    },
}

/// A connection. Dropping it asks corosync, and so waits while that is stopped.
#[derive(Debug)]
pub struct Cpg {
    handle: Handle,
    intake: Intake,
}

thread_local! {
    static INBOX: Slot<Message> = const { RefCell::new(None) };
}

impl Cpg {
    /// Connects.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`] if corosync does not run, [`CsError::TRY_AGAIN`] while it starts.
    pub fn open(libraries: &Arc<Libraries>) -> CsResult<Cpg> {
        let fns = &libraries.cpg;
        let initialize = |id: &mut u64| {
            let mut model = CpgModelV1 {
                model: ffi::CPG_MODEL_V1,
                cpg_deliver_fn: Some(deliver),
                cpg_confchg_fn: Some(members),
                cpg_totem_confchg_fn: Some(totem),
                flags: ffi::CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
            };
            // SAFETY: a place for the handle; the library reads as much of the model as its number
            // says, and copies it; the callbacks live as long as the process.
            unsafe {
                (fns.cpg_model_initialize)(
                    id,
                    ffi::CPG_MODEL_V1,
                    (&raw mut model).cast(),
                    std::ptr::null_mut(),
                )
            }
        };
        let handle = Handle::open(libraries, initialize, fns.cpg_fd_get, fns.cpg_finalize)?;
        Ok(Cpg {
            handle,
            intake: Intake::default(),
        })
    }

    /// Readable when [`Cpg::dispatch`] has something to do, or corosync has gone.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.fd()
    }

    /// This node.
    ///
    /// # Errors
    /// The library's.
    pub fn local_nodeid(&self) -> CsResult<NodeId> {
        let mut id = 0;
        // SAFETY: a number, and a place for one.
        check(unsafe { (self.handle.libraries.cpg.cpg_local_get)(self.handle.id, &raw mut id) })?;
        Ok(NodeId(id))
    }

    /// Joins a group; that we are in it is told by [`Message::Members`].
    ///
    /// # Errors
    /// [`CsError::NAME_TOO_LONG`] for a name of more than 128 bytes; the library's.
    pub fn join(&mut self, group: &str) -> CsResult<()> {
        let mut name = CpgName {
            length: u32::try_from(group.len()).map_err(|_| CsError::NAME_TOO_LONG)?,
            value: [0; ffi::CPG_MAX_NAME_LENGTH],
        };
        if group.len() > name.value.len() {
            return Err(CsError::NAME_TOO_LONG);
        }
        for (to, from) in name.value.iter_mut().zip(group.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        // SAFETY: a number, and a name that outlives the call.
        check(unsafe { (self.handle.libraries.cpg.cpg_join)(self.handle.id, &raw const name) })
    }

    /// Sends to the group that was joined. All members get the messages of all in the same order.
    ///
    /// # Errors
    /// [`CsError::TRY_AGAIN`] when corosync's queue is full or a ring is forming;
    /// [`CsError::TOO_BIG`] above [`MESSAGE_MAX`]; the library's.
    pub fn mcast(&self, data: &[u8]) -> CsResult<()> {
        if data.len() > MESSAGE_MAX {
            return Err(CsError::TOO_BIG);
        }
        let piece = iovec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        };
        // SAFETY: one piece, which the library only reads.
        check(unsafe {
            (self.handle.libraries.cpg.cpg_mcast_joined)(
                self.handle.id,
                ffi::CPG_TYPE_AGREED,
                &raw const piece,
                1,
            )
        })
    }

    /// What was told since the last time; does not wait.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`] when corosync has gone; what it told before comes first.
    pub fn dispatch(&mut self) -> CsResult<Vec<Message>> {
        let (dispatch, id) = (self.handle.libraries.cpg.cpg_dispatch, self.handle.id);
        // SAFETY: two numbers; the callbacks find their inbox by themselves.
        self.intake
            .dispatch(&INBOX, || unsafe { dispatch(id, ffi::CS_DISPATCH_ALL) })
    }

    /// Messages that were dropped so far, since one dispatch brought too many.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.intake.lost
    }
}

/// Called in [`Cpg::dispatch`].
unsafe extern "C" fn deliver(
    _handle: u64,
    _group: *const CpgName,
    nodeid: u32,
    pid: u32,
    data: *mut c_void,
    len: usize,
) {
    let size = len.saturating_add(size_of::<Message>());
    inbox::push(&INBOX, size, || {
        let data = if data.is_null() {
            Vec::new()
        } else {
            // SAFETY: the library says how many bytes there are; the inbox has taken so many.
            unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) }.to_vec()
        };
        Some(Message::Deliver {
            nodeid: NodeId(nodeid),
            pid,
            data,
        })
    });
}

/// Called in [`Cpg::dispatch`]. Mind the order: those who left come before those who joined.
unsafe extern "C" fn members(
    _handle: u64,
    _group: *const CpgName,
    members: *const CpgAddress,
    members_len: usize,
    left: *const CpgAddress,
    left_len: usize,
    joined: *const CpgAddress,
    joined_len: usize,
) {
    let sum = members_len
        .saturating_add(left_len)
        .saturating_add(joined_len);
    let size = sum.saturating_mul(size_of::<Member>());
    let member = |a: CpgAddress| (NodeId(a.nodeid), a.pid, a.reason);
    inbox::push(&INBOX, size.saturating_add(size_of::<Message>()), || {
        // SAFETY: the library says how many there are, three times.
        let (members, joined, left) = unsafe {
            (
                copied(members, members_len, member)?,
                copied(joined, joined_len, member)?,
                copied(left, left_len, member)?,
            )
        };
        Some(Message::Members {
            members,
            joined,
            left,
        })
    });
}

/// Called in [`Cpg::dispatch`].
unsafe extern "C" fn totem(_handle: u64, ring: CpgRing, len: u32, members: *const u32) {
    let size = size_of::<Message>() + size_of::<NodeId>() * len as usize;
    inbox::push(&INBOX, size, || {
        Some(Message::Totem {
            ring: RingId {
                nodeid: NodeId(ring.nodeid),
                seq: ring.seq,
            },
            // SAFETY: the library says how many there are.
            members: unsafe { copied(members, len as usize, NodeId) }?,
        })
    });
}
