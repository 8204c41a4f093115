#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use tempfile::TempDir;

/// A made proc with a `self` in namespaces `NAME:[1]`.
fn made() -> (TempDir, Proc) {
    let dir = tempfile::tempdir().unwrap();
    namespaces(&dir.path().join("self"), 1);
    let proc = Proc::at(dir.path());
    (dir, proc)
}

fn namespaces(of: &Path, number: u32) {
    fs::create_dir_all(of.join("ns")).unwrap();
    for n in NAMESPACES {
        symlink(format!("{n}:[{number}]"), of.join("ns").join(n)).unwrap();
    }
}

fn line(pid: i32, comm: &str, state: char, start: u64) -> String {
    format!(
        "{pid} ({comm}) {state} 1 {pid} {pid} 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 {start} 99 1\n"
    )
}

fn add(proc: &Proc, pid: i32, comm: &str, state: char, start: u64, exe: &str, ns: u32) {
    let dir = proc.root.join(pid.to_string());
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
    fs::write(dir.join("stat"), line(pid, comm, state, start)).unwrap();
    if !exe.is_empty() {
        symlink(exe, dir.join("exe")).unwrap();
    }
    namespaces(&dir, ns);
}

fn id(pid: i32, starttime: u64, exe: &str) -> ProcId {
    ProcId {
        pid: Pid(pid),
        starttime,
        exe: exe.into(),
    }
}

proptest! {
    #[test]
    fn any_name_is_read_from_a_stat_line(
        pid in 1i32..,
        comm in proptest::collection::vec(prop_oneof![
            1u8..=255, Just(b')'), Just(b'('), Just(b' '), Just(b'\n')
        ], 0..=15),
        state in "[RSDTtZXI]",
        ids in (any::<i32>(), any::<i32>(), any::<i32>()),
        middle in proptest::collection::vec(any::<i64>(), 15),
        starttime in any::<u64>(),
        more in proptest::collection::vec(any::<u64>(), 0..30),
    ) {
        let mut text = format!("{pid} (").into_bytes();
        text.extend_from_slice(&comm);
        text.extend_from_slice(format!(") {state} {} {} {}", ids.0, ids.1, ids.2).as_bytes());
        for n in middle {
            text.extend_from_slice(format!(" {n}").as_bytes());
        }
        text.extend_from_slice(format!(" {starttime}").as_bytes());
        for n in more {
            text.extend_from_slice(format!(" {n}").as_bytes());
        }
        text.push(b'\n');
        prop_assert_eq!(Stat::parse(&text), Some(Stat {
            pid: Pid(pid), comm, state: state.chars().next().unwrap(),
            ppid: ids.0, pgrp: ids.1, session: ids.2, starttime,
        }));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Stat::parse(&bytes);
    }

    #[test]
    fn a_cut_line_is_refused_or_the_same_but_for_its_last_number(cut in 0usize..60) {
        let whole = line(7, "a) S 1 (b", 'S', 4711);
        let cut = cut.min(whole.len());
        if let Some(stat) = Stat::parse(&whole.as_bytes()[..cut]) {
            prop_assert_eq!(stat.comm, b"a) S 1 (b".to_vec());
            prop_assert!("4711".starts_with(&stat.starttime.to_string()));
        }
    }
}

/// A running copy of sleep under a name of our choice: the kernel takes the name from the file.
struct Sleeper {
    child: Child,
    path: PathBuf,
}

impl Sleeper {
    fn start(dir: &Path, name: &str) -> Sleeper {
        let path = dir.join(name);
        fs::copy("/bin/sleep", &path).unwrap();
        let child = Command::new(&path).arg("600").spawn().unwrap();
        Sleeper { child, path }
    }
    fn pid(&self) -> Pid {
        Pid(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agree(pid: Pid) {
    let ours = Proc::default().read_stat(pid).unwrap().unwrap();
    let theirs = procfs::process::Process::new(pid.0)
        .unwrap()
        .stat()
        .unwrap();
    assert_eq!(ours.pid.0, theirs.pid);
    assert_eq!(ours.comm, theirs.comm.as_bytes());
    assert_eq!(ours.ppid, theirs.ppid);
    assert_eq!(ours.pgrp, theirs.pgrp);
    assert_eq!(ours.session, theirs.session);
    assert_eq!(ours.starttime, theirs.starttime);
    assert!("RSDI".contains(ours.state) && "RSDI".contains(theirs.state));
}

#[test]
fn the_procfs_crate_reads_the_same_of_ourselves_and_of_oddly_named_children() {
    agree(Pid(i32::try_from(std::process::id()).unwrap()));
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "a b",
        ") R 1 (",
        "((",
        "))",
        "new\nline)",
        "a name over fifteen bytes",
    ] {
        let sleeper = Sleeper::start(dir.path(), name);
        agree(sleeper.pid());
        let found = Proc::default()
            .find_process(name, Some(&sleeper.path))
            .unwrap();
        assert_eq!(found.len(), 1, "{name:?}");
        assert_eq!(found[0].pid, sleeper.pid());
        assert_eq!(found[0].exe, fs::canonicalize(&sleeper.path).unwrap());
    }
}

#[test]
fn a_replaced_executable_is_told_and_is_still_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    let dir_path = fs::canonicalize(dir.path()).unwrap();
    let mut s = Sleeper::start(&dir_path, "cm-replaced");
    let proc = Proc::default();
    let who = proc.identify(s.pid()).unwrap().unwrap();
    assert_eq!(who.exe, s.path);
    fs::remove_file(&s.path).unwrap();
    let exe = proc.exe(s.pid()).unwrap().unwrap();
    assert_eq!((exe.path.as_path(), exe.deleted), (s.path.as_path(), true));
    assert!(matches!(proc.check_process(&who).unwrap(), Check::Alive(_)));
    assert!(proc.same_namespaces(s.pid()));
    s.child.kill().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while proc.check_process(&who).unwrap() != Check::Alive('Z') {
        assert!(std::time::Instant::now() < deadline, "it became no zombie");
        std::thread::yield_now();
    }
    assert_eq!(proc.identify(s.pid()).unwrap(), None);
    s.child.wait().unwrap();
    assert_eq!(proc.check_process(&who).unwrap(), Check::Gone);
}

#[test]
fn a_process_is_checked_by_start_time_and_executable() {
    let (_dir, proc) = made();
    add(&proc, 10, "corosync", 'S', 500, "/usr/sbin/corosync", 1);
    add(
        &proc,
        11,
        "corosync",
        'T',
        500,
        "/usr/sbin/corosync (deleted)",
        1,
    );
    add(&proc, 12, "corosync", 'Z', 500, "", 1);
    let check = |pid, start, exe| proc.check_process(&id(pid, start, exe)).unwrap();
    assert_eq!(check(10, 500, "/usr/sbin/corosync"), Check::Alive('S'));
    assert_eq!(check(10, 501, "/usr/sbin/corosync"), Check::Other);
    assert_eq!(check(10, 500, "/bin/other"), Check::Other);
    assert_eq!(check(10, 500, ""), Check::Alive('S'));
    assert_eq!(check(11, 500, "/usr/sbin/corosync"), Check::Alive('T'));
    assert_eq!(check(12, 500, "/usr/sbin/corosync"), Check::Alive('Z'));
    assert_eq!(check(13, 500, "/usr/sbin/corosync"), Check::Gone);
}

#[test]
fn only_our_own_namespaces_are_searched_and_names_are_whole() {
    let (_dir, proc) = made();
    add(&proc, 10, "corosync", 'S', 1, "/usr/sbin/corosync", 1);
    add(&proc, 11, "corosync", 'S', 2, "/usr/sbin/corosync", 2);
    add(
        &proc,
        12,
        "corosync-qdevice",
        'S',
        3,
        "/usr/sbin/corosync-qdevice",
        1,
    );
    add(&proc, 13, "coro", 'S', 4, "/usr/sbin/coro", 1);
    add(&proc, 14, "corosync", 'Z', 5, "", 1);
    add(&proc, 15, "corosync", 'S', 6, "/opt/corosync", 1);
    fs::create_dir(proc.root.join("sys")).unwrap();
    let mut all = proc.find_process("corosync", None).unwrap();
    all.sort_by_key(|p| p.pid);
    assert_eq!(
        all,
        [id(10, 1, "/usr/sbin/corosync"), id(15, 6, "/opt/corosync")]
    );
    let exe = Path::new("/opt/corosync");
    assert_eq!(
        proc.find_process("corosync", Some(exe)).unwrap(),
        [id(15, 6, "/opt/corosync")]
    );
    assert!(!proc.same_namespaces(Pid(11)) && proc.same_namespaces(Pid(10)));
    assert!(!proc.same_namespaces(Pid(99)));
}

#[test]
fn of_processes_with_another_name_only_comm_is_read() {
    let (_dir, proc) = made();
    for pid in 100..2100 {
        let dir = proc.root.join(pid.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("comm"), "other\n").unwrap();
        // Whoever reads the rest would find nonsense, and fail.
        fs::write(dir.join("stat"), "nonsense").unwrap();
    }
    add(&proc, 50, "corosync", 'S', 1, "/usr/sbin/corosync", 1);
    let found = proc.find_process("corosync", None).unwrap();
    assert_eq!(found, [id(50, 1, "/usr/sbin/corosync")]);
}

#[test]
fn what_is_not_proc_is_an_error_that_names_it() {
    let e = Proc::at("/nonexistent")
        .find_process("x", None)
        .unwrap_err();
    assert!(e.to_string().starts_with("list /nonexistent: "), "{e}");
    let (_dir, proc) = made();
    fs::create_dir(proc.root.join("5")).unwrap();
    fs::write(proc.root.join("5/stat"), "5 (x) S").unwrap();
    let e = proc.read_stat(Pid(5)).unwrap_err();
    assert!(e.to_string().ends_with("5/stat: not a stat line"), "{e}");
    assert_eq!(proc.read_stat(Pid(6)).unwrap(), None);
    assert!(proc.boot_id().is_err());
}

#[test]
fn the_boot_has_a_name() {
    assert_eq!(Proc::default().boot_id().unwrap().len(), 36);
}

#[test]
fn switches_are_the_sum_of_both_counts_and_none_where_one_is_missing() {
    let (_dir, proc) = made();
    let status = |text: &str| {
        fs::create_dir_all(proc.root.join("7")).unwrap();
        fs::write(proc.root.join("7/status"), text).unwrap();
        proc.switches(Pid(7))
    };
    let both = "Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
    assert_eq!(status(both), Some(42));
    assert_eq!(status("Name:\tx\nvoluntary_ctxt_switches:\t40\n"), None);
    assert_eq!(status(""), None);
    assert_eq!(proc.switches(Pid(8)), None);
    let own = Pid(i32::try_from(std::process::id()).unwrap());
    assert!(Proc::default().switches(own).is_some());
}

#[test]
fn numbers_in_other_pid_namespaces_are_those_of_containers_only() {
    let (_dir, proc) = made();
    for (pid, ns, numbers) in [
        (10, 1, "10"),
        (11, 2, "11\t64"),
        (12, 3, "12\t2\t1"),
        (13, 2, ""),
    ] {
        add(&proc, pid, "x", 'S', 5, "/x", ns);
        let status = format!("Name:\tx\nNSpid:\t{numbers}\nThreads:\t1\n");
        fs::write(proc.root.join(format!("{pid}/status")), status).unwrap();
    }
    add(&proc, 14, "x", 'S', 5, "/x", 2);
    let found: Vec<i32> = proc.numbers_elsewhere().into_iter().map(|p| p.0).collect();
    assert_eq!(found, [1, 2, 64]);
}
