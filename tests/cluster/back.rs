//! What happens right after clusmgr is back has not happened while it was away.

use crate::bed::{formed, token, up_edited, wait_after};

#[test]
fn what_happens_once_clusmgr_is_back_is_not_marked_as_of_its_absence() {
    let flags = ["--poll-interval", "0.2"];
    let lab = up_edited("back", (1, 1), &flags, token(3000));
    formed(&lab, 1);
    let n1 = lab.node(1);
    let key = "runtime.members.1.config_version";
    let tell = |version: u64| {
        let words = ["corosync-cmapctl", "-s", key, "u64", &version.to_string()];
        n1.run(&words).ok();
    };
    for version in [7, 9] {
        let seq = n1.latest();
        n1.end_daemon("KILL");
        tell(version);
        n1.start_daemon(&flags);
        let told = |v: u64| {
            wait_after(&n1, seq, "node.config_version", |e| {
                e["fields"]["version"] == v
            })
        };
        assert_eq!(told(version)["fields"]["away"], true);
        tell(version + 1);
        assert!(told(version + 1)["fields"].get("away").is_none());
    }
}
