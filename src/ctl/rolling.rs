//! `restart --all`: one node at a time.

use super::client::Result;
use super::commands::Cli;
use super::output::Out;
use crate::error::Error;
use std::time::Duration;

/// Restarts every node; gives the exit code.
pub(super) fn run(_: &Cli, _: &Out, _: Duration, _: bool, _: bool) -> Result<u8> {
    Err(Error::new("restart", "all nodes", "not built yet").into())
}
