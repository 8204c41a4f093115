//! Links of made-up nodes.

use super::*;

const ID: Id = (NodeId(2), 0);

fn at(secs: u64) -> Mono {
    Mono((secs + 100) * 1_000_000_000)
}

fn kinds(notes: &[Note]) -> Vec<&'static str> {
    notes.iter().map(|n| n.kind.as_str()).collect()
}

fn up() -> Links {
    let mut links = Links::default();
    links.sample(ID, false, 0, at(0));
    assert_eq!(kinds(&links.sample(ID, true, 0, at(1))), ["link.up"]);
    links
}

#[test]
fn a_link_that_is_not_up_yet_is_told_after_a_while_and_not_before() {
    let mut links = Links::default();
    assert!(links.sample(ID, false, 0, at(0)).is_empty());
    assert!(links.tick(at(9)).is_empty());
    assert_eq!(links.due(), Some(at(10)));
    assert_eq!(kinds(&links.tick(at(10))), ["link.down"]);
    assert!(links.tick(at(11)).is_empty());
    assert_eq!(kinds(&links.sample(ID, true, 0, at(20))), ["link.up"]);
}

#[test]
fn down_and_up_are_told_with_the_count() {
    let mut links = up();
    let notes = links.sample(ID, false, 1, at(2));
    assert_eq!(kinds(&notes), ["link.down"]);
    assert_eq!(notes[0].fields["down_count"], 1);
    assert_eq!(links.bad().0, [ID]);
    assert_eq!(kinds(&links.sample(ID, true, 1, at(4))), ["link.up"]);
    assert!(links.sample(ID, true, 1, at(5)).is_empty());
    assert_eq!(links.bad(), (vec![], vec![]));
}

#[test]
fn a_flap_too_short_to_be_seen_shows_in_the_counter() {
    let mut links = up();
    let notes = links.sample(ID, true, 1, at(2));
    assert_eq!(kinds(&notes), ["link.down", "link.up"]);
}

#[test]
fn three_downs_in_a_minute_are_flapping_until_a_minute_without_one() {
    let mut links = up();
    for (n, secs) in [(1, 2), (2, 10)] {
        links.sample(ID, false, n, at(secs));
        links.sample(ID, true, n, at(secs + 1));
    }
    let notes = links.sample(ID, false, 3, at(20));
    assert_eq!(kinds(&notes), ["link.flapping"]);
    assert!(links.sample(ID, true, 3, at(21)).is_empty());
    assert!(links.sample(ID, false, 4, at(30)).is_empty());
    assert!(links.sample(ID, true, 4, at(31)).is_empty());
    assert_eq!(links.bad().1, [ID]);
    assert_eq!(links.due(), Some(at(90)));
    assert!(links.tick(at(89)).is_empty());
    assert_eq!(kinds(&links.tick(at(90))), ["link.steady"]);
    assert_eq!(kinds(&links.sample(ID, false, 5, at(91))), ["link.down"]);
}

#[test]
fn what_went_down_while_nobody_looked_shows_in_the_counter() {
    let of = |up, downs, flapping| {
        let downs = Some(downs);
        let mut links = Links::default();
        links.remember([(
            ID,
            Before {
                up,
                downs,
                flapping,
            },
        )]);
        links.away = true;
        links
    };
    let told = |up, connected, downs| {
        let notes = of(up, 2, false).sample(ID, connected, downs, at(1));
        assert!(notes.iter().all(|n| n.fields["down_count"] == downs));
        kinds(&notes)
    };
    assert!(told(true, true, 2).is_empty());
    assert!(told(false, false, 2).is_empty());
    assert_eq!(told(true, true, 5), ["link.down", "link.up"]);
    assert_eq!(told(true, false, 3), ["link.down"]);
    assert_eq!(told(false, true, 2), ["link.up"]);
    assert_eq!(told(false, false, 3), ["link.up", "link.down"]);
    let mut links = of(true, 2, true);
    assert!(links.sample(ID, true, 9, at(1)).is_empty());
    assert_eq!(links.bad().1, [ID], "it flaps still");
    assert_eq!(kinds(&links.tick(at(61))), ["link.steady"]);
    // Told, and kept for the next.
    let kept = of(true, 2, false);
    assert_eq!(kept.told()[&ID].downs, Some(2), "not looked at yet");
    let mut looked = of(true, 2, false);
    looked.sample(ID, true, 5, at(1));
    assert_eq!(looked.told()[&ID].downs, Some(5));
    looked.gone();
    assert_eq!(looked.told()[&ID].downs, None);
}

#[test]
fn three_downs_over_a_long_time_are_no_flapping() {
    let mut links = up();
    for n in 1..=5 {
        assert_eq!(
            kinds(&links.sample(ID, false, n, at(40 * n))),
            ["link.down"]
        );
        links.sample(ID, true, n, at(40 * n + 1));
    }
}

#[test]
fn a_node_that_is_restarted_once_or_twice_does_not_flap_and_three_times_in_a_minute_it_does() {
    let nodes = |ids: &[u32]| ids.iter().map(|id| NodeId(*id)).collect();
    // Its link goes down before or after the ring has lost it.
    for turn in 0..2 {
        let mut links = up();
        links.ring(&nodes(&[1, 2]));
        for n in 1..=3 {
            let ring_first = n % 2 == turn;
            if ring_first {
                links.ring(&nodes(&[1]));
            }
            let down = kinds(&links.sample(ID, false, n, at(4 * n)));
            let flaps = n == 3;
            assert_eq!(down, [if flaps { "link.flapping" } else { "link.down" }]);
            if !ring_first {
                links.ring(&nodes(&[1]));
            }
            links.ring(&nodes(&[1, 2]));
            let up = kinds(&links.sample(ID, true, n, at(4 * n + 1)));
            let told: &[&str] = if flaps { &[] } else { &["link.up"] };
            assert_eq!(up, told);
            assert_eq!(links.bad().1.is_empty(), !flaps, "{turn} {n}");
        }
    }
}

#[test]
fn a_node_that_leaves_counts_as_one_down_whatever_its_link_does_and_three_times_is_flapping() {
    let [both, one]: [BTreeSet<NodeId>; 2] =
        [&[1, 2][..], &[1]].map(|ids| ids.iter().map(|id| NodeId(*id)).collect());
    // The link goes down before the ring changes, or after.
    for first in [true, false] {
        let mut links = up();
        links.ring(&both);
        let mut told = Vec::new();
        for n in 0..3 {
            let (downs, begin) = (n * 3 + 1, 20 * n + 2);
            if first {
                told.extend(links.sample(ID, false, downs, at(begin)));
            }
            links.ring(&one);
            told.extend(links.sample(ID, false, downs, at(begin + 1)));
            // It comes and goes until the node is back.
            links.sample(ID, true, downs, at(begin + 2));
            links.sample(ID, false, downs + 2, at(begin + 3));
            links.ring(&one);
            links.sample(ID, true, downs + 2, at(begin + 4));
            links.ring(&both);
            assert_eq!(links.bad().1.is_empty(), n < 2, "{first} {n}");
        }
        assert_eq!(kinds(&told), ["link.down", "link.down", "link.flapping"]);
        // A ring without it is not the end of that; a minute without a down is.
        links.ring(&one);
        assert!(links.tick(at(60)).is_empty());
        assert_eq!(kinds(&links.tick(at(110))), ["link.steady"]);
    }
}

#[test]
fn a_clean_leave_takes_no_down_back() {
    let mut links = up();
    for n in 1..=2 {
        links.sample(ID, false, n, at(n * 5));
        links.sample(ID, true, n, at(n * 5 + 1));
    }
    for members in [&[1][..], &[1], &[1, 2]] {
        links.ring(&members.iter().map(|id| NodeId(*id)).collect());
    }
    assert_eq!(
        kinds(&links.sample(ID, false, 3, at(20))),
        ["link.flapping"]
    );
}

#[test]
fn a_restart_of_corosync_is_no_flap_and_what_changed_meanwhile_is_told() {
    let mut links = up();
    links.sample(ID, false, 1, at(2));
    links.gone();
    assert!(links.sample(ID, false, 0, at(3)).is_empty());
    assert_eq!(kinds(&links.sample(ID, true, 0, at(4))), ["link.up"]);
    links.gone();
    assert!(links.sample(ID, false, 0, at(5)).is_empty());
    assert!(
        links.sample(ID, true, 0, at(6)).is_empty(),
        "it was up before"
    );
    links.keep(&[]);
    assert!(links.status().is_empty());
}
#[test]
fn what_arrives_is_known_of_a_link_that_is_down_and_of_no_other() {
    let heard = |links: &Links| links.status()[0].heard;
    let ping = Duration::from_millis(250);
    let mut links = up();
    links.arrived(ID, 5, at(1), ping);
    links.arrived(ID, 6, at(2), ping);
    assert_eq!(heard(&links), None);
    assert!(!links.listens() && links.unconnected().is_empty());
    links.sample(ID, false, 1, at(3));
    assert_eq!(links.unconnected(), [ID]);
    links.arrived(ID, 6, at(3), ping);
    assert!(links.listens());
    links.arrived(ID, 7, at(4), ping);
    assert_eq!(heard(&links), Some(true));
    links.arrived(ID, 7, at(6), ping);
    assert_eq!(heard(&links), Some(false));
    assert!(!links.listens());
    links.sample(ID, true, 1, at(7));
    assert_eq!(heard(&links), None);
    // The next time begins anew.
    links.sample(ID, false, 2, at(8));
    links.arrived(ID, 900, at(8), ping);
    assert_eq!(heard(&links), None);
}
