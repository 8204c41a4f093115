#![allow(clippy::unwrap_used)]

use super::*;

fn read(line: &str) -> Result<Cli, Stop> {
    parse(line.split(' ').map(OsString::from))
}

fn usage(line: &str) -> String {
    match read(line) {
        Err(Stop::Usage(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_command_line_has_no_contradiction() {
    command().debug_assert();
}

#[test]
fn every_verb_with_its_defaults() {
    let cli = read("clusmgrctl status").unwrap();
    assert_eq!(cli.socket, PathBuf::from(SOCKET));
    assert_eq!(cli.timeout, Duration::from_secs(10));
    let s = Duration::from_secs;
    let act = |action, wait| Verb::Act {
        action,
        runtime: false,
        wait,
    };
    let runtime = |action, wait| Verb::Act {
        action,
        runtime: true,
        wait,
    };
    let all = |what, json| Verb::All { what, json };
    let restart_all = |wait, dry_run, json| Verb::RestartAll {
        wait: s(wait),
        dry_run,
        json,
    };
    let status = |watch, wait, json| Verb::Status { watch, wait, json };
    for (line, verb) in [
        ("status", status(false, None, false)),
        ("status --watch --json", status(true, None, true)),
        ("status --wait", status(false, Some(s(60)), false)),
        ("status --wait=5", status(false, Some(s(5)), false)),
        ("start", act(Action::Start, s(10))),
        ("start --timeout 3", act(Action::Start, s(3))),
        ("start --wait", act(Action::Start, s(60))),
        ("start --no-wait", act(Action::Start, s(0))),
        ("stop", act(Action::Stop, s(20))),
        ("stop --runtime", runtime(Action::Stop, s(20))),
        ("start --runtime --wait=9", runtime(Action::Start, s(9))),
        ("restart --wait=7", act(Action::Restart, s(7))),
        (
            "events -f --since 5",
            Verb::Events {
                follow: true,
                since: Some(5),
                json: false,
            },
        ),
        ("config show --json", Verb::ConfigShow { json: true }),
        (
            "config check /x",
            Verb::ConfigCheck {
                file: Some("/x".into()),
                json: false,
            },
        ),
        ("why", Verb::Why { json: false }),
        ("why --json", Verb::Why { json: true }),
        ("link list", Verb::LinkList { json: false }),
        ("link list --json", Verb::LinkList { json: true }),
        ("key fingerprint", Verb::KeyFingerprint { json: false }),
        ("status --all", all(Question::Status, false)),
        ("why --all --json", all(Question::Why, true)),
        ("config diff --all", all(Question::ConfigDiff, false)),
        (
            "key fingerprint --all",
            all(Question::KeyFingerprint, false),
        ),
        ("link matrix --json", all(Question::LinkMatrix, true)),
        ("restart --all", restart_all(60, false, false)),
        (
            "restart --all --wait=5 --dry-run --json",
            restart_all(5, true, true),
        ),
    ] {
        let cli = read(&format!("clusmgrctl {line}")).unwrap();
        assert_eq!(cli.verb, verb, "{line}");
    }
    let cli = read("clusmgrctl config show --socket /s").unwrap();
    assert_eq!(cli.socket, PathBuf::from("/s"));
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_a_suggestion() {
    for (line, part) in [
        ("clusmgrctl statsu", "'status'"),
        ("clusmgrctl status --jsno", "'--json'"),
        ("clusmgrctl", "subcommand"),
        ("clusmgrctl config", "show, check"),
        ("clusmgrctl link", "list"),
        ("clusmgrctl why not", "'not'"),
        ("clusmgrctl start --wait=601", "at most 600 seconds"),
        ("clusmgrctl start --wait=0", "seconds above 0"),
        ("clusmgrctl restart --runtime", "'--runtime'"),
        ("clusmgrctl --timeout nan status", "seconds above 0"),
        ("clusmgrctl events --since -1", "-1"),
        ("clusmgrctl status --watch --wait", "cannot be used with"),
        ("clusmgrctl status now", "'now'"),
        ("clusmgrctl status --all --watch", "cannot be used with"),
        ("clusmgrctl config diff /x --all", "cannot be used with"),
        ("clusmgrctl restart --all --no-wait", "cannot be used with"),
        ("clusmgrctl restart --dry-run", "--all"),
        ("clusmgrctl restart --json", "--all"),
        ("clusmgrctl stop --all", "'--all'"),
    ] {
        let text = usage(line);
        assert!(text.contains(part), "{line}: {text}");
        assert!(!text.contains('\n') && !text.contains("  "), "{text}");
        assert!(text.ends_with("; see clusmgrctl --help"), "{text}");
    }
    assert_eq!(
        usage("clusmgrctl eventz"),
        "unrecognized subcommand 'eventz'; tip: a similar subcommand exists: 'events'; \
         see clusmgrctl --help"
    );
}

#[test]
fn a_node_is_named_before_or_after_the_verb() {
    for line in [
        "clusmgrctl --node n2 status",
        "clusmgrctl status --node n2",
        "clusmgrctl config history --node n2",
        "clusmgrctl config check --node n2",
        "clusmgrctl config diff /x --node n2",
    ] {
        assert_eq!(read(line).unwrap().node.as_deref(), Some("n2"), "{line}");
    }
    assert_eq!(read("clusmgrctl status").unwrap().node, None);
}

#[test]
fn what_cannot_be_asked_of_another_node_says_what_to_do_instead() {
    for (line, part) in [
        ("config apply /x", "run clusmgrctl config apply on n2"),
        ("config adopt", "run clusmgrctl config adopt on n2"),
        ("config revert", "run clusmgrctl config revert on n2"),
        ("config rollback 3", "run clusmgrctl config rollback on n2"),
        ("config check /x", "without the daemon"),
        ("status --all", "leave --node out"),
        ("restart --all", "leave --node out"),
        ("link matrix", "leave --node out"),
    ] {
        let text = usage(&format!("clusmgrctl --node n2 {line}"));
        assert!(text.contains(part), "{line}: {text}");
    }
}

#[test]
fn help_is_no_error() {
    let Err(Stop::Show(text)) = read("clusmgrctl --help") else {
        panic!("no help");
    };
    assert!(
        text.contains("fingerprint") || text.contains("key"),
        "{text}"
    );
}

#[test]
fn completion_names_every_verb_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let Err(Stop::Show(text)) = read(&format!("clusmgrctl completion {shell}")) else {
            panic!("{shell}");
        };
        for verb in command().get_subcommands() {
            assert!(text.contains(verb.get_name()), "{shell}: {verb}");
        }
    }
    assert!(usage("clusmgrctl completion").contains("SHELL"));
    assert!(usage("clusmgrctl completion sh").contains("bash"));
}
