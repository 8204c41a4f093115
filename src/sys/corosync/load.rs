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
pub struct Lack {
    /// The file, as `libcmap.so.4`.
    pub library: String,
    /// The function that the file lacks; none if there is no such file, or it cannot be loaded.
    pub symbol: Option<String>,
    /// Why, as the loader says; one line.
    pub cause: String,
}

/// All that is not there: of each library, itself or its first function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub Vec<Lack>);

impl fmt::Display for Missing {
    /// One line; what to do comes last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (old, none): (Vec<&Lack>, Vec<&Lack>) = self.0.iter().partition(|l| l.symbol.is_some());
        let list = |name: fn(&str) -> String| {
            let names: Vec<_> = none.iter().map(|l| name(&l.library)).collect();
            names.join(", ")
        };
        if let Some(first) = none.first() {
            let all = match none.len() {
                1 => "library",
                _ => "libraries",
            };
            write!(
                f,
                "corosync's {all} {} cannot be loaded ({}): install {} (elsewhere than on Debian: \
                 corosynclib)",
                list(str::to_owned),
                first.cause,
                list(package)
            )?;
        }
        for (
            n,
            Lack {
                library,
                symbol,
                cause,
            },
        ) in old.into_iter().enumerate()
        {
            if n > 0 || !none.is_empty() {
                f.write_str("; ")?;
            }
            let symbol = symbol.as_deref().unwrap_or_default();
            write!(
                f,
                "corosync's library {library} has no {symbol} ({cause}): install the {library} of \
                 corosync 3.1"
            )?;
        }
        Ok(())
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
    /// One that lacks any of them is of no use: they come from the one build of corosync that installs
    /// them together, and what is told of the cluster would have holes.
    ///
    /// # Errors
    /// Every library that cannot be loaded, or that lacks a function.
    pub fn load(dirs: &[PathBuf]) -> Result<Arc<Libraries>, Missing> {
        Libraries::search(dirs, true)
    }

    /// `system`: also where the loader looks. Tests leave that out: the machine may have them.
    fn search(dirs: &[PathBuf], system: bool) -> Result<Arc<Libraries>, Missing> {
        let mut lacks = Vec::new();
        let cmap = keep(
            &mut lacks,
            load(dirs, system, CmapFns::FILE, CmapFns::resolve),
        );
        let quorum = keep(
            &mut lacks,
            load(dirs, system, QuorumFns::FILE, QuorumFns::resolve),
        );
        let vote = keep(
            &mut lacks,
            load(dirs, system, VoteFns::FILE, VoteFns::resolve),
        );
        let cfg = keep(
            &mut lacks,
            load(dirs, system, CfgFns::FILE, CfgFns::resolve),
        );
        let cpg = keep(
            &mut lacks,
            load(dirs, system, CpgFns::FILE, CpgFns::resolve),
        );
        match (cmap, quorum, vote, cfg, cpg) {
            (Some(cmap), Some(quorum), Some(vote), Some(cfg), Some(cpg)) => {
                Ok(Arc::new(Libraries {
                    cmap,
                    quorum,
                    vote,
                    cfg,
                    cpg,
                }))
            }
            _ => Err(Missing(lacks)),
        }
    }
}

/// Goes on where one is missing, to name the others too.
fn keep<T>(lacks: &mut Vec<Lack>, loaded: Result<T, Lack>) -> Option<T> {
    loaded.map_err(|lack| lacks.push(lack)).ok()
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
) -> Result<T, Lack> {
    let library = open_first(dirs, system, file).map_err(|cause| Lack {
        library: file.to_owned(),
        symbol: None,
        cause,
    })?;
    let resolved = resolve(&library);
    // Never unloaded, also when it is of no use: a repeated attempt gets the same one again.
    let _ = library.into_raw();
    resolved.map_err(|symbol| Lack {
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
