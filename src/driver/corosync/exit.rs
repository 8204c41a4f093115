//! What an end of corosync means. The codes are those of corosync's `enum e_corosync_done`.

use crate::sys::pidfd::Exit;
use nix::sys::signal::Signal;

/// The meaning of an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// In words; part of the protocol (`last_exit.cause`).
    pub cause: String,
    /// Retrying cannot heal it.
    pub permanent: bool,
    /// Another corosync runs already: adopt it instead.
    pub already_running: bool,
}

/// What corosync says before it leaves because its configuration is behind.
const OLD_VERSION: &str = "is different than my config version";

/// Reads an end. `asked` says that we told it to end; `hung` that we killed it because it hung;
/// `literal` that every address of the nodelist is a number (a name may fail to resolve at boot, so
/// exit 8 can heal then).
#[must_use]
pub fn meaning(exit: Exit, asked: bool, hung: bool, literal: bool, output: &[String]) -> Meaning {
    let (cause, permanent) = match exit {
        _ if hung => ("hung: killed by clusmgr".to_owned(), false),
        Exit::Unknown if asked => (
            "stopped as asked (it was adopted, so its status is not known)".to_owned(),
            false,
        ),
        Exit::Unknown => (
            "unknown: it was adopted, and the kernel tells its status to nobody else".into(),
            false,
        ),
        Exit::Signal { signal, core } => {
            let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
            (
                format!(
                    "killed by signal {signal} ({name}){}",
                    if core { ", core dumped" } else { "" }
                ),
                false,
            )
        }
        Exit::Code(0) if asked => ("exit 0 (stopped as asked)".to_owned(), false),
        Exit::Code(0) if output.iter().any(|l| l.contains(OLD_VERSION)) => (
            "exit 0 (not asked for: its config_version is not its peers')".to_owned(),
            false,
        ),
        Exit::Code(0) => ("exit 0 (not asked for)".to_owned(), false),
        Exit::Code(code) => {
            let permanent = match code {
                8 => literal,
                1 | 7 | 16 | 20 | 21 => true,
                _ => false,
            };
            (format!("exit {code} ({})", code_text(code)), permanent)
        }
    };
    Meaning {
        cause,
        permanent,
        already_running: exit == Exit::Code(18) && !asked,
    }
}

/// Whether it ended because one of its services could not be started, by which also a socket's name that
/// is taken shows.
#[must_use]
pub fn no_service(exit: Exit) -> bool {
    exit == Exit::Code(20)
}

fn code_text(code: i32) -> &'static str {
    match code {
        1 => "usage",
        4 => "cannot fork",
        7 => "logging configuration",
        8 => "main configuration or authkey",
        9 => "log set-up",
        12 => "object database",
        13 => "services",
        15 => "fatal error of knet or totem",
        16 => "state_dir",
        17 => "cannot lock its pid file",
        18 => "already running",
        19 => "null redirection",
        20 => "quorum configuration or a service's start",
        21 => "ring id cannot be stored",
        22 => "statistics",
        99 => "pload",
        255 => "ended by corosync-cfgtool -k",
        _ => "unknown to clusmgr",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(exit: Exit) -> Meaning {
        meaning(exit, false, false, true, &[])
    }

    #[test]
    fn codes_that_retrying_cannot_heal_are_permanent_and_others_are_not() {
        for code in 0..=255 {
            let permanent = matches!(code, 1 | 7 | 8 | 16 | 20 | 21);
            assert_eq!(of(Exit::Code(code)).permanent, permanent, "exit {code}");
        }
        assert!(!of(Exit::Unknown).permanent);
        assert!(
            !of(Exit::Signal {
                signal: 9,
                core: false
            })
            .permanent
        );
    }

    #[test]
    fn exit_8_can_heal_where_a_name_must_be_resolved() {
        assert!(!meaning(Exit::Code(8), false, false, false, &[]).permanent);
    }

    #[test]
    fn an_exit_0_that_nobody_asked_for_is_told_apart_by_the_output() {
        let said = ["error [MAIN ] Received config version (4) is different than my config version (3)! Exiting".to_owned()];
        assert_eq!(
            meaning(Exit::Code(0), false, false, true, &said).cause,
            "exit 0 (not asked for: its config_version is not its peers')"
        );
        assert_eq!(of(Exit::Code(0)).cause, "exit 0 (not asked for)");
        assert_eq!(
            meaning(Exit::Code(0), true, false, true, &said).cause,
            "exit 0 (stopped as asked)"
        );
    }

    #[test]
    fn an_adopted_one_that_was_told_to_end_has_a_cause() {
        let asked = meaning(Exit::Unknown, true, false, true, &[]);
        assert!(asked.cause.starts_with("stopped as asked"), "{asked:?}");
        assert!(of(Exit::Unknown).cause.starts_with("unknown"));
    }

    #[test]
    fn signals_are_named_and_18_means_adoption() {
        assert_eq!(
            of(Exit::Signal {
                signal: 9,
                core: false
            })
            .cause,
            "killed by signal 9 (SIGKILL)"
        );
        assert_eq!(
            of(Exit::Signal {
                signal: 6,
                core: true
            })
            .cause,
            "killed by signal 6 (SIGABRT), core dumped"
        );
        assert!(of(Exit::Code(18)).already_running);
        assert!(!of(Exit::Code(17)).already_running);
        assert_eq!(
            meaning(
                Exit::Signal {
                    signal: 9,
                    core: false
                },
                false,
                true,
                true,
                &[]
            )
            .cause,
            "hung: killed by clusmgr"
        );
    }
}
