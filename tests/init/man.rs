//! The manual and `--help` name the same flags.

use super::repo;
use crate::common::Ran;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

type Flags = BTreeSet<String>;

fn help(program: &str, words: &[String]) -> String {
    let out = Command::new(program).args(words).arg("--help").output();
    Ran::of(&out.unwrap()).ok()
}

/// Every `-x` and `--word` at the beginning of a line, as options are listed.
fn flags_of_help(text: &str) -> Flags {
    let mut all = Flags::new();
    for line in text.lines() {
        for word in line.split_whitespace() {
            // The first word that is none ends the list of an option's names.
            let Some(name) = word.strip_prefix('-') else {
                break;
            };
            let end = name.find([',', '[', '=']).unwrap_or(name.len());
            all.insert(format!("-{}", &name[..end]));
        }
    }
    all
}

/// The verbs that a help lists.
fn verbs(text: &str) -> Vec<String> {
    let listed = text
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty());
    listed
        .filter_map(|l| l.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// Every option of a manual page, by its section: `""` for OPTIONS, else the verb.
fn page(path: &str) -> BTreeMap<String, Flags> {
    let text = std::fs::read_to_string(repo(path)).unwrap();
    let text = text.replace("\\-", "-");
    let mut sections = BTreeMap::new();
    let mut section = None;
    let mut tagged = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix(".SH ") {
            section = (name == "OPTIONS").then(String::new);
        } else if let Some(name) = line.strip_prefix(".SS ") {
            let name = name.trim_matches('"');
            section = Some(name.split("\\f").next().unwrap().trim().to_owned());
        }
        if let Some(section) = &section {
            let flags: &mut Flags = sections.entry(section.clone()).or_default();
            if tagged {
                let bold = line.split("\\fB").skip(1);
                flags.extend(bold.map(|b| b.split("\\fR").next().unwrap().to_owned()));
            }
        }
        tagged = line == ".TP";
    }
    sections
}

#[test]
fn every_flag_of_clusmgr_is_in_its_manual_and_the_other_way_round() {
    let help = flags_of_help(&help(env!("CARGO_BIN_EXE_clusmgr"), &[]));
    assert!(help.contains("--restart-delay") && help.contains("-f"));
    assert_eq!(page("scripts/man/clusmgr.8")[""], help);
}

#[test]
fn every_verb_and_flag_of_clusmgrctl_is_in_its_manual_and_the_other_way_round() {
    let ctl = env!("CARGO_BIN_EXE_clusmgrctl");
    let top = help(ctl, &[]);
    let everywhere = flags_of_help(&top);
    let mut all = BTreeMap::from([(String::new(), everywhere.clone())]);
    let mut left: Vec<Vec<String>> = verbs(&top).into_iter().map(|v| vec![v]).collect();
    while let Some(words) = left.pop() {
        let text = help(ctl, &words);
        let below = verbs(&text);
        if below.is_empty() {
            let own = flags_of_help(&text);
            let own = own.difference(&everywhere).cloned().collect();
            all.insert(words.join(" "), own);
        }
        left.extend(below.into_iter().map(|v| [words.clone(), vec![v]].concat()));
    }
    assert!(all["stop"].contains("--runtime"), "{all:?}");
    assert_eq!(page("scripts/man/clusmgrctl.8"), all);
}

#[test]
fn every_flag_of_clusmgr_is_in_the_defaults_file() {
    let text = std::fs::read_to_string(repo("scripts/init/default")).unwrap();
    let named: Flags = text
        .split_whitespace()
        .filter(|w| w.starts_with("--"))
        .map(str::to_owned)
        .collect();
    let help = flags_of_help(&help(env!("CARGO_BIN_EXE_clusmgr"), &[]));
    // What makes no sense for a daemon that init runs.
    let not = ["--foreground", "--driver", "--test", "--version", "--help"];
    for flag in help.iter().filter(|f| f.starts_with("--")) {
        let wanted = !not.contains(&flag.as_str()) || flag == "--driver";
        assert_eq!(named.contains(flag), wanted, "{flag}");
    }
    assert!(named.is_subset(&help), "{named:?}");
}
