//! corosync's own check of a configuration, `-t`. It has a deadline and never runs on the monitor's
//! thread.

use super::CorosyncSys;
use super::model::{Config, Item};
use super::render;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::sys::file;
use crate::sys::host;
use crate::sys::pidfd::Exit;
use crate::sys::tool::{self, Ran};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `-t` takes 5 s where the local name cannot be found; more than this is a hang.
const TEST_LIMIT: Duration = Duration::from_secs(15);

/// The running configuration database: key to value.
pub(super) type Cmap = BTreeMap<String, String>;

impl CorosyncSys {
    /// corosync's own opinion of a configuration: `corosync -t` on a copy, with this key.
    ///
    /// # Errors
    /// What corosync says against it; or that it could not be asked in time.
    pub(super) fn corosync_t(&self, config: &Config, key: Option<&Path>) -> Result<()> {
        let dir = self
            .params
            .run_dir
            .join(format!("check.{}", host::own_pid()));
        let logs = missing_logs(config);
        let tested = self
            .prepare_copy(&dir, config, key)
            .and_then(|copy| self.test_copy(&copy));
        // `-t` opens the logs for writing, and a check leaves nothing behind.
        for log in logs {
            let _ = std::fs::remove_file(log);
        }
        // A leftover would be found again, and replaced, at the next check.
        let _ = std::fs::remove_dir_all(&dir);
        tested
    }

    fn prepare_copy(&self, dir: &Path, config: &Config, key: Option<&Path>) -> Result<PathBuf> {
        use std::os::unix::fs::DirBuilderExt;
        let _ = std::fs::remove_dir_all(dir);
        let fail = |e: &std::io::Error| Error::io("create", dir.display(), e);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(dir)
            .map_err(|e| fail(&e))?;
        let mut copy = config.clone();
        if let Some(key) = key {
            copy.set_totem("keyfile", &key.to_string_lossy());
        }
        let mut text = render::render(&copy)?;
        // The last of a repeated key wins: without this, what is wrong past parsing reaches nobody.
        text.extend_from_slice(b"\nlogging {\n\tto_stderr: yes\n}\n");
        let path = dir.join("corosync.conf");
        file::write_atomic(&path, &text, 0o600)?;
        self.copy_uidgid(dir)?;
        Ok(path)
    }

    /// `uidgid.d` is read beside the file that `-c` names.
    fn copy_uidgid(&self, dir: &Path) -> Result<()> {
        let Some(live) = self.params.paths.conf.parent().map(|p| p.join("uidgid.d")) else {
            return Ok(());
        };
        let Ok(entries) = std::fs::read_dir(&live) else {
            return Ok(());
        };
        let to = dir.join("uidgid.d");
        std::fs::create_dir(&to).map_err(|e| Error::io("create", to.display(), &e))?;
        // corosync passes over what is no regular file, too.
        let regular =
            |e: &std::fs::DirEntry| std::fs::metadata(e.path()).is_ok_and(|m| m.is_file());
        for entry in entries.flatten().filter(regular).take(1000) {
            if let Some(bytes) = file::read_bounded(&entry.path(), 1 << 20)? {
                file::write_atomic(&to.join(entry.file_name()), &bytes, 0o600)?;
            }
        }
        Ok(())
    }

    fn test_copy(&self, copy: &Path) -> Result<()> {
        let bin = &self.params.paths.bin;
        let conf = copy.to_string_lossy();
        if file::executable(bin).is_err() {
            let e = Error::new(
                "check",
                "the configuration",
                format!("there is no {} to ask", bin.display()),
            );
            return Err(e
                .hint("install corosync there, or name it with --corosync-bin")
                .kind(ErrorKind::NotInstalled));
        }
        let ran = tool::run(bin, &["corosync", "-t", "-c", &conf], TEST_LIMIT)?;
        if ran.ok() {
            return Ok(());
        }
        let what = format!("corosync -t says: {}", last_line(&ran));
        let e = Error::new("check", "the configuration", what);
        Err(match ran.exit {
            None => e.hint(format!("it did not end within {} s", TEST_LIMIT.as_secs())),
            Some(Exit::Code(8)) => e.hint("mend the configuration or the key (exit 8)"),
            Some(Exit::Code(7)) => e.hint("mend the logging section (exit 7)"),
            Some(Exit::Code(16)) => e.hint("mend system.state_dir (exit 16)"),
            Some(exit) => e.hint(format!("{exit:?}")),
        })
    }
}

/// The log files of a configuration that are not there.
fn missing_logs(config: &Config) -> Vec<PathBuf> {
    fn of(items: &[Item], found: &mut Vec<PathBuf>) {
        for item in items {
            match item {
                Item::Key(key) if key.name == "logfile" => {
                    found.push(key.value.text().trim().into());
                }
                Item::Section(section) => of(&section.items, found),
                Item::Key(_) | Item::Comment(_) => {}
            }
        }
    }
    let mut found = Vec::new();
    if let Some(logging) = config.section("logging") {
        of(&logging.items, &mut found);
    }
    found.retain(|log| log.is_absolute() && log.symlink_metadata().is_err());
    found
}

/// The last line that says something, without corosync's time stamp.
fn last_line(ran: &Ran) -> String {
    let telling = |l: &&str| l.contains("error") || l.contains("crit") || l.contains("parse");
    let lines: Vec<&str> = ran
        .output
        .lines()
        .filter(|l| !l.trim().is_empty())
        .collect();
    let last = lines
        .iter()
        .rev()
        .copied()
        .find(|l| telling(l))
        .or(lines.last().copied());
    let line = last.unwrap_or("nothing");
    let cut = line.find(']').map_or(line, |at| line[at + 1..].trim());
    cut.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_most_is_the_last_error() {
        let ran = Ran {
            exit: Some(Exit::Code(8)),
            output: "Nov 23 10:15:13 notice  [MAIN  ] hello\n\
                     Nov 23 10:15:13 error   [MAIN  ] nodeid is twice there.\n\
                     Nov 23 10:15:13 notice  [MAIN  ] Cluster Engine exiting\n"
                .to_owned()
                .into(),
        };
        assert_eq!(last_line(&ran), "nodeid is twice there.");
    }
}
