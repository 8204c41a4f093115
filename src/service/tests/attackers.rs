//! Who has no key, or has one and does not keep to the protocol, at the remote service's door.

use super::remote::*;
use super::*;
use crate::noise::{FIRST, FRAME_MAX, Initiator, REFUSAL, REPLY};
use crate::service::remote::Limits as RemoteLimits;
use crate::wire::{Hello, PROTO};
use std::net::TcpStream;

fn knock(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Reads until the other side hangs up; what it said.
fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return all,
            Ok(n) => all.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(e) => panic!("it does not hang up: {e}"),
        }
    }
}

fn served(server: &Server) {
    let answer = ask(&server.peers(Some(1)), &Request::Status).unwrap();
    assert!(matches!(answer, Answer::Ok(_)));
}

fn quick() -> RemoteLimits {
    RemoteLimits {
        handshake: Duration::from_secs(1),
        half_message: Duration::from_millis(200),
        idle: Duration::from_millis(400),
        ..RemoteLimits::default()
    }
}

/// A member that writes its own frames.
fn member(server: &Server) -> (TcpStream, crate::noise::Channel) {
    let mut stream = knock(server);
    let (client, first) = Initiator::begin(&psk(1)).unwrap();
    stream.write_all(&first).unwrap();
    let mut reply = [0; REPLY];
    stream.read_exact(&mut reply).unwrap();
    let mut channel = client.finish(&reply).unwrap();
    let hello = Hello {
        proto: PROTO,
        node: "n2".to_owned(),
        to: None,
    };
    let mut out = Vec::new();
    channel
        .seal(&serde_json::to_vec(&hello).unwrap(), &mut out)
        .unwrap();
    stream.write_all(&out).unwrap();
    (stream, channel)
}

#[test]
fn who_has_no_key_learns_nothing_but_that() {
    let server = Server::new(RemoteLimits::default());
    let mut stream = knock(&server);
    let (_, first) = Initiator::begin(&psk(9)).unwrap();
    stream.write_all(&first).unwrap();
    let said = rest(&stream);
    assert_eq!(said.len(), REFUSAL, "{said:?}");
    assert_eq!(&said[..8], b"clusmgr\x01");
    served(&server);
    server.stop();
}

#[test]
fn a_first_message_of_every_length_is_waited_for_no_longer_than_it_may() {
    let server = Server::new(quick());
    let (_, first) = Initiator::begin(&psk(1)).unwrap();
    for length in 0..FIRST {
        let mut stream = knock(&server);
        stream.write_all(&first[..length]).unwrap();
        // The client's end of it is half closed: nothing more will come.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(rest(&stream).is_empty(), "{length}");
    }
    // And without that, the deadline ends it.
    let mut stream = knock(&server);
    stream.write_all(&first[..FIRST - 1]).unwrap();
    assert!(rest(&stream).is_empty());
    served(&server);
    server.stop();
}

#[test]
fn a_slow_drip_is_ended_by_the_deadline_of_the_whole() {
    let server = Server::new(quick());
    let (_, first) = Initiator::begin(&psk(1)).unwrap();
    let mut stream = knock(&server);
    let end = Instant::now() + SOON;
    stream
        .set_read_timeout(Some(Duration::from_millis(40)))
        .unwrap();
    // Each read is the pause before the next byte.
    for byte in first.iter().cycle() {
        let written = stream.write_all(&[*byte]);
        let read = stream.read(&mut [0; 99]);
        let timed_out = read.as_ref().is_err_and(|e| {
            matches!(
                e.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            )
        });
        if written.is_err() || !timed_out {
            break;
        }
        assert!(Instant::now() < end, "it is still waited for");
    }
    served(&server);
    server.stop();
}

#[test]
fn a_recorded_conversation_that_is_played_again_orders_nothing() {
    let server = Server::new(quick());
    let (mut stream, mut channel) = member(&server);
    // What a listener on the wire has: the first message and the frames, word by word.
    let (client, first) = Initiator::begin(&psk(1)).unwrap();
    let mut recorded = knock(&server);
    recorded.write_all(&first).unwrap();
    let mut reply = [0; REPLY];
    recorded.read_exact(&mut reply).unwrap();
    let mut other = client.finish(&reply).unwrap();
    let mut frames = Vec::new();
    other
        .seal(br#"{"proto":1,"node":"n2"}"#, &mut frames)
        .unwrap();
    other
        .seal(br#"{"id":1,"req":"stop"}"#, &mut frames)
        .unwrap();
    recorded.write_all(&frames).unwrap();
    until("the order", || {
        (server.manager.commands.lock().len() == 1).then_some(())
    });
    let mut again = knock(&server);
    again.write_all(&first).unwrap();
    again.write_all(&frames).unwrap();
    assert_eq!(rest(&again).len(), REPLY, "nothing but the handshake");
    assert_eq!(server.manager.commands.lock().len(), 1);
    // The one that was there meanwhile is served as ever.
    let mut out = Vec::new();
    channel
        .seal(br#"{"id":7,"req":"status"}"#, &mut out)
        .unwrap();
    stream.write_all(&out).unwrap();
    served(&server);
    server.stop();
}

#[test]
fn a_thousand_connections_keep_no_member_out() {
    let server = Server::new(RemoteLimits::default());
    // Four of them at a time: all are of one address. Of others the unit tests of the places tell.
    let mut held = Vec::new();
    for n in 0..1000 {
        held.push(knock(&server));
        if n % 100 == 99 {
            served(&server);
            held.drain(..90);
        }
    }
    served(&server);
    server.stop();
}

#[test]
fn a_member_that_sends_frames_of_any_length_ends_its_own_connection_only() {
    let server = Server::new(quick());
    for length in (0..=u16::MAX).step_by(1931).chain([0, 1, 16, 17, u16::MAX]) {
        let (mut stream, _) = member(&server);
        let mut frame = length.to_be_bytes().to_vec();
        frame.resize(2 + usize::from(length).min(FRAME_MAX), 0x5a);
        // It may have hung up before all of it is sent.
        let _ = stream.write_all(&frame);
        assert!(rest(&stream).is_empty(), "{length}");
    }
    // Half a message, and a request that is none.
    let (mut stream, mut channel) = member(&server);
    let mut out = Vec::new();
    channel.seal(&vec![b'x'; 100_000], &mut out).unwrap();
    stream.write_all(&out[..70_000]).unwrap();
    assert!(rest(&stream).is_empty());
    let (mut stream, mut channel) = member(&server);
    out.clear();
    channel.seal(b"rubbish", &mut out).unwrap();
    stream.write_all(&out).unwrap();
    let said = rest(&stream);
    channel.push(&said);
    let reply = channel.open().unwrap().unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    assert_eq!(code(&reply), "usage");
    served(&server);
    server.stop();
}

#[test]
fn a_member_asks_for_itself_alone() {
    let server = Server::new(RemoteLimits::default());
    for request in [
        r#"{"id":1,"req":"status","node":"n1"}"#,
        r#"{"id":1,"req":"status","all":true}"#,
    ] {
        let (mut stream, mut channel) = member(&server);
        let mut out = Vec::new();
        channel.seal(request.as_bytes(), &mut out).unwrap();
        stream.write_all(&out).unwrap();
        let reply = until("a reply", || {
            let mut chunk = [0; 4096];
            let n = stream.read(&mut chunk).unwrap();
            channel.push(&chunk[..n]);
            channel.open().unwrap()
        });
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        assert_eq!(code(&reply), "usage", "{reply}");
    }
    server.stop();
}

#[test]
fn a_member_that_asks_nothing_or_sends_a_byte_now_and_then_is_ended() {
    let server = Server::new(quick());
    let (mut stream, _) = member(&server);
    let began = Instant::now();
    assert!(!matches!(stream.read(&mut [0; 9]), Ok(n) if n > 0));
    assert!(began.elapsed() > Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_secs(5), "idle");
    let (mut stream, mut channel) = member(&server);
    let mut out = Vec::new();
    let line = r#"{"id":1,"req":"status"}"#;
    channel.seal(line.as_bytes(), &mut out).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    // Each byte comes well within the time that one may take, and all of them do not.
    let ended = out.iter().take(out.len() - 1).any(|byte| {
        let sent = stream.write_all(&[*byte]);
        let read = stream.read(&mut [0; 9]);
        let waits = |e: &std::io::Error| e.kind() == std::io::ErrorKind::WouldBlock;
        sent.is_err() || !read.is_err_and(|e| waits(&e))
    });
    assert!(ended, "it was waited for byte by byte");
    served(&server);
    server.stop();
}
