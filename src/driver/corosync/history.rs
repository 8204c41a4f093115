//! What was done to the configuration: the last 50 changes, in `history.jsonl`.

use crate::error::{Error, Result};
use crate::sys::file;
use crate::wire::HistoryEntry as Entry;
use std::path::{Path, PathBuf};

/// So many changes are kept.
pub const KEPT: usize = 50;
/// A larger file is not one of ours.
const SIZE_MAX: u64 = 4 << 20;
/// A greater number is none of ours, and none could follow it for long.
const ID_MAX: u64 = u64::MAX / 2;

/// The history file.
#[derive(Debug, Clone)]
pub struct History {
    path: PathBuf,
}

/// Names of texts and keys have at least so many characters; anything shorter is no name.
const NAME_MIN: usize = 32;

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The changes, oldest first.
    pub entries: Vec<Entry>,
    /// Lines that are no entries; they are skipped.
    pub damaged: usize,
}

impl History {
    /// The history in a state directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> History {
        History {
            path: state_dir.join("history.jsonl"),
        }
    }

    /// Reads it; what is damaged is counted and skipped.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn read(&self) -> Result<Found> {
        let mut found = Found::default();
        if self.is_too_large() {
            found.damaged = 1;
            return Ok(found);
        }
        let Some(bytes) = file::read_bounded(&self.path, SIZE_MAX)? else {
            return Ok(found);
        };
        for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            match serde_json::from_slice::<Entry>(line) {
                Ok(entry) if entry.id <= ID_MAX => found.entries.push(entry),
                _ => found.damaged += 1,
            }
        }
        Ok(found)
    }

    /// Whether the damaged file that is kept aside has this name of a text or key in it: who mends it by hand
    /// wants what its lines stand for.
    pub fn names_aside(&self) -> impl Fn(&str) -> bool {
        let aside = file::read_bounded(&self.aside(), SIZE_MAX).ok().flatten();
        let aside = aside.unwrap_or_default();
        move |name| {
            let is = |run: &[u8]| run == name.as_bytes();
            name.len() >= NAME_MIN && aside.windows(name.len()).any(is)
        }
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension("jsonl.damaged")
    }

    fn is_too_large(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|m| m.is_file() && m.len() > SIZE_MAX)
    }

    /// Adds a change under the next number, and forgets all but the last [`KEPT`]. A damaged file is
    /// kept beside the new one, as `history.jsonl.damaged`.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn add(&self, mut entry: Entry) -> Result<Vec<Entry>> {
        let Found {
            mut entries,
            damaged,
        } = self.read()?;
        if damaged > 0 {
            let aside = self.aside();
            // One that is too large is moved: a copy could fill the disk.
            let kept = if self.is_too_large() {
                std::fs::rename(&self.path, &aside)
            } else {
                std::fs::copy(&self.path, &aside).map(drop)
            };
            kept.map_err(|e| Error::io("keep", aside.display(), &e))?;
        }
        entry.id = entries.iter().map(|e| e.id).max().unwrap_or(0) + 1;
        entries.push(entry);
        let drop = entries.len().saturating_sub(KEPT);
        entries.drain(..drop);
        let mut text = Vec::new();
        for entry in &entries {
            let line = serde_json::to_vec(entry).map_err(|_| {
                Error::new(
                    "write",
                    self.path.display(),
                    "an entry cannot be put as JSON",
                )
            })?;
            text.extend(line);
            text.push(b'\n');
        }
        file::write_atomic(&self.path, &text, 0o600)?;
        Ok(entries)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::types::{ConfigVersion, WallMs};

    fn entry(version: u64) -> Entry {
        Entry {
            id: 0,
            at: WallMs(1),
            version: ConfigVersion(version),
            sha256: "ab".into(),
            by: "uid 0 pid 1".into(),
            what: "apply".into(),
            how: "reload".into(),
            key: None,
            undone: None,
        }
    }

    #[test]
    fn the_last_fifty_are_kept_under_growing_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        assert_eq!(history.read().unwrap(), Found::default());
        for n in 1..=60 {
            history.add(entry(n)).unwrap();
        }
        let found = history.read().unwrap();
        assert_eq!(found.entries.len(), KEPT);
        assert_eq!(
            (
                found.entries[0].id,
                found.entries[49].id,
                found.entries[49].version.0
            ),
            (11, 60, 60)
        );
    }

    #[test]
    fn damaged_lines_are_skipped_and_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        history.add(entry(1)).unwrap();
        let path = dir.path().join("history.jsonl");
        let mut text = std::fs::read(&path).unwrap();
        text.extend(b"{\"id\":2,\"at\nrubbish\xff\n");
        std::fs::write(&path, &text).unwrap();
        let found = history.read().unwrap();
        assert_eq!((found.entries.len(), found.damaged), (1, 2));
        let entries = history.add(entry(2)).unwrap();
        assert_eq!(entries.iter().map(|e| e.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(
            std::fs::read(dir.path().join("history.jsonl.damaged")).unwrap(),
            text
        );
        assert_eq!(history.read().unwrap().damaged, 0);
    }

    #[test]
    fn a_file_that_is_too_large_is_set_aside_and_a_number_that_none_can_follow_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        let path = dir.path().join("history.jsonl");
        let last = Entry {
            id: u64::MAX,
            ..entry(1)
        };
        let large = vec![b'x'; usize::try_from(SIZE_MAX).unwrap() + 1];
        for text in [serde_json::to_vec(&last).unwrap(), large] {
            std::fs::write(&path, &text).unwrap();
            let found = history.read().unwrap();
            assert_eq!((found.entries.len(), found.damaged), (0, 1));
            let ids = |entries: Vec<Entry>| entries.iter().map(|e| e.id).collect::<Vec<_>>();
            assert_eq!(ids(history.add(entry(2)).unwrap()), [1]);
            assert_eq!(ids(history.add(entry(3)).unwrap()), [1, 2]);
            let aside = std::fs::read(dir.path().join("history.jsonl.damaged")).unwrap();
            assert!(aside == text);
        }
    }
}
