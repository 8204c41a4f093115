//! The daemon's command line.

use crate::driver::table::DRIVERS;
use crate::error::{Error, Kind, Result};
use crate::listen::{Listen, PORT};
use crate::paths::{self, CorosyncPaths};
use crate::policy::Policy;
use crate::sys::{host, sock};
use getopts::{Matches, Options};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// Run, or with `test` check everything and exit.
    Run(Box<Flags>),
    /// Print this and exit 0.
    Print(String),
}

/// All flags, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Flags {
    /// `--foreground`
    pub foreground: bool,
    /// `--driver`
    pub driver: String,
    /// `--node`
    pub node: String,
    /// `--poll-interval`
    pub poll_interval: Duration,
    /// `--layout` and the paths that were given one by one.
    pub corosync: CorosyncPaths,
    /// `--state-dir`
    pub state_dir: PathBuf,
    /// `--run-dir`
    pub run_dir: PathBuf,
    /// `--pid-file`
    pub pid_file: PathBuf,
    /// `--socket`
    pub socket: PathBuf,
    /// `--group`
    pub group: String,
    /// `--listen`
    pub listen: Listen,
    /// `--standalone`
    pub standalone: bool,
    /// The restart policy.
    pub policy: Policy,
    /// `--hang-timeout`; none for off.
    pub hang_timeout: Option<Duration>,
    /// `--facility`
    pub facility: String,
    /// `--debug`
    pub debug: bool,
    /// `--test`
    pub test: bool,
}

fn options() -> Options {
    let mut o = Options::new();
    o.optflag(
        "f",
        "foreground",
        "stay in the foreground and log to stderr; otherwise detach and log to syslog",
    );
    o.optopt("D", "driver", "cluster manager [corosync]", "NAME");
    o.optopt(
        "n",
        "node",
        "which node of the configuration this is [the host name]",
        "NAME",
    );
    o.optopt(
        "i",
        "poll-interval",
        "the monitor's period, fractions allowed [1]",
        "SECS",
    );
    o.optopt(
        "",
        "layout",
        "set of corosync paths: system or ddr [the first whose binary exists]",
        "NAME",
    );
    o.optopt(
        "",
        "corosync-bin",
        "corosync's executable [/sbin/corosync]",
        "PATH",
    );
    o.optopt(
        "",
        "corosync-conf",
        "corosync.conf [/etc/corosync/corosync.conf]",
        "PATH",
    );
    o.optopt(
        "",
        "authkey",
        "corosync's key [/etc/corosync/authkey]",
        "PATH",
    );
    o.optopt(
        "",
        "corosync-pid",
        "says where corosync's pid file is [/var/run/corosync.pid]",
        "PATH",
    );
    o.optopt(
        "S",
        "state-dir",
        "clusmgr's own state [/var/lib/clusmgr]",
        "DIR",
    );
    o.optopt(
        "R",
        "run-dir",
        "socket, pid file, corosync's output [/run/clusmgr]",
        "DIR",
    );
    o.optopt(
        "p",
        "pid-file",
        "the daemon's pid file [RUN/clusmgr.pid]",
        "FILE",
    );
    o.optopt(
        "s",
        "socket",
        "the local service [RUN/clusmgr.sock]",
        "PATH",
    );
    o.optopt(
        "g",
        "group",
        "group of the local socket: may read; uid 0 may change [root]",
        "NAME",
    );
    o.optmulti(
        "l",
        "listen",
        &format!("remote service, repeatable; none: off [this node's link addresses, port {PORT}]"),
        "ADDR[:PORT]",
    );
    o.optflag(
        "",
        "standalone",
        "begin in STANDALONE and stay until told otherwise",
    );
    o.optopt(
        "",
        "standalone-retry",
        "first retry out of STANDALONE, doubling up to MAX [30:600]",
        "SECS[:MAX]",
    );
    o.optopt(
        "",
        "restart-delay",
        "least time between a death and the next start [0]",
        "SECS",
    );
    o.optopt(
        "",
        "restart-limit",
        "so many unstable deaths in that time lead to STANDALONE; 0: never [5/60]",
        "N/SECS",
    );
    o.optopt(
        "",
        "stable-after",
        "a run that lasted so long is stable [10]",
        "SECS",
    );
    o.optopt("", "stop-timeout", "from SIGTERM to SIGKILL [10]", "SECS");
    o.optopt(
        "",
        "hang-timeout",
        "how long corosync may be stopped; 0: for ever [5]",
        "SECS",
    );
    o.optopt("", "facility", "syslog facility [daemon]", "NAME");
    o.optflag("d", "debug", "log more");
    o.optflag(
        "t",
        "test",
        "check everything and exit: 0, 1 failed, 2 usage, 4 not root, 5 no corosync, 6 no configuration",
    );
    o.optflag("V", "version", "print the version and exit");
    o.optflag("h", "help", "print this and exit");
    o
}

/// Reads the command line (without the program's name).
///
/// # Errors
/// Usage errors, in one line.
pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Asked> {
    let options = options();
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(at) = args.iter().position(|a| a.to_str().is_none()) {
        let object = format!("argument {} ({})", at + 1, args[at].to_string_lossy());
        return Err(usage("read", &object, "it is not UTF-8"));
    }
    let found = options
        .parse(&args)
        .map_err(|e| usage("read", "the command line", &e.to_string()))?;
    if found.opt_present("help") {
        let names: Vec<String> = DRIVERS
            .iter()
            .map(|d| format!("{} ({})", d.name, d.about))
            .collect();
        let brief = format!(
            "Usage: clusmgr [flags]\n\nOwns this node's corosync: configuration, start, watch, restart, STANDALONE.\n\
             Drivers: {}.",
            names.join(", ")
        );
        return Ok(Asked::Print(options.usage(&brief)));
    }
    if found.opt_present("version") {
        return Ok(Asked::Print(format!(
            "clusmgr {}\n",
            env!("CARGO_PKG_VERSION")
        )));
    }
    if let Some(extra) = found.free.first() {
        return Err(usage(
            "read",
            "the command line",
            &format!("unexpected word '{extra}'"),
        ));
    }
    flags(&found).map(|f| Asked::Run(Box::new(f)))
}

fn usage(op: &str, object: &str, cause: &str) -> Error {
    Error::new(op, object, cause)
        .hint("see 'clusmgr --help'")
        .kind(Kind::Usage)
}

fn flags(found: &Matches) -> Result<Flags> {
    let run_dir = absolute(found, "run-dir")?.unwrap_or_else(|| paths::RUN_DIR.into());
    let default = Policy::default();
    let (retry_first, retry_max) =
        retry(found)?.unwrap_or((default.retry_first, default.retry_max));
    let (restart_limit, restart_window) =
        limit(found)?.unwrap_or((default.restart_limit, default.restart_window));
    let hang_timeout = secs(found, "hang-timeout")?.unwrap_or(Duration::from_secs(5));
    let node = found.opt_str("node").unwrap_or_else(host::hostname);
    if node.is_empty() {
        return Err(usage("use", "--node", "a node's name cannot be empty"));
    }
    let poll_interval = secs(found, "poll-interval")?.unwrap_or(Duration::from_secs(1));
    if poll_interval < Duration::from_millis(10) {
        return Err(usage(
            "use",
            "--poll-interval",
            "it must be at least 0.01 s",
        ));
    }
    let socket = absolute(found, "socket")?.unwrap_or_else(|| run_dir.join(paths::SOCKET_NAME));
    fits(&run_dir.join(paths::NOTIFY_NAME), "run-dir")?;
    let flag = if found.opt_present("socket") {
        "socket"
    } else {
        "run-dir"
    };
    fits(&socket, flag)?;
    let stable_after = secs(found, "stable-after")?.unwrap_or(default.stable_after);
    if stable_after < Duration::from_millis(100) {
        let cause = "it must be at least 0.1 s: else no crash loop is ever slowed down";
        return Err(usage("use", "--stable-after", cause));
    }
    let facility = found.opt_str("facility").unwrap_or_else(|| "daemon".into());
    crate::log::facility(&facility)?;
    Ok(Flags {
        foreground: found.opt_present("foreground"),
        driver: found.opt_str("driver").unwrap_or_else(|| "corosync".into()),
        node,
        poll_interval,
        corosync: corosync_paths(found)?,
        state_dir: absolute(found, "state-dir")?.unwrap_or_else(|| paths::STATE_DIR.into()),
        pid_file: absolute(found, "pid-file")?.unwrap_or_else(|| run_dir.join(paths::PID_NAME)),
        socket,
        run_dir,
        group: found.opt_str("group").unwrap_or_else(|| "root".into()),
        listen: listen(found)?,
        standalone: found.opt_present("standalone"),
        policy: Policy {
            restart_delay: secs(found, "restart-delay")?.unwrap_or(default.restart_delay),
            restart_limit,
            restart_window,
            stable_after,
            stop_timeout: secs(found, "stop-timeout")?.unwrap_or(default.stop_timeout),
            retry_first,
            retry_max,
        },
        hang_timeout: (!hang_timeout.is_zero()).then_some(hang_timeout),
        facility,
        debug: found.opt_present("debug"),
        test: found.opt_present("test"),
    })
}

fn listen(found: &Matches) -> Result<Listen> {
    Listen::read(&found.opt_strs("listen"))
        .map_err(|wrong| usage("use", &format!("--listen {}", wrong.value), &wrong.cause))
}

fn corosync_paths(found: &Matches) -> Result<CorosyncPaths> {
    let layout = match found.opt_str("layout") {
        None => paths::first_present(Path::new("/")),
        Some(name) => paths::layout(&name).ok_or_else(|| {
            let names: Vec<&str> = paths::LAYOUTS.iter().map(|l| l.name).collect();
            usage(
                "use",
                &format!("--layout {name}"),
                &format!("there is none; use one of: {}", names.join(", ")),
            )
        })?,
    };
    let mut it = CorosyncPaths::from(layout);
    let given = [
        ("corosync-bin", &mut it.bin),
        ("corosync-conf", &mut it.conf),
        ("authkey", &mut it.authkey),
        ("corosync-pid", &mut it.pid),
    ];
    for (flag, path) in given {
        if let Some(value) = absolute(found, flag)? {
            *path = value;
        }
    }
    Ok(it)
}

/// A path, made absolute: the daemon lives in `/`.
fn absolute(found: &Matches, flag: &str) -> Result<Option<PathBuf>> {
    let Some(value) = found.opt_str(flag) else {
        return Ok(None);
    };
    if value.is_empty() {
        return Err(usage("use", &format!("--{flag}"), "a path cannot be empty"));
    }
    std::path::absolute(&value)
        .map(Some)
        .map_err(|e| Error::io("use", format!("--{flag} {value}"), &e))
}

/// Whether the kernel can bind a socket to a path: told before anything is made.
fn fits(path: &Path, flag: &str) -> Result<()> {
    if path.as_os_str().len() <= sock::PATH_MAX {
        return Ok(());
    }
    let cause = format!(
        "the socket {} would have more than the {} bytes that a socket's path may have",
        path.display(),
        sock::PATH_MAX
    );
    let e = Error::new("use", format!("--{flag}"), cause).kind(Kind::Usage);
    Err(e.hint(format_args!("name a shorter one with --{flag}")))
}

/// Ten years: more is a slip, and less than every clock's limit.
const MAX_SECS: u32 = 315_360_000;

fn parse_secs(text: &str) -> Option<Duration> {
    let secs: f64 = text.parse().ok()?;
    let fits = secs.is_finite() && (0.0..=f64::from(MAX_SECS)).contains(&secs);
    fits.then(|| Duration::from_secs_f64(secs))
}

fn secs(found: &Matches, flag: &str) -> Result<Option<Duration>> {
    let Some(text) = found.opt_str(flag) else {
        return Ok(None);
    };
    let bad = || {
        usage(
            "use",
            &format!("--{flag} {text}"),
            &format!("it must be a number of seconds, from 0 to {MAX_SECS}"),
        )
    };
    parse_secs(&text).map(Some).ok_or_else(bad)
}

fn retry(found: &Matches) -> Result<Option<(Duration, Duration)>> {
    let Some(text) = found.opt_str("standalone-retry") else {
        return Ok(None);
    };
    let (first, max) = text
        .split_once(':')
        .map_or((text.as_str(), None), |(f, m)| (f, Some(m)));
    let first = parse_secs(first).filter(|d| *d >= Duration::from_millis(100));
    let max = match max {
        Some(max) => parse_secs(max),
        None => first.map(|f| f.max(Policy::default().retry_max)),
    };
    match (first, max) {
        (Some(first), Some(max)) if max >= first => Ok(Some((first, max))),
        _ => Err(usage(
            "use",
            &format!("--standalone-retry {text}"),
            "it must be SECS or SECS:MAX, SECS from 0.1 on and MAX not below it",
        )),
    }
}

fn limit(found: &Matches) -> Result<Option<(u32, Duration)>> {
    let Some(text) = found.opt_str("restart-limit") else {
        return Ok(None);
    };
    let (n, window) = text
        .split_once('/')
        .map_or((text.as_str(), None), |(n, w)| (n, Some(w)));
    let window = window.map_or(Some(Policy::default().restart_window), parse_secs);
    match (n.parse(), window) {
        (Ok(0), Some(window)) => Ok(Some((0, window))),
        // In a shorter time there are never so many deaths.
        (Ok(n), Some(window)) if window >= Duration::from_secs(1) => Ok(Some((n, window))),
        _ => Err(usage(
            "use",
            &format!("--restart-limit {text}"),
            "it must be N/SECS, as 5/60, SECS from 1 on; 0 for never",
        )),
    }
}

#[cfg(test)]
mod tests;
