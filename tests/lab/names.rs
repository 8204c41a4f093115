//! Nodes that are given by host names.

use crate::common::Lab;

const CONF: &str = "/etc/corosync/corosync.conf";
const FILE: &str = "/tmp/new.conf";

#[test]
fn a_name_that_is_another_nodes_address_is_refused_and_one_of_its_own_is_not() {
    let lab = Lab::up("same-address", "2", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let hosts = String::from_utf8(n1.run(&["cat", "/etc/hosts"]).ok().into()).unwrap();
    n1.put(
        "/tmp/hosts",
        format!("{hosts}10.77.0.1 n2.lan\n10.77.0.2 n2.local\n"),
    );
    n1.sh("mount -n --bind /tmp/hosts /etc/hosts").ok();
    let text = String::from_utf8(n1.read(CONF)).unwrap();
    let text = text.replace("config_version: 1\n", "config_version: 2\n");
    let with = |name: &str| {
        let new = text.replace("ring0_addr: 10.77.0.2", &format!("ring0_addr: {name}"));
        assert_ne!(new, text);
        // Not stopped by a change of the address of a link that stands: corosync does not run.
        n1.put(FILE, new);
        n1.ctl(&["config", "apply", FILE, "--this-node-only", "--dry-run"])
    };
    n1.ctl(&["stop"]).ok();
    let ran = with("n2.lan");
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    let said =
        "node n2: n2.lan is 10.77.0.1, which node n1 has; give each node an address of its own";
    assert!(ran.err.contains(said), "{ran:?}");
    // corosync itself would take it.
    n1.run(&["corosync", "-t", "-c", FILE]).ok();
    with("n2.local").ok();
    assert!(with("n2.nowhere").err.contains("corosync -t says"));
}
