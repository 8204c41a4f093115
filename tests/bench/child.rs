//! The trivial program that is supervised: it says when it began, and sleeps.

use clusmgr::types::Mono;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// Where the child writes; its presence makes this program the child.
pub const FIFO_VAR: &str = "CLUSMGR_BENCH_FIFO";

/// What a child says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Born {
    pub at: Mono,
    pub pid: i32,
}

pub fn run(born: Mono, fifo: &Path) -> ! {
    let mut out = OpenOptions::new().write(true).open(fifo).unwrap();
    let text = format!("{} {}\n", born.0, std::process::id());
    // Less than PIPE_BUF: in one piece.
    out.write_all(text.as_bytes()).unwrap();
    drop(out);
    loop {
        nix::unistd::pause();
    }
}

/// The other end of the children's FIFO.
pub struct Births(File);

impl Births {
    pub fn at(path: &Path) -> Births {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // For writing too, so that there is no end between two children.
        let file = OpenOptions::new().read(true).write(true).open(path);
        Births(file.unwrap())
    }

    /// The next child; panics if none comes in time.
    pub fn next(&mut self) -> Born {
        let limit = Duration::from_secs(20);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let n = poll(&mut fds, PollTimeout::try_from(limit).unwrap()).unwrap();
        assert!(n > 0, "no child within {limit:?}");
        let mut text = [0; 128];
        let n = self.0.read(&mut text).unwrap();
        let text = std::str::from_utf8(&text[..n]).unwrap();
        assert_eq!(text.lines().count(), 1, "more than one child: {text}");
        let (at, pid) = text.trim().split_once(' ').unwrap();
        Born {
            at: Mono(at.parse().unwrap()),
            pid: pid.parse().unwrap(),
        }
    }
}
