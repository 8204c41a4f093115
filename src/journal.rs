//! Events on disk, one JSON object a line: `events.jsonl`, and the file before it, `events.jsonl.1`.
//!
//! Numbers and lines have different needs. Lines are never synced: a power loss may lose the last
//! ones. Numbers never repeat: see [`seq`]. A line is one write(2) of at most [`LINE_MAX`] bytes;
//! half of one, as a kill or a full disk leaves it, is cut off. Damaged lines are skipped and
//! counted. A disk that takes no more lines costs the lines, never the service.

mod reader;
mod seq;

pub use reader::{Page, Reader};
pub use seq::{BLOCK, Resumed};

use crate::error::{Error, Result};
use seq::SeqFile;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Each of the two files holds at most this many bytes.
pub const FILE_MAX: u64 = 1 << 20;

/// A longer line is refused.
pub const LINE_MAX: usize = 64 << 10;

const CURRENT: &str = "events.jsonl";
const OLDER: &str = "events.jsonl.1";
const SEQ: &str = "events.seq";

/// What was found at the opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// How the numbering goes on.
    pub resumed: Resumed,
    /// The number that the next event gets.
    pub next: u64,
    /// Good lines on disk.
    pub lines: u64,
    /// Lines on disk that are no events; they stay, and are skipped.
    pub damaged: u64,
    /// Bytes of a half-written last line, which was cut off.
    pub torn: u64,
}

/// The journal: one owner writes it, any number of [`Reader`]s read.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    seq: SeqFile,
    /// None when the last attempt to open it failed; the next line tries again.
    file: Option<File>,
    /// Bytes of whole lines.
    len: u64,
    /// Whether half a line may be behind them.
    torn: bool,
    /// Lines lost since the trouble began; none while all is well.
    lost: Option<u64>,
    /// The shortest line that was refused since then, in bytes. What is shorter may still fit into the
    /// last block of a full disk, and says nothing.
    refused: Option<usize>,
    failures: u64,
    /// For tests: bytes that the disk still takes.
    #[cfg(test)]
    room: Option<usize>,
}

impl Journal {
    /// Opens the journal of a directory, which must be there, or begins one. `boot_id` is this
    /// boot's (`sys::procfs::Proc::boot_id`).
    ///
    /// # Errors
    /// If the files cannot be read, made or synced.
    pub fn open(dir: &Path, boot_id: &str) -> Result<(Journal, OpenReport)> {
        let path = dir.join(CURRENT);
        let fail = |e: &io::Error| Error::io("open journal", path.display(), e);
        let mut file = Some(open_append(&path).map_err(|e| fail(&e))?);
        let (len, torn) = cut_torn(&path, file.as_ref()).map_err(|e| fail(&e))?;
        let found = Reader::new(dir).survey();
        let seq = SeqFile::open(&dir.join(SEQ), boot_id, found.last)?;
        let report = OpenReport {
            resumed: seq.resumed(),
            next: seq.last() + 1,
            lines: found.lines,
            damaged: found.damaged,
            torn,
        };
        if len > FILE_MAX {
            file = None;
        }
        let journal = Journal {
            dir: dir.to_path_buf(),
            seq,
            file,
            len,
            torn: false,
            lost: None,
            refused: None,
            failures: 0,
            #[cfg(test)]
            room: None,
        };
        Ok((journal, report))
    }

    /// The next number, above all that were ever given. It is used once [`Journal::append`] has been
    /// called with it: a kill before that leaves it for another event, and so no gap. If the disk
    /// does not take the reservation of a block of them, the failure is counted.
    pub fn next_seq(&mut self) -> u64 {
        let (seq, kept) = self.seq.next();
        self.recorded(kept);
        seq
    }

    /// Writes one event: a JSON object in one line (without the newline) that has this number as
    /// its `seq`. Not synced. Whether it can or not, the number is on record then, if the disk takes
    /// that.
    ///
    /// # Errors
    /// If the line is too long or holds a newline, or is not on disk as a whole; then nothing of
    /// it is. The trouble is logged once, until lines are written again.
    pub fn append(&mut self, seq: u64, line: &str) -> io::Result<()> {
        let written = self.append_line(seq, line);
        // After the line: a kill between the two leaves the line to tell the number.
        let kept = self.seq.record();
        self.recorded(kept);
        written
    }

    fn recorded(&mut self, kept: io::Result<()>) {
        if let Err(e) = kept {
            self.trouble("record a number in", &self.dir.join(SEQ), &e);
        }
    }

    fn append_line(&mut self, seq: u64, line: &str) -> io::Result<()> {
        if line.len() >= LINE_MAX || line.contains('\n') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        debug_assert!(seq <= self.seq.last(), "a number that was not given out");
        let written = self.write(format!("{line}\n").as_bytes());
        match &written {
            Ok(()) if self.refused.is_some_and(|refused| line.len() < refused) => {}
            Ok(()) => self.recovered(),
            Err(e) => {
                self.trouble("write", &self.dir.join(CURRENT), e);
                self.lost = self.lost.map(|n| n + 1);
                let refused = self.refused.unwrap_or(usize::MAX);
                self.refused = Some(refused.min(line.len()));
            }
        }
        written
    }

    /// How often the disk refused something since the opening.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// The last number that was given; 0 if none ever was.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.seq.last()
    }

    /// A reader for other threads: it needs no lock.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(&self.dir)
    }

    /// As [`Reader::read_since`].
    #[must_use]
    pub fn read_since(&self, since: u64, limit: usize) -> Page {
        self.reader().read_since(since, limit)
    }

    /// A clean end: the exact last number is synced, so that the next start leaves no gap, also
    /// after a reboot. Without it (a kill, a power loss) nothing repeats, either.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn close(self) -> Result<()> {
        // The lines first: what is readable later should reach as far as the numbers do.
        if let Some(file) = &self.file {
            let _ = file.sync_data();
        }
        self.seq.close()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let add = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.len > 0 && self.len + add > FILE_MAX {
            self.file = None;
            fs::rename(self.dir.join(CURRENT), self.dir.join(OLDER))?;
            (self.len, self.torn) = (0, false);
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = open_append(&self.dir.join(CURRENT))?;
                self.len = file.metadata()?.len();
                file
            }
        };
        let file = self.file.insert(file);
        if self.torn {
            file.set_len(self.len)?;
            self.torn = false;
        }
        #[cfg(test)]
        let written = write_into(file, bytes, &mut self.room);
        #[cfg(not(test))]
        let written = file.write(bytes);
        match written {
            Ok(n) if n == bytes.len() => {
                self.len += add;
                Ok(())
            }
            // Part of a line: the disk became full in the middle of it.
            other => {
                self.torn = file.set_len(self.len).is_err();
                Err(match other {
                    Ok(_) => io::Error::from_raw_os_error(libc::ENOSPC),
                    Err(e) => e,
                })
            }
        }
    }

    /// Counts a failure, and says so if it is the first since all was well.
    fn trouble(&mut self, what: &str, path: &Path, e: &io::Error) {
        self.failures += 1;
        if self.lost.is_none() {
            self.lost = Some(0);
            let e = Error::io(what, path.display(), e);
            log::error!("{e}; events go on, without this record of them");
        }
    }

    fn recovered(&mut self) {
        self.refused = None;
        if let Some(lost) = self.lost.take() {
            let path = self.dir.join(CURRENT);
            log::warn!(
                "{} is written again; events missing in it: {lost}",
                path.display()
            );
        }
    }
}

/// A write to a disk with so much room left.
#[cfg(test)]
fn write_into(file: &mut File, bytes: &[u8], room: &mut Option<usize>) -> io::Result<usize> {
    let Some(room) = room else {
        return file.write(bytes);
    };
    if *room == 0 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let n = file.write(&bytes[..bytes.len().min(*room)])?;
    *room -= n;
    Ok(n)
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

/// Cuts off what comes after the last newline: the length that remains, and how much that was.
fn cut_torn(path: &Path, file: Option<&File>) -> io::Result<(u64, u64)> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(reader::READ_MAX)
        .read_to_end(&mut bytes)?;
    let whole = bytes
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    let torn = bytes.len() - whole;
    let len = u64::try_from(whole).unwrap_or(u64::MAX);
    if torn > 0 {
        if let Some(file) = file {
            file.set_len(len)?;
        }
    }
    Ok((len, u64::try_from(torn).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests;
