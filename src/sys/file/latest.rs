//! A file whose last whole line counts: a new state costs one write(2), not a new file.

use super::write_for_this_boot;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Beyond this many bytes it is time for [`Latest::renew`].
const LONG: u64 = 64 << 10;

/// Writes such a file, mode 0600. A kill in the middle of a write leaves the line before as the last
/// whole one; nothing is synced, so after a power loss it may be any of them, or none.
#[derive(Debug)]
pub struct Latest {
    path: PathBuf,
    /// None where it is not known what is behind the last line: then a whole file takes its place.
    file: Option<File>,
    /// Bytes in it.
    len: u64,
}

impl Latest {
    /// The file of this path; it is replaced by the first line, and not touched before.
    #[must_use]
    pub fn new(path: PathBuf) -> Latest {
        Latest {
            path,
            file: None,
            len: 0,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a line (without its newline) behind those that are there.
    ///
    /// # Errors
    /// If it holds a newline, or is not in the file as a whole: then the one before counts.
    pub fn put(&mut self, line: &str) -> Result<()> {
        let text = self.whole(line)?;
        // None again until this has gone well.
        let is_in_place = self.is_in_place();
        let file = self.file.take().filter(|_| is_in_place);
        let Some(mut file) = file else {
            return self.replace(&text);
        };
        let fail = |e: &io::Error| Error::io("write", self.path.display(), e);
        if file.write(text.as_bytes()).map_err(|e| fail(&e))? < text.len() {
            return Err(fail(&io::Error::from_raw_os_error(libc::ENOSPC)));
        }
        self.len += bytes(&text);
        self.file = Some(file);
        Ok(())
    }

    /// Whether the file that was written last is still there under its name.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let id = |m: std::fs::Metadata| (m.dev(), m.ino());
        let written = self.file.as_ref().and_then(|f| f.metadata().ok()).map(id);
        let there = std::fs::symlink_metadata(&self.path).ok().map(id);
        written.is_some() && written == there
    }

    /// Whether so much is there that it is better begun anew.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.file.is_some() && self.len > LONG
    }

    /// Makes this line the only one, atomically.
    ///
    /// # Errors
    /// As [`Latest::put`].
    pub fn renew(&mut self, line: &str) -> Result<()> {
        let text = self.whole(line)?;
        self.file = None;
        self.replace(&text)
    }

    fn whole(&self, line: &str) -> Result<String> {
        if line.contains('\n') {
            let e = Error::new("write", self.path.display(), "it is more than one line");
            return Err(e);
        }
        Ok(format!("{line}\n"))
    }

    fn replace(&mut self, text: &str) -> Result<()> {
        write_for_this_boot(&self.path, text.as_bytes(), 0o600)?;
        let opened = OpenOptions::new()
            .append(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&self.path);
        // Where it cannot be opened the next line replaces it again.
        self.file = opened.ok();
        self.len = bytes(text);
        Ok(())
    }
}

fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// The last whole line of such a file; all of it where it has no newline.
#[must_use]
pub fn last_line(bytes: &[u8]) -> &[u8] {
    let newline = |bytes: &[u8]| bytes.iter().rposition(|b| *b == b'\n');
    let Some(end) = newline(bytes) else {
        return bytes;
    };
    let whole = &bytes[..end];
    &whole[newline(whole).map_or(0, |at| at + 1)..]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_last_whole_line_counts_whatever_a_kill_leaves_of_the_next_one() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("x");
        fs::write(&path, "of an earlier one, and torn").unwrap();
        let mut latest = Latest::new(path.clone());
        let read = || fs::read(&path).unwrap();
        assert_eq!(last_line(&read()), b"of an earlier one, and torn");
        for line in ["a", "bb", "", "ccc"] {
            latest.put(line).unwrap();
            assert_eq!(last_line(&read()), line.as_bytes());
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(read(), b"a\nbb\n\nccc\n");
        for cut in 0..4 {
            assert_eq!(last_line(&read()[..9 - cut]), b"", "{cut}");
        }
        assert_eq!(last_line(&read()[..4]), b"a");
        assert_eq!(last_line(&read()[..5]), b"bb");
        assert_eq!(last_line(b""), b"");
        assert!(latest.put("two\nlines").is_err());
        assert_eq!(last_line(&read()), b"ccc");
    }

    #[test]
    fn one_that_was_removed_or_replaced_is_written_anew() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("x");
        let mut latest = Latest::new(path.clone());
        latest.put("a").unwrap();
        fs::remove_file(&path).unwrap();
        latest.put("b").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"b\n");
        fs::write(d.path().join("y"), "z").unwrap();
        fs::rename(d.path().join("y"), &path).unwrap();
        assert!(!latest.is_in_place());
        latest.put("c").unwrap();
        assert!(latest.is_in_place());
        assert_eq!(fs::read(&path).unwrap(), b"c\n");
        fs::rename(&path, d.path().join("y")).unwrap();
        latest.put("d").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"d\n");
    }

    #[test]
    fn a_long_one_is_begun_anew() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("x");
        let mut latest = Latest::new(path.clone());
        assert!(!latest.is_long());
        let line = "x".repeat(1000);
        let mut lines = 0;
        while !latest.is_long() {
            latest.put(&line).unwrap();
            lines += 1;
        }
        assert_eq!(lines, 66);
        latest.renew("short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short\n");
        assert!(!latest.is_long());
        latest.put("next").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short\nnext\n");
    }

    #[test]
    fn what_could_not_be_written_leaves_the_one_before_and_does_not_stay_in_the_way() {
        let d = tempfile::tempdir().unwrap();
        let dir = d.path().join("run");
        let mut latest = Latest::new(dir.join("x"));
        assert!(latest.put("a").is_err());
        assert!(latest.renew("a").is_err());
        fs::create_dir(&dir).unwrap();
        latest.put("b").unwrap();
        // Half a line, as a full disk leaves it: all that counts is that there is no telling.
        let mut torn = OpenOptions::new().append(true).open(dir.join("x")).unwrap();
        torn.write_all(b"half").unwrap();
        assert_eq!(last_line(&fs::read(dir.join("x")).unwrap()), b"b");
        latest.file = None;
        latest.put("d").unwrap();
        assert_eq!(fs::read(dir.join("x")).unwrap(), b"d\n");
    }
}
