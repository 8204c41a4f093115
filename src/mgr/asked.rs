//! Which orders of other nodes are told: of each kind and address the first ten in a minute, and the rest
//! counted. Who has the key can ask as often as he likes.

use super::{ClusMgr, Command, Manager};
use crate::error::Result;
use crate::event::{Kind, Note, Severity};
use crate::sys::clock;
use crate::types::Mono;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// More in a minute than anybody does by hand.
const TOLD: u32 = 10;
/// Most that are kept apart; what is beyond counts together.
const MOST: usize = 64;

/// What was told when, and how often it was not told since.
#[derive(Debug, Default)]
pub(super) struct Asked(HashMap<(IpAddr, &'static str), Minute>);

#[derive(Debug)]
struct Minute {
    since: Mono,
    told: u32,
    untold: u32,
}

impl Asked {
    /// One more; how many were not told before it, if it is to be told.
    pub(super) fn take(&mut self, from: IpAddr, what: &'static str, now: Mono) -> Option<u32> {
        let over = |m: &Minute| now.since(m.since) >= MINUTE;
        let mut key = (from, what);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.retain(|_, m| !over(m));
            if self.0.len() >= MOST {
                key.0 = Ipv6Addr::UNSPECIFIED.into();
            }
        }
        let begun = || Minute {
            since: now,
            told: 0,
            untold: 0,
        };
        let minute = self.0.entry(key).or_insert_with(begun);
        let mut untold = 0;
        if over(minute) {
            untold = minute.untold;
            *minute = begun();
        }
        if minute.told >= TOLD {
            minute.untold = minute.untold.saturating_add(1);
            return None;
        }
        minute.told += 1;
        Some(untold)
    }
}

impl Manager {
    /// As [`Manager::command`], asked for by a node that calls itself so, from this address: that is told
    /// where the order is taken.
    ///
    /// # Errors
    /// As [`Manager::command`].
    pub fn command_of_peer(
        &self,
        wanted: Command,
        by: &str,
        wait: Duration,
        peer: (&str, IpAddr),
    ) -> Result<()> {
        if wanted != Command::RestartInTurn {
            return self.place(wanted, by, wait, Some(peer));
        }
        self.in_turn(|| self.place(Command::Restart, by, wait, Some(peer)))
    }
}

impl ClusMgr {
    /// That another node has asked for this, and that it is done.
    pub(super) fn tell_of(&mut self, (node, address): (&str, IpAddr), wanted: Command, by: &str) {
        let what = wanted.as_str();
        let Some(untold) = self.asked.take(address, what, clock::now()) else {
            return;
        };
        let mut text = format!("{by} asks for a {what} of corosync");
        if untold > 0 {
            text = format!("{text}; {untold} times more in between");
        }
        let note = Note::new(Kind::PeerAsked, Severity::Notice, text)
            .with("from", node)
            .with("what", what)
            .with("address", address.to_string());
        let note = match untold {
            0 => note,
            _ => note.with("untold", untold),
        };
        self.driver_data.evt_public_queue().push(note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Mono {
        Mono(s * 1_000_000_000)
    }

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn each_kind_of_an_address_is_told_ten_times_a_minute_and_the_rest_counted() {
        let mut asked = Asked::default();
        for _ in 0..TOLD {
            assert_eq!(asked.take(ip(1), "start", at(0)), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(asked.take(ip(1), "start", at(59)), None);
        }
        assert_eq!(asked.take(ip(2), "start", at(59)), Some(0));
        assert_eq!(asked.take(ip(1), "stop", at(59)), Some(0));
        assert_eq!(asked.take(ip(1), "start", at(60)), Some(1000));
        for _ in 1..TOLD {
            assert_eq!(asked.take(ip(1), "start", at(119)), Some(0));
        }
        assert_eq!(asked.take(ip(1), "start", at(119)), None);
        assert_eq!(asked.take(ip(1), "start", at(120)), Some(1));
    }

    #[test]
    fn whoever_asks_there_are_only_so_many_and_they_end() {
        let mut asked = Asked::default();
        let told = (0..10_000).filter(|n| asked.take(ip(*n), "stop", at(1)).is_some());
        assert!(told.count() <= MOST + TOLD as usize);
        assert!(asked.0.len() <= MOST + 1);
        assert!(asked.take(ip(20_000), "stop", at(62)).is_some());
        assert!(asked.0.len() <= 2);
    }
}
