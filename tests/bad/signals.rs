//! Signals that the caller of clusmgr ignores: a child inherits that.

use crate::bed::degraded;
use crate::common::{LONG, Lab, until};

#[test]
fn a_caller_that_ignores_every_signal() {
    let lab = Lab::up("bad-ignored", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    for flags in ["-f", ""] {
        // A shell cannot ignore CHLD for its children; perl can.
        let start = format!(
            "perl -e '$SIG{{$_}} = \"IGNORE\" for qw(CHLD HUP TERM INT QUIT USR1); exec @ARGV' \
             clusmgr {flags} --stable-after 0.1 </dev/null >/dev/null 2>&1 &"
        );
        n1.sh(&start).ok();
        until("clusmgr serves", LONG, || {
            (n1.ctl(&["start", "--wait"]).code == 0).then_some(())
        });
        let corosync = n1.pid();
        n1.kill("KILL", corosync);
        n1.wait_other(corosync);
        let exit = n1.status()["service"]["last_exit"].clone();
        assert_eq!(exit["signal"], 9, "{exit}");
        assert!(
            exit["cause"]
                .as_str()
                .unwrap()
                .contains("killed by signal 9"),
            "{exit}"
        );
        let status = n1.sh(&format!("cat /proc/{}/status", n1.daemon_pid())).ok();
        let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:\t"));
        let mask = u64::from_str_radix(mask.unwrap(), 16).unwrap();
        for signal in [1, 2, 3, 10, 15, 17] {
            assert_eq!(mask >> (signal - 1) & 1, 0, "signal {signal}: {mask:x}");
        }
        n1.end_daemon("TERM");
    }
}

#[test]
fn a_flood_of_hups() {
    let lab = Lab::up("bad-hups", "1", &[]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let pid = n1.daemon_pid();
    let before = n1.events_of("config.changed").len();
    let flood = format!(
        "for i in {{1..300}}; do
            kill -HUP {pid}
            ((i != 150)) || echo '# by hand' >>/etc/corosync/corosync.conf
            grep -c cm-change /proc/{pid}/task/*/comm | grep -c ':1$'
        done | sort -n | tail -1; kill -HUP {pid}"
    );
    // One at a time, and one that has just come to its end.
    let most = n1.sh(&flood).ok();
    assert!(["1\n", "2\n"].contains(&most.as_str()), "{most}");
    // The last one counts: what it found is taken in.
    n1.wait("no drift", |s| {
        s["config"]["drift"] == false && degraded(s).is_empty()
    });
    until("the change is told", LONG, || {
        (n1.events_of("config.changed").len() > before).then_some(())
    });
    assert_eq!(n1.events_of("config.bad").len(), 0, "none was refused");
    until("the thread ends", LONG, || {
        (n1.sh(&format!("grep -q cm-change /proc/{pid}/task/*/comm"))
            .code
            == 1)
            .then_some(())
    });
}
