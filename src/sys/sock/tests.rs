#![allow(clippy::unwrap_used)]

use super::*;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

fn own() -> (Option<Pid>, u32, u32) {
    (
        Some(Pid(nix::unistd::getpid().as_raw())),
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    )
}

fn cloexec(fd: impl AsFd) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    flags & libc::FD_CLOEXEC != 0
}

#[test]
fn the_listener_has_its_mode_and_group_and_tells_who_connects() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("s");
    let gid = nix::unistd::getegid().as_raw();
    let l = bind_local(&p, Some(gid)).unwrap();
    let m = fs::metadata(&p).unwrap();
    assert_eq!((m.mode() & 0o7777, m.gid()), (0o660, gid));
    let mut c = connect_local(&p, Duration::from_secs(5)).unwrap();
    let (mut s, _) = l.accept().unwrap();
    let who = peer(&s).unwrap();
    assert_eq!((who.pid, who.uid, who.gid), own());
    assert!(cloexec(&l) && cloexec(&c) && cloexec(&s));
    c.write_all(b"hello").unwrap();
    drop(c);
    let mut text = String::new();
    s.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn the_file_is_private_until_its_group_is_set() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("s");
    let _fd = bind_private(&p, SockType::Stream).unwrap();
    assert_eq!(fs::metadata(&p).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_stale_socket_is_replaced_a_living_one_and_a_file_are_left() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("s");
    drop(bind_local(&p, None).unwrap());
    assert!(p.exists());
    let living = bind_local(&p, None).unwrap();
    let e = bind_local(&p, None).unwrap_err().to_string();
    assert!(e.contains("another process answers there"), "{e}");
    connect_local(&p, Duration::from_secs(5)).unwrap();
    drop(living);
    let f = d.path().join("f");
    fs::write(&f, "precious").unwrap();
    for e in [
        bind_local(&f, None).unwrap_err(),
        NotifySocket::bind(&f).unwrap_err(),
    ] {
        assert!(e.to_string().contains("something else is there"), "{e}");
    }
    assert_eq!(fs::read_to_string(&f).unwrap(), "precious");
}

#[test]
fn nobody_there_and_too_long_a_path_have_their_own_errors() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("s");
    let e = connect_local(&p, Duration::from_secs(1)).unwrap_err();
    assert_eq!(e.of_kind(), Kind::NotRunning);
    drop(bind_local(&p, None).unwrap());
    let e = connect_local(&p, Duration::from_secs(1)).unwrap_err();
    assert_eq!(e.of_kind(), Kind::NotRunning);
    let room = PATH_MAX - d.path().as_os_str().len() - 1;
    let fits = d.path().join("x".repeat(room));
    assert_eq!(fits.as_os_str().len(), PATH_MAX);
    let _l = bind_local(&fits, None).unwrap();
    connect_local(&fits, Duration::from_secs(5)).unwrap();
    let long = d.path().join("x".repeat(room + 1));
    for e in [
        bind_local(&long, None).unwrap_err(),
        connect_local(&long, Duration::from_secs(1)).unwrap_err(),
        NotifySocket::bind(&long).unwrap_err(),
    ] {
        assert!(e.to_string().contains("at most 107 bytes"), "{e}");
        assert_eq!(e.of_kind(), Kind::Usage);
    }
}

#[test]
fn a_full_backlog_costs_the_time_out_and_no_more() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("s");
    let _l = bind_local(&p, None).unwrap();
    let mut waiting = Vec::new();
    let e = loop {
        match connect_local(&p, Duration::from_millis(50)) {
            Ok(c) => waiting.push(c),
            Err(e) => break e,
        }
        assert!(waiting.len() < 1000, "the backlog is never full");
    };
    assert_eq!(e.of_kind(), Kind::TimedOut, "{e}");
    // And a service that never answers does not hold its client.
    let begun = Instant::now();
    assert!(waiting[0].read(&mut [0]).is_err());
    assert!(begun.elapsed() < Duration::from_secs(10));
    // Full, but alive: its socket is not taken away.
    assert!(bind_local(&p, None).is_err());
}

#[test]
fn notifications_come_with_their_sender() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("notify");
    let n = NotifySocket::bind(&p).unwrap();
    assert_eq!(fs::metadata(&p).unwrap().mode() & 0o7777, 0o600);
    assert!(cloexec(&n));
    assert_eq!(n.recv(), None);
    let c = UnixDatagram::unbound().unwrap();
    c.connect(n.path()).unwrap();
    c.send(b"READY=1\nSTATUS=ok").unwrap();
    c.send(&[b'x'; NOTIFY_MAX + 1]).unwrap();
    c.send(b"\xff").unwrap();
    c.send(&[b'y'; NOTIFY_MAX]).unwrap();
    let me = own().0.unwrap();
    assert_eq!(n.recv(), Some((me, "READY=1\nSTATUS=ok".into())));
    assert_eq!(n.recv(), Some((me, "\u{fffd}".into())));
    assert_eq!(n.recv(), Some((me, "y".repeat(NOTIFY_MAX))));
    assert_eq!(n.recv(), None);
    let again = NotifySocket::bind(&p).unwrap();
    drop(n);
    drop(again);
    assert!(!p.exists());
}

#[test]
fn descriptors_sent_along_do_not_stay_open() {
    let d = tempfile::tempdir().unwrap();
    let n = NotifySocket::bind(&d.path().join("notify")).unwrap();
    let (r, w) = nix::unistd::pipe().unwrap();
    let c = UnixDatagram::unbound().unwrap();
    c.connect(n.path()).unwrap();
    nix::sys::socket::sendmsg::<()>(
        c.as_raw_fd(),
        &[io::IoSlice::new(b"FDSTORE=1")],
        &[nix::sys::socket::ControlMessage::ScmRights(
            &[w.as_raw_fd()],
        )],
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    drop(w);
    c.send(b"READY=1").unwrap();
    assert_eq!(n.recv().unwrap().1, "READY=1");
    // The pipe ends, so nobody has its other end any more.
    assert_eq!(nix::unistd::read(&r, &mut [0]).unwrap(), 0);
}

#[test]
fn groups_have_numbers() {
    assert_eq!(group("root").unwrap(), 0);
    assert_eq!(group("4711").unwrap(), 4711);
    let e = group("no-such-group").unwrap_err();
    assert_eq!(e.of_kind(), Kind::Usage);
    assert!(e.to_string().contains("no-such-group"), "{e}");
}

#[test]
fn a_notify_socket_whose_file_is_gone_knows_it_and_removes_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify.sock");
    let first = NotifySocket::bind(&path).unwrap();
    assert!(first.is_there());
    fs::remove_file(&path).unwrap();
    assert!(!first.is_there());
    let second = NotifySocket::bind(&path).unwrap();
    assert!(!first.is_there());
    drop(first);
    assert!(second.is_there());
    drop(second);
    assert!(!path.exists());
}
