//! The thin path: take-over, start, death, restart, adoption, end.

use crate::common::Lab;
use serde_json::json;

#[test]
fn three_nodes_form_and_one_survives_kill_9_of_corosync_quit_and_term() {
    let lab = Lab::up("thin", "3", &["--stable-after", "1"]);
    for k in 1..=3 {
        let s = lab.node(k).wait_state("running");
        assert_eq!(s["mode"], "cluster");
        assert_eq!(s["node"], json!({"name": format!("n{k}"), "nodeid": k}));
        assert_eq!(s["config"]["version"], 1);
        assert_eq!(s["service"]["adopted"], false);
        assert_eq!(s["degraded"], json!([]));
    }
    let n2 = lab.node(2);
    n2.wait_ring(3);

    // kill -9: the cause is told, and a new corosync is back in the ring.
    let first = n2.pid();
    n2.kill("KILL", first);
    let s = n2.wait("another corosync runs", |s| {
        s["service"]["state"] == "running" && s["service"]["pid"] != first
    });
    assert_eq!(
        s["service"]["last_exit"]["cause"],
        "killed by signal 9 (SIGKILL)"
    );
    assert_eq!(s["service"]["last_exit"]["signal"], 9);
    assert_eq!(s["service"]["restarts"], 1);
    assert_eq!(s["mode"], "cluster");
    let output = s["service"]["last_exit"]["output"].as_array().unwrap();
    assert!((1..=20).contains(&output.len()), "{output:?}");
    n2.wait_ring(3);
    let exits = n2.events_of("service.exited");
    assert_eq!(exits.len(), 1);
    assert_eq!(exits[0]["fields"]["cause"], "killed by signal 9 (SIGKILL)");
    assert_eq!(exits[0]["fields"]["pid"], first);

    // QUIT leaves corosync running; the next clusmgr adopts it.
    let second = n2.pid();
    n2.end_daemon("QUIT");
    assert!(n2.lives(second), "QUIT must leave corosync alone");
    assert_eq!(n2.ctl(&["status"]).code, 3);
    n2.start_daemon(&[]);
    let s = n2.wait_state("running");
    assert_eq!(s["service"]["pid"], second);
    assert_eq!(s["service"]["adopted"], true);
    assert_eq!(s["config"]["drift"], false);

    // TERM ends both, cleanly.
    n2.end_daemon("TERM");
    assert!(!n2.lives(second), "TERM must stop corosync");
    let out = std::fs::read_to_string(n2.file("/run/clusmgr/corosync.out")).unwrap();
    assert!(
        out.trim_end()
            .ends_with("Corosync Cluster Engine exiting normally"),
        "{out}"
    );
    assert!(!n2.file("/run/clusmgr/clusmgr.pid").exists());
    assert!(!n2.file("/run/clusmgr/clusmgr.sock").exists());
    lab.node(1).wait_ring(2);
}
