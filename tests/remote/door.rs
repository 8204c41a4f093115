//! Strangers at the door of a real node.

use crate::bed::{formed, reached, wait_all, words};
use crate::common::{LONG, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A thousand connections: silent ones, rubbish, half handshakes, and some with another version.
pub fn knock(address: &str) {
    let mut held = Vec::new();
    let mut refused = 0;
    for n in 0..1000_u32 {
        let Ok(mut stream) = TcpStream::connect(address) else {
            continue;
        };
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let said: &[u8] = match n % 5 {
            0 => b"",
            1 => &[0x5a; 56],
            2 => b"clusmgr\x01half of it",
            3 => b"clusmgr\x02........................................x.......",
            _ => b"clusmgr\x01................................................",
        };
        let _ = stream.write_all(said);
        if n % 5 == 4 {
            let mut answer = [0; 9];
            if stream.read_exact(&mut answer).is_ok() {
                assert_eq!(&answer, b"clusmgr\x01\x02");
                refused += 1;
            }
        }
        held.push(stream);
    }
    assert!(refused > 100, "{refused}");
    println!("{refused} were refused in words");
}

#[test]
fn strangers_disturb_neither_corosync_nor_members_nor_the_local_service_nor_the_log() {
    let lab = formed("remote-door", "2", 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    wait_all(&n1, "both there", |n| reached(n) == ["ok"; 2]);
    let pids = [n1.pid(), n2.pid()];
    let told = words("knock 10.77.0.1:5407");
    let words: Vec<&str> = told.iter().map(String::as_str).collect();
    // From the very address of a member.
    std::thread::scope(|scope| {
        let knocking = scope.spawn(|| n2.run(&words));
        let mut asked = 0;
        until("the knocking is over", LONG, || {
            n1.status();
            let nodes = crate::bed::all(&n2, &["status"]);
            assert_eq!(reached(&nodes), ["ok"; 2], "{}", nodes[0]);
            asked += 1;
            knocking.is_finished().then_some(())
        });
        assert!(asked > 0);
        let ran = knocking.join().unwrap();
        assert_eq!(ran.code, 0, "{ran:?}");
    });
    assert_eq!([n1.pid(), n2.pid()], pids);
    let log = std::fs::read_to_string(n1.file("/run/clusmgr/log")).unwrap_or_default();
    let lines = log.lines().filter(|l| l.contains("refused a connection"));
    assert!(lines.count() <= 2, "{log}");
    // No thread of theirs is left, and no descriptor.
    until("all are gone", LONG, || {
        let pid = n1.daemon_pid();
        let script = format!("ls /proc/{pid}/fd | wc -l");
        let n: u32 = n1.sh(&script).ok().trim().parse().unwrap();
        (n < 40).then_some(())
    });
}
