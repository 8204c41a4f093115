//! `scripts/install` and its undo, in a tree of their own.

use super::{install, not_as_root};
use crate::common::Lab;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Every path below a directory: mode, and a file's bytes or a link's target.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    fn walk(root: &Path, dir: &Path, all: &mut BTreeMap<String, (u32, Vec<u8>)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else if meta.is_dir() {
                walk(root, &path, all);
                b"a directory".to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            all.insert(name, (meta.permissions().mode(), what));
        }
    }
    let mut all = BTreeMap::new();
    walk(root, root, &mut all);
    all
}

/// Fails with the paths by which a tree is not what it was.
#[track_caller]
fn same(root: &Path, before: &BTreeMap<String, (u32, Vec<u8>)>, what: &str) {
    let now = tree(root);
    let paths = now.keys().chain(before.keys());
    let odd: Vec<_> = paths.filter(|p| now.get(*p) != before.get(*p)).collect();
    assert!(odd.is_empty(), "{what}: {odd:?}");
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A machine's tree with a corosync of the distribution, and files where ours will be.
fn machine() -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("a machine ")
        .tempdir()
        .unwrap();
    let root = dir.path();
    write(root, "lib/systemd/system/corosync.service", "[Unit]\n");
    write(root, "lib/systemd/systemd", "");
    write(root, "etc/corosync/corosync.conf", "totem {\n}\n");
    write(root, "etc/corosync/authkey", "key");
    write(root, "etc/init.d/corosync", "#!/bin/sh\n");
    write(root, "usr/sbin/clusmgr", "an older one");
    write(root, "etc/rc2.d/README", "");
    symlink("../init.d/corosync", root.join("etc/rc2.d/S19corosync")).unwrap();
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink(
        "/lib/systemd/system/corosync.service",
        wants.join("corosync.service"),
    )
    .unwrap();
    fs::set_permissions(
        root.join("usr/sbin/clusmgr"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    dir
}

fn round_trip(init: &str) {
    let dir = machine();
    let root = dir.path();
    let at = root.to_str().unwrap();
    let words = ["--destdir", at, "--init", init];
    let before = tree(root);

    let said = install(&[&words[..], &["--dry-run"]].concat()).ok();
    assert!(
        said.contains("would install") && said.contains("sbin/clusmgr, and keep what is there"),
        "{said}"
    );
    same(root, &before, "a dry run changes nothing");

    let said = install(&words).ok();
    assert!(
        said.contains("sbin/clusmgr: what was there is kept as")
            && said.contains("the distribution's"),
        "{said}"
    );
    let after = tree(root);
    for path in ["etc/corosync/corosync.conf", "etc/corosync/authkey"] {
        assert_eq!(after[path], before[path]);
    }
    assert_ne!(after["usr/sbin/clusmgr"], before["usr/sbin/clusmgr"]);
    assert_eq!(after["usr/sbin/clusmgrctl"].0 & 0o7777, 0o755);
    assert!(after.contains_key("etc/default/clusmgr"));
    assert!(after.contains_key("usr/share/man/man8/clusmgrctl.8"));
    let completion = &after["usr/share/bash-completion/completions/clusmgrctl"].1;
    assert!(String::from_utf8_lossy(completion).contains("fingerprint"));
    if init == "systemd" {
        let link = "etc/systemd/system/multi-user.target.wants/corosync.service";
        assert_eq!(after[link].1, b"/etc/systemd/system/corosync.service");
    } else {
        assert!(!after.contains_key("etc/rc2.d/S19corosync"));
        // Two scripts of one service are refused by insserv.
        assert!(!after.contains_key("etc/init.d/corosync"));
        assert_eq!(after["etc/rc2.d/S19clusmgr"].1, b"../init.d/clusmgr");
        assert_eq!(after["etc/init.d/clusmgr"].0 & 0o7777, 0o755);
    }

    let said = install(&words).ok();
    assert!(
        !said.contains("installed") && !said.contains("linked"),
        "{said}"
    );
    same(root, &after, "a second time changes nothing");

    install(&["--uninstall", "--destdir", at, "--dry-run"]).ok();
    same(root, &after, "a dry run changes nothing");
    install(&["--uninstall", "--destdir", at]).ok();
    same(root, &before, "the undo leaves nothing behind");
    let ran = install(&["--uninstall", "--destdir", at]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
}

#[test]
fn an_installation_for_systemd_and_its_undo_leave_the_tree_as_it_was() {
    round_trip("systemd");
}

#[test]
fn an_installation_for_an_lsb_init_and_its_undo_leave_the_tree_as_it_was() {
    round_trip("sysv");
}

#[test]
fn what_was_edited_since_is_kept_by_a_second_installation_and_by_the_undo() {
    let dir = machine();
    let root = dir.path();
    let at = root.to_str().unwrap();
    install(&["--destdir", at]).ok();
    let defaults = root.join("etc/default/clusmgr");
    fs::write(&defaults, "CLUSMGR_OPTS=\"--debug\"\n").unwrap();
    let unit = root.join("etc/systemd/system/clusmgr.service");
    fs::write(&unit, "mine\n").unwrap();
    let said = install(&["--destdir", at]).ok();
    assert!(
        said.contains("clusmgr.service: what was there is kept as"),
        "{said}"
    );
    let backup = root.join("var/lib/clusmgr-install/backup");
    let kept = |root: &Path| tree(root).values().any(|(_, bytes)| bytes == b"mine\n");
    assert!(kept(&backup));
    let said = install(&["--uninstall", "--destdir", at]).ok();
    assert!(
        said.contains("clusmgr was changed since, and stays"),
        "{said}"
    );
    assert!(defaults.exists() && kept(&backup));
    assert!(!unit.exists());
}

#[test]
fn an_undo_that_left_a_backup_does_not_make_the_next_one_lose_a_file() {
    let dir = machine();
    let root = dir.path();
    let at = root.to_str().unwrap();
    let words = ["--destdir", at, "--init", "sysv"];
    install(&words).ok();
    fs::write(root.join("etc/init.d/clusmgr"), "mine\n").unwrap();
    install(&words).ok();
    // Twice: what the first undo leaves of its records must not mislead the second.
    for _ in 0..2 {
        install(&["--uninstall", "--destdir", at]).ok();
        let link = root.join("etc/rc2.d/S19corosync");
        assert_eq!(
            fs::read_link(link).unwrap(),
            Path::new("../init.d/corosync")
        );
        let older = fs::read_to_string(root.join("usr/sbin/clusmgr")).unwrap();
        assert_eq!(older, "an older one");
        install(&words).ok();
    }
}

#[test]
fn an_undo_under_a_running_clusmgr_is_refused() {
    let lab = Lab::up("uninstall", "1 --empty", &[]);
    let n1 = lab.node(1);
    let script = super::scripts_in(&n1);
    let refused = || {
        let ran = n1.run(&[script, "--uninstall", "--prefix", "/tmp/none"]);
        assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
        assert!(ran.err.contains("clusmgr runs: end it first"), "{ran:?}");
    };
    refused();
    // Also one whose pid file is where /etc/default/clusmgr says.
    n1.end_daemon("TERM");
    n1.start_daemon(&["--pid-file", "/run/elsewhere.pid"]);
    let defaults = "mkdir /tmp/default && echo 'PIDFILE=/run/elsewhere.pid' >/tmp/default/clusmgr \
                    && mount -n --bind /tmp/default /etc/default";
    n1.sh(defaults).ok();
    refused();
}

#[test]
fn the_prefix_reaches_the_programs_named_in_units_and_script() {
    let dir = machine();
    let at = dir.path().to_str().unwrap();
    for init in ["systemd", "sysv"] {
        install(&["--destdir", at, "--prefix=/opt/x/", "--init", init]).ok();
    }
    let all = tree(dir.path());
    assert!(all.contains_key("opt/x/sbin/clusmgrctl"));
    for path in [
        "etc/systemd/system/clusmgr.service",
        "etc/systemd/system/corosync.service",
        "etc/init.d/clusmgr",
    ] {
        let text = String::from_utf8_lossy(&all[path].1).into_owned();
        assert!(text.contains("/opt/x/sbin/clusmgr"), "{text}");
        assert!(!text.contains("/usr/sbin/clusmgr"), "{text}");
    }
}

#[test]
fn drop_ins_for_the_distributions_corosync_do_not_reach_ours_and_come_back() {
    let dir = machine();
    let root = dir.path();
    let at = root.to_str().unwrap();
    let words = ["--destdir", at, "--init", "systemd"];
    let etc = root.join("etc/systemd/system/corosync.service.d");
    for (file, text) in [
        ("etc/systemd/system/corosync.service.d/a.conf", "mine"),
        ("usr/lib/systemd/system/corosync.service.d/a.conf", "theirs"),
        ("usr/lib/systemd/system/corosync.service.d/b.conf", "theirs"),
    ] {
        write(root, file, text);
    }
    let before = tree(root);
    let said = install(&[&words[..], &["--dry-run"]].concat()).ok();
    assert!(said.contains("would set a drop-in aside"), "{said}");
    same(root, &before, "a dry run changes nothing");
    install(&words).ok();
    for name in ["a.conf", "b.conf"] {
        let mask = fs::read_link(etc.join(name)).unwrap();
        assert_eq!(mask, Path::new("/dev/null"), "{name}");
    }
    // One that comes later is meant for ours.
    fs::write(etc.join("c.conf"), "for ours").unwrap();
    let after = tree(root);
    let said = install(&words).ok();
    assert!(said.contains("c.conf applies to our"), "{said}");
    same(root, &after, "a second time changes nothing");
    fs::remove_file(etc.join("c.conf")).unwrap();
    install(&["--uninstall", "--destdir", at]).ok();
    same(root, &before, "undone");
}

#[test]
fn what_others_require_of_corosync_stays() {
    let dir = machine();
    let root = dir.path();
    let at = root.to_str().unwrap();
    let links = ["pacemaker.service.requires", "storage.target.wants"].map(|d| {
        root.join("etc/systemd/system")
            .join(d)
            .join("corosync.service")
    });
    for link in &links {
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink("/lib/systemd/system/corosync.service", link).unwrap();
    }
    let before = tree(root);
    install(&["--destdir", at, "--init", "systemd"]).ok();
    for link in &links {
        assert!(fs::symlink_metadata(link).is_ok(), "{link:?}");
    }
    install(&["--uninstall", "--destdir", at]).ok();
    same(root, &before, "undone");
}

#[test]
fn an_init_that_goes_by_the_scripts_headers_is_asked_to_order_them() {
    let header = fs::read_to_string(super::repo("scripts/init/clusmgr")).unwrap();
    assert!(header.contains("# Provides:          clusmgr corosync\n"));
    let lab = Lab::up("insserv", "1 --no-clusmgr --empty", &[]);
    let node = lab.node(1);
    // An /etc that can be written, with the distribution's script; and tools that tell what was asked.
    node.sh(
        "mkdir /tmp/etc /tmp/etc/init.d /tmp/etc/default /tmp/etc/rc2.d /tmp/tools && mount -n --bind /tmp/etc /etc \
         && echo theirs >/etc/init.d/corosync && ln -s ../init.d/corosync /etc/rc2.d/S01corosync \
         && printf '#!/bin/sh\\necho \"${0##*/} $*\" >>/tmp/asked\\n' >/tmp/tools/insserv \
         && cp /tmp/tools/insserv /tmp/tools/update-rc.d && chmod 755 /tmp/tools/*",
    )
    .ok();
    let script = super::scripts_in(&node);
    let run = |words: &str| {
        node.sh(&format!(
            "rm -f /tmp/asked; PATH=/tmp/tools:$PATH CLUSMGR_BIN_DIR=/run/lab/bin {script} --prefix /tmp/p {words} \
             >/tmp/said && cat /tmp/asked"
        ))
        .ok()
    };
    assert_eq!(run("--init sysv"), "update-rc.d clusmgr defaults\n");
    let rest = node
        .sh("cd /etc; ls -d init.d/* rc?.d/* 2>/dev/null")
        .out
        .replace('\n', " ");
    assert_eq!(rest, "init.d/clusmgr ", "no links by hand");
    assert_eq!(run("--uninstall"), "update-rc.d clusmgr remove\n");
    let rest = node.sh("cd /etc; ls -d init.d/* rc?.d/*").ok();
    assert_eq!(rest, "init.d/corosync\nrc2.d/S01corosync\n");
}

/// Runs `scripts/install` and kills it before its command number `at`, if it has as many; its code.
fn killed(words: &[&str], at: u32) -> Option<i32> {
    let dir = tempfile::tempdir().unwrap();
    let env = dir.path().join("env");
    let text = format!("set -T\ntrap '((++COUNT != {at})) || kill -9 $$' DEBUG\n");
    fs::write(&env, text).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_clusmgr")).parent().unwrap();
    let ran = Command::new(super::repo("scripts/install"))
        .args(words)
        .env("CLUSMGR_BIN_DIR", bin)
        .env("BASH_ENV", &env)
        .output()
        .unwrap();
    ran.status.code()
}

#[test]
fn killed_anywhere_an_installation_and_an_undo_are_undone_all_the_same() {
    // As many moments as there is patience for.
    const STEP: usize = 197;
    let dir = machine();
    let root = dir.path();
    let at = root.to_str().unwrap();
    let words = ["--destdir", at, "--init", "sysv"];
    let undo = ["--uninstall", "--destdir", at];
    let before = tree(root);
    for (what, victim) in [("installation", &words[..]), ("undo", &undo[..])] {
        for n in (1..).step_by(STEP) {
            if what == "undo" {
                install(&words).ok();
            }
            let ended = killed(victim, n);
            if root.join("var/lib/clusmgr-install/manifest").exists() {
                install(&undo).ok();
            }
            // Empty directories of the record may be left by one that had just begun, or nearly done.
            let mut after = tree(root);
            after.retain(|path, _| before.contains_key(path) || !path.starts_with("var"));
            let odd: Vec<_> = after
                .keys()
                .filter(|p| after[*p] != *before.get(*p).unwrap_or(&(0, Vec::new())))
                .collect();
            assert!(
                odd.is_empty() && after.len() == before.len(),
                "{what} killed at {n}: {odd:?}"
            );
            if ended == Some(0) {
                assert!(n > 300, "{what} has {n} commands");
                break;
            }
            assert_eq!(ended, None, "{what} killed at {n}");
        }
    }
}

#[test]
fn a_link_to_nowhere_in_place_of_the_defaults_stays_and_a_dry_run_knows_what_is_ours() {
    let dir = machine();
    let root = dir.path();
    let at = root.to_str().unwrap();
    let defaults = root.join("etc/default/clusmgr");
    fs::create_dir_all(defaults.parent().unwrap()).unwrap();
    symlink("/not/mounted/yet", &defaults).unwrap();
    let said = install(&["--destdir", at]).ok();
    assert!(said.contains("default/clusmgr is there already"), "{said}");
    assert!(fs::symlink_metadata(&defaults).unwrap().is_symlink());
    // An earlier one of ours, as the manifest has it.
    let unit = root.join("etc/systemd/system/clusmgr.service");
    let manifest = root.join("var/lib/clusmgr-install/manifest");
    fs::write(&unit, "an earlier one").unwrap();
    let sum = "82ce32134b57d937a51243b15d5af336c10d32eab05c601e21ff20e62522c197";
    let text = fs::read_to_string(&manifest).unwrap();
    let lines: Vec<String> = text
        .lines()
        .map(|l| {
            if l.ends_with("/clusmgr.service") && l.starts_with("new ") && !l.contains(".wants") {
                format!("new {sum} /etc/systemd/system/clusmgr.service")
            } else {
                l.to_owned()
            }
        })
        .collect();
    fs::write(&manifest, lines.join("\n") + "\n").unwrap();
    let said = install(&["--destdir", at, "--dry-run"]).ok();
    assert!(
        said.contains("clusmgr.service, in place of an earlier one"),
        "{said}"
    );
    fs::write(&unit, "edited").unwrap();
    let said = install(&["--destdir", at, "--dry-run"]).ok();
    assert!(
        said.contains("clusmgr.service, and keep what is there"),
        "{said}"
    );
}

#[test]
fn a_second_prefix_is_refused_and_the_undo_needs_none() {
    let dir = machine();
    let root = dir.path();
    let at = root.to_str().unwrap();
    let before = tree(root);
    install(&["--destdir", at, "--prefix", "/opt/x"]).ok();
    let after = tree(root);
    for words in [
        &["--destdir", at, "--prefix", "/usr"][..],
        &["--destdir", at, "--prefix", "/usr", "--uninstall"],
        &["--destdir", at, "--prefix", "/", "--dry-run"],
    ] {
        let ran = install(words);
        assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
        assert!(ran.err.contains("with --prefix /opt/x: give"), "{ran:?}");
        same(root, &after, "{words:?}");
    }
    // Without one, it is that which there is.
    install(&["--destdir", at]).ok();
    same(root, &after, "a second time");
    install(&["--uninstall", "--destdir", at]).ok();
    same(root, &before, "undone");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    for (words, code, part) in [
        (&["--nonsense"][..], 2, "--nonsense"),
        (&["--init", "upstart"], 2, "systemd, sysv or auto"),
        (&["--prefix", "usr"], 2, "absolute"),
        (&["--destdir"], 2, "needs a value"),
        (&["--destdir", "/proc/nowhere"], 1, "/proc/nowhere"),
    ] {
        let ran = install(words);
        assert_eq!(ran.code, code, "{ran:?}");
        let last = ran.err.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("install: ") && last.contains(part),
            "{ran:?}"
        );
    }
    let ran = not_as_root("scripts/install", &[]);
    assert_eq!((ran.code, ran.err.lines().count()), (4, 1), "{ran:?}");
    let ran = not_as_root("scripts/install", &["--uninstall"]);
    assert_eq!(ran.code, 4, "{ran:?}");
}
