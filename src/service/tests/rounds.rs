//! The comparison's connections, which stand from one round to the next.

use super::elsewhere::{next_message, say, shake};
use super::remote::*;
use super::*;
use crate::noise::Channel;
use crate::peer::watch::Ask;
use crate::peer::{Peers, Rounds};
use crate::remote::{RemoteNode, RemoteView};
use crate::wire::Unreachable;
use serde_json::Value;
use std::net::{TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};

/// Node n1, as far as one connection goes.
struct Served(TcpStream, Channel);

impl Served {
    /// The next client, and what he calls himself.
    fn accept(listener: &TcpListener) -> Served {
        let (mut stream, mut channel) = shake(listener);
        let hello: Value =
            serde_json::from_slice(&next_message(&mut stream, &mut channel)).unwrap();
        assert_eq!(hello["node"], "n2");
        Served(stream, channel)
    }

    /// The next request; its id.
    fn request(&mut self) -> u64 {
        let line = next_message(&mut self.0, &mut self.1);
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["req"], "peer.report");
        line["id"].as_u64().unwrap()
    }

    /// Something else than the answer.
    fn lie(&mut self, line: impl FnOnce(u64) -> String) {
        let id = self.request();
        say(&mut self.0, &mut self.1, &line(id));
    }

    fn answer(&mut self, version: u64) {
        let id = self.request();
        let report = serde_json::json!({
            "node": "n1", "nodeid": 1, "config_version": version, "sha256": null, "running_version": null,
            "fingerprint": null, "state": "running", "quorate": true, "members": [1, 2],
        });
        let line = serde_json::json!({"id": id, "ok": report}).to_string();
        say(&mut self.0, &mut self.1, &line);
    }
}

/// A node by this script, and who asks it.
fn bed(
    script: impl FnOnce(&TcpListener) + Send + 'static,
) -> (Arc<Source>, Rounds, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let source = Source::new(Some(1), 1);
    let s: Arc<Source> = Arc::clone(&source);
    let rounds = Rounds::new(Arc::new(Peers::new(s, "n2".to_owned(), port))).patient(LIMIT / 2);
    (source, rounds, spawn(move || script(&listener)))
}

/// One round; the version that n1 has told.
fn round(rounds: &mut Rounds) -> Option<u64> {
    let mut asked = rounds.ask_all(Instant::now() + LIMIT);
    assert_eq!(asked.len(), 1);
    let heard = asked.remove(0).heard;
    heard
        .ok()
        .and_then(|(report, _)| report.config_version)
        .map(|v| v.0)
}

#[test]
fn the_next_rounds_ask_by_the_same_connection_and_another_when_it_ends() {
    let (_, mut rounds, served) = bed(|listener| {
        let mut first = Served::accept(listener);
        (1..=3).for_each(|version| first.answer(version));
        drop(first);
        let mut second = Served::accept(listener);
        (4..=5).for_each(|version| second.answer(version));
    });
    for version in 1..=5 {
        assert_eq!(round(&mut rounds), Some(version));
    }
    served.join().unwrap();
}

#[test]
fn a_connection_that_is_silent_costs_a_round_a_moment_only() {
    let (_, rounds, served) = bed(|listener| {
        let mut silent = Served::accept(listener);
        silent.answer(1);
        silent.request();
        let mut second = Served::accept(listener);
        second.answer(2);
        // What comes late by the first is no answer to anything.
        silent.0.write_all(b"late").ok();
        second.answer(3);
    });
    let mut rounds = rounds.patient(Duration::from_secs(2));
    for version in 1..=3 {
        assert_eq!(round(&mut rounds), Some(version));
    }
    served.join().unwrap();
}

#[test]
fn another_configuration_or_key_is_another_connection() {
    let (source, mut rounds, served) = bed(|listener| {
        let mut old = Served::accept(listener);
        old.answer(1);
        let mut new = Served::accept(listener);
        new.answer(2);
        assert_eq!(
            old.0.read(&mut [0; 64]).unwrap(),
            0,
            "the old one is closed, and unused"
        );
        // Of another key: the old one is not asked, and the handshake fails.
        assert_eq!(new.0.read(&mut [0; 64]).unwrap(), 0);
    });
    assert_eq!(round(&mut rounds), Some(1));
    source.change(Some(1));
    assert_eq!(round(&mut rounds), Some(2));
    source.change(Some(2));
    assert_eq!(round(&mut rounds), None);
    served.join().unwrap();
}

#[test]
fn a_lie_on_a_connection_that_stands_is_its_end_and_the_next_is_asked() {
    let (_, mut rounds, served) = bed(|listener| {
        let mut next = 1;
        let lies: [fn(u64) -> String; 4] = [
            |id| format!(r#"{{"id":{},"ok":{{}}}}"#, id + 1),
            |id| format!(r#"{{"id":{id},"err":{{"code":"io","message":"no"}}}}"#),
            |_| "rubbish".to_owned(),
            |id| format!(r#"{{"id":{id},"proto":2,"ok":{{}}}}"#),
        ];
        for lie in lies {
            let mut served = Served::accept(listener);
            served.answer(next);
            served.lie(lie);
            next += 1;
        }
        // Damaged on the way.
        let mut served = Served::accept(listener);
        served.answer(next);
        served.request();
        served.0.write_all(&[0, 40]).unwrap();
        served.0.write_all(&[7; 40]).unwrap();
        Served::accept(listener).answer(next + 1);
    });
    for version in 1..=6 {
        assert_eq!(round(&mut rounds), Some(version));
    }
    served.join().unwrap();
}

#[test]
fn nodes_without_a_name_are_each_asked_for_themselves() {
    let (source, mut rounds, served) = bed(|listener| Served::accept(listener).answer(7));
    let nameless = |address: &str| RemoteNode {
        name: String::new(),
        nodeid: None,
        addrs: vec![address.to_owned()],
    };
    source.put(RemoteView {
        generation: 2,
        psk: Some(psk(1)),
        // Nobody is at the second one, and the third is this node.
        nodes: vec![
            nameless("127.0.0.1"),
            nameless("127.0.0.9"),
            nameless("127.0.0.3"),
        ],
        local: Some(2),
    });
    let asked = rounds.ask_all(Instant::now() + LIMIT);
    let heard: Vec<_> = asked
        .iter()
        .map(|a| a.heard.as_ref().map_err(|e| e.0))
        .collect();
    assert!(heard[0].is_ok(), "{heard:?}");
    assert_eq!(heard[1], Err(Unreachable::Refused));
    assert_eq!(heard.len(), 2);
    served.join().unwrap();
}
