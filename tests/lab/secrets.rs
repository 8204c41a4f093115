//! A secret in corosync.conf is seen nowhere: as `totem.key`, and as little where it is misspelt or
//! misplaced.

use crate::apply_faults::{next, version_of};
use crate::common::{LONG, Lab, Node, until};
use clusmgr::noise::Psk;
use std::os::unix::fs::FileExt;

const CONF: &str = "/etc/corosync/corosync.conf";

#[test]
fn a_key_in_the_configuration_is_seen_nowhere() {
    let lab = Lab::up("secret", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let (first, second) = ("Zq7first".repeat(20), "Zq7second".repeat(20));
    n1.edit_conf(|t| t.replace("crypto_cipher:", &format!("key: {first}\n\tcrypto_cipher:")));
    n1.sh(&format!(
        "rm /etc/corosync/authkey; chmod 600 {CONF}; umask 077; : >/tmp/spawned.out"
    ))
    .ok();
    // Whatever is executed, from the first moment on, with all its arguments.
    let tracer = n1.spawn(
        "strace -f -qq -v -s 100000 -e trace=execve -o /tmp/trace clusmgr -f -d --poll-interval 0.2",
    );
    n1.wait("running", |s| s["service"]["state"] == "running");
    let mut said = Vec::new();
    let mut run = |words: &[&str]| {
        let ran = n1.run(words);
        said.push(format!("{words:?}: {ran:?}"));
        ran
    };
    let put = |text: &str| {
        n1.put("/tmp/new.conf", text);
        n1.sh("chmod 600 /tmp/new.conf").ok();
    };
    let live = || String::from_utf8(n1.read(CONF)).unwrap();
    let ctl = |words: &[&'static str]| [&["clusmgrctl"], words].concat();
    let file = "/tmp/new.conf";
    // A change that goes through, and one of the key itself.
    next(&n1, "token", ["1000", "1500"]);
    n1.sh("chmod 600 /tmp/new.conf").ok();
    run(&ctl(&["config", "diff", file])).ok();
    run(&ctl(&["config", "apply", file, "--dry-run", "--json"])).ok();
    run(&ctl(&["config", "apply", file])).ok();
    let newer = |text: String| {
        let version = version_of(&text);
        text.replace(
            &format!("config_version: {version}\n"),
            &format!("config_version: {}\n", version + 1),
        )
    };
    let text = newer(live());
    put(&text.replace(&first, &second));
    run(&ctl(&["config", "diff", file])).ok();
    run(&ctl(&["--timeout", "60", "config", "apply", file])).ok();
    assert!(live().contains(&second));
    // Refused by the rules, by corosync's own check, by the grammar; undone late.
    let text = newer(live());
    for bad in [
        text.replace(&second, "Zq7second"),
        text.replace(
            &format!("key: {second}"),
            &format!("key: {second}\n\tkey {second}"),
        ),
        text.replace(
            &format!("key: {second}"),
            &format!("key: {second}\n\tkey: {first}\n\tkeyfile: /none"),
        ),
        text.replace(
            "quorum {",
            "uidgid {\n\tuid: nobody-of-this-name\n}\nquorum {",
        ),
        format!("{text}\ntotem {{\n\tkey: {second}\n"),
    ] {
        put(&bad);
        assert_eq!(run(&ctl(&["config", "apply", file])).code, 1);
        run(&ctl(&["config", "check", file]));
        run(&ctl(&["config", "check", file, "--json"]));
        run(&ctl(&["config", "diff", file]));
    }
    // The live file as a hand edit that is no good, and one that is.
    let ours = live();
    n1.put(CONF, format!("{ours}\ntotem {{\n\tkey: {second}\n"));
    n1.sh(&format!("chmod 600 {CONF}")).ok();
    n1.wait("drift", |s| s["config"]["drift"] == true);
    run(&ctl(&["config", "adopt"]));
    run(&ctl(&["config", "diff"]));
    run(&["clusmgr", "-t"]);
    run(&ctl(&["config", "revert"])).ok();
    assert_eq!(live(), ours);
    // Their exit codes tell how the node does.
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["why"],
        &["why", "--json"],
    ] {
        let _ = run(&ctl(words));
    }
    for words in [
        &["link", "list"][..],
        &["config", "show"],
        &["config", "show", "--json"],
        &["config", "check"],
        &["config", "diff"],
        &["config", "history"],
        &["config", "history", "--json"],
        &["key", "fingerprint"],
        &["--timeout", "60", "config", "rollback", "1"],
        &["events"],
        &["events", "--json"],
    ] {
        run(&ctl(words)).ok();
    }
    run(&["clusmgr", "-t"]);
    n1.kill("USR1", n1.daemon_pid());
    until("the state is in the log", LONG, || {
        let log = String::from_utf8(n1.read("/tmp/spawned.out")).unwrap();
        log.contains("state: {").then_some(())
    });
    n1.end_daemon("TERM");
    n1.wait_gone(tracer);
    let trace = String::from_utf8(n1.read("/tmp/trace")).unwrap();
    assert!(
        trace.contains("\"-t\""),
        "corosync's check ran: {} lines",
        trace.lines().count()
    );
    said.push(trace);
    said.push(String::from_utf8(n1.read("/tmp/spawned.out")).unwrap());
    for text in &said {
        let line = text
            .lines()
            .find(|l| l.contains("Zq7first") || l.contains("Zq7second"));
        assert!(line.is_none(), "the key is in {}", line.unwrap());
    }
    // In files it is for root alone.
    let files = n1.sh("grep -rlE 'Zq7(first|second)' /etc/corosync /var/lib /var/log /run/clusmgr /tmp | xargs stat -c '%a %u %n'");
    let wide: Vec<&str> = files
        .out
        .lines()
        .filter(|l| !l.starts_with("600 0 ") && !l.starts_with("400 0 "))
        .collect();
    assert!(wide.is_empty() && files.out.contains(CONF), "{}", files.out);
}

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

#[test]
fn a_key_that_a_change_brings_is_for_root_alone() {
    let lab = Lab::up("key-modes", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let keyfile = "/etc/corosync/k2";
    n1.sh(&format!(
        "cp /etc/corosync/authkey {keyfile}; chmod 644 {keyfile}"
    ))
    .ok();
    let with = |more: &str| {
        let text = next(&n1, "token", ["1000", "1500"]);
        n1.put(
            "/tmp/new.conf",
            text.replace("\ttoken:", &format!("\t{more}\n\ttoken:")),
        );
        n1.ctl(&["config", "apply", "/tmp/new.conf"]).ok();
    };
    with(&format!("keyfile: {keyfile}"));
    assert_eq!(n1.mode(keyfile), 0o600);
    let told = n1.wait_event("key.tightened", 1)["text"].to_string();
    assert!(told.contains(keyfile), "{told}");
    assert_eq!(n1.mode(CONF), 0o644);
    // One in a comment makes the file a secret, in the change itself and by a hand edit.
    with("#key: Zq7AAAAB3NzaC1yc2EAAAADAQABAAABgQ");
    assert_eq!(n1.mode(CONF), 0o600);
    n1.sh(&format!("chmod 644 {CONF}")).ok();
    n1.edit_conf(|t| format!("{t}\n# by hand\n"));
    crate::common::until("0600", crate::common::LONG, || {
        (n1.mode(CONF) == 0o600).then_some(())
    });
    // And a key that is replaced by hand.
    n1.sh(&format!(
        "chmod 600 {keyfile}; head -c 256 /dev/urandom >{keyfile}; chmod 644 {keyfile}"
    ))
    .ok();
    crate::common::until("0600", crate::common::LONG, || {
        (n1.mode(keyfile) == 0o600).then_some(())
    });
}

/// Where the memory of a process of the node holds any of these words.
#[track_caller]
fn in_memory(node: &Node<'_>, pid: i64, words: &[&[u8]]) -> Vec<String> {
    let pid = node.outside(pid);
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let (mut found, mut looked_at) = (Vec::new(), 0);
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|n| u64::from_str_radix(n, 16).unwrap());
        if !rest.starts_with("rw") {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // A guard, or what has gone since.
        if memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        looked_at += bytes.len();
        for word in words {
            let at = memchr::memmem::find(&bytes, word);
            found.extend(
                at.map(|at| format!("{} at +{at:#x} of {line}", String::from_utf8_lossy(word))),
            );
        }
    }
    assert!(looked_at > 1 << 20, "only {looked_at} bytes could be read");
    found
}

#[test]
fn no_part_of_a_key_stays_in_the_memory_of_clusmgr() {
    stays_nowhere("memory", "key");
}

/// corosync has it in its database, as any option that it does not know.
#[test]
fn no_part_of_a_misspelt_key_stays_in_the_memory_of_clusmgr() {
    stays_nowhere("memory-misspelt", "keyy");
}

#[test]
fn a_clusmgr_that_is_aborted_leaves_no_core() {
    let lab = Lab::up("secrets-core", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let words = "mkdir -p /tmp/cores && cd /tmp/cores && ulimit -S -c \"$(ulimit -H -c)\"; (sleep 600 & echo $!; wait $!); \
                 echo ended; clusmgr -f; echo ended";
    n1.spawn(&format!("bash -c '{words}'"));
    let said = || String::from_utf8(n1.read("/tmp/spawned.out")).unwrap();
    let ended = |n| {
        until("the shell tells how they ended", LONG, || {
            (said().matches("ended\n").count() == n).then(said)
        })
    };
    let sleeps = until("the other program runs", LONG, || {
        said().lines().next()?.parse().ok()
    });
    n1.kill("ABRT", sleeps);
    let first = ended(1);
    // Where a core goes to a file beside it, any other program leaves one.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let elsewhere = pattern.trim().is_empty() || pattern.contains(['/', '|', '@']);
    let none = elsewhere || n1.sh("ulimit -H -c").ok().trim() == "0";
    assert!(none || first.contains("core dumped"), "{first}");
    n1.wait_state("running");
    n1.end_daemon("ABRT");
    let both = ended(2);
    let second = &both[first.len()..];
    assert!(second.contains("Aborted"), "{both}");
    assert!(!second.contains("core dumped"), "{both}");
}

/// What the remote service derives from the key is in one place, for the next connection, and nowhere
/// else once a connection is made.
#[test]
fn the_derived_key_is_in_one_place_in_the_memory_of_clusmgr() {
    let lab = Lab::up("memory-remote", "2", &[]);
    let nodes = [1, 2].map(|k| lab.node(k));
    nodes.iter().for_each(|n| n.wait_ring(2));
    let psk = Psk::derive(&nodes[0].read("/etc/corosync/authkey"));
    let part = &psk.expose()[..16];
    for _ in 0..5 {
        for node in &nodes {
            let ran = node.ctl(&["status", "--all", "--json"]);
            let all: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            let all = all["nodes"].as_array().unwrap();
            assert!(all.iter().all(|n| n["ok"].is_object()), "{ran:?}");
        }
    }
    for node in &nodes {
        let mut found = Vec::new();
        // The comparison may just have a connection in the making.
        let once = (0..20).any(|_| {
            found = in_memory(node, node.daemon_pid(), &[part]);
            if found.len() != 1 {
                crate::common::pause(std::time::Duration::from_millis(70));
            }
            found.len() == 1
        });
        assert!(once, "{}: {found:#?}", node.name);
    }
}

fn stays_nowhere(lab: &str, name: &str) {
    let lab = Lab::up(lab, "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let daemon = n1.daemon_pid();
    // It sees what is there.
    assert_ne!(
        in_memory(&n1, daemon, &[b"/var/lib/clusmgr"]),
        Vec::<String>::new()
    );
    // No 16 of its bytes come twice, and none of them are in this program's image, or in the daemon's.
    let key: String = (0..50)
        .map(|n: u32| format!("{:04x}", n * 40_503 % 65_536))
        .collect();
    let parts: Vec<&[u8]> = key.as_bytes().chunks(25).map(|c| &c[..16]).collect();
    // Looked for after each step, before another has used the same memory.
    let clean = |step: &[&str]| {
        let mut found = Vec::new();
        // Between two looks of the poll at the live file there is no copy; within one there may be.
        for _ in 0..20 {
            found = in_memory(&n1, daemon, &parts);
            if found.is_empty() {
                return;
            }
            crate::common::pause(std::time::Duration::from_millis(70));
        }
        panic!("after {step:?}: {found:#?}");
    };
    let file = "/tmp/new.conf";
    let run = |words: &[&str], code: i32| {
        let ran = n1.ctl(words);
        assert_eq!(ran.code, code, "{ran:?}");
        clean(words);
    };
    for (token, version) in [("1500", 2), ("1600", 3)] {
        let text = String::from_utf8(n1.read(CONF)).unwrap();
        let ours = [&format!("{name}:"), "token:", "config_version:"];
        let text: String = text
            .lines()
            .filter(|l| !ours.iter().any(|k| l.trim_start().starts_with(k)))
            .map(|l| format!("{l}\n"))
            .collect();
        let more =
            format!("totem {{\n\tconfig_version: {version}\n\ttoken: {token}\n\t{name}: {key}");
        n1.put(file, text.replacen("totem {", &more, 1));
        run(&["config", "diff", file], 0);
        run(&["config", "apply", file, "--dry-run"], 0);
        run(&["config", "apply", file], 0);
        assert_eq!(n1.cmap("totem.token"), token);
    }
    run(&["config", "show"], 0);
    run(&["config", "rollback", "2"], 0);
    // One that is refused, with the key in it; and a hand edit, that is found by the poll, and adopted.
    n1.put(file, format!("totem {{\n\t{name}: {key}\n\ttoken 7\n}}\n"));
    run(&["config", "apply", file], 1);
    n1.edit_conf(|t| t.replace("token: 1500", "token: 1700"));
    n1.wait("drift", |s| s["config"]["drift"] == true);
    run(&["config", "adopt"], 0);
    n1.edit_conf(|t| t.replace("token: 1700", "token 7"));
    n1.wait("bad-config", |s| {
        s["degraded"].to_string().contains("bad-config")
    });
    clean(&["the poll"]);
    run(&["config", "revert"], 0);
}
