//! A peer's report, as far as it is believed: who has the key may still say anything. Pure.

use crate::types::{ConfigVersion, harmful};
use crate::wire::PeerReport;

/// Longest text of a peer, in characters.
const MAX_TEXT: usize = 128;
/// Most members of a partition.
const MAX_MEMBERS: usize = 64;

/// Versions from here on are lies: no cluster counts so far, and beyond the last one there is none to write.
const MAX_VERSION: ConfigVersion = ConfigVersion(1 << 63);

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
    for version in [
        &mut report.config_version,
        &mut report.running_version,
        &mut report.file_version,
    ] {
        *version = version.filter(|v| *v < MAX_VERSION);
    }
    report
}
