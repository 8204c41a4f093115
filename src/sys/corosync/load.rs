//! Finding and loading the libraries. That they are missing is a state with a name, not a failure of
//! the start.
#![allow(unsafe_code)]

use super::ffi::{CfgFns, CmapFns, CpgFns, QuorumFns, VoteFns};
use crate::error::one_line;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the five libraries themselves need, from the same directory: the newest name first.
const BEFORE: &[&str] = &["libqb.so.100", "libqb.so.0", "libcorosync_common.so.4"];

/// corosync's client libraries, loaded, with every function that we use. They stay loaded for the
/// life of the process: what they start cannot be taken back.
#[derive(Debug)]
pub struct Libraries {
    pub(super) cmap: CmapFns,
    pub(super) quorum: QuorumFns,
    pub(super) vote: VoteFns,
    pub(super) cfg: CfgFns,
    pub(super) cpg: CpgFns,
}

/// A library, or a function in it, that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The file, as `libcmap.so.4`.
    pub library: String,
    /// The function that the file lacks; none if there is no such file, or it cannot be loaded.
    pub symbol: Option<String>,
    /// Why, as the loader says; one line.
    pub cause: String,
}

impl fmt::Display for Missing {
    /// One line; what to do comes last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = &self.library;
        match &self.symbol {
            Some(symbol) => write!(
                f,
                "corosync's library {library} has no {symbol} ({}): install the {library} of \
                 corosync 3.1",
                self.cause
            ),
            None => write!(
                f,
                "corosync's library {library} cannot be loaded ({}): install {} (elsewhere than on \
                 Debian: corosynclib)",
                self.cause,
                package(library)
            ),
        }
    }
}

impl std::error::Error for Missing {}

/// Debian's package: `libcmap4` for `libcmap.so.4`.
fn package(library: &str) -> String {
    library.replacen(".so.", "", 1)
}

impl Libraries {
    /// Loads all of them: each from the first of the directories that has it, else from where the
    /// loader finds it.
    ///
    /// # Errors
    /// The first library that cannot be loaded, or that lacks a function.
    pub fn load(dirs: &[PathBuf]) -> Result<Arc<Libraries>, Missing> {
        Libraries::search(dirs, true)
    }

    /// `system`: also where the loader looks. Tests leave that out: the machine may have them.
    fn search(dirs: &[PathBuf], system: bool) -> Result<Arc<Libraries>, Missing> {
        Ok(Arc::new(Libraries {
            cmap: load(dirs, system, CmapFns::FILE, CmapFns::resolve)?,
            quorum: load(dirs, system, QuorumFns::FILE, QuorumFns::resolve)?,
            vote: load(dirs, system, VoteFns::FILE, VoteFns::resolve)?,
            cfg: load(dirs, system, CfgFns::FILE, CfgFns::resolve)?,
            cpg: load(dirs, system, CpgFns::FILE, CpgFns::resolve)?,
        }))
    }
}

/// Where the libraries of a corosync binary lie if its prefix is one that the loader does not
/// search: `/ddr/lib64`, `/ddr/lib` and Debian's subdirectory of it for `/ddr/bin/corosync`. None
/// for the prefixes `/` and `/usr`.
#[must_use]
pub fn dirs_for(bin: &Path) -> Vec<PathBuf> {
    let prefix = bin.parent().and_then(Path::parent);
    match prefix {
        Some(prefix)
            if prefix.is_absolute() && prefix != Path::new("/") && prefix != Path::new("/usr") =>
        {
            let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
            let lib = prefix.join("lib");
            vec![prefix.join("lib64"), lib.clone(), lib.join(triplet)]
        }
        _ => Vec::new(),
    }
}

fn load<T>(
    dirs: &[PathBuf],
    system: bool,
    file: &str,
    resolve: impl FnOnce(&Library) -> Result<T, &'static str>,
) -> Result<T, Missing> {
    let library = open_first(dirs, system, file).map_err(|cause| Missing {
        library: file.to_owned(),
        symbol: None,
        cause,
    })?;
    let resolved = resolve(&library);
    // Never unloaded, also when it is of no use: a repeated attempt gets the same one again.
    let _ = library.into_raw();
    resolved.map_err(|symbol| Missing {
        library: file.to_owned(),
        symbol: Some(symbol.to_owned()),
        cause: "undefined symbol".to_owned(),
    })
}

fn open_first(dirs: &[PathBuf], system: bool, file: &str) -> Result<Library, String> {
    let mut cause = None;
    for dir in dirs {
        let path = dir.join(file);
        if !path.exists() {
            continue;
        }
        // The loader looks for what a library needs by the name inside of it (DT_SONAME) among what
        // is loaded already, and only then on its path, which need not have this directory.
        for name in BEFORE {
            let path = dir.join(name);
            if path.exists() {
                if let Ok(library) = open(&path) {
                    let _ = library.into_raw();
                }
            }
        }
        match open(&path) {
            Ok(library) => return Ok(library),
            Err(e) => cause = Some(e),
        }
    }
    if !system {
        return Err(cause.unwrap_or_else(|| "no such file".to_owned()));
    }
    // The last cause says more than that the loader has not found another either.
    open(Path::new(file)).map_err(|e| cause.unwrap_or(e))
}

fn open(path: &Path) -> Result<Library, String> {
    // SAFETY: this runs the constructors of corosync's own libraries, as every client of it does; the
    // directories come from whoever configures a daemon that runs corosync itself as root.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| one_line(&e))
}

#[cfg(test)]
mod tests;
