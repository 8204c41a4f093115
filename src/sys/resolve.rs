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
/// Most threads.
const THREADS: usize = 4;
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

/// The addresses of these names and numbers, each once and in order, as far as they are known by the
/// deadline. Numbers take no time.
#[must_use]
pub fn addresses(texts: &[String], deadline: Instant) -> Vec<IpAddr> {
    let is_name = |t: &&String| t.parse::<IpAddr>().is_err();
    let names: Vec<String> = texts.iter().filter(is_name).cloned().collect();
    let found = RESOLVER.each(&names, deadline);
    let mut all = Vec::new();
    for text in texts {
        let known = || found.get(text).cloned().unwrap_or_default();
        for ip in text.parse().map_or_else(|_| known(), |ip| vec![ip]) {
            if !all.contains(&ip) {
                all.push(ip);
            }
        }
    }
    all
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
    answers: BTreeMap<String, (Instant, Vec<IpAddr>)>,
    waiting: VecDeque<String>,
    threads: usize,
}

impl State {
    fn fresh(&self, name: &str) -> Option<&Vec<IpAddr>> {
        let (at, found) = self.answers.get(name)?;
        (at.elapsed() < FRESH).then_some(found)
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

    fn each(
        self: &Arc<Self>,
        names: &[String],
        deadline: Instant,
    ) -> BTreeMap<String, Vec<IpAddr>> {
        let mut state = self.state.lock();
        for name in names {
            let room = state.waiting.len() < NAMES;
            if room && state.fresh(name).is_none() && !state.waiting.contains(name) {
                state.waiting.push_back(name.clone());
            }
        }
        let wanted = state.waiting.len().min(THREADS);
        while state.threads < wanted {
            let this = Arc::clone(self);
            let thread = Builder::new().name("cm-resolve".into()).stack_size(STACK);
            if thread.spawn(move || this.work()).is_err() {
                break;
            }
            state.threads += 1;
        }
        // Each is looked for as long as it is new, however long the others take.
        let mut found = BTreeMap::new();
        loop {
            for name in names {
                if let Some(addresses) = state.fresh(name) {
                    found.insert(name.clone(), addresses.clone());
                }
            }
            let all = names.iter().all(|n| found.contains_key(n));
            if all || self.answered.wait_until(&mut state, deadline).timed_out() {
                return found;
            }
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
            drop(state);
            let found = (self.ask)(&name);
            let mut state = self.state.lock();
            if state.answers.len() >= NAMES {
                state.answers.retain(|_, (at, _)| at.elapsed() < FRESH);
            }
            if state.answers.len() < NAMES {
                state.answers.insert(name, (Instant::now(), found));
            }
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
        // While all threads hang nobody else is asked; what is known is known.
        let slow = ["slow1", "slow2", "slow3", "slow4", "other", "name"];
        let found = resolver.each(&names(&slow), Instant::now() + Duration::from_millis(100));
        assert!(!found.contains_key("other") && found.contains_key("name"));
        assert_eq!(resolver.state.lock().threads, THREADS);
        drop(go);
        let found = resolver.each(&names(&["other"]), Instant::now() + LONG);
        assert_eq!(found["other"], [one]);
    }

    #[test]
    fn numbers_are_themselves_and_take_no_time() {
        let found = addresses(
            &names(&["10.0.0.1", "10.0.0.1", "::1"]),
            Instant::now() - LONG,
        );
        assert_eq!(
            found,
            ["10.0.0.1", "::1"].map(|a| a.parse::<IpAddr>().unwrap_or(IpAddr::from([0; 4])))
        );
        let found = addresses(&names(&["localhost"]), Instant::now() + LONG);
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
    }
}
