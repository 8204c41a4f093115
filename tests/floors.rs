//! The floors of the house: a file imports only from lower ones, and unsafe code is in `sys` alone.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// The floor of a module, by the first parts of its path; the longest entry that fits counts.
const FLOORS: &[(&str, u32)] = &[
    ("error", 0),
    ("types", 0),
    ("paths", 0),
    ("listen", 0),
    ("log", 0),
    ("sys", 1),
    ("event", 2),
    ("policy", 2),
    ("wire", 2),
    ("journal", 2),
    ("persist", 2),
    ("verdict", 2),
    ("noise", 2),
    ("remote", 2),
    ("driver", 3),
    ("peer", 3),
    ("mgr", 4),
    ("service", 5),
    ("daemon", 6),
    ("ctl", 6),
];

/// What `ctl` may use besides what lies below the services: it is a client, not a part of the daemon.
const CTL_MAY: &[&str] = &[
    "error",
    "types",
    "paths",
    "event",
    "wire",
    "verdict",
    "sys::sock",
    "sys::pidfile",
    "sys::term",
    "sys::host",
    "sys::file",
    "sys::ready",
    "sys::clock",
    "driver::corosync",
    "ctl",
];

/// What is the operating system's, and belongs in `sys`.
const SYSTEM: &[&str] = &["nix::", "libc::", "std::process", "std::fs", "OpenOptions"];

/// Who may use it elsewhere, and why.
const MAY: &[(&str, &[&str])] = &[
    // The exit code of the program, and nothing else.
    ("bin::clusmgr", &["std::process"]),
    ("bin::clusmgrctl", &["std::process"]),
    ("ctl", &["std::process"]),
    // Numbers and names alone: what an error or a signal is called.
    ("error", &["libc::"]),
    ("daemon::serve", &["nix::"]),
    ("daemon::start", &["nix::"]),
    ("driver::corosync::exit", &["nix::"]),
    ("driver::corosync::service", &["nix::"]),
    // The output is handed in as a file that is open already.
    ("driver::corosync::process", &["nix::", "std::fs"]),
    // The real path of the binary.
    ("driver::corosync::process::find", &["std::fs"]),
    // The log is below `sys`, and says who it is.
    ("log::sink", &["std::process"]),
    // Files that are appended to, or cut: `sys::file` only replaces whole ones.
    ("journal", &["libc::", "std::fs", "OpenOptions"]),
    ("journal::reader", &["std::fs"]),
    ("journal::seq", &["libc::", "std::fs", "OpenOptions"]),
    (
        "driver::corosync::output",
        &["nix::", "std::fs", "OpenOptions"],
    ),
    // Directories that are made, listed or emptied, and a damaged file that is set aside.
    ("driver::corosync::record", &["std::fs"]),
    ("driver::corosync::history", &["std::fs"]),
    ("driver::corosync::store", &["std::fs"]),
    ("driver::corosync::tools", &["std::fs"]),
    ("driver::corosync::unfinished", &["std::fs"]),
    ("driver::corosync::shm", &["nix::", "std::fs"]),
];

/// Most lines of a source file.
const MAX_LINES: usize = 480;

fn floor(path: &str) -> u32 {
    let first = path.split("::").next().unwrap();
    let known = FLOORS.iter().find(|(name, _)| *name == first);
    known
        .unwrap_or_else(|| panic!("no floor for {path}: add it to the list and to src/lib.rs"))
        .1
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
    all
}

/// `driver::corosync::parse` for `src/driver/corosync/parse.rs`.
fn module_of(file: &Path) -> String {
    let rel = file
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let name = rel.with_extension("").to_string_lossy().replace('/', "::");
    name.strip_suffix("::mod").unwrap_or(&name).to_owned()
}

/// Every `crate::…` path in a text, groups opened.
fn crate_paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        open_path("", &text[at + "crate::".len()..], &mut found);
    }
    found
}

/// One path or group at the beginning of `rest`; gives how much of it was read.
fn open_path(prefix: &str, rest: &str, found: &mut Vec<String>) -> usize {
    let head = ident_path(rest);
    let path = if head.is_empty() {
        prefix.to_owned()
    } else {
        format!("{prefix}{head}")
    };
    let mut at = rest.len() - rest[head.len()..].trim_start_matches(':').len();
    if !rest[at..].starts_with('{') {
        found.push(path);
        return at;
    }
    let inner = if path.is_empty() || path.ends_with("::") {
        path
    } else {
        format!("{path}::")
    };
    at += 1;
    while at < rest.len() && !rest[at..].starts_with('}') {
        let skip = rest[at..].len() - rest[at..].trim_start_matches([',', ' ', '\n']).len();
        at += skip;
        if rest[at..].starts_with('}') {
            break;
        }
        let read = open_path(&inner, &rest[at..], found);
        // `self`, `*` and ` as name` are of no interest.
        at += read;
        at += rest[at..].find([',', '}']).unwrap_or(0);
    }
    at + 1
}

fn ident_path(text: &str) -> String {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(text.len());
    text[..end].trim_end_matches(':').to_owned()
}

fn production(text: &str) -> &str {
    text.split("#[cfg(test)]\n#[allow")
        .next()
        .unwrap()
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap()
}

/// Whether a name is used, and not as the end of another.
fn uses(text: &str, name: &str) -> bool {
    text.lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .any(|l| {
            l.match_indices(name).any(|(at, _)| {
                !l[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            })
        })
}

#[test]
fn the_operating_system_is_called_from_sys_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in sources(&src) {
        let module = module_of(&file);
        if module.ends_with("tests") || module.contains("::tests::") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let text = production(&text);
        for name in SYSTEM.iter().filter(|name| uses(text, name)) {
            seen += 1;
            let listed = MAY
                .iter()
                .any(|(m, names)| *m == module && names.contains(name));
            if !module.starts_with("sys::") && !listed {
                wrong.push(format!("{module} uses {name}: move that to src/sys"));
            }
        }
    }
    assert!(seen > 20, "the reader of names found only {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(uses("let x = std::fs::read(p);", "std::fs"));
    assert!(!uses("// std::fs::read", "std::fs"));
    assert!(!uses("my_libc::x", "libc::"));
}

#[test]
fn no_source_file_is_too_long() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&src) {
        let module = module_of(&file);
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        if lines > MAX_LINES {
            wrong.push(format!(
                "{module} has {lines} lines, and may have {MAX_LINES}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_imports_only_from_lower_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut imports = 0;
    for file in sources(&src) {
        let module = module_of(&file);
        if module == "lib"
            || module.starts_with("bin::")
            || module.ends_with("tests")
            || module.contains("::tests::")
        {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let mine = floor(&module);
        for path in crate_paths(production(&text)) {
            imports += 1;
            let same_house = path.split("::").next() == module.split("::").next();
            let is_ctl = module.starts_with("ctl");
            if is_ctl
                && !CTL_MAY
                    .iter()
                    .any(|m| path == *m || path.starts_with(&format!("{m}::")))
                && floor(&path) > 0
            {
                wrong.push(format!("{module} is a client, and uses {path}"));
            } else if !same_house
                && floor(&path) >= mine
                && !(mine == floor(&path) && mine == 2)
                && mine > 0
            {
                wrong.push(format!(
                    "{module} (F{mine}) uses {path} (F{})",
                    floor(&path)
                ));
            } else if !same_house && mine == 0 && floor(&path) > 0 {
                wrong.push(format!("{module} (F0) uses {path}"));
            }
        }
    }
    assert!(imports > 100, "the reader of imports found only {imports}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_table_names_a_driver_above_the_driver() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let module = module_of(&file);
        let inside = ["driver::corosync", "driver::table", "driver", "ctl"];
        if inside
            .iter()
            .any(|m| module == *m || module.starts_with(&format!("{m}::")))
        {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains("driver::corosync"),
            "{module} names the driver corosync"
        );
    }
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for file in sources(&src) {
        let text = std::fs::read_to_string(&file).unwrap();
        let has = text.lines().map(str::trim_start).any(|l| {
            !l.starts_with("//")
                && ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                    .iter()
                    .any(|u| l.contains(u))
        });
        if has {
            seen += 1;
            assert!(
                module_of(&file).starts_with("sys"),
                "{} has unsafe code",
                file.display()
            );
        }
    }
    assert!(seen > 0, "the reader of unsafe code found none at all");
}

#[test]
fn the_reader_of_imports_sees_groups_and_nested_paths() {
    let text = "use crate::error::{Error, Result};\n\
                use crate::{driver, mgr::{state, x::Y}, wire::*};\n\
                let x = crate::sys::file::write();";
    let want = [
        "error::Error",
        "error::Result",
        "driver",
        "mgr::state",
        "mgr::x::Y",
        "wire",
        "sys::file::write",
    ];
    assert_eq!(crate_paths(text), want);
}
