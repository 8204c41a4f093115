//! Where callbacks put what they are told, and nothing else happens in them.
//!
//! The libraries call back only inside of their dispatch function, on the thread that called it. So
//! the inbox lies in a variable of that thread for just so long: no address of ours is ever known to
//! the library, none can become stale, and a call from anywhere else finds no inbox.

use super::error::{CsResult, check};
use std::cell::RefCell;
use std::thread::LocalKey;

/// No more than so many entries from one dispatch …
const ENTRIES_MAX: usize = 100_000;
/// … and so many bytes in all; the rest is dropped and counted.
const BYTES_MAX: usize = 16 << 20;

/// What one dispatch brought.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    entries: Vec<T>,
    bytes: usize,
    lost: u64,
}

/// The place of the inbox: filled while a dispatch runs on this thread.
pub(super) type Slot<T> = RefCell<Option<Inbox<T>>>;

/// Puts an entry into the inbox. `bytes` is about how much memory it holds; beyond a limit it is not
/// even made. For callbacks: it never panics, and does nothing if no dispatch runs on this thread.
pub(super) fn push<T>(
    slot: &'static LocalKey<Slot<T>>,
    bytes: usize,
    make: impl FnOnce() -> Option<T>,
) {
    let _ = slot.try_with(|slot| {
        let Ok(mut slot) = slot.try_borrow_mut() else {
            return;
        };
        let Some(inbox) = slot.as_mut() else { return };
        let sum = inbox.bytes.saturating_add(bytes);
        if inbox.entries.len() >= ENTRIES_MAX || sum > BYTES_MAX {
            inbox.lost = inbox.lost.saturating_add(1);
            return;
        }
        match make() {
            Some(entry) => {
                inbox.entries.push(entry);
                inbox.bytes = sum;
            }
            None => inbox.lost = inbox.lost.saturating_add(1),
        }
    });
}

/// What is kept between two dispatches of a handle.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Entries that were dropped since the handle was opened.
    pub(super) lost: u64,
    /// The end of a dispatch that had brought something before.
    failed: Option<super::CsError>,
}

impl Intake {
    /// Calls a dispatch function and gives what its callbacks pushed. If it brought something and
    /// failed then, the error is the next call's.
    pub(super) fn dispatch<T>(
        &mut self,
        slot: &'static LocalKey<Slot<T>>,
        call: impl FnOnce() -> u32,
    ) -> CsResult<Vec<T>> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        slot.set(Some(Inbox {
            entries: Vec::new(),
            bytes: 0,
            lost: 0,
        }));
        // Not borrowed here: the callbacks borrow.
        let ended = check(call());
        let (entries, lost) = slot.take().map_or((Vec::new(), 0), |i| (i.entries, i.lost));
        self.lost = self.lost.saturating_add(lost);
        match ended {
            Err(e) if entries.is_empty() => Err(e),
            Err(e) => {
                self.failed = Some(e);
                Ok(entries)
            }
            Ok(()) => Ok(entries),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::CsError;
    use super::*;

    thread_local! {
        static SLOT: Slot<u64> = const { RefCell::new(None) };
    }

    #[test]
    fn what_is_pushed_in_a_dispatch_comes_back_and_outside_of_it_nothing_happens() {
        let mut intake = Intake::default();
        push(&SLOT, 8, || Some(1));
        let got = intake.dispatch(&SLOT, || {
            push(&SLOT, 8, || Some(2));
            push(&SLOT, 8, || Some(3));
            1
        });
        assert_eq!(got, Ok(vec![2, 3]));
        push(&SLOT, 8, || Some(4));
        assert_eq!(intake.dispatch(&SLOT, || 1), Ok(vec![]));
        assert_eq!(intake.lost, 0);
    }

    #[test]
    fn an_error_comes_after_what_was_brought_before_it() {
        let mut intake = Intake::default();
        let got = intake.dispatch(&SLOT, || {
            push(&SLOT, 8, || Some(1));
            2
        });
        assert_eq!(got, Ok(vec![1]));
        assert_eq!(
            intake.dispatch(&SLOT, || unreachable!()),
            Err(CsError::LIBRARY)
        );
        assert_eq!(intake.dispatch(&SLOT, || 6), Err(CsError::TRY_AGAIN));
        assert_eq!(intake.dispatch(&SLOT, || 1), Ok(vec![]));
    }

    #[test]
    fn beyond_the_limits_entries_are_counted_and_not_even_made() {
        let mut intake = Intake::default();
        let got = intake.dispatch(&SLOT, || {
            for i in 0..100_003 {
                push(&SLOT, 8, || Some(i));
            }
            1
        });
        assert_eq!(got.unwrap().len(), ENTRIES_MAX);
        assert_eq!(intake.lost, 3);
        let got = intake.dispatch(&SLOT, || {
            push(&SLOT, BYTES_MAX, || Some(1));
            push(&SLOT, 1, || unreachable!());
            push(&SLOT, usize::MAX, || unreachable!());
            push(&SLOT, 0, || None);
            1
        });
        assert_eq!(got, Ok(vec![1]));
        assert_eq!(intake.lost, 6);
    }
}
