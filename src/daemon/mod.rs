//! The daemon: flags, start and stop in order, signals.

mod flags;
mod keep;
mod locks;
mod reload;
mod serve;
mod start;
mod supervisor;

use crate::error::Error;
use crate::sys::daemon::leave_no_core;
use flags::Asked;
use std::ffi::OsString;
use std::io::Write;

/// Everything that the program `clusmgr` does; gives its exit code.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let flags = match flags::read(args) {
        Ok(Asked::Run(flags)) => flags,
        Ok(Asked::Print(text)) => {
            // A reader that has gone wants no more.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return 0;
        }
        Err(e) => return fail(&e),
    };
    if let Err(e) = leave_no_core() {
        return fail(&e);
    }
    let done = if flags.test {
        start::test(&flags)
    } else {
        start::serve(&flags)
    };
    match done {
        Ok(()) => 0,
        Err(e) => fail(&e),
    }
}

/// The one place that prints an error of the daemon's start.
fn fail(e: &Error) -> u8 {
    let _ = writeln!(std::io::stderr(), "clusmgr: {e}");
    e.of_kind().exit_code()
}
