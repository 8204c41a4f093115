//! What we say of the libraries, compiled against corosync's headers: nothing is repeated here, all
//! of the C is made from the declarations that the code itself uses.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::sys::corosync::{error::CsError, error::OK, votequorum};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `corosync/cmap.h` is: the machine's own, or what the lab has fetched.
fn headers() -> PathBuf {
    let repo = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(repo.join("target"), PathBuf::from);
    let sysroot = std::env::var_os("LAB_SYSROOT").map_or(target.join("lab-sysroot"), PathBuf::from);
    let places = [PathBuf::from("/usr/include"), sysroot.join("usr/include")];
    let there = |dir: &&PathBuf| {
        let more = ["qb/qbhdb.h"];
        HEADERS.iter().chain(&more).all(|h| dir.join(h).exists())
    };
    let Some(found) = places.iter().find(there) else {
        panic!(
            "corosync's headers are in none of {places:?}: run scripts/lab fetch, or install \
             libcmap-dev, libcpg-dev, libquorum-dev, libvotequorum-dev, libcfg-dev and libqb-dev"
        );
    };
    found.clone()
}

const HEADERS: &[&str] = &[
    "corosync/corotypes.h",
    "corosync/cmap.h",
    "corosync/quorum.h",
    "corosync/votequorum.h",
    "corosync/cfg.h",
    "corosync/cpg.h",
];

/// A type of ours in C.
fn c_type(rust: &str) -> String {
    if let Some(to) = rust.strip_prefix("*mut ") {
        return format!("{} *", c_type(to));
    }
    if let Some(to) = rust.strip_prefix("*const ") {
        return format!("const {} *", c_type(to));
    }
    if let Some(callback) = rust.strip_prefix("Option<") {
        return c_type(callback.strip_suffix('>').unwrap());
    }
    if let Some(s) = STRUCTS.iter().find(|s| s.rust == rust) {
        return s.c.to_owned();
    }
    if CALLBACKS.iter().any(|(name, ..)| *name == rust) {
        return format!("our_{rust}");
    }
    let plain = match rust {
        "u32" => "uint32_t",
        "i32" => "int32_t",
        "u64" => "uint64_t",
        "usize" => "size_t",
        "c_int" => "int",
        "c_char" => "char",
        "c_void" => "void",
        "iovec" => "struct iovec",
        _ => panic!("no C type for {rust}"),
    };
    plain.to_owned()
}

fn c_types(all: &[&str]) -> String {
    let all: Vec<String> = all.iter().map(|t| c_type(t)).collect();
    all.join(", ")
}

fn constant(out: &mut String, name: &str, value: i128) {
    writeln!(
        out,
        "_Static_assert((long long)({name}) == {value}LL, \"{name}\");"
    )
    .unwrap();
}

fn program() -> String {
    let mut c = String::from("#include <stddef.h>\n#include <sys/uio.h>\n");
    for header in HEADERS {
        writeln!(c, "#include <{header}>").unwrap();
    }
    for (name, value) in CONSTANTS {
        constant(&mut c, name, *value);
    }
    constant(&mut c, "CS_OK", OK.into());
    for (value, name) in CsError::ALL {
        constant(&mut c, name, (*value).into());
    }
    for (name, value) in votequorum::FLAGS {
        constant(&mut c, name, (*value).into());
    }
    for (ours, theirs, args) in CALLBACKS {
        let args = c_types(args);
        writeln!(c, "typedef void (*our_{ours})({args});").unwrap();
        writeln!(c, "our_{ours} check_{ours}({theirs} f) {{ return f; }}").unwrap();
    }
    for s in STRUCTS {
        let (name, t) = (s.rust, s.c);
        writeln!(
            c,
            "_Static_assert(sizeof({t}) == {}, \"size of {name}\");",
            s.size
        )
        .unwrap();
        writeln!(
            c,
            "_Static_assert(_Alignof({t}) == {}, \"align of {name}\");",
            s.align
        )
        .unwrap();
        for (field, ty, offset, size) in s.fields {
            let f = field.trim_start_matches("r#");
            let place = format!("{name}.{f}");
            writeln!(
                c,
                "_Static_assert(offsetof({t}, {f}) == {offset}, \"{place}\");"
            )
            .unwrap();
            writeln!(
                c,
                "_Static_assert(sizeof((({t} *)0)->{f}) == {size}, \"{place}\");"
            )
            .unwrap();
            // Arrays have their size and offset alone.
            if !ty.starts_with('[') {
                let ty = c_type(ty);
                writeln!(c, "{ty} *check_{name}_{f}({t} *p) {{ return &p->{f}; }}").unwrap();
            }
        }
    }
    for (name, args) in FUNCTIONS {
        writeln!(c, "uint32_t (*check_{name})({}) = {name};", c_types(args)).unwrap();
    }
    c
}

/// What the compiler says to it; nothing if all is well.
fn compile(c: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("abi.c");
    std::fs::write(&file, c).unwrap();
    let ran = Command::new("cc")
        .args(["-std=c11", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall"])
        .args(["-Werror=incompatible-pointer-types", "-Werror"])
        .arg("-isystem")
        .arg(headers())
        .arg(&file)
        .env("LC_ALL", "C")
        .output()
        .expect("cc can be run (any C compiler by that name)");
    if ran.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&ran.stderr).into_owned())
}

#[test]
fn sizes_offsets_constants_and_signatures_are_those_of_the_headers() {
    let c = program();
    assert!(c.lines().count() > 250, "the maker of C made only:\n{c}");
    if let Err(e) = compile(&c) {
        panic!("{e}");
    }
}

/// The test itself is tested: one thing is wrong, and the compiler says which.
#[track_caller]
fn found(from: &str, to: &str, said: &str) {
    let c = program();
    assert!(c.contains(from), "{from} is not in:\n{c}");
    let e = compile(&c.replacen(from, to, 1)).expect_err("it compiled");
    assert!(e.contains(said), "{e}");
}

#[test]
fn a_wrong_size_is_found() {
    found(
        "sizeof(struct votequorum_info) == 292",
        "sizeof(struct votequorum_info) == 296",
        "size of VoteInfo",
    );
}

#[test]
fn a_wrong_offset_is_found() {
    found(
        "offsetof(struct cmap_notify_value, len) == 8",
        "offsetof(struct cmap_notify_value, len) == 4",
        "NotifyValue.len",
    );
}

#[test]
fn a_wrong_constant_is_found() {
    found(
        "(CS_ERR_TRY_AGAIN) == 6LL",
        "(CS_ERR_TRY_AGAIN) == 5LL",
        "CS_ERR_TRY_AGAIN",
    );
}

#[test]
fn a_wrong_argument_of_a_function_is_found() {
    found(
        "(*check_cpg_mcast_joined)(uint64_t, uint32_t,",
        "(*check_cpg_mcast_joined)(uint64_t, uint64_t,",
        "check_cpg_mcast_joined",
    );
}

#[test]
fn a_wrong_argument_of_a_callback_is_found() {
    found(
        "(*our_CpgTotem)(uint64_t, struct cpg_ring_id, uint32_t, const uint32_t *)",
        "(*our_CpgTotem)(uint64_t, uint64_t, uint32_t, const uint32_t *)",
        "our_CpgTotem",
    );
}
