//! The verdicts of several nodes, in one order.

/// What a node is wrong in by itself, the worst first; then what it sees of others. What others say of
/// a node is a symptom where that node says itself what it has.
const ORDER: &[&str] = &[
    "not-configured",
    "held",
    "no-binary",
    "pid-file-held",
    "two-corosyncs",
    "bad-config",
    "peer-key",
    "key-drift",
    "config-version-behind",
    "shm-full",
    "state-dir-full",
    "hung",
    "crash-loop",
    "died",
    "no-libraries",
    "no-access",
    "not-answering",
    "no-answer",
    "not-ready",
    "sched-pause",
    "isolated",
    "starting",
    UNREACHABLE,
    "peer-config",
    "peer-identity",
    "not-delivering",
    "connected-but-no-member",
    "not-quorate",
    "no-link",
    "node-missing",
    "flapping",
    "link-down",
];

/// The word for a node that gives no verdict, because it cannot be asked.
pub const UNREACHABLE: &str = "unreachable";

/// Where a verdict stands among those of several nodes: roots before symptoms, what is not listed after
/// them, healthy ones last.
#[must_use]
pub fn rank(code: &str) -> usize {
    if code == "healthy" {
        return usize::MAX;
    }
    let listed = ORDER.iter().position(|c| *c == code);
    listed.unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_has_itself_comes_before_what_others_see_of_it() {
        let mut codes = [
            "healthy",
            "drift",
            "node-missing",
            UNREACHABLE,
            "not-quorate",
            "held",
        ];
        codes.sort_by_key(|c| rank(c));
        assert_eq!(
            codes,
            [
                "held",
                UNREACHABLE,
                "not-quorate",
                "node-missing",
                "drift",
                "healthy"
            ]
        );
    }

    #[test]
    fn every_listed_word_is_one_that_is_known() {
        // The comparison of nodes brings these two.
        let coming = ["peer-config", "peer-key", UNREACHABLE];
        for code in ORDER {
            let known = super::super::DOWN.contains(code) || super::super::UP.contains(code);
            assert!(known || coming.contains(code), "{code}");
        }
    }
}
