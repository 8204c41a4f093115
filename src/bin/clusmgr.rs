//! One call: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(clusmgr::daemon::run(std::env::args_os().skip(1)))
}
