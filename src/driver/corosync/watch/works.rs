//! Whether a corosync that leaves a call unanswered works all the same.
//!
//! It serves its clients after the ring. Where two nodes do not hear each other and a third hears both,
//! the ring is formed again and again: on two busy processors corosync 3.1.7 was measured to serve nobody
//! for 24 s, and to recover by itself. A kill would have cost the others their quorum, and the next one
//! would do the same. Whoever hangs waits in one place, or runs in a circle without the kernel.

use crate::sys::procfs::Work;
use crate::types::Mono;
use std::time::Duration;

/// What it does is judged over so long, again and again; and the first time over this.
const WINDOW: Duration = Duration::from_secs(2);
const FIRST: Duration = Duration::from_secs(1);
/// In a second it waits so often, if it goes through its loop, or has so many ticks of the kernel.
const OFTEN: u64 = 2;
/// Of its time on the processors, so much is the kernel's where it sends and receives: 1/10.
const SHARE: u64 = 10;
/// One that works, a reload, whose main loop may wait for a name server, and a core that is written may
/// leave a call unanswered for so long.
const EXCUSED_FOR: Duration = Duration::from_secs(60);

/// What its main thread does while a call is unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Works {
    call: Option<u64>,
    from: Option<(Mono, Work)>,
    /// None before the first window is over.
    worked: Option<bool>,
}

impl Works {
    /// One more look, with the number of the call that is unanswered. Whether it worked in the last
    /// window that is over; none before the first one is.
    pub fn look(
        &mut self,
        call: Option<u64>,
        now: Mono,
        work: impl FnOnce() -> Option<Work>,
    ) -> Option<bool> {
        if call.is_none() || call != self.call {
            *self = Works {
                call,
                ..Works::default()
            };
        }
        let Some(work) = call.and_then(|_| work()) else {
            return Some(false);
        };
        let (at, then) = *self.from.get_or_insert((now, work));
        let window = now.since(at);
        let limit = if self.worked.is_none() { FIRST } else { WINDOW };
        if window > 2 * WINDOW {
            // Nobody looked meanwhile: the machine was paused, and corosync with it.
            self.worked = None;
            self.from = Some((now, work));
        } else if window >= limit {
            self.worked = Some(did(work, then, window.as_secs()));
            self.from = Some((now, work));
        }
        self.worked
    }
}

/// It goes through its loop; or it is too busy to wait there, and not with itself.
fn did(now: Work, then: Work, seconds: u64) -> bool {
    let waits = now.waits.saturating_sub(then.waits);
    let (user, system) = (
        now.user.saturating_sub(then.user),
        now.system.saturating_sub(then.system),
    );
    waits >= OFTEN * seconds || (system >= OFTEN * seconds && system * SHARE >= user)
}

/// For how long a call may be unanswered.
#[must_use]
pub fn patience(limit: Duration, excused: bool) -> Duration {
    match excused {
        true => limit.max(EXCUSED_FOR),
        false => limit,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(s: u64) -> Mono {
        Mono(s * 1_000_000_000)
    }

    /// What has waited so often, and cost nothing.
    fn work(waits: u64) -> impl FnOnce() -> Option<Work> {
        let (user, system) = (0, 0);
        move || {
            Some(Work {
                waits,
                user,
                system,
            })
        }
    }

    fn looked(waits: u64, user: u64, system: u64) -> bool {
        let mut works = Works::default();
        let work = |waits, user, system| {
            Some(Work {
                waits,
                user,
                system,
            })
        };
        let first = works.look(Some(1), at(1), || work(100, 200, 300));
        assert_eq!(first, None);
        let last = works.look(Some(1), at(5), || {
            work(100 + waits, 200 + user, 300 + system)
        });
        last.unwrap()
    }

    #[test]
    fn an_excuse_has_an_end_and_shortens_no_time_out() {
        let secs = Duration::from_secs;
        for (limit, excused, ends) in [
            (5, false, 5),
            (5, true, 60),
            (300, true, 300),
            (1, true, 60),
        ] {
            assert_eq!(patience(secs(limit), excused), secs(ends));
        }
    }

    #[test]
    fn who_waits_in_one_place_or_runs_in_a_circle_does_not_work() {
        assert!(!looked(0, 0, 0));
        assert!(!looked(3, 1, 1), "a few are no loop");
        assert!(!looked(0, 400, 5), "a circle");
        assert!(!looked(1, 390, 12), "a circle, and the clock");
    }

    #[test]
    fn who_goes_through_its_loop_or_sends_and_receives_all_the_time_works() {
        assert!(looked(40, 1, 1));
        assert!(looked(2, 80, 110));
        assert!(looked(0, 100, 20));
    }

    #[test]
    fn what_it_did_not_do_in_a_pause_counts_for_nothing() {
        let mut works = Works::default();
        works.look(Some(1), at(0), work(0));
        assert_eq!(works.look(Some(1), at(1), work(50)), Some(true));
        // It worked for a second before it.
        assert_eq!(works.look(Some(1), at(12), work(60)), None);
        assert_eq!(works.look(Some(1), at(13), work(60)), Some(false));
        assert_eq!(works.look(Some(1), at(15), work(160)), Some(true));
    }

    #[test]
    fn the_last_window_counts_and_another_call_begins_anew() {
        let mut works = Works::default();
        assert_eq!(works.look(Some(1), at(0), work(0)), None, "not over yet");
        assert_eq!(works.look(Some(1), at(1), work(50)), Some(true));
        assert_eq!(works.look(Some(1), at(2), work(50)), Some(true), "the last");
        assert_eq!(
            works.look(Some(1), at(3), work(50)),
            Some(false),
            "it hangs"
        );
        assert_eq!(works.look(Some(1), at(5), work(150)), Some(true));
        assert_eq!(works.look(Some(2), at(6), work(250)), None);
        assert_eq!(works.look(None, at(7), work(350)), Some(false));
        assert_eq!(works.look(Some(2), at(8), || None), Some(false));
    }
}
