//! Whether a process does something: what its main thread has had of the processors, and how often it
//! waited.

use super::Proc;
use crate::types::Pid;

/// Counters of a main thread; they only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// How often it waited for something.
    pub waits: u64,
    /// Clock ticks that it ran.
    pub user: u64,
    /// Clock ticks that the kernel worked for it.
    pub system: u64,
}

impl Proc {
    /// By `/proc/PID/task/PID/stat` and `status`; none if it is gone.
    #[must_use]
    pub fn work(&self, pid: Pid) -> Option<Work> {
        let task = format!("task/{pid}");
        let stat = std::fs::read_to_string(self.of(pid, &format!("{task}/stat"))).ok()?;
        let status = std::fs::read_to_string(self.of(pid, &format!("{task}/status"))).ok()?;
        // From after the last parenthesis: a name may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        // proc(5): fields 14 and 15, and the first of these is the third.
        let mut times = fields.split_ascii_whitespace().skip(11);
        let mut time = || times.next()?.parse().ok();
        let waits = status
            .lines()
            .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
        Some(Work {
            user: time()?,
            system: time()?,
            waits: waits.trim().parse().ok()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_main_threads() {
        let dir = tempfile::tempdir().unwrap();
        let task = dir.path().join("7/task/7");
        std::fs::create_dir_all(&task).unwrap();
        let stat = "7 (a) b) R 1 7 7 0 -1 4194560 1 2 3 4 55 66 7 8 20 0 3 0 99 1 2 3";
        std::fs::write(task.join("stat"), stat).unwrap();
        let status = "Name:\ta\nvoluntary_ctxt_switches:\t77\nnonvoluntary_ctxt_switches:\t8\n";
        std::fs::write(task.join("status"), status).unwrap();
        let work = Work {
            waits: 77,
            user: 55,
            system: 66,
        };
        assert_eq!(Proc::at(dir.path()).work(Pid(7)), Some(work));
        assert_eq!(Proc::at(dir.path()).work(Pid(8)), None);
        let own = Pid(i32::try_from(std::process::id()).unwrap());
        assert!(Proc::default().work(own).is_some());
    }
}
