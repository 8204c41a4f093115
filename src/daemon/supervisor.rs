//! What our own supervisor (systemd, or whoever set `NOTIFY_SOCKET`) is told.

use sd_notify::NotifyState;
use std::time::Duration;

/// Tells; that nobody listens is no error.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        log::debug!("sd_notify: {e}");
    }
}

/// The local socket is served.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The present state, in words.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// A configuration is being taken in; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The daemon ends, and may take so long.
pub fn stopping(limit: Duration) {
    let usec = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(usec)]);
}

/// The monitor has been seen at work.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// What the supervisor waits between two [`alive`]; none if it does not watch.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}
