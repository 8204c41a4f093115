//! From `--listen` to addresses.

use crate::listen::{Listen, PORT};
use crate::remote::RemoteView;
use crate::sys::resolve;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How soon what could not be had is tried for again: an address, or one for a name.
pub(super) const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// How soon it is looked for the answer of a resolver that was asked just now; and how long that is worth it.
const SOON: Duration = Duration::from_millis(50);
const JUST_NOW: Duration = Duration::from_secs(1);
/// How often it is looked what names stand for.
const NAMES: Duration = Duration::from_secs(30);

/// The port that the other nodes are taken to have too.
#[must_use]
pub fn port(listen: &Listen) -> u16 {
    match listen {
        Listen::Addrs(all) => all.first().map_or(PORT, SocketAddr::port),
        Listen::Off | Listen::Links => PORT,
    }
}

/// What a name stands for as far as is known at once, and whether the resolver has said so just now.
type Find = dyn Fn(&[String]) -> (Vec<IpAddr>, bool) + Send;

/// Where to listen, from one look to the next: a name of this node's may come to stand for another address.
pub(super) struct Addresses {
    find: Box<Find>,
    /// By name: a resolver that has no answer any more takes no listener away.
    known: BTreeMap<String, Vec<IpAddr>>,
    /// Since when an answer is missing.
    asking: Option<Instant>,
}

/// What a look finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) addresses: Vec<SocketAddr>,
    /// When another one may find something else.
    pub(super) again: Option<Instant>,
    /// That will be in a moment.
    pub(super) soon: bool,
}

impl Default for Addresses {
    fn default() -> Addresses {
        Addresses::new(resolve::at_hand)
    }
}

impl Addresses {
    fn new(find: impl Fn(&[String]) -> (Vec<IpAddr>, bool) + Send + 'static) -> Addresses {
        Addresses {
            find: Box::new(find),
            known: BTreeMap::new(),
            asking: None,
        }
    }

    /// By this configuration, which may have `changed` since the last look. Waits for nobody.
    pub(super) fn look(
        &mut self,
        listen: &Listen,
        view: &RemoteView,
        changed: bool,
        now: Instant,
    ) -> Look {
        // Nobody could be served.
        if view.psk.is_none() {
            return Look::default();
        }
        let addresses = match listen {
            Listen::Off => Vec::new(),
            Listen::Addrs(all) => all.clone(),
            Listen::Links => {
                let node = view.local.and_then(|n| view.nodes.get(n));
                let texts = node.map_or(&[][..], |n| &n.addrs);
                return self.look_at_links(texts, changed, now);
            }
        };
        Look {
            addresses,
            ..Look::default()
        }
    }

    fn look_at_links(&mut self, texts: &[String], changed: bool, now: Instant) -> Look {
        self.known.retain(|name, _| texts.contains(name));
        let (mut names, mut unnamed, mut answered) = (false, false, true);
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for text in texts {
            let mut found = Vec::new();
            if let Ok(ip) = text.parse() {
                found.push(ip);
            } else {
                let (at_hand, new) = (self.find)(std::slice::from_ref(text));
                names = true;
                answered &= new;
                if !at_hand.is_empty() {
                    self.known.insert(text.clone(), at_hand);
                }
                found.extend(self.known.get(text).into_iter().flatten());
                unnamed |= found.is_empty();
            }
            for address in found.into_iter().map(|ip| SocketAddr::new(ip, PORT)) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        if changed || answered {
            self.asking = None;
        }
        let soon = !answered && now < *self.asking.get_or_insert(now) + JUST_NOW;
        let pause = match (soon, unnamed || !answered) {
            (true, _) => SOON,
            (false, true) => LISTEN_AGAIN,
            (false, false) => NAMES,
        };
        Look {
            addresses,
            again: names.then(|| now + pause),
            soon,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::noise::Psk;
    use crate::remote::RemoteNode;
    use parking_lot::Mutex;
    use std::sync::Arc;

    fn at(addrs: &[&str]) -> RemoteView {
        let addrs = addrs.iter().map(ToString::to_string).collect();
        RemoteView {
            psk: Some(Psk::derive(&[1; 256])),
            nodes: vec![RemoteNode {
                name: "n1".to_owned(),
                nodeid: None,
                addrs,
            }],
            local: Some(0),
            ..RemoteView::default()
        }
    }

    fn on(all: &[&str]) -> Vec<SocketAddr> {
        let ip = |a: &&str| SocketAddr::new(a.parse().unwrap(), PORT);
        all.iter().map(ip).collect()
    }

    /// A resolver that says what it is told to.
    struct Bed {
        says: Arc<Mutex<(Vec<&'static str>, bool)>>,
        addresses: Addresses,
        now: Instant,
    }

    impl Bed {
        fn new() -> Bed {
            let says = Arc::new(Mutex::new((Vec::<&str>::new(), false)));
            let resolver = Arc::clone(&says);
            let addresses = Addresses::new(move |asked| {
                assert_eq!(asked, ["name"], "numbers are not asked for");
                let (found, new) = resolver.lock().clone();
                (found.iter().map(|a| a.parse().unwrap()).collect(), new)
            });
            Bed {
                says,
                addresses,
                now: Instant::now(),
            }
        }

        fn says(&self, found: &[&'static str], new: bool) {
            *self.says.lock() = (found.to_vec(), new);
        }

        /// What it finds; and until the next look.
        fn look(&mut self, addrs: &[&str], changed: bool) -> (Vec<SocketAddr>, Option<Duration>) {
            let look = self
                .addresses
                .look(&Listen::Links, &at(addrs), changed, self.now);
            let pause = look.again.map(|at| at - self.now);
            assert_eq!(look.soon, pause == Some(SOON));
            (look.addresses, pause)
        }
    }

    #[test]
    fn numbers_need_no_other_look_and_without_a_key_or_a_place_nobody_is_served() {
        let mut bed = Bed::new();
        let one = ["127.0.0.1", "10.0.0.1", "127.0.0.1"];
        assert_eq!(bed.look(&one, true), (on(&one[..2]), None));
        let given = Listen::Addrs(vec![SocketAddr::from(([10, 0, 0, 1], 1))]);
        let mut look = |listen: &Listen, view: &RemoteView| {
            let look = bed.addresses.look(listen, view, true, bed.now);
            assert!(look.again.is_none() && !look.soon);
            look.addresses
        };
        assert_eq!(
            look(&given, &at(&["name"])),
            [SocketAddr::from(([10, 0, 0, 1], 1))]
        );
        assert_eq!(look(&Listen::Off, &at(&one)), []);
        for view in [
            RemoteView {
                psk: None,
                ..at(&["name"])
            },
            RemoteView {
                local: None,
                ..at(&["name"])
            },
        ] {
            assert_eq!(look(&Listen::Links, &view), []);
        }
    }

    #[test]
    fn a_name_without_an_answer_is_looked_for_soon_and_then_now_and_then_and_nobody_waits() {
        let mut bed = Bed::new();
        let addrs = ["127.0.0.1", "name"];
        let known = on(&addrs[..1]);
        assert_eq!(bed.look(&addrs, true), (known.clone(), Some(SOON)));
        bed.now += JUST_NOW / 2;
        assert_eq!(bed.look(&addrs, false), (known.clone(), Some(SOON)));
        bed.now += JUST_NOW / 2;
        assert_eq!(bed.look(&addrs, false), (known.clone(), Some(LISTEN_AGAIN)));
        // A change is worth it again.
        assert_eq!(bed.look(&addrs, true), (known.clone(), Some(SOON)));
        // The resolver does not know it.
        bed.says(&[], true);
        assert_eq!(bed.look(&addrs, false), (known, Some(LISTEN_AGAIN)));
        bed.says(&["10.0.0.1"], true);
        let both = on(&["127.0.0.1", "10.0.0.1"]);
        assert_eq!(bed.look(&addrs, false), (both, Some(NAMES)));
    }

    #[test]
    fn a_name_that_comes_to_stand_for_another_address_is_followed_and_one_without_an_answer_stays()
    {
        let mut bed = Bed::new();
        bed.says(&["10.0.0.1"], true);
        assert_eq!(bed.look(&["name"], true), (on(&["10.0.0.1"]), Some(NAMES)));
        // It is asked anew: what was known until it is answered.
        bed.now += NAMES;
        bed.says(&["10.0.0.1"], false);
        assert_eq!(bed.look(&["name"], false), (on(&["10.0.0.1"]), Some(SOON)));
        bed.says(&["10.0.0.9"], true);
        assert_eq!(bed.look(&["name"], false), (on(&["10.0.0.9"]), Some(NAMES)));
        // For ever, whatever becomes of the resolver, also through a change of something else.
        for (new, changed, pause) in [
            (false, false, SOON),
            (false, true, SOON),
            (true, false, NAMES),
        ] {
            bed.says(&[], new);
            bed.now += NAMES;
            assert_eq!(
                bed.look(&["name"], changed),
                (on(&["10.0.0.9"]), Some(pause))
            );
        }
        // Until it is no name of this node's any more.
        bed.says(&[], false);
        assert_eq!(bed.look(&["::1"], true), (on(&["::1"]), None));
        assert_eq!(bed.look(&["name"], true), (Vec::new(), Some(SOON)));
    }
}
