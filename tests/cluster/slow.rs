//! A corosync that is slow, or was in a reload that got stuck: what counts as a hang, and when.

use crate::bed::{formed, none_of};
use crate::common::Lab;
use std::time::Duration;

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
    n1.put("/tmp/pulses.py", PULSES);
    let pulses = n1.spawn(&format!("python3 /tmp/pulses.py {pid} 12"));
    // All that runs is read again.
    for value in ["on", "off"] {
        n1.run(&["corosync-cmapctl", "-s", "logging.debug", "str", value]);
        crate::common::pause(Duration::from_secs(1));
    }
    n1.wait_gone(pulses);
    assert_eq!(n1.pid(), pid);
    none_of(&n1, seq, &["service.hung", "service.killed"]);
    n1.wait_ring(1);
}
