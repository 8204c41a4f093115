//! Small state files: one versioned JSON object, read whole and replaced whole.
//!
//! `{"version":"s01", …}`. A file that is damaged or of a version that we do not know is an error,
//! and stays as it is. No error quotes content: a state may hold secrets.

use crate::error::{Error, Result};
use crate::sys::file::{self, Latest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use std::path::Path;

pub use crate::sys::file::Written;

/// A larger file is not one of ours.
pub const SIZE_MAX: u64 = 16 << 20;

/// A version's name is shown only up to this many characters.
const VERSION_SHOWN: usize = 32;

const DAMAGED: &str = "restore it from a backup, or move it away to begin anew";

#[derive(Deserialize)]
struct Found {
    version: String,
}

#[derive(Serialize)]
struct File<'a, T> {
    version: &'a str,
    #[serde(flatten)]
    state: &'a T,
}

/// The state in a file; none if there is no such file. `T` is a struct, has no field `version` of
/// its own and does not deny unknown fields.
///
/// # Errors
/// If the file cannot be read, is not a JSON object of this kind (with line and column) or is of
/// another version (which it names, with the one that is known).
pub fn load<T: DeserializeOwned>(path: &Path, version: &str) -> Result<Option<T>> {
    let found = file::read_bounded(path, SIZE_MAX)?;
    found.map(|bytes| read(path, version, &bytes)).transpose()
}

/// As [`load`], of a file whose last whole line counts ([`Latest`]).
///
/// # Errors
/// As [`load`].
pub fn load_latest<T: DeserializeOwned>(path: &Path, version: &str) -> Result<Option<T>> {
    let found = file::read_bounded(path, SIZE_MAX)?;
    found
        .map(|bytes| read(path, version, file::last_line(&bytes)))
        .transpose()
}

fn read<T: DeserializeOwned>(path: &Path, version: &str, bytes: &[u8]) -> Result<T> {
    let fail = |cause: String| Error::new("read state", path.display(), cause);
    let Found { version: found } = serde_json::from_slice(bytes).map_err(|e| {
        if e.is_data() {
            fail("it is JSON, but names no version".to_owned()).hint(DAMAGED)
        } else {
            fail(place(&e)).hint(DAMAGED)
        }
    })?;
    if found != version {
        let found: String = found.chars().take(VERSION_SHOWN).collect();
        return Err(fail(format!(
            "its version is {found:?}, and only {version:?} is known here"
        ))
        .hint("use the clusmgr that wrote it, or move it away to begin anew"));
    }
    serde_json::from_slice(bytes).map_err(|e| fail(place(&e)).hint(DAMAGED))
}

/// Replaces the file, atomically and with mode 0600; writes nothing if it is the same already.
///
/// # Errors
/// If the state is no JSON object, or cannot be written.
pub fn save<T: Serialize>(path: &Path, version: &str, state: &T) -> Result<Written> {
    let file = File { version, state };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|_| no_json(path))?;
    bytes.push(b'\n');
    file::write_atomic(path, &bytes, 0o600)
}

/// As [`save`], for what says nothing after a boot, and is written often: not synced.
///
/// # Errors
/// As [`save`].
pub fn save_for_this_boot<T: Serialize>(path: &Path, version: &str, state: &T) -> Result<Written> {
    let line = line(path, version, state)?;
    file::write_for_this_boot(path, line.as_bytes(), 0o600)
}

/// As [`save_for_this_boot`], for what is written before each event: it costs one write(2). The file is
/// read by [`load_latest`].
///
/// # Errors
/// As [`save`].
pub fn save_latest<T: Serialize>(file: &mut Latest, version: &str, state: &T) -> Result<()> {
    file.put(&line(file.path(), version, state)?)
}

/// As [`save_latest`], and removes what is older.
///
/// # Errors
/// As [`save`].
pub fn renew_latest<T: Serialize>(file: &mut Latest, version: &str, state: &T) -> Result<()> {
    file.renew(&line(file.path(), version, state)?)
}

fn line<T: Serialize>(path: &Path, version: &str, state: &T) -> Result<String> {
    serde_json::to_string(&File { version, state }).map_err(|_| no_json(path))
}

fn no_json(path: &Path) -> Error {
    Error::new("write state", path.display(), "it cannot be put as JSON")
}

/// Where the reader stopped, and not what it saw there, which the crate's own words would quote.
fn place(e: &serde_json::Error) -> String {
    let what = match e.classify() {
        Category::Data => "a field is missing or of the wrong kind",
        Category::Io | Category::Syntax | Category::Eof => "not valid JSON",
    };
    format!("{what} at line {} column {}", e.line(), e.column())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        hold: bool,
        key: String,
        #[serde(default)]
        added_later: Option<u32>,
    }

    fn state() -> State {
        State {
            hold: true,
            key: "secret".to_owned(),
            added_later: Some(3),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_saved_once() {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("state.json");
        assert_eq!(load::<State>(&p, "s01").unwrap(), None);
        assert_eq!(save(&p, "s01", &state()).unwrap(), Written::Created);
        assert_eq!(save(&p, "s01", &state()).unwrap(), Written::Same);
        assert_eq!(fs::metadata(&p).unwrap().mode() & 0o777, 0o600);
        assert_eq!(load::<State>(&p, "s01").unwrap(), Some(state()));
        let text = fs::read_to_string(&p).unwrap();
        assert!(text.starts_with("{\n  \"version\": \"s01\",\n"), "{text}");
    }

    #[test]
    fn a_field_that_is_new_or_unknown_does_no_harm() {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("state.json");
        fs::write(&p, r#"{"key":"k","version":"s01","hold":false,"x":[1]}"#).unwrap();
        let s: State = load(&p, "s01").unwrap().unwrap();
        assert_eq!((s.hold, s.added_later), (false, None));
    }

    /// The error for this content, which the file must still have.
    fn refused(text: &[u8]) -> String {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("state.json");
        fs::write(&p, text).unwrap();
        let e = load::<State>(&p, "s01").unwrap_err().to_string();
        assert_eq!(fs::read(&p).unwrap(), text);
        assert!(
            e.starts_with(&format!("read state {}: ", p.display())),
            "{e}"
        );
        assert!(!e.contains("secret") && !e.contains('\n'), "{e}");
        e
    }

    #[test]
    fn a_damaged_state_file_is_refused_with_line_and_column() {
        for (text, cause) in [
            ("", "not valid JSON at line 1 column 0"),
            (
                "{\n \"version\": secret",
                "not valid JSON at line 2 column 13",
            ),
            (
                "{\"version\":\"s01\",\n\"key\":\"secret",
                "not valid JSON at line 2 column 13",
            ),
            (
                "{\"version\":\"s01\"} secret",
                "not valid JSON at line 1 column 19",
            ),
            ("{\"hold\":true}", "names no version"),
            ("{\"version\":7}", "names no version"),
            ("[]", "names no version"),
            (
                "{\"version\":\"s01\",\n\"hold\":\"secret\"}",
                "wrong kind at line 2 column 15",
            ),
            ("{\"version\":\"s01\"}", "a field is missing"),
        ] {
            let e = refused(text.as_bytes());
            assert!(e.contains(cause), "{text:?}: {e}");
            assert!(
                e.ends_with("; restore it from a backup, or move it away to begin anew"),
                "{e}"
            );
        }
        refused(b"\xff\x00");
    }

    #[test]
    fn a_state_file_of_an_unknown_version_is_refused_and_named() {
        let e = refused(br#"{"version":"s02","hold":true,"key":"secret"}"#);
        assert!(
            e.contains(r#"its version is "s02", and only "s01" is known"#),
            "{e}"
        );
        let long = format!(r#"{{"version":"{}"}}"#, "9".repeat(5000));
        assert!(refused(long.as_bytes()).len() < 400);
    }

    #[test]
    fn what_is_no_object_is_not_saved() {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("state.json");
        assert!(save(&p, "s01", &7).is_err());
        assert!(!p.exists());
        assert!(save(&d.path().join("no/x"), "s01", &state()).is_err());
    }
}
