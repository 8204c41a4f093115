#![allow(clippy::unwrap_used)]

use super::sink::FACILITIES;
use super::*;
use crate::error::Kind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// More than the queue and any socket's buffer hold.
const LINES: u64 = 10_000;

const DEADLINE: Duration = Duration::from_secs(20);

fn to(path: &Path) -> (Logger, Handle) {
    let target = Target::Syslog {
        facility: facility("daemon").unwrap(),
        paths: vec!["/nonexistent/log".into(), path.into()],
    };
    spawn(target, LevelFilter::Debug).unwrap()
}

fn say(logger: &Logger, level: Level, target: &str, text: &str) {
    logger.log(
        &Record::builder()
            .level(level)
            .target(target)
            .args(format_args!("{text}"))
            .build(),
    );
}

fn syslogd(path: &Path) -> UnixDatagram {
    let s = UnixDatagram::bind(path).unwrap();
    s.set_read_timeout(Some(DEADLINE)).unwrap();
    s
}

fn receive(s: &UnixDatagram) -> String {
    let mut buf = vec![0; 65_536];
    let n = s.recv(&mut buf).unwrap();
    String::from_utf8(buf[..n].to_vec()).unwrap()
}

fn tag(text: &str) -> String {
    format!("clusmgr[{}]: {text}", std::process::id())
}

#[test]
fn lines_have_their_priority_and_are_one_line_each() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("log");
    let s = syslogd(&path);
    let (logger, handle) = to(&path);
    // daemon is facility 3: 24 and the severity.
    for (level, target, priority) in [
        (Level::Error, "crit", 26),
        (Level::Error, "clusmgr::mgr", 27),
        (Level::Warn, "", 28),
        (Level::Info, "notice", 29),
        (Level::Info, "", 30),
        (Level::Debug, "", 31),
    ] {
        say(&logger, level, target, "a\nb\0c");
        assert_eq!(receive(&s), format!("<{priority}>{}", tag("a b c")));
    }
    say(&logger, Level::Trace, "", "too fine");
    say(&logger, Level::Info, "", &"ä".repeat(5000));
    let long = receive(&s);
    assert!(
        long.ends_with('ä') && long.len() < LINE_MAX + 40,
        "{}",
        long.len()
    );
    handle.shutdown();
}

#[test]
fn a_stalled_dev_log_costs_the_others_nothing_and_what_was_dropped_is_told() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("log");
    let s = syslogd(&path);
    let (logger, handle) = to(&path);
    let begun = Instant::now();
    for n in 0..LINES {
        say(&logger, Level::Info, "", &format!("line {n}"));
    }
    // One write alone waits a second.
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    // Now syslogd reads again: lines in order, and the number of those that are not among them.
    let (mut got, mut told, mut next) = (0, 0, 0);
    while got + told < LINES {
        let line = receive(&s);
        if let Some(rest) = line.strip_suffix(" log lines were dropped") {
            assert!(rest.starts_with("<28>"), "{line}");
            told += rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        } else {
            assert!(line.starts_with("<30>"), "{line}");
            let n = line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
            assert!(n >= next, "{n} after {next}");
            (got, next) = (got + 1, n + 1);
        }
    }
    assert_eq!(got + told, LINES);
    assert!(told > 1000 && got > 1000, "{got} written, {told} dropped");
    say(&logger, Level::Info, "", "after");
    assert!(receive(&s).ends_with(": after"));
    handle.shutdown();
}

#[test]
fn after_a_restart_of_syslogd_lines_arrive_again() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("log");
    // Nobody is there at first, as early at boot.
    let (logger, handle) = to(&path);
    say(&logger, Level::Info, "", "early");
    let mut s = syslogd(&path);
    assert!(receive(&s).ends_with(": early"));
    for round in 0..3 {
        drop(s);
        std::fs::remove_file(&path).unwrap();
        say(&logger, Level::Info, "", &format!("down {round}"));
        s = syslogd(&path);
        say(&logger, Level::Info, "", &format!("up {round}"));
        assert!(receive(&s).ends_with(&format!(": down {round}")));
        assert!(receive(&s).ends_with(&format!(": up {round}")));
    }
    handle.shutdown();
}

#[test]
fn the_end_writes_what_is_queued_and_waits_no_longer_than_its_deadline() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("log");
    let s = syslogd(&path);
    let (logger, handle) = to(&path);
    for n in 0..5 {
        say(&logger, Level::Info, "", &format!("last {n}"));
    }
    handle.shutdown();
    for n in 0..5 {
        assert!(receive(&s).ends_with(&format!("last {n}")));
    }
    // What comes after the end is lost, and harms nobody.
    say(&logger, Level::Info, "", "too late");
    let (logger, handle) = to(&path);
    for _ in 0..2000 {
        say(&logger, Level::Info, "", "nobody reads");
    }
    let begun = Instant::now();
    handle.shutdown_within(Duration::from_millis(200));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_dropped_handle_ends_the_thread_though_nobody_is_there_to_write_to() {
    let (logger, handle) = to(Path::new("/nonexistent/log2"));
    say(&logger, Level::Info, "", "to nobody");
    let Handle { thread, stop, done } = handle;
    drop(stop);
    let end = done.recv_timeout(DEADLINE);
    assert_eq!(end, Err(RecvTimeoutError::Disconnected));
    thread.join().unwrap();
}

#[test]
fn an_unknown_facility_lists_those_there_are() {
    let e = facility("demon").unwrap_err();
    assert_eq!(e.of_kind(), Kind::Usage);
    let text = e.to_string();
    assert!(
        text.contains("demon") && text.contains("daemon, auth") && text.contains("local7"),
        "{text}"
    );
    for (name, _) in FACILITIES {
        facility(name).unwrap();
    }
}

#[test]
fn times_are_read_by_people() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_868_799_999, "2000-02-29T23:59:59.999Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_767_225_599_001, "2025-12-31T23:59:59.001Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(utc(WallMs(ms)), text);
    }
}
