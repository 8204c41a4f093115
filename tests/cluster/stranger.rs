//! A node that is heard on its links and does not join.

use crate::bed::{formed, in_state, members, none_of, token, up_edited, well};
use crate::common::{LONG, Node, degraded, stays, until};
use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::Value;
use std::time::Duration;

/// Without encryption a packet filter can tell what knet itself sends, to see which links work, from
/// the ring's data, which has type 0.
fn conf(text: &str) -> String {
    let edited = token(2000)(text)
        .replace("crypto_cipher: aes256", "crypto_cipher: none")
        .replace("crypto_hash: sha256", "crypto_hash: none");
    assert!(edited.contains("cipher: none") && edited.contains("hash: none"));
    edited
}

/// A firewall that lets only small talk through.
const NO_DATA: &str = "nft -f - <<'END'
table inet nodata {
    chain input {
        type filter hook input priority -5; policy accept;
        ip saddr FROM udp dport 5405 @th,72,8 0 counter drop
    }
}
END";

fn codes(node: &Node<'_>) -> (i32, Vec<String>, String) {
    let ran = node.ctl(&["why", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let all = report["verdicts"].as_array().unwrap();
    let codes = all.iter().map(|v| v["code"].as_str().unwrap().to_owned());
    (ran.code, codes.collect(), all[0].to_string())
}

/// Waits until a node says this of n3, with these words.
#[track_caller]
fn heard(node: &Node<'_>, words: &[&str]) {
    let text = until("connected, but no member", LONG, || {
        let (code, codes, first) = codes(node);
        (code == 1 && codes == ["connected-but-no-member"]).then_some(first)
    });
    for word in ["n3", "its link is connected", "key fingerprint"]
        .iter()
        .chain(words)
    {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn a_node_that_is_heard_and_does_not_join_is_told_as_that() {
    let flags = ["--hang-timeout", "2", "--poll-interval", "0.2"];
    let lab = up_edited("stranger", (3, 1), &flags, conf);
    let pids = formed(&lab, 3);
    let [n1, n2, n3] = [1, 2, 3].map(|k| lab.node(k));

    // Its main thread rests, as in the hands of a debugger; knet's own threads answer all the same.
    let seq = n1.latest();
    let outside = Pid::from_raw(n3.outside(pids[2]));
    ptrace::attach(outside).expect("this test may trace processes of its own lab");
    waitpid(outside, None).unwrap();
    n1.wait("without n3", |s| in_state(s, "left") == [3]);
    for n in [&n1, &n2] {
        heard(n, &["left the cluster"]);
    }
    // Of this node alone there is nothing to say.
    let s = n1.status();
    assert_eq!(degraded(&s), [""; 0]);
    assert_eq!(s["cluster"]["quorate"], true);
    assert_eq!(n1.ctl(&["status"]).code, 0);
    assert!(n1.ctl(&["status"]).out.contains("connected, but no member"));
    stays("that alone", Duration::from_secs(4), || {
        codes(&n1).1 == ["connected-but-no-member"]
    });
    none_of(&n1, seq, &["link.down", "degraded", "quorum.lost"]);
    ptrace::detach(outside, None).unwrap();
    for (n, pid) in [&n1, &n2, &n3].into_iter().zip(&pids) {
        // That its main thread rested is told for a minute, where it did.
        n.wait("together again", |s| {
            degraded(s).iter().all(|r| *r == "sched-pause") && members(s) == [1, 2, 3]
        });
        assert_eq!(n.pid(), *pid, "{}", n.name);
    }
    for n in [&n1, &n2] {
        until("healthy", LONG, || {
            (codes(n).1 == ["healthy"]).then_some(())
        });
    }

    // One that never came, as a firewall lets only pings through.
    n3.ctl(&["stop", "--wait"]).ok();
    n1.ctl(&["restart"]).ok();
    n1.wait("n3 was never seen", |s| {
        s["cluster"]["quorate"] == true && in_state(s, "missing") == [3]
    });
    let from = [
        (&n1, "10.77.0.3"),
        (&n2, "10.77.0.3"),
        (&n3, "{ 10.77.0.1, 10.77.0.2 }"),
    ];
    for (n, from) in from {
        n.sh(&NO_DATA.replace("FROM", from)).ok();
    }
    n3.ctl(&["start", "--no-wait"]).ok();
    heard(&n1, &["was not seen since the start of corosync"]);
    // At the other end both are heard; that comes before what follows from it.
    until("n3 hears both", LONG, || {
        let (_, codes, first) = codes(&n3);
        let both = first.contains("n1 and n2: connected, but no member");
        (both && codes == ["connected-but-no-member", "not-quorate"]).then_some(())
    });
    for (n, _) in from {
        n.run(&["nft", "delete", "table", "inet", "nodata"]).ok();
    }
    for n in [&n1, &n2, &n3] {
        n.wait("together again", |s| well(s, 3));
    }
}
