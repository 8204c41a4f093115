//! The services: how clients reach the manager. They know the protocol, and nothing of drivers.

mod conn;
pub mod dispatch;
mod follow;
mod forward;
mod line;
pub mod local;
mod page;
pub mod remote;
mod table;
#[cfg(test)]
mod tests;
mod threads;

pub use dispatch::{Caller, dispatch};
pub use local::LocalService;
pub use remote::RemoteService;

pub use crate::mgr::Command;
pub use crate::mgr::state::Hold;

use crate::driver::change::Request;
use crate::error::Result;
use crate::event::Hub;
use crate::mgr;
use crate::peer::Peers;
use crate::wire::{
    ChangeReport, CheckReport, DiffReport, EventsPage, HistoryPage, PeerReport, Status,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// All that a service needs of the manager. Called from many threads at once, none of which holds
/// a lock.
pub trait Manager: Send + Sync {
    /// The state of this node; does not block.
    fn status(&self) -> Status;

    /// What the other nodes get of it; does not block.
    fn report(&self) -> PeerReport {
        self.status().report()
    }

    /// Takes a command and waits at most `wait` for what comes of it; with no time at all it returns
    /// when the command is taken. `caller` is for the log and the events.
    ///
    /// # Errors
    /// The command was refused or failed, or did not succeed in time
    /// ([`crate::error::Kind::TimedOut`]).
    fn command(&self, command: Command, caller: &Caller, wait: Duration) -> Result<Status>;

    /// Events with a greater number than `since`, at most `limit`, from the journal and from memory.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn events_since(&self, since: u64, limit: usize) -> Result<EventsPage>;

    /// Where new events appear.
    fn hub(&self) -> Arc<Hub>;

    /// `{"text":…,"source":…}`, secrets replaced.
    ///
    /// # Errors
    /// There is no configuration ([`crate::error::Kind::NotConfigured`]).
    fn config_show(&self) -> Result<Value>;

    /// Checks the live corosync.conf.
    ///
    /// # Errors
    /// It cannot be read; findings are no error.
    fn config_check(&self) -> Result<CheckReport>;

    /// What a text, or the live file, would change.
    ///
    /// # Errors
    /// It cannot be read or parsed.
    fn config_diff(&self, text: Option<&[u8]>) -> Result<DiffReport>;

    /// Carries a change of the configuration out, or says what it would do.
    ///
    /// # Errors
    /// What forbids it, or why it was undone.
    fn config_change(&self, request: &Request, dry_run: bool) -> Result<ChangeReport>;

    /// The last changes.
    ///
    /// # Errors
    /// They cannot be read.
    fn config_history(&self) -> Result<HistoryPage>;

    /// `{"fingerprint":…}`.
    ///
    /// # Errors
    /// There is no key.
    fn key_fingerprint(&self) -> Result<Value>;

    /// The way to the other nodes; none before there is one.
    fn peers(&self) -> Option<Arc<Peers>> {
        None
    }
}

impl Manager for mgr::Manager {
    fn status(&self) -> Status {
        mgr::Manager::status(self)
    }

    fn report(&self) -> PeerReport {
        mgr::Manager::report(self)
    }

    fn command(&self, command: Command, caller: &Caller, wait: Duration) -> Result<Status> {
        let by = caller.to_string();
        match caller {
            Caller::Local { .. } => mgr::Manager::command(self, command, &by, wait)?,
            Caller::Peer { node, address } => {
                self.command_of_peer(command, &by, wait, (node, *address))?;
            }
        }
        Ok(mgr::Manager::status(self))
    }

    fn events_since(&self, since: u64, limit: usize) -> Result<EventsPage> {
        let hub = mgr::Manager::hub(self);
        Ok(page::read(self.journal(), &hub, since, limit))
    }

    fn hub(&self) -> Arc<Hub> {
        mgr::Manager::hub(self)
    }

    fn config_show(&self) -> Result<Value> {
        let (text, source) = self.driver_data().config_show()?;
        Ok(json!({"text": text, "source": source}))
    }

    fn config_check(&self) -> Result<CheckReport> {
        self.driver_data().config_check()
    }

    fn config_diff(&self, text: Option<&[u8]>) -> Result<DiffReport> {
        self.driver_data().config_diff(text)
    }

    fn config_change(&self, request: &Request, dry_run: bool) -> Result<ChangeReport> {
        self.change(request, dry_run)
    }

    fn config_history(&self) -> Result<HistoryPage> {
        self.driver_data().config_history()
    }

    fn key_fingerprint(&self) -> Result<Value> {
        Ok(json!({"fingerprint": self.driver_data().key_fingerprint()?}))
    }

    fn peers(&self) -> Option<Arc<Peers>> {
        mgr::Manager::peers(self)
    }
}

impl mgr::ServiceHandle for LocalService {
    fn stop(self: Box<Self>) {
        let left = LocalService::stop(*self);
        if left > 0 {
            log::warn!("{left} clients of the local service did not end in time");
        }
    }
}
