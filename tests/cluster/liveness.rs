//! A corosync that hangs is replaced; one that merely waits for its ring never is.

use crate::bed::{formed, kinds, none_of, of_kinds, token, up_edited, wait_after};
use crate::common::{Lab, Node, degraded, stays};
use crate::stall;
use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::time::Duration;

/// What clusmgr tells when it takes corosync for dead or hung.
const ACTED: [&str; 5] = [
    "service.hung",
    "service.killed",
    "service.exited",
    "service.stopping",
    "service.starting",
];

/// The whole machine dies at once.
fn power_off(node: &Node<'_>, pid: i64) {
    let words = format!("kill -9 {} {pid}", node.daemon_pid());
    node.sh(&words).ok();
}

/// A peer dies: nobody touches the survivors' corosyncs, however long the ring is silent, and with
/// a hang time-out that is much shorter than that.
#[track_caller]
fn a_peer_dies(lab: &Lab, silence: Duration, dies: impl Fn(i64)) {
    let pids = formed(lab, 3);
    let nodes = [lab.node(1), lab.node(2)];
    let before = nodes.each_ref().map(Node::latest);
    dies(pids[2]);
    stays("the survivors are let be, and quorate", silence, || {
        nodes.iter().zip(&pids).all(|(n, pid)| {
            let s = n.status();
            s["service"]["pid"] == *pid
                && s["service"]["state"] == "running"
                && s["cluster"]["quorate"] == true
                && !degraded(&s).contains(&"not-delivering")
        })
    });
    for (n, seq) in nodes.iter().zip(before) {
        wait_after(n, seq, "node.left", |e| e["fields"]["nodeid"] == 3);
        none_of(n, seq, &ACTED);
        none_of(n, seq, &["quorum.lost", "quorum.gained", "node.joined"]);
    }
}

#[test]
fn a_peers_death_at_token_3000_costs_no_survivor_its_corosync() {
    let flags = ["--hang-timeout", "2", "--poll-interval", "0.2"];
    let lab = up_edited("peer-3000", (3, 1), &flags, token(3000));
    a_peer_dies(&lab, Duration::from_secs(10), |pid| {
        power_off(&lab.node(3), pid);
    });
}

#[test]
fn a_peers_death_at_token_10000_costs_no_survivor_its_corosync() {
    let flags = ["--hang-timeout", "2", "--poll-interval", "0.2"];
    let lab = up_edited("peer-10000", (3, 1), &flags, token(10_000));
    a_peer_dies(&lab, Duration::from_secs(26), |pid| {
        power_off(&lab.node(3), pid);
    });
}

#[test]
fn a_pause_of_the_whole_lab_costs_nobody_its_corosync() {
    let flags = ["--poll-interval", "0.2"];
    let lab = up_edited("pause-all", (3, 1), &flags, token(3000));
    let pids = formed(&lab, 3);
    let nodes = [1, 2, 3].map(|k| lab.node(k));
    let before = nodes.each_ref().map(Node::latest);
    let daemons = nodes.each_ref().map(Node::daemon_pid);
    // clusmgr sees its corosync stopped for a moment before and after, and what lies between is longer than
    // the hang time-out: as on a machine that is paused.
    for ((node, daemon), pid) in nodes.iter().zip(daemons).zip(&pids) {
        node.sh(&format!(
            "kill -STOP {pid} && sleep .5 && kill -STOP {daemon}"
        ))
        .ok();
    }
    stays("all is still", Duration::from_secs(8), || {
        let letters = nodes.iter().zip(&pids).map(|(n, pid)| n.letter(*pid));
        letters.into_iter().all(|letter| letter == "T")
    });
    for ((node, daemon), pid) in nodes.iter().zip(daemons).zip(&pids) {
        node.sh(&format!(
            "kill -CONT {daemon} && sleep .4 && kill -CONT {pid}"
        ))
        .ok();
    }
    stays("nobody is restarted", Duration::from_secs(6), || {
        nodes.iter().zip(&pids).all(|(n, pid)| n.pid() == *pid)
    });
    for ((node, pid), seq) in nodes.iter().zip(&pids).zip(before) {
        node.wait_ring(3);
        none_of(node, seq, &ACTED);
        assert_eq!(node.pid(), *pid);
    }
}

/// The moves of a hang, in the order in which they must be told.
#[track_caller]
fn replaced(node: &Node<'_>, seq: u64, first: i64, how: &str) -> i64 {
    let second = node.wait_other(first);
    let told = of_kinds(
        node,
        seq,
        &[
            "service.hung",
            "service.killed",
            "service.exited",
            "service.starting",
            "service.ready",
        ],
    );
    assert_eq!(
        kinds(&told),
        [
            "service.hung",
            "service.killed",
            "service.exited",
            "service.starting",
            "service.ready"
        ]
    );
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.contains(how), "{text}");
    assert_eq!(told[0]["fields"]["pid"], first);
    assert_eq!(told[2]["fields"]["cause"], "hung: killed by clusmgr");
    assert!(!node.lives(first));
    // What the first one left unanswered is no fault of the second.
    stays("the next one is let be", Duration::from_secs(4), || {
        node.pid() == second
    });
    node.wait_ring(1);
    assert_eq!(of_kinds(node, seq, &["service.hung"]).len(), 1);
    second
}

#[test]
fn only_a_corosync_that_was_stopped_for_too_long_is_replaced() {
    let flags = [
        "--hang-timeout",
        "5",
        "--stable-after",
        "0.1",
        "--poll-interval",
        "0.2",
    ];
    let lab = Lab::up("hang-known", "1", &flags);
    let n1 = lab.node(1);
    let pid = formed(&lab, 1)[0];
    let seq = n1.latest();

    // A short stop.
    n1.kill("STOP", pid);
    stays("stopped, and let be", Duration::from_millis(1200), || {
        n1.letter(pid) == "T"
    });
    n1.kill("CONT", pid);
    n1.wait_ring(1);

    // The whole machine pauses, for longer than the time-out, and more than once. clusmgr sees corosync
    // stopped before and after that, as it is the first to go on.
    let daemon = n1.daemon_pid();
    for _ in 0..2 {
        n1.sh(&format!(
            "kill -STOP {pid} && sleep .4 && kill -STOP {daemon}"
        ))
        .ok();
        n1.wait_letter(daemon, "T");
        stays("nothing runs", Duration::from_secs(6), || {
            n1.letter(pid) == "T" && n1.letter(daemon) == "T"
        });
        n1.sh(&format!(
            "kill -CONT {daemon} && sleep .4 && kill -CONT {pid}"
        ))
        .ok();
        n1.wait_ring(1);
        n1.wait_state("running");
    }

    // clusmgr's watching thread is in a call while a debugger holds corosync.
    let outside = Pid::from_raw(n1.outside(pid));
    ptrace::attach(outside).expect("this test may trace processes of its own lab");
    waitpid(outside, None).unwrap();
    stays("a debugger holds it", Duration::from_secs(6), || {
        n1.letter(pid) == "t" && n1.pid() == pid
    });
    ptrace::detach(outside, None).unwrap();
    n1.wait_ring(1);
    assert_eq!(n1.pid(), pid);
    none_of(&n1, seq, &ACTED);

    // And now for too long: twice, as the second is found as the first was.
    n1.kill("STOP", pid);
    let second = replaced(&n1, seq, pid, "stopped");
    let seq = n1.latest();
    n1.kill("STOP", second);
    replaced(&n1, seq, second, "stopped");
}

#[test]
fn a_corosync_that_waits_for_ever_in_a_write_is_hung_though_nobody_stopped_it() {
    let flags = [
        "--hang-timeout",
        "2",
        "--stable-after",
        "0.1",
        "--poll-interval",
        "0.2",
    ];
    let lab = stall::up("hang-write", &flags);
    let n1 = lab.node(1);
    let pid = formed(&lab, 1)[0];
    let seq = n1.latest();
    stall::fill(&n1);
    stall::stall(&n1, pid);
    replaced(&n1, seq, pid, "left a call unanswered");
}

#[test]
fn the_survivor_of_a_pair_that_is_cut_off_keeps_its_corosync() {
    let flags = ["--hang-timeout", "1", "--poll-interval", "0.2"];
    let lab = Lab::up("pair-cut", "2", &flags);
    let pids = formed(&lab, 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    let seq = n1.latest();
    power_off(&n2, pids[1]);
    lab.verb(&["cut", "n1"]).ok();
    wait_after(&n1, seq, "node.left", |e| e["fields"]["nodeid"] == 2);
    stays("let be", Duration::from_secs(5), || n1.pid() == pids[0]);
    none_of(&n1, seq, &ACTED);
}
