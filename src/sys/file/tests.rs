#![allow(clippy::unwrap_used)]

use super::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

#[test]
fn a_file_is_created_then_left_alone_then_replaced() {
    let d = dir();
    let f = d.path().join("key");
    assert_eq!(write_atomic(&f, b"one", 0o400).unwrap(), Written::Created);
    assert_eq!((fs::read(&f).unwrap(), mode(&f)), (b"one".to_vec(), 0o400));
    let before = FileId::of(&f).unwrap().unwrap();
    assert_eq!(write_atomic(&f, b"one", 0o400).unwrap(), Written::Same);
    assert_eq!(FileId::of(&f).unwrap().unwrap(), before);
    assert_eq!(write_atomic(&f, b"two", 0o400).unwrap(), Written::Replaced);
    assert_eq!(fs::read(&f).unwrap(), b"two");
    assert_ne!(FileId::of(&f).unwrap().unwrap(), before);
    assert_eq!(names(d.path()), ["key"]);
}

#[test]
fn another_mode_alone_is_a_reason_to_write_and_the_umask_is_none() {
    let d = dir();
    let f = d.path().join("conf");
    write_atomic(&f, b"x", 0o600).unwrap();
    assert_eq!(write_atomic(&f, b"x", 0o666).unwrap(), Written::Replaced);
    assert_eq!(mode(&f), 0o666);
}

#[test]
fn the_group_is_kept() {
    let d = dir();
    let f = d.path().join("conf");
    fs::write(&f, "old").unwrap();
    let gids = nix::unistd::getgroups().unwrap();
    let gid = gids
        .first()
        .map_or(nix::unistd::getegid().as_raw(), |g| g.as_raw());
    std::os::unix::fs::chown(&f, None, Some(gid)).unwrap();
    write_atomic(&f, b"new", 0o640).unwrap();
    assert_eq!(fs::metadata(&f).unwrap().gid(), gid);
}

#[test]
fn a_link_stays_and_the_file_behind_it_is_replaced() {
    let d = dir();
    let etc = d.path().join("etc");
    let var = d.path().join("var");
    fs::create_dir(&etc).unwrap();
    fs::create_dir(&var).unwrap();
    let link = etc.join("corosync.conf");
    symlink("../var/link2", &link).unwrap();
    symlink("real.conf", var.join("link2")).unwrap();
    assert_eq!(write_atomic(&link, b"a", 0o644).unwrap(), Written::Created);
    assert_eq!(write_atomic(&link, b"b", 0o644).unwrap(), Written::Replaced);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(var.join("real.conf")).unwrap(), b"b");
    assert_eq!(names(&etc), ["corosync.conf"]);
    assert_eq!(names(&var), ["link2", "real.conf"]);
    symlink("loop", d.path().join("loop")).unwrap();
    let e = write_atomic(&d.path().join("loop"), b"x", 0o600).unwrap_err();
    assert!(e.to_string().contains("symbolic links"), "{e}");
}

#[test]
fn what_is_no_regular_file_is_refused_and_left() {
    let d = dir();
    let fifo = d.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let sock = d.path().join("sock");
    let _listener = std::os::unix::net::UnixListener::bind(&sock).unwrap();
    for path in [d.path(), &fifo, &sock] {
        for e in [
            write_atomic(path, b"x", 0o600).unwrap_err(),
            read_bounded(path, 10).unwrap_err(),
            tighten(path, 0o600).unwrap_err(),
        ] {
            assert!(e.to_string().contains("not a regular file"), "{e}");
        }
    }
    assert_eq!(names(d.path()), ["fifo", "sock"]);
}

#[test]
fn a_failure_leaves_the_old_file_and_no_temporary_one() {
    let d = dir();
    // The rename fails: the temporary file was complete.
    let f = d.path().join("x".repeat(256));
    let e = write_atomic(&f, b"secret", 0o600).unwrap_err();
    assert!(!e.to_string().contains("secret"));
    let mut t = Temp::create(d.path()).unwrap();
    t.fill(b"secret", 0o600, None).unwrap();
    assert_eq!(names(d.path()).len(), 1);
    assert!(t.rename_to(&d.path().join("no/such/dir")).is_err());
    drop(t);
    assert_eq!(names(d.path()), [""; 0]);
    let e = write_atomic(&d.path().join("no/file"), b"x", 0o600).unwrap_err();
    assert!(e.to_string().contains("no/file: No such file"), "{e}");
}

const HELPER: &str = "CLUSMGR_TEST_FILE";

/// Not a test by itself: the other process of the next one, which may not write much.
#[test]
fn helper() {
    let Some(path) = std::env::var_os(HELPER) else {
        return;
    };
    let e = write_atomic(Path::new(&path), &[b'x'; 100_000], 0o600).unwrap_err();
    assert!(e.to_string().starts_with("write /"), "{e}");
    assert!(e.to_string().contains("File too large"), "{e}");
}

#[test]
fn a_write_that_the_kernel_cuts_off_leaves_the_old_file_and_no_temporary_one() {
    let d = dir();
    let f = d.path().join("conf");
    fs::write(&f, "old").unwrap();
    let out = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "sys::file::tests::helper"])
        .env(HELPER, &f)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    assert_eq!(fs::read(&f).unwrap(), b"old");
    assert_eq!(names(d.path()), ["conf"]);
}

#[test]
fn a_full_disk_is_told_with_what_to_do() {
    let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let e = Error::io("write", "/etc/x", &full.write_all(b"x").unwrap_err()).to_string();
    assert!(
        e.starts_with("write /etc/x: No space left on device"),
        "{e}"
    );
    assert!(e.ends_with("; free some space there"), "{e}");
}

#[test]
fn leftovers_are_cleaned_and_nothing_else() {
    let d = dir();
    let left = format!("{TEMP_PREFIX}0123456789abcdef");
    for name in [left.as_str(), ".clusmgr-tmp.short", "corosync.conf"] {
        fs::write(d.path().join(name), "x").unwrap();
    }
    assert_eq!(clean_temps(d.path()).unwrap(), 1);
    assert_eq!(names(d.path()), [".clusmgr-tmp.short", "corosync.conf"]);
    assert!(clean_temps(&d.path().join("none")).is_err());
    let t = Temp::create(d.path()).unwrap();
    assert!(is_temp(t.path.file_name().unwrap().to_str().unwrap()));
}

#[test]
fn reading_is_bounded() {
    let d = dir();
    let f = d.path().join("f");
    assert_eq!(read_bounded(&f, 10).unwrap(), None);
    fs::write(&f, "0123456789").unwrap();
    assert_eq!(read_bounded(&f, 10).unwrap().unwrap(), b"0123456789");
    let e = read_bounded(&f, 9).unwrap_err().to_string();
    assert!(
        e.contains("larger than 9 bytes") && !e.contains("0123"),
        "{e}"
    );
    // A file that says it is empty, and is not.
    assert!(read_bounded(Path::new("/proc/self/status"), 10).is_err());
    assert!(
        read_bounded(Path::new("/proc/self/status"), 100_000)
            .unwrap()
            .unwrap()
            .len()
            > 10
    );
}

#[test]
fn tightening_only_takes_away() {
    let d = dir();
    let f = d.path().join("authkey");
    fs::write(&f, "k").unwrap();
    for (have, want, changed, then) in [
        (0o644, 0o600, true, 0o600),
        (0o600, 0o600, false, 0o600),
        (0o400, 0o600, false, 0o400),
        (0o444, 0o600, true, 0o400),
    ] {
        fs::set_permissions(&f, Permissions::from_mode(have)).unwrap();
        assert_eq!(tighten(&f, want).unwrap(), changed, "{have:o}");
        assert_eq!(mode(&f), then, "{have:o}");
    }
    assert!(tighten(&d.path().join("none"), 0o600).is_err());
}

#[test]
fn there_is_space_and_a_missing_file_has_no_id() {
    let d = dir();
    assert!(free_space(d.path()).unwrap() > 0);
    assert!(free_space(&d.path().join("none")).is_err());
    assert_eq!(FileId::of(&d.path().join("none")).unwrap(), None);
}

#[test]
fn a_directory_is_made_with_its_mode_and_unmade_with_its_parents() {
    let d = tempfile::tempdir().unwrap();
    let p = d.path().join("a/b");
    let mode = |p: &Path| fs::metadata(p).unwrap().mode() & 0o7777;
    let made = make_dir(&p, 0o700).unwrap();
    assert_eq!(made, [d.path().join("a"), p.clone()]);
    assert_eq!((mode(&d.path().join("a")), mode(&p)), (0o755, 0o700));
    assert_eq!(make_dir(&p, 0o755).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(mode(&p), 0o700, "what is there stays as it is");
    fs::write(p.join("x"), "").unwrap();
    unmake_dirs(&made);
    assert!(p.join("x").exists());
    fs::remove_file(p.join("x")).unwrap();
    unmake_dirs(&made);
    assert!(!d.path().join("a").exists());
    fs::write(d.path().join("f"), "").unwrap();
    let e = make_dir(&d.path().join("f/x"), 0o700)
        .unwrap_err()
        .to_string();
    assert!(e.starts_with("create ") && e.contains("; "), "{e}");
}

#[test]
fn what_the_check_right_before_the_rename_refuses_is_not_written() {
    let d = dir();
    let p = d.path().join("f");
    write_atomic(&p, b"old", 0o644).unwrap();
    let refuse = || Err(Error::new("write", "f", "it is another one by now"));
    let e = write_atomic_if(&p, b"new", 0o644, &refuse).unwrap_err();
    assert!(e.to_string().contains("another one by now"), "{e}");
    assert_eq!(fs::read(&p).unwrap(), b"old");
    assert_eq!(fs::read_dir(d.path()).unwrap().count(), 1);
    // The check finds the old file still there.
    let sees = || {
        assert_eq!(fs::read(&p).unwrap(), b"old");
        Ok(())
    };
    assert_eq!(
        write_atomic_if(&p, b"new", 0o644, &sees).unwrap(),
        Written::Replaced
    );
    assert_eq!(fs::read(&p).unwrap(), b"new");
}

#[test]
fn a_link_stays_where_the_file_behind_it_is_removed() {
    let d = dir();
    let (link, real) = (d.path().join("link"), d.path().join("real"));
    symlink("real", &link).unwrap();
    write_atomic(&link, b"text", 0o644).unwrap();
    remove(&link).unwrap();
    assert!(!real.exists() && fs::symlink_metadata(&link).unwrap().is_symlink());
    remove(&link).unwrap();
}
