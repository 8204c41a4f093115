//! Small types that every floor shares: time and ids that cannot be swapped for one another.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment of `CLOCK_MONOTONIC`, in nanoseconds. Pure code gets it as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// This moment plus a time; never overflows.
    #[must_use]
    pub fn plus(self, d: Duration) -> Mono {
        Mono(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The time since an earlier moment; zero if that one is later.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time, in milliseconds since 1970-01-01 UTC. For people and the wire, never for waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallMs(pub u64);

impl WallMs {
    /// Now.
    #[must_use]
    pub fn now() -> WallMs {
        let d = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        WallMs(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A process id, as the kernel numbers it in our own pid namespace; always above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub i32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// corosync's nodeid (1 to 65535 under knet; any u32 above 0 under udp).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `totem.config_version`: 0 where the file has none.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ConfigVersion(pub u64);

impl fmt::Display for ConfigVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A length of time, in its two largest units: `2 m 5 s`.
#[must_use]
pub fn span(ms: u64) -> String {
    let s = ms / 1000;
    let units = [
        (s / 86_400, "d"),
        (s / 3600 % 24, "h"),
        (s / 60 % 60, "m"),
        (s % 60, "s"),
    ];
    let Some(first) = units.iter().position(|u| u.0 > 0) else {
        return if ms > 0 {
            format!("{ms} ms")
        } else {
            "0 s".to_owned()
        };
    };
    let mut text = String::new();
    for (n, unit) in units.iter().skip(first).take(2).filter(|u| u.0 > 0) {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a String does not fail.
        let _ = write!(text, "{gap}{n} {unit}");
    }
    text
}

/// Whether a character of another's text could do something to a terminal, or turn the text around.
#[must_use]
pub fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (ms, text) in [
            (0, "0 s"),
            (120, "120 ms"),
            (59_999, "59 s"),
            (125_000, "2 m 5 s"),
            (3_600_000, "1 h"),
            (90_061_000, "1 d 1 h"),
            (86_400_000 + 5000, "1 d"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
