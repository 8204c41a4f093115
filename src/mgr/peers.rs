//! The manager and the other nodes: what `cm-peers` needs of it, and what it shows of them.

use super::Manager;
use super::state::Input;
use crate::error::Result;
use crate::event::Note;
use crate::peer::isolated::Own;
use crate::peer::watch::{Ask, Home, PeerWatch};
use crate::sys::wake::Waker;
use crate::types::ConfigVersion;
use std::sync::Arc;

/// The manager as `cm-peers` sees it.
struct AtHome(Arc<Manager>);

impl Home for AtHome {
    fn own(&self) -> Own {
        let status = self.0.status();
        let silent = status
            .degraded
            .iter()
            .find(|d| d.reason == "not-delivering");
        let free = self.0.with(|m| {
            let view = &m.view;
            view.hold.is_none() && !view.ending && !view.ended && m.changing.is_none()
        });
        let free = free && self.0.claim(&status).is_none();
        Own {
            not_delivering: silent.map(|d| d.since),
            free,
            report: self.0.report(),
        }
    }

    fn publish(&self, note: Note) {
        self.0.publish(note);
    }

    fn restart(&self, why: &str) {
        log::warn!("corosync is restarted: {why}");
        self.0.tell(Input::Isolated, "cm-peers");
    }

    fn asked_round_over(&self) {
        self.0.waker.wake();
    }
}

impl Manager {
    /// Starts `cm-peers`; before the monitor, which waits for its first round before the first start of
    /// corosync.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn watch_peers(self: &Arc<Self>, ask: Box<dyn Ask>) -> Result<()> {
        let data = self.driver_data();
        let waker = Arc::new(Waker::new()?);
        data.watch_remote(&waker);
        let home = Box::new(AtHome(Arc::clone(self)));
        let watch = PeerWatch::start(ask, home, waker, data.nodeid())?;
        // There is one already only where this is called twice: the second ends again.
        self.peer_watch.set(watch).or_else(|second| {
            second.stop();
            Ok(())
        })
    }

    /// The newest configuration that another node, which answers, holds or runs with.
    pub(super) fn version_of_others(&self) -> Option<ConfigVersion> {
        let statuses = self.peer_watch.get()?.statuses();
        let answers = statuses.iter().filter(|s| s.unreachable.is_none());
        answers.filter_map(|s| s.config_version).max()
    }

    /// Ends `cm-peers`, where it was started; after the monitor.
    pub fn end_peers(&self) {
        if let Some(peers) = self.peer_watch.get() {
            peers.stop();
        }
    }

    /// Where there are other nodes, and a key to ask them with: who asks them.
    pub(super) fn can_ask(&self) -> Option<&Arc<PeerWatch>> {
        let view = self.driver_data().remote();
        let others = view.nodes.len() > usize::from(view.local.is_some());
        self.peer_watch
            .get()
            .filter(|_| others && view.psk.is_some())
    }
}
