//! The quorum section.

use super::*;

const DEVICE: &str = "device {\nmodel: net\nvotes: 1\nnet {\nhost: q\nalgorithm: ffsplit\n}\n}";

#[test]
fn two_node_with_more_than_two_nodes_is_refused() {
    refused(
        &quorum("two_node: 1"),
        "two_node",
        "quorum.two_node",
        "there are 3 nodes",
    );
}

#[test]
fn two_node_with_a_device_is_refused() {
    let text = two(&format!("two_node: 1\n{DEVICE}"));
    refused(&text, "two_node", "quorum.two_node", "exclude one another");
    sound(&two(DEVICE));
}

#[test]
fn two_node_with_a_tie_breaker_is_refused() {
    let text = two("two_node: 1\nauto_tie_breaker: 1");
    refused(
        &text,
        "two_node",
        "quorum.two_node",
        "switches two_node off",
    );
}

#[test]
fn two_node_with_one_node_or_other_votes_or_no_waiting_is_a_warning() {
    warned(
        &two("two_node: 1\nwait_for_all: 0"),
        "wait",
        "quorum.wait_for_all",
        "start apart",
    );
    let findings = check(&two("two_node: 1\nexpected_votes: 3"));
    assert!(
        findings
            .iter()
            .any(|f| f.message.contains("made for 2 expected")),
        "{findings:?}"
    );
}

#[test]
fn a_device_with_last_man_standing_tie_breaker_or_downscale_is_refused() {
    for name in ["last_man_standing", "auto_tie_breaker", "allow_downscale"] {
        let text = quorum(&format!("{name}: 1\nwait_for_all: 1\n{DEVICE}"));
        let path = format!("quorum.{name}");
        let errors: Vec<Finding> = check(&text)
            .into_iter()
            .filter(|f| f.severity == Severity::Error)
            .collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].path, path);
        assert!(
            errors[0].message.contains("exclude one another"),
            "{errors:?}"
        );
    }
}

#[test]
fn a_device_whose_votes_are_missing_or_too_many_is_refused() {
    let path = "quorum.device.votes";
    let no_votes = DEVICE.replace("votes: 1\n", "");
    sound(&quorum(&no_votes));
    let text = quorum(&format!("expected_votes: 5\n{no_votes}"));
    let findings = check(&text);
    assert!(
        findings
            .iter()
            .any(|f| f.path == path && f.severity == Severity::Error),
        "{findings:?}"
    );
    let text = quorum(&no_votes).replace("nodeid: 3\n", "nodeid: 3\nquorum_votes: 2\n");
    refused(&text, "model", path, "other than one vote");
    let text = quorum(&format!(
        "expected_votes: 6\n{}",
        DEVICE.replace("votes: 1", "votes: 5")
    ));
    let findings = check(&text);
    assert!(
        findings
            .iter()
            .any(|f| f.message.contains("must be 7 at least")),
        "{findings:?}"
    );
}

#[test]
fn a_device_that_corosync_would_not_see_or_that_outvotes_is_a_warning() {
    warned(
        &quorum("device {\nvotes: 1\n}"),
        "device",
        "quorum.device",
        "without a model",
    );
    let text = quorum(&DEVICE.replace("votes: 1", "votes: 3"));
    warned(
        &text,
        "votes: 3",
        "quorum.device.votes",
        "as many votes as all nodes",
    );
}

#[test]
fn a_tie_breaker_that_corosync_would_switch_off_or_end_over_is_refused() {
    let path = "quorum.auto_tie_breaker";
    refused(
        &quorum("auto_tie_breaker: 1"),
        "auto_tie_breaker",
        path,
        "switches it off",
    );
    let text = quorum("auto_tie_breaker: 1\nlast_man_standing: 1");
    let findings = check(&text);
    assert!(
        findings
            .iter()
            .any(|f| f.message.contains("ends with last_man_standing")),
        "{findings:?}"
    );
    sound(&quorum("auto_tie_breaker: 1\nwait_for_all: 1"));
    sound(&two("auto_tie_breaker: 1"));
}

#[test]
fn a_tie_breaker_node_that_is_none_is_refused() {
    let path = "quorum.auto_tie_breaker_node";
    let node = |v: &str| two(&format!("auto_tie_breaker: 1\nauto_tie_breaker_node: {v}"));
    for good in ["lowest", "highest", "2 1"] {
        sound(&node(good));
    }
    refused(&node("1 3"), "1 3", path, "\"3\" is no nodeid");
    refused(&node("low"), "low", path, "\"low\" is no nodeid");
    refused(&node(""), "breaker_node", path, "it is empty");
    warned(
        &two("auto_tie_breaker_node: 1"),
        "breaker_node",
        path,
        "means nothing without",
    );
}

#[test]
fn expected_votes_that_allow_two_quorate_parts_or_none_are_refused() {
    let path = "quorum.expected_votes";
    refused(
        &quorum("expected_votes: 2"),
        "expected",
        path,
        "two partitions can be quorate",
    );
    refused(
        &quorum("expected_votes: 6"),
        "expected",
        path,
        "never be quorate",
    );
    sound(&quorum("expected_votes: 3"));
    warned(
        &quorum("expected_votes: 4"),
        "expected",
        path,
        "fewer nodes than need be",
    );
}

#[test]
fn nodes_without_any_votes_are_refused() {
    let mut text = BASE.to_owned();
    for n in 1..=3 {
        text = text.replace(
            &format!("name: n{n}\n"),
            &format!("name: n{n}\nquorum_votes: 0\n"),
        );
    }
    refused(
        &text,
        "nodelist",
        "nodelist.node.quorum_votes",
        "0 votes in all",
    );
}

#[test]
fn a_provider_that_is_missing_is_a_warning_and_an_unknown_one_refused() {
    let text = edited(&[("provider: corosync_votequorum\n", "")]);
    warned(&text, "quorum {", "quorum.provider", "every partition");
    let text = edited(&[("corosync_votequorum", "votequorum")]);
    refused(&text, "provider", "quorum.provider", "corosync_votequorum");
    let text = edited(&[("provider: corosync_votequorum", "wait_for_all: 1")]);
    assert_eq!(check(&text).len(), 2);
}

#[test]
fn features_with_conditions_are_warnings() {
    let lms = "quorum.last_man_standing";
    warned(
        &quorum("last_man_standing: 1"),
        "last_man",
        lms,
        "wait_for_all",
    );
    let text = quorum("last_man_standing: 1\nwait_for_all: 1")
        .replace("name: n3\n", "name: n3\nquorum_votes: 3\n");
    warned(&text, "last_man", lms, "one vote");
    let down = "quorum.allow_downscale";
    warned(
        &quorum("allow_downscale: 1"),
        "downscale",
        down,
        "unsupported",
    );
    warned(
        &quorum("votes: 2"),
        "votes: 2",
        "quorum.votes",
        "nodelist go before it",
    );
}
