//! Whether a process is writing its core: it is dead, but its end comes when that is done.

use super::Proc;
use crate::types::Pid;

impl Proc {
    /// By `CoreDumping` in `/proc/PID/status`, which Linux has since 4.15.
    #[must_use]
    pub fn dumps_core(&self, pid: Pid) -> bool {
        let Ok(text) = std::fs::read(self.of(pid, "status")) else {
            return false;
        };
        let mut lines = text.split(|&b| b == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(b"CoreDumping:"));
        value.is_some_and(|v| v.trim_ascii() == b"1")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_writes_its_core_is_known_by_its_status() {
        let dir = tempfile::tempdir().unwrap();
        let proc = Proc::at(dir.path());
        assert!(!proc.dumps_core(Pid(7)));
        std::fs::create_dir(dir.path().join("7")).unwrap();
        for (text, dumps) in [
            ("Name:\tcorosync\nCoreDumping:\t1\nTHP_enabled:\t1\n", true),
            ("Name:\tcorosync\nCoreDumping:\t0\nTHP_enabled:\t1\n", false),
            ("Name:\tcorosync\n", false),
        ] {
            std::fs::write(dir.path().join("7/status"), text).unwrap();
            assert_eq!(proc.dumps_core(Pid(7)), dumps, "{text}");
        }
        let own = Pid(i32::try_from(std::process::id()).unwrap());
        assert!(!Proc::default().dumps_core(own));
    }
}
