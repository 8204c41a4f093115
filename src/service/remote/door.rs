//! The thread `cm-remote`: listens, lets strangers in, and finds out who has the key.

use super::super::Manager;
use super::super::dispatch::Caller;
use super::super::threads::Threads;
use super::Shared;
use super::listen::{Addresses, LISTEN_AGAIN};
use super::member::{Member, Slot};
use super::places::Admission;
use super::refusals::Refusals;
use super::stranger::{Step, Stranger, Why};
use crate::listen::Listen;
use crate::noise::{Channel, Psk, Refusal};
use crate::remote::{RemoteSource, RemoteView};
use crate::sys::ready::{Want, wait, wait_each};
use crate::sys::tcp;
use crate::sys::wake::Waker;
use crate::wire::{ANSWERS, Hello, To, called};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Most that are let in before those inside are looked at again.
const AT_ONCE: usize = 16;
/// How long nobody is let in when a descriptor or memory is missing.
const SHORTAGE: Duration = Duration::from_secs(1);
/// Most characters of a name that somebody gives himself.
const NAME_MAX: usize = 64;

/// What the thread has.
pub(super) struct Door {
    listen: Listen,
    addresses: Addresses,
    source: Arc<dyn RemoteSource>,
    manager: Arc<dyn Manager>,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    view: Arc<RemoteView>,
    listeners: Vec<(SocketAddr, TcpListener)>,
    /// When to look again, for those that could not be had and for names; and what was told of them.
    due: Option<Instant>,
    told: String,
    strangers: Vec<Stranger>,
    refusals: Refusals,
    /// Of those who have the key; strangers do not hide them.
    lacks: Refusals,
    threads: Threads,
}

impl Door {
    pub(super) fn new(
        listen: Listen,
        source: Arc<dyn RemoteSource>,
        manager: Arc<dyn Manager>,
        shared: Arc<Shared>,
        waker: Arc<Waker>,
    ) -> Door {
        Door {
            listen,
            addresses: Addresses::default(),
            source,
            manager,
            shared,
            waker,
            view: Arc::default(),
            listeners: Vec::new(),
            due: Some(Instant::now()),
            told: String::new(),
            strangers: Vec::new(),
            refusals: Refusals::default(),
            lacks: Refusals::default(),
            threads: Threads::default(),
        }
    }

    /// Works until told to stop; gives the threads that may still run.
    pub(super) fn run(mut self) -> Threads {
        loop {
            self.waker.clear();
            if self.shared.stopping.load(Ordering::Acquire) {
                for stranger in &self.strangers {
                    self.shared.leave(stranger.id);
                }
                return self.threads;
            }
            self.follow_configuration();
            self.look_at_strangers();
            let short = self.let_in();
            self.rest(short);
        }
    }

    /// Listens where the configuration of now says.
    fn follow_configuration(&mut self) {
        let view = self.source.remote();
        let changed = view.generation != self.view.generation;
        let now = Instant::now();
        let due = self.due.is_some_and(|at| at <= now);
        if !changed && !due {
            return;
        }
        // Who began under another key is a stranger to this one, and who was let in by it too.
        if changed && view.psk != self.view.psk {
            for stranger in self.strangers.drain(..) {
                self.shared.leave(stranger.id);
            }
            self.shared.expel();
        }
        self.view = view;
        let look = self.addresses.look(&self.listen, &self.view, changed, now);
        let wanted = look.addresses;
        self.listeners.retain(|(a, _)| wanted.contains(a));
        let mut failed = Vec::new();
        for address in &wanted {
            if self.listeners.iter().any(|(a, _)| a == address) {
                continue;
            }
            match tcp::listen_on(*address) {
                Ok(listener) => self.listeners.push((*address, listener)),
                Err(e) => failed.push(e.to_string()),
            }
        }
        let failing = (!failed.is_empty()).then(|| now + LISTEN_AGAIN);
        self.due = failing.into_iter().chain(look.again).min();
        // What a name stands for is known in a moment.
        if !look.soon {
            self.tell(&failed);
        }
        let bound = self.listeners.iter().map(|(_, l)| l.local_addr());
        let addresses = bound.filter_map(io::Result::ok).collect();
        *self.shared.addresses.lock() = addresses;
    }

    /// Once for each change.
    fn tell(&mut self, failed: &[String]) {
        let on: Vec<String> = self.listeners.iter().map(|(a, _)| a.to_string()).collect();
        let text = match (failed, on.as_slice()) {
            ([], []) => "the remote service listens nowhere".to_owned(),
            ([], on) => format!("the remote service listens on {}", on.join(", ")),
            (failed, _) => failed.join("; "),
        };
        if text != self.told {
            if failed.is_empty() {
                log::info!("{text}");
            } else {
                log::error!("{text}");
            }
            self.told = text;
        }
    }

    /// Returns whether somebody could not be let in for want of something.
    fn let_in(&mut self) -> bool {
        let (came, short) = accept(self.listeners.iter().map(|(_, l)| l));
        for (stream, from) in came {
            self.admit(stream, from);
        }
        short
    }

    fn admit(&mut self, stream: TcpStream, from: SocketAddr) {
        let now = Instant::now();
        let ip = from.ip().to_canonical();
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let _ = stream.set_nodelay(true);
        // Who has shown his key meanwhile makes no room.
        for n in (0..self.strangers.len()).rev() {
            if self.strangers[n].ip == ip {
                self.step(n, now);
            }
        }
        let deadline = now + self.shared.limits.handshake;
        match self.shared.admit(ip) {
            Admission::Free(id) => self.come(Stranger::new(id, ip, stream, deadline)),
            Admission::Instead(id, victim) => {
                if let Some(n) = self.strangers.iter().position(|s| s.id == victim) {
                    // A member that came in a flood tries again.
                    self.strangers[n].refuse(Refusal::Busy);
                    self.go(n);
                }
                self.come(Stranger::new(id, ip, stream, deadline));
            }
            Admission::Full => {
                Stranger::new(0, ip, stream, deadline).refuse(Refusal::Busy);
                self.refused(ip, Why::Refused(Refusal::Busy));
            }
        }
    }

    /// Mostly he has sent his first message along.
    fn come(&mut self, stranger: Stranger) {
        self.strangers.push(stranger);
        let last = self.strangers.len() - 1;
        self.step(last, Instant::now());
    }

    fn look_at_strangers(&mut self) {
        let now = Instant::now();
        for n in (0..self.strangers.len()).rev() {
            self.step(n, now);
        }
    }

    /// As far as one of them goes without waiting.
    fn step(&mut self, n: usize, now: Instant) {
        loop {
            let psk: Option<&Psk> = self.view.psk.as_ref();
            let stranger = &mut self.strangers[n];
            let (id, ip) = (stranger.id, stranger.ip);
            match stranger.step(psk) {
                Step::Waits if now < stranger.deadline => return,
                Step::Waits => {
                    self.go(n);
                    self.refused(ip, Why::HungUp);
                    return;
                }
                Step::Proven => self.shared.proven(id),
                Step::Gone(why) => {
                    self.go(n);
                    self.refused(ip, why);
                    return;
                }
                Step::Member(channel, hello) => {
                    let stranger = self.strangers.swap_remove(n);
                    self.serve(stranger, channel, &hello);
                    return;
                }
            }
        }
    }

    fn go(&mut self, n: usize) {
        let stranger = self.strangers.swap_remove(n);
        self.shared.leave(stranger.id);
    }

    fn refused(&mut self, ip: std::net::IpAddr, why: Why) {
        if let Some(line) = self.refusals.add(ip, why, Instant::now()) {
            log::warn!("{line}");
        }
    }

    /// He has the key, and gets a thread.
    fn serve(&mut self, stranger: Stranger, channel: Box<Channel>, hello: &Hello) {
        let (id, ip) = (stranger.id, stranger.ip);
        if let Err(why) = self.begin(stranger, channel, hello) {
            self.shared.leave(id);
            if let Some(line) = self.lacks.add(ip, why, Instant::now()) {
                log::warn!("{line}");
            }
        }
    }

    /// # Errors
    /// What is missing for it.
    fn begin(
        &mut self,
        stranger: Stranger,
        channel: Box<Channel>,
        hello: &Hello,
    ) -> Result<(), Why> {
        self.threads.reap();
        let id = stranger.id;
        // Beyond those in their places only who was expelled and waits for the outcome of an order.
        if self.threads.len() >= 2 * self.shared.limits.clients {
            return Err(Why::Orders);
        }
        tcp::keep_alive(&stranger.stream);
        let waker = Waker::new().map_err(|_| Why::Short)?;
        let slot = Arc::new(Slot {
            stream: stranger.stream,
            waker,
        });
        let mistaken = hello.to.as_ref().and_then(|to| self.mistaken(to));
        self.shared.member(id, Arc::clone(&slot));
        let member = Member {
            id,
            slot,
            channel,
            caller: Caller::Peer {
                node: name(&hello.node),
                address: stranger.ip,
            },
            shared: Arc::clone(&self.shared),
            manager: Arc::clone(&self.manager),
            greeted: false,
            rests: Instant::now(),
            began: None,
            mistaken,
        };
        let begun = self.threads.spawn("cm-conn-r", id, || member.serve());
        begun.map_err(|_| Why::Short)
    }

    /// Who this node is, in the words of a refusal, where it is not the one that is meant.
    fn mistaken(&self, to: &To) -> Option<String> {
        let own = self.manager.status().node;
        let local = self.view.local.and_then(|n| self.view.nodes.get(n));
        let nodeid = local.and_then(|n| n.nodeid).or(own.nodeid);
        let mut names = vec![own.name.as_str()];
        names.extend(local.map(|n| n.name.as_str()));
        let is = to.is(&names, nodeid, local.is_some());
        let called = called(&own.name, nodeid);
        (!is).then(|| format!("{called}{ANSWERS}, and {} was asked", name(&to.node)))
    }

    /// Until there is something to do.
    fn rest(&self, short: bool) {
        let deadlines = self.strangers.iter().map(|s| s.deadline);
        let deadline = deadlines.chain(self.due).min();
        if short {
            let until = Instant::now() + SHORTAGE;
            let _ = wait([(self.waker.as_fd(), Want::Read)], Some(until));
            return;
        }
        let mut fds: Vec<(BorrowedFd<'_>, Want)> = vec![(self.waker.as_fd(), Want::Read)];
        fds.extend(self.listeners.iter().map(|(_, l)| (l.as_fd(), Want::Read)));
        fds.extend(
            self.strangers
                .iter()
                .map(|s| (s.stream.as_fd(), Want::Read)),
        );
        let _ = wait_each(&fds, deadline);
    }
}

/// Those who knock, [`AT_ONCE`] or a few more at most; and whether something is missing to let them in.
fn accept<'l>(
    listeners: impl ExactSizeIterator<Item = &'l TcpListener>,
) -> (Vec<(TcpStream, SocketAddr)>, bool) {
    let mut came: Vec<(TcpStream, SocketAddr)> = Vec::new();
    let mut short = false;
    // Each has its share: whoever knocks at one address keeps nobody out at another.
    let share = AT_ONCE.div_ceil(listeners.len().max(1));
    for listener in listeners {
        let most = came.len() + share;
        while came.len() < most {
            match listener.accept() {
                Ok(one) => came.push(one),
                Err(e) => match e.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        short = true;
                        break;
                    }
                },
            }
        }
    }
    (came, short)
}

/// What somebody calls himself, as far as it can be a node's name.
fn name(text: &str) -> String {
    let fine = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = text.chars().filter(fine).take(NAME_MAX).collect();
    if name.is_empty() {
        "without a name".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_knocks_at_one_address_often_keeps_nobody_out_at_another() {
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listeners = [(); 3].map(|()| tcp::listen_on(local).unwrap());
        let at = |n: usize| listeners[n].local_addr().unwrap();
        let knock = |n: usize| TcpStream::connect(at(n)).unwrap();
        let often: Vec<TcpStream> = (0..3 * AT_ONCE).map(|_| knock(0)).collect();
        let _others = [knock(1), knock(2)];
        let begin = Instant::now();
        let mut let_in = [0; 3];
        // The kernel may take a moment to show them. Whose they are their own end tells: two clients of
        // different servers may have the same port.
        while let_in[0] < often.len() || let_in[1] == 0 || let_in[2] == 0 {
            let (came, short) = accept(listeners.iter());
            assert!(!short && begin.elapsed() < Duration::from_secs(20));
            let of = |n: usize| {
                let is = |(stream, _): &&(TcpStream, SocketAddr)| {
                    stream.local_addr().is_ok_and(|a| a == at(n))
                };
                came.iter().filter(is).count()
            };
            assert!(of(0) <= AT_ONCE.div_ceil(3), "{}", of(0));
            for (n, count) in let_in.iter_mut().enumerate() {
                *count += of(n);
            }
        }
    }
}
