//! Reading the journal, while its owner may be writing it.

use super::{CURRENT, FILE_MAX, OLDER};
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No more of a file is ever read than this; ours are smaller.
pub(super) const READ_MAX: u64 = 4 * FILE_MAX;

/// Reads the journal of a directory; needs nothing of its owner, and no lock.
#[derive(Debug, Clone)]
pub struct Reader {
    dir: PathBuf,
}

/// Some events in order, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The lines as they were written, without newlines.
    pub lines: Vec<String>,
    /// The number of the last of them; what was asked for if there are none.
    pub last: u64,
    /// The oldest number on disk; none if nothing is. Greater than the number asked for plus one:
    /// what is between them is gone.
    pub first_available: Option<u64>,
    /// Whether there are more after these.
    pub more: bool,
    /// Damaged lines that were skipped.
    pub damaged: u64,
}

/// What is on disk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Survey {
    pub(super) lines: u64,
    pub(super) damaged: u64,
    pub(super) last: Option<u64>,
}

/// All that is read of a line; the rest is the writer's and the client's.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

impl Reader {
    /// Of the journal in a directory; that there is none yet is no failure.
    #[must_use]
    pub fn new(dir: &Path) -> Reader {
        Reader {
            dir: dir.to_path_buf(),
        }
    }

    /// At most `limit` events with numbers above `since`. A file that cannot be read counts as empty.
    #[must_use]
    pub fn read_since(&self, since: u64, limit: usize) -> Page {
        let mut page = Page {
            last: since,
            ..Page::default()
        };
        self.walk(|found| match found {
            None => page.damaged += 1,
            Some((seq, line)) => {
                page.first_available.get_or_insert(seq);
                if seq <= since {
                } else if page.lines.len() < limit {
                    page.last = seq;
                    page.lines.push(line.to_owned());
                } else {
                    page.more = true;
                }
            }
        });
        page
    }

    pub(super) fn survey(&self) -> Survey {
        let mut s = Survey::default();
        self.walk(|found| match found {
            None => s.damaged += 1,
            Some((seq, _)) => {
                s.lines += 1;
                s.last = s.last.max(Some(seq));
            }
        });
        s
    }

    /// Every whole line of both files, oldest first; none for a damaged one.
    fn walk(&self, mut each: impl FnMut(Option<(u64, &str)>)) {
        // The newer file first: if they are rotated in between, its lines are read twice, which is
        // seen below, and never not at all.
        let newer = self.content(CURRENT);
        let older = self.content(OLDER);
        let newer_first = lines(&newer).find_map(number);
        for line in lines(&older) {
            let found = number(line);
            if let (Some((seq, _)), Some((first, _))) = (found, newer_first) {
                if seq >= first {
                    break;
                }
            }
            each(found);
        }
        lines(&newer).for_each(|line| each(number(line)));
    }

    fn content(&self, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(self.dir.join(name)) {
            let _ = file.take(READ_MAX).read_to_end(&mut bytes);
        }
        bytes
    }
}

/// The lines that have their newline: another is still being written, or torn.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split_inclusive(|&b| b == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
}

fn number(line: &[u8]) -> Option<(u64, &str)> {
    let text = std::str::from_utf8(line).ok()?;
    let numbered: Numbered = serde_json::from_str(text).ok()?;
    Some((numbered.seq, text))
}
