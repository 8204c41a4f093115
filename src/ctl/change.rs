//! `config diff`, `apply`, `adopt`, `revert`, `history`, `rollback`: changes of the configuration.

use super::client::Result;
use super::commands::Cli;
use super::output::Out;
use super::text::{clean, clean_lines};
use super::{connect, heading};
use crate::error::Error;
use crate::sys::{file, term};
use crate::wire::{ChangeReport, ConfText, DiffReport, HistoryPage, Request};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As `config check` has it. It must also fit in a line of the protocol; the client sees to that.
const MAX_SIZE: u64 = 1 << 20;
/// The longest that a change takes: the check, a restart that does not become ready, and the way back.
const LONGEST: Duration = Duration::from_secs(120);

/// What to do with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `config diff [FILE]`
    Diff(Option<PathBuf>),
    /// `config apply FILE`
    Apply(PathBuf, How),
    /// `config adopt`
    Adopt(How),
    /// `config revert`
    Revert(How),
    /// `config history`
    History,
    /// `config rollback [N]`
    Rollback(Option<u64>, How),
}

/// How to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    this_node_only: bool,
    dry_run: bool,
}

/// The verbs, for the parser.
pub(super) fn verbs() -> Vec<Command> {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let file = || {
        Arg::new("file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
    };
    let json = || flag("json", "Print JSON, for programs");
    let dry = || flag("dry-run", "Say what would be done, and do nothing");
    let only = || {
        let help = "The new file is meant for this node alone: do the same on every other; a reload makes each read its own again";
        flag("this-node-only", help)
    };
    vec![
        Command::new("diff")
            .about("Shows what FILE, or else the live file, would change")
            .arg(file().help("The file to compare [the live corosync.conf]"))
            .arg(
                flag(
                    "all",
                    "What every node holds, against what this one holds; exits with 0 if it is the same, else 1",
                )
                .conflicts_with("file"),
            )
            .arg(json()),
        Command::new("apply")
            .about("Makes FILE the configuration: checked, brought into effect, proved; or all is as before")
            .arg(file().required(true).help("The new corosync.conf"))
            .args([dry(), only(), json()]),
        Command::new("adopt")
            .about("Takes a live file in that somebody else changed; reloads what can be reloaded")
            .args([dry(), json()]),
        Command::new("revert")
            .about("Puts what clusmgr holds over a live file that somebody else changed")
            .args([dry(), json()]),
        Command::new("history").about("Shows the last 50 changes").arg(json()),
        Command::new("rollback")
            .about("Makes an earlier configuration the present one, under a newer version")
            .arg(
                Arg::new("number")
                    .value_name("N")
                    .value_parser(value_parser!(u64))
                    .help("Its number in the history [the one before the present one]"),
            )
            .args([dry(), only(), json()]),
    ]
}

/// Reads one of them; none for another verb.
pub(super) fn read(name: &str, m: &ArgMatches) -> Option<Change> {
    let is = |flag: &str| m.try_get_one(flag).is_ok_and(|f| f == Some(&true));
    let file = || m.get_one::<PathBuf>("file").cloned();
    let how = How {
        this_node_only: is("this-node-only"),
        dry_run: is("dry-run"),
    };
    Some(match name {
        "diff" => Change::Diff(file()),
        "apply" => Change::Apply(file()?, how),
        "adopt" => Change::Adopt(how),
        "revert" => Change::Revert(how),
        "history" => Change::History,
        "rollback" => Change::Rollback(m.get_one("number").copied(), how),
        _ => return None,
    })
}

/// Carries it out; gives the exit code.
pub(super) fn run(cli: &Cli, out: &Out, change: &Change, json: bool) -> Result<u8> {
    let request = match change {
        Change::Diff(file) => {
            let text = file.as_deref().map(read_text).transpose()?;
            let report: DiffReport = connect(cli)?.ask(Request::ConfigDiff { text })?;
            print(out, json, &report, |r| {
                heading(cli, "# ") + &words_of_diff(r)
            })?;
            return Ok(0);
        }
        Change::History => {
            let page: HistoryPage = connect(cli)?.ask(Request::ConfigHistory)?;
            print(out, json, &page, |p| {
                heading(cli, "") + &words_of_history(p)
            })?;
            return Ok(0);
        }
        Change::Apply(
            file,
            How {
                this_node_only,
                dry_run,
            },
        ) => Request::ConfigApply {
            text: read_text(file)?,
            this_node_only: *this_node_only,
            dry_run: *dry_run,
        },
        Change::Adopt(how) => Request::ConfigAdopt {
            dry_run: how.dry_run,
        },
        Change::Revert(how) => Request::ConfigRevert {
            dry_run: how.dry_run,
        },
        Change::Rollback(
            id,
            How {
                this_node_only,
                dry_run,
            },
        ) => Request::ConfigRollback {
            number: *id,
            this_node_only: *this_node_only,
            dry_run: *dry_run,
        },
    };
    let value = connect(cli)?.call(request, LONGEST)?;
    let report: ChangeReport =
        serde_json::from_value(value).map_err(|e| Error::new("read", "the daemon's answer", e))?;
    print(out, json, &report, words_of_change)?;
    Ok(0)
}

fn print<T: Serialize>(
    out: &Out,
    json: bool,
    what: &T,
    words: impl Fn(&T) -> String,
) -> Result<()> {
    if json {
        let value = serde_json::to_value(what).map_err(|e| Error::new("write", "the report", e))?;
        return out.json(&value);
    }
    out.print(&words(what))
}

fn read_text(path: &Path) -> Result<ConfText> {
    let bytes = file::read_bounded(path, MAX_SIZE)?.ok_or_else(|| {
        Error::new("read", path.display(), "there is no such file")
            .hint("name the new corosync.conf")
    })?;
    Ok(bytes.into())
}

fn words_of_change(report: &ChangeReport) -> String {
    let mut text = String::new();
    for line in &report.plan {
        let _ = writeln!(text, "  {}", clean(line));
    }
    for line in &report.warnings {
        let _ = writeln!(text, "  warning: {}", clean(line));
    }
    let (what, version) = (clean(&report.what), report.version);
    let _ = match (report.done, report.how.as_str()) {
        (true, "next-start") => writeln!(
            text,
            "{what}: done, config_version {version}; corosync reads it at its next start"
        ),
        (true, _) if report.what == "adopt" => writeln!(
            text,
            "adopt: done, config_version {version}; {}",
            match report.how.as_str() {
                "reload" => "corosync has read it, and that is proved",
                "restart" => "clusmgrctl restart brings it into effect",
                _ => "nothing in it had to be brought into effect",
            }
        ),
        (true, how) => {
            writeln!(
                text,
                "{what}: done and proved, config_version {version}, by {how}, in {} ms",
                report.took_ms
            )
        }
        (false, "nothing") => writeln!(text, "{what}: nothing to do"),
        (false, how) => writeln!(
            text,
            "{what}: would be done by {how}, config_version {version}"
        ),
    };
    text
}

fn words_of_diff(report: &DiffReport) -> String {
    if report.diff.is_empty() {
        return "no difference\n".to_owned();
    }
    let mut text = clean_lines(&report.diff);
    for line in &report.plan {
        let _ = writeln!(text, "# {}", clean(line));
    }
    text
}

fn words_of_history(page: &HistoryPage) -> String {
    let mut text = String::new();
    for e in &page.entries {
        let hash: String = e.sha256.chars().take(12).collect();
        let _ = write!(
            text,
            "{:>4}  {}  version {:<5} {hash}  {:<9} by {:<7} {}",
            e.id,
            term::local_time(e.at),
            e.version.0,
            clean(&e.what),
            clean(&e.how),
            clean(&e.by)
        );
        if let Some(why) = &e.undone {
            let _ = write!(text, "\n      undone: {}", clean(why));
        }
        text.push('\n');
    }
    if page.entries.is_empty() {
        text.push_str("no changes yet\n");
    }
    if page.damaged > 0 {
        let _ = writeln!(
            text,
            "{} lines of the history file are damaged and left out",
            page.damaged
        );
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::types::{ConfigVersion, WallMs};
    use crate::wire::HistoryEntry;

    fn report(what: &str, done: bool, how: &str) -> String {
        words_of_change(&ChangeReport {
            what: what.into(),
            done,
            how: how.into(),
            version: ConfigVersion(7),
            sha256: String::new(),
            plan: vec!["totem.token: 1000 → 2000 (reload)".into()],
            warnings: Vec::new(),
            took_ms: 80,
        })
    }

    #[test]
    fn a_change_says_what_was_done_and_how() {
        assert_eq!(
            report("apply", true, "reload"),
            "  totem.token: 1000 → 2000 (reload)\napply: done and proved, config_version 7, by reload, in 80 ms\n"
        );
        assert!(
            report("apply", false, "restart")
                .ends_with("would be done by restart, config_version 7\n")
        );
        for what in ["apply", "adopt"] {
            let said = report(what, true, "next-start");
            assert!(
                said.ends_with("corosync reads it at its next start\n"),
                "{said}"
            );
        }
        assert!(
            report("revert", true, "start").contains("done and proved, config_version 7, by start")
        );
        assert!(report("adopt", true, "restart").contains("clusmgrctl restart"));
        assert!(report("revert", false, "nothing").ends_with("revert: nothing to do\n"));
    }

    #[test]
    fn the_history_tells_what_was_undone_and_what_is_damaged() {
        let entry = HistoryEntry {
            id: 3,
            at: WallMs(0),
            version: ConfigVersion(7),
            sha256: "0123456789abcdef".into(),
            by: "uid 0 pid 5".into(),
            what: "apply".into(),
            how: "reload".into(),
            key: None,
            undone: Some("totem.token is 1000".into()),
        };
        let text = words_of_history(&HistoryPage {
            entries: vec![entry],
            damaged: 2,
        });
        assert!(
            text.contains("version 7     0123456789ab  apply     by reload  uid 0 pid 5"),
            "{text}"
        );
        assert!(
            text.contains("\n      undone: totem.token is 1000\n"),
            "{text}"
        );
        assert!(
            text.ends_with("2 lines of the history file are damaged and left out\n"),
            "{text}"
        );
    }
}
