//! A default that is written out, or left out, changes nothing for corosync, and restarts nothing.

use crate::common::{Lab, Node, degraded, stays};
use serde_json::{Value, json};
use std::time::Duration;

const CONF: &str = "/etc/corosync/corosync.conf";
const FILE: &str = "/tmp/new.conf";

fn apply(node: &Node<'_>, edit: impl Fn(&str) -> String) -> Value {
    let text = String::from_utf8(node.read(CONF)).unwrap();
    let version = crate::apply_faults::version_of(&text);
    let to = format!("config_version: {}\n", version + 1);
    let text = text.replace(&format!("config_version: {version}\n"), &to);
    let new = edit(&text);
    assert_ne!(new, text);
    node.put(FILE, new);
    let ran = node.ctl(&["--timeout", "90", "config", "apply", FILE, "--json"]);
    serde_json::from_str(&ran.ok()).unwrap()
}

#[test]
fn a_default_that_is_written_out_or_left_out_restarts_nothing() {
    let lab = Lab::up("defaults", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let pid = n1.pid();
    let wordy = |t: &str| {
        t.replace(
            "system {\n",
            "system {\n\tsched_rr: yes\n\tqb_ipc_type: native\n",
        )
        .replace("totem {\n", "totem {\n\tlink_mode: passive\n\tthreads: 0\n")
        .replace("quorum {\n", "quorum {\n\tlast_man_standing: 0\n")
        .replace(
            "\ttransport: knet\n",
            "\tinterface {\n\t\tlinknumber: 0\n\t\tmcastport: 5405\n\t}\n",
        )
    };
    let report = apply(&n1, wordy);
    let plan = report["plan"].to_string();
    assert_eq!(
        (&report["done"], &report["how"]),
        (&json!(true), &json!("reload")),
        "{plan}"
    );
    for line in [
        "totem.transport: knet → (none) (reload)",
        "system.sched_rr: (none) → yes (reload)",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    let well = || n1.pid() == pid && degraded(&n1.status()).is_empty();
    stays(
        "nothing differs, nothing restarts",
        Duration::from_secs(4),
        well,
    );
    // And back again: as terse as can be.
    let terse = |t: &str| {
        let ours = [
            "sched_rr",
            "qb_ipc_type",
            "link_mode",
            "threads",
            "last_man_standing",
            "mcastport",
        ];
        let keeps = |l: &&str| !ours.iter().any(|o| l.trim().starts_with(o));
        t.lines().filter(keeps).map(|l| format!("{l}\n")).collect()
    };
    let report = apply(&n1, terse);
    assert_eq!(
        (&report["done"], &report["how"]),
        (&json!(true), &json!("reload")),
        "{report}"
    );
    stays(
        "nothing differs, nothing restarts",
        Duration::from_secs(4),
        well,
    );
    // What is not the default still takes a restart, and so does the way back.
    let report = apply(&n1, |t| {
        t.replace("system {\n", "system {\n\tsched_rr: no\n")
    });
    assert_eq!(report["how"], "restart", "{report}");
    let report = apply(&n1, |t| t.replace("sched_rr: no", "sched_rr: yes"));
    assert_eq!(report["how"], "restart", "{report}");
    assert_ne!(n1.pid(), pid);
}
