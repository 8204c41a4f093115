//! TCP between nodes: listening, and connecting without waiting for it. See tcp(7), ip(7), ipv6(7).
//!
//! Every descriptor is close-on-exec and non-blocking.

use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, listen,
    setsockopt, socket, sockopt,
};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Most bytes in a segment, each way. An interface may say that it takes more than a switch on the way does,
/// which then drops what is long without a word: a handshake passes, and its answer does not. This fits in
/// the least MTU that IPv6 allows, 1280.
const SEGMENT: u32 = 1200;

/// What is to be set before it listens or connects is set.
fn new_socket(address: &SocketAddr) -> nix::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    // Without it, as where a kernel refuses it, most ways are as wide as the interfaces say.
    let _ = setsockopt(&fd, sockopt::TcpMaxSeg, &SEGMENT);
    Ok(fd)
}

/// Listens on an address, which need not be there yet: a link may come up later than clusmgr.
///
/// # Errors
/// Somebody else listens there, or a system call fails.
pub fn listen_on(address: SocketAddr) -> Result<TcpListener> {
    let listening = || -> nix::Result<OwnedFd> {
        let fd = new_socket(&address)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        // The kernel takes this one for both families.
        setsockopt(&fd, sockopt::IpFreebind, &true)?;
        if address.is_ipv6() {
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        }
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        listen(&fd, Backlog::new(BACKLOG)?)?;
        Ok(fd)
    };
    listening().map(TcpListener::from).map_err(|e| {
        let error = Error::io("listen on", address, &e.into());
        match e {
            Errno::EADDRINUSE => {
                error.hint("end what listens there, or name another with --listen")
            }
            _ => error.hint("name another address with --listen, or none"),
        }
    })
}

/// Begins to connect; the stream can be written to when that is done, well or badly, and
/// [`connected`] tells which.
///
/// # Errors
/// It failed at once.
pub fn begin_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let fd = new_socket(&address)?;
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    let stream = TcpStream::from(fd);
    keep_alive(&stream);
    match connect(stream.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(stream),
        Err(e) => Err(e.into()),
    }
}

/// How long nothing may come before the other side is asked whether it is there; how often, and how many
/// times it may not answer.
const KEEP_IDLE: u32 = 4;
const KEEP_INTERVAL: u32 = 2;
const KEEP_COUNT: u32 = 3;
/// How long what was sent may stay without an answer, in milliseconds.
const UNANSWERED: u32 = 10_000;

/// From now on a connection fails some ten seconds after the other side has gone without a word, also
/// one on which nothing is sent. Where the kernel has no such option, it lasts longer.
pub fn keep_alive(stream: &TcpStream) {
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &KEEP_IDLE);
    let _ = setsockopt(stream, sockopt::TcpKeepInterval, &KEEP_INTERVAL);
    let _ = setsockopt(stream, sockopt::TcpKeepCount, &KEEP_COUNT);
    let _ = setsockopt(stream, sockopt::TcpUserTimeout, &UNANSWERED);
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
}

/// Whether it says that there is no way to the other side, or nobody there.
#[must_use]
pub fn has_no_way(e: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::NetworkUnreachable,
        io::ErrorKind::NetworkDown,
    ];
    kinds.contains(&e.kind()) || e.raw_os_error() == Some(libc::EHOSTDOWN)
}

/// What came of a connection that was begun.
///
/// # Errors
/// It failed.
pub fn connected(stream: &TcpStream) -> io::Result<()> {
    match getsockopt(stream, sockopt::SocketError)? {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(e)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sys::ready::{Want, wait};
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    fn outcome(address: SocketAddr) -> io::Result<()> {
        let stream = begin_connect(address)?;
        let soon = Instant::now() + Duration::from_secs(20);
        wait([(stream.as_fd(), Want::Write)], Some(soon)).unwrap();
        connected(&stream)
    }

    #[test]
    fn a_connection_is_begun_and_its_outcome_told() {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen_on(text.parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            outcome(address).unwrap();
            let (stream, from) = listener.accept().unwrap();
            assert!(!getsockopt(&stream, sockopt::KeepAlive).unwrap());
            keep_alive(&stream);
            assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap());
            let idle = getsockopt(&stream, sockopt::TcpKeepIdle).unwrap();
            let between = getsockopt(&stream, sockopt::TcpKeepInterval).unwrap();
            let count = getsockopt(&stream, sockopt::TcpKeepCount).unwrap();
            let whole = idle + between * count;
            assert!((5..=15).contains(&whole), "{whole} s");
            let unanswered = getsockopt(&stream, sockopt::TcpUserTimeout).unwrap();
            assert_eq!(u32::from(unanswered > 0) * whole, unanswered / 1000);
            assert_eq!(from.ip(), address.ip());
            let e = listen_on(address).unwrap_err().to_string();
            assert!(e.contains("--listen"), "{e}");
            drop(listener);
            let e = outcome(address).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn a_segment_is_short_whatever_the_interface_takes() {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen_on(text.parse().unwrap()).unwrap();
            let stream = begin_connect(listener.local_addr().unwrap()).unwrap();
            let soon = Instant::now() + Duration::from_secs(20);
            wait([(stream.as_fd(), Want::Write)], Some(soon)).unwrap();
            connected(&stream).unwrap();
            wait([(listener.as_fd(), Want::Read)], Some(soon)).unwrap();
            let (other, _) = listener.accept().unwrap();
            for end in [&stream, &other] {
                let segment = getsockopt(end, sockopt::TcpMaxSeg).unwrap();
                assert!(segment <= SEGMENT, "{segment}");
            }
            // A message of many of them passes.
            let message = vec![7; 1 << 20];
            stream.set_nonblocking(false).unwrap();
            other.set_nonblocking(false).unwrap();
            std::thread::scope(|s| {
                s.spawn(|| {
                    (&stream).write_all(&message).unwrap();
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut came = Vec::new();
                (&other).read_to_end(&mut came).unwrap();
                assert!(came == message, "{} bytes", came.len());
            });
        }
    }

    #[test]
    fn the_network_says_that_there_is_no_way() {
        for e in [
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::EHOSTDOWN,
            libc::ENETDOWN,
        ] {
            assert!(has_no_way(&io::Error::from_raw_os_error(e)), "{e}");
        }
        assert!(!has_no_way(&io::Error::from_raw_os_error(
            libc::ECONNREFUSED
        )));
    }

    #[test]
    fn an_address_that_is_not_there_yet_can_be_listened_on() {
        // RFC 5737's example network.
        listen_on("192.0.2.1:5407".parse().unwrap()).unwrap();
    }
}
