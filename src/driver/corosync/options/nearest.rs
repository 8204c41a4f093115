//! What a name that nobody knows was probably meant to be.

use super::tables::{SECTIONS, section};
use super::{Kind, option};

/// A guess at what an unknown name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// A misspelling of this name in the same section.
    Near(&'static str),
    /// A known name, in a wrong section: the path of the right one.
    Elsewhere(&'static str),
    /// No guess.
    Strange,
}

/// Longest name that is compared; what is longer than every known name by far is near to none.
const MOST: usize = 64;

/// Guesses at a key that its section does not know.
#[must_use]
pub fn unknown_key(section_path: &str, name: &str) -> Unknown {
    if let Some(spec) = section(section_path) {
        let known = spec.options.iter();
        let known = known.filter(|o| !matches!(o.kind, Kind::Gone(..)));
        if let Some(near) = nearest(name, known.map(|o| o.name)) {
            return Unknown::Near(near);
        }
    }
    let elsewhere = SECTIONS
        .iter()
        .find(|s| s.path != section_path && option(s.path, name).is_some());
    elsewhere.map_or(Unknown::Strange, |s| Unknown::Elsewhere(s.path))
}

/// Guesses at a section that its parent does not know.
#[must_use]
pub fn unknown_section(parent: &str, name: &str) -> Unknown {
    let own = |path: &'static str| match (parent, path.rsplit_once('.')) {
        ("", None) => Some(path),
        (_, Some((p, last))) if p == parent => Some(last),
        _ => None,
    };
    let known = SECTIONS.iter().filter(|s| !s.gone);
    if let Some(near) = nearest(name, known.clone().filter_map(|s| own(s.path))) {
        return Unknown::Near(near);
    }
    let mut known = known;
    let elsewhere = known.find(|s| s.path.rsplit('.').next() == Some(name));
    elsewhere.map_or(Unknown::Strange, |s| Unknown::Elsewhere(s.path))
}

/// The known name with the fewest edits, if a third of the name at most has to be changed.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if name.len() > MOST {
        return None;
    }
    let most = (name.len() / 3).max(1);
    let lower = name.to_ascii_lowercase();
    known
        .filter(|k| k.len().abs_diff(name.len()) <= most)
        .map(|k| (distance(lower.as_bytes(), k.as_bytes()), k))
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, _)| *edits <= most)
        .map(|(_, k)| k)
}

/// The number of bytes to insert, remove, replace, or swap with their neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut least = (row[j] + usize::from(x != y))
                .min(row[j + 1] + 1)
                .min(next[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_and_misplaced_names() {
        let key = unknown_key;
        assert_eq!(key("totem", "tokn"), Unknown::Near("token"));
        assert_eq!(key("totem", "Token"), Unknown::Near("token"));
        assert_eq!(
            key("totem", "crypto_chiper"),
            Unknown::Near("crypto_cipher")
        );
        assert_eq!(key("quorum", "wait_for_al"), Unknown::Near("wait_for_all"));
        assert_eq!(key("totem", "two_node"), Unknown::Elsewhere("quorum"));
        assert_eq!(key("totem", "xyzzy"), Unknown::Strange);
        assert_eq!(key("totem", &"x".repeat(200)), Unknown::Strange);
        let section = unknown_section;
        assert_eq!(section("", "totm"), Unknown::Near("totem"));
        assert_eq!(section("nodelist", "nod"), Unknown::Near("node"));
        assert_eq!(
            section("", "interface"),
            Unknown::Elsewhere("totem.interface")
        );
        assert_eq!(section("", "hooks"), Unknown::Strange);
    }

    #[test]
    fn edits_are_counted() {
        let d = |a: &str, b: &str| distance(a.as_bytes(), b.as_bytes());
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("abc", "abc"), 0);
        assert_eq!(d("acb", "abc"), 1);
        assert_eq!(d("kitten", "sitting"), 3);
    }
}
