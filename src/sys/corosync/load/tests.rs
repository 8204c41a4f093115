#![allow(clippy::unwrap_used)]

use super::*;
use std::fs;
use std::process::Command;

/// A library with these functions and no others, and with the file's name inside.
fn build(dir: &Path, file: &str, functions: &[&str]) {
    let source = dir.join("made.c");
    let text: String = functions
        .iter()
        .map(|f| format!("int {f}(void) {{ return 2; }}\n"))
        .collect();
    fs::write(&source, format!("int made;\n{text}")).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(dir.join(file))
        .arg(&source)
        .arg(format!("-Wl,-soname,{file}"))
        .status()
        .expect("cc can be run (any C compiler by that name)");
    assert!(built.success());
}

/// What is missing, the machine's own libraries left out of account.
#[track_caller]
fn missing(dir: &Path) -> Missing {
    Libraries::search(&[dir.to_owned()], false).expect_err("all the libraries are there")
}

/// What of them is libcmap's.
#[track_caller]
fn of_cmap(dir: &Path) -> Lack {
    missing(dir).0.remove(0)
}

#[test]
fn a_library_that_is_nowhere_is_named_with_what_to_do() {
    let e = load(&["/nonexistent".into()], true, "libnone.so.4", |_| Ok(())).unwrap_err();
    assert_eq!(
        Missing(vec![e]).to_string(),
        "corosync's library libnone.so.4 cannot be loaded (libnone.so.4: cannot open shared object \
         file: No such file or directory): install libnone4 (elsewhere than on Debian: corosynclib)"
    );
}

#[test]
fn a_library_of_another_version_does_not_count_and_ours_is_named() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "libcmap.so.5", &["cmap_initialize_map"]);
    let e = of_cmap(dir.path());
    assert_eq!((e.library.as_str(), e.symbol), ("libcmap.so.4", None));
}

#[test]
fn a_library_without_a_function_is_named_with_the_function() {
    let dir = tempfile::tempdir().unwrap();
    build(
        dir.path(),
        "libcmap.so.4",
        &["cmap_initialize_map", "cmap_finalize"],
    );
    let e = of_cmap(dir.path());
    assert_eq!(e.library, "libcmap.so.4");
    assert_eq!(e.symbol.as_deref(), Some("cmap_fd_get"));
    assert_eq!(
        Missing(vec![e]).to_string(),
        "corosync's library libcmap.so.4 has no cmap_fd_get (undefined symbol): install the \
         libcmap.so.4 of corosync 3.1"
    );
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "libcfg.so.7", &["corosync_cfg_initialize"]);
    assert_eq!(
        missing(dir.path()).to_string(),
        "corosync's libraries libcmap.so.4, libquorum.so.5, libvotequorum.so.8, libcpg.so.4 cannot be \
         loaded (no such file): install libcmap4, libquorum5, libvotequorum8, libcpg4 (elsewhere than \
         on Debian: corosynclib); corosync's library libcfg.so.7 has no corosync_cfg_finalize \
         (undefined symbol): install the libcfg.so.7 of corosync 3.1"
    );
}

#[test]
fn a_file_that_is_no_library_is_named_with_the_loaders_words() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("libcmap.so.4"), "no library\n").unwrap();
    let e = of_cmap(dir.path());
    assert_eq!((e.library.as_str(), &e.symbol), ("libcmap.so.4", &None));
    assert!(e.cause.contains("too short"), "{e:?}");
    let text = Missing(vec![e]).to_string();
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn a_directory_of_libraries_needs_no_ld_so_conf() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path();
    // As corosync's: it needs another one of its own directory, and knows no path to it.
    build(prefix, "libqb.so.100", &["qb_made"]);
    fs::write(
        prefix.join("user.c"),
        "int qb_made(void);\nint user(void) { return qb_made(); }\n",
    )
    .unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,--no-as-needed", "-o"])
        .arg(prefix.join("libuser.so.1"))
        .arg(prefix.join("user.c"))
        .arg(prefix.join("libqb.so.100"))
        .status()
        .unwrap();
    assert!(built.success());
    let alone = tempfile::tempdir().unwrap();
    fs::copy(
        prefix.join("libuser.so.1"),
        alone.path().join("libuser.so.1"),
    )
    .unwrap();
    let load = |dir: &Path| load(&[dir.to_owned()], false, "libuser.so.1", |_| Ok(()));
    // Unless the machine has a libqb of its own, it cannot be loaded where that is not beside it.
    if let Err(e) = load(alone.path()) {
        assert!(e.cause.contains("libqb.so.100"), "{e:?}");
    }
    load(prefix).unwrap();
}

#[test]
fn the_directories_are_those_of_the_binarys_prefix_if_the_loader_does_not_search_it() {
    let triplet = format!("/ddr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let want: Vec<PathBuf> = ["/ddr/lib64", "/ddr/lib", &triplet].map(Into::into).into();
    assert_eq!(dirs_for(Path::new("/ddr/bin/corosync")), want);
    assert_eq!(dirs_for(Path::new("/ddr/sbin/corosync")), want);
    for none in [
        "/usr/sbin/corosync",
        "/sbin/corosync",
        "/corosync",
        "corosync",
        "bin/corosync",
        "/",
        "",
    ] {
        assert_eq!(dirs_for(Path::new(none)), Vec::<PathBuf>::new(), "{none}");
    }
}
