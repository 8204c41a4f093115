//! A secret that is misspelt or misplaced in corosync.conf: as little of it is seen as of `totem.key`.

use crate::apply_faults::{next, version_of};
use crate::common::Lab;

const CONF: &str = "/etc/corosync/corosync.conf";

#[test]
fn a_misspelt_or_misplaced_key_is_seen_nowhere() {
    let lab = Lab::up("misspelt", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let hex = "5ec2e7".repeat(8);
    n1.edit_conf(|t| {
        t.replace(
            "crypto_cipher:",
            &format!("keyy: Zq7one\n\tKey: Zq7two\n\tkye: Zq7three\n\tauthkey: Zq7nine\n\tsalt: {hex}\n\t# keey: Zq7four\n\t#key=Zq7ten\n\t# my key: Zq7eleven\n\tcrypto_cipher:"),
        )
        .replace("quorum {", "quorum {\n\tkey: Zq7five\n\ttotem.key: Zq7twelve")
    });
    n1.sh(&format!("chmod 644 {CONF}")).ok();
    n1.spawn("clusmgr -f -d --poll-interval 0.2");
    n1.wait("running", |s| s["service"]["state"] == "running");
    assert_eq!(n1.mode(CONF), 0o600, "a file with a key is for root alone");
    let mut said = Vec::new();
    let mut run = |words: &[&str]| {
        let ran = n1.ctl(words);
        said.push(format!("{words:?}: {ran:?}"));
        ran
    };
    // Changes beside it and of it, and one that is refused.
    let file = "/tmp/new.conf";
    for (from, to) in [
        ("", ""),
        ("Zq7one", "Zq7six"),
        ("salt: 5ec2e75ec2", "salt: 5ec2e75ec3"),
        ("kye:", "keyz: Zq7eight\n\tkye:"),
    ] {
        let text = next(&n1, "token", ["1000", "1500"]).replace(from, to);
        n1.put(file, &text);
        run(&["config", "check", file]).ok();
        run(&["config", "check", file, "--json"]).ok();
        run(&["config", "diff", file]).ok();
        let plan = run(&["config", "apply", file, "--dry-run", "--json"]).ok();
        assert_eq!(plan.contains("→ <redacted>"), !from.is_empty(), "{plan}");
        run(&["config", "apply", file]).ok();
    }
    let text = String::from_utf8(n1.read(CONF)).unwrap();
    assert!(
        text.contains("keyy: Zq7six") && text.contains("key: Zq7five"),
        "{text}"
    );
    let version = version_of(&text);
    n1.put(
        file,
        text.replace(
            &format!("config_version: {version}\n"),
            "config_version: 0\n",
        ),
    );
    assert_eq!(run(&["config", "apply", file]).code, 1);
    n1.edit_conf(|t| t.replace("Zq7six", "Zq7seven"));
    n1.sh(&format!("chmod 644 {CONF}")).ok();
    n1.wait("drift", |s| s["config"]["drift"] == true);
    let told = n1.wait_event("key.tightened", 1);
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("what reads like a key"), "{told}");
    for words in [
        &["config", "diff"][..],
        &["config", "adopt"],
        &["config", "rollback", "1"],
        &["config", "show"],
        &["config", "show", "--json"],
        &["config", "check"],
        &["config", "history", "--json"],
        &["status", "--json"],
        &["events"],
        &["events", "--since", "0", "--json"],
    ] {
        run(words).ok();
    }
    let shown = said
        .iter()
        .find(|s| s.contains("config\", \"show\"]"))
        .unwrap();
    assert_eq!(shown.matches("<redacted>").count(), 10, "{shown}");
    n1.end_daemon("TERM");
    said.push(String::from_utf8(n1.read("/tmp/spawned.out")).unwrap());
    for text in &said {
        let line = text
            .lines()
            .find(|l| l.contains("Zq7") || l.contains("5ec2e75ec"));
        assert!(line.is_none(), "a secret is in {}", line.unwrap());
    }
}
