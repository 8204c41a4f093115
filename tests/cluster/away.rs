//! What happened while clusmgr was away is told when it is back: once, and marked so.

use crate::bed::{
    Follower, formed, kinds, members, none_of, of_kinds, token, up_edited, wait_after, well,
};
use crate::common::{LONG, Node, degraded, stays, until};
use serde_json::{Value, json};
use std::time::Duration;

const FLAGS: [&str; 2] = ["--poll-interval", "0.2"];

/// All that is told of the cluster.
const OF_THE_CLUSTER: [&str; 9] = [
    "quorum.gained",
    "quorum.lost",
    "ring.changed",
    "node.joined",
    "node.left",
    "node.config_version",
    "link.up",
    "link.down",
    "sched.pause",
];

const RELOADS: [&str; 3] = ["reload.ok", "reload.failed", "reload.stuck"];

/// Runs something while the node's clusmgr is away; gives the number of the last event before.
#[track_caller]
fn while_away(node: &Node<'_>, what: impl FnOnce()) -> u64 {
    let seq = node.latest();
    node.end_daemon("KILL");
    what();
    node.start_daemon(&FLAGS);
    wait_after(node, seq, "service.adopted", |_| true);
    seq
}

/// Waits until corosync's own tool says so.
#[track_caller]
fn wait_tool(node: &Node<'_>, text: &str) {
    until(&format!("{}: {text}", node.name), LONG, || {
        let out = node.run(&["corosync-quorumtool", "-s"]).out;
        out.contains(text).then_some(())
    });
}

/// Long enough for anything that would be told twice, or late.
#[track_caller]
fn is_quiet(node: &Node<'_>) {
    let seq = node.latest();
    stays("nothing more", Duration::from_secs(3), || {
        of_kinds(node, seq, &OF_THE_CLUSTER).is_empty()
    });
}

fn all_away(events: &[Value]) -> bool {
    events.iter().all(|e| e["fields"]["away"] == true)
}

#[test]
fn what_happened_while_clusmgr_was_away_is_told_once_and_marked() {
    let lab = up_edited("away", (3, 2), &FLAGS, token(2000));
    let pids = formed(&lab, 3);
    let [n1, n2, n3] = [1, 2, 3].map(|k| lab.node(k));

    // Nothing happened: nothing is told.
    let seq = while_away(&n1, || ());
    n1.wait("well", |s| well(s, 3) && s["service"]["adopted"] == true);
    is_quiet(&n1);
    none_of(&n1, seq, &OF_THE_CLUSTER);
    assert_eq!(n1.pid(), pids[0]);

    // A peer died.
    let seq = while_away(&n1, || {
        n3.sh(&format!("kill -9 {} {}", n3.daemon_pid(), pids[2]))
            .ok();
        wait_tool(&n1, "Nodes:            2");
    });
    wait_after(&n1, seq, "node.left", |_| true);
    is_quiet(&n1);
    let told = of_kinds(&n1, seq, &["ring.changed", "node.left", "node.joined"]);
    assert_eq!(kinds(&told), ["ring.changed", "node.left"], "{told:#?}");
    assert!(all_away(&told), "{told:#?}");
    assert_eq!(told[0]["fields"]["members"], json!([1, 2]));
    assert_eq!(told[0]["fields"]["left"], json!([3]));
    assert_eq!(told[1]["fields"]["nodeid"], 3);
    assert_eq!(told[1]["fields"]["name"], "n3");
    let text = told[1]["text"].as_str().unwrap();
    assert_eq!(text, "while clusmgr was away: n3 (3) left");
    none_of(&n1, seq, &["quorum.lost", "quorum.gained"]);

    // Quorum was lost too.
    let seq = while_away(&n1, || {
        lab.verb(&["cut", "n1", "n2"]).ok();
        wait_tool(&n1, "Quorate:          No");
    });
    wait_after(&n1, seq, "quorum.lost", |_| true);
    wait_after(&n1, seq, "node.left", |_| true);
    is_quiet(&n1);
    let told = of_kinds(
        &n1,
        seq,
        &["quorum.lost", "quorum.gained", "ring.changed", "node.left"],
    );
    let mut sorted = kinds(&told);
    sorted.sort_unstable();
    assert_eq!(sorted, ["node.left", "quorum.lost", "ring.changed"]);
    assert!(all_away(&told), "{told:#?}");

    // What happens from then on is told as ever.
    let seq = n1.latest();
    lab.verb(&["heal"]).ok();
    wait_after(&n1, seq, "quorum.gained", |e| {
        e["fields"].get("away").is_none()
    });
    wait_after(&n1, seq, "node.joined", |e| {
        e["fields"]["nodeid"] == 2 && e["fields"].get("away").is_none()
    });

    // A link went down and came back, twice; the other one is as it was.
    n1.wait("well", |s| {
        s["degraded"] == json!([]) && members(s) == [1, 2]
    });
    is_quiet(&n1);
    let downs = |link: usize| links_down(&n1.status(), link);
    let before = downs(1);
    let seq = while_away(&n1, || {
        for times in 1..=2 {
            lab.verb(&["cut", "n1", "n2", "1"]).ok();
            wait_down_count(&n1, 2, 1, before + times, false);
            lab.verb(&["heal"]).ok();
            wait_down_count(&n1, 2, 1, before + times, true);
        }
    });
    let down = wait_after(&n1, seq, "link.down", |_| true);
    assert_eq!(down["fields"]["down_count"], before + 2);
    is_quiet(&n1);
    let told = of_kinds(&n1, seq, &OF_THE_CLUSTER);
    assert_eq!(kinds(&told), ["link.down", "link.up"], "{told:#?}");
    assert!(all_away(&told), "{told:#?}");
    let of_it = |e: &Value| (e["fields"]["nodeid"] == 2) && (e["fields"]["link"] == 1);
    assert!(told.iter().all(of_it), "{told:#?}");

    // The configuration was read again, and then not.
    let seq = while_away(&n1, || {
        let script = "sed -i -e 's/config_version: .*/config_version: 2/' \
                      -e 's/^totem {/totem {\\n\\tmerge: 210/' /etc/corosync/corosync.conf";
        for n in [&n1, &n2] {
            n.sh(script).ok();
        }
        n1.run(&["corosync-cfgtool", "-R"]).ok();
    });
    let ok = wait_after(&n1, seq, "reload.ok", |_| true);
    assert_eq!(ok["fields"]["away"], true);
    is_quiet(&n1);
    assert_eq!(of_kinds(&n1, seq, &RELOADS).len(), 1);
    let seq = while_away(&n1, || ());
    is_quiet(&n1);
    none_of(&n1, seq, &RELOADS);

    // corosync did not get to run for a while: for longer than 0.8 of the token of three nodes.
    let seq = while_away(&n1, || {
        n1.kill("STOP", pids[0]);
        n1.wait_letter(pids[0], "T");
        stays("stopped", Duration::from_millis(2500), || {
            n1.letter(pids[0]) == "T"
        });
        n1.kill("CONT", pids[0]);
        stays("it goes on, and notices", Duration::from_secs(1), || {
            n1.lives(pids[0])
        });
    });
    let pause = wait_after(&n1, seq, "sched.pause", |_| true);
    assert_eq!(pause["fields"]["away"], true);
    let ms = pause["fields"]["ms"].as_f64().unwrap();
    assert!((2200.0..60_000.0).contains(&ms), "{pause}");
    n1.wait("degraded", |s| degraded(s).contains(&"sched-pause"));
    n1.wait("back", |s| {
        let all = s["links"].as_array().unwrap();
        let up = |l: &Value| l["nodeid"] == 3 || l["connected"] == true;
        members(s) == [1, 2] && all.iter().all(up)
    });
    let seq = while_away(&n1, || ());
    is_quiet(&n1);
    none_of(&n1, seq, &["sched.pause", "quorum.lost"]);
    assert_eq!(n1.pid(), pids[0]);

    // corosync itself died meanwhile.
    let seq = while_away_dead(&n1, pids[0]);
    let lost = wait_after(&n1, seq, "quorum.lost", |_| true);
    assert_eq!(lost["fields"]["ended"], true);
    wait_after(&n1, seq, "quorum.gained", |_| true);
    n1.wait("back", |s| members(s) == [1, 2]);
    let told = of_kinds(&n1, seq, &["quorum.lost", "quorum.gained"]);
    assert_eq!(kinds(&told), ["quorum.lost", "quorum.gained"]);
    assert_eq!(n2.pid(), pids[1]);
}

/// How often a link to node 2 went down, as `status` has it.
fn links_down(status: &Value, link: usize) -> u64 {
    let all = status["links"].as_array().unwrap();
    let it = all.iter().find(|l| l["nodeid"] == 2 && l["link"] == link);
    it.unwrap()["down_count"].as_u64().unwrap()
}

/// Waits until corosync itself has counted so many downs of a link, and it is up or down.
#[track_caller]
fn wait_down_count(node: &Node<'_>, of: u64, link: u64, downs: u64, up: bool) {
    let value = |what: &str| {
        let key = format!("stats.knet.node{of}.link{link}.{what}");
        let out = node
            .run(&["corosync-cmapctl", "-m", "stats", "-g", &key])
            .out;
        let value = out.trim().rsplit("= ").next().map(str::to_owned);
        value.unwrap_or_default()
    };
    until(
        &format!("link {link}: {downs} downs, up: {up}"),
        LONG,
        || {
            let connected = if up { "1" } else { "0" };
            (value("connected") == connected && value("down_count") >= downs.to_string())
                .then_some(())
        },
    );
}

#[track_caller]
fn while_away_dead(node: &Node<'_>, pid: i64) -> u64 {
    let seq = node.latest();
    node.end_daemon("KILL");
    node.kill("KILL", pid);
    node.wait_gone(pid);
    node.start_daemon(&FLAGS);
    seq
}

#[test]
fn killed_in_a_flood_of_events_the_journal_has_neither_a_gap_nor_a_repeat() {
    let lab = up_edited("flood", (1, 1), &FLAGS, token(3000));
    formed(&lab, 1);
    let n1 = lab.node(1);
    // corosync's own database has another version of this node, again and again.
    let script = "for ((i = 10; i < 1000000; i++)); do
        corosync-cmapctl -s runtime.members.1.config_version u64 $i || exit 1; done";
    let flood = n1.spawn(&format!("bash -c '{script}'"));
    let seen = |seq| of_kinds(&n1, seq, &["node.config_version"]).len();
    let mut all = Vec::new();
    for _ in 0..8 {
        let seq = n1.latest();
        let follower = Follower::since(&n1, seq);
        let mut told = 0;
        let got = follower.until("a flood", |e| {
            told += 1;
            e["kind"] == "node.config_version" && told > 60
        });
        all.extend(got);
        n1.end_daemon("KILL");
        n1.start_daemon(&FLAGS);
        let seq = n1.latest();
        until("more of it", LONG, || (seen(seq) > 0).then_some(()));
    }
    n1.kill("KILL", flood);
    n1.wait_gone(flood);
    // From the first one on, or from the first that the journal still has.
    let kept = n1.events();
    let numbers: Vec<u64> = kept.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers[0], 1);
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    // Who listened got the same under the same numbers.
    assert!(all.len() > 300);
    for event in &all {
        let seq = event["seq"].as_u64().unwrap();
        assert_eq!(kept[usize::try_from(seq).unwrap() - 1], *event);
    }
    // And none was lost or told twice, whoever told it: each says what was before it.
    let told = kept.iter().filter(|e| e["kind"] == "node.config_version");
    let told: Vec<(u64, u64)> = told
        .map(|e| {
            let (_, before) = e["text"]
                .as_str()
                .unwrap()
                .split_once("before with ")
                .unwrap();
            let version = e["fields"]["version"].as_u64().unwrap();
            (before.parse().unwrap(), version)
        })
        .collect();
    for pair in told.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{pair:?} of {told:?}");
    }
}
