#![allow(clippy::unwrap_used)]

use super::*;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HELPER: &str = "CLUSMGR_TEST_PIDFILE";

/// Not a test by itself: the other process of the tests below. It takes the pid file that the
/// variable names, and holds it until its standard input ends.
#[test]
fn helper() {
    let Some(path) = std::env::var_os(HELPER) else {
        return;
    };
    let _held = PidFile::take(Path::new(&path)).unwrap();
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// Another process that holds the file.
fn other_daemon(path: &Path) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sys::pidfile::tests::helper"])
        .env(HELPER, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while owner(path) != Some(pid_of(&child)) || read_pid(path).ok().flatten().is_none() {
        assert!(Instant::now() < deadline, "the other process took no lock");
        std::thread::yield_now();
    }
    child
}

fn pid_of(child: &Child) -> Pid {
    Pid(i32::try_from(child.id()).unwrap())
}

#[test]
fn the_file_holds_our_pid_and_goes_with_us() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("clusmgr.pid");
    assert_eq!(holder(&p).unwrap(), Holder::Nobody);
    let held = PidFile::take(&p).unwrap();
    assert_eq!(fs::read_to_string(&p).unwrap(), format!("{}\n", own_pid()));
    assert_eq!(fs::metadata(&p).unwrap().mode() & 0o777, 0o644);
    assert_eq!(read_pid(&p).unwrap(), Some(own_pid()));
    assert_eq!(owner(&p), Some(own_pid()));
    let e = PidFile::take(&p).unwrap_err().to_string();
    assert!(e.contains(&format!("pid {}", own_pid())), "{e}");
    drop(held);
    assert!(!p.exists());
    drop(PidFile::take(&p).unwrap());
}

#[test]
fn a_second_daemon_is_told_the_first_ones_pid_and_changes_nothing() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("clusmgr.pid");
    let mut first = other_daemon(&p);
    let e = PidFile::take(&p).unwrap_err();
    let e = e.to_string();
    assert!(
        e.contains(&format!(
            "already runs with pid {}; stop that one",
            first.id()
        )),
        "{e}"
    );
    assert_eq!(read_pid(&p).unwrap(), Some(pid_of(&first)));
    // A clean end removes the file; kill -9 leaves it, and it is stale.
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    assert!(!p.exists());
    let mut killed = other_daemon(&p);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(read_pid(&p).unwrap(), Some(pid_of(&killed)));
    assert_eq!(holder(&p).unwrap(), Holder::Nobody);
    let held = PidFile::take(&p).unwrap();
    assert_eq!(fs::read_to_string(&p).unwrap(), format!("{}\n", own_pid()));
    drop(held);
}

#[test]
fn asking_for_our_own_file_does_not_lose_the_lock() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("clusmgr.pid");
    let link = d.path().join("link");
    let _held = PidFile::take(&p).unwrap();
    symlink(&p, &link).unwrap();
    for path in [&p, &link] {
        assert_eq!(owner(path), Some(own_pid()));
        assert_eq!(read_pid(path).unwrap(), Some(own_pid()));
    }
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sys::pidfile::tests::helper"])
        .env(HELPER, &p)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!out.status.success(), "another process could take the lock");
}

/// Takes over a file with this content, which nobody has locked.
fn taken_over(content: &[u8]) {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("clusmgr.pid");
    fs::write(&p, content).unwrap();
    assert_eq!(holder(&p).unwrap(), Holder::Nobody);
    let _held = PidFile::take(&p).unwrap();
    assert_eq!(fs::read_to_string(&p).unwrap(), format!("{}\n", own_pid()));
}

#[test]
fn a_pid_file_with_rubbish_is_stale() {
    taken_over(b"");
    taken_over(b"rubbish\n\xff\x00");
    taken_over(&[b'9'; 5000]);
}

#[test]
fn a_pid_file_with_a_foreign_pid_is_stale() {
    taken_over(b"1\n");
}

#[test]
fn a_pid_file_with_a_recycled_pid_is_stale() {
    // Alive, and even ours, but without the lock.
    taken_over(format!("{}\n", own_pid()).as_bytes());
}

#[test]
fn a_link_or_a_directory_is_refused_and_left() {
    let d = tempfile::tempdir().unwrap();
    let victim = d.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let link = d.path().join("link");
    symlink(&victim, &link).unwrap();
    let e = PidFile::take(&link).unwrap_err().to_string();
    assert!(
        e.contains("symbolic link") && e.contains("--pid-file"),
        "{e}"
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let fifo = d.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let e = PidFile::take(&fifo).unwrap_err().to_string();
    assert!(e.contains("not a regular file"), "{e}");
    let e = PidFile::take(&d.path().join("no/x"))
        .unwrap_err()
        .to_string();
    assert!(
        e.starts_with("write pid file ") && e.contains("no/x: No such"),
        "{e}"
    );
}

#[test]
fn another_file_in_its_place_is_not_removed() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("clusmgr.pid");
    let held = PidFile::take(&p).unwrap();
    fs::rename(&p, d.path().join("away")).unwrap();
    fs::write(&p, "not ours").unwrap();
    drop(held);
    assert_eq!(fs::read_to_string(&p).unwrap(), "not ours");
}

#[test]
fn pids_are_read_strictly() {
    for (text, pid) in [
        ("17", Some(17)),
        ("17\n", Some(17)),
        ("2147483647\n", Some(i32::MAX)),
        ("2147483648\n", None),
        ("0\n", None),
        ("017\n", None),
        ("-1\n", None),
        ("+1\n", None),
        (" 1\n", None),
        ("1\n\n", None),
        ("1\n2\n", None),
        ("", None),
        ("\n", None),
    ] {
        assert_eq!(parse(text.as_bytes()), pid.map(Pid), "{text:?}");
    }
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("p");
    assert_eq!(read_pid(&p).unwrap(), None);
    fs::write(&p, "1".repeat(1000)).unwrap();
    let e = read_pid(&p).unwrap_err().to_string();
    assert!(e.ends_with("it does not hold a pid"), "{e}");
}
