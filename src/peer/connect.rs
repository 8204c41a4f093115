//! To a node by the first of its addresses that answers; all are tried side by side.

use super::link::Link;
use super::trouble::Trouble;
use crate::noise::{Initiator, Psk, REFUSAL, REPLY};
use crate::sys::ready::{Want, wait_each};
use crate::sys::tcp;
use crate::wire::Unreachable;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long the first address, the one that answered last, is alone.
const HEAD_START: Duration = Duration::from_millis(20);

/// How soon an address is tried again that has no room just now, or hung up.
const AGAIN: Duration = Duration::from_millis(25);
/// How often one is tried again that hung up without a word. A clusmgr does that as it ends, and when it
/// takes another key; who always does it is none.
const HANG_UPS: u32 = 3;

/// How long names are waited for where nothing else is left to try; and how often they are looked for.
const RESOLVE: Duration = Duration::from_millis(400);
const LOOK: Duration = Duration::from_millis(20);

/// Where a node may be, as far as it is known now, and whether that is all of it.
pub(super) type Find<'a> = dyn Fn() -> (Vec<SocketAddr>, bool) + 'a;

/// One address on its way.
#[derive(Debug)]
struct Attempt {
    address: SocketAddr,
    stage: Stage,
    /// What an earlier try came to.
    before: Option<Trouble>,
    /// Tries that ended without a word.
    hang_ups: u32,
}

#[derive(Debug)]
enum Stage {
    /// Not before this moment.
    Later(Instant),
    Connecting(TcpStream),
    Shaking(TcpStream, Box<Initiator>, Reply),
    Failed(Trouble),
}

/// What has come of a server's reply.
#[derive(Debug)]
struct Reply {
    bytes: [u8; REPLY],
    have: usize,
}

/// Connects to a node and makes sure that it has our key. Addresses that become known meanwhile are tried
/// as well.
///
/// # Errors
/// What the most telling of its addresses came to.
pub(super) fn connect(find: &Find<'_>, psk: &Psk, deadline: Instant) -> Result<Link, Trouble> {
    let began = Instant::now();
    let mut all: Vec<Attempt> = Vec::new();
    let mut known = false;
    loop {
        let now = Instant::now();
        if !known {
            let (addresses, whole) = find();
            known = whole;
            for address in addresses {
                if all.iter().all(|a| a.address != address) {
                    let first = all.is_empty();
                    all.push(Attempt {
                        address,
                        stage: Stage::Later(if first { now } else { now + HEAD_START }),
                        before: None,
                        hang_ups: 0,
                    });
                }
            }
        }
        for attempt in &mut all {
            if let Some(link) = attempt.go_on(psk, now) {
                return Ok(link);
            }
        }
        let coming = !known && now < deadline.min(began + RESOLVE);
        if !coming && all.iter().all(Attempt::has_failed) {
            return Err(most_telling(all));
        }
        if now >= deadline {
            let limit = deadline.duration_since(began).as_secs_f32();
            for attempt in all.iter_mut().filter(|a| !a.has_failed()) {
                // Who hung up before, and is silent now, may just have gone.
                let rests = matches!(attempt.stage, Stage::Later(_));
                let before = attempt.before.take();
                let before = before.filter(|b| rests || b.why == Unreachable::Busy);
                let trouble = before.unwrap_or_else(|| Trouble::timed_out(limit));
                attempt.stage = Stage::Failed(trouble);
            }
            return Err(most_telling(all));
        }
        // With nobody under way, who has his first try yet to come has it now.
        if !all.iter().any(Attempt::under_way) {
            let first = |a: &&mut Attempt| matches!(a.stage, Stage::Later(_)) && a.before.is_none();
            if let Some(next) = all.iter_mut().find(first) {
                next.stage = Stage::Later(now);
                continue;
            }
        }
        let later = all.iter().filter_map(|a| match a.stage {
            Stage::Later(at) => Some(at),
            _ => None,
        });
        let mut until = later.min().map_or(deadline, |at| at.min(deadline));
        if !known {
            until = until.min(now + LOOK);
        }
        let fds: Vec<(BorrowedFd<'_>, Want)> = all.iter().filter_map(Attempt::waits_for).collect();
        wait_each(&fds, Some(until))?;
    }
}

fn most_telling(all: Vec<Attempt>) -> Trouble {
    let failed = all.into_iter().filter_map(|a| match a.stage {
        Stage::Failed(trouble) => Some((a.address, trouble)),
        _ => None,
    });
    let Some((address, trouble)) = failed.max_by_key(|(_, t)| t.telling()) else {
        return Trouble::new(Unreachable::NoAddress, "it has no address");
    };
    Trouble::new(trouble.why, format!("{address}: {}", trouble.text))
}

impl Attempt {
    fn has_failed(&self) -> bool {
        matches!(self.stage, Stage::Failed(_))
    }

    /// Failed, or to be tried again: who has no room for a member in a flood of strangers has some in a
    /// moment.
    fn fail(&mut self, trouble: Trouble, hung_up: bool, now: Instant) {
        self.hang_ups += u32::from(hung_up);
        let again = hung_up && self.hang_ups <= HANG_UPS;
        self.stage = if trouble.why == Unreachable::Busy || again {
            self.before = Some(trouble);
            Stage::Later(now + AGAIN)
        } else {
            Stage::Failed(trouble)
        };
    }

    fn under_way(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Shaking(..))
    }

    fn waits_for(&self) -> Option<(BorrowedFd<'_>, Want)> {
        match &self.stage {
            Stage::Connecting(stream) => Some((stream.as_fd(), Want::Write)),
            Stage::Shaking(stream, ..) => Some((stream.as_fd(), Want::Read)),
            Stage::Later(_) | Stage::Failed(_) => None,
        }
    }

    /// As far as it goes without waiting.
    fn go_on(&mut self, psk: &Psk, now: Instant) -> Option<Link> {
        loop {
            let mut hung_up = false;
            let stage = std::mem::replace(&mut self.stage, Stage::Later(now));
            let next = match stage {
                Stage::Later(at) if at <= now => tcp::begin_connect(self.address)
                    .map(Stage::Connecting)
                    .map_err(Trouble::from),
                Stage::Connecting(stream) => match greet(stream, psk) {
                    Ok(Greeted::Not(stream)) => {
                        self.stage = Stage::Connecting(stream);
                        return None;
                    }
                    Ok(Greeted::So(stream, shaking)) => Ok(Stage::Shaking(
                        stream,
                        shaking,
                        Reply {
                            bytes: [0; REPLY],
                            have: 0,
                        },
                    )),
                    Err(trouble) => {
                        hung_up = trouble.why == Unreachable::OtherProtocol;
                        Err(trouble)
                    }
                },
                Stage::Shaking(stream, shaking, mut reply) => match reply.read(&stream) {
                    Ok(false) => {
                        self.stage = Stage::Shaking(stream, shaking, reply);
                        return None;
                    }
                    Ok(true) => match shaking.finish(&reply.bytes) {
                        Ok(channel) => return Some(Link::new(stream, channel, psk, self.address)),
                        Err(refusal) => Err(refusal.into()),
                    },
                    Err(trouble) => {
                        hung_up = reply.have == 0;
                        Err(trouble)
                    }
                },
                stays => {
                    self.stage = stays;
                    return None;
                }
            };
            match next {
                Ok(stage) => self.stage = stage,
                Err(trouble) => self.fail(trouble, hung_up, now),
            }
        }
    }
}

enum Greeted {
    /// It is not connected yet.
    Not(TcpStream),
    So(TcpStream, Box<Initiator>),
}

/// Sends the first message as soon as there is a connection.
fn greet(stream: TcpStream, psk: &Psk) -> Result<Greeted, Trouble> {
    tcp::connected(&stream).map_err(ended)?;
    if let Err(e) = stream.peer_addr() {
        return match e.kind() {
            io::ErrorKind::NotConnected => Ok(Greeted::Not(stream)),
            _ => Err(e.into()),
        };
    }
    let random = || Trouble::new(Unreachable::Failed, "there are no random numbers");
    let (shaking, first) = Initiator::begin(psk).ok_or_else(random)?;
    // So few bytes always find room in a new connection.
    (&stream).write_all(&first).map_err(ended)?;
    Ok(Greeted::So(stream, Box::new(shaking)))
}

fn hung_up() -> Trouble {
    let text = "it hangs up; see what listens there, it may be no clusmgr";
    Trouble::new(Unreachable::OtherProtocol, text)
}

/// The end of a connection that there was.
fn ended(e: io::Error) -> Trouble {
    match e.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => hung_up(),
        _ => e.into(),
    }
}

impl Reply {
    /// Whether it is whole.
    fn read(&mut self, mut stream: &TcpStream) -> Result<bool, Trouble> {
        while self.have < REPLY {
            // The rest of a refusal never comes.
            let end = if self.have < REFUSAL { REFUSAL } else { REPLY };
            match stream.read(&mut self.bytes[self.have..end]) {
                Ok(0) => return Err(hung_up()),
                Ok(n) => self.have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(ended(e)),
            }
            if self.have == REFUSAL {
                let mut head = [0; REFUSAL];
                head.copy_from_slice(&self.bytes[..REFUSAL]);
                Initiator::accepted(&head)?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A port that refuses.
    fn refusing() -> io::Result<SocketAddr> {
        std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
    }

    /// Makes the handshake with the next one.
    fn answer(there: &std::net::TcpListener, key: &Psk) -> io::Result<()> {
        let (mut stream, _) = there.accept()?;
        let mut first = [0; crate::noise::FIRST];
        stream.read_exact(&mut first)?;
        let answered = crate::noise::respond(key, &first);
        let (_, reply) = answered.map_err(|e| io::Error::other(e.to_string()))?;
        stream.write_all(&reply)
    }

    fn failed(find: &Find<'_>) -> (Option<Unreachable>, Duration) {
        let began = Instant::now();
        let deadline = began + Duration::from_secs(20);
        let made = connect(find, &Psk::derive(&[1; 128]), deadline);
        (made.err().map(|t| t.why), began.elapsed())
    }

    #[test]
    fn names_are_waited_for_where_nothing_else_is_left_and_not_for_long() -> io::Result<()> {
        let address = refusing()?;
        let (why, took) = failed(&|| (vec![address], true));
        assert_eq!(why, Some(Unreachable::Refused));
        assert!(took < RESOLVE, "{took:?}");
        for known in [Vec::new(), vec![address]] {
            let (why, took) = failed(&|| (known.clone(), false));
            let wanted = match known.is_empty() {
                true => Unreachable::NoAddress,
                false => Unreachable::Refused,
            };
            assert_eq!(why, Some(wanted));
            assert!(took >= RESOLVE && took < RESOLVE * 10, "{took:?}");
        }
        Ok(())
    }

    #[test]
    fn who_hangs_up_without_a_word_is_tried_again_and_always_is_no_clusmgr() -> io::Result<()> {
        let psk = Psk::derive(&[1; 128]);
        for (hang_ups, found) in [(HANG_UPS, true), (HANG_UPS + 1, false)] {
            let there = std::net::TcpListener::bind("127.0.0.1:0")?;
            let address = there.local_addr()?;
            let key = psk.clone();
            let serves = std::thread::spawn(move || -> io::Result<()> {
                for _ in 0..hang_ups {
                    there.accept()?;
                }
                if found {
                    answer(&there, &key)?;
                }
                Ok(())
            });
            let deadline = Instant::now() + Duration::from_secs(20);
            let link = connect(&|| (vec![address], true), &psk, deadline);
            let why = link.map(|l| l.address).map_err(|t| t.why);
            let wanted = found.then_some(address).ok_or(Unreachable::OtherProtocol);
            assert_eq!(why, wanted);
            assert!(serves.join().is_ok_and(|served| served.is_ok()));
        }
        Ok(())
    }

    #[test]
    fn an_address_that_becomes_known_meanwhile_is_tried() -> io::Result<()> {
        // What is known at once is silent.
        let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
        let there = std::net::TcpListener::bind("127.0.0.1:0")?;
        let (silent, late) = (silent.local_addr()?, there.local_addr()?);
        let psk = Psk::derive(&[1; 128]);
        let key = psk.clone();
        let serves = std::thread::spawn(move || answer(&there, &key));
        let looks = Cell::new(0);
        let find = || {
            looks.set(looks.get() + 1);
            match looks.get() {
                1 | 2 => (vec![silent], false),
                _ => (vec![silent, late], true),
            }
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        let link = connect(&find, &psk, deadline);
        assert_eq!(link.map(|l| l.address), Ok(late));
        assert!(serves.join().is_ok_and(|served| served.is_ok()));
        Ok(())
    }
}
