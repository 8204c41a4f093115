//! What has been told already, so that each change is told once, and one that goes back and forth is
//! told once a minute. Pure.

use crate::types::Mono;
use std::time::Duration;

/// Bad news of one subject is told no more often than this.
const ONCE_IN: Duration = Duration::from_secs(60);

/// One subject: bad in some way, or not.
///
/// Bad news comes once a minute at most; what it was in between is counted. That it is over is told at
/// once, if it had been told. What stays as it is is told in the end, late where it must be.
#[derive(Debug)]
pub(super) struct Told<T> {
    told: Option<T>,
    at: Option<Mono>,
    seen: Option<T>,
    untold: u32,
}

/// What is to be told now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tell<T> {
    /// It is so; and it was bad that many times more since the last word about it.
    Bad(T, u32),
    /// What was told is over.
    Over(T),
}

impl<T> Default for Told<T> {
    fn default() -> Told<T> {
        Told {
            told: None,
            at: None,
            seen: None,
            untold: 0,
        }
    }
}

impl<T: Clone + PartialEq> Told<T> {
    /// How it is now; none where nothing is bad.
    pub(super) fn take(&mut self, is: Option<T>, now: Mono) -> Option<Tell<T>> {
        let before = std::mem::replace(&mut self.seen, is.clone());
        if is == self.told {
            return None;
        }
        let Some(bad) = is else {
            return self.told.take().map(Tell::Over);
        };
        let news = before.as_ref() != Some(&bad);
        if self.at.is_some_and(|at| now.since(at) < ONCE_IN) {
            self.untold = self.untold.saturating_add(u32::from(news));
            return None;
        }
        // What was held back and is told now was counted when it came.
        let untold = self.untold.saturating_sub(u32::from(!news));
        self.untold = 0;
        self.at = Some(now);
        self.told = Some(bad.clone());
        Some(Tell::Bad(bad, untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Mono {
        Mono(s * 1_000_000_000)
    }

    #[test]
    fn a_change_is_told_once_and_its_end_at_once() {
        let mut t = Told::default();
        assert_eq!(
            t.take(None, at(0)),
            None,
            "all is well, and that is no news"
        );
        assert_eq!(t.take(Some(1), at(10)), Some(Tell::Bad(1, 0)));
        assert_eq!(t.take(Some(1), at(20)), None);
        assert_eq!(t.take(Some(1), at(200)), None);
        assert_eq!(t.take(Some(2), at(210)), Some(Tell::Bad(2, 0)));
        assert_eq!(t.take(None, at(211)), Some(Tell::Over(2)));
        assert_eq!(t.take(None, at(220)), None);
    }

    #[test]
    fn what_goes_back_and_forth_is_told_once_a_minute_and_the_rest_counted() {
        let mut t = Told::default();
        let mut told = Vec::new();
        for round in 0..19 {
            let is = (round % 2 == 0).then_some(7);
            told.extend(t.take(is, at(round * 10)));
        }
        let want = [
            Tell::Bad(7, 0),
            Tell::Over(7),
            // At 20 and 40 s.
            Tell::Bad(7, 2),
            Tell::Over(7),
            Tell::Bad(7, 2),
            Tell::Over(7),
            Tell::Bad(7, 2),
        ];
        assert_eq!(told, want);
    }

    #[test]
    fn what_is_held_back_and_stays_is_told_in_the_end() {
        let mut t = Told::default();
        assert!(t.take(Some(1), at(0)).is_some());
        assert_eq!(t.take(Some(2), at(10)), None);
        assert_eq!(t.take(Some(2), at(59)), None);
        assert_eq!(t.take(Some(2), at(60)), Some(Tell::Bad(2, 0)));
        // Held back, and over before it was told.
        assert_eq!(t.take(Some(3), at(70)), None);
        assert_eq!(t.take(None, at(80)), Some(Tell::Over(2)));
    }
}
