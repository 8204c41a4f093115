//! The numbers of events: they only grow, and no number is ever given twice.
//!
//! `events.seq` is one short text of fixed length, overwritten in place (which needs no free space):
//!
//! ```text
//! clusmgr-seq s01 last 00000000000000001234 bound 00000000000000002000 open BOOT-ID
//! ```
//!
//! `last` is the last number that was used, written without a sync when its line is in the journal, or
//! could not be written, and before anybody hears of it: enough to survive any death of the process,
//! because the kernel has it. After a kill between the two the journal is ahead by one, and counts:
//! there is neither a gap nor a repeat. `bound` is synced before any number up to
//! it is given, so after a death of the machine (another boot id, and not `shut`) numbers go on
//! above it. The next block is reserved while half of one is left, so that a disk which refuses
//! for a while does no harm. Only a disk that refuses even this overwriting could repeat numbers: the
//! last one after a kill at that moment, more after a power loss and half a block of events.

use crate::error::{Error, Result};
use crate::sys::file;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many numbers one sync reserves.
pub const BLOCK: u64 = 1000;

/// How far numbers jump when the file is damaged or gone, and the journal alone tells where they
/// were: it may lack the last lines after a power loss, though never so many.
pub const JUMP: u64 = 1_000_000;

const MAGIC: &str = "clusmgr-seq s01";
const BOOT_LEN: usize = 40;

/// How the numbering went on at the opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// There was none: it begins at 1.
    Fresh,
    /// After a clean end, or the death of the process: without a gap.
    Exactly,
    /// After a power loss or crash of the machine: above all that may have been given.
    AfterPowerLoss,
    /// The file of the numbers was damaged or missing beside a journal: far above the journal's.
    Damaged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    last: u64,
    bound: u64,
    shut: bool,
    boot: String,
}

#[derive(Debug)]
pub(super) struct SeqFile {
    file: File,
    path: PathBuf,
    state: State,
    resumed: Resumed,
}

impl State {
    fn render(&self) -> String {
        let word = if self.shut { "shut" } else { "open" };
        format!(
            "{MAGIC} last {:020} bound {:020} {word} {:<BOOT_LEN$}\n",
            self.last, self.bound, self.boot
        )
    }

    fn parse(text: &str) -> Option<State> {
        let rest = text.strip_prefix(MAGIC)?.strip_suffix('\n')?;
        let mut words = rest.split_ascii_whitespace();
        let mut number = |name| {
            let digits = (words.next()? == name).then(|| words.next())??;
            (digits.len() == 20).then(|| digits.parse().ok())?
        };
        let (last, bound) = (number("last")?, number("bound")?);
        let shut = match words.next()? {
            "shut" => true,
            "open" => false,
            _ => return None,
        };
        let boot = words.next()?.to_owned();
        (last <= bound && words.next().is_none()).then_some(State {
            last,
            bound,
            shut,
            boot,
        })
    }
}

/// A boot id that fits into the file: one word of bounded length.
fn word(boot_id: &str) -> String {
    let kept: String = boot_id
        .chars()
        .filter(char::is_ascii_graphic)
        .take(BOOT_LEN)
        .collect();
    if kept.is_empty() {
        "-".to_owned()
    } else {
        kept
    }
}

impl SeqFile {
    /// `journal` is the greatest number in the journal, if it has any.
    pub(super) fn open(path: &Path, boot_id: &str, journal: Option<u64>) -> Result<SeqFile> {
        let fail = |e: &io::Error| Error::io("open", path.display(), e);
        let boot = word(boot_id);
        let found = match file::read_bounded(path, 4096) {
            Ok(found) => found,
            // Too large: damaged, like any other content that is not ours.
            Err(_) if path.is_file() => Some(Vec::new()),
            Err(e) => return Err(e),
        };
        let old = found
            .as_deref()
            .map(|bytes| std::str::from_utf8(bytes).ok().and_then(State::parse));
        let in_journal = journal.unwrap_or(0);
        let far = || in_journal.saturating_add(JUMP);
        let (last, resumed) = match old {
            None if journal.is_none() => (0, Resumed::Fresh),
            None | Some(None) => (far(), Resumed::Damaged),
            // A number in the journal that was never reserved: the file is an old copy.
            Some(Some(s)) if in_journal > s.bound => (far(), Resumed::Damaged),
            Some(Some(s)) if s.shut || (s.boot == boot && boot != "-") => {
                (s.last.max(in_journal), Resumed::Exactly)
            }
            Some(Some(s)) => (s.bound, Resumed::AfterPowerLoss),
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(|e| fail(&e))?;
        let seq = SeqFile {
            file,
            path: path.to_path_buf(),
            state: State {
                last,
                bound: last.saturating_add(BLOCK),
                shut: false,
                boot,
            },
            resumed,
        };
        let text = seq.state.render();
        let len = u64::try_from(text.len()).unwrap_or(u64::MAX);
        seq.file
            .write_all_at(text.as_bytes(), 0)
            .and_then(|()| seq.file.set_len(len))
            .and_then(|()| seq.file.sync_all())
            .map_err(|e| fail(&e))?;
        if resumed == Resumed::Fresh || resumed == Resumed::Damaged {
            // The name may be new.
            let dir = path.parent().unwrap_or(Path::new("."));
            file::sync_dir(dir).map_err(|e| fail(&e))?;
        }
        Ok(seq)
    }

    /// The next number, and whether it is reserved. It is used once it is on record.
    pub(super) fn next(&mut self) -> (u64, io::Result<()>) {
        self.state.last += 1;
        let last = self.state.last;
        let kept = if self.state.bound.saturating_sub(last) < BLOCK / 2 {
            self.reserve()
        } else {
            Ok(())
        };
        (last, kept)
    }

    /// Puts the last number on record.
    pub(super) fn record(&self) -> io::Result<()> {
        self.put(&self.state)
    }

    /// Reserves the next block; if the disk refuses, tries again with the next number.
    fn reserve(&mut self) -> io::Result<()> {
        let wanted = State {
            bound: self.state.last.saturating_add(BLOCK),
            ..self.state.clone()
        };
        // The number itself is not used yet.
        let unused = State {
            last: self.state.last - 1,
            ..wanted.clone()
        };
        let kept = self.put(&unused).and_then(|()| self.file.sync_data());
        if kept.is_ok() {
            self.state = wanted;
        } else if self.state.last > self.state.bound {
            // Keeps the record readable: the last number is never above the bound.
            self.state.bound = self.state.last;
        }
        kept
    }

    fn put(&self, state: &State) -> io::Result<()> {
        self.file.write_all_at(state.render().as_bytes(), 0)
    }

    pub(super) fn last(&self) -> u64 {
        self.state.last
    }

    pub(super) fn resumed(&self) -> Resumed {
        self.resumed
    }

    /// Puts down the exact last number, for good.
    pub(super) fn close(self) -> Result<()> {
        let end = State {
            bound: self.state.last,
            shut: true,
            ..self.state.clone()
        };
        self.put(&end)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io("close", self.path.display(), &e))
    }
}
