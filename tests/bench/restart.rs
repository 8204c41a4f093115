//! kill -9 of the child to the first line of the next one's main: clusmgr, runit's runsv and a bare
//! fork and exec, in turns. For runsv `./run` is the program itself, without a shell.

use crate::child::{Births, Born, FIFO_VAR};
use crate::stats::{Row, Samples, remark, table};
use clusmgr::sys::clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const ROUNDS: usize = 40;
/// runsv waits for a second after a run that was shorter than that.
const RUN: Duration = Duration::from_millis(1200);

pub fn run() {
    let dir = Path::new("/tmp/bench-restart");
    fs::create_dir_all(dir).unwrap();
    let mut kept = [clusmgr(dir), runsv(dir), bare(dir)];
    let mut times = [Samples::default(), Samples::default(), Samples::default()];
    for _ in 0..ROUNDS {
        for (one, times) in kept.iter_mut().zip(&mut times) {
            times.push_ms(one.kill_once());
        }
    }
    for one in kept {
        one.end();
    }
    fs::remove_dir_all(dir).unwrap();
    let [ours, theirs, bare] = &times;
    let (a, b) = (ours.median(), theirs.median());
    table(
        "kill -9 of the child to main of the next",
        "ms",
        &[
            Row::judged("clusmgr", ours, "<= runsv, and < 2 ms", a <= b && a < 2.0),
            Row::other("runsv, ./run is the program", theirs),
            Row::other("wait, fork and exec in a loop", bare),
        ],
    );
    remark(&format!("clusmgr / runsv: {:.3} of the median", a / b));
}

/// A supervisor at work, and its present child.
struct Kept {
    by: By,
    births: Births,
    now: Born,
}

enum By {
    Program(Child),
    Loop(Arc<AtomicBool>, thread::JoinHandle<()>),
}

impl Kept {
    fn new(by: By, mut births: Births) -> Kept {
        let now = births.next();
        Kept { by, births, now }
    }

    fn kill_once(&mut self) -> Duration {
        let age = clock::now().since(self.now.at);
        thread::sleep(RUN.saturating_sub(age));
        let killed = clock::now();
        kill(Pid::from_raw(self.now.pid), Signal::SIGKILL).unwrap();
        self.now = self.births.next();
        self.now.at.since(killed)
    }

    fn end(self) {
        match self.by {
            By::Program(mut program) => {
                let pid = Pid::from_raw(i32::try_from(program.id()).unwrap());
                kill(pid, Signal::SIGTERM).unwrap();
                program.wait().unwrap();
            }
            By::Loop(stop, thread) => {
                stop.store(true, Ordering::SeqCst);
                kill(Pid::from_raw(self.now.pid), Signal::SIGKILL).unwrap();
                thread.join().unwrap();
            }
        }
    }
}

/// This very program under another name; its links share the file's cached pages.
fn program(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let first = dir.join("program");
    if !first.exists() {
        fs::copy(std::env::current_exe().unwrap(), &first).unwrap();
    }
    fs::hard_link(first, &path).unwrap();
    path
}

fn clusmgr(dir: &Path) -> Kept {
    let fifo = dir.join("clusmgr.fifo");
    let births = Births::at(&fifo);
    for name in ["corosync.conf", "authkey"] {
        fs::copy(Path::new("/etc/corosync").join(name), dir.join(name)).unwrap();
    }
    let at = |name: &str| dir.join(name);
    let daemon = Command::new("clusmgr")
        .args(["-f", "--stable-after", "0.5"])
        .arg("--corosync-bin")
        .arg(program(dir, "stand-in"))
        .arg("--corosync-conf")
        .arg(at("corosync.conf"))
        .arg("--authkey")
        .arg(at("authkey"))
        .arg("--corosync-pid")
        .arg(at("corosync.pid"))
        .arg("--state-dir")
        .arg(at("state"))
        .arg("--run-dir")
        .arg(at("run"))
        .env(FIFO_VAR, &fifo)
        .stdin(Stdio::null())
        .stderr(fs::File::create(at("clusmgr.err")).unwrap())
        .spawn();
    Kept::new(By::Program(daemon.unwrap()), births)
}

fn runsv(dir: &Path) -> Kept {
    let fifo = dir.join("runsv.fifo");
    let births = Births::at(&fifo);
    let service = dir.join("service");
    fs::create_dir(&service).unwrap();
    program(dir, "service/run");
    let daemon = Command::new("runsv")
        .arg(&service)
        .env(FIFO_VAR, &fifo)
        .stdin(Stdio::null())
        .spawn();
    Kept::new(By::Program(daemon.unwrap()), births)
}

fn bare(dir: &Path) -> Kept {
    let fifo = dir.join("bare.fifo");
    let births = Births::at(&fifo);
    let exe = program(dir, "bare");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            let mut command = Command::new(&exe);
            command.env(FIFO_VAR, &fifo).stdin(Stdio::null());
            command.spawn().unwrap().wait().unwrap();
        }
    });
    Kept::new(By::Loop(stop, thread), births)
}
