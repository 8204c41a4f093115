//! A peer's report, as far as it is believed: who has the key may still say anything. Pure.

use crate::types::harmful;
use crate::wire::PeerReport;

/// Longest text of a peer, in characters.
const MAX_TEXT: usize = 128;
/// Most members of a partition.
const MAX_MEMBERS: usize = 64;

/// Text of a peer's that may be printed, and is not too long.
pub(super) fn tidy(text: &str) -> String {
    let clean = |c| if harmful(c) { '\u{fffd}' } else { c };
    text.chars().take(MAX_TEXT).map(clean).collect()
}

/// The same report, bounded and clean.
pub(super) fn tidied(mut report: PeerReport) -> PeerReport {
    report.node = tidy(&report.node);
    report.sha256 = report.sha256.as_deref().map(tidy);
    report.fingerprint = report.fingerprint.as_deref().map(tidy);
    report.members.truncate(MAX_MEMBERS);
    report
}
