//! What names stand for, as the resolver of the C library says, with a deadline.
//!
//! The resolver has none that we could set, so it runs on threads of its own, `cm-resolve`, few of them
//! however many ask; one that a name server keeps waiting is left behind. What it said is kept for a
//! moment: whoever asks every few seconds costs a name server little.

use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(10);
/// How long what was found is good enough to go on with, where nothing new is to be had.
const STALE: Duration = Duration::from_secs(3600);
/// Threads that ask; a name server that keeps one waiting for longer than this costs nobody else a place.
const THREADS: usize = 8;
const HUNG: Duration = Duration::from_millis(300);
/// Most threads, those that wait for a name server among them.
const MOST: usize = 24;
/// Most names that are kept, or waited for.
const NAMES: usize = 512;
/// Modules of the resolver are others' code: not the least of stacks.
const STACK: usize = 1 << 20;

static RESOLVER: LazyLock<Arc<Resolver>> = LazyLock::new(|| {
    Resolver::new(|name| {
        let found = (name, 0u16).to_socket_addrs();
        found.map_or_else(|_| Vec::new(), |all| all.map(|a| a.ip()).collect())
    })
});

/// The addresses of each name, in the resolver's order; none of what it does not know. A name that is
/// not in the answer was not answered by the deadline.
#[must_use]
pub fn resolve(names: &[String], limit: Duration) -> BTreeMap<String, Vec<IpAddr>> {
    RESOLVER.each(names, Instant::now() + limit)
}

/// The addresses of these names and numbers, each once and in order, without any wait: what is new enough,
/// else what was known before. Names that are not new are asked for meanwhile; whether there was none of them.
#[must_use]
pub fn at_hand(texts: &[String]) -> (Vec<IpAddr>, bool) {
    RESOLVER.at_hand(texts)
}

/// How a name is asked for.
type Ask = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

struct Resolver {
    ask: Box<Ask>,
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, Known>,
    waiting: VecDeque<String>,
    /// Since when a thread asks for it.
    asking: BTreeMap<String, Instant>,
    threads: usize,
}

/// What is known of a name.
struct Known {
    at: Instant,
    found: Vec<IpAddr>,
    /// What was found when anything was, last.
    good: (Instant, Vec<IpAddr>),
}

impl State {
    fn fresh(&self, name: &str) -> Option<&Vec<IpAddr>> {
        let known = self.answers.get(name)?;
        (known.at.elapsed() < FRESH).then_some(&known.found)
    }

    /// Also what is not new.
    fn known(&self, name: &str) -> &[IpAddr] {
        let known = self.answers.get(name);
        let known = known.filter(|k| k.good.0.elapsed() < STALE);
        known.map_or(&[], |k| &k.good.1)
    }

    fn learn(&mut self, name: String, found: Vec<IpAddr>) {
        if self.answers.len() >= NAMES && !self.answers.contains_key(&name) {
            let oldest = self.answers.iter().min_by_key(|(_, known)| known.at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.answers.remove(&name);
            }
        }
        let at = Instant::now();
        let known = self.answers.entry(name).or_insert_with(|| Known {
            at,
            found: Vec::new(),
            good: (at, Vec::new()),
        });
        if !found.is_empty() {
            known.good = (at, found.clone());
        }
        (known.at, known.found) = (at, found);
    }
}

impl Resolver {
    fn new(ask: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Arc<Resolver> {
        Arc::new(Resolver {
            ask: Box::new(ask),
            state: Mutex::default(),
            answered: Condvar::new(),
        })
    }

    /// Has those asked for that are not new.
    fn want(self: &Arc<Self>, state: &mut State, names: &[String]) {
        for name in names {
            let room = state.waiting.len() < NAMES;
            let under_way = state.waiting.contains(name) || state.asking.contains_key(name);
            if room && !under_way && state.fresh(name).is_none() {
                state.waiting.push_back(name.clone());
            }
        }
        self.hire(state);
    }

    /// Threads for those that wait.
    fn hire(self: &Arc<Self>, state: &mut State) {
        let hung = state.asking.values().filter(|a| a.elapsed() >= HUNG);
        let most = (THREADS + hung.count()).min(MOST);
        let wanted = (state.asking.len() + state.waiting.len()).min(most);
        while state.threads < wanted {
            let this = Arc::clone(self);
            let thread = Builder::new().name("cm-resolve".into()).stack_size(STACK);
            if thread.spawn(move || this.work()).is_err() {
                break;
            }
            state.threads += 1;
        }
    }

    fn at_hand(self: &Arc<Self>, texts: &[String]) -> (Vec<IpAddr>, bool) {
        let is_name = |t: &&String| t.parse::<IpAddr>().is_err();
        let names: Vec<String> = texts.iter().filter(is_name).cloned().collect();
        let mut all = Vec::new();
        let mut state = self.state.lock();
        self.want(&mut state, &names);
        let whole = names.iter().all(|name| state.fresh(name).is_some());
        for text in texts {
            let known = || match state.fresh(text) {
                Some(found) if !found.is_empty() => found.clone(),
                _ => state.known(text).to_vec(),
            };
            for ip in text.parse().map_or_else(|_| known(), |ip| vec![ip]) {
                if !all.contains(&ip) {
                    all.push(ip);
                }
            }
        }
        (all, whole)
    }

    fn each(
        self: &Arc<Self>,
        names: &[String],
        deadline: Instant,
    ) -> BTreeMap<String, Vec<IpAddr>> {
        let mut state = self.state.lock();
        self.want(&mut state, names);
        // Each is looked for as long as it is new, however long the others take.
        let mut found = BTreeMap::new();
        loop {
            for name in names {
                if let Some(addresses) = state.fresh(name) {
                    found.insert(name.clone(), addresses.clone());
                }
            }
            if names.iter().all(|n| found.contains_key(n)) || Instant::now() >= deadline {
                return found;
            }
            let until = deadline.min(Instant::now() + HUNG);
            let _ = self.answered.wait_until(&mut state, until);
            self.hire(&mut state);
        }
    }

    /// A thread: until nobody waits.
    fn work(&self) {
        loop {
            let mut state = self.state.lock();
            let Some(name) = state.waiting.pop_front() else {
                state.threads -= 1;
                return;
            };
            state.asking.insert(name.clone(), Instant::now());
            drop(state);
            let found = (self.ask)(&name);
            let mut state = self.state.lock();
            state.asking.remove(&name);
            state.learn(name, found);
            drop(state);
            self.answered.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    const LONG: Duration = Duration::from_secs(60);

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn who_answers_is_heard_and_who_does_not_is_left_behind() {
        let (go, gone) = bounded::<()>(0);
        let one = IpAddr::from([10, 0, 0, 1]);
        let resolver = Resolver::new(move |name| match name.split_at(4).0 {
            "slow" => {
                let _ = gone.recv();
                Vec::new()
            }
            "unkn" => Vec::new(),
            _ => vec![one],
        });
        let soon = Instant::now() + Duration::from_millis(300);
        let found = resolver.each(&names(&["name", "unknown", "slow"]), soon);
        assert_eq!(found.len(), 2);
        assert_eq!((found["name"].len(), found["unknown"].len()), (1, 0));
        // Many that hang keep the others waiting for a moment; none is asked for twice.
        let slow: Vec<String> = (0..10).map(|n| format!("slow{n}")).collect();
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(resolver.each(&slow, soon).is_empty());
        assert!(resolver.each(&slow, soon).is_empty());
        let good: Vec<String> = (0..12).map(|n| format!("good{n}")).collect();
        let began = Instant::now();
        let found = resolver.each(&good, Instant::now() + LONG);
        assert!(found.len() == 12 && began.elapsed() < LONG / 6);
        let asking = resolver.state.lock().asking.len();
        assert_eq!(asking, 11);
        // However many of them there are, threads are not.
        let slow: Vec<String> = (10..60).map(|n| format!("slow{n}")).collect();
        for _ in 0..4 {
            let _ = resolver.each(&slow, Instant::now() + HUNG + HUNG / 4);
        }
        assert_eq!(resolver.state.lock().threads, MOST);
        drop(go);
        let found = resolver.each(&names(&["other"]), Instant::now() + LONG);
        assert_eq!(found["other"], [one]);
    }

    #[test]
    fn what_was_known_is_at_hand_whatever_the_resolver_does() {
        let (go, gone) = bounded::<bool>(0);
        let one = IpAddr::from([10, 0, 0, 1]);
        let resolver = Resolver::new(move |_| match gone.recv() {
            Ok(true) => vec![one],
            _ => Vec::new(),
        });
        let asked = names(&["n1", "10.0.0.2"]);
        let two = IpAddr::from([10, 0, 0, 2]);
        assert_eq!(resolver.at_hand(&asked), (vec![two], false));
        go.send(true).unwrap_or_default();
        assert_eq!(resolver.each(&asked[..1], Instant::now() + LONG).len(), 1);
        assert_eq!(resolver.at_hand(&asked), (vec![one, two], true));
        // It is no longer new, and the resolver hangs, and then knows nothing.
        let age = |resolver: &Resolver| {
            let mut state = resolver.state.lock();
            let known = state.answers.get_mut("n1");
            if let Some((known, old)) = known.zip(Instant::now().checked_sub(FRESH)) {
                known.at = old;
            }
        };
        age(&resolver);
        assert_eq!(resolver.at_hand(&asked), (vec![one, two], false));
        go.send(false).unwrap_or_default();
        assert_eq!(resolver.each(&asked[..1], Instant::now() + LONG).len(), 1);
        assert_eq!(resolver.at_hand(&asked), (vec![one, two], true));
        assert_eq!(
            resolver.each(&asked[..1], Instant::now() + LONG)["n1"].len(),
            0
        );
    }

    #[test]
    fn numbers_are_themselves_and_names_are_found() {
        let numbers = names(&["10.0.0.1", "10.0.0.1", "::1"]);
        let both = ["10.0.0.1", "::1"].map(|a| a.parse::<IpAddr>().unwrap_or(IpAddr::from([0; 4])));
        assert_eq!(at_hand(&numbers), (both.to_vec(), true));
        let found = resolve(&names(&["localhost"]), LONG);
        let found = found.get("localhost").cloned().unwrap_or_default();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
    }
}
