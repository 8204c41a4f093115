//! What is logged of strangers: the first at once, the others counted and told once a minute. Whoever
//! knocks a million times does not fill the log.

use super::stranger::Why;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);

/// Those that were not told yet.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: Option<Instant>,
    count: u64,
}

impl Refusals {
    /// One more; the line to be logged, if it is time for one.
    pub(super) fn add(&mut self, ip: IpAddr, why: Why, now: Instant) -> Option<String> {
        self.count += 1;
        if self.told.is_some_and(|t| now < t + EVERY) {
            return None;
        }
        self.told = Some(now);
        let more = match std::mem::take(&mut self.count) {
            1 => String::new(),
            n => format!("; {} more since the last such line", n - 1),
        };
        Some(format!(
            "remote service: refused a connection from {ip}: {}{more}",
            why.as_str()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute_with_its_count() {
        let ip = IpAddr::from([10, 0, 0, 1]);
        let (mut r, now) = (Refusals::default(), Instant::now());
        let first = r.add(ip, Why::HungUp, now);
        assert_eq!(
            first.as_deref(),
            Some("remote service: refused a connection from 10.0.0.1: hung up")
        );
        for _ in 0..1000 {
            assert_eq!(r.add(ip, Why::NoKey, now + EVERY / 2), None);
        }
        let next = r.add(ip, Why::NoKey, now + EVERY);
        assert!(next.is_some_and(|l| l.ends_with("; 1000 more since the last such line")));
    }
}
