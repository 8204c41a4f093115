//! Which orders of other nodes are told: each kind of one address once a minute, and the rest counted. Who
//! has the key can ask as often as he likes.

use super::{ClusMgr, Command, Manager};
use crate::error::Result;
use crate::event::{Kind, Note, Severity};
use crate::sys::clock;
use crate::types::Mono;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

const ONCE_IN: Duration = Duration::from_secs(60);
/// Most that are kept apart; what is beyond counts together.
const MOST: usize = 64;

/// What was told when, and how often it was not told since.
#[derive(Debug, Default)]
pub(super) struct Asked(HashMap<(IpAddr, &'static str), (Mono, u32)>);

impl Asked {
    /// One more; how many were not told before it, if it is to be told.
    pub(super) fn take(&mut self, from: IpAddr, what: &'static str, now: Mono) -> Option<u32> {
        let mut key = (from, what);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.retain(|_, (at, _)| now.since(*at) < ONCE_IN);
            if self.0.len() >= MOST {
                key.0 = Ipv6Addr::UNSPECIFIED.into();
            }
        }
        match self.0.get_mut(&key) {
            Some((at, untold)) if now.since(*at) < ONCE_IN => {
                *untold = untold.saturating_add(1);
                None
            }
            known => {
                let untold = known.map_or(0, |(_, untold)| *untold);
                self.0.insert(key, (now, 0));
                Some(untold)
            }
        }
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
    fn each_kind_of_an_address_is_told_once_a_minute_and_the_rest_counted() {
        let mut asked = Asked::default();
        assert_eq!(asked.take(ip(1), "start", at(0)), Some(0));
        assert_eq!(asked.take(ip(2), "start", at(0)), Some(0));
        assert_eq!(asked.take(ip(1), "stop", at(0)), Some(0));
        for _ in 0..1000 {
            assert_eq!(asked.take(ip(1), "start", at(59)), None);
        }
        assert_eq!(asked.take(ip(1), "start", at(60)), Some(1000));
        assert_eq!(asked.take(ip(1), "start", at(61)), None);
    }

    #[test]
    fn whoever_asks_there_are_only_so_many_and_they_end() {
        let mut asked = Asked::default();
        let told = (0..10_000).filter(|n| asked.take(ip(*n), "stop", at(1)).is_some());
        assert!(told.count() <= MOST + 1);
        assert!(asked.0.len() <= MOST + 1);
        assert!(asked.take(ip(20_000), "stop", at(62)).is_some());
        assert!(asked.0.len() <= 2);
    }
}
