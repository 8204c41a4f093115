//! Whose turn it is to ask a node: a node has room for four connections of this one.

use super::trouble::Trouble;
use crate::wire::Unreachable;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::time::Instant;

/// Connections to a node at a time; one more is the comparison's.
const TO_A_NODE: usize = 3;
/// Of them, such as last: the rest is for what is answered at once.
const LONG: usize = 2;
/// To all nodes, of those that are answered at once.
const SHORT: usize = 64;
/// Questions to all nodes at a time.
const ROUNDS: usize = 8;
/// Most nodes whose troubles are kept.
const KEPT: usize = 256;

/// How long a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// It is answered at once.
    Short,
    /// A stream of events, or a wait for the outcome of an order.
    Long,
}

/// Who asks whom at the moment.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Lock: taken for a few lines, and alone.
    table: Mutex<Table>,
    /// A request has ended.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    /// By node: the short ones and the long ones.
    busy: HashMap<String, [usize; 2]>,
    rounds: usize,
    /// When a node was silent last, and in which words that is told.
    silent: HashMap<String, (Instant, Trouble)>,
}

impl Table {
    fn has_room(&self, node: &str, sort: Sort) -> bool {
        let [short, long] = self.busy.get(node).copied().unwrap_or_default();
        let all: usize = self.busy.values().map(|[short, _]| short).sum();
        short + long < TO_A_NODE
            && match sort {
                Sort::Short => all < SHORT,
                Sort::Long => long < LONG,
            }
    }
}

/// A place among the requests to a node, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    node: &'a str,
    sort: Sort,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut table = self.turns.table.lock();
        if let Some(busy) = table.busy.get_mut(self.node) {
            busy[self.sort as usize] -= 1;
            if *busy == [0, 0] {
                table.busy.remove(self.node);
            }
        }
        drop(table);
        self.turns.freed.notify_all();
    }
}

/// A place among the questions to all nodes, until it is dropped.
#[derive(Debug)]
pub(super) struct Round<'a>(&'a Turns);

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.0.table.lock().rounds -= 1;
        self.0.freed.notify_all();
    }
}

impl Turns {
    /// Waits for a place. Who waits while somebody else finds the node silent has found it so too.
    pub(super) fn turn<'a>(
        &'a self,
        node: &'a str,
        sort: Sort,
        by: Instant,
    ) -> Result<Turn<'a>, Trouble> {
        let began = Instant::now();
        let mut table = self.table.lock();
        loop {
            if let Some((at, trouble)) = table.silent.get(node) {
                if *at >= began {
                    return Err(trouble.clone());
                }
            }
            if table.has_room(node, sort) {
                break;
            }
            if self.freed.wait_until(&mut table, by).timed_out() {
                let text = match sort {
                    Sort::Short => format!(
                        "this node has {TO_A_NODE} requests to it under way; try again later"
                    ),
                    Sort::Long => format!(
                        "this node follows its events or waits for it {LONG} times already; end one of \
                         these, or try again later"
                    ),
                };
                return Err(Trouble::new(Unreachable::Busy, text));
            }
        }
        table.busy.entry(node.to_owned()).or_default()[sort as usize] += 1;
        drop(table);
        Ok(Turn {
            turns: self,
            node,
            sort,
        })
    }

    /// Waits for a place among the questions to all nodes; none by the deadline.
    pub(super) fn round(&self, by: Instant) -> Option<Round<'_>> {
        let mut table = self.table.lock();
        while table.rounds >= ROUNDS {
            if self.freed.wait_until(&mut table, by).timed_out() {
                return None;
            }
        }
        table.rounds += 1;
        drop(table);
        Some(Round(self))
    }

    /// A node was silent, or is no more.
    pub(super) fn heard(&self, node: &str, trouble: Option<&Trouble>) {
        let mut table = self.table.lock();
        match trouble.filter(|t| t.why == Unreachable::TimedOut) {
            None => {
                table.silent.remove(node);
            }
            Some(trouble) => {
                if table.silent.len() >= KEPT {
                    table.silent.clear();
                }
                let now = (Instant::now(), trouble.clone());
                table.silent.insert(node.to_owned(), now);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn what_lasts_leaves_room_for_what_does_not() {
        let turns = Turns::default();
        let long: Vec<_> = (0..LONG)
            .map(|_| turns.turn("n1", Sort::Long, soon()).unwrap())
            .collect();
        let refused = turns.turn("n1", Sort::Long, soon()).unwrap_err();
        assert_eq!(refused.why, Unreachable::Busy);
        let short = turns.turn("n1", Sort::Short, soon()).unwrap();
        assert!(turns.turn("n1", Sort::Short, soon()).is_err());
        turns.turn("n2", Sort::Short, soon()).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| turns.turn("n1", Sort::Short, later()).is_ok());
            drop(short);
            assert!(waits.join().unwrap());
        });
        drop(long);
        let all: Vec<_> = (0..TO_A_NODE)
            .map(|_| turns.turn("n1", Sort::Short, soon()).unwrap())
            .collect();
        drop(all);
        assert!(turns.table.lock().busy.is_empty());
    }

    #[test]
    fn who_waits_for_a_silent_node_knows_it_as_soon_as_one_does() {
        let turns = Turns::default();
        let trouble = Trouble::timed_out(1.0);
        // What was so before is no news.
        turns.heard("n1", Some(&trouble));
        let held: Vec<_> = (0..TO_A_NODE)
            .map(|_| turns.turn("n1", Sort::Short, soon()).unwrap())
            .collect();
        let (go, gone) = crossbeam_channel::bounded(0);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                go.send(()).unwrap();
                turns.turn("n1", Sort::Short, later()).map(drop)
            });
            gone.recv().unwrap();
            // It may not wait yet: said until it is heard.
            while !waits.is_finished() {
                turns.heard("n1", Some(&trouble));
                turns.freed.notify_all();
                std::thread::yield_now();
            }
            assert_eq!(waits.join().unwrap(), Err(trouble.clone()));
        });
        drop(held);
        turns.heard("n1", None);
        assert!(turns.table.lock().silent.is_empty());
    }

    #[test]
    fn so_many_questions_to_all_are_under_way_at_a_time() {
        let turns = Turns::default();
        let mut held: Vec<_> = (0..ROUNDS).map(|_| turns.round(soon()).unwrap()).collect();
        assert!(turns.round(soon()).is_none());
        held.pop();
        assert!(turns.round(soon()).is_some());
    }
}
