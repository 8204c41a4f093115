//! Start, in order: what is begun first ends last.

use super::flags::Flags;
use super::keep::{Keep, SharedLocks};
use super::locks::Locks;
use super::reload::Reload;
use super::serve::Daemon;
use super::supervisor;
use crate::driver::{DriverOps, Params, Watcher, table};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::event::{Hub, Kind, Note, Severity};
use crate::journal::Journal;
use crate::listen::Listen;
use crate::log as cm_log;
use crate::mgr::monitor::Monitor;
use crate::mgr::state::Hold;
use crate::mgr::{self, Kept, Manager, publish};
use crate::peer::{Peers, Rounds};
use crate::remote::RemoteSource;
use crate::service::local::LocalService;
use crate::service::remote::{self, RemoteService};
use crate::sys::daemon::{self, ReadyPipe};
use crate::sys::procfs::Proc;
use crate::sys::signal::{self, Signals};
use crate::sys::sock;
use crate::sys::wake::Waker;
use crate::sys::{file, host, pidfile};
use log::LevelFilter;
use nix::errno::Errno;
use parking_lot::Mutex;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Events that are kept in memory for those who follow.
const HUB: usize = 256;

/// corosync's libraries take 1 MiB of the stack to dispatch.
const WATCH_STACK: usize = 2 << 20;

/// How long the monitor's first look around may keep us from saying that we serve.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// `--test`: checks everything, changes nothing, says all that is wrong.
///
/// # Errors
/// The last of what is wrong; its kind is the exit code's.
pub(super) fn test(flags: &Flags) -> Result<()> {
    let op = table::find(&flags.driver)?;
    // Without it the rest would only tell what may not be read.
    privileged()?;
    let mut wrong: Vec<Error> = Vec::new();
    wrong.extend(sock::group(&flags.group).err());
    wrong.extend(writable(&flags.run_dir, "--run-dir").err());
    wrong.extend(writable(&flags.state_dir, "--state-dir").err());
    wrong.extend(Kept::load(&flags.state_dir).err());
    let waker = Arc::new(Waker::new()?);
    wrong.extend((op.test)(&params(flags, &waker)));
    let last = wrong.pop();
    for e in &wrong {
        // To the same place as the last one, which our caller prints.
        let _ = writeln!(std::io::stderr(), "clusmgr: {e}");
    }
    match last {
        Some(e) => Err(e),
        None => {
            let mut out = std::io::stdout();
            if let Some(pid) = pidfile::owner(&flags.pid_file) {
                let _ = writeln!(out, "clusmgr: one runs already, with pid {pid}");
            }
            let _ = writeln!(out, "clusmgr: all is well");
            Ok(())
        }
    }
}

fn privileged() -> Result<()> {
    if host::own_uid() == 0 {
        return Ok(());
    }
    Err(Error::new(
        "start",
        "clusmgr",
        "it owns corosync, which runs as root only",
    )
    .hint("run it as root")
    .kind(ErrorKind::Denied))
}

fn params(flags: &Flags, waker: &Arc<Waker>) -> Params {
    Params {
        node_name: flags.node.clone(),
        paths: flags.corosync.clone(),
        state_dir: flags.state_dir.clone(),
        run_dir: flags.run_dir.clone(),
        hang_timeout: flags.hang_timeout,
        poll_interval: flags.poll_interval,
        waker: Arc::clone(waker),
    }
}

/// Runs the daemon to its end.
///
/// # Errors
/// What kept it from serving.
pub(super) fn serve(flags: &Flags) -> Result<()> {
    let op = table::find(&flags.driver)?;
    privileged()?;
    let group = sock::group(&flags.group)?;
    // Before the first fork.
    signal::reset()?;
    writable(&flags.state_dir, "--state-dir")?;
    let made = make_dir(&flags.run_dir, 0o755, "--run-dir")?;
    // Before the first thread, and before anything is opened.
    let pipe = if flags.foreground {
        None
    } else {
        Some(daemon::detach()?)
    };
    match begin(flags, op, group) {
        Ok(daemon) => {
            if let Some(pipe) = pipe {
                pipe.ready();
            }
            daemon.run_to_end();
            Ok(())
        }
        Err(e) => {
            file::unmake_dirs(&made);
            if let Some(pipe) = pipe {
                tell_parent(pipe, &e);
            }
            Err(e)
        }
    }
}

fn tell_parent(pipe: ReadyPipe, e: &Error) {
    pipe.failed(e.of_kind().exit_code(), &e.to_string());
}

/// A directory of ours, writable; made if it is not there. Gives what was made.
fn make_dir(path: &Path, mode: u32, flag: &str) -> Result<Vec<PathBuf>> {
    writable(path, flag)?;
    file::make_dir(path, mode)
}

/// Whether a directory, or what of its path is there, is one and can be written to.
fn writable(path: &Path, flag: &str) -> Result<()> {
    let fail = |errno: Errno| {
        let e = std::io::Error::from(errno);
        let error = Error::io("write to", path.display(), &e);
        match errno {
            Errno::EROFS => error,
            Errno::ENAMETOOLONG => error.hint(format_args!("name a shorter one with {flag}")),
            Errno::ELOOP => error.hint(format_args!(
                "remove the symbolic link there, or name another with {flag}"
            )),
            _ => error.hint(format_args!(
                "make it a directory of root's, or name another with {flag}"
            )),
        }
    };
    for at in path.ancestors() {
        match file::writable(at) {
            Ok(()) if at.is_dir() => return Ok(()),
            Ok(()) => return Err(fail(Errno::ENOTDIR)),
            Err(Errno::ENOENT) => {}
            Err(e) => return Err(fail(e)),
        }
    }
    Ok(())
}

fn begin(flags: &Flags, op: &'static DriverOps, group: u32) -> Result<Daemon> {
    let signals = Signals::block()?;
    let mut locks = Locks::take(flags)?;
    let made = make_dir(&flags.state_dir, 0o700, "--state-dir")?;
    // Before anything is written there: a second clusmgr leaves no trace.
    if let Err(e) = locks.take_state(&flags.state_dir) {
        file::unmake_dirs(&made);
        return Err(e);
    }
    file::clean_temps(&flags.state_dir)?;
    file::clean_temps(&flags.run_dir)?;
    let locks = Arc::new(Mutex::new(Some(locks)));
    let log = cm_log::start(log_target(flags)?, log_level(flags))?;
    match begin_threads(flags, op, group, Arc::clone(&locks)) {
        Ok(Threads {
            manager,
            events,
            watch,
        }) => Ok(Daemon {
            manager,
            signals,
            events,
            watch,
            log,
            stop_timeout: flags.policy.stop_timeout,
            poll_interval: flags.poll_interval,
            socket: flags.socket.clone(),
            locks,
            reload: Reload::new(),
        }),
        Err(e) => {
            if !flags.foreground {
                log::error!("{e}");
            }
            log.shutdown();
            let locks = locks.lock().take();
            drop(locks);
            Err(e)
        }
    }
}

fn log_target(flags: &Flags) -> Result<cm_log::Target> {
    if flags.foreground {
        return Ok(cm_log::Target::Stderr);
    }
    Ok(cm_log::Target::Syslog {
        facility: cm_log::facility(&flags.facility)?,
        paths: cm_log::sockets(),
    })
}

fn log_level(flags: &Flags) -> LevelFilter {
    if flags.debug {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    }
}

/// What `begin_threads` began.
struct Threads {
    manager: Arc<Manager>,
    events: JoinHandle<()>,
    watch: Option<JoinHandle<()>>,
}

fn begin_threads(
    flags: &Flags,
    op: &'static DriverOps,
    group: u32,
    locks: SharedLocks,
) -> Result<Threads> {
    let mut kept = Kept::load(&flags.state_dir)?;
    let boot = Proc::default().boot_id()?;
    let (journal, found) = Journal::open(&flags.state_dir, &boot)?;
    if found.torn > 0 || found.damaged > 0 {
        let (torn, damaged) = (found.torn, found.damaged);
        log::warn!(
            "journal: cut off a torn record of {torn} bytes; {damaged} damaged lines are skipped"
        );
    }
    let waker = Arc::new(Waker::new()?);
    let driver = (op.init)(params(flags, &waker))?;
    let hub = Arc::new(Hub::new(HUB, journal.last_seq()));
    let manager = Arc::new(Manager::new(
        op,
        Arc::clone(&driver.data),
        flags.node.clone(),
        Arc::clone(&waker),
        Arc::clone(&hub),
        journal.reader(),
    ));
    mgr::set_global(Arc::clone(&manager))?;
    let listen = flags.listen.clone();
    let source: Arc<dyn RemoteSource> = Arc::new(Arc::clone(&driver.data));
    let peers = Peers::new(
        Arc::clone(&source),
        flags.node.clone(),
        remote::port(&listen),
    );
    let peers = Arc::new(peers);
    manager.set_peers(Arc::clone(&peers));
    let listener = sock::bind_local(&flags.socket, Some(group))?;
    let events = publish::start(Arc::clone(&driver.data), journal, hub, tell_supervisor)?;
    let text = format!(
        "clusmgr {} on node {}",
        env!("CARGO_PKG_VERSION"),
        flags.node
    );
    driver
        .data
        .evt_public_queue()
        .push(Note::new(Kind::DaemonStarted, Severity::Notice, text));
    let hold = kept.hold_in(&boot);
    if kept.hold && hold.is_none() {
        kept = forget_hold(kept, &flags.state_dir, &boot);
        let text = "the hold has ended with the boot it was made in";
        driver
            .data
            .evt_public_queue()
            .push(Note::new(Kind::HoldEnded, Severity::Notice, text));
    }
    manager.expect_unfinished();
    let local = LocalService::start(listener, Arc::clone(&manager) as Arc<_>)?;
    let mut keep = Keep {
        run_dir: flags.run_dir.clone(),
        socket: flags.socket.clone(),
        group,
        local: local.renewer(),
        locks,
        failed: None,
    };
    manager.with(|m| m.cl_svc_hdl = Some(Box::new(local)));
    if listen != Listen::Off {
        let remote = RemoteService::start(listen, source, Arc::clone(&manager) as Arc<_>)?;
        manager.with(|m| m.cl_svc_hdl_remote = Some(Box::new(remote)));
    }
    manager.watch_peers(Box::new(Rounds::new(peers)))?;
    let watch = driver.watcher.map(begin_watch).transpose()?;
    let monitor = Monitor {
        manager: Arc::clone(&manager),
        service: driver.service,
        data: driver.data,
        waker,
        policy: flags.policy.clone(),
        interval: flags.poll_interval,
        state_dir: flags.state_dir.clone(),
        kept,
        hold: if flags.standalone {
            Some(Hold::Kept)
        } else {
            hold
        },
        boot,
        keep: Box::new(move || keep.look()),
    };
    let handle = monitor.start()?;
    manager.with(|m| m.cl_hdl = Some(handle));
    // So that the first client is told something true; but corosync must not keep us from serving.
    let _ = manager.wait_begun(Instant::now() + FIRST_LOOK);
    finish_change(&manager)?;
    Ok(Threads {
        manager,
        events,
        watch,
    })
}

fn begin_watch(watcher: Box<dyn Watcher>) -> Result<JoinHandle<()>> {
    let thread = Builder::new()
        .name("cm-watch".into())
        .stack_size(WATCH_STACK);
    thread
        .spawn(move || watcher.run())
        .map_err(|e| Error::io("start", "thread cm-watch", &e))
}

/// A change that the last clusmgr left in the middle was taken back; what runs is brought in line.
fn finish_change(manager: &Arc<Manager>) -> Result<()> {
    let manager = Arc::clone(manager);
    let thread = Builder::new()
        .name("cm-change".into())
        .stack_size(512 << 10);
    let spawned = thread.spawn(move || manager.finish_unfinished());
    spawned
        .map(drop)
        .map_err(|e| Error::io("start", "thread cm-change", &e))
}

/// A hold that has ended is told once; where it cannot be forgotten on disk it is told again.
fn forget_hold(kept: Kept, state_dir: &Path, boot: &str) -> Kept {
    let kept = kept.with_hold(None, boot);
    if let Err(e) = kept.save(state_dir) {
        log::warn!("{e}");
    }
    kept
}

/// The supervisor's status line follows the events that change what the node is.
fn tell_supervisor(note: &Note) {
    let kind = note.kind.as_str();
    if kind.starts_with("service.") || kind.starts_with("mode.") {
        supervisor::status(&note.text);
    }
}
