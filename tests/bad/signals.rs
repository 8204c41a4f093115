//! Signals that the caller of clusmgr ignores: a child inherits that.

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
            (n1.ctl(&["status", "--wait"]).code == 0).then_some(())
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
