//! corosync's standard output and error: a file, never a pipe (a full pipe stalls corosync, and a
//! broken one outlives us badly).

use crate::error::{Error, Result};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file is cut when it is longer than this many bytes.
pub const MAX_BYTES: u64 = 1 << 20;
/// So many last lines of a dead run are kept.
pub const LAST_LINES: usize = 20;
/// So many bytes at the end of a run are looked at for them.
const TAIL_BYTES: u64 = 16 << 10;
/// The longest line that is kept, in characters.
const MAX_LINE: usize = 500;

/// The output file.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    /// Where the present run began in the file; none if it writes elsewhere.
    from: Option<u64>,
}

/// The last [`LAST_LINES`] of some lines.
#[must_use]
pub fn last_of(lines: &[String]) -> Vec<String> {
    lines[lines.len().saturating_sub(LAST_LINES)..].to_vec()
}

impl Output {
    /// The file of this name in the run directory; not opened yet.
    #[must_use]
    pub fn new(run_dir: &Path) -> Output {
        Output {
            path: run_dir.join("corosync.out"),
            from: None,
        }
    }

    /// Opens it for a new run, and gives where that begins. Everybody appends, so a cut is safe. The
    /// directory is made if somebody has removed it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&mut self) -> Result<(File, u64)> {
        if let Some(dir) = self.path.parent() {
            make_dir(dir)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&self.path)
            .map_err(|e| Error::io("open", self.path.display(), &e))?;
        let from = file.metadata().map_or(0, |m| m.size());
        self.from = Some(from);
        Ok((file, from))
    }

    /// An adopted run, and where it began if it writes here.
    pub fn adopted(&mut self, from: Option<u64>) {
        self.from = from;
    }

    /// More of the run than is kept, oldest first, to read a cause from: corosync says a lot while it
    /// ends.
    #[must_use]
    pub fn tail_lines(&self) -> Vec<String> {
        self.read_tail()
            .map(|bytes| lines_of(&bytes))
            .unwrap_or_default()
    }

    fn read_tail(&self) -> std::io::Result<Vec<u8>> {
        let Some(from) = self.from else {
            return Ok(Vec::new());
        };
        let mut file = File::open(&self.path)?;
        let len = file.metadata()?.len();
        // After a cut the file is shorter than where the run began: all of it is the run's.
        let from = if from > len { 0 } else { from };
        let start = from.max(len.saturating_sub(TAIL_BYTES));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Cuts it to nothing if it has grown too long; true if it did.
    ///
    /// # Errors
    /// When it cannot be cut.
    pub fn cut(&mut self) -> Result<bool> {
        let fail = |e| Error::io("cut", self.path.display(), &e);
        match std::fs::metadata(&self.path) {
            Ok(m) if m.len() > MAX_BYTES => {}
            _ => return Ok(false),
        }
        OpenOptions::new()
            .write(true)
            .open(&self.path)
            .and_then(|f| f.set_len(0))
            .map_err(fail)?;
        self.from = self.from.map(|_| 0);
        Ok(true)
    }
}

/// Makes the run directory, and what is above it, where it is missing.
///
/// # Errors
/// When it cannot be made.
pub fn make_dir(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        // Whatever the umask.
        .and_then(|()| std::fs::set_permissions(dir, Permissions::from_mode(0o755)))
        .map_err(|e| Error::io("make", dir.display(), &e))
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| {
            l.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(MAX_LINE)
                .collect()
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_lines_are_those_of_the_present_run() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = Output::new(dir.path());
        writeln!(out.open().unwrap().0, "of an earlier run").unwrap();
        let (mut file, _) = out.open().unwrap();
        assert_eq!(last_of(&out.tail_lines()), Vec::<String>::new());
        for n in 0..30 {
            writeln!(file, "line {n}\t\x1b[0m").unwrap();
        }
        let lines = last_of(&out.tail_lines());
        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines[0], "line 10  [0m", "control characters are gone");
        assert_eq!(lines[19], "line 29  [0m");
    }

    #[test]
    fn an_adopted_run_has_the_lines_from_its_beginning_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = Output::new(dir.path());
        writeln!(out.open().unwrap().0, "of an earlier run").unwrap();
        let (mut file, from) = out.open().unwrap();
        writeln!(file, "of this one").unwrap();
        let mut next = Output::new(dir.path());
        assert_eq!(next.tail_lines(), Vec::<String>::new());
        next.adopted(Some(from));
        assert_eq!(next.tail_lines(), ["of this one"]);
        next.adopted(None);
        assert_eq!(next.tail_lines(), Vec::<String>::new());
    }

    #[test]
    fn a_removed_directory_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run/clusmgr");
        let mut out = Output::new(&run);
        writeln!(out.open().unwrap().0, "one").unwrap();
        std::fs::remove_dir_all(&run).unwrap();
        writeln!(out.open().unwrap().0, "two").unwrap();
        assert_eq!(last_of(&out.tail_lines()), ["two"]);
        assert_eq!(std::fs::metadata(&run).unwrap().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_long_file_is_cut_while_the_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = Output::new(dir.path());
        let (mut file, _) = out.open().unwrap();
        assert!(!out.cut().unwrap());
        file.write_all(&vec![b'x'; usize::try_from(MAX_BYTES).unwrap() + 1])
            .unwrap();
        assert!(out.cut().unwrap());
        writeln!(file, "after").unwrap();
        assert_eq!(last_of(&out.tail_lines()), ["after"]);
        assert_eq!(
            std::fs::metadata(dir.path().join("corosync.out"))
                .unwrap()
                .len(),
            6
        );
    }

    #[test]
    fn the_file_is_for_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (file, _) = Output::new(dir.path()).open().unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    }
}
