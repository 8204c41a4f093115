//! The LSB init script, in a node without systemd.

use super::{not_as_root, repo};
use crate::common::{Lab, Node, Ran};

/// Where the lab has the daemon under test.
const DAEMON: &str = "/run/lab/bin/clusmgr";

struct Script<'l> {
    node: Node<'l>,
}

impl<'l> Script<'l> {
    fn new(lab: &'l Lab) -> Script<'l> {
        let node = lab.node(1);
        std::fs::copy(repo("scripts/init/clusmgr"), node.file("/tmp/clusmgr-init")).unwrap();
        let script = Script { node };
        script.set("--stable-after 1");
        script
    }

    fn set(&self, flags: &str) {
        let text = format!("DAEMON={DAEMON}\nCLUSMGR_OPTS=\"{flags}\"\n");
        std::fs::write(self.node.file("/tmp/default"), text).unwrap();
    }

    /// Another program in the place of the daemon; its name is the daemon's, as an upgrade's is.
    fn program(&self, text: &str) {
        let dir = self.node.file("/tmp/new");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("clusmgr"), text).unwrap();
        self.node.sh("chmod 755 /tmp/new/clusmgr").ok();
        std::fs::write(self.node.file("/tmp/default"), "DAEMON=/tmp/new/clusmgr\n").unwrap();
    }

    fn run(&self, verb: &str) -> Ran {
        let line = format!("CLUSMGR_DEFAULTS=/tmp/default exec /tmp/clusmgr-init {verb}");
        self.node.sh(&line)
    }

    #[track_caller]
    fn gives_with(&self, flags: &str, verb: &str, code: i32, part: &str) {
        self.set(flags);
        self.gives(verb, code, part);
    }

    #[track_caller]
    fn gives(&self, verb: &str, code: i32, part: &str) {
        let ran = self.run(verb);
        assert_eq!(ran.code, code, "{verb}: {ran:?}");
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains(part), "{verb}: {ran:?}");
    }
}

#[test]
fn start_stop_restart_reload_and_status_as_the_lsb_says_and_upgrade_leaves_corosync_running() {
    let lab = Lab::up("script", "1 --no-clusmgr", &[]);
    let script = Script::new(&lab);
    let node = &script.node;
    // With the functions of the LSB, where the machine has them; from then on without.
    script.gives("status", 3, "does not run");
    node.sh("[ ! -d /lib/lsb ] || mount -n -t tmpfs none /lib/lsb")
        .ok();
    assert_ne!(node.sh("[ -e /lib/lsb/init-functions ]").code, 0);

    script.gives("status", 3, "does not run");
    script.gives("stop", 0, "does not run");
    script.gives("reload", 7, "does not run");
    script.gives("start", 0, "started (pid");
    script.gives("status", 0, "runs (pid");
    node.wait_state("running");
    let (daemon, corosync) = (node.daemon_pid(), node.pid());
    script.gives("start", 0, &format!("runs already (pid {daemon})"));
    assert_eq!(node.daemon_pid(), daemon);

    // A change by hand, taken in.
    node.edit_conf(|text| text.replace("token: 1000", "token: 1100"));
    node.wait("drift", |s| s["config"]["drift"] == true);
    script.gives("force-reload", 0, "takes the live corosync.conf in");
    node.wait("no drift", |s| s["config"]["drift"] == false);

    script.gives("upgrade", 0, "started (pid");
    let s = node.wait_state("running");
    assert_ne!(node.daemon_pid(), daemon, "another clusmgr");
    assert_eq!(s["service"]["pid"], corosync, "the same corosync");
    assert_eq!(s["service"]["adopted"], true);

    // What would not start does not take the place of what runs.
    let daemon = node.daemon_pid();
    script.set("--restart-delay never");
    script.gives("upgrade", 2, "--restart-delay never");
    assert_eq!(node.daemon_pid(), daemon);
    assert!(node.lives(daemon) && node.lives(corosync));
    script.set("--stable-after 1");
    // Nor a program that the loader refuses (1), nor a state that it does not know.
    let loader = "#!/bin/sh\necho 'GLIBC_2.99 not found' >&2\nexit 1\n";
    script.program(loader);
    script.gives("upgrade", 1, "the old one is left running: GLIBC_2.99");
    assert_eq!(node.daemon_pid(), daemon);
    assert!(node.lives(daemon) && node.lives(corosync));
    // One that passes its own test and does not start all the same: said loudly.
    script.program(
        "#!/bin/sh\ncase \"$*\" in *--test*) exit 0 ;; esac\necho 'no start' >&2\nexit 1\n",
    );
    script.gives("upgrade", 1, "THE NEW CLUSMGR DOES NOT START");
    assert!(node.lives(corosync));
    script.set("--stable-after 1");
    script.gives("start", 0, "started (pid");
    assert_eq!(node.wait_state("running")["service"]["pid"], corosync);
    let daemon = node.daemon_pid();

    script.gives("restart", 0, "started (pid");
    node.wait_state("running");
    assert_ne!(node.daemon_pid(), daemon);
    assert_ne!(node.pid(), corosync);

    // Dead with its pid file; the next start adopts corosync.
    let (daemon, corosync) = (node.daemon_pid(), node.pid());
    node.kill("KILL", daemon);
    node.wait_gone(daemon);
    script.gives("status", 1, "dead");
    script.gives("stop", 1, "corosync runs on");
    script.gives("restart", 1, "corosync runs on");
    assert!(node.lives(corosync));
    script.gives("start", 0, "started (pid");
    assert_eq!(node.wait_state("running")["service"]["pid"], corosync);

    // Of the daemon: that corosync is held changes nothing.
    node.ctl(&["stop"]).ok();
    script.gives("status", 0, "runs (pid");
    node.ctl(&["start"]).ok();
    let corosync = node.pid();
    script.gives("stop", 0, "ended");
    assert!(!node.lives(corosync));
    script.gives("status", 3, "does not run");
    script.gives("try-restart", 0, "");
    script.gives("status", 3, "does not run");
}

#[test]
fn a_pid_file_that_names_another_process_is_stale_and_nobody_is_killed() {
    let lab = Lab::up("script-stale", "1 --no-clusmgr --empty", &[]);
    let script = Script::new(&lab);
    let node = &script.node;
    node.sh("setsid sleep 600 >/dev/null 2>&1 & mkdir -p /run/clusmgr; echo $! >/run/clusmgr/clusmgr.pid")
        .ok();
    let pid = node.daemon_pid();
    script.gives("status", 1, "dead");
    script.gives("stop", 0, "does not run");
    script.gives("reload", 7, "does not run");
    assert!(node.lives(pid), "a stranger was killed");
    for rubbish in ["", "-1", "1; exit 0", "$(reboot)"] {
        std::fs::write(node.file("/run/clusmgr/clusmgr.pid"), rubbish).unwrap();
        script.gives("status", 1, "dead");
    }
    node.kill("KILL", pid);
}

/// The pid file's number is a script's by now, whose name is the daemon's: this one's, and another's.
#[test]
fn a_pid_file_that_names_a_script_of_the_daemons_name_is_stale() {
    let lab = Lab::up("script-name", "1 --no-clusmgr --empty", &[]);
    let script = Script::new(&lab);
    let node = &script.node;
    node.sh(
        "mkdir -p /run/clusmgr /tmp/d; cp /tmp/clusmgr-init /tmp/d/clusmgr; \
             printf '#!/bin/sh\\nsleep 600 & wait\\n' >/tmp/clusmgr; chmod 755 /tmp/clusmgr",
    )
    .ok();
    let itself = |verb: &str| {
        let line = format!(
            "export CLUSMGR_DEFAULTS=/tmp/default; \
             exec sh -c 'echo $$ >/run/clusmgr/clusmgr.pid; exec /tmp/d/clusmgr {verb}'"
        );
        let ran = node.sh(&line);
        (ran.code, format!("{}{}", ran.out, ran.err))
    };
    assert_eq!(itself("status").0, 1);
    let (code, said) = itself("stop");
    assert!(code == 0 && said.contains("does not run"), "{code} {said}");
    assert_eq!(itself("reload").0, 7);
    let (code, said) = itself("start");
    assert!(code == 0 && said.contains("started (pid"), "{code} {said}");
    script.gives("status", 0, "runs (pid");
    // The real one is seen by whoever may ask, and the name of an upgraded binary does not matter.
    script.gives("stop", 0, "ended");

    let other = node.spawn("setsid /tmp/clusmgr");
    crate::common::until("it has the name", crate::common::LONG, || {
        let named = node.sh(&format!("grep -qx clusmgr /proc/{other}/comm"));
        (named.code == 0).then_some(())
    });
    let is_its = || node.put("/run/clusmgr/clusmgr.pid", format!("{other}\n"));
    is_its();
    script.gives("status", 1, "dead");
    script.gives("stop", 0, "does not run");
    assert!(node.lives(other), "a stranger was killed");
    is_its();
    script.gives("start", 0, "started (pid");
    script.gives("stop", 0, "ended");
    assert!(node.lives(other));
    node.sh(&format!("kill -- -{other}")).ok();
}

#[test]
fn usage_privilege_and_a_missing_program_have_the_codes_of_the_lsb() {
    let lab = Lab::up("script-codes", "1 --no-clusmgr --empty", &[]);
    let script = Script::new(&lab);
    script.gives("", 2, "usage: ");
    script.gives("nonsense", 2, "usage: ");
    std::fs::write(script.node.file("/tmp/default"), "DAEMON=/nowhere\n").unwrap();
    for verb in ["start", "restart", "upgrade"] {
        script.gives(verb, 5, "/nowhere is not there");
    }
    script.gives("stop", 0, "does not run");
    script.set("--nonsense");
    script.gives("start", 2, "'nonsense'");
    for verb in ["start", "stop", "restart", "reload", "upgrade"] {
        let ran = not_as_root("scripts/init/clusmgr", &[verb]);
        assert_eq!((ran.code, ran.err.lines().count()), (4, 1), "{ran:?}");
    }
}

#[test]
fn what_is_wrong_in_the_defaults_is_said_before_anything_is_done() {
    let lab = Lab::up("script-defaults", "1 --no-clusmgr --empty", &[]);
    let script = Script::new(&lab);
    script.gives("start", 0, "started (pid");
    for (text, part) in [
        ("STOP_WAIT=abc\n", "STOP_WAIT='abc'"),
        ("STOP_WAIT=0.5\n", "STOP_WAIT='0.5'"),
        ("STOP_WAIT=\n", "STOP_WAIT=''"),
        ("CLUSMGR_OPTS=\"--debug -f\"\n", "has -f"),
        ("CLUSMGR_OPTS=\"--test\"\n", "has --test"),
        ("CLUSMGR_OPTS=\"-df\"\n", "has -df"),
        ("CLUSMGR_OPTS=\"-ddV -i 2\"\n", "has -ddV"),
        ("CLUSMGR_OPTS=\"\n", "it is no shell text"),
    ] {
        let text = format!("DAEMON={DAEMON}\n{text}");
        std::fs::write(script.node.file("/tmp/default"), text).unwrap();
        for (verb, code) in [("start", 6), ("stop", 6), ("upgrade", 6), ("status", 4)] {
            script.gives(verb, code, part);
        }
    }
    // The letters of a value are no flags.
    script.gives_with("-i0.5 -dShift/fht -n fVt", "stop", 0, "ended");
    // No word is a pattern.
    script.set("--node *");
    script
        .node
        .sh("cd /etc && CLUSMGR_DEFAULTS=/tmp/default /tmp/clusmgr-init start")
        .ok();
    assert_eq!(script.node.status()["node"]["name"], "*");
    script.gives("stop", 0, "ended");
}

#[test]
fn two_verbs_at_once_come_one_after_the_other() {
    let lab = Lab::up("script-lock", "1 --no-clusmgr --empty", &[]);
    let script = Script::new(&lab);
    let node = &script.node;
    script.gives("start", 0, "started (pid");
    // The daemon has no lock of the script that started it.
    node.sh("flock -n /run/clusmgr-init.lock true").ok();
    // Whoever holds the lock is waited for.
    node.sh("setsid flock /run/clusmgr-init.lock sleep 2 >/dev/null 2>&1 & sleep 0.5")
        .ok();
    let began = std::time::Instant::now();
    script.gives("status", 0, "runs");
    assert!(began.elapsed().as_millis() < 1000, "status waits for none");
    script.gives("stop", 0, "ended");
    assert!(began.elapsed().as_millis() > 1000, "{:?}", began.elapsed());
    // A stop after an upgrade began ends what the upgrade started.
    for _ in 0..3 {
        script.gives("start", 0, "started (pid");
        let line = "export CLUSMGR_DEFAULTS=/tmp/default; \
                    /tmp/clusmgr-init upgrade & sleep 0.05; /tmp/clusmgr-init stop; wait";
        node.sh(line).ok();
        script.gives("status", 3, "does not run");
    }
    // One that does not end is told of.
    node.sh("echo STOP_WAIT=0 >>/tmp/default; mkdir /tmp/tools; \
             printf '#!/bin/sh\nexit 1\n' >/tmp/tools/flock; chmod 755 /tmp/tools/flock; \
             sed -i 's|^PATH=|PATH=/tmp/tools:|' /tmp/clusmgr-init")
        .ok();
    script.gives("stop", 1, "is at work");
}

#[test]
fn an_upgrade_of_what_systemd_started_goes_through_systemd() {
    let lab = Lab::up("script-systemd", "1 --no-clusmgr --empty", &[]);
    let script = Script::new(&lab);
    let node = &script.node;
    script.gives("start", 0, "started (pid");
    let daemon = node.daemon_pid();
    node.sh("mkdir -p /run/systemd/system /tmp/tools; \
         printf '#!/bin/sh\\necho \"$*\" >>/tmp/asked\\n' >/tmp/tools/systemctl; \
         chmod 755 /tmp/tools/systemctl; \
         sed -i 's|^PATH=|PATH=/tmp/tools:|' /tmp/clusmgr-init; \
         [ ! -d /lib/lsb ] || mount -n -t tmpfs none /lib/lsb")
        .ok();
    assert_eq!(script.run("upgrade").code, 0);
    assert_eq!(
        String::from_utf8(node.read("/tmp/asked")).unwrap(),
        "-q is-active clusmgr.service\nrestart clusmgr.service\n"
    );
    assert_eq!(node.daemon_pid(), daemon, "it is systemd that ends it");
}
