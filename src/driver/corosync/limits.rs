//! The bounds and the alphabet of corosync.conf, shared by the parser and the renderer.

use super::finding::printable;

/// Most bytes in a line, its newline not counted (corosync reads lines into 512 bytes).
pub const MAX_LINE: usize = 510;
/// Most bytes in a path of section names and key, as `totem.interface.linknumber`.
pub const MAX_PATH: usize = 254;
/// Fewest bytes in the path of a key (`ICMAP_KEYNAME_MINLEN`).
pub const MIN_PATH: usize = 3;
/// Most bytes in a file. Ours: corosync has no bound; a configuration of 16 nodes has some 3 kB.
pub const MAX_FILE: usize = 1 << 20;
/// Most sections inside one another. Ours: corosync knows three, and has no bound but the path's.
pub const MAX_DEPTH: usize = 32;
/// Most keys, sections and comments in a file. Ours, so that a small file cannot become a big model.
pub const MAX_ITEMS: usize = 65_536;

/// White space to corosync 3.1.7: space and tab, and nothing else.
#[must_use]
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The bytes without blanks at their end.
#[must_use]
pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text {
        if !is_blank(*last) {
            break;
        }
        text = rest;
    }
    text
}

/// How many blanks the bytes begin with.
#[must_use]
pub(super) fn indent_of(text: &[u8]) -> usize {
    text.iter().take_while(|b| is_blank(**b)).count()
}

/// What a name is for: a section's may hold a colon, a key's cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameOf {
    /// `name {`
    Section,
    /// `name: value`
    Key,
}

/// What is wrong with a name, and at which of its bytes (from 0).
pub(super) fn name_problem(name: &[u8], of: NameOf) -> Option<(usize, String)> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._/:-".contains(&b);
    if let Some(at) = name.iter().position(|&b| !allowed(b)) {
        let shown = printable(name.get(at..=at).unwrap_or_default());
        let hint = match name.get(at) {
            Some(0x80..) => "; is this a non-breaking space or other special character? use ASCII",
            _ => "",
        };
        return Some((
            at,
            format!(
                "\"{shown}\" is not allowed in a name; use letters, digits and . _ / : - only{hint}"
            ),
        ));
    }
    let missing = name.iter().all(|b| *b == b':');
    match of {
        NameOf::Section if missing => {
            let message = "the section's name before \"{\" is missing; write \"name {\"";
            Some((0, message.to_owned()))
        }
        NameOf::Key if missing => {
            let message = "the key's name before \":\" is missing; write \"name: value\"";
            Some((0, message.to_owned()))
        }
        NameOf::Section => None,
        NameOf::Key => {
            let at = name.iter().position(|b| *b == b':')?;
            Some((at, "a key's name cannot hold \":\"".to_owned()))
        }
    }
}

/// What is wrong with the length of the path that a name makes in a section's path.
pub(super) fn path_problem(section: &str, name: &str, of: NameOf) -> Option<String> {
    // corosync counts the dot also where there is no section, so a name alone has one byte less.
    let length = section.len() + 1 + name.len();
    if length > MAX_PATH {
        return Some(format!(
            "its path has {length} bytes with all section names and dots; at most {MAX_PATH} are allowed, choose a shorter name"
        ));
    }
    let whole = if section.is_empty() {
        name.len()
    } else {
        length
    };
    (of == NameOf::Key && whole < MIN_PATH).then(|| {
        format!("its path has {whole} bytes; at least {MIN_PATH} are needed, choose a longer name")
    })
}

/// The path of a name in a section.
#[must_use]
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name_problem(b"ring0_addr", NameOf::Key), None);
        assert_eq!(name_problem(b"a/b.c-d:e", NameOf::Section), None);
        assert_eq!(name_problem(b"a b", NameOf::Key).map(|p| p.0), Some(1));
        assert_eq!(
            name_problem(b"\xc2\xa0x", NameOf::Key).map(|p| p.0),
            Some(0)
        );
        assert!(name_problem(b"", NameOf::Key).is_some());
        assert!(name_problem(b":", NameOf::Section).is_some());
    }

    #[test]
    fn paths_have_between_3_and_254_bytes() {
        let n = |len: usize| "x".repeat(len);
        assert!(path_problem("", "ab", NameOf::Key).is_some());
        assert!(path_problem("", "abc", NameOf::Key).is_none());
        assert!(path_problem("a", "b", NameOf::Key).is_none());
        assert!(path_problem("", "a", NameOf::Section).is_none());
        assert!(path_problem("", &n(253), NameOf::Key).is_none());
        assert!(path_problem("", &n(254), NameOf::Key).is_some());
        assert!(path_problem("a", &n(252), NameOf::Key).is_none());
        assert!(path_problem("a", &n(253), NameOf::Section).is_some());
    }
}
