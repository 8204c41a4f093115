//! This node's way to others: who answers, how long it is waited for, and who makes room for whom.

use super::remote::*;
use super::*;
use crate::listen::Listen;
use crate::noise::{Channel, FIRST, respond};
use crate::peer::{Peers, Trouble};
use crate::remote::{RemoteNode, RemoteView};
use crate::service::remote::{Limits as RemoteLimits, RemoteService};
use crate::types::NodeId;
use crate::wire::{Hello, PROTO, Unreachable};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

fn node(name: &str, nodeid: Option<u32>, addrs: &[&str]) -> RemoteNode {
    RemoteNode {
        name: name.to_owned(),
        nodeid: nodeid.map(NodeId),
        addrs: addrs.iter().map(|&a| a.to_owned()).collect(),
    }
}

/// Node n2 as a client of whom listens there.
fn client_of(listener: &TcpListener) -> Peers {
    let port = listener.local_addr().unwrap().port();
    Peers::new(Source::new(Some(1), 1), "n2".to_owned(), port)
}

pub(super) fn next_message(stream: &mut TcpStream, channel: &mut Channel) -> Vec<u8> {
    loop {
        if let Some(message) = channel.open().unwrap() {
            return message.to_vec();
        }
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "the client hung up");
        channel.push(&chunk[..n]);
    }
}

/// Makes the handshake with the next client, as a node would.
pub(super) fn shake(listener: &TcpListener) -> (TcpStream, Channel) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut first = [0; FIRST];
    stream.read_exact(&mut first).unwrap();
    let (channel, reply) = respond(&psk(1), &first).unwrap();
    stream.write_all(&reply).unwrap();
    (stream, channel)
}

pub(super) fn say(stream: &mut TcpStream, channel: &mut Channel, line: &str) {
    let mut out = Vec::new();
    channel.seal(line.as_bytes(), &mut out).unwrap();
    stream.write_all(&out).unwrap();
}

#[test]
fn what_is_meant_for_another_node_is_not_carried_out() {
    let server = Server::new(RemoteLimits::default());
    let peers = server.peers(Some(1));
    let stop: Request = serde_json::from_str(r#"{"req":"stop"}"#).unwrap();
    let asked = |node: &RemoteNode, request: &Request| {
        let answered = peers.ask(node, request, LIMIT, None);
        answered.map(|(_, address)| address.ip().to_string())
    };
    for other in [
        node("n3", Some(3), &["127.0.0.1"]),
        // The nodeid decides, and where there is none the name.
        node("n1", Some(3), &["127.0.0.1"]),
        node("n3", None, &["127.0.0.1"]),
    ] {
        for request in [&stop, &Request::Status] {
            let trouble = asked(&other, request).unwrap_err();
            assert_eq!(trouble.why, Unreachable::WrongNode, "{trouble}");
            let said = format!(
                "n1 (nodeid 1) answers at this address, and {} was asked",
                other.name
            );
            assert!(trouble.text.contains(&said), "{trouble}");
            assert!(trouble.text.contains(&server.address.to_string()));
        }
    }
    assert!(server.manager.commands.lock().is_empty());
    for same in [
        node("node-one", Some(1), &["127.0.0.1"]),
        node("n1.example.org", None, &["127.0.0.1"]),
    ] {
        asked(&same, &Request::Status).unwrap();
    }

    // Of two addresses, the one that leads to the node that is meant.
    let (manager, source) = (Fake::new(64, 0), Source::new(Some(1), 1));
    let port = server.address.port();
    let listen = Listen::Addrs(vec![format!("127.0.0.2:{port}").parse().unwrap()]);
    let m: Arc<Fake> = Arc::clone(&manager);
    let n2 = RemoteService::start_within(listen, source, m, RemoteLimits::default()).unwrap();
    until("it listens", || n2.addresses().first().copied());
    let both = node("n2", Some(2), &["127.0.0.1", "127.0.0.2"]);
    assert_eq!(asked(&both, &stop).unwrap(), "127.0.0.2");
    assert_eq!(manager.commands.lock().len(), 1);
    assert!(server.manager.commands.lock().is_empty());
    assert_eq!(n2.stop(), 0);
    server.stop();
}

#[test]
fn an_older_client_that_does_not_say_whom_it_means_is_answered() {
    let hello: Hello = serde_json::from_str(r#"{"proto":1,"node":"n2"}"#).unwrap();
    assert_eq!(hello.to, None);
}

#[test]
fn who_follows_and_who_waits_leaves_room_for_who_looks() {
    let server = Server::new(RemoteLimits::default());
    let peers = server.peers(Some(1));
    let node = n1(&peers);
    let follow = Request::Subscribe { since: None };
    let mut held: Vec<_> = (0..2)
        .map(|_| peers.subscribe(&node, &follow, LIMIT).unwrap())
        .collect();
    let third = peers.subscribe(&node, &follow, LIMIT).unwrap_err();
    assert_eq!(third.why, Unreachable::Busy);
    let wait = Request::Restart {
        rolling: false,
        wait_ms: 60_000,
    };
    assert_eq!(ask(&peers, &wait).unwrap_err().why, Unreachable::Busy);
    ask(&peers, &Request::Status).unwrap();
    let soon = Instant::now() + LIMIT;
    peers.ask_by(&node, &Request::PeerReport, soon).unwrap();

    // Who waits for an outcome has such a place too, as long as somebody waits with him.
    held.pop();
    let (here, there) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let peers = &peers;
        let waits = scope.spawn(move || {
            let node = n1(peers);
            let long = Duration::from_secs(60);
            peers.ask(&node, &wait, long, Some(there.as_fd())).map(drop)
        });
        server.manager.entered.1.recv_timeout(SOON).unwrap();
        let third = peers.subscribe(&node, &follow, LIMIT).unwrap_err();
        assert_eq!(third.why, Unreachable::Busy);
        ask(peers, &Request::Status).unwrap();
        let began = Instant::now();
        drop(here);
        let gone = waits.join().unwrap().unwrap_err();
        assert!(gone.text.contains("hung up"), "{gone}");
        assert!(began.elapsed() < LIMIT);
        peers.subscribe(&node, &follow, LIMIT).unwrap();
    });
    server.manager.release.0.send(()).unwrap();
    drop(held);
    server.stop();
}

#[test]
fn a_stream_that_breaks_off_is_told_to_who_follows_it() {
    let server = Server::new(RemoteLimits::default());
    let manager = Fake::new(64, 0);
    *manager.peers.lock() = Some(Arc::new(server.peers(Some(1))));
    let bed = Bed::new(&manager, Limits::default());
    let mut c = bed.client();
    let reply = c.ask(r#"{"id":3,"req":"subscribe","node":"n1"}"#);
    assert_eq!(reply["ok"]["from"], 1, "{reply}");
    server.manager.publish(1);
    assert_eq!(c.line().unwrap()["seq"], 1);
    server.stop();
    let last = c.line().unwrap();
    assert_eq!((code(&last), &last["id"]), ("unreachable", &json!(3)));
    let message = last["err"]["message"].as_str().unwrap();
    assert!(message.contains("ask node n1: it hung up"), "{message}");
    assert!(c.line().is_none());
    bed.stop();
}

#[test]
fn a_stream_by_a_key_that_this_node_has_no_more_ends() {
    let server = Server::new(RemoteLimits::default());
    let manager = Fake::new(64, 0);
    let source = Source::new(Some(1), 1);
    let s: Arc<Source> = Arc::clone(&source);
    let peers = Peers::new(s, "n2".to_owned(), server.address.port());
    *manager.peers.lock() = Some(Arc::new(peers));
    let bed = Bed::new(&manager, Limits::default());
    let mut c = bed.client();
    c.ask(r#"{"id":3,"req":"subscribe","node":"n1"}"#);
    source.change(Some(2));
    let last = c.line().unwrap();
    assert_eq!(code(&last), "unreachable", "{last}");
    assert!(last.to_string().contains("another key"), "{last}");
    bed.stop();
    server.stop();
}

#[test]
fn an_answer_that_is_too_long_is_that_nodes_alone() {
    let server = Server::new(RemoteLimits::default());
    let manager = Fake::new(64, 0);
    *manager.peers.lock() = Some(Arc::new(server.peers(Some(1))));
    manager.text.store(9, Ordering::Relaxed);
    let bed = Bed::new(&manager, Limits::default());
    let mut c = bed.client();
    // It fits into a line alone, and not beside another one.
    for (length, fits) in [(1000, true), (700_000, false)] {
        server.manager.text.store(length, Ordering::Relaxed);
        let reply = c.ask(r#"{"id":1,"req":"config.show","all":true}"#);
        let [n1, n2] = reply["ok"]["nodes"].as_array().unwrap().as_slice() else {
            panic!("{reply}")
        };
        assert_eq!(n2["ok"]["text"], "x".repeat(9));
        assert_eq!(n1["ok"].is_object(), fits);
        if !fits {
            assert_eq!(n1["unreachable"], "failed", "{n1}");
            let reply = c.ask(r#"{"id":1,"req":"config.show","node":"n1"}"#);
            let text = reply["ok"]["text"].as_str().unwrap();
            assert_eq!(text.len(), length);
        }
    }
    // Few bytes that become many when they are written anew.
    manager.text.store(MAX_LINE, Ordering::Relaxed);
    let reply = c.ask(r#"{"id":1,"req":"config.show","all":true}"#);
    let nodes = reply["ok"]["nodes"].as_array().unwrap();
    assert_eq!(code(&nodes[1]), "failed", "this node's own counts as well");
    bed.stop();
    server.stop();
}

#[test]
fn all_are_asked_within_one_deadline_however_many_ask() {
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peers = client_of(&listener);
    let limit = Duration::from_millis(1600);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let ask = || peers.ask_all(&Request::Status, limit, MAX_LINE);
        let all: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        for asked in all {
            for (_, answered, _) in asked.join().unwrap() {
                let trouble = answered.unwrap_err();
                assert_eq!(trouble.why, Unreachable::TimedOut, "{trouble}");
            }
        }
    });
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    // The time for a connection is a part of the whole, and not added to it.
    let began = Instant::now();
    let _ = peers.ask_all(&Request::Status, Duration::from_millis(100), MAX_LINE);
    let took = began.elapsed();
    assert!(took < Duration::from_millis(900), "{took:?}");
}

#[test]
fn more_nodes_than_are_asked_at_a_time_are_named_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let nodes: Vec<RemoteNode> = (1..=70)
        .map(|n| node(&format!("n{n}"), Some(n), &["127.0.0.1"]))
        .collect();
    let source = Source::new(Some(1), 0);
    source.put(RemoteView {
        generation: 2,
        psk: Some(psk(1)),
        nodes,
        local: Some(0),
    });
    let peers = Peers::new(source, "n1".to_owned(), port);
    let asked = peers.ask_all(&Request::Status, Duration::from_millis(1600), MAX_LINE);
    let why: Vec<Unreachable> = asked
        .into_iter()
        .map(|(_, answered, _)| answered.unwrap_err().why)
        .collect();
    assert_eq!(why.len(), 69);
    assert_eq!(why[0], Unreachable::Refused);
    assert_eq!(why[68], Unreachable::Failed);
}

/// Asks a node that gives no answer to the first connection; what came of it, and how many it took.
fn asked_twice(
    request: &Request,
    first: fn(TcpStream, Channel),
) -> (std::result::Result<Answer, Trouble>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peers = client_of(&listener);
    let other = listener.try_clone().unwrap();
    let serves = std::thread::spawn(move || {
        let (stream, channel) = shake(&other);
        first(stream, channel);
        other.set_nonblocking(true).unwrap();
        let end = Instant::now() + Duration::from_millis(800);
        let mut stream = loop {
            match other.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if Instant::now() > end => return 1,
                Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
            }
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut first = [0; FIRST];
        stream.read_exact(&mut first).unwrap();
        let (mut channel, reply) = respond(&psk(1), &first).unwrap();
        stream.write_all(&reply).unwrap();
        for _ in 0..2 {
            next_message(&mut stream, &mut channel);
        }
        say(
            &mut stream,
            &mut channel,
            r#"{"id":1,"proto":1,"ok":"fine"}"#,
        );
        2
    });
    let answered = ask(&peers, request);
    (answered, serves.join().unwrap())
}

#[test]
fn who_is_hung_up_on_before_an_answer_asks_again_if_nothing_was_done() {
    let fine = Ok(Answer::Ok(json!("fine")));
    let stop: Request = serde_json::from_str(r#"{"req":"stop"}"#).unwrap();
    let hang_up: fn(TcpStream, Channel) = |stream, channel| drop((stream, channel));
    assert_eq!(asked_twice(&Request::Status, hang_up), (fine.clone(), 2));
    // Whether that order was carried out, nobody knows.
    let (answered, times) = asked_twice(&stop, hang_up);
    assert_eq!((answered.unwrap_err().why, times), (Unreachable::Failed, 1));
    // Unless it says that it has read none.
    let no_room: fn(TcpStream, Channel) = |mut stream, mut channel| {
        for _ in 0..2 {
            next_message(&mut stream, &mut channel);
        }
        let line = r#"{"id":0,"proto":1,"err":{"code":"busy","message":"no room"}}"#;
        say(&mut stream, &mut channel, line);
    };
    assert_eq!(asked_twice(&stop, no_room), (fine, 2));
}

#[test]
fn who_makes_room_after_the_handshake_is_told_so() {
    let limits = RemoteLimits {
        clients: 1,
        ..RemoteLimits::default()
    };
    let server = Server::new(limits);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let (client, first) = crate::noise::Initiator::begin(&psk(1)).unwrap();
    stream.write_all(&first).unwrap();
    let mut reply = [0; crate::noise::REPLY];
    stream.read_exact(&mut reply).unwrap();
    let mut channel = client.finish(&reply).unwrap();
    // Somebody else comes.
    let _other = TcpStream::connect(server.address).unwrap();
    let said: Value = serde_json::from_slice(&next_message(&mut stream, &mut channel)).unwrap();
    assert_eq!((&said["id"], code(&said)), (&json!(0), "busy"));
    assert_eq!(said["proto"], PROTO);
    server.stop();
}
