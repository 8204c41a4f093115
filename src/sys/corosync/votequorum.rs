//! libvotequorum: votes, and what quorum is made of.
#![allow(unsafe_code)]

use super::error::{CsError, CsResult, check};
use super::ffi::{self, VoteCallbacks, VoteInfo, VoteNode, VoteRing};
use super::handle::{Handle, copied};
use super::inbox::{self, Intake, Slot};
use super::{Libraries, RingId};
use crate::types::NodeId;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

macro_rules! named {
    ($all:ident: $($(#[$doc:meta])* $name:ident, $c:literal = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: u32 = $value;)*
        /// For the test: name in C, value.
        #[cfg(test)]
        pub(super) const $all: &[(&str, u32)] = &[$(($c, $value)),*];
    };
}

named! { FLAGS:
    /// In [`Info::flags`]: `two_node`.
    FLAG_TWO_NODE, "VOTEQUORUM_INFO_TWONODE" = 1;
    /// In [`Info::flags`]: quorate.
    FLAG_QUORATE, "VOTEQUORUM_INFO_QUORATE" = 2;
    /// In [`Info::flags`]: `wait_for_all` is on.
    FLAG_WAIT_FOR_ALL, "VOTEQUORUM_INFO_WAIT_FOR_ALL" = 4;
    /// In [`Info::flags`]: `last_man_standing`.
    FLAG_LAST_MAN_STANDING, "VOTEQUORUM_INFO_LAST_MAN_STANDING" = 8;
    /// In [`Info::flags`]: `auto_tie_breaker`.
    FLAG_AUTO_TIE_BREAKER, "VOTEQUORUM_INFO_AUTO_TIE_BREAKER" = 16;
    /// In [`Info::flags`]: `allow_downscale`.
    FLAG_ALLOW_DOWNSCALE, "VOTEQUORUM_INFO_ALLOW_DOWNSCALE" = 32;
    /// In [`Info::flags`]: a quorum device is registered.
    FLAG_QDEVICE_REGISTERED, "VOTEQUORUM_INFO_QDEVICE_REGISTERED" = 64;
    /// In [`Info::flags`]: the quorum device is alive.
    FLAG_QDEVICE_ALIVE, "VOTEQUORUM_INFO_QDEVICE_ALIVE" = 128;
    /// In [`Info::flags`]: the quorum device gives its votes.
    FLAG_QDEVICE_CAST_VOTE, "VOTEQUORUM_INFO_QDEVICE_CAST_VOTE" = 256;
    /// In [`Info::flags`]: the side that the quorum device is on wins.
    FLAG_QDEVICE_MASTER_WINS, "VOTEQUORUM_INFO_QDEVICE_MASTER_WINS" = 512;
    /// In [`Info::node_state`]: in the ring.
    STATE_MEMBER, "VOTEQUORUM_NODESTATE_MEMBER" = 1;
    /// In [`Info::node_state`]: was in the ring.
    STATE_DEAD, "VOTEQUORUM_NODESTATE_DEAD" = 2;
    /// In [`Info::node_state`]: says that it leaves.
    STATE_LEAVING, "VOTEQUORUM_NODESTATE_LEAVING" = 3;
}

/// What corosync tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The expected votes are now these.
    ExpectedVotes(u32),
    /// Quorate or not, or the state of a node is another.
    Quorum {
        /// Whether there is quorum.
        quorate: bool,
    },
    /// The ring is another.
    Nodes {
        /// The ring.
        ring: RingId,
        /// The nodes in it.
        members: Vec<NodeId>,
    },
}

/// What is known of a node, and of quorum as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// [`STATE_MEMBER`] and so on.
    pub node_state: u32,
    /// The node's votes.
    pub votes: u32,
    /// The votes that the node itself expects.
    pub expected_votes: u32,
    /// The most that any member expects.
    pub highest_expected: u32,
    /// The votes of all members.
    pub total_votes: u32,
    /// The votes that are needed.
    pub quorum: u32,
    /// [`FLAG_QUORATE`] and so on.
    pub flags: u32,
    /// The quorum device's votes.
    pub qdevice_votes: u32,
}

/// A connection.
#[derive(Debug)]
pub struct Votequorum {
    handle: Handle,
    intake: Intake,
}

thread_local! {
    static INBOX: Slot<Notice> = const { RefCell::new(None) };
}

/// For a node that there is not, corosync (3.1.7) answers with a name that nobody has set and that
/// need not end, and the library copies it up to a NUL. So there is room behind, all zero before.
#[repr(C)]
struct Roomy {
    info: VoteInfo,
    behind: [u8; 4096],
}

impl Votequorum {
    /// Connects.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`] if corosync does not run, or its quorum provider is another;
    /// [`CsError::TRY_AGAIN`] while it starts.
    pub fn open(libraries: &Arc<Libraries>) -> CsResult<Votequorum> {
        let fns = &libraries.vote;
        let initialize = |id: &mut u64| {
            let mut callbacks = VoteCallbacks {
                votequorum_quorum_notify_fn: Some(quorum),
                votequorum_expectedvotes_notify_fn: Some(expected),
                votequorum_nodelist_notify_fn: Some(nodes),
            };
            // SAFETY: a place for the handle; the callbacks are copied, and live as long as the
            // process.
            unsafe { (fns.votequorum_initialize)(id, &raw mut callbacks) }
        };
        let handle = Handle::open(
            libraries,
            initialize,
            fns.votequorum_fd_get,
            fns.votequorum_finalize,
        )?;
        Ok(Votequorum {
            handle,
            intake: Intake::default(),
        })
    }

    /// Readable when [`Votequorum::dispatch`] has something to do, or corosync has gone.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.fd()
    }

    /// Asks for the present state and every change; [`Votequorum::dispatch`] gives them.
    ///
    /// # Errors
    /// The library's.
    pub fn start(&mut self) -> CsResult<()> {
        let flags = ffi::CS_TRACK_CURRENT | ffi::CS_TRACK_CHANGES;
        // SAFETY: three numbers.
        check(unsafe {
            (self.handle.libraries.vote.votequorum_trackstart)(self.handle.id, 0, flags)
        })
    }

    /// What is known of a node; none if this node has never seen it.
    ///
    /// # Errors
    /// The library's.
    pub fn info(&self, node: NodeId) -> CsResult<Option<Info>> {
        let mut room = Box::new(MaybeUninit::<Roomy>::zeroed());
        // SAFETY: all zero is a good value of these integers and arrays.
        let room = unsafe { room.assume_init_mut() };
        let place = (&raw mut *room).cast::<VoteInfo>();
        // SAFETY: a place for the answer, which is the beginning of `Roomy`.
        let code = unsafe {
            (self.handle.libraries.vote.votequorum_getinfo)(self.handle.id, node.0, place)
        };
        match check(code) {
            Ok(()) => {}
            Err(CsError::NOT_EXIST) => return Ok(None),
            Err(e) => return Err(e),
        }
        let raw = &room.info;
        Ok(Some(Info {
            node_state: raw.node_state,
            votes: raw.node_votes,
            expected_votes: raw.node_expected_votes,
            highest_expected: raw.highest_expected,
            total_votes: raw.total_votes,
            quorum: raw.quorum,
            flags: raw.flags,
            qdevice_votes: raw.qdevice_votes,
        }))
    }

    /// What was told since the last time; does not wait.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`] when corosync has gone; what it told before comes first.
    pub fn dispatch(&mut self) -> CsResult<Vec<Notice>> {
        let (dispatch, id) = (
            self.handle.libraries.vote.votequorum_dispatch,
            self.handle.id,
        );
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

/// Called in [`Votequorum::dispatch`].
unsafe extern "C" fn quorum(
    _handle: u64,
    _context: u64,
    quorate: u32,
    _len: u32,
    _nodes: *mut VoteNode,
) {
    inbox::push(&INBOX, size_of::<Notice>(), || {
        Some(Notice::Quorum {
            quorate: quorate != 0,
        })
    });
}

/// Called in [`Votequorum::dispatch`].
unsafe extern "C" fn expected(_handle: u64, _context: u64, votes: u32) {
    inbox::push(&INBOX, size_of::<Notice>(), || {
        Some(Notice::ExpectedVotes(votes))
    });
}

/// Called in [`Votequorum::dispatch`].
unsafe extern "C" fn nodes(
    _handle: u64,
    _context: u64,
    ring: VoteRing,
    len: u32,
    members: *mut u32,
) {
    let size = size_of::<Notice>() + size_of::<NodeId>() * len as usize;
    inbox::push(&INBOX, size, || {
        Some(Notice::Nodes {
            ring: RingId {
                nodeid: NodeId(ring.nodeid),
                seq: ring.seq,
            },
            // SAFETY: the library says how many there are.
            members: unsafe { copied(members.cast_const(), len as usize, NodeId) }?,
        })
    });
}
