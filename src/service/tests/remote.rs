//! The remote service over real TCP on loopback, and the client of it.

use super::*;
use crate::listen::Listen;
use crate::noise::{self, Psk};
use crate::peer::{Peers, Trouble};
use crate::remote::{RemoteNode, RemoteSource, RemoteView};
use crate::service::remote::{Limits as RemoteLimits, RemoteService};
use crate::sys::wake::Waker;
use crate::types::NodeId;
use crate::wire::Unreachable;
use std::net::{SocketAddr, TcpListener};
use std::sync::Weak;

pub(super) const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn psk(n: u8) -> Psk {
    Psk::derive(&[n; 256])
}

/// A configuration of two nodes on loopback, that can be changed.
pub(super) struct Source {
    view: Mutex<Arc<RemoteView>>,
    watchers: Mutex<Vec<Weak<Waker>>>,
}

impl Source {
    pub(super) fn new(key: Option<u8>, local: usize) -> Arc<Source> {
        let node = |n: u32| RemoteNode {
            name: format!("n{n}"),
            nodeid: Some(NodeId(n)),
            addrs: vec!["127.0.0.1".to_owned()],
        };
        let view = RemoteView {
            generation: 1,
            psk: key.map(psk),
            nodes: vec![node(1), node(2)],
            local: Some(local),
        };
        Arc::new(Source {
            view: Mutex::new(Arc::new(view)),
            watchers: Mutex::default(),
        })
    }

    pub(super) fn change(&self, key: Option<u8>) {
        let view = self.remote();
        self.put(RemoteView {
            generation: view.generation + 1,
            psk: key.map(psk),
            nodes: view.nodes.clone(),
            local: view.local,
        });
    }

    pub(super) fn put(&self, view: RemoteView) {
        *self.view.lock() = Arc::new(view);
        for waker in self.watchers.lock().iter().filter_map(Weak::upgrade) {
            waker.wake();
        }
    }
}

impl RemoteSource for Source {
    fn remote(&self) -> Arc<RemoteView> {
        Arc::clone(&self.view.lock())
    }

    fn watch_remote(&self, waker: &Arc<Waker>) {
        self.watchers.lock().push(Arc::downgrade(waker));
    }
}

/// Polls until `probe` gives something.
pub(super) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Node n1, which serves.
pub(super) struct Server {
    pub(super) manager: Arc<Fake>,
    pub(super) source: Arc<Source>,
    pub(super) service: RemoteService,
    pub(super) address: SocketAddr,
}

impl Server {
    pub(super) fn new(limits: RemoteLimits) -> Server {
        Server::with(Fake::new(64, 0), limits)
    }

    fn with(manager: Arc<Fake>, limits: RemoteLimits) -> Server {
        let source = Source::new(Some(1), 0);
        let listen = Listen::Addrs(vec!["127.0.0.1:0".parse().unwrap()]);
        let m: Arc<Fake> = Arc::clone(&manager);
        let s: Arc<Source> = Arc::clone(&source);
        let service = RemoteService::start_within(listen, s, m, limits).unwrap();
        let address = until("it listens", || service.addresses().first().copied());
        Server {
            manager,
            source,
            service,
            address,
        }
    }

    /// Node n2 with this key, as a client.
    pub(super) fn peers(&self, key: Option<u8>) -> Peers {
        Peers::new(Source::new(key, 1), "n2".to_owned(), self.address.port())
    }

    pub(super) fn stop(self) {
        assert_eq!(self.service.stop(), 0, "threads are left");
    }
}

pub(super) fn n1(peers: &Peers) -> RemoteNode {
    peers.view().nodes[0].clone()
}

pub(super) fn ask(peers: &Peers, request: &Request) -> std::result::Result<Answer, Trouble> {
    peers.ask(&n1(peers), request, LIMIT, None).map(|(a, _)| a)
}

fn why(answered: std::result::Result<Answer, Trouble>) -> Unreachable {
    answered.unwrap_err().why
}

/// A node that has the key, hangs up on the first after the handshake and answers the next.
fn makes_room(listener: &TcpListener) {
    for first in [true, false] {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; noise::FIRST];
        if stream.read_exact(&mut bytes).is_err() {
            return;
        }
        let (mut channel, reply) = noise::respond(&psk(1), &bytes).unwrap();
        stream.write_all(&reply).unwrap();
        if first {
            continue;
        }
        let mut heard = 0;
        while heard < 2 {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk) {
                Ok(n) if n > 0 => channel.push(&chunk[..n]),
                _ => return,
            }
            while channel.open().unwrap().is_some() {
                heard += 1;
            }
        }
        let mut out = Vec::new();
        channel.seal(br#"{"id":1,"ok":{}}"#, &mut out).unwrap();
        stream.write_all(&out).unwrap();
    }
}

#[test]
fn who_had_to_make_room_asks_again_unless_it_would_change_something() {
    for (request, done) in [
        (Request::PeerReport, true),
        (
            Request::Restart {
                wait_ms: 0,
                rolling: false,
            },
            false,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peers = Peers::new(Source::new(Some(1), 1), "n2".to_owned(), address.port());
        let node = std::thread::spawn(move || makes_room(&listener));
        let answered = ask(&peers, &request);
        assert_eq!(matches!(answered, Ok(Answer::Ok(_))), done, "{answered:?}");
        if !done {
            assert_eq!(why(answered), Unreachable::Failed);
            // He did not come again: whoever comes now is the second.
            drop(std::net::TcpStream::connect(address));
        }
        node.join().unwrap();
    }
}

#[test]
fn a_node_reads_and_orders_and_changes_no_configuration() {
    let server = Server::new(RemoteLimits::default());
    let peers = server.peers(Some(1));
    let Answer::Ok(status) = ask(&peers, &Request::Status).unwrap() else {
        panic!()
    };
    assert_eq!(status["node"]["name"], "n1");
    for request in [
        r#"{"req":"why"}"#,
        r#"{"req":"events","since":0}"#,
        r#"{"req":"config.diff"}"#,
        r#"{"req":"config.history"}"#,
        r#"{"req":"key.fingerprint"}"#,
        r#"{"req":"peer.report"}"#,
        r#"{"req":"stop","wait_ms":5}"#,
    ] {
        let request: Request = serde_json::from_str(request).unwrap();
        let answer = ask(&peers, &request).unwrap();
        assert!(matches!(answer, Answer::Ok(_)), "{request:?} {answer:?}");
    }
    let commands = server.manager.commands.lock().clone();
    let wait = Duration::from_millis(5);
    let by = "node n2 (127.0.0.1)".to_owned();
    assert_eq!(commands, [(Command::Stop(Hold::Kept), by, wait)]);
    for request in [
        r#"{"req":"config.apply","text":"x"}"#,
        r#"{"req":"config.adopt"}"#,
        r#"{"req":"config.revert","dry_run":true}"#,
        r#"{"req":"config.rollback"}"#,
    ] {
        let request: Request = serde_json::from_str(request).unwrap();
        let Answer::Err(e) = ask(&peers, &request).unwrap() else {
            panic!("{request:?} was done")
        };
        assert_eq!(e.code, "denied", "{e:?}");
    }
    server.stop();
}

#[test]
fn an_answer_as_long_as_a_message_comes_whole_and_a_longer_one_is_an_error() {
    let server = Server::new(RemoteLimits::default());
    let peers = server.peers(Some(1));
    // The text alone is as long as a line.
    let Answer::Err(e) = ask(&peers, &Request::ConfigShow).unwrap() else {
        panic!()
    };
    assert!(e.message.contains("longer"), "{e:?}");
    server.stop();
}

#[test]
fn who_cannot_be_asked_is_told_why() {
    let server = Server::new(RemoteLimits::default());
    let peers = server.peers(Some(2));
    let trouble = ask(&peers, &Request::Status).unwrap_err();
    assert_eq!(trouble.why, Unreachable::WrongKey);
    let address = server.address.to_string();
    assert!(trouble.text.contains(&address), "{trouble}");
    assert_eq!(
        why(ask(&server.peers(None), &Request::Status)),
        Unreachable::NoKey
    );
    let peers = server.peers(Some(1));
    server.source.change(None);
    until("it listens nowhere", || {
        server.service.addresses().is_empty().then_some(())
    });
    assert_eq!(why(ask(&peers, &Request::Status)), Unreachable::Refused);
    server.stop();

    // Somebody who says nothing, somebody who says something else, and a later clusmgr.
    for (said, why) in [
        (None, Unreachable::TimedOut),
        (
            Some(&b"SSH-2.0-OpenSSH_9.2\r\n"[..]),
            Unreachable::OtherProtocol,
        ),
        (Some(b"clusmgr\x02\x01"), Unreachable::OtherProtocol),
        (Some(b""), Unreachable::OtherProtocol),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let talks = std::thread::spawn(move || {
            // Who hangs up without a word is tried four times.
            let tries = if said.is_some_and(<[u8]>::is_empty) {
                4
            } else {
                1
            };
            for _ in 0..tries {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(SOON)).unwrap();
                let mut first = [0; 56];
                stream.read_exact(&mut first).unwrap();
                if let Some(said) = said {
                    stream.write_all(said).unwrap();
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                }
                // Until the client gives up.
                let _ = stream.read(&mut first);
            }
        });
        let peers = Peers::new(Source::new(Some(1), 1), "n2".to_owned(), port);
        let trouble = ask(&peers, &Request::Status).unwrap_err();
        assert_eq!(trouble.why, why, "{said:?} {trouble}");
        let named = said.is_some_and(|s| s.starts_with(b"clusmgr"));
        assert_eq!(trouble.text.contains("version 2"), named, "{trouble}");
        // On a machine that rests, the client may have given up before its last try.
        if said != Some(b"") {
            talks.join().unwrap();
        }
    }
}

#[test]
fn a_changed_key_counts_at_once() {
    let server = Server::new(RemoteLimits::default());
    let (old, new) = (server.peers(Some(1)), server.peers(Some(2)));
    ask(&old, &Request::Status).unwrap();
    server.source.change(Some(2));
    until("the new key", || ask(&new, &Request::Status).ok());
    assert_eq!(why(ask(&old, &Request::Status)), Unreachable::WrongKey);
    server.stop();
}

#[test]
fn who_was_let_in_by_a_key_ends_with_it() {
    let server = Server::new(RemoteLimits::default());
    let (old, new) = (server.peers(Some(1)), server.peers(Some(2)));
    let node = n1(&old);
    let subscribe = Request::Subscribe { since: None };
    let (_, mut link, turn) = old.subscribe(&node, &subscribe, LIMIT).unwrap();
    let restart = &Request::Restart {
        rolling: false,
        wait_ms: 1,
    };
    std::thread::scope(|scope| {
        // An order under way is answered, and then it ends too.
        let waits = scope.spawn(|| ask(&old, restart));
        server.manager.entered.1.recv_timeout(SOON).unwrap();
        server.source.change(Some(2));
        assert!(link.message(Some(Instant::now() + SOON)).is_err());
        server.manager.publish(1);
        until("the new key", || ask(&new, &Request::Status).ok());
        server.manager.release.0.send(()).unwrap();
        let answered = waits.join().unwrap().unwrap();
        assert!(matches!(answered, Answer::Ok(_)), "{answered:?}");
    });
    drop(turn);
    // And with the key gone.
    let node = n1(&new);
    let (_, mut link, _turn) = new.subscribe(&node, &subscribe, LIMIT).unwrap();
    server.source.change(None);
    assert!(link.message(Some(Instant::now() + SOON)).is_err());
    server.stop();
}

#[test]
fn events_are_followed_from_another_node() {
    let server = Server::new(RemoteLimits::default());
    let peers = server.peers(Some(1));
    server.manager.publish(1);
    let node = n1(&peers);
    let request = Request::Subscribe { since: Some(0) };
    let (answer, mut link, _turn) = peers.subscribe(&node, &request, LIMIT).unwrap();
    assert_eq!(answer, Answer::Ok(json!({"from": 1})));
    for seq in 2..=40 {
        server.manager.publish(seq);
    }
    for seq in 1..=40 {
        let line = link.message(Some(Instant::now() + SOON)).unwrap().unwrap();
        let event: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(event["seq"], seq);
    }
    server.stop();
    assert!(link.message(Some(Instant::now() + SOON)).is_err());
}

/// As for a subscriber here: what the journal lacks comes from memory, or is told.
#[test]
fn a_hole_in_the_journal_is_told_to_another_node_too() {
    let server = Server::with(Fake::new(4, 0), RemoteLimits::default());
    for seq in 1..=9 {
        server.manager.publish(seq);
    }
    let written = [1, 2, 3, 5, 8, 9];
    server
        .manager
        .journal
        .lock()
        .retain(|s| written.contains(s));
    let peers = server.peers(Some(1));
    let request = Request::Subscribe { since: Some(0) };
    let node = n1(&peers);
    let (_, mut link, _turn) = peers.subscribe(&node, &request, LIMIT).unwrap();
    let mut line = || {
        let line = link.message(Some(Instant::now() + SOON)).unwrap().unwrap();
        serde_json::from_slice::<Value>(&line).unwrap()
    };
    let told: Vec<Value> = (0..9).map(|_| line()).collect();
    assert_eq!(told[3], json!({"lagged": {"from": 4, "next": 5}}));
    let numbers: Vec<u64> = told.iter().filter_map(|l| l["seq"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 3, 5, 6, 7, 8, 9]);
    server.stop();
}
