#![allow(clippy::unwrap_used)]

use super::super::pidfd::Exit;
use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn run(exe: &Path, argv: &[&str], output: &File) -> Result<Child, SpawnError> {
    spawn(&Program {
        exe,
        argv,
        env: environment(&[("CM_TEST", Path::new("yes"))]),
        output,
        ends_with_us: false,
    })
}

fn reap(child: &Child) -> Exit {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(exit) = child.pidfd.reap() {
            return exit;
        }
        assert!(Instant::now() < deadline, "the child did not end");
        let mut fds = [PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(1000u16)).unwrap();
    }
}

#[test]
fn a_missing_or_unfit_program_comes_back_with_stage_and_errno() {
    let out = tempfile::tempfile().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    for (path, errno) in [
        (dir.path().join("none"), Errno::ENOENT),
        (plain, Errno::EACCES),
    ] {
        let e = run(&path, &["x"], &out).unwrap_err();
        assert_eq!(
            e,
            SpawnError {
                stage: Stage::Exec,
                errno
            }
        );
    }
}

#[test]
fn a_child_that_does_not_get_as_far_as_exec_in_time_is_ended_and_told() {
    let out = tempfile::tempfile().unwrap();
    let program = Program {
        exe: Path::new("/bin/sleep"),
        argv: &["sleep", "60"],
        env: Vec::new(),
        output: &out,
        ends_with_us: false,
    };
    let e = spawn_within(&program, Duration::from_nanos(1)).unwrap_err();
    let late = SpawnError {
        stage: Stage::Deadline,
        errno: Errno::ETIMEDOUT,
    };
    assert_eq!(e, late);
}

#[test]
fn a_child_that_does_not_end_is_waited_for_within_bounds_and_reaped_later() {
    let out = tempfile::tempfile().unwrap();
    // It was not killed at all: as good as a child that SIGKILL does not reach.
    let child = run(Path::new("/bin/sleep"), &["sleep", "60"], &out).unwrap();
    let begin = Instant::now();
    assert!(!reap_within(child.pid, Duration::from_millis(100)));
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(100), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    LEFT.lock().push(child.pid);
    reap_left();
    assert!(LEFT.lock().contains(&child.pid));
    child
        .pidfd
        .signal(nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    ready::wait_any(&[child.pidfd.as_fd()], Duration::from_secs(20));
    run(Path::new("/bin/true"), &["true"], &out)
        .map(|c| reap(&c))
        .unwrap();
    assert!(!LEFT.lock().contains(&child.pid));
    assert!(!Path::new(&format!("/proc/{}", child.pid)).exists());
}

#[test]
fn the_child_has_its_own_session_a_clean_mask_and_no_descriptor_of_ours() {
    // A descriptor that is not close-on-exec must not get through, nor a blocked signal.
    let leak = nix::unistd::dup(std::io::stdin()).unwrap();
    let mut set = nix::sys::signal::SigSet::empty();
    set.add(nix::sys::signal::Signal::SIGUSR1);
    set.thread_block().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = "ls /proc/self/fd | wc -l; grep SigBlk /proc/self/status; grep SigIgn /proc/self/status; \
                  echo $CM_TEST; ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/$$/stat; echo $$; exit 3";
    let child = run(Path::new("/bin/sh"), &["sh", "-c", script], file.as_file()).unwrap();
    assert_eq!(reap(&child), Exit::Code(3));
    set.thread_unblock().unwrap();
    drop(leak);
    let text = std::fs::read_to_string(file.path()).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // 0, 1, 2 and the directory that ls reads (its stdout is the pipe to wc).
    assert_eq!(lines[0], "4", "{text}");
    assert!(lines[1].ends_with("0000000000000000"), "{text}");
    assert!(lines[2].ends_with("0000000000000000"), "{text}");
    assert_eq!(lines[3], "yes");
    assert_eq!(lines[4], lines[5], "session leader: {text}");
    assert_eq!(lines[5], child.pid.to_string());
}

#[test]
fn a_signal_by_descriptor_ends_the_very_process_and_its_number_comes_back() {
    let out = tempfile::tempfile().unwrap();
    let child = run(Path::new("/bin/sleep"), &["sleep", "60"], &out).unwrap();
    assert!(child.pidfd.reap().is_none());
    child
        .pidfd
        .signal(nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    assert_eq!(
        reap(&child),
        Exit::Signal {
            signal: 9,
            core: false
        }
    );
    assert_eq!(
        child.pidfd.signal(nix::sys::signal::Signal::SIGKILL),
        Err(Errno::ESRCH)
    );
}

#[test]
fn a_child_that_is_to_end_with_the_thread_that_spawned_it_does_and_others_do_not() {
    let start = |ends_with_us| {
        let spawned = std::thread::spawn(move || {
            let out = tempfile::tempfile().unwrap();
            spawn(&Program {
                exe: Path::new("/bin/sleep"),
                argv: &["sleep", "60"],
                env: Vec::new(),
                output: &out,
                ends_with_us,
            })
            .unwrap()
        });
        spawned.join().unwrap()
    };
    let (stays, ends) = (start(false), start(true));
    let killed = |child: &Child| matches!(reap(child), Exit::Signal { signal: 9, .. });
    assert!(killed(&ends));
    assert!(stays.pidfd.reap().is_none());
    stays
        .pidfd
        .signal(nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    assert!(killed(&stays));
}
