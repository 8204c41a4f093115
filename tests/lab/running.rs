//! A change is planned against what corosync runs with, whatever the live file says.

use crate::apply_faults::{next, version_of};
use crate::common::{Lab, Node, Ran, degraded};
use serde_json::{Value, json};

const CONF: &str = "/etc/corosync/corosync.conf";
const FLAGS: [&str; 2] = ["--poll-interval", "0.2"];

fn one(name: &str, flags: &[&str]) -> Lab {
    let lab = Lab::up(name, "1", flags);
    lab.node(1).wait_state("running");
    lab
}

fn config(node: &Node<'_>, words: &[&str]) -> Ran {
    node.ctl(&[&["--timeout", "90", "config"], words, &["--json"]].concat())
}

fn done(node: &Node<'_>, words: &[&str]) -> Value {
    let report: Value = serde_json::from_str(&config(node, words).ok()).unwrap();
    assert_eq!(report["done"], true, "{words:?}: {report}");
    report
}

#[track_caller]
fn refused(node: &Node<'_>, words: &[&str], said: &[&str]) {
    let ran = config(node, words);
    assert_eq!(
        (ran.code, ran.err.lines().count()),
        (1, 1),
        "{words:?}: {ran:?}"
    );
    for part in said {
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
    }
}

/// What is kept in `backup/`.
fn backed_up(node: &Node<'_>, text: &[u8]) -> bool {
    let dir = std::fs::read_dir(node.file("/var/lib/clusmgr/backup")).unwrap();
    dir.flatten()
        .any(|f| std::fs::read(f.path()).unwrap() == text)
}

const APPLY: [&str; 2] = ["apply", "/tmp/new.conf"];

#[test]
fn an_edit_that_nobody_has_told_yet_is_not_overwritten() {
    // The next look at the file is far away.
    let lab = one("edit-unseen", &["--poll-interval", "600"]);
    let n1 = lab.node(1);
    next(&n1, "token", ["1000", "1500"]);
    n1.edit_conf(|t| t.replace("\ttoken: ", "\tjoin: 70\n\ttoken: "));
    let edited = n1.read(CONF);
    assert_eq!(n1.status()["config"]["drift"], false);
    refused(&n1, &APPLY, &["changed by somebody else", "config adopt"]);
    assert!(n1.read(CONF) == edited);
    done(&n1, &["revert"]);
    assert!(backed_up(&n1, &edited), "what a revert replaces is kept");
    done(&n1, &APPLY);
    n1.edit_conf(|t| t.replace("\ttoken: ", "\tjoin: 80\n\ttoken: "));
    let edited = n1.read(CONF);
    refused(&n1, &["rollback"], &["changed by somebody else"]);
    assert!(n1.read(CONF) == edited);
}

#[test]
fn over_a_typo_or_a_missing_file_only_what_changes_is_changed() {
    let lab = one("plan-typo", &FLAGS);
    let n1 = lab.node(1);
    let pid = n1.pid();
    let spoil = |how: &str| {
        let text = n1.read(CONF);
        match how {
            "typo" => n1.put(CONF, [&text[..], b"totem {\n"].concat()),
            "gone" => std::fs::remove_file(n1.file(CONF)).unwrap(),
            _ => n1.edit_conf(|t| t.replace("clab", "other")),
        }
        n1.file(CONF).exists().then(|| n1.read(CONF))
    };
    for how in ["typo", "gone", "never read"] {
        let ours = n1.read(CONF);
        let bad = spoil(how);
        let report = done(&n1, &["revert"]);
        assert_eq!(
            (&report["how"], &report["plan"]),
            (&json!("nothing"), &json!([])),
            "{how}"
        );
        assert!(n1.read(CONF) == ours, "{how}");
        assert!(bad.is_none_or(|b| backed_up(&n1, &b)), "{how}");
    }
    for how in ["typo", "gone"] {
        for op in [&APPLY[..], &["rollback"]] {
            next(&n1, "token", ["1000", "1500"]);
            let bad = spoil(how);
            let report = done(&n1, op);
            let plan = report["plan"].as_array().unwrap();
            assert_eq!(
                (&report["how"], plan.len()),
                (&json!("reload"), 2),
                "{how} {report}"
            );
            assert!(bad.is_none_or(|b| backed_up(&n1, &b)), "{how}");
            assert_eq!(
                n1.cmap("totem.config_version"),
                report["version"].to_string()
            );
        }
    }
    assert_eq!(n1.pid(), pid, "nothing of that needs a restart");
}

#[test]
fn an_address_that_was_edited_while_corosync_was_stopped_can_be_kept_or_taken_back() {
    let lab = one("plan-address", &FLAGS);
    let n1 = lab.node(1);
    let (old, new) = ("10.77.0.1", "10.77.0.101");
    n1.sh(&format!(
        "ip addr add {new}/24 dev $(ip -o addr | awk '/ {old}\\//{{print $2}}')"
    ))
    .ok();
    let edit = |from: &str, to: &str| {
        n1.edit_conf(|t| {
            t.replace(
                &format!("ring0_addr: {from}\n"),
                &format!("ring0_addr: {to}\n"),
            )
        });
    };
    let address = || n1.cmap("nodelist.node.0.ring0_addr");
    let restart = |edit: &dyn Fn()| {
        n1.ctl(&["stop"]).ok();
        edit();
        n1.ctl(&["start"]).ok();
    };
    restart(&|| edit(old, new));
    assert_eq!(
        (address().as_str(), &n1.status()["config"]["drift"]),
        (new, &json!(true))
    );
    let pid = n1.pid();
    assert_eq!(done(&n1, &["adopt"])["how"], "nothing");
    assert_eq!((n1.pid(), degraded(&n1.status())), (pid, vec![]));
    // Taken back: only a restart can do that.
    restart(&|| edit(new, old));
    assert_eq!(address(), old);
    assert_eq!(done(&n1, &["revert"])["how"], "restart");
    assert_eq!(address(), new);
    // While it stands, an edit is taken in and waits for a restart, and an apply is refused.
    let pid = n1.pid();
    let text = next(&n1, "token", ["1000", "1500"]);
    n1.put("/tmp/new.conf", text.replace(new, old));
    refused(&n1, &APPLY, &["ring0_addr", "remove the link"]);
    edit(new, old);
    assert_eq!(done(&n1, &["adopt"])["how"], "restart");
    let s = n1.status();
    assert_eq!(
        (degraded(&s), address().as_str(), n1.pid()),
        (vec!["restart-needed"], new, pid)
    );
    n1.ctl(&["restart"]).ok();
    assert_eq!(address(), old);
    // Without a corosync no link stands.
    n1.ctl(&["stop"]).ok();
    n1.put("/tmp/new.conf", &text);
    assert_eq!(done(&n1, &APPLY)["how"], "next-start");
    n1.ctl(&["start"]).ok();
    assert_eq!(
        (address().as_str(), &n1.status()["config"]["drift"]),
        (new, &json!(false))
    );
}

#[test]
fn no_version_goes_below_the_one_that_runs() {
    let lab = one("plan-version", &FLAGS);
    let n1 = lab.node(1);
    let pid = n1.pid();
    next(&n1, "token", ["1000", "1500"]);
    done(&n1, &APPLY);
    let ours = n1.read(CONF);
    let number = version_of(std::str::from_utf8(&ours).unwrap());
    let read = |version: u64| {
        n1.edit_conf(|t| {
            t.replace(
                &format!("config_version: {number}\n"),
                &format!("config_version: {version}\n"),
            )
        });
        n1.run(&["corosync-cfgtool", "-R"]).ok();
        n1.put(CONF, &ours);
        assert_eq!(n1.cmap("totem.config_version"), version.to_string());
    };
    read(5000);
    next(&n1, "token", ["1000", "1500"]);
    refused(
        &n1,
        &APPLY,
        &["is not above 5000", "write 'config_version: 5001'"],
    );
    n1.edit_conf(|t| t.replace("\ttoken: ", "\tjoin: 70\n\ttoken: "));
    refused(
        &n1,
        &["adopt"],
        &[
            "is below 5000, which corosync runs with",
            "write 'config_version: 5001'",
        ],
    );
    assert_eq!(n1.cmap("totem.config_version"), "5000");
    // What goes back does so under a newer version.
    let report = done(&n1, &["revert"]);
    assert_eq!(
        (&report["version"], &report["how"]),
        (&json!(5001), &json!("reload"))
    );
    assert_eq!(n1.cmap("totem.config_version"), "5001");
    let s = n1.status();
    assert_eq!(
        (&s["config"]["version"], &s["config"]["drift"]),
        (&json!(5001), &json!(false))
    );
    let ours = n1.read(CONF);
    n1.edit_conf(|t| t.replace("config_version: 5001\n", "config_version: 7000\n"));
    n1.run(&["corosync-cfgtool", "-R"]).ok();
    n1.put(CONF, &ours);
    let report = done(&n1, &["rollback", "1"]);
    assert_eq!(
        (&report["version"], n1.cmap("totem.token").as_str()),
        (&json!(7001), "1000")
    );
    assert_eq!(n1.pid(), pid);
}

#[test]
fn a_version_that_is_adopted_is_not_below_the_held_one_and_an_equal_one_is_warned_of() {
    let lab = one("adopt-version", &FLAGS);
    let n1 = lab.node(1);
    next(&n1, "token", ["1000", "1500"]);
    done(&n1, &APPLY);
    let ours = n1.read(CONF);
    let number = version_of(std::str::from_utf8(&ours).unwrap());
    let line = |version: u64| format!("config_version: {version}\n");
    // Forgotten: peers join with it, and a start uses it. Hence taken in, with a word.
    n1.edit_conf(|t| t.replace("\ttoken: ", "\tjoin: 70\n\ttoken: "));
    let report = done(&n1, &["adopt"]);
    let said = report["warnings"].to_string();
    let wanted = format!("its config_version {number} is that of another text");
    let next_one = format!("write 'config_version: {}'", number + 1);
    assert!(said.contains(&wanted) && said.contains(&next_one), "{said}");
    // An older one, where corosync runs and where it does not.
    for stop in [false, true] {
        if stop {
            n1.ctl(&["stop"]).ok();
        }
        n1.edit_conf(|t| t.replace(&line(number), &line(number - 1)));
        let edited = n1.read(CONF);
        refused(&n1, &["adopt"], &["is below", &next_one]);
        assert!(n1.read(CONF) == edited);
        n1.kill("HUP", n1.daemon_pid());
        n1.wait_event("config.bad", 1 + usize::from(stop));
        assert_eq!(n1.status()["config"]["version"], number);
        n1.edit_conf(|t| t.replace(&line(number - 1), &line(number)));
    }
    // A newer one has nothing to be warned of.
    n1.edit_conf(|t| t.replace(&line(number), &line(number + 1)));
    assert_eq!(done(&n1, &["adopt"])["warnings"], json!([]));
}

#[test]
fn a_rollback_goes_to_another_text_that_was_in_effect() {
    let lab = one("back-to", &FLAGS);
    let n1 = lab.node(1);
    next(&n1, "token", ["1000", "1500"]);
    done(&n1, &APPLY);
    // The present text is twice there.
    n1.edit_conf(|t| t.replace("\ttoken: ", "\tjoin: 70\n\ttoken: "));
    done(&n1, &["revert"]);
    let page = || -> Value {
        let out = n1.ctl(&["config", "history", "--json"]).ok();
        serde_json::from_str(&out).unwrap()
    };
    let entries = page()["entries"].as_array().unwrap().clone();
    assert_eq!(entries[1]["sha256"], entries[2]["sha256"], "{entries:#?}");
    done(&n1, &["rollback"]);
    assert_eq!(n1.cmap("totem.token"), "1000");
    // And back again.
    done(&n1, &["rollback"]);
    assert_eq!(n1.cmap("totem.token"), "1500");
    // One that came to nothing.
    let path = n1.file("/var/lib/clusmgr/history.jsonl");
    let history = std::fs::read_to_string(&path).unwrap();
    let last = history.lines().last().unwrap();
    let undone = last
        .replace("\"id\":5", "\"id\":6")
        .replace('}', ",\"undone\":\"it died\"}");
    assert_ne!(undone, last);
    std::fs::write(&path, format!("{history}{undone}\n")).unwrap();
    assert_eq!(page()["entries"][5]["undone"], "it died");
    let live = n1.read(CONF);
    refused(
        &n1,
        &["rollback", "6"],
        &["configuration 6", "it was undone"],
    );
    assert!(n1.read(CONF) == live);
    done(&n1, &["rollback"]);
    assert_eq!(n1.cmap("totem.token"), "1000");
}

#[test]
fn a_rollback_to_a_text_that_is_lost_names_another_way_back() {
    let lab = one("back-lost", &FLAGS);
    let n1 = lab.node(1);
    for _ in 0..2 {
        next(&n1, "token", ["1000", "1500"]);
        done(&n1, &APPLY);
    }
    let before = (
        n1.read(CONF),
        n1.read("/var/lib/clusmgr/corosync.json"),
        n1.pid(),
    );
    let page = n1.ctl(&["config", "history", "--json"]).ok();
    let page: Value = serde_json::from_str(&page).unwrap();
    let text = |n: usize| {
        let sha = page["entries"][n]["sha256"].as_str().unwrap();
        n1.file(&format!("/var/lib/clusmgr/conf/{sha}"))
    };
    std::fs::write(text(0), "totem {\n}\n").unwrap();
    std::fs::remove_file(text(1)).unwrap();
    for (number, cause) in [("1", "is damaged"), ("2", "is not kept any more")] {
        let ran = config(&n1, &["rollback", number]);
        let said = [cause, "choose another number", "config history"];
        refused(&n1, &["rollback", number], &said);
        assert!(
            !ran.err.contains("move") && !ran.err.contains("corosync.json"),
            "{ran:?}"
        );
    }
    let now = (
        n1.read(CONF),
        n1.read("/var/lib/clusmgr/corosync.json"),
        n1.pid(),
    );
    assert!(now == before);
}

#[test]
fn to_adopt_what_is_held_already_is_nothing_to_do() {
    let lab = one("adopt-same", &FLAGS);
    let n1 = lab.node(1);
    let history = || n1.read("/var/lib/clusmgr/history.jsonl");
    let (before, told) = (history(), n1.latest());
    let nothing = |op: &str| {
        let report: Value = serde_json::from_str(&config(&n1, &[op]).ok()).unwrap();
        assert_eq!(
            (&report["done"], &report["how"]),
            (&json!(false), &json!("nothing")),
            "{op}"
        );
    };
    nothing("adopt");
    nothing("revert");
    nothing("adopt");
    // What waits for a restart is taken in once.
    n1.edit_conf(|t| t.replace("clab", "other"));
    assert_eq!(done(&n1, &["adopt"])["how"], "restart");
    nothing("adopt");
    assert_eq!(degraded(&n1.status()), ["restart-needed"]);
    // With the old name back nothing waits any more.
    n1.edit_conf(|t| t.replace("other", "clab"));
    assert_eq!(done(&n1, &["adopt"])["how"], "nothing");
    assert_eq!(degraded(&n1.status()), Vec::<&str>::new());
    // Another lay-out is another file, and another key is another key.
    n1.edit_conf(|t| format!("{t}\n\n"));
    done(&n1, &["adopt"]);
    n1.sh("chmod 600 /etc/corosync/authkey; head -c 256 /dev/urandom >/etc/corosync/authkey")
        .ok();
    n1.wait("key drift", |s| s["key"]["drift"] == true);
    done(&n1, &["adopt"]);
    nothing("adopt");
    let changed = n1
        .kinds_after(told)
        .iter()
        .filter(|k| *k == "config.changed")
        .count();
    let added = history().split(|b| *b == b'\n').count() - before.split(|b| *b == b'\n').count();
    assert_eq!((changed, added), (4, 4));
}
