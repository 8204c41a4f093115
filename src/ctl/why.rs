//! `why`: what is wrong, why, and what to do.

use super::client::{Fail, Result};
use super::commands::Cli;
use super::output::{Out, View, even_unread};
use super::status::Dead;
use super::text::{Colour, clean, paint, wrap};
use super::{connect, heading, said};
use crate::error::{Error, Kind};
use crate::event::Severity;
use crate::verdict::{Report, UNREACHABLE, Verdict};
use crate::wire::Request;
use serde_json::Value;

/// Prints the report; gives the exit code.
pub(super) fn run(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    let (report, code) = match connect(cli).and_then(|mut c| c.ask::<Report>(Request::Why)) {
        Ok(report) => {
            let code = u8::from(!report.ok);
            (report, code)
        }
        Err(e) if cli.node.is_some() => {
            if json {
                even_unread(out.json(&value_of(&Report::of(silent(cli, &e)))?))?;
            }
            return Err(e);
        }
        Err(e) => {
            let code = match e.kind() {
                Kind::NotRunning => 1,
                kind => kind.exit_code().max(1),
            };
            (Report::of(no_report(cli, &e)?), code)
        }
    };
    even_unread(if json {
        out.json(&value_of(&report)?)
    } else {
        let text = words(&report, &out.view(false));
        out.print(&(heading(cli, "") + &text))
    })?;
    Ok(code)
}

fn value_of(report: &Report) -> Result<Value> {
    Ok(serde_json::to_value(report).map_err(|e| Error::new("write", "report", e))?)
}

/// That the daemon here is dead, or does not answer, is a verdict too, and the first one.
pub(super) fn no_report(cli: &Cli, e: &Fail) -> Result<Verdict> {
    match e.kind() {
        Kind::NotRunning => Ok(Dead::look(&cli.socket)?.verdict()),
        _ => Ok(no_answer(e)),
    }
}

/// Of another node that could not be asked.
fn silent(cli: &Cli, e: &Fail) -> Verdict {
    match e.kind() {
        Kind::Denied => no_answer(e),
        _ => Verdict {
            code: UNREACHABLE.to_owned(),
            severity: Severity::Err,
            summary: clean(&said(cli, e)),
            evidence: Vec::new(),
            what_to_do: Vec::new(),
        },
    }
}

/// What it means that a daemon which is there does not say what is wrong.
fn no_answer(e: &Fail) -> Verdict {
    let (code, summary, what_to_do) = match e.kind() {
        Kind::Denied => (
            "no-permission",
            "this user may not ask clusmgr",
            "ask as root, or as a member of the group of its socket",
        ),
        _ => (
            "clusmgr-deaf",
            "clusmgr does not answer",
            "ask again with a longer --timeout; if that does not help, look at clusmgr's log",
        ),
    };
    Verdict {
        code: code.to_owned(),
        severity: Severity::Err,
        summary: summary.to_owned(),
        evidence: vec![e.to_string()],
        what_to_do: vec![what_to_do.to_owned()],
    }
}

/// The first verdict, and below it what else is wrong.
fn words(report: &Report, view: &View) -> String {
    let mut text = String::new();
    for (n, verdict) in report.verdicts.iter().enumerate() {
        if n == 1 {
            text.push_str("\nAlso:\n");
        }
        if n > 0 {
            text.push('\n');
        }
        for line in lines(verdict, view) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

pub(super) fn lines(verdict: &Verdict, view: &View) -> Vec<String> {
    let colour = match verdict.severity {
        Severity::Info => Colour::Green,
        Severity::Notice | Severity::Warning => Colour::Yellow,
        Severity::Err | Severity::Crit => Colour::Red,
    };
    let (code, summary) = (clean(&verdict.code), clean(&verdict.summary));
    let head = match summary.strip_prefix(&code) {
        Some(_) => summary,
        None => format!("{code}: {summary}"),
    };
    let head = wrap(&head, view.width);
    let mut all: Vec<String> = head.iter().map(|l| paint(l, colour, view.colour)).collect();
    let mut list = |first: &str, entry: &str| {
        let mut head = first.to_owned();
        for line in wrap(&clean(entry), view.width - first.chars().count()) {
            all.push(format!("{head}{line}"));
            head = " ".repeat(first.chars().count());
        }
    };
    for line in &verdict.evidence {
        list("  ", line);
    }
    if !verdict.what_to_do.is_empty() {
        list("  ", "What to do:");
    }
    for step in &verdict.what_to_do {
        list("    - ", step);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::WallMs;
    use crate::verdict::judge_at;
    use crate::wire::sample::{NOW, healthy};
    use crate::wire::{MemberState, Status};

    fn said(status: &Status, width: usize) -> String {
        let view = View {
            now: WallMs(NOW),
            ago: false,
            width,
            colour: false,
            time: |t| t.0.to_string(),
        };
        words(&judge_at(status, WallMs(NOW)), &view)
    }

    #[test]
    fn a_verdict_is_told_with_its_evidence_and_the_next_one_after_it() {
        let mut status = healthy(3, 1)
            .without(2, MemberState::Missing)
            .without(3, MemberState::Left);
        status.config.drift = true;
        let text = said(&status, 80);
        assert!(
            text.starts_with(
                "\
not-quorate: no quorum: 1 of 2 votes needed; n2 and n3 missing
  1 of 3 nodes are members, with 1 of 3 votes; 2 are needed
  n2 was not seen since the start of corosync; its link is down
  n3 left the cluster; its link is down
  What to do:
    - bring the missing nodes back: see that they have power and that clusmgrctl
      status is fine on each
    - see that the network between them carries UDP port 5405 and up

Also:

drift: /etc/corosync/corosync.conf is not what clusmgr last wrote
"
            ),
            "{text}"
        );
        for line in said(&status, 40).lines() {
            assert!(line.chars().count() <= 40, "{line}");
        }
    }

    #[test]
    fn a_healthy_node_is_told_so() {
        assert_eq!(
            said(&healthy(2, 2), 80),
            "\
healthy: a member of a quorate cluster
  2 of 2 nodes are members, with 2 of 2 votes; 2 are needed
  all 2 links connected
"
        );
    }
}
