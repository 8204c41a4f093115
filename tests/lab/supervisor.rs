//! What clusmgr tells its own supervisor, through a fake `NOTIFY_SOCKET`.

use crate::common::{LONG, Lab, Node, until};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The supervisor's end: what has come so far.
struct Supervisor {
    socket: UnixDatagram,
    said: Vec<String>,
}

impl Supervisor {
    fn new(node: &Node<'_>) -> Supervisor {
        // Bound by its relative path's file: a lab's directory may be deeper than a socket's path.
        let path = node.file("/run/supervisor");
        let socket = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        Supervisor {
            socket,
            said: Vec::new(),
        }
    }

    fn readies(&self) -> usize {
        self.said.iter().filter(|l| *l == "READY=1").count()
    }

    #[track_caller]
    fn wait(&mut self, line: &str) {
        until(&format!("{line} after {:?}", self.said), LONG, || {
            let mut bytes = [0u8; 4096];
            if let Ok(n) = self.socket.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
                self.said.extend(text.lines().map(str::to_owned));
            }
            self.said.iter().any(|l| l.starts_with(line)).then_some(())
        });
    }
}

#[test]
fn the_supervisor_hears_ready_status_watchdog_reloading_and_stopping_and_corosync_is_not_heard() {
    let lab = Lab::up("supervisor", "1 --no-clusmgr", &[]);
    let node = lab.node(1);
    let mut supervisor = Supervisor::new(&node);
    let start = "NOTIFY_SOCKET=/run/supervisor WATCHDOG_USEC=400000 clusmgr --poll-interval 0.1";
    assert_eq!(node.sh(start).code, 0);
    supervisor.wait("READY=1");
    supervisor.wait("STATUS=started corosync");
    node.wait_state("running");
    supervisor.wait("STATUS=corosync (pid");
    supervisor.wait("WATCHDOG=1");
    // corosync has a NOTIFY_SOCKET of ours: its own READY, which has come by now, is not here.
    assert_eq!(supervisor.readies(), 1, "{:?}", supervisor.said);
    supervisor.said.clear();
    let daemon = node.daemon_pid();
    node.kill("HUP", daemon);
    supervisor.wait("RELOADING=1");
    supervisor.wait("MONOTONIC_USEC=");
    supervisor.wait("READY=1");
    assert_eq!(node.status()["config"]["drift"], false);
    node.kill("TERM", daemon);
    supervisor.wait("STOPPING=1");
    supervisor.wait("EXTEND_TIMEOUT_USEC=");
    node.wait_gone(daemon);
    assert_eq!(supervisor.readies(), 1, "{:?}", supervisor.said);
}
