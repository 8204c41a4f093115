//! SIGHUP: one taking-in of the live configuration at a time, and one more after it where others were
//! asked for meanwhile, however many: what it read may have been older.

use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::thread::Builder;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Idle,
    Busy,
    /// Busy, and once more after that.
    Again,
    /// The daemon ends.
    Ended,
}

/// Who may take in, and whether somebody does.
#[derive(Debug, Clone)]
pub(super) struct Reload(Arc<Mutex<Turn>>);

impl Reload {
    pub(super) fn new() -> Reload {
        Reload(Arc::new(Mutex::new(Turn::Idle)))
    }

    /// Does `work` on the thread `cm-change`, or has it done once more by the one there is; `over` is
    /// called there when nothing is left to do.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn ask(
        &self,
        work: impl Fn() + Send + 'static,
        over: impl Fn() + Send + 'static,
    ) -> io::Result<()> {
        let mut turn = self.0.lock();
        match *turn {
            Turn::Idle => *turn = Turn::Busy,
            Turn::Busy | Turn::Again => {
                *turn = Turn::Again;
                return Ok(());
            }
            Turn::Ended => return Ok(()),
        }
        drop(turn);
        let this = self.clone();
        let run = move || {
            loop {
                work();
                if !this.once_more(&over) {
                    return;
                }
            }
        };
        let thread = Builder::new()
            .name("cm-change".into())
            .stack_size(512 << 10);
        thread.spawn(run).map(drop).inspect_err(|_| {
            *self.0.lock() = Turn::Idle;
        })
    }

    /// After one round. That it is over is said under the lock, before another can be asked for: said
    /// later, it would pass for the end of that one.
    fn once_more(&self, over: impl Fn()) -> bool {
        let mut turn = self.0.lock();
        match *turn {
            Turn::Again => {
                *turn = Turn::Busy;
                true
            }
            Turn::Ended => false,
            Turn::Idle | Turn::Busy => {
                over();
                *turn = Turn::Idle;
                false
            }
        }
    }

    /// The daemon ends: nothing more is begun, and nothing said.
    pub(super) fn end(&self) {
        *self.0.lock() = Turn::Ended;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    struct Bed {
        reload: Reload,
        said: Receiver<&'static str>,
        says: Sender<&'static str>,
        go: Sender<()>,
        gate: Arc<Mutex<Receiver<()>>>,
    }

    impl Bed {
        fn new() -> Bed {
            let ((says, said), (go, gate)) = (channel(), channel());
            Bed {
                reload: Reload::new(),
                said,
                says,
                go,
                gate: Arc::new(Mutex::new(gate)),
            }
        }

        fn ask(&self) {
            let (begun, over) = (self.says.clone(), self.says.clone());
            let gate = Arc::clone(&self.gate);
            let work = move || {
                begun.send("begun").unwrap();
                // A second thread would fail here.
                gate.try_lock().unwrap().recv().unwrap();
            };
            self.reload
                .ask(work, move || over.send("over").unwrap())
                .unwrap();
        }
    }

    #[test]
    fn a_flood_during_one_round_makes_exactly_one_more() {
        let bed = Bed::new();
        bed.ask();
        assert_eq!(bed.said.recv().unwrap(), "begun");
        for _ in 0..1000 {
            bed.ask();
        }
        bed.go.send(()).unwrap();
        assert_eq!(bed.said.recv().unwrap(), "begun");
        assert!(
            bed.said.try_recv().is_err(),
            "not over before the last round"
        );
        bed.go.send(()).unwrap();
        assert_eq!(bed.said.recv().unwrap(), "over");
        // And the next one is a round of its own.
        while *bed.reload.0.lock() != Turn::Idle {
            std::thread::yield_now();
        }
        bed.ask();
        assert_eq!(bed.said.recv().unwrap(), "begun");
        bed.go.send(()).unwrap();
        assert_eq!(bed.said.recv().unwrap(), "over");
    }

    #[test]
    fn after_the_end_nothing_is_begun_or_said() {
        let bed = Bed::new();
        bed.ask();
        assert_eq!(bed.said.recv().unwrap(), "begun");
        bed.ask();
        bed.reload.end();
        bed.go.send(()).unwrap();
        bed.ask();
        let Bed { said, says, .. } = bed;
        drop(says);
        assert!(said.recv().is_err(), "the thread has ended without a word");
    }
}
