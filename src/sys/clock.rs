//! The monotonic clock.

use crate::types::Mono;
use nix::time::{ClockId, clock_gettime};

/// Now, by `CLOCK_MONOTONIC`: does not advance while the machine sleeps, never goes back.
#[must_use]
pub fn now() -> Mono {
    // CLOCK_MONOTONIC always exists and its values are not negative: the error cannot happen.
    let Ok(t) = clock_gettime(ClockId::CLOCK_MONOTONIC) else {
        return Mono(0);
    };
    let secs = u64::try_from(t.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(t.tv_nsec()).unwrap_or(0);
    Mono(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}
