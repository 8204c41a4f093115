//! What names stand for, as the resolver of the C library says, with a deadline.

use crossbeam_channel::bounded;
use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Set while a thread asks: one that a name server keeps waiting is not joined by others.
static ASKING: AtomicBool = AtomicBool::new(false);

/// Cleared however the thread ends.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        ASKING.store(false, Ordering::Release);
    }
}

/// The addresses of each name, in the resolver's order; none of what it does not know. A name that is
/// not in the answer was not answered by the deadline. Asked on a thread of its own, `cm-resolve`.
#[must_use]
pub fn resolve(names: Vec<String>, limit: Duration) -> BTreeMap<String, Vec<IpAddr>> {
    resolve_by(names, limit, |name| {
        let found = (name, 0u16).to_socket_addrs();
        found.map_or_else(|_| Vec::new(), |all| all.map(|a| a.ip()).collect())
    })
}

fn resolve_by(
    names: Vec<String>,
    limit: Duration,
    ask: impl Fn(&str) -> Vec<IpAddr> + Send + 'static,
) -> BTreeMap<String, Vec<IpAddr>> {
    let deadline = Instant::now() + limit;
    let mut found = BTreeMap::new();
    if names.is_empty() || ASKING.swap(true, Ordering::AcqRel) {
        return found;
    }
    let turn = Turn;
    let (tell, told) = bounded(names.len());
    let asked = move || {
        let _turn = turn;
        for name in names {
            if Instant::now() >= deadline {
                break;
            }
            let addresses = ask(&name);
            // Nobody waits any more after the deadline.
            let _ = tell.send((name, addresses));
        }
    };
    // Modules of the resolver are others' code: not the least of stacks.
    let thread = Builder::new().name("cm-resolve".into()).stack_size(1 << 20);
    if thread.spawn(asked).is_err() {
        return found;
    }
    while let Ok((name, addresses)) = told.recv_deadline(deadline) {
        found.insert(name, addresses);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_heard_and_who_does_not_is_left_behind() {
        let (go, gone) = bounded::<()>(0);
        let names = |all: &[&str]| all.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let one: IpAddr = IpAddr::from([10, 0, 0, 1]);
        let found = resolve_by(
            names(&["a", "unknown", "slow", "b"]),
            Duration::from_millis(300),
            move |name| match name {
                "slow" => {
                    let _ = gone.recv();
                    Vec::new()
                }
                "unknown" => Vec::new(),
                _ => vec![one],
            },
        );
        let answered: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(answered, ["a", "unknown"]);
        assert_eq!(
            (found["a"].as_slice(), found["unknown"].len()),
            (&[one][..], 0)
        );
        // While that one hangs nobody is asked.
        let none = resolve_by(names(&["a"]), Duration::from_secs(60), move |_| vec![one]);
        assert!(none.is_empty());
        drop(go);
        let deadline = Instant::now() + Duration::from_secs(60);
        while resolve(names(&["localhost"]), Duration::from_secs(60)).is_empty() {
            assert!(Instant::now() < deadline, "it never ends");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}
