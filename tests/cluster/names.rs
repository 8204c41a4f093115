//! Names in corosync.conf, and a name server that takes its time: corosync's main loop rests meanwhile.

use crate::bed::{formed, kinds, none_of, of_kinds, wait_after};
use crate::common::{LONG, Lab, degraded, until};
use std::time::{Duration, Instant};

/// Knows every name, answers one question late after /tmp/late was made, and none where there is
/// /tmp/never.
const SERVER: &str = r#"
import os, socket, struct, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
open("/tmp/serves", "w").close()
while True:
    ask, who = s.recvfrom(4096)
    if os.path.exists("/tmp/late"):
        os.rename("/tmp/late", "/tmp/asked")
        time.sleep(5)
    if os.path.exists("/tmp/never"):
        open("/tmp/asked", "w").close()
        continue
    end = ask.index(b"\0", 12) + 5
    a = struct.unpack(">H", ask[end - 4:end - 2])[0] == 1
    head = ask[:2] + struct.pack(">HHHHH", 0x8580, 1, int(a), 0, 0)
    answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + bytes((10, 77, 0, 1)) if a else b""
    s.sendto(head + ask[12:end] + answer, who)
"#;

const RELOADS: [&str; 3] = ["reload.ok", "reload.failed", "reload.stuck"];

/// This node's address is known to the name server alone.
const PLACE: &str =
    "printf 'nameserver 127.0.0.1\\noptions timeout:7 attempts:1\\n' >/tmp/resolv.conf
    printf '127.0.0.1 localhost\\n' >/tmp/hosts
    printf 'hosts: files dns\\n' >/tmp/nsswitch.conf
    for f in resolv.conf hosts nsswitch.conf; do mount -n --bind /tmp/$f /etc/$f || exit 1; done";

#[test]
fn a_corosync_that_waits_for_a_name_server_in_a_reload_is_not_killed() {
    let lab = Lab::up("names", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    n1.put("/tmp/server.py", SERVER);
    n1.sh(PLACE).ok();
    n1.spawn("python3 /tmp/server.py");
    until("the name server serves", LONG, || {
        n1.file("/tmp/serves").exists().then_some(())
    });
    n1.edit_conf(|t| t.replace("ring0_addr: 10.77.0.1", "ring0_addr: ring.test"));
    n1.start_daemon(&["--hang-timeout", "1", "--poll-interval", "0.2"]);
    let pid = formed(&lab, 1)[0];
    let seq = n1.latest();

    n1.put("/tmp/late", "");
    let began = Instant::now();
    n1.spawn("corosync-cfgtool -R");
    until("it asks", LONG, || {
        n1.file("/tmp/asked").exists().then_some(())
    });
    // The main loop does rest, and for longer than the hang time-out.
    let s = n1.wait("no answer", |s| degraded(s).contains(&"not-answering"));
    assert_eq!(s["service"]["pid"], pid);
    let ok = wait_after(&n1, seq, "reload.ok", |_| true);
    assert_eq!(ok["fields"]["status"], 1);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5), "{took:?}");
    n1.wait("well", |s| {
        // That it rested for so long is told for a minute.
        degraded(s).iter().all(|r| *r == "sched-pause")
    });
    assert_eq!(n1.pid(), pid);
    none_of(
        &n1,
        0,
        &["service.hung", "service.killed", "service.exited"],
    );
    let told = of_kinds(&n1, seq, &RELOADS);
    assert_eq!(kinds(&told), ["reload.ok"]);

    // Nor one whose name server never answers: it cannot use its file then, and runs on without.
    let seq = n1.latest();
    n1.sh("rm /tmp/asked && touch /tmp/never").ok();
    n1.spawn("corosync-cfgtool -R");
    until("it asks", LONG, || {
        n1.file("/tmp/asked").exists().then_some(())
    });
    let s = n1.wait("no answer", |s| degraded(s).contains(&"not-answering"));
    assert_eq!(s["service"]["pid"], pid);
    let failed = wait_after(&n1, seq, "reload.failed", |_| true);
    assert_eq!(failed["fields"]["status"], 7);
    n1.wait("it answers", |s| !degraded(s).contains(&"not-answering"));
    assert_eq!(n1.pid(), pid);
    none_of(
        &n1,
        0,
        &["service.hung", "service.killed", "service.exited"],
    );

    // And the next reload is a good one.
    let seq = n1.latest();
    n1.sh("rm /tmp/never").ok();
    n1.run(&["corosync-cfgtool", "-R"]).ok();
    wait_after(&n1, seq, "reload.ok", |_| true);
    assert_eq!(n1.pid(), pid);
}
