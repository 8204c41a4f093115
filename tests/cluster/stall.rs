//! A corosync that waits for ever in a write, though nobody stopped it: it answers nobody any more.

use crate::common::{LONG, Lab, Node, until};
use std::os::unix::fs::PermissionsExt;

/// A node whose corosync writes its errors into a pipe that nobody reads.
#[track_caller]
pub fn up(name: &str, flags: &[&str]) -> Lab {
    let lab = Lab::up(name, "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let wrapper = "#!/bin/bash\nexec 2<>/tmp/fifo\nexec $(type -P /usr/sbin/corosync /sbin/corosync | head -1) \"$@\"\n";
    n1.put("/tmp/wrapper", wrapper);
    let perms = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(n1.file("/tmp/wrapper"), perms).unwrap();
    n1.sh("mkfifo /tmp/fifo").ok();
    n1.start_daemon(&[&["--corosync-bin", "/tmp/wrapper"], flags].concat());
    lab
}

/// Lets it stay in the next write, which comes with the next client.
#[track_caller]
pub fn fill(node: &Node<'_>) {
    node.sh("corosync-cmapctl -s logging.debug str on").ok();
    let full = "timeout 5 dd if=/dev/zero of=/tmp/fifo bs=1 oflag=nonblock 2>&1; true";
    let said = node.sh(full).ok();
    assert!(said.contains("unavailable"), "the pipe is full: {said}");
}

/// Comes as a client, and waits until corosync stays in its write; or has been replaced. Gives when
/// the client came, by the wall clock in milliseconds.
#[track_caller]
pub fn stall(node: &Node<'_>, pid: i64) -> u64 {
    node.spawn("bash -c 'date +%s%3N >/tmp/came; exec corosync-cmapctl totem.version'");
    until("it waits in a write", LONG, || {
        let line = node.sh(&format!("cat /proc/{pid}/wchan")).out;
        (line.contains("pipe") || node.status()["service"]["pid"] != pid).then_some(())
    });
    let came = String::from_utf8(node.read("/tmp/came")).unwrap();
    came.trim().parse().unwrap()
}
