#![allow(clippy::unwrap_used)]

use super::*;
use std::path::Path;
use std::process::{Command, Output};

const HELPER: &str = "CLUSMGR_TEST_DETACH";

/// Not a test by itself: the program of the tests below, in a process of its own. It detaches and
/// does what the first word of the variable says; the second is the file for what the daemon sees.
#[test]
fn helper() {
    let Ok(how) = std::env::var(HELPER) else {
        return;
    };
    let (how, facts) = how.split_once(' ').unwrap();
    let first = std::process::id();
    let deadline = Duration::from_millis(if how == "silent" { 100 } else { 20_000 });
    let pipe = detach_within(deadline).unwrap();
    let fds: Vec<String> = (0..3)
        .map(|n| fs::read_link(format!("/proc/self/fd/{n}")).unwrap())
        .map(|p| p.display().to_string())
        .collect();
    let more = fs::read_dir("/proc/self/fd").unwrap().count();
    let mask = umask(Mode::empty());
    let text = format!(
        "{} {} {} {} {:o} {} {more}",
        first != std::process::id(),
        nix::unistd::getsid(None).unwrap() != nix::unistd::getpid(),
        nix::unistd::getsid(None).unwrap().as_raw() != i32::try_from(first).unwrap(),
        std::env::current_dir().unwrap().display(),
        mask.bits(),
        fds.join(","),
    );
    fs::write(facts, text).unwrap();
    match how {
        "ready" => pipe.ready(),
        "failed" => pipe.failed(7, "write /x: No space\nleft; free some"),
        "long" => pipe.failed(0, &"ä".repeat(200_000)),
        "silent" => {
            // Outlives the parent, and ends with its test: the file goes.
            let until = Instant::now() + Duration::from_secs(60);
            while Path::new(facts).exists() && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        _ => {}
    }
    std::process::exit(0);
}

fn run(how: &str) -> (Output, String) {
    let d = tempfile::tempdir().unwrap();
    let facts = d.path().join("facts");
    // The shell gives it a descriptor that it must not keep.
    let out = Command::new("sh")
        .arg("-c")
        .arg("exec 7</dev/zero; exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "sys::daemon::tests::helper"])
        .args(["--nocapture", "--test-threads=1"])
        .env(HELPER, format!("{how} {}", facts.display()))
        .output()
        .unwrap();
    let facts = fs::read_to_string(&facts).unwrap_or_default();
    (out, facts)
}

#[test]
fn the_parent_returns_0_when_the_daemon_is_ready() {
    let (out, facts) = run("ready");
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert_eq!(out.stderr, b"");
    // Another process, not the session's leader, in another session; 0, 1, 2, the pipe, and the
    // directory that is being read.
    let null = "/dev/null,/dev/null,/dev/null";
    assert_eq!(facts, format!("true true true / 27 {null} 5"));
}

#[test]
fn the_parent_tells_the_reason_and_returns_the_code() {
    let (out, _) = run("failed");
    assert_eq!(out.status.code(), Some(7));
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(text, "clusmgr: write /x: No space left; free some\n");
}

#[test]
fn a_long_reason_is_cut_and_a_failure_is_never_0() {
    let (out, _) = run("long");
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(text.len() > 1000 && text.len() < 3000, "{}", text.len());
}

#[test]
fn a_daemon_that_dies_without_a_word_is_a_failure() {
    let (out, facts) = run("die");
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(text.contains("died before it was ready"), "{text}");
    assert!(!facts.is_empty());
}

#[test]
fn a_daemon_that_says_nothing_is_not_waited_for_for_ever() {
    let (out, _) = run("silent");
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(text.contains("not ready after 100ms"), "{text}");
}
