#![allow(clippy::unwrap_used)]

use super::*;

fn run(args: &[&str]) -> Result<Flags> {
    match read(args.iter().map(OsString::from))? {
        Asked::Run(flags) => Ok(*flags),
        Asked::Print(text) => unreachable!("{text}"),
    }
}

#[test]
fn without_flags_the_defaults_are_those_of_the_readme() {
    let f = run(&[]).unwrap();
    assert_eq!(f.driver, "corosync");
    assert_eq!(f.socket, Path::new("/run/clusmgr/clusmgr.sock"));
    assert_eq!(f.pid_file, Path::new("/run/clusmgr/clusmgr.pid"));
    assert_eq!(f.policy, Policy::default());
    assert_eq!(f.hang_timeout, Some(Duration::from_secs(5)));
    assert_eq!(f.poll_interval, Duration::from_secs(1));
    assert_eq!(f.listen, Listen::Links);
}

#[test]
fn the_places_to_listen_are_collected() {
    let f = run(&["-l", "10.0.0.1", "--listen=[::1]:99"]).unwrap();
    let expected = ["10.0.0.1:5407", "[::1]:99"].map(|a| a.parse().unwrap());
    assert_eq!(f.listen, Listen::Addrs(expected.to_vec()));
    assert_eq!(run(&["-l", "none"]).unwrap().listen, Listen::Off);
}

#[test]
fn the_run_directory_moves_socket_and_pid_file() {
    let f = run(&["-R", "/x", "-s", "/y/s"]).unwrap();
    assert_eq!(f.pid_file, Path::new("/x/clusmgr.pid"));
    assert_eq!(f.socket, Path::new("/y/s"));
}

#[test]
fn values_are_checked_and_named_in_the_error() {
    for (args, object) in [
        (["--poll-interval", "x"], "use --poll-interval x"),
        (["--poll-interval", "0"], "use --poll-interval"),
        (["--stop-timeout", "-1"], "use --stop-timeout -1"),
        (["--stop-timeout", "inf"], "use --stop-timeout inf"),
        (["--restart-limit", "a/b"], "use --restart-limit a/b"),
        (
            ["--standalone-retry", "60:30"],
            "use --standalone-retry 60:30",
        ),
        (["--standalone-retry", "0"], "use --standalone-retry 0"),
        (["--stable-after", "0"], "use --stable-after"),
        (["--stable-after", "0.09"], "use --stable-after"),
        (["--restart-limit", "5/0"], "use --restart-limit 5/0"),
        (["--restart-limit", "5/0.9"], "use --restart-limit 5/0.9"),
        (["--layout", "other"], "use --layout other"),
        (["--facility", "nowhere"], "nowhere"),
        (["--listen", "n1:5407"], "use --listen n1:5407"),
        (["--nonsense", "x"], "read the command line"),
        (["a", "b"], "read the command line"),
    ] {
        let e = run(&args).unwrap_err();
        assert_eq!(e.of_kind(), Kind::Usage, "{e}");
        assert!(e.to_string().contains(object), "{e}");
    }
}

#[test]
fn a_path_that_no_socket_can_have_is_refused() {
    // RUN/clusmgr.sock and RUN/notify.sock have 107 bytes at most.
    for (flag, most) in [("-R", 107 - "/clusmgr.sock".len()), ("-s", 107)] {
        let path = |len: usize| format!("/{}", "x".repeat(len - 1));
        assert!(run(&[flag, &path(most)]).is_ok());
        let e = run(&[flag, &path(most + 1)]).unwrap_err();
        assert_eq!(e.of_kind(), Kind::Usage, "{e}");
        assert!(e.to_string().contains("107 bytes"), "{e}");
    }
    let long = format!("/{}", "x".repeat(94));
    assert!(run(&["-R", &long, "-s", "/s"]).is_ok());
    let long = format!("/{}", "x".repeat(95));
    let e = run(&["-R", &long, "-s", "/s"]).unwrap_err();
    assert!(e.to_string().contains("notify.sock"), "{e}");
}

#[test]
fn an_argument_that_is_not_utf_8_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let args = [OsString::from("-S"), OsString::from_vec(vec![b'/', 0xff])];
    let e = read(args).unwrap_err();
    assert_eq!(e.of_kind(), Kind::Usage);
    let e = e.to_string();
    assert!(
        e.starts_with("read argument 2 (/\u{fffd}): it is not UTF-8;"),
        "{e}"
    );
}

#[test]
fn limits_and_retries_are_read() {
    let f = run(&[
        "--restart-limit",
        "0",
        "--standalone-retry",
        "0.5:2",
        "--hang-timeout",
        "0",
    ])
    .unwrap();
    assert_eq!(f.policy.restart_limit, 0);
    assert_eq!(f.policy.retry_first, Duration::from_millis(500));
    assert_eq!(f.policy.retry_max, Duration::from_secs(2));
    assert_eq!(f.hang_timeout, None);
}

#[test]
fn a_layout_gives_all_paths_and_a_flag_replaces_one() {
    let f = run(&["--layout", "ddr", "--authkey", "/k"]).unwrap();
    assert_eq!(f.corosync.bin, Path::new("/ddr/bin/corosync"));
    assert_eq!(
        f.corosync.conf,
        Path::new("/ddr/var/corosync/etc/corosync/corosync.conf")
    );
    assert_eq!(
        f.corosync.pid,
        Path::new("/ddr/var/corosync/var/run/corosync.pid")
    );
    assert_eq!(f.corosync.authkey, Path::new("/k"));
}
