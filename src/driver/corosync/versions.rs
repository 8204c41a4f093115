//! What may follow what: `config_version`, and changes on one node of several.

use super::CorosyncSys;
use super::model::Config;
use crate::driver::change::{Request, What};
use crate::error::{Error, Result};
use crate::types::ConfigVersion;

impl CorosyncSys {
    /// An applied version is above all that was, and not below what another node has: corosync ends when
    /// it joins such a one. One that is taken in is not below what runs or is
    /// held, since corosync would not join peers that have that; the same one again does join them, and
    /// is only warned of.
    pub(super) fn check_versions(
        &self,
        what: &What,
        new: ConfigVersion,
        old: Option<ConfigVersion>,
        runs: Option<ConfigVersion>,
        others: Option<ConfigVersion>,
    ) -> Result<Option<String>> {
        let held = self.corosync_config_mtx.lock().version;
        let floor = [old, held, runs].into_iter().flatten().max();
        let floor = floor.unwrap_or_default();
        let next = ConfigVersion(floor.0.saturating_add(1)).max(others.unwrap_or_default());
        let write = format!("write 'config_version: {next}' in its totem section");
        let refused = |which: &str, cause: String| {
            let cause = format!("its config_version {new} {cause}");
            Err(Error::new(what.as_str(), which, cause).hint(&write))
        };
        let adopted = "the live configuration";
        match what {
            What::Apply(_) if old.or(held).or(runs).is_some() && new <= floor => {
                refused("the new configuration", format!("is not above {floor}"))
            }
            What::Apply(_) if others.is_some_and(|others| new < others) => {
                let others = others.unwrap_or_default();
                let cause = format!("is below {others}, which another node has");
                refused("the new configuration", cause)
            }
            What::Adopt if runs.is_some_and(|runs| new < runs) => {
                let runs = runs.unwrap_or_default();
                let cause = format!("is below {runs}, which corosync runs with");
                refused(adopted, cause)
            }
            What::Adopt if held.is_some_and(|held| new < held) => {
                let held = held.unwrap_or_default();
                let cause = format!("is below {held}, which clusmgr holds and peers may run with");
                refused(adopted, cause)
            }
            What::Adopt if held == Some(new) => Ok(Some(format!(
                "its config_version {new} is that of another text, which peers may have: nothing tells the \
                 two apart; {write} when all nodes have it"
            ))),
            _ => Ok(None),
        }
    }

    pub(super) fn check_nodes(&self, request: &Request, config: &Config) -> Result<()> {
        let nodes = config.nodes().len();
        let alone = matches!(request.what, What::Apply(_) | What::Rollback(_)) && nodes > 1;
        if !alone || request.this_node_only {
            return Ok(());
        }
        let cause = format!(
            "it has {nodes} nodes and would change on this one only; its peers could not start any more"
        );
        Err(
            Error::new(request.what.as_str(), "the configuration", cause)
                .hint("do the same on every node, each with --this-node-only"),
        )
    }
}
