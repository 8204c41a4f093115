//! One call: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    clusmgr::ctl::main(std::env::args_os())
}
