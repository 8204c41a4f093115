//! Pauses: times in which corosync was not scheduled, by its own account. Pure.
//!
//! It keeps the last ten, the newest as number 0, and tells nobody who follows these keys of a new one.

use crate::event::{Kind, Note, Severity};
use crate::sys::corosync::CsResult;
use crate::sys::corosync::cmap::Value;

const KEPT: u32 = 10;

/// When, by corosync's clock, which is never 0, and for how many milliseconds.
pub(super) type Pause = (u64, f64);

/// Those after that of `known`, newest first: all that there are where it is not among them.
pub(super) fn after(
    known: Option<u64>,
    get: impl Fn(&str) -> CsResult<Option<Value>>,
) -> CsResult<Vec<Pause>> {
    let mut all = Vec::new();
    for n in 0..KEPT {
        let at = get(&format!("stats.schedmiss.{n}.timestamp"))?.and_then(|v| v.as_u64());
        let Some(at) = at.filter(|at| *at != 0 && known != Some(*at)) else {
            break;
        };
        let delay = get(&format!("stats.schedmiss.{n}.delay"))?.map(|v| v.text());
        let ms = delay.and_then(|d| d.trim().parse().ok());
        all.push((at, ms.unwrap_or(0.0)));
    }
    Ok(all)
}

/// The event.
pub(super) fn note((_, ms): Pause) -> Note {
    let text = format!("corosync was not scheduled for {ms:.0} ms");
    Note::new(Kind::SchedPause, Severity::Warning, text).with("ms", ms)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As corosync keeps them.
    fn kept(at: &[u64]) -> impl Fn(&str) -> CsResult<Option<Value>> + '_ {
        |key| {
            let mut parts = key.strip_prefix("stats.schedmiss.").unwrap().split('.');
            let n: usize = parts.next().unwrap().parse().unwrap();
            assert!(n < 10, "{key}");
            let at = at.get(n).copied();
            Ok(at.map(|at| match parts.next().unwrap() {
                "timestamp" => Value::U64(at),
                _ => Value::F32(at as f32 / 2.0),
            }))
        }
    }

    #[test]
    fn every_pause_since_the_last_one_known_is_found() {
        let of = |known, at: &[u64]| after(known, kept(at)).unwrap();
        assert_eq!(of(None, &[]), []);
        assert_eq!(of(Some(10), &[10]), []);
        assert_eq!(
            of(Some(10), &[30, 20, 10, 5]),
            [(30, 15.0), (20, 10.0)],
            "two between two looks"
        );
        assert_eq!(of(None, &[20, 10, 0, 0]).len(), 2);
        let many: Vec<u64> = (11..=20).rev().collect();
        assert_eq!(of(Some(10), &many).len(), 10);
        // A clock that was set back.
        assert_eq!(of(Some(1000), &[7, 1000]), [(7, 3.5)]);
        assert_eq!(note((7, 3.5)).fields["ms"], 3.5);
    }
}
