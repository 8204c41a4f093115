//! What the configuration costs: to check and to write one, in the library; and a change of a timer
//! until it is proved, beside a copy of the file and corosync's own reload, in turns.

use crate::stats::{Row, Samples, remark, table};
use clusmgr::driver::corosync::nodes::LocalHost;
use clusmgr::driver::corosync::validate::{KeyFile, validate};
use clusmgr::driver::corosync::{parse, render};
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SIZES: [u32; 3] = [2, 16, 32];
const CALLS: usize = 500;
const APPLIES: u64 = 40;
const CONF: &str = "/etc/corosync/corosync.conf";
const NEW: &str = "/tmp/bench-new.conf";

pub fn run() {
    library();
    apply();
}

fn text(nodes: u32) -> String {
    let mut text = "totem {\n\tversion: 2\n\tcluster_name: bench\n\tconfig_version: 1\n\ttransport: knet\n\
                    \tcrypto_cipher: aes256\n\tcrypto_hash: sha256\n\ttoken: 1000\n}\n\
                    quorum {\n\tprovider: corosync_votequorum\n}\nlogging {\n\tto_syslog: yes\n}\nnodelist {\n"
        .to_owned();
    for n in 1..=nodes {
        writeln!(
            text,
            "\tnode {{\n\t\tring0_addr: 10.0.0.{n}\n\t\tring1_addr: 10.0.1.{n}\n\t\tname: n{n}\n\t\tnodeid: {n}\n\t}}"
        )
        .unwrap();
    }
    text + "}\n"
}

fn library() {
    let host = LocalHost {
        node_name: "n1".to_owned(),
        hostname: "n1".to_owned(),
        addresses: Vec::new(),
    };
    let mut all = Vec::new();
    for nodes in SIZES {
        let text = text(nodes);
        let mut times = [(); 3].map(|()| Samples::default());
        for _ in 0..CALLS {
            let begin = Instant::now();
            let config = parse::parse(text.as_bytes()).unwrap();
            let parsed = begin.elapsed();
            let begin = Instant::now();
            let findings = validate(&config, &host, KeyFile::Present);
            let validated = begin.elapsed();
            assert!(findings.is_empty(), "{findings:?}");
            let begin = Instant::now();
            let rendered = render::render(&config).unwrap();
            let written = begin.elapsed();
            assert!(rendered.len() > 100);
            for (times, took) in times.iter_mut().zip([parsed, validated, written]) {
                times.push(took.as_secs_f64() * 1e6);
            }
        }
        for (what, times) in ["parse", "validate", "render"].into_iter().zip(times) {
            all.push((format!("{what}, {nodes} nodes"), times));
        }
    }
    let rows: Vec<Row<'_>> = all.iter().map(|(w, s)| Row::other(w, s)).collect();
    table("a configuration, in the library", "us", &rows);
}

/// The live text under the next version, with another token.
fn next() {
    let text = fs::read_to_string(CONF).unwrap();
    let edited = text.lines().map(|line| match line.trim().split_once(": ") {
        Some(("config_version", v)) => {
            format!("\tconfig_version: {}", v.parse::<u64>().unwrap() + 1)
        }
        Some(("token", v)) => format!("\ttoken: {}", if v == "1000" { 1500 } else { 1000 }),
        _ => line.to_owned(),
    });
    fs::write(NEW, edited.map(|l| l + "\n").collect::<String>()).unwrap();
}

fn timed(program: &str, words: &[&str]) -> Duration {
    let begin = Instant::now();
    let out = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output();
    let took = begin.elapsed();
    let out = out.unwrap();
    assert!(out.status.success(), "{program} {words:?}: {out:?}");
    took
}

fn apply() {
    let mut daemon = Command::new("clusmgr")
        .arg("-f")
        .stdin(Stdio::null())
        .stderr(fs::File::create("/var/log/clusmgr.err").unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !Command::new("clusmgrctl")
        .args(["start", "--wait=30"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
    {
        assert!(Instant::now() < deadline, "corosync does not run");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut times = [(); 3].map(|()| Samples::default());
    for _ in 0..APPLIES {
        next();
        times[0].push_ms(timed("clusmgrctl", &["config", "apply", NEW]));
        next();
        let copied = timed("cp", &[NEW, CONF]);
        times[1].push_ms(copied + timed("corosync-cfgtool", &["-R"]));
        // Not timed: clusmgr takes the other's work in.
        timed("clusmgrctl", &["config", "adopt"]);
        times[2].push_ms(timed("corosync-cmapctl", &[]));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    daemon.wait().unwrap();
    let over = times[0].median() - times[1].median();
    table(
        "another token, until it is proved",
        "ms",
        &[
            Row::judged(
                "clusmgrctl config apply",
                &times[0],
                "<= 100 ms over",
                over <= 100.0,
            ),
            Row::other("cp, corosync-cfgtool -R", &times[1]),
            Row::other("(one corosync-cmapctl)", &times[2]),
        ],
    );
    remark(&format!("clusmgr is {over:.1} ms over the median"));
}
