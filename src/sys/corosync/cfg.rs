//! libcfg: the configuration is read anew, and which node this is.
#![allow(unsafe_code)]

use super::Libraries;
use super::error::{CsResult, check};
use super::handle::Handle;
use crate::types::NodeId;
use std::sync::Arc;

/// A connection.
#[derive(Debug)]
pub struct Cfg {
    handle: Handle,
}

impl Cfg {
    /// Connects.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`](super::CsError::LIBRARY) if corosync does not run,
    /// [`CsError::TRY_AGAIN`](super::CsError::TRY_AGAIN) while it starts.
    pub fn open(libraries: &Arc<Libraries>) -> CsResult<Cfg> {
        let fns = &libraries.cfg;
        // SAFETY: a place for the handle, and no callbacks.
        let initialize =
            |id: &mut u64| unsafe { (fns.corosync_cfg_initialize)(id, std::ptr::null()) };
        let handle = Handle::open(
            libraries,
            initialize,
            fns.corosync_cfg_fd_get,
            fns.corosync_cfg_finalize,
        )?;
        Ok(Cfg { handle })
    }

    /// Has every node of the ring read its corosync.conf anew; returns when this one has, or has
    /// refused.
    ///
    /// # Errors
    /// The library's. What was wrong with the file is in corosync's log only.
    pub fn reload(&self) -> CsResult<()> {
        // SAFETY: a number.
        check(unsafe { (self.handle.libraries.cfg.corosync_cfg_reload_config)(self.handle.id) })
    }

    /// This node.
    ///
    /// # Errors
    /// The library's.
    pub fn local_nodeid(&self) -> CsResult<NodeId> {
        let mut id = 0;
        // SAFETY: a number, and a place for one.
        check(unsafe {
            (self.handle.libraries.cfg.corosync_cfg_local_get)(self.handle.id, &raw mut id)
        })?;
        Ok(NodeId(id))
    }
}
