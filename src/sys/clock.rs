//! The monotonic clock.

use crate::types::Mono;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

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

/// When a process began that `/proc/PID/stat` says started this many clock ticks after boot. Good
/// to a tick (10 ms), as long as the machine has not slept since.
#[must_use]
pub fn started_at(starttime: u64) -> Mono {
    let hz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .unwrap_or(100);
    let hz = u64::try_from(hz).unwrap_or(100).max(1);
    let started = Duration::from_millis(starttime.saturating_mul(1000) / hz);
    let Ok(up) = clock_gettime(ClockId::CLOCK_BOOTTIME) else {
        return now();
    };
    let age = Duration::from(up).saturating_sub(started);
    Mono(
        now()
            .0
            .saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(0)),
    )
}
