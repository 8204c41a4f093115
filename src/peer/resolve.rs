//! Names of addresses. The resolver has no time-out that we could set, so it runs on threads of its own,
//! few of them, and what it said is kept for a while.

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How long an answer of the resolver holds.
const FRESH: Duration = Duration::from_secs(30);
/// Most names that are asked for at a time.
const THREADS: usize = 4;
/// Most names that are kept.
const NAMES: usize = 256;

/// What is known of names.
#[derive(Debug, Default)]
pub struct Resolver(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<String, (Instant, Vec<IpAddr>)>,
    /// The names that a thread asks for.
    asked: Vec<String>,
}

impl Resolver {
    /// The addresses of these names, each once and in order; of those that the resolver gives by the
    /// deadline, or gave before. Numbers take no time.
    #[must_use]
    pub fn lookup(&self, names: &[String], deadline: Instant) -> Vec<IpAddr> {
        let (tell, told) = bounded::<()>(names.len());
        let mut asked = 0;
        for name in names.iter().filter(|n| n.parse::<IpAddr>().is_err()) {
            asked += usize::from(self.ask(name, &tell));
        }
        drop(tell);
        for _ in 0..asked {
            if told.recv_deadline(deadline).is_err() {
                break;
            }
        }
        let known = self.0.lock();
        let mut all: Vec<IpAddr> = Vec::new();
        for name in names {
            let found = match name.parse() {
                Ok(ip) => vec![ip],
                Err(_) => known.answers.get(name).map_or(Vec::new(), |a| a.1.clone()),
            };
            for ip in found {
                if !all.contains(&ip) {
                    all.push(ip);
                }
            }
        }
        all
    }

    /// Begins to ask for a name; false if that is not needed, or not possible.
    fn ask(&self, name: &str, tell: &Sender<()>) -> bool {
        let mut known = self.0.lock();
        let fresh = |(at, _): &(Instant, Vec<IpAddr>)| at.elapsed() < FRESH;
        if known.answers.get(name).is_some_and(fresh)
            || known.asked.iter().any(|n| n == name)
            || known.asked.len() >= THREADS
        {
            return false;
        }
        known.asked.push(name.to_owned());
        drop(known);
        let (all, name, tell) = (Arc::clone(&self.0), name.to_owned(), tell.clone());
        let work = {
            let name = name.clone();
            move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                let mut known = all.lock();
                known.asked.retain(|n| *n != name);
                if let Ok(found) = found {
                    if known.answers.len() >= NAMES {
                        known.answers.clear();
                    }
                    let found = found.map(|a| a.ip()).take(8).collect();
                    known.answers.insert(name, (Instant::now(), found));
                }
                drop(known);
                let _ = tell.try_send(());
            }
        };
        let thread = Builder::new().name("cm-resolve".into());
        let begun = thread.stack_size(256 << 10).spawn(work).is_ok();
        if !begun {
            self.0.lock().asked.retain(|n| *n != name);
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_themselves_and_names_are_asked_for_once() {
        let resolver = Resolver::default();
        let names = ["10.0.0.1", "localhost", "10.0.0.1", "no.such.name.invalid"];
        let names = names.map(str::to_owned);
        let soon = Instant::now() + Duration::from_secs(20);
        let found = resolver.lookup(&names, soon);
        assert_eq!(found[0].to_string(), "10.0.0.1");
        assert!(found[1..].iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(found.len() > 1);
        // Known by now, so a deadline that is over does not matter.
        assert_eq!(resolver.lookup(&names[..2], Instant::now()), found);
    }
}
