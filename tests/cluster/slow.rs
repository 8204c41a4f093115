//! A corosync that is slow, or was in a reload that got stuck: what counts as a hang, and when.

use crate::bed::{formed, none_of, wait_after};
use crate::common::{Lab, Node};
use crate::stall;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lets a process run for an instant ten times a second, for so many seconds.
const PULSES: &str = "import os, signal, sys, time
pid, end = int(sys.argv[1]), time.time() + float(sys.argv[2])
while time.time() < end:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(.1)
    os.kill(pid, signal.SIGCONT)
    time.sleep(.0004)
";

#[test]
fn a_corosync_that_answers_each_call_is_no_hang_however_long_all_of_them_take() {
    let flags = ["--hang-timeout", "2", "--poll-interval", "0.2"];
    let lab = Lab::up("slow-answers", "1", &flags);
    let n1 = lab.node(1);
    let pid = formed(&lab, 1)[0];
    let seq = n1.latest();
    // What it runs with is long, so that a busy machine's pulses are enough too.
    let keys = (0..1000).map(|n| format!("resources.test.key{n} u32 {n}\n"));
    n1.put("/tmp/keys", keys.collect::<String>());
    n1.run(&["corosync-cmapctl", "-p", "/tmp/keys"]).ok();
    n1.put("/tmp/pulses.py", PULSES);
    let pulses = n1.spawn(&format!("python3 /tmp/pulses.py {pid} 12"));
    // All that runs is read again.
    for value in ["on", "off"] {
        n1.run(&["corosync-cmapctl", "-s", "logging.debug", "str", value]);
        crate::common::pause(Duration::from_secs(1));
    }
    n1.wait_gone(pulses);
    none_of(&n1, seq, &["service.hung", "service.killed"]);
    assert_eq!(n1.pid(), pid);
    n1.wait_ring(1);
}

const CONF: &str = "/etc/corosync/corosync.conf";

/// By how much sleeping threads are late on a busy machine, at most.
struct Late {
    most: Arc<AtomicU64>,
}

impl Late {
    fn watch() -> Late {
        let most = Arc::new(AtomicU64::new(0));
        let seen = Arc::downgrade(&most);
        std::thread::spawn(move || {
            let step = Duration::from_millis(20);
            while let Some(most) = seen.upgrade() {
                let begin = Instant::now();
                std::thread::sleep(step);
                let late = begin.elapsed().saturating_sub(step).as_millis();
                most.fetch_max(u64::try_from(late).unwrap(), Ordering::Relaxed);
            }
        });
        Late { most }
    }

    /// Of all who take part in a restart, one after the other.
    fn of_all(&self) -> Duration {
        Duration::from_millis(10 * self.most.load(Ordering::Relaxed))
    }
}

/// From the last moment at which corosync can have answered to the start of the next one; what a busy
/// machine adds is not counted.
#[track_caller]
fn replaced_within(node: &Node<'_>, pid: i64, limit: Duration) {
    stall::fill(node);
    let seq = node.latest();
    let late = Late::watch();
    let begin = stall::stall(node, pid);
    let hung = wait_after(node, seq, "service.hung", |_| true);
    let text = hung["text"].as_str().unwrap();
    assert!(text.contains("left a call unanswered"), "{text}");
    let started = wait_after(node, seq, "service.starting", |_| true);
    let took = Duration::from_millis(started["at"].as_u64().unwrap() - begin);
    let late = late.of_all();
    assert!(took < limit + late, "{took:?}, and {late:?} late");
}

#[test]
fn a_call_that_is_not_answered_is_a_hang_in_time_with_the_flags_as_they_are() {
    // A death of a run that was not stable is answered later.
    let lab = stall::up("hang-default", &["--stable-after", "0.1"]);
    let n1 = lab.node(1);
    for _ in 0..2 {
        let pid = formed(&lab, 1)[0];
        // 5 s of hanging, and 2 s for all else.
        replaced_within(&n1, pid, Duration::from_secs(7));
    }
}

#[test]
fn after_a_reload_that_got_stuck_a_hang_is_one_as_ever() {
    let flags = ["--hang-timeout", "2", "--poll-interval", "0.2"];
    let lab = stall::up("hang-stuck", &flags);
    let n1 = lab.node(1);
    let pid = formed(&lab, 1)[0];
    let good = n1.read(CONF);
    n1.put(CONF, [good.as_slice(), b"}\n"].concat());
    n1.run(&["corosync-cfgtool", "-R"]);
    wait_after(&n1, 0, "reload.stuck", |_| true);
    n1.put(CONF, &good);
    replaced_within(&n1, pid, Duration::from_secs(8));
}
