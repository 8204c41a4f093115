//! What was handed on and may not be in the journal yet, so that a kill loses nothing and repeats
//! nothing.
//!
//! Before the thread hands notes on, it writes down what it knows with them ([`Record`]), and the
//! notes themselves until it hears that they are out. So the state on disk is never older than what
//! the journal has, and what it is ahead by stands beside it. All goes through queues in order: of
//! what was owed the journal has the first ones, and the next clusmgr tells the rest ([`settle`]).

use super::known::Known;
use crate::error::Result;
use crate::event::{Event, Note};
use crate::journal::Page;
use crate::persist;
use crate::sys::file::Latest;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;

/// Name of the file, in the run directory: after a boot it would tell nothing.
const NAME: &str = "cluster.json";
/// The version of it.
const VERSION: &str = "2";
/// No more is owed at a time: a journal that is so far behind takes nothing, and every record holds
/// all of it.
const MOST: usize = 1024;

/// What is on disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// As it is when all that is owed is told.
    pub(super) known: Known,
    /// Oldest first.
    pub(super) owed: VecDeque<Note>,
    /// The journal has none of it up to this number.
    pub(super) after: u64,
    /// The newest ticket that was given.
    #[serde(skip)]
    newest: u64,
    /// It could not be written, and is still to be.
    #[serde(skip)]
    unsaved: bool,
}

impl Record {
    /// Reads it; one that is not there, or damaged, is an empty one: it is a convenience.
    pub(super) fn load(run_dir: &Path) -> Record {
        let found = persist::load_latest(&run_dir.join(NAME), VERSION);
        found.map(Option::unwrap_or_default).unwrap_or_else(|e| {
            log::warn!("{e}; it is not used");
            Record::default()
        })
    }

    /// The file that it is written to.
    pub(super) fn file(run_dir: &Path) -> Latest {
        Latest::new(run_dir.join(NAME))
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn save(&self, file: &mut Latest) -> Result<()> {
        persist::save_latest(file, VERSION, self)
    }

    /// Makes the file short again, once nobody waits for it: an event goes out before this.
    pub(super) fn tidy(&mut self, file: &mut Latest) {
        if file.is_long() {
            let done = persist::renew_latest(file, VERSION, self);
            self.unsaved |= done.inspect_err(|e| log::warn!("{e}")).is_err();
        }
    }

    /// Leaves one line, which an earlier clusmgr reads too.
    pub(super) fn close(&self, file: &mut Latest) {
        if let Err(e) = persist::renew_latest(file, VERSION, self) {
            log::warn!("{e}");
        }
    }

    /// Gives the notes back, to be handed on: they and what is known with them are on disk by then.
    /// `told` is the newest ticket whose event is out, and the number of the newest event of all; `save`
    /// says whether it could.
    pub(super) fn write_down(
        &mut self,
        known: Known,
        mut notes: Vec<Note>,
        told: (u64, u64),
        save: impl FnOnce(&Record) -> bool,
    ) -> Vec<Note> {
        let before = self.clone();
        self.told(told);
        self.known = known;
        self.add(&mut notes);
        if self.unsaved || *self != before {
            self.unsaved = !save(self);
        }
        notes
    }

    /// Whether it could not be saved the last time.
    pub(super) fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// Where somebody has removed the file, the next [`Record::write_down`] makes it again.
    pub(super) fn look_after(&mut self, file: &Latest) {
        self.unsaved |= !file.is_in_place();
    }

    /// Each note gets a ticket.
    fn add(&mut self, notes: &mut [Note]) {
        for note in notes {
            self.newest += 1;
            note.ticket = Some(self.newest);
            if self.owed.len() >= MOST {
                self.owed.pop_front();
            }
            self.owed.push_back(note.clone());
        }
    }

    /// The event of this ticket is out, and all up to this number; all before it are too, or were lost.
    fn told(&mut self, (ticket, seq): (u64, u64)) {
        let is_out = |n: &Note| n.ticket.is_some_and(|t| t <= ticket);
        while self.owed.front().is_some_and(is_out) {
            self.owed.pop_front();
        }
        // Not the greater one: with another state directory numbers begin anew.
        self.after = seq;
    }

    /// Of an earlier clusmgr's record: what the journal does not have is taken out, to be told now.
    /// `page` is all that came after [`Record::after`].
    pub(super) fn settle(&mut self, page: &Page) -> Vec<Note> {
        let mut owed = std::mem::take(&mut self.owed);
        // So much came later that it does not reach back any more: then they were told. `after` follows
        // the events of all, so that those of others alone do not lead to this.
        if page.first_available.is_some_and(|f| f > self.after + 1) {
            owed.clear();
        }
        for line in &page.lines {
            let Ok(event) = serde_json::from_str::<Event>(line) else {
                continue;
            };
            // They are told in order: what is owed before one that is out was told, though the journal
            // may not have been able to take it.
            if let Some(at) = owed.iter().position(|n| *n == event.note) {
                owed.drain(..=at);
            }
        }
        self.after = self.after.max(page.last);
        owed.into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::{Kind, Severity};
    use crate::types::Pid;
    use std::collections::HashSet;

    /// The thread, the queue and the journal, of which a kill leaves what is on disk.
    #[derive(Debug, Clone)]
    struct World {
        disk: String,
        journal: Vec<String>,
        /// How many of its lines are gone.
        gone: usize,
        mind: Record,
        /// Batches that are still to happen.
        to_come: Vec<usize>,
        /// Written down, and not handed on yet.
        at_hand: Vec<Note>,
        queue: VecDeque<Note>,
        /// In the journal, and not confirmed yet.
        fresh: Option<(u64, u64)>,
        told: (u64, u64),
        lives: usize,
        /// How often events of others may fill the journal.
        floods: usize,
    }

    /// The events that happen are the numbers from 1 on, and what is known is the newest one.
    fn event(n: i32) -> Note {
        let note = Note::new(Kind::LinkDown, Severity::Warning, format!("the {n}."));
        Note {
            at: crate::types::WallMs(7),
            // No two are alike only by chance.
            text: if n % 3 == 0 { "same".into() } else { note.text },
            ..note
        }
    }

    fn known(record: &Record) -> i32 {
        record.known.pid.map_or(0, |p| p.0)
    }

    impl World {
        fn page(&self, after: u64) -> Page {
            let from = usize::try_from(after).unwrap().max(self.gone);
            let is_empty = self.journal.len() == self.gone;
            Page {
                lines: self.journal.iter().skip(from).cloned().collect(),
                last: self.journal.len() as u64,
                first_available: (!is_empty).then_some(self.gone as u64 + 1),
                ..Page::default()
            }
        }

        /// Events of others, of which only the last is still there.
        fn flood(&mut self) {
            let note = Note::new(Kind::PeerAgrees, Severity::Notice, "of others");
            for _ in 0..3 {
                let seq = self.journal.len() as u64 + 1;
                let event = Event {
                    seq,
                    note: note.clone(),
                };
                self.journal.push(serde_json::to_string(&event).unwrap());
                self.told.1 = seq;
            }
            self.gone = self.journal.len() - 1;
        }

        /// What was told of ours.
        fn ours(&self) -> Vec<Note> {
            let told = self.journal.iter().map(|line| {
                let event: Event = serde_json::from_str(line).unwrap();
                event.note
            });
            told.filter(|n| n.kind == Kind::LinkDown).collect()
        }

        fn write_down(&mut self, notes: Vec<Note>, newest: i32) {
            let mut known = self.mind.known.clone();
            known.pid = Some(Pid(newest));
            let save = |r: &Record| {
                self.disk = serde_json::to_string(r).unwrap();
                true
            };
            self.at_hand = self.mind.write_down(known, notes, self.told, save);
        }

        /// All that may happen next.
        fn next(&self) -> Vec<World> {
            let mut all = Vec::new();
            let step = |f: &dyn Fn(&mut World)| {
                let mut w = self.clone();
                f(&mut w);
                w
            };
            if !self.at_hand.is_empty() {
                all.push(step(&|w| w.queue.extend(w.at_hand.drain(..))));
            } else if !self.to_come.is_empty() {
                all.push(step(&|w| {
                    let first = known(&w.mind) + 1;
                    let last = first + i32::try_from(w.to_come.remove(0)).unwrap();
                    w.write_down((first..last).map(event).collect(), last - 1);
                }));
            }
            if self.fresh.is_some() {
                all.push(step(&|w| w.told = w.fresh.take().unwrap()));
            } else if self.queue.is_empty() {
                if self.floods > 0 && self.at_hand.is_empty() {
                    all.push(step(&|w| {
                        w.floods -= 1;
                        w.flood();
                    }));
                }
            } else {
                all.push(step(&|w| {
                    let note = w.queue.pop_front().unwrap();
                    let seq = w.journal.len() as u64 + 1;
                    w.fresh = note.ticket.map(|t| (t, seq));
                    let event = Event { seq, note };
                    w.journal.push(serde_json::to_string(&event).unwrap());
                }));
            }
            all
        }

        /// Killed now, and back.
        fn back(&self) -> World {
            let mut record: Record = serde_json::from_str(&self.disk).unwrap();
            let owed = record.settle(&self.page(record.after));
            let newest = known(&record);
            let mut w = World {
                mind: record,
                to_come: vec![1],
                at_hand: Vec::new(),
                queue: VecDeque::new(),
                fresh: None,
                told: (0, self.journal.len() as u64),
                lives: self.lives - 1,
                ..self.clone()
            };
            w.write_down(owed, newest);
            w
        }
    }

    #[test]
    fn killed_at_any_point_nothing_is_lost_and_nothing_is_told_twice() {
        let record = Record::default();
        let mut open = vec![World {
            disk: serde_json::to_string(&record).unwrap(),
            journal: Vec::new(),
            gone: 0,
            mind: record,
            to_come: vec![2, 1, 3],
            at_hand: Vec::new(),
            queue: VecDeque::new(),
            fresh: None,
            told: (0, 0),
            lives: 3,
            floods: 2,
        }];
        let mut seen = HashSet::new();
        while let Some(w) = open.pop() {
            if !seen.insert(format!("{w:?}")) {
                continue;
            }
            // What a kill leaves: all that is known is in the journal or owed, in order.
            let mut record: Record = serde_json::from_str(&w.disk).unwrap();
            let owed = record.settle(&w.page(record.after));
            let all: Vec<Note> = w.ours().into_iter().chain(owed).collect();
            let wanted: Vec<Note> = (1..=known(&record)).map(event).collect();
            assert_eq!(all, wanted, "{w:#?}");
            open.extend(w.next());
            if w.lives > 1 {
                open.push(w.back());
            }
        }
        assert!(seen.len() > 1000, "{}", seen.len());
    }

    #[test]
    fn a_journal_that_does_not_reach_back_has_had_all_and_a_full_one_costs_no_memory() {
        let mut record = Record {
            owed: [event(1)].into(),
            after: 3,
            ..Record::default()
        };
        let gone = Page {
            first_available: Some(5),
            last: 9,
            ..Page::default()
        };
        assert_eq!(record.clone().settle(&gone), []);
        assert_eq!(record.clone().settle(&Page::default()), [event(1)]);
        record.add(&mut vec![event(1); MOST + 5]);
        assert_eq!(record.owed.len(), MOST);
        record.told((record.newest, 2000));
        assert!(record.owed.is_empty() && record.after == 2000);
    }

    #[test]
    fn what_a_full_disk_kept_out_of_the_journal_is_not_told_after_what_came_later() {
        let mut record = Record {
            owed: [event(1), event(2), event(4)].into(),
            ..Record::default()
        };
        let second = Event {
            seq: 1,
            note: event(2),
        };
        let page = Page {
            lines: vec![serde_json::to_string(&second).unwrap()],
            last: 1,
            first_available: Some(1),
            ..Page::default()
        };
        assert_eq!(record.settle(&page), [event(4)]);
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        let mut record = Record::default();
        let mut file = Record::file(&run_dir);
        let mut keep = |notes| {
            let mut known = record.known.clone();
            known.pid = Some(Pid(5));
            record.look_after(&file);
            record.write_down(known, notes, (0, 0), |r| r.save(&mut file).is_ok());
        };
        keep(vec![event(1)]);
        keep(Vec::new());
        std::fs::create_dir(&run_dir).unwrap();
        keep(Vec::new());
        let path = run_dir.join(NAME);
        let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
        let back = Record::load(&run_dir);
        assert_eq!((known(&back), back.owed.len(), lines()), (5, 1, 1));
        keep(Vec::new());
        assert_eq!(lines(), 1, "it is written once");
        // And again where somebody has removed it.
        std::fs::remove_dir_all(&run_dir).unwrap();
        keep(Vec::new());
        std::fs::create_dir(&run_dir).unwrap();
        keep(Vec::new());
        let again = Record::load(&run_dir);
        assert_eq!((known(&again), again.owed.len()), (5, 1));
    }

    #[test]
    fn rubbish_on_disk_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::load(dir.path()), Record::default());
        let record = Record {
            owed: [event(1)].into(),
            after: 7,
            ..Record::default()
        };
        let mut file = Record::file(dir.path());
        record.save(&mut file).unwrap();
        assert_eq!(Record::load(dir.path()), record);
        // Killed in the middle of the next one.
        let path = dir.path().join(NAME);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_within(..20);
        std::fs::write(&path, torn).unwrap();
        assert_eq!(Record::load(dir.path()), record);
        std::fs::write(dir.path().join(NAME), "{").unwrap();
        assert_eq!(Record::load(dir.path()), Record::default());
    }
}
