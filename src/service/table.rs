//! Who is connected: places, and who has to give up theirs. No I/O happens here.

use std::collections::BTreeMap;

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Another client needed the place.
    Evicted,
    /// The service stops.
    Stopping,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Nothing since a turn of [`Table::clock`].
    Idle(u64),
    Request,
    Subscription,
    /// A subscription whose client has not read since a turn of the clock.
    Stuck(u64),
}

#[derive(Debug)]
struct Place<T> {
    /// Of root's client.
    root: bool,
    doing: Doing,
    end: Option<End>,
    handle: T,
}

/// The places; `T` is how a connection is reached.
#[derive(Debug)]
pub(super) struct Table<T> {
    places: BTreeMap<u64, Place<T>>,
    /// Counts what happens; who was idle since a smaller number is idle for longer.
    clock: u64,
    max: usize,
    max_subscribers: usize,
    stopping: bool,
}

/// What becomes of a client that has just connected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission<T> {
    /// It has a place, under this number.
    Free(u64),
    /// It has a place, and this other one loses its own and is to be woken.
    Instead(u64, T),
    /// As before, but that one does not read: its socket is to be shut.
    Cut(u64, T),
    /// All places are taken by clients that are being served.
    Full,
}

/// What becomes of a client that wants to follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subscription<T> {
    /// It may.
    Free,
    /// It may, and this other one, which does not read, is to be shut.
    Cut(T),
    /// So many follow already, and read.
    Full,
}

impl<T: Clone> Table<T> {
    pub(super) fn new(max: usize, max_subscribers: usize) -> Table<T> {
        Table {
            places: BTreeMap::new(),
            clock: 0,
            max,
            max_subscribers,
            stopping: false,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Finds a place for a client, if need be at the cost of a subscriber that does not read, or else of
    /// the longest idle one; root's connections are closed last.
    pub(super) fn admit(&mut self, root: bool, handle: T) -> Admission<T> {
        let taken = self.places.values().filter(|p| p.end.is_none()).count();
        let mut evicted = None;
        let mut stuck = false;
        if taken >= self.max {
            let victim = self
                .places
                .values_mut()
                .filter(|p| p.end.is_none())
                .filter_map(|p| match p.doing {
                    Doing::Stuck(since) => Some(((p.root, false, since), p)),
                    Doing::Idle(since) => Some(((p.root, true, since), p)),
                    Doing::Request | Doing::Subscription => None,
                })
                .min_by_key(|(order, _)| *order);
            let Some((_, place)) = victim else {
                return Admission::Full;
            };
            place.end = Some(End::Evicted);
            stuck = matches!(place.doing, Doing::Stuck(_));
            evicted = Some(place.handle.clone());
        }
        let id = self.tick();
        let place = Place {
            root,
            doing: Doing::Idle(id),
            end: self.stopping.then_some(End::Stopping),
            handle,
        };
        self.places.insert(id, place);
        match evicted {
            Some(other) if stuck => Admission::Cut(id, other),
            Some(other) => Admission::Instead(id, other),
            None => Admission::Free(id),
        }
    }

    /// A request begins; the reason if it is too late for one.
    pub(super) fn begin(&mut self, id: u64) -> Result<(), End> {
        match self.places.get_mut(&id) {
            Some(Place { end: Some(end), .. }) => Err(*end),
            Some(place) => {
                place.doing = Doing::Request;
                Ok(())
            }
            None => Err(End::Stopping),
        }
    }

    /// It was answered.
    pub(super) fn done(&mut self, id: u64) {
        let now = self.tick();
        if let Some(place) = self.places.get_mut(&id) {
            place.doing = Doing::Idle(now);
        }
    }

    /// The connection becomes a stream of events, if need be at the cost of one whose client does not
    /// read.
    pub(super) fn subscribe(&mut self, id: u64) -> Subscription<T> {
        let follow = self.places.values_mut().filter(|p| p.end.is_none());
        let mut all = 0;
        let mut longest: Option<((bool, u64), &mut Place<T>)> = None;
        for place in follow {
            match place.doing {
                Doing::Subscription => all += 1,
                Doing::Stuck(since) => {
                    all += 1;
                    let order = (place.root, since);
                    if longest.as_ref().is_none_or(|(other, _)| order < *other) {
                        longest = Some((order, place));
                    }
                }
                Doing::Idle(_) | Doing::Request => {}
            }
        }
        let mut granted = Subscription::Free;
        if all >= self.max_subscribers {
            let Some((_, victim)) = longest else {
                return Subscription::Full;
            };
            victim.end = Some(End::Evicted);
            granted = Subscription::Cut(victim.handle.clone());
        }
        if let Some(place) = self.places.get_mut(&id) {
            place.doing = Doing::Subscription;
        }
        granted
    }

    /// A subscriber does not read, or (not `stuck`) does so again.
    pub(super) fn stuck(&mut self, id: u64, stuck: bool) {
        let now = self.tick();
        if let Some(place) = self.places.get_mut(&id) {
            place.doing = match stuck {
                true => Doing::Stuck(now),
                false => Doing::Subscription,
            };
        }
    }

    /// Those that nothing can be said to.
    pub(super) fn stuck_ones(&self) -> Vec<T> {
        let stuck = |p: &&Place<T>| matches!(p.doing, Doing::Stuck(_));
        let places = self.places.values().filter(stuck);
        places.map(|p| p.handle.clone()).collect()
    }

    /// Whether a connection has to end.
    pub(super) fn end(&self, id: u64) -> Option<End> {
        self.places.get(&id).map_or(Some(End::Stopping), |p| p.end)
    }

    /// It has ended.
    pub(super) fn leave(&mut self, id: u64) {
        self.places.remove(&id);
    }

    /// All have to end, and are to be woken.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        for place in self.places.values_mut() {
            place.end.get_or_insert(End::Stopping);
        }
    }

    pub(super) fn handles(&self) -> Vec<T> {
        self.places.values().map(|p| p.handle.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(t: &mut Table<char>, uid: u32, name: char) -> Admission<char> {
        t.admit(uid == 0, name)
    }

    #[test]
    fn the_longest_idle_one_goes_first_and_root_last() {
        let mut t = Table::new(3, 1);
        assert_eq!(admit(&mut t, 0, 'r'), Admission::Free(1));
        assert_eq!(admit(&mut t, 9, 'a'), Admission::Free(2));
        assert_eq!(admit(&mut t, 9, 'b'), Admission::Free(3));
        t.begin(2).unwrap_or_else(|e| panic!("{e:?}"));
        t.done(2);
        assert_eq!(admit(&mut t, 9, 'c'), Admission::Instead(5, 'b'));
        assert_eq!(t.begin(3), Err(End::Evicted));
        assert_eq!(admit(&mut t, 0, 'd'), Admission::Instead(6, 'a'));
        assert_eq!(admit(&mut t, 0, 'e'), Admission::Instead(7, 'c'));
        assert_eq!(admit(&mut t, 9, 'f'), Admission::Instead(8, 'r'));
    }

    #[test]
    fn who_is_served_keeps_the_place() {
        let mut t = Table::new(2, 1);
        admit(&mut t, 9, 'a');
        admit(&mut t, 9, 'b');
        assert_eq!(t.begin(1), Ok(()));
        assert_eq!(t.subscribe(2), Subscription::Free);
        assert_eq!(t.subscribe(1), Subscription::Full, "one subscriber at most");
        assert_eq!(admit(&mut t, 0, 'c'), Admission::Full);
        t.leave(2);
        assert_eq!(admit(&mut t, 0, 'c'), Admission::Free(3));
        t.stop();
        assert_eq!(t.end(1), Some(End::Stopping));
        assert_eq!(t.len(), 2);
    }

    #[test]
    fn a_subscriber_that_does_not_read_keeps_its_place_until_another_wants_it() {
        let mut t = Table::new(3, 2);
        for name in ['a', 'b', 'c'] {
            admit(&mut t, 9, name);
        }
        for id in [1, 2] {
            assert_eq!(t.subscribe(id), Subscription::Free);
        }
        t.stuck(2, true);
        t.stuck(1, true);
        assert_eq!(t.stuck_ones(), ['a', 'b']);
        t.stuck(2, false);
        assert_eq!((t.end(1), t.end(2)), (None, None));
        t.stuck(2, true);
        // The one that does not read for the longest, and before one that is idle.
        assert_eq!(t.subscribe(3), Subscription::Cut('a'));
        assert_eq!(t.end(1), Some(End::Evicted));
        t.leave(1);
        assert_eq!(admit(&mut t, 9, 'd'), Admission::Free(8));
        assert_eq!(admit(&mut t, 9, 'e'), Admission::Cut(9, 'b'));
        assert_eq!(t.subscribe(8), Subscription::Free, "of two one is cut");
        assert_eq!(t.subscribe(9), Subscription::Full);
    }

    #[test]
    fn roots_subscriber_that_does_not_read_goes_after_everybody_elses_idle_one() {
        let mut t = Table::new(2, 2);
        admit(&mut t, 0, 'r');
        admit(&mut t, 9, 'a');
        assert_eq!(t.subscribe(1), Subscription::Free);
        t.stuck(1, true);
        assert_eq!(admit(&mut t, 9, 'b'), Admission::Instead(4, 'a'));
        assert_eq!(t.begin(4), Ok(()));
        assert_eq!(admit(&mut t, 9, 'c'), Admission::Cut(5, 'r'));
    }
}
