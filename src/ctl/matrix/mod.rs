//! `link matrix`: who hears whom on every link.

use super::client::Result;
use super::commands::Cli;
use super::output::Out;
use crate::error::Error;

/// Prints the matrix; gives the exit code.
pub(super) fn run(_: &Cli, _: &Out, _: bool) -> Result<u8> {
    Err(Error::new("show", "the matrix", "not built yet").into())
}
