//! The command line.

use crate::bed::{Before, as_another, refused};
use crate::common::Lab;

#[test]
fn an_unknown_flag() {
    let lab = Lab::up("bad-flag", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    for flags in [
        &["--nonsense"][..],
        &["-Z"],
        &["-f", "--nonsense"],
        &["-t", "--nonsense"],
    ] {
        let words = [&["clusmgr"], flags].concat();
        let name = flags[flags.len() - 1].trim_start_matches('-');
        refused(&n1.run(&words), "clusmgr", 2, &[name, "clusmgr --help"]);
    }
    refused(
        &n1.run(&["clusmgr", "word"]),
        "clusmgr",
        2,
        &["'word'", "clusmgr --help"],
    );
    refused(
        &n1.ctl(&["status", "--nonsense"]),
        "clusmgrctl",
        2,
        &["--nonsense", "clusmgrctl --help"],
    );
    before.is_so_still(&n1);
}

#[test]
fn an_unknown_driver() {
    let lab = Lab::up("bad-driver", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    for flags in [&["-f"][..], &["-t"], &[]] {
        let words = [&["clusmgr", "-D", "pacemaker"], flags].concat();
        let parts = ["pacemaker", "use one of: corosync"];
        refused(&n1.run(&words), "clusmgr", 2, &parts);
    }
    before.is_so_still(&n1);
}

#[test]
fn a_value_out_of_range() {
    let lab = Lab::up("bad-range", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let secs = ["x", "", "-1", "nan", "inf", "1e300", "315360001"];
    for flag in [
        "--poll-interval",
        "--restart-delay",
        "--stable-after",
        "--stop-timeout",
        "--hang-timeout",
    ] {
        for value in secs {
            let value_of = format!("{flag}={value}");
            let parts = [flag, "0 to 315360000", "clusmgr --help"];
            refused(&n1.run(&["clusmgr", &value_of]), "clusmgr", 2, &parts);
        }
    }
    for (flag, values, wanted) in [
        ("--poll-interval", &["0", "0.001"][..], "at least 0.01"),
        ("--stable-after", &["0", "0.09"], "at least 0.1"),
        (
            "--standalone-retry",
            &["", "x", "0", "5:", "60:30", "1:1e300", "-1:5"],
            "SECS:MAX",
        ),
        (
            "--restart-limit",
            &[
                "",
                "x",
                "5/",
                "/60",
                "-1/60",
                "5/-1",
                "4294967296/60",
                "5/0",
                "5/0.5",
            ],
            "N/SECS",
        ),
    ] {
        for value in values {
            let value_of = format!("{flag}={value}");
            let ran = n1.run(&["clusmgr", &value_of]);
            refused(&ran, "clusmgr", 2, &[flag, wanted, "clusmgr --help"]);
        }
    }
    for words in [
        &["start", "--wait=601"][..],
        &["status", "--wait=0"],
        &["status", "--timeout=nan"],
        &["events", "--since=-1"],
    ] {
        refused(&n1.ctl(words), "clusmgrctl", 2, &["clusmgrctl --help"]);
    }
    before.is_so_still(&n1);
}

#[test]
fn an_address_to_listen_on_that_is_none() {
    let lab = Lab::up("bad-listen", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    for (value, wanted) in [
        ("", "10.0.0.1:5407"),
        ("n1", "no name"),
        ("off", "or none"),
        (":5407", "ADDR:PORT"),
        ("10.77.0.1:", "ADDR:PORT"),
        ("10.77.0.1:65536", "ADDR:PORT"),
        ("10.77.0.256", "ADDR:PORT"),
        ("10.77.0.1:0", "1 to 65535"),
        ("[::1", "[::1]:5407"),
        ("fe80::1", "interface"),
        ("224.0.0.1", "one of this node"),
    ] {
        for also in ["-f", "-t"] {
            let ran = n1.run(&["clusmgr", "--listen", value, also]);
            let parts = ["--listen", value, wanted, "clusmgr --help"];
            refused(&ran, "clusmgr", 2, &parts);
        }
    }
    let ran = n1.run(&["clusmgr", "-l", "none", "-l", "10.77.0.1"]);
    refused(&ran, "clusmgr", 2, &["--listen none", "none alone"]);
    let many: Vec<String> = (1..=17).map(|n| format!("-l10.77.0.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let ran = n1.run(&[&["clusmgr"][..], &many].concat());
    refused(&ran, "clusmgr", 2, &["10.77.0.17", "at most 16"]);
    before.is_so_still(&n1);
}

#[test]
fn an_unknown_name_of_a_group_a_facility_or_a_layout() {
    let lab = Lab::up("bad-name", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    for (flag, advice) in [
        ("--group", "/etc/group"),
        ("--facility", "name one of kern"),
        ("--layout", "system, ddr"),
    ] {
        for also in ["-f", "-t"] {
            let ran = n1.run(&["clusmgr", flag, "nowhere", also]);
            refused(&ran, "clusmgr", 2, &["nowhere", advice]);
        }
    }
    before.is_so_still(&n1);
}

#[test]
fn a_path_that_is_too_long_or_no_text() {
    let lab = Lab::up("bad-long", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let run = format!("/tmp/{}", "r".repeat(91));
    let socket = format!("/tmp/{}", "s".repeat(103));
    for flags in [&["-f"][..], &["-t"], &[]] {
        for (flag, value, name) in [("-R", &run, "--run-dir"), ("-s", &socket, "--socket")] {
            let words = [&["clusmgr", flag, value], flags].concat();
            let advice = format!("name a shorter one with {name}");
            refused(&n1.run(&words), "clusmgr", 2, &["107 bytes", &advice]);
        }
        let long = format!("/tmp/{}", "d".repeat(300));
        let words = [&["clusmgr", "-R", "/tmp/r", "-S", &long], flags].concat();
        let ran = n1.run(&words);
        assert_eq!(ran.code, 1, "{ran:?}");
        let advice = "name a shorter one with --state-dir";
        assert!(ran.err.contains(advice), "{ran:?}");
    }
    assert!(!n1.file("/tmp/r").exists() && !n1.file(&run).exists());
    let ran = n1.sh("clusmgr -S $'\\xff'");
    refused(&ran, "clusmgr", 2, &["argument 2", "not UTF-8", "--help"]);
    before.is_so_still(&n1);
}

#[test]
fn not_root() {
    let lab = Lab::up("bad-uid", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let nobody = as_another(&n1, 65534);
    let nobody: Vec<&str> = nobody.iter().map(String::as_str).collect();
    for flags in [&["-f"][..], &["-t"], &[], &["-R", "/tmp/r", "-S", "/tmp/s"]] {
        let words = [&nobody[..], &["clusmgr"], flags].concat();
        refused(&n1.run(&words), "clusmgr", 4, &["run it as root"]);
    }
    assert!(!n1.file("/tmp/r").exists() && !n1.file("/tmp/s").exists());
    before.is_so_still(&n1);
}

#[test]
fn version_and_help_are_no_errors() {
    let lab = Lab::up("bad-help", "1", &[]);
    let n1 = lab.node(1);
    let before = Before::running(&n1);
    let version = env!("CARGO_PKG_VERSION");
    for (program, flags) in [
        ("clusmgr", ["-V", "--version"]),
        ("clusmgrctl", ["-V", "--version"]),
    ] {
        for flag in flags {
            let ran = n1.run(&[program, flag]);
            assert_eq!(ran.err, "");
            assert_eq!(ran.ok(), format!("{program} {version}\n"));
        }
    }
    for (program, flags) in [
        ("clusmgr", ["-h", "--help"]),
        ("clusmgrctl", ["-h", "--help"]),
    ] {
        for flag in flags {
            let ran = n1.run(&[program, flag]);
            assert_eq!(ran.err, "");
            let out = ran.ok();
            assert!(out.contains("Usage: ") && out.contains("--help"), "{out}");
        }
    }
    before.is_so_still(&n1);
}
