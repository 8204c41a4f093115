//! Fork and exec: all is prepared before the fork, and what fails after it comes back by name.
#![allow(unsafe_code)]

use super::pidfd::PidFd;
use super::ready;
use crate::types::Pid;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::time::TimeSpec;
use parking_lot::Mutex;
use std::ffi::{CStr, CString};
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// Where between fork and exec it failed. The child leaves the number for the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Stage {
    /// Something that is prepared in the parent: `/dev/null`, a string with a NUL.
    Prepare = 1,
    /// `fork(2)`.
    Fork = 2,
    /// `setsid(2)`.
    Session = 3,
    /// Resetting signal dispositions and mask.
    Signals = 4,
    /// Standard descriptors.
    Descriptors = 5,
    /// `chdir(2)` to `/`.
    Directory = 6,
    /// `execve(2)`.
    Exec = 7,
    /// The child did not get as far as exec before the deadline.
    Deadline = 8,
}

impl Stage {
    fn from_number(n: i32) -> Stage {
        match n {
            2 => Stage::Fork,
            3 => Stage::Session,
            4 => Stage::Signals,
            5 => Stage::Descriptors,
            6 => Stage::Directory,
            7 => Stage::Exec,
            8 => Stage::Deadline,
            _ => Stage::Prepare,
        }
    }

    /// Its name in errors and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Prepare => "prepare",
            Stage::Fork => "fork",
            Stage::Session => "setsid",
            Stage::Signals => "signals",
            Stage::Descriptors => "descriptors",
            Stage::Directory => "chdir",
            Stage::Exec => "exec",
            Stage::Deadline => "deadline",
        }
    }
}

/// Why there is no new process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpawnError {
    /// Where it failed.
    pub stage: Stage,
    /// Why.
    pub errno: Errno,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (errno {})",
            self.stage.as_str(),
            self.errno.desc(),
            self.errno as i32
        )
    }
}

/// A program to run, and its whole environment.
#[derive(Debug)]
pub struct Program<'a> {
    /// The file to execute; not looked up in `PATH`.
    pub exe: &'a Path,
    /// `argv`, the program's name included.
    pub argv: &'a [&'a str],
    /// `NAME=VALUE`, all there is.
    pub env: Vec<CString>,
    /// Standard output and error go here; standard input is `/dev/null`.
    pub output: &'a File,
    /// Whether it is killed when the thread that spawns it ends, and so with us, however we end. A
    /// program that sets other ids at exec loses this.
    pub ends_with_us: bool,
}

/// A new process, executed.
#[derive(Debug)]
pub struct Child {
    /// Its number.
    pub pid: Pid,
    /// Its descriptor.
    pub pidfd: PidFd,
}

/// How long the way from fork to exec may take. A binary on a dead network file system is the case.
const EXEC_DEADLINE: Duration = Duration::from_secs(5);

/// How long a failed child may take to end after SIGKILL.
const REAP_DEADLINE: Duration = Duration::from_secs(1);

/// Children that took longer. They keep their numbers until they are reaped, at a later spawn.
static LEFT: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The stack of a child until exec, in bytes; it needs a few hundred.
const STACK: usize = 64 << 10;

/// Our own environment for a child of ours: without what our own supervisor left for us, and with
/// `extra` in place of what had those names.
#[must_use]
pub fn environment(extra: &[(&str, &Path)]) -> Vec<CString> {
    let ours = [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
    ];
    let mut env: Vec<CString> = Vec::new();
    for (name, value) in std::env::vars_os() {
        let replaced = |n: &&str| name.as_bytes() == n.as_bytes();
        if ours.iter().any(replaced) || extra.iter().any(|(n, _)| replaced(n)) {
            continue;
        }
        push_var(&mut env, name.as_bytes(), value.as_bytes());
    }
    for (name, value) in extra {
        push_var(&mut env, name.as_bytes(), value.as_os_str().as_bytes());
    }
    env
}

fn push_var(env: &mut Vec<CString>, name: &[u8], value: &[u8]) {
    let mut var = name.to_vec();
    var.push(b'=');
    var.extend_from_slice(value);
    // The kernel gives no variable with a NUL inside, and paths have none.
    if let Ok(var) = CString::new(var) {
        env.push(var);
    }
}

/// Forks and execs. Returns when the new program runs, or says where it failed; a failed child is
/// reaped, at once or if it does not end in time by a later call. The child has its own session, no signal blocked or ignored, and no descriptor of ours.
///
/// The fork is a vfork: the child borrows our memory until exec, on a stack of its own, while this
/// thread stands still. Nothing is copied, which is most of the time that a fork takes.
///
/// # Errors
/// Stage and errno.
pub fn spawn(program: &Program<'_>) -> Result<Child, SpawnError> {
    spawn_within(program, EXEC_DEADLINE)
}

fn spawn_within(program: &Program<'_>, deadline: Duration) -> Result<Child, SpawnError> {
    let fail = |stage, errno| SpawnError { stage, errno };
    let prep = |_| fail(Stage::Prepare, Errno::EINVAL);
    let exe = CString::new(program.exe.as_os_str().as_bytes()).map_err(prep)?;
    let args: Vec<CString> = program
        .argv
        .iter()
        .map(|a| CString::new(*a))
        .collect::<Result<_, _>>()
        .map_err(prep)?;
    let argv = pointers(&args);
    let envp = pointers(&program.env);
    let null = File::options()
        .read(true)
        .open("/dev/null")
        .map_err(|e| fail(Stage::Prepare, errno_of(&e)))?;
    let prepared = Prepared {
        exe: &exe,
        argv: &argv,
        envp: &envp,
        stdin: null.as_raw_fd(),
        output: program.output.as_raw_fd(),
        deadline: TimeSpec::from(deadline),
        parent: program.ends_with_us.then(std::process::id),
        failed: AtomicI32::new(0),
        errno: AtomicI32::new(0),
    };
    reap_left();
    let begin = Instant::now();
    let pid = vfork(&prepared).map_err(|e| fail(Stage::Fork, e))?;
    let late = begin.elapsed() >= deadline;
    // An unreaped child keeps its number, so this descriptor is surely its own.
    let failed = match (prepared.outcome(), PidFd::open(pid)) {
        (Err(e), _) => e,
        (Ok(()), Err(errno)) => fail(Stage::Prepare, errno),
        // It ends without a word, and not before its time was up.
        (Ok(()), Ok(pidfd)) if late && is_ending(&pidfd) => fail(Stage::Deadline, Errno::ETIMEDOUT),
        (Ok(()), Ok(pidfd)) => return Ok(Child { pid, pidfd }),
    };
    // SAFETY: the number is our own unreaped child's; nobody else can have it.
    unsafe { libc::kill(pid.0, libc::SIGKILL) };
    if !reap_within(pid, REAP_DEADLINE) {
        log::error!(
            "pid {pid} was killed before it had executed {}, and has not ended within {REAP_DEADLINE:?}; \
             it is reaped when it ends",
            program.exe.display()
        );
        LEFT.lock().push(pid);
    }
    Err(failed)
}

/// Reaps a child of ours that has ended; false while it has not.
fn reap_one(pid: Pid) -> bool {
    // SAFETY: waits for exactly this child, no status wanted; does not block.
    let r = unsafe { libc::waitpid(pid.0, std::ptr::null_mut(), libc::WNOHANG) };
    r != 0 && Errno::result(r) != Err(Errno::EINTR)
}

/// Reaps a child that was killed; false if it has not ended in time, as in a call to a dead network
/// file system. By polling: there may be no descriptor to be had.
fn reap_within(pid: Pid, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut step = Duration::from_micros(200);
    while !reap_one(pid) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        ready::wait_any(&[], step.min(left));
        step = (step * 2).min(Duration::from_millis(50));
    }
    true
}

/// Reaps those who were left behind and have ended since.
fn reap_left() {
    LEFT.lock().retain(|pid| !reap_one(*pid));
}

/// Whether a child that was late is at its end, and not at work in its new program. The kernel lets the
/// parent go on a moment before a killed child can be seen to have ended.
fn is_ending(pidfd: &PidFd) -> bool {
    ready::wait_any(&[pidfd.as_fd()], Duration::from_secs(1));
    pidfd.has_ended()
}

/// Makes the child, and returns when it has executed or ended.
fn vfork(prepared: &Prepared<'_>) -> nix::Result<Pid> {
    // No handler of ours may run in the child while it borrows our memory: all signals are blocked
    // until it has set them to their defaults.
    let mut before = SigSet::empty();
    pthread_sigmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )?;
    // Only reserved: the few frames of the child touch the end of it. An u128 for its alignment.
    let mut stack: Vec<u128> = Vec::with_capacity(STACK / size_of::<u128>());
    let arg: *const Prepared<'_> = prepared;
    // SAFETY: the stack is as long as its capacity, grows down from its aligned end, and lives until
    // the child has left it, as does `prepared`: with CLONE_VFORK this returns no earlier. The child
    // makes async-signal-safe calls only (see `run_child`), writes to nothing of ours but the atomics
    // in `prepared` and errno, and ends in execve or _exit.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity());
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        libc::clone(run_child, top.cast(), flags, arg.cast_mut().cast())
    };
    let pid = Errno::result(pid).map(Pid);
    // Cannot fail: it sets what was set.
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    pid
}

struct Prepared<'a> {
    exe: &'a CStr,
    argv: &'a [*const libc::c_char],
    envp: &'a [*const libc::c_char],
    stdin: RawFd,
    output: RawFd,
    deadline: TimeSpec,
    /// Whose end is the child's end too, if anybody's.
    parent: Option<u32>,
    /// The stage where the child failed; 0 if it did not. The child writes here.
    failed: AtomicI32,
    errno: AtomicI32,
}

impl Prepared<'_> {
    fn outcome(&self) -> Result<(), SpawnError> {
        match self.failed.load(Ordering::SeqCst) {
            0 => Ok(()),
            stage => Err(SpawnError {
                stage: Stage::from_number(stage),
                errno: Errno::from_raw(self.errno.load(Ordering::SeqCst)),
            }),
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}

fn errno_of(e: &std::io::Error) -> Errno {
    Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))
}

/// Everything between fork and exec. It allocates nothing, takes no lock and logs nothing: another
/// thread may hold any lock, and the memory is everybody's.
extern "C" fn run_child(arg: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `vfork` gives us this, and it lives until we have executed or ended.
    let p = unsafe { &*arg.cast::<Prepared<'_>>() };
    let stage = prepare_child(p);
    // SAFETY: errno is that of the thread that stands still meanwhile.
    let errno = unsafe { *libc::__errno_location() };
    p.errno.store(errno, Ordering::SeqCst);
    p.failed.store(stage as i32, Ordering::SeqCst);
    // SAFETY: ends without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

/// Has the kernel end us if we have not executed by the deadline: the parent stands still. Timers
/// like this one, unlike those of alarm(2), do not outlive exec.
///
/// # Safety
/// Only in the child.
unsafe fn arm_deadline(deadline: &TimeSpec) -> bool {
    // SAFETY: zeroed sigevent and itimerspec are valid; the kernel writes one int to `timer`.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGKILL;
        let mut timer: libc::c_int = 0;
        let mut when: libc::itimerspec = std::mem::zeroed();
        when.it_value = *deadline.as_ref();
        let clock = libc::CLOCK_MONOTONIC;
        libc::syscall(
            libc::SYS_timer_create,
            clock,
            &raw const event,
            &raw mut timer,
        ) == 0
            && libc::syscall(
                libc::SYS_timer_settime,
                timer,
                0,
                &raw const when,
                std::ptr::null::<libc::itimerspec>(),
            ) == 0
    }
}

/// Returns only if it fails, with the stage; errno says why.
fn prepare_child(p: &Prepared<'_>) -> Stage {
    // SAFETY: we are the child. Async-signal-safe calls only; every pointer is to memory that was prepared before the
    // fork and lives until exec; eight zeroed words are more than the kernel's sigaction
    // and mean SIG_DFL; a zeroed sigset is valid.
    unsafe {
        if !arm_deadline(&p.deadline) {
            return Stage::Deadline;
        }
        if libc::setsid() == -1 {
            return Stage::Session;
        }
        if let Some(parent) = p.parent {
            let kill: libc::c_ulong = 9;
            if libc::prctl(libc::PR_SET_PDEATHSIG, kill) == -1 {
                return Stage::Signals;
            }
            // Its end may have come before that.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                libc::_exit(127);
            }
        }
        // By system call, since libc keeps 32 and 33 to itself while a caller may have ignored them.
        let default = [0u64; 8];
        for signal in 1..=64 {
            // Fails for KILL and STOP, where there is nothing to reset.
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                std::ptr::null::<u64>(),
                8,
            );
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) == -1 {
            return Stage::Signals;
        }
        for (from, to) in [(p.stdin, 0), (p.output, 1), (p.output, 2)] {
            if libc::dup2(from, to) == -1 {
                return Stage::Descriptors;
            }
        }
        // Whatever else is open closes itself at exec.
        if libc::syscall(
            libc::SYS_close_range,
            3u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        ) == -1
            && *libc::__errno_location() != libc::ENOSYS
            && *libc::__errno_location() != libc::EINVAL
        {
            return Stage::Descriptors;
        }
        if libc::chdir(c"/".as_ptr()) == -1 {
            return Stage::Directory;
        }
        libc::execve(p.exe.as_ptr(), p.argv.as_ptr(), p.envp.as_ptr());
        Stage::Exec
    }
}

#[cfg(test)]
mod tests;
