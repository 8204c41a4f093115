//! One process found among 2,000: `find_process` beside `pgrep -x`, in turns.

use crate::stats::{Row, Samples, table};
use clusmgr::sys::procfs::Proc;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const PROCESSES: usize = 2000;
const ROUNDS: usize = 100;

/// Processes that sleep; they end when this is dropped.
struct Sleepers(Vec<Child>);

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

fn sleeper(exe: &Path) -> Child {
    Command::new(exe)
        .arg("600")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

pub fn run() {
    let exe = Path::new("/tmp/bench-needle");
    std::fs::copy("/usr/bin/sleep", exe).unwrap();
    let mut all = Sleepers(Vec::new());
    for n in 1..PROCESSES {
        all.0.push(sleeper(Path::new("/usr/bin/sleep")));
        if n == PROCESSES / 2 {
            all.0.push(sleeper(exe));
        }
    }
    let (mut ours, mut pgrep) = (Samples::default(), Samples::default());
    let proc = Proc::default();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let found = proc.find_process("bench-needle", Some(exe)).unwrap();
        ours.push_ms(begin.elapsed());
        assert_eq!(found.len(), 1, "{found:?}");

        let begin = Instant::now();
        let out = Command::new("pgrep").args(["-x", "bench-needle"]).output();
        pgrep.push_ms(begin.elapsed());
        let text = String::from_utf8(out.unwrap().stdout).unwrap();
        assert_eq!(text.trim(), found[0].pid.to_string());
    }
    drop(all);
    std::fs::remove_file(exe).unwrap();
    table(
        &format!("one process found among {PROCESSES}"),
        "ms",
        &[
            Row::judged(
                "find_process",
                &ours,
                "<= pgrep",
                ours.median() <= pgrep.median(),
            ),
            Row::other("pgrep -x", &pgrep),
        ],
    );
}
