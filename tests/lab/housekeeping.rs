//! What others remove, and what the dead leave behind.

use crate::common::{LONG, Lab, until};

#[test]
fn a_run_directory_that_is_removed_does_not_keep_corosync_from_being_started_again() {
    let flags = ["--stable-after", "0", "--poll-interval", "0.2"];
    let lab = Lab::up("run-removed", "1", &flags);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let first = n1.pid();
    n1.sh("rm -rf /run/clusmgr").ok();
    until("the notify socket is there again", LONG, || {
        n1.file("/run/clusmgr/notify.sock").exists().then_some(())
    });
    n1.kill("KILL", first);
    let others = || {
        let mut all = n1.corosyncs();
        all.retain(|p| *p != first);
        all
    };
    until("another corosync runs", LONG, || others().first().copied());
    n1.wait_ring(1);
    assert_eq!(n1.mode("/run/clusmgr"), 0o755);
    assert!(!n1.read("/run/clusmgr/corosync.out").is_empty());
    let journal = || String::from_utf8(n1.read("/var/lib/clusmgr/events.jsonl")).unwrap();
    until("it has said that it is ready", LONG, || {
        (journal().matches("service.ready").count() == 2).then_some(())
    });
    assert!(!journal().contains("service.start-failed"));
}
