//! `config check`: by the daemon, or here where there is none or a file is named.

use super::client::Result;
use super::commands::Cli;
use super::output::{Out, even_unread};
use super::text::{clean, wrap};
use super::{connect, label};
use crate::driver::corosync::finding::has_errors;
use crate::driver::corosync::nodes::LocalHost;
use crate::driver::corosync::parse::parse;
use crate::driver::corosync::validate::{KeyFile, validate};
use crate::error::{Error, Kind};
use crate::sys::{file, host};
use crate::wire::{CheckReport, Request, WireFinding};
use std::path::Path;
use zeroize::Zeroizing;

/// Where the live file may be, the system's before the appliance's.
const LIVE: [&str; 2] = [
    "/etc/corosync/corosync.conf",
    "/ddr/var/corosync/etc/corosync/corosync.conf",
];
/// Far more than any configuration has.
const MAX_SIZE: u64 = 1 << 20;

/// Prints what is wrong; gives the exit code.
pub(super) fn run(cli: &Cli, out: &Out, path: Option<&Path>, json: bool) -> Result<u8> {
    let mut report = match path {
        Some(path) => check(path, Kind::Failed)?,
        None => match connect(cli).and_then(|mut c| c.ask(Request::ConfigCheck)) {
            Err(e) if e.kind() == Kind::NotRunning && cli.node.is_none() => {
                let live = LIVE.iter().map(Path::new).find(|p| p.exists());
                check(live.unwrap_or(Path::new(LIVE[0])), Kind::NotConfigured)?
            }
            other => other?,
        },
    };
    even_unread(if json {
        let value = serde_json::to_value(&report).map_err(|e| Error::new("write", "report", e))?;
        out.json(&value)
    } else {
        if let Some(node) = &cli.node {
            report.path = format!("{}:{}", label(node), report.path);
        }
        out.print(&words(&report, out.view(false).width))
    })?;
    Ok(u8::from(!report.ok))
}

/// Checks a file; the kind is what its absence amounts to.
fn check(path: &Path, absent: Kind) -> Result<CheckReport> {
    // It may hold totem.key, so no copy of it stays in memory.
    let bytes = file::read_bounded(path, MAX_SIZE)?.map(Zeroizing::new);
    let bytes = bytes.ok_or_else(|| {
        Error::new("read", path.display(), "there is no such file")
            .hint("write it, or name the file to check")
            .kind(absent)
    })?;
    let hostname = host::hostname();
    let local = LocalHost {
        node_name: hostname.clone(),
        hostname,
        addresses: host::addresses(),
    };
    let findings = match parse(&bytes) {
        Ok(config) => validate(&config, &local, KeyFile::Unknown),
        Err(findings) => findings,
    };
    Ok(CheckReport {
        path: path.display().to_string(),
        ok: !has_errors(&findings),
        findings: findings.into_iter().map(WireFinding::from).collect(),
    })
}

/// `FILE:LINE:COLUMN: severity: key: message`, as compilers say it and editors read it.
fn words(report: &CheckReport, width: usize) -> String {
    let path = clean(&report.path);
    let mut text = String::new();
    for f in &report.findings {
        let mut place = path.clone();
        for n in [f.line, f.column].iter().take_while(|n| **n > 0) {
            place.push_str(&format!(":{n}"));
        }
        let key = if f.path.is_empty() {
            String::new()
        } else {
            format!("{}: ", clean(&f.path))
        };
        let (severity, message) = (clean(&f.severity), clean(&f.message));
        // One finding is one line for programs; only the sum below is wrapped.
        text.push_str(&format!("{place}: {severity}: {key}{message}\n"));
    }
    let errors = report.findings.iter().filter(|f| f.severity == "error");
    let errors = errors.count();
    let warnings = report.findings.len() - errors;
    let count = |n: usize, what: &str| match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    let sum = match (errors, warnings) {
        (0, 0) => format!("{path}: nothing is wrong"),
        (0, w) => format!("{path}: it can be used, with {}", count(w, "warning")),
        (e, 0) => format!("{path}: it cannot be used: {}", count(e, "error")),
        (e, w) => format!(
            "{path}: it cannot be used: {}, {}",
            count(e, "error"),
            count(w, "warning")
        ),
    };
    text.push_str(&wrap(&sum, width).join("\n"));
    text.push('\n');
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn findings_look_like_those_of_a_compiler() {
        let finding = |line, severity: &str| WireFinding {
            line,
            column: 9,
            path: "totem.token".to_owned(),
            severity: severity.to_owned(),
            message: "not a number".to_owned(),
        };
        let mut report = CheckReport {
            path: "/c".to_owned(),
            ok: false,
            findings: vec![finding(3, "error"), finding(0, "warning")],
        };
        assert_eq!(
            words(&report, 80),
            "/c:3:9: error: totem.token: not a number\n\
             /c: warning: totem.token: not a number\n\
             /c: it cannot be used: 1 error, 1 warning\n"
        );
        report.findings.clear();
        assert_eq!(words(&report, 80), "/c: nothing is wrong\n");
    }

    #[test]
    fn a_file_is_checked_without_a_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("corosync.conf");
        let missing = check(&path, Kind::NotConfigured).unwrap_err();
        assert_eq!(missing.kind(), Kind::NotConfigured);
        std::fs::write(&path, "totem {\n  token 5\n").unwrap();
        let report = check(&path, Kind::Failed).unwrap();
        assert!(!report.ok);
        assert!(report.findings.iter().any(|f| f.line == 2), "{report:?}");
    }
}
