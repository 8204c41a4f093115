//! `stop --runtime`: a hold that ends with the boot.

use crate::common::{Lab, Node};
use serde_json::Value;

/// Another boot, as far as the kernel's boot id says.
fn boot_again(node: &Node<'_>, id: &str) {
    std::fs::write(node.file("/tmp/boot_id"), format!("{id}\n")).unwrap();
    node.sh("mount -n --bind /tmp/boot_id /proc/sys/kernel/random/boot_id")
        .ok();
}

fn holds(s: &Value) -> (bool, bool) {
    let is = |name: &str| s["service"][name] == true;
    (is("hold"), is("hold_until_boot"))
}

#[test]
fn a_hold_made_with_runtime_ends_with_the_boot_and_a_plain_one_does_not() {
    let lab = Lab::up("hold", "1", &["--stable-after", "1"]);
    let node = lab.node(1);
    node.wait_state("running");
    node.ctl(&["stop", "--runtime"]).ok();
    let s = node.status();
    assert_eq!(holds(&s), (true, true));
    assert_eq!(s["mode_reason"], "held");

    // The same boot: the next clusmgr holds too.
    node.end_daemon("TERM");
    node.start_daemon(&[]);
    assert_eq!(holds(&node.status()), (true, true));
    assert_eq!(node.status()["service"]["state"], "stopped");

    // Another boot: forgotten, and told once.
    node.end_daemon("TERM");
    boot_again(&node, "11111111-2222-3333-4444-555555555555");
    node.start_daemon(&[]);
    assert_eq!(holds(&node.wait_state("running")), (false, false));
    assert_eq!(node.events_of("hold.ended").len(), 1);
    node.end_daemon("TERM");
    node.start_daemon(&[]);
    node.wait_state("running");
    assert_eq!(node.events_of("hold.ended").len(), 1);

    // A plain stop makes it permanent, and a later --runtime does not weaken that.
    node.ctl(&["stop", "--runtime"]).ok();
    node.ctl(&["stop"]).ok();
    assert_eq!(holds(&node.status()), (true, false));
    node.ctl(&["stop", "--runtime"]).ok();
    assert_eq!(holds(&node.status()), (true, false));
    let ran = node.ctl(&["start", "--runtime"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "clusmgrctl: start corosync: an operator holds it stopped; 'clusmgrctl start' ends the hold\n"
    );
    node.end_daemon("TERM");
    boot_again(&node, "66666666-2222-3333-4444-555555555555");
    node.start_daemon(&[]);
    assert_eq!(holds(&node.status()), (true, false));
    assert_eq!(node.status()["service"]["state"], "stopped");
    node.ctl(&["start", "--wait"]).ok();
    assert_eq!(holds(&node.wait_state("running")), (false, false));

    // start --runtime ends what stop --runtime began.
    node.ctl(&["stop", "--runtime"]).ok();
    node.ctl(&["start", "--runtime", "--wait=60"]).ok();
    assert_eq!(holds(&node.wait_state("running")), (false, false));
}
