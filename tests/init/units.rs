//! The systemd units.

use super::{install, repo};
use crate::common::Lab;
use std::fs;
use std::process::Command;

fn unit(name: &str) -> String {
    fs::read_to_string(repo(&format!("scripts/init/{name}"))).unwrap()
}

/// The values of a directive.
fn values(unit: &str, directive: &str) -> Vec<String> {
    let prefix = format!("{directive}=");
    unit.lines()
        .filter_map(|l| l.strip_prefix(&prefix).map(str::to_owned))
        .collect()
}

#[test]
fn both_units_pass_systemd_analyze_verify() {
    let tree = tempfile::tempdir().unwrap();
    let at = tree.path().to_str().unwrap();
    install(&["--destdir", at, "--prefix", "/tmp/p", "--init", "systemd"]).ok();
    let lab = Lab::up("units", "1 --no-clusmgr --empty", &[]);
    let node = lab.node(1);
    for (from, to) in [("tmp/p", "/tmp/p"), ("etc/systemd/system", "/tmp/units")] {
        let copied = Command::new("cp")
            .arg("-a")
            .arg(tree.path().join(from))
            .arg(node.file(to))
            .status();
        assert!(copied.unwrap().success());
    }
    for name in ["clusmgr.service", "corosync.service"] {
        let path = format!("/tmp/units/{name}");
        let ran = node.run(&["systemd-analyze", "verify", "--man=no", &path]);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (0, "", ""),
            "{name}"
        );
    }
}

#[test]
fn clusmgrs_unit_gives_it_no_namespace_of_its_own() {
    // clusmgr adopts a corosync of its own namespaces only, and each of these makes new ones at
    // every start: after an upgrade corosync would be a stranger.
    const FORBIDDEN: &[&str] = &[
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "ExecPaths",
        "InaccessiblePaths",
        "MountAPIVFS",
        "NetworkNamespacePath",
        "NoExecPaths",
        "PrivateDevices",
        "PrivateIPC",
        "PrivateMounts",
        "PrivateNetwork",
        "PrivateTmp",
        "PrivateUsers",
        "ProcSubset",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RootDirectory",
        "RootImage",
        "TemporaryFileSystem",
        "RestrictRealtime",
    ];
    let unit = unit("clusmgr.service");
    for directive in FORBIDDEN {
        assert_eq!(
            values(&unit, directive),
            Vec::<String>::new(),
            "{directive}"
        );
    }
}

#[test]
fn a_restart_of_clusmgr_reaches_nothing_else_and_a_kill_its_main_process_alone() {
    let clusmgr = unit("clusmgr.service");
    let corosync = unit("corosync.service");
    // systemd passes a restart on along these, its own after a crash too.
    for directive in ["Requires", "BindsTo", "PartOf", "StopPropagatedFrom"] {
        assert_eq!(values(&corosync, directive), Vec::<String>::new());
    }
    for unit in [&clusmgr, &corosync] {
        assert_eq!(values(unit, "Conflicts"), Vec::<String>::new());
    }
    for wants in values(&clusmgr, "Wants") {
        assert!(!wants.contains("corosync"), "{wants}");
    }
    assert_eq!(values(&clusmgr, "KillMode"), ["process"]);
    assert_eq!(values(&clusmgr, "KillSignal"), ["SIGQUIT"]);
    assert_eq!(values(&clusmgr, "Type"), ["notify"]);
    assert_eq!(values(&clusmgr, "RuntimeDirectoryPreserve"), ["yes"]);
}

#[test]
fn a_stop_outlasts_pacemakers_and_nocluster_keeps_both_units_down() {
    // pacemaker.service has TimeoutStopSec=30min.
    let clusmgr = unit("clusmgr.service");
    let minutes = values(&clusmgr, "TimeoutStopSec").pop().unwrap();
    let minutes: u32 = minutes.strip_suffix("min").unwrap().parse().unwrap();
    assert!(minutes > 30, "{minutes}");
    for name in ["clusmgr.service", "corosync.service"] {
        let condition = values(&unit(name), "ConditionKernelCommandLine");
        assert_eq!(condition, ["!nocluster"], "{name}");
    }
}

#[test]
fn clusmgrs_unit_comes_after_the_network_and_takes_from_corosync_nothing_that_it_needs() {
    let unit = unit("clusmgr.service");
    for directive in ["After", "Wants"] {
        let value = values(&unit, directive).join(" ");
        let mut words = value.split(' ');
        assert!(words.any(|w| w == "network-online.target"), "{value}");
    }
    let denied = |directive| {
        let value = values(&unit, directive).pop().unwrap();
        value.strip_prefix('~').unwrap().to_owned()
    };
    let calls = denied("SystemCallFilter");
    for group in ["@module", "@swap", "@obsolete", "@raw-io"] {
        assert!(calls.contains(group), "{calls}");
    }
    let caps = denied("CapabilityBoundingSet");
    assert!(caps.contains("CAP_SYS_MODULE") && caps.contains("CAP_SYS_RAWIO"));
    // Realtime scheduling, locked memory, socket buffers, kill, and cores of corosync.
    for needed in [
        "CAP_SYS_NICE",
        "CAP_IPC_LOCK",
        "CAP_SYS_RESOURCE",
        "CAP_NET_ADMIN",
        "CAP_KILL",
        "CAP_SYS_PTRACE",
    ] {
        assert!(!caps.contains(needed), "{caps}");
    }
    let families = values(&unit, "RestrictAddressFamilies").pop().unwrap();
    for family in ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"] {
        assert!(families.split(' ').any(|f| f == family), "{families}");
    }
    for limit in ["LimitMEMLOCK", "LimitCORE", "TasksMax"] {
        assert_eq!(values(&unit, limit), ["infinity"], "{limit}");
    }
}

/// The script of a directive of the unit's `sh -c`, as systemd hands it on.
fn script(unit: &str, directive: &str) -> String {
    let whole = unit.replace("\\\n", " ");
    let line = values(&whole, directive).pop().unwrap();
    let (_, script) = line.split_once('\'').unwrap();
    script.strip_suffix('\'').unwrap().replace("$$", "$")
}

/// systemd is a stand-in here, for the lab's nodes have none: a `systemctl` that does with
/// corosync.service what that unit says.
#[test]
fn a_stop_of_clusmgrs_unit_ends_corosync_too_and_a_restart_leaves_it_running() {
    const MARK: &str = "/run/clusmgr/stopped-corosync";
    let lab = Lab::up("exec-stop", "1", &[]);
    let node = lab.node(1);
    node.wait_state("running");
    let systemctl = "#!/bin/sh\necho \"$*\" >>/tmp/asked\ncase $1 in\n\
        list-jobs) cat /tmp/jobs ;;\n\
        stop) clusmgrctl stop --runtime >/dev/null ;;\n\
        esac\n";
    node.sh("mkdir /tmp/bin").ok();
    node.put("/tmp/bin/systemctl", systemctl);
    node.sh("chmod 755 /tmp/bin/systemctl").ok();
    let unit = unit("clusmgr.service");
    let run = |directive: &str, job: &str| {
        node.put("/tmp/asked", "");
        node.put("/tmp/jobs", format!("42 clusmgr.service {job} running\n"));
        node.put("/tmp/script", script(&unit, directive));
        let pid = node.daemon_pid();
        node.sh(&format!(
            "MAINPID={pid} PATH=/tmp/bin:$PATH sh -c \"$(cat /tmp/script)\""
        ))
        .ok();
        String::from_utf8(node.read("/tmp/asked")).unwrap()
    };
    let (daemon, corosync) = (node.daemon_pid(), node.pid());
    let asked = run("ExecStop", "restart");
    assert_eq!(asked, "list-jobs --no-legend clusmgr.service\n");
    assert_eq!((node.daemon_pid(), node.pid()), (daemon, corosync));
    assert!(!node.file(MARK).exists());

    let asked = run("ExecStop", "stop");
    assert!(asked.ends_with("stop corosync.service\n"), "{asked}");
    assert!(!node.lives(daemon), "it returned before clusmgr had ended");
    assert!(node.corosyncs().is_empty());
    // What a stop took along comes back, once.
    assert!(node.file(MARK).exists());
    node.start_daemon(&[]);
    let asked = run("ExecStartPost", "start");
    assert_eq!(asked, "--no-block start corosync.service\n");
    assert_eq!(run("ExecStartPost", "start"), "");
    node.end_daemon("TERM");
}

#[test]
fn the_stand_in_reaches_a_socket_that_was_moved() {
    let lab = Lab::up("moved", "1 --no-clusmgr", &[]);
    let node = lab.node(1);
    node.sh("clusmgr --socket /run/elsewhere --stable-after 1")
        .ok();
    let corosync = unit("corosync.service");
    assert_eq!(
        values(&corosync, "EnvironmentFile"),
        ["-/etc/default/clusmgr"]
    );
    fs::write(
        node.file("/tmp/default"),
        "CLUSMGRCTL_OPTS=\"--socket /run/elsewhere\"\n",
    )
    .unwrap();
    // systemd splits an unquoted $NAME into words, as sh does.
    let run = |directive: &str| {
        let line = values(&corosync, directive).pop().unwrap();
        let line = line.replace("/usr/sbin/", "/run/lab/bin/");
        node.sh(&format!(". /tmp/default; {line}")).ok()
    };
    run("ExecStop");
    assert!(node.corosyncs().is_empty());
    run("ExecStart");
    assert_eq!(node.corosyncs().len(), 1);
    node.end_daemon("TERM");
}
