//! Where things are: the two layouts of the C design (C: `corosync_bin_path[]`,
//! `corosync_conf_path[]`, `corosync_auth_path[]`, `corosync_pid_path[]`), and clusmgr's own places.

use std::path::{Path, PathBuf};

/// One set of corosync's paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The name that `--layout` takes.
    pub name: &'static str,
    /// The executable.
    pub bin: &'static str,
    /// corosync.conf.
    pub conf: &'static str,
    /// The authkey.
    pub authkey: &'static str,
    /// corosync's pid file. Until 3.1.8 it is compiled in: the flag only says where it is.
    pub pid: &'static str,
}

/// The system's paths, then the appliance's.
pub const LAYOUTS: [Layout; 2] = [
    Layout {
        name: "system",
        bin: "/sbin/corosync",
        conf: "/etc/corosync/corosync.conf",
        authkey: "/etc/corosync/authkey",
        pid: "/var/run/corosync.pid",
    },
    Layout {
        name: "ddr",
        bin: "/ddr/bin/corosync",
        conf: "/ddr/var/corosync/etc/corosync/corosync.conf",
        authkey: "/ddr/var/corosync/etc/corosync/authkey",
        pid: "/ddr/var/corosync/var/run/corosync.pid",
    },
];

/// The authkey that corosync reads where its configuration names none (its compiled-in default, as
/// distributions build it).
pub const COROSYNC_DEFAULT_KEYFILE: &str = "/etc/corosync/authkey";

/// The layout of this name.
#[must_use]
pub fn layout(name: &str) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|l| l.name == name)
}

/// The first layout whose binary exists under `root` (`/`); the system's if none does.
#[must_use]
pub fn first_present(root: &Path) -> &'static Layout {
    LAYOUTS
        .iter()
        .find(|l| under(root, l.bin).exists())
        .unwrap_or(&LAYOUTS[0])
}

fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// corosync's paths as they are used: a layout, with what the flags replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorosyncPaths {
    /// The executable.
    pub bin: PathBuf,
    /// corosync.conf.
    pub conf: PathBuf,
    /// The authkey, unless corosync.conf names another.
    pub authkey: PathBuf,
    /// corosync's pid file.
    pub pid: PathBuf,
}

impl From<&Layout> for CorosyncPaths {
    fn from(l: &Layout) -> CorosyncPaths {
        CorosyncPaths {
            bin: l.bin.into(),
            conf: l.conf.into(),
            authkey: l.authkey.into(),
            pid: l.pid.into(),
        }
    }
}

/// `--state-dir`, by default.
pub const STATE_DIR: &str = "/var/lib/clusmgr";
/// `--run-dir`, by default.
pub const RUN_DIR: &str = "/run/clusmgr";
/// The local service, below the run directory.
pub const SOCKET_NAME: &str = "clusmgr.sock";
/// Where corosync says READY=1, below the run directory.
pub const NOTIFY_NAME: &str = "notify.sock";
/// The lock of the state directory, in it.
pub const LOCK_NAME: &str = "clusmgr.lock";
/// Where the locks of corosync's files are: writable where `/etc` is not, and gone after a boot.
pub const LOCK_DIR: &str = "/run";
/// The daemon's pid file, below the run directory.
pub const PID_NAME: &str = "clusmgr.pid";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_layout_whose_binary_exists_is_used() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(first_present(root.path()).name, "system");
        std::fs::create_dir_all(root.path().join("ddr/bin")).unwrap();
        std::fs::write(root.path().join("ddr/bin/corosync"), "").unwrap();
        assert_eq!(first_present(root.path()).name, "ddr");
        std::fs::create_dir_all(root.path().join("sbin")).unwrap();
        std::fs::write(root.path().join("sbin/corosync"), "").unwrap();
        assert_eq!(first_present(root.path()).name, "system");
    }

    #[test]
    fn each_layout_is_found_by_its_name() {
        for l in &LAYOUTS {
            assert_eq!(layout(l.name), Some(l));
        }
        assert_eq!(layout("other"), None);
    }
}
