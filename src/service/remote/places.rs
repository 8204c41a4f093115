//! Who is connected to the remote service, and who has to make room. No I/O happens here.
//!
//! A stranger is who has not shown yet that he has the key. Strangers make room for one another, and for
//! members; a member never makes room for a stranger, and is never kept out because of strangers.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// How far somebody has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Has said nothing, or not enough.
    Stranger,
    /// Has sent a first message that was made with the key, though it may be a repetition.
    Proven,
    /// Has the key.
    Member,
}

#[derive(Debug)]
struct Place {
    ip: IpAddr,
    class: Class,
    /// Has to go.
    ends: bool,
}

/// What becomes of a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// A place, under this number.
    Free(u64),
    /// A place, and this other one has to go.
    Instead(u64, u64),
    /// All places are members'.
    Full,
}

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    /// By number: the oldest first.
    places: BTreeMap<u64, Place>,
    next: u64,
    max: usize,
    max_of_ip: usize,
    stopping: bool,
}

impl Places {
    pub(super) fn new(max: usize, max_of_ip: usize) -> Places {
        Places {
            places: BTreeMap::new(),
            next: 0,
            max,
            max_of_ip,
            stopping: false,
        }
    }

    /// Finds a place for a newcomer from an address.
    pub(super) fn admit(&mut self, ip: IpAddr) -> Admission {
        let counted = |of_ip: bool| {
            let all = self.places.values().filter(|p| !p.ends);
            all.filter(|p| !of_ip || p.ip == ip).count()
        };
        let victim = if counted(true) >= self.max_of_ip {
            self.weakest(Some(ip))
        } else if counted(false) >= self.max {
            self.weakest(None)
        } else {
            return Admission::Free(self.take(ip));
        };
        let Some(victim) = victim else {
            return Admission::Full;
        };
        if let Some(place) = self.places.get_mut(&victim) {
            place.ends = true;
        }
        Admission::Instead(self.take(ip), victim)
    }

    /// The one who has come least far, and of those the oldest; no member.
    fn weakest(&self, ip: Option<IpAddr>) -> Option<u64> {
        let all = self.places.iter();
        all.filter(|(_, p)| !p.ends && p.class < Class::Member && ip.is_none_or(|ip| p.ip == ip))
            .min_by_key(|(id, p)| (p.class, **id))
            .map(|(id, _)| *id)
    }

    fn take(&mut self, ip: IpAddr) -> u64 {
        self.next += 1;
        let place = Place {
            ip,
            class: Class::Stranger,
            ends: self.stopping,
        };
        self.places.insert(self.next, place);
        self.next
    }

    /// Somebody has come so far.
    pub(super) fn comes(&mut self, id: u64, class: Class) {
        if let Some(place) = self.places.get_mut(&id) {
            place.class = class;
        }
    }

    /// Whether he has to go.
    pub(super) fn ends(&self, id: u64) -> bool {
        self.places.get(&id).is_none_or(|p| p.ends)
    }

    /// Those who have shown a key that counts no longer have to go; gives them.
    pub(super) fn expel(&mut self) -> Vec<u64> {
        let members = self.places.iter_mut();
        let members = members.filter(|(_, p)| p.class == Class::Member);
        let ended = members.map(|(id, place)| {
            place.ends = true;
            *id
        });
        ended.collect()
    }

    /// Whether he has to go at once, and not only as soon as he has what there is.
    pub(super) fn expelled(&self, id: u64) -> bool {
        !self.stopping && self.ends(id)
    }

    /// He has gone.
    pub(super) fn leave(&mut self, id: u64) {
        self.places.remove(&id);
    }

    /// All have to go.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        for place in self.places.values_mut() {
            place.ends = true;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn fill(p: &mut Places, n: u8, class: Class) -> u64 {
        match p.admit(ip(n)) {
            Admission::Free(id) | Admission::Instead(id, _) => {
                p.comes(id, class);
                id
            }
            Admission::Full => panic!("full"),
        }
    }

    #[test]
    fn strangers_make_room_the_oldest_first_and_members_never() {
        let mut p = Places::new(4, 4);
        let proven = fill(&mut p, 1, Class::Proven);
        let member = fill(&mut p, 2, Class::Member);
        let old = fill(&mut p, 3, Class::Stranger);
        let newer = fill(&mut p, 4, Class::Stranger);
        assert_eq!(p.admit(ip(5)), Admission::Instead(5, old));
        assert!(p.ends(old) && !p.ends(newer));
        p.comes(5, Class::Member);
        assert_eq!(p.admit(ip(6)), Admission::Instead(6, newer));
        p.comes(6, Class::Member);
        assert_eq!(p.admit(ip(7)), Admission::Instead(7, proven));
        p.comes(7, Class::Member);
        assert_eq!(p.admit(ip(8)), Admission::Full);
        p.leave(member);
        assert_eq!(p.admit(ip(8)), Admission::Free(8));
    }

    #[test]
    fn an_address_has_its_own_bound_and_its_strangers_keep_no_member_of_it_out() {
        let mut p = Places::new(64, 4);
        let strangers: Vec<u64> = (0..4).map(|_| fill(&mut p, 1, Class::Stranger)).collect();
        for victim in strangers {
            let Admission::Instead(id, gone) = p.admit(ip(1)) else {
                panic!("kept out")
            };
            assert_eq!(gone, victim);
            p.comes(id, Class::Member);
        }
        assert_eq!(p.admit(ip(1)), Admission::Full);
        assert!(matches!(p.admit(ip(2)), Admission::Free(_)));
    }

    #[test]
    fn members_of_another_key_go_and_their_places_are_free() {
        let mut p = Places::new(64, 2);
        let members = [1, 1].map(|n| fill(&mut p, n, Class::Member));
        let stranger = fill(&mut p, 2, Class::Stranger);
        assert_eq!(p.admit(ip(1)), Admission::Full);
        assert_eq!(p.expel(), members);
        assert!(members.iter().all(|id| p.expelled(*id)) && !p.ends(stranger));
        assert!(matches!(p.admit(ip(1)), Admission::Free(_)));
        p.stop();
        assert!(p.ends(members[0]) && !p.expelled(members[0]));
    }

    #[test]
    fn whatever_strangers_do_there_are_never_more_than_so_many() {
        let mut p = Places::new(64, 4);
        for n in 0..1000_u32 {
            let from = u8::try_from(n % 251).unwrap_or(0);
            if let Admission::Instead(_, victim) = p.admit(ip(from)) {
                p.leave(victim);
            }
            assert!(p.len() <= 64);
        }
        p.stop();
        assert!(p.ends(1000));
    }
}
