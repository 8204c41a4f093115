//! Unix sockets: the local service's, and the one on which a child says READY=1.
//!
//! Every descriptor is close-on-exec. See unix(7).

use crate::error::{Error, Kind, Result};
use crate::types::Pid;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    UnixCredentials, bind, connect, getsockopt, listen, recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::time::TimeVal;
use std::fs::{self, Permissions};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kernel keeps a socket's path in 108 bytes, and the last is NUL.
pub const PATH_MAX: usize = 107;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// A longer message on the notify socket is dropped.
const NOTIFY_MAX: usize = 4096;

/// Who is at the other end of a connection, as the kernel saw it when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The process; none if it has no number in our pid namespace.
    pub pid: Option<Pid>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// Listens on a path: mode 0660, and the group if one is given. The file never has more
/// permissions than that, whatever the umask. A socket that nobody answers on is removed first.
/// The listener blocks; the caller removes the file in the end ([`remove`]).
///
/// # Errors
/// If a process answers there already, something else than a socket is there, the path is too
/// long, or a system call fails.
pub fn bind_local(path: &Path, gid: Option<u32>) -> Result<UnixListener> {
    let fail = |e: &io::Error| Error::io("listen on", path.display(), e);
    clear(path)?;
    let fd = bind_private(path, SockType::Stream)?;
    // Nobody can connect before listen(2), so the order of these two does not matter.
    chown(path, None, gid).map_err(|e| fail(&e))?;
    fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(|e| fail(&e))?;
    listen(&fd, Backlog::new(BACKLOG).map_err(|e| fail(&e.into()))?)
        .map_err(|e| fail(&e.into()))?;
    Ok(UnixListener::from(fd))
}

/// Connects to a local service. The time-out holds for the connection, and then for every read
/// and write on the stream until the caller sets others.
///
/// # Errors
/// [`Kind::NotRunning`] if nobody listens, [`Kind::Denied`] if we may not, [`Kind::TimedOut`].
pub fn connect_local(path: &Path, timeout: Duration) -> Result<UnixStream> {
    let fail = |e: &io::Error| Error::io("connect to", path.display(), e);
    let addr = address("connect to", path)?;
    let fd = new_socket(SockType::Stream).map_err(|e| fail(&e.into()))?;
    // A full backlog makes connect(2) wait as long as a send may (unix(7)).
    let limit = time_val(timeout);
    setsockopt(&fd, sockopt::SendTimeout, &limit)
        .and_then(|()| setsockopt(&fd, sockopt::ReceiveTimeout, &limit))
        .map_err(|e| fail(&e.into()))?;
    match connect(fd.as_raw_fd(), &addr) {
        Ok(()) => Ok(UnixStream::from(fd)),
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => {
            Err(
                Error::new("connect to", path.display(), "clusmgr does not run here")
                    .hint("start it, or name its socket with --socket")
                    .kind(Kind::NotRunning),
            )
        }
        Err(e @ (Errno::EACCES | Errno::EPERM)) => Err(fail(&e.into()).kind(Kind::Denied)),
        Err(Errno::EAGAIN | Errno::EINPROGRESS | Errno::EINTR) => Err(Error::new(
            "connect to",
            path.display(),
            format_args!("no answer within {timeout:?}"),
        )
        .kind(Kind::TimedOut)),
        Err(e) => Err(fail(&e.into())),
    }
}

/// Removes a socket's file; that it is gone already is no failure.
pub fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Who is at the other end (`SO_PEERCRED`).
///
/// # Errors
/// If it is not a Unix stream socket.
pub fn peer(stream: impl AsFd) -> Result<Peer> {
    let c = getsockopt(&stream.as_fd(), sockopt::PeerCredentials)
        .map_err(|e| Error::io("ask for the peer of", "a connection", &e.into()))?;
    Ok(Peer {
        pid: pid_of(&c),
        uid: c.uid(),
        gid: c.gid(),
    })
}

/// The number of a group, by its name or its number.
///
/// # Errors
/// [`Kind::Usage`] if there is none of this name.
pub fn group(name: &str) -> Result<u32> {
    match nix::unistd::Group::from_name(name) {
        Ok(Some(g)) => Ok(g.gid.as_raw()),
        Ok(None) | Err(_) => name.parse().map_err(|_| {
            Error::new("find group", name, "there is no such group")
                .hint("name one of /etc/group")
                .kind(Kind::Usage)
        }),
    }
}

/// The socket of `sd_notify(3)` for a child of ours; its file goes when this is dropped.
#[derive(Debug)]
pub struct NotifySocket {
    fd: OwnedFd,
    path: PathBuf,
    /// Device and inode of its file.
    id: Option<(u64, u64)>,
}

impl NotifySocket {
    /// Listens on a path, mode 0600, in place of whatever socket was there.
    ///
    /// # Errors
    /// If something else than a socket is there, the path is too long, or a system call fails.
    pub fn bind(path: &Path) -> Result<NotifySocket> {
        if is_socket(path)? {
            remove(path);
        }
        let fd = bind_private(path, SockType::Datagram)?;
        let ours = NotifySocket {
            fd,
            path: path.to_path_buf(),
            id: id_of(path),
        };
        setsockopt(&ours.fd, sockopt::PassCred, &true)
            .map_err(|e| Error::io("listen on", path.display(), &e.into()))?;
        Ok(ours)
    }

    /// The next message and the process that sent it, as the kernel says; none if there is no more
    /// now. Never waits. Left out are messages over 4 KiB, those with descriptors (which are closed),
    /// and those from processes that have no number here.
    pub fn recv(&self) -> Option<(Pid, String)> {
        loop {
            let mut buf = [0u8; NOTIFY_MAX];
            // Room for the credentials alone, so that the kernel closes descriptors that come along.
            let mut control = cmsg_space!(UnixCredentials);
            let mut iov = [IoSliceMut::new(&mut buf)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let msg = match recvmsg::<()>(self.fd.as_raw_fd(), &mut iov, Some(&mut control), flags)
            {
                Ok(msg) => msg,
                Err(Errno::EINTR) => continue,
                Err(_) => return None,
            };
            let (len, whole) = (msg.bytes, !msg.flags.contains(MsgFlags::MSG_TRUNC));
            // An error here is the mark of cut control data, that is, of such descriptors.
            let sender = msg.cmsgs().ok().and_then(|mut all| {
                all.find_map(|c| match c {
                    ControlMessageOwned::ScmCredentials(c) => pid_of(&c),
                    _ => None,
                })
            });
            if let (Some(pid), true) = (sender, whole) {
                return Some((pid, String::from_utf8_lossy(&buf[..len]).into_owned()));
            }
        }
    }

    /// Whether its file is still there: without it nobody can send to it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.id.is_some() && id_of(&self.path) == self.id
    }

    /// Where it listens: the child's `NOTIFY_SOCKET`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        // Only our own: another one may have been bound in its place.
        if self.is_there() {
            remove(&self.path);
        }
    }
}

fn id_of(path: &Path) -> Option<(u64, u64)> {
    let m = fs::symlink_metadata(path).ok()?;
    Some((m.dev(), m.ino()))
}

fn pid_of(c: &UnixCredentials) -> Option<Pid> {
    (c.pid() > 0).then_some(Pid(c.pid()))
}

fn address(op: &str, path: &Path) -> Result<UnixAddr> {
    UnixAddr::new(path).map_err(|_| {
        Error::new(
            op,
            path.display(),
            format_args!("a socket's path has at most {PATH_MAX} bytes, and no NUL"),
        )
        .hint("name a shorter one")
        .kind(Kind::Usage)
    })
}

fn new_socket(kind: SockType) -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)
}

fn bind_private(path: &Path, kind: SockType) -> Result<OwnedFd> {
    let fail = |e: Errno| Error::io("listen on", path.display(), &e.into());
    let addr = address("listen on", path)?;
    let fd = new_socket(kind).map_err(fail)?;
    // On Linux bind(2) gives the file the mode of the socket: no umask, which all threads share.
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR).map_err(fail)?;
    bind(fd.as_raw_fd(), &addr).map_err(fail)?;
    Ok(fd)
}

/// Whether a socket is at the path; something else there is an error.
fn is_socket(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(m) if m.file_type().is_socket() => Ok(true),
        Ok(_) => Err(
            Error::new("listen on", path.display(), "something else is there")
                .hint("move it away, or name another path"),
        ),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("listen on", path.display(), &e)),
    }
}

/// Removes a socket that a dead process left; refuses if somebody answers.
fn clear(path: &Path) -> Result<()> {
    let addr = address("listen on", path)?;
    if !is_socket(path)? {
        return Ok(());
    }
    let fail = |e: Errno| Error::io("listen on", path.display(), &e.into());
    let fd = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )
    .map_err(fail)?;
    match connect(fd.as_raw_fd(), &addr) {
        Err(Errno::ECONNREFUSED) => {
            remove(path);
            Ok(())
        }
        Err(Errno::ENOENT) => Ok(()),
        Ok(()) | Err(Errno::EAGAIN) => {
            Err(
                Error::new("listen on", path.display(), "another process answers there")
                    .hint("stop it, or name another path"),
            )
        }
        Err(e) => Err(fail(e)),
    }
}

fn time_val(d: Duration) -> TimeVal {
    // Zero would mean for ever.
    let d = d.max(Duration::from_millis(1));
    let secs = libc::time_t::try_from(d.as_secs()).unwrap_or(libc::time_t::MAX);
    TimeVal::new(secs, libc::suseconds_t::from(d.subsec_micros()))
}

#[cfg(test)]
mod tests;
