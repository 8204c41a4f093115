//! What our own supervisor (systemd, or whoever set `NOTIFY_SOCKET`) is told.

use crate::sys::{clock, host};
use crate::types::Pid;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The shortest watchdog that is served: below it clusmgr would be busy with nothing else.
const WATCHDOG_MIN: Duration = Duration::from_millis(200);

/// Tells; that nobody listens is no error.
fn tell(text: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(e) = send(&socket, text) {
        log::debug!("tell {}: {e}", socket.to_string_lossy());
    }
}

fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let name = socket.as_bytes();
    // As of sd_notify(3): a path, or @ and a name in the abstract namespace, as containers have it.
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(text.as_bytes(), &address)
        .map(drop)
}

/// The local socket is served.
pub fn ready() {
    tell("READY=1\n");
}

/// The present state, in words.
pub fn status(status: &str) {
    // A line is a message of its own.
    tell(&format!("STATUS={}\n", status.replace('\n', " ")));
}

/// A configuration is being taken in; [`ready`] ends it.
pub fn reloading() {
    let usec = clock::now().0 / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\n"));
}

/// The daemon ends, and may take so long.
pub fn stopping(limit: Duration) {
    let usec = limit.as_micros();
    tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={usec}\n"));
}

/// The monitor has been seen at work.
pub fn alive() {
    tell("WATCHDOG=1\n");
}

/// What the supervisor waits between two [`alive`]; none if it does not watch.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let var = |name| env::var(name).ok();
    let me = host::own_pid();
    period(
        var("WATCHDOG_USEC").as_deref(),
        var("WATCHDOG_PID").as_deref(),
        me,
    )
}

/// A watchdog of 0 is none, and one for another process is not for us.
fn period(usec: Option<&str>, pid: Option<&str>, me: Pid) -> Option<Duration> {
    let usec: u64 = usec?.parse().ok()?;
    let ours = pid.is_none_or(|pid| pid.parse() == Ok(me.0));
    (ours && usec > 0).then(|| Duration::from_micros(usec).max(WATCHDOG_MIN))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_abstract_socket_and_one_with_a_path_are_both_told() {
        let name = format!("clusmgr-supervisor-{}", host::own_pid().0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_one = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, at) in [
            (
                UnixDatagram::bind_addr(&abstract_one).unwrap(),
                format!("@{name}"),
            ),
            (
                UnixDatagram::bind(&path).unwrap(),
                path.display().to_string(),
            ),
        ] {
            send(OsStr::new(&at), "READY=1\n").unwrap();
            let mut bytes = [0; 64];
            let n = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..n], b"READY=1\n", "{at}");
        }
        let nowhere = dir.path().join("nowhere");
        assert!(send(nowhere.as_os_str(), "READY=1\n").is_err());
    }

    #[test]
    fn a_watchdog_of_0_is_none_and_a_tiny_one_does_not_keep_clusmgr_busy() {
        let us = |usec| period(Some(usec), None, Pid(7));
        assert_eq!(us("0"), None);
        assert_eq!(us("1"), Some(WATCHDOG_MIN));
        assert_eq!(us("30000000"), Some(Duration::from_secs(30)));
        for rubbish in ["", "-1", "1 s", "99999999999999999999"] {
            assert_eq!(us(rubbish), None, "{rubbish}");
        }
        assert_eq!(period(None, None, Pid(7)), None);
        assert_eq!(period(Some("30000000"), Some("8"), Pid(7)), None);
        assert!(period(Some("30000000"), Some("7"), Pid(7)).is_some());
    }
}
