//! What a node sends over the ring and does not come back, while the ring stays as it is.

use crate::bed::{formed, none_of, of_kinds, token, up_edited, wait_after};
use crate::common::{LONG, Node, degraded, stays, until};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Messages of n2 do not come through, and its tokens do. Without encryption a packet filter can tell
/// them: knet's type is 0 for data, totem's magic number follows, then its version and type, which is
/// 1 for a message.
const DEAF: &str = "nft -f - <<'END'
table inet deaf {
    chain input {
        type filter hook input priority -5; policy accept;
        ip saddr 10.77.0.2 udp dport 5405 @th,72,8 0 @th,176,16 0x70c0 @th,200,8 1 counter drop
    }
}
END";

/// A node that misses a message delivers none after it, its own neither. corosync leaves the ring after
/// so many rounds of the token without it; here it does not.
fn conf(text: &str) -> String {
    let edited = token(2000)(text)
        .replace("crypto_cipher: aes256", "crypto_cipher: none")
        .replace(
            "crypto_hash: sha256",
            "crypto_hash: none\n    fail_recv_const: 2000000000",
        );
    assert!(edited.contains("cipher: none") && edited.contains("fail_recv_const"));
    edited
}

fn dropped(node: &Node<'_>) -> u64 {
    let out = node.run(&["nft", "list", "table", "inet", "deaf"]).ok();
    let after = out.split("counter packets ").nth(1).unwrap();
    after.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_ring_that_does_not_deliver_is_told_and_nobodys_corosync_is_restarted() {
    let flags = ["--hang-timeout", "2", "--poll-interval", "0.2"];
    let lab = up_edited("not-delivering", (2, 1), &flags, conf);
    let pids = formed(&lab, 2);
    let (n1, n2) = (lab.node(1), lab.node(2));
    let (seq, ring) = (n1.latest(), n1.status()["cluster"]["ring_id"].clone());
    let as_ever = |s: &Value| {
        s["service"]["pid"] == pids[0]
            && s["service"]["state"] == "running"
            && s["cluster"]["quorate"] == true
            && s["cluster"]["ring_id"] == ring
    };

    let began = Instant::now();
    n1.sh(DEAF).ok();
    until("n2's messages are dropped", LONG, || {
        (dropped(&n1) > 0).then_some(())
    });
    // A machine that is busy may add a reason of its own.
    let silent = |s: &Value| degraded(s).contains(&"not-delivering");
    let s = n1.wait("not delivering", silent);
    // Twice token and consensus, as in a healthy ring a peer's death takes one of both.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(8800), "{took:?}");
    assert!(as_ever(&s), "{s:#}");
    let of_it = |e: &Value| e["fields"]["reason"] == "not-delivering";
    wait_after(&n1, seq, "degraded", of_it);
    let ran = n1.ctl(&["why", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.code, 1);
    let verdicts = report["verdicts"].as_array().unwrap();
    let told = verdicts.iter().any(|v| v["code"] == "not-delivering");
    assert!(told, "{report}");
    assert_eq!(n1.ctl(&["status"]).code, 151);
    stays("told, and let be", Duration::from_secs(5), || {
        let s = n1.status();
        as_ever(&s) && silent(&s)
    });

    n1.run(&["nft", "delete", "table", "inet", "deaf"]).ok();
    let s = n1.wait("it delivers again", |s| !silent(s));
    assert!(as_ever(&s), "{s:#}");
    wait_after(&n1, seq, "degraded.ended", of_it);
    let told = of_kinds(&n1, seq, &["degraded", "degraded.ended"]);
    assert_eq!(told.into_iter().filter(of_it).count(), 2, "once");
    let acted = ["service.hung", "service.killed", "service.exited"];
    let of_the_ring = ["ring.changed", "quorum.lost", "node.left"];
    for (n, pid) in [(&n1, pids[0]), (&n2, pids[1])] {
        assert_eq!(n.pid(), pid, "{}", n.name);
        none_of(n, 0, &acted);
    }
    none_of(&n1, seq, &of_the_ring);
}
