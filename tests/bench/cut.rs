//! From cutting a node off until somebody on it hears that quorum is lost: a subscriber of clusmgr,
//! `corosync-quorumtool -m` and the log line of `corosync-notifyd`, all in the same cut.

use crate::agent::{Agent, ask_all};
use crate::notify::subscribe;
use crate::stats::{Row, Samples, remark, table};
use clusmgr::sys::clock;
use clusmgr::types::Mono;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const ROUNDS: u32 = 20;
const LIMIT: Duration = Duration::from_secs(60);

pub fn run(lab: &str, dir: &str) {
    let mut agents = Agent::three(lab, dir);
    ask_all(&mut agents, "daemon");
    ask_all(&mut agents, "ring");
    agents[2].ask("witness");
    let mut times = [(); 3].map(|()| Samples::default());
    let mut over = Samples::default();
    for round in 0..ROUNDS {
        // Not in step with anybody's period.
        thread::sleep(Duration::from_millis(u64::from(200 + round * 137 % 250)));
        let cut = clock::now();
        verb(lab, dir, &["cut", "n3"]);
        let answer = agents[2].ask("lost");
        let at: Vec<f64> = answer
            .split(' ')
            .map(|ns| Mono(ns.parse().unwrap()).since(cut).as_secs_f64() * 1e3)
            .collect();
        for (times, at) in times.iter_mut().zip(&at) {
            times.push(*at);
        }
        over.push(at[0] - at[1].min(at[2]));
        verb(lab, dir, &["heal"]);
        agents[2].ask("gained");
        ask_all(&mut agents, "ring");
    }
    agents.into_iter().for_each(Agent::end);
    let [ours, tool, notifyd] = &times;
    table(
        "a node cut off until it is told that quorum is lost; token 1000",
        "ms",
        &[
            Row::other("clusmgr, a subscriber's line", ours),
            Row::other("corosync-quorumtool -m", tool),
            Row::other("corosync-notifyd, its log line", notifyd),
            Row::judged(
                "clusmgr after the faster of them",
                &over,
                "<= 5 ms",
                over.median() <= 5.0,
            ),
        ],
    );
    let within = over.within(5.0);
    remark(&format!("{within} of {ROUNDS} within 5 ms"));
}

fn verb(lab: &str, dir: &str, words: &[&str]) {
    let done = Command::new(lab).args(["--dir", dir]).args(words).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{words:?}: {done:?}");
}

/// Who is asked in the node; each line comes with its time.
pub struct Witnesses {
    lines: [mpsc::Receiver<(String, Mono)>; 3],
    programs: [Child; 2],
}

/// What each says of a loss, and of a gain.
const LOST: [&str; 3] = ["\"quorum.lost\"", "No", "has lost quorum"];
const GAINED: [&str; 3] = ["\"quorum.gained\"", "Yes", "is now quorate"];

impl Witnesses {
    pub fn call() -> Witnesses {
        let (tool, tool_lines) = program("corosync-quorumtool -m");
        let (notifyd, log) = program("corosync-notifyd -f -o");
        let mut all = Witnesses {
            lines: [subscribe(), tool_lines, log],
            programs: [tool, notifyd],
        };
        // It begins with the present state.
        wait(&all.lines[1], "Quorate:", "Yes");
        all.drain();
        all
    }

    fn drain(&mut self) {
        for lines in &self.lines {
            while lines.try_recv().is_ok() {}
        }
    }

    /// When each told that quorum is lost.
    pub fn lost(&mut self) -> String {
        self.told(LOST)
    }

    /// Waits until each has told that quorum is there again.
    pub fn gained(&mut self) -> String {
        let told = self.told(GAINED);
        self.drain();
        told
    }

    fn told(&self, words: [&str; 3]) -> String {
        let [line, tool, log] = &self.lines;
        let at = [
            wait(line, "\"kind\"", words[0]),
            wait(tool, "Quorate:", words[1]),
            wait(log, "[notice] n3[3]", words[2]),
        ];
        at.map(|at| at.0.to_string()).join(" ")
    }
}

impl Drop for Witnesses {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// The next line with both.
fn wait(lines: &mpsc::Receiver<(String, Mono)>, a: &str, b: &str) -> Mono {
    loop {
        let got = lines.recv_timeout(LIMIT);
        let (line, at) = got.unwrap_or_else(|e| panic!("no line with {a} and {b}: {e}"));
        if line.contains(a) && line.contains(b) {
            return at;
        }
    }
}

/// A program whose every line, also of its log, comes at once.
fn program(words: &str) -> (Child, mpsc::Receiver<(String, Mono)>) {
    let script = format!("exec stdbuf -oL {words} 2>&1");
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in output.lines() {
            let Ok(line) = line else { return };
            if send.send((line, clock::now())).is_err() {
                return;
            }
        }
    });
    (child, lines)
}
