//! What the headers of corosync say, in our words. `tests.rs` compiles every line of this file
//! against them: sizes, offsets, constants, and the type of each function and callback.
//!
//! Types stay exactly as in C, down to what is `const`; an enum is the `u32` that the compiler makes
//! of it.

use libc::{c_char, c_int, iovec};
use std::ffi::c_void;

macro_rules! constants {
    ($($name:ident: $ty:ty = $value:literal;)*) => {
        $(pub(super) const $name: $ty = $value;)*
        #[cfg(test)]
        pub(super) const CONSTANTS: &[(&str, i128)] = &[$((stringify!($name), $value)),*];
    };
}

constants! {
    CS_DISPATCH_ALL: u32 = 2;
    CS_TRACK_CURRENT: u32 = 1;
    CS_TRACK_CHANGES: u32 = 2;
    CMAP_KEYNAME_MAXLEN: usize = 255;
    CMAP_MAP_ICMAP: u32 = 0;
    CMAP_MAP_STATS: u32 = 1;
    CMAP_TRACK_DELETE: i32 = 1;
    CMAP_TRACK_MODIFY: i32 = 2;
    CMAP_TRACK_ADD: i32 = 4;
    CMAP_TRACK_PREFIX: i32 = 8;
    CMAP_VALUETYPE_INT8: u32 = 1;
    CMAP_VALUETYPE_UINT8: u32 = 2;
    CMAP_VALUETYPE_INT16: u32 = 3;
    CMAP_VALUETYPE_UINT16: u32 = 4;
    CMAP_VALUETYPE_INT32: u32 = 5;
    CMAP_VALUETYPE_UINT32: u32 = 6;
    CMAP_VALUETYPE_INT64: u32 = 7;
    CMAP_VALUETYPE_UINT64: u32 = 8;
    CMAP_VALUETYPE_FLOAT: u32 = 9;
    CMAP_VALUETYPE_DOUBLE: u32 = 10;
    CMAP_VALUETYPE_STRING: u32 = 11;
    CMAP_VALUETYPE_BINARY: u32 = 12;
    QUORUM_MODEL_V1: u32 = 1;
    VOTEQUORUM_QDEVICE_MAX_NAME_LEN: usize = 255;
    CPG_MODEL_V1: u32 = 1;
    CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF: u32 = 1;
    CPG_TYPE_AGREED: u32 = 2;
    CPG_MAX_NAME_LENGTH: usize = 128;
}

/// The layout of a struct of ours, for the test.
#[cfg(test)]
pub(super) struct Layout {
    pub(super) rust: &'static str,
    pub(super) c: &'static str,
    pub(super) size: usize,
    pub(super) align: usize,
    /// Name, type, offset, size.
    pub(super) fields: &'static [(&'static str, &'static str, usize, usize)],
}

macro_rules! structs {
    ($($(#[$doc:meta])* $name:ident = $c:literal { $($field:ident: $ty:ty,)* })*) => {
        $($(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name {
            $(pub(super) $field: $ty,)*
        })*
        #[cfg(test)]
        pub(super) const STRUCTS: &[Layout] = &[$(Layout {
            rust: stringify!($name),
            c: $c,
            size: size_of::<$name>(),
            align: align_of::<$name>(),
            fields: &[$((
                stringify!($field),
                stringify!($ty),
                std::mem::offset_of!($name, $field),
                size_of::<$ty>(),
            )),*],
        }),*];
    };
}

structs! {
    /// A value in a notification; `data` need not be aligned.
    NotifyValue = "struct cmap_notify_value" {
        r#type: u32,
        len: usize,
        data: *const c_void,
    }
    QuorumRing = "struct quorum_ring_id" {
        nodeid: u32,
        seq: u64,
    }
    QuorumModelData = "quorum_model_data_t" {
        model: u32,
    }
    QuorumModelV1 = "quorum_model_v1_data_t" {
        model: u32,
        quorum_notify_fn: Option<QuorumNotify>,
        nodelist_notify_fn: Option<QuorumNodes>,
    }
    VoteNode = "votequorum_node_t" {
        nodeid: u32,
        state: u32,
    }
    VoteRing = "votequorum_ring_id_t" {
        nodeid: u32,
        seq: u64,
    }
    VoteCallbacks = "votequorum_callbacks_t" {
        votequorum_quorum_notify_fn: Option<VoteQuorum>,
        votequorum_expectedvotes_notify_fn: Option<VoteExpected>,
        votequorum_nodelist_notify_fn: Option<VoteNodes>,
    }
    VoteInfo = "struct votequorum_info" {
        node_id: u32,
        node_state: u32,
        node_votes: u32,
        node_expected_votes: u32,
        highest_expected: u32,
        total_votes: u32,
        quorum: u32,
        flags: u32,
        qdevice_votes: u32,
        qdevice_name: [c_char; VOTEQUORUM_QDEVICE_MAX_NAME_LEN],
    }
    CfgCallbacks = "corosync_cfg_callbacks_t" {
        corosync_cfg_shutdown_callback: Option<CfgShutdown>,
    }
    CpgName = "struct cpg_name" {
        length: u32,
        value: [c_char; CPG_MAX_NAME_LENGTH],
    }
    CpgAddress = "struct cpg_address" {
        nodeid: u32,
        pid: u32,
        reason: u32,
    }
    CpgRing = "struct cpg_ring_id" {
        nodeid: u32,
        seq: u64,
    }
    CpgModelData = "cpg_model_data_t" {
        model: u32,
    }
    CpgModelV1 = "cpg_model_v1_data_t" {
        model: u32,
        cpg_deliver_fn: Option<CpgDeliver>,
        cpg_confchg_fn: Option<CpgMembers>,
        cpg_totem_confchg_fn: Option<CpgTotem>,
        flags: u32,
    }
}

macro_rules! callbacks {
    ($($name:ident = $c:literal ($($arg:ty),* $(,)?);)*) => {
        $(pub(super) type $name = unsafe extern "C" fn($($arg),*);)*
        /// Our name, the name in C, the types of the arguments.
        #[cfg(test)]
        pub(super) const CALLBACKS: &[(&str, &str, &[&str])] =
            &[$((stringify!($name), $c, &[$(stringify!($arg)),*])),*];
    };
}

callbacks! {
    CmapNotify = "cmap_notify_fn_t"
        (u64, u64, i32, *const c_char, NotifyValue, NotifyValue, *mut c_void);
    QuorumNotify = "quorum_v1_quorum_notification_fn_t"
        (u64, u32, QuorumRing, u32, *const u32);
    QuorumNodes = "quorum_v1_nodelist_notification_fn_t"
        (u64, QuorumRing, u32, *const u32, u32, *const u32, u32, *const u32);
    VoteQuorum = "votequorum_quorum_notification_fn_t"
        (u64, u64, u32, u32, *mut VoteNode);
    VoteNodes = "votequorum_nodelist_notification_fn_t"
        (u64, u64, VoteRing, u32, *mut u32);
    VoteExpected = "votequorum_expectedvotes_notification_fn_t"
        (u64, u64, u32);
    CfgShutdown = "corosync_cfg_shutdown_callback_t"
        (u64, u32);
    CpgDeliver = "cpg_deliver_fn_t"
        (u64, *const CpgName, u32, u32, *mut c_void, usize);
    CpgMembers = "cpg_confchg_fn_t"
        (u64, *const CpgName, *const CpgAddress, usize, *const CpgAddress, usize,
         *const CpgAddress, usize);
    CpgTotem = "cpg_totem_confchg_fn_t"
        (u64, CpgRing, u32, *const u32);
}

macro_rules! libraries {
    ($($table:ident, $file:literal { $($name:ident($($arg:ty),* $(,)?);)* })*) => {
        $(#[doc = concat!("The functions of ", $file, "; each gives a `cs_error_t`.")]
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $table {
            $(pub(super) $name: unsafe extern "C" fn($($arg),*) -> u32,)*
        }

        impl $table {
            pub(super) const FILE: &'static str = $file;

            /// Takes every function by name from a loaded library.
            ///
            /// # Errors
            /// The name of the first that is not there.
            #[allow(unsafe_code)]
            pub(super) fn resolve(
                library: &libloading::os::unix::Library,
            ) -> Result<$table, &'static str> {
                Ok($table {
                    $(
                        // SAFETY: the type is the header's, which the test compares; the library
                        // is never unloaded, so that the address stays good.
                        $name: *unsafe {
                            library.get(concat!(stringify!($name), "\0").as_bytes())
                        }
                        .map_err(|_| stringify!($name))?,
                    )*
                })
            }
        })*
        /// Name, the types of the arguments.
        #[cfg(test)]
        pub(super) const FUNCTIONS: &[(&str, &[&str])] =
            &[$($((stringify!($name), &[$(stringify!($arg)),*])),*),*];
    };
}

libraries! {
    CmapFns, "libcmap.so.4" {
        cmap_initialize_map(*mut u64, u32);
        cmap_finalize(u64);
        cmap_fd_get(u64, *mut c_int);
        cmap_dispatch(u64, u32);
        cmap_set(u64, *const c_char, *const c_void, usize, u32);
        cmap_get(u64, *const c_char, *mut c_void, *mut usize, *mut u32);
        cmap_iter_init(u64, *const c_char, *mut u64);
        cmap_iter_next(u64, u64, *mut c_char, *mut usize, *mut u32);
        cmap_iter_finalize(u64, u64);
        cmap_track_add(u64, *const c_char, i32, Option<CmapNotify>, *mut c_void, *mut u64);
        cmap_track_delete(u64, u64);
    }
    QuorumFns, "libquorum.so.5" {
        quorum_model_initialize(*mut u64, u32, *mut QuorumModelData, *mut u32, *mut c_void);
        quorum_finalize(u64);
        quorum_fd_get(u64, *mut c_int);
        quorum_dispatch(u64, u32);
        quorum_trackstart(u64, u32);
    }
    VoteFns, "libvotequorum.so.8" {
        votequorum_initialize(*mut u64, *mut VoteCallbacks);
        votequorum_finalize(u64);
        votequorum_fd_get(u64, *mut c_int);
        votequorum_dispatch(u64, u32);
        votequorum_getinfo(u64, u32, *mut VoteInfo);
        votequorum_trackstart(u64, u64, u32);
    }
    CfgFns, "libcfg.so.7" {
        corosync_cfg_initialize(*mut u64, *const CfgCallbacks);
        corosync_cfg_finalize(u64);
        corosync_cfg_fd_get(u64, *mut c_int);
        corosync_cfg_local_get(u64, *mut u32);
        corosync_cfg_reload_config(u64);
    }
    CpgFns, "libcpg.so.4" {
        cpg_model_initialize(*mut u64, u32, *mut CpgModelData, *mut c_void);
        cpg_finalize(u64);
        cpg_fd_get(u64, *mut c_int);
        cpg_dispatch(u64, u32);
        cpg_join(u64, *const CpgName);
        cpg_mcast_joined(u64, u32, *const iovec, u32);
        cpg_local_get(u64, *mut u32);
    }
}

#[cfg(test)]
mod tests;
