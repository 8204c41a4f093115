//! One error type for all floors: operation, object, cause, what to do; printed in one line.
//!
//! Modules whose callers must tell cases apart (a failed spawn, the findings of a check) have small
//! types of their own, and turn into this one where they are told to a person.

use std::fmt;
use std::io;

/// What kind of failure it is: decides the exit code, and the `code` of a protocol reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything without a kind of its own. Exit code 1.
    Failed,
    /// The command line or the request is wrong. Exit code 2.
    Usage,
    /// The caller may not do this. Exit code 4.
    Denied,
    /// A program that is needed is not installed. Exit code 5.
    NotInstalled,
    /// There is no configuration. Exit code 6.
    NotConfigured,
    /// The daemon, or corosync, does not run. Exit code 7.
    NotRunning,
    /// It did not happen before the deadline. Exit code 1.
    TimedOut,
    /// Another operation of the kind is under way, or a bound is reached. Exit code 1.
    Busy,
    /// Another node's clusmgr cannot be asked. Exit code 1.
    Unreachable,
}

impl Kind {
    /// The LSB exit code for actions (not for `status`, which has its own).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed | Kind::TimedOut | Kind::Busy | Kind::Unreachable => 1,
            Kind::Usage => 2,
            Kind::Denied => 4,
            Kind::NotInstalled => 5,
            Kind::NotConfigured => 6,
            Kind::NotRunning => 7,
        }
    }

    /// The `code` of an error reply on the wire.
    #[must_use]
    pub fn wire_code(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Denied => "denied",
            Kind::NotInstalled => "not-installed",
            Kind::NotConfigured => "not-configured",
            Kind::NotRunning => "not-running",
            Kind::TimedOut => "timed-out",
            Kind::Busy => "busy",
            Kind::Unreachable => "unreachable",
        }
    }

    /// The kind that a wire code stands for; an unknown code is [`Kind::Failed`].
    #[must_use]
    pub fn from_wire_code(code: &str) -> Kind {
        [
            Kind::Usage,
            Kind::Denied,
            Kind::NotInstalled,
            Kind::NotConfigured,
            Kind::NotRunning,
            Kind::TimedOut,
            Kind::Busy,
            Kind::Unreachable,
        ]
        .into_iter()
        .find(|k| k.wire_code() == code)
        .unwrap_or(Kind::Failed)
    }
}

/// `OPERATION OBJECT: CAUSE; WHAT TO DO`, in one line.
///
/// No part may hold a secret: errors are logged and sent to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    op: String,
    object: String,
    cause: String,
    hint: String,
}

/// Short for a result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of kind [`Kind::Failed`]: what was attempted, on what, and why it failed.
    pub fn new(
        op: impl Into<String>,
        object: impl fmt::Display,
        cause: impl fmt::Display,
    ) -> Error {
        Error {
            kind: Kind::Failed,
            op: op.into(),
            object: one_line(&object),
            cause: one_line(&cause),
            hint: String::new(),
        }
    }

    /// An error of the operating system, in its words and with its number.
    pub fn io(op: impl Into<String>, object: impl fmt::Display, err: &io::Error) -> Error {
        let e = Error::new(op, object, err);
        // These two have no kind of their own in the oldest Rust that builds this.
        match err.raw_os_error() {
            Some(libc::ELOOP) => {
                return e.hint("remove the symbolic link there, or name another place");
            }
            Some(libc::ENAMETOOLONG) => return e.hint("name a shorter path"),
            _ => {}
        }
        match err.kind() {
            io::ErrorKind::StorageFull => e.hint("free some space there"),
            io::ErrorKind::ReadOnlyFilesystem => {
                e.hint("remount it read-write, or name another place")
            }
            io::ErrorKind::PermissionDenied => e.hint("check owner and mode, or run as root"),
            io::ErrorKind::NotADirectory => {
                e.hint("move the file away that stands for a directory, or name another place")
            }
            io::ErrorKind::IsADirectory => e.hint("move the directory away, or name another place"),
            io::ErrorKind::AlreadyExists => {
                e.hint("move away what is there, or name another place")
            }
            _ => e,
        }
    }

    /// Says what the user can do about it; the last part of the line.
    #[must_use]
    pub fn hint(mut self, what_to_do: impl fmt::Display) -> Error {
        self.hint = one_line(&what_to_do);
        self
    }

    /// Sets the kind.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Error {
        self.kind = kind;
        self
    }

    /// Why it failed, for a sentence that says the rest itself.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// The kind, for exit codes and replies.
    #[must_use]
    pub fn of_kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.op)?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        write!(f, ": {}", self.cause)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Text with every control character replaced, so that it stays one line in a log.
pub fn one_line(text: &impl fmt::Display) -> String {
    text.to_string()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_operation_object_cause_and_advice() {
        let e = Error::new("write", "/etc/x", "No space\nleft").hint("free some space");
        assert_eq!(
            e.to_string(),
            "write /etc/x: No space left; free some space"
        );
    }

    #[test]
    fn what_a_path_can_be_wrong_with_has_an_advice() {
        for (number, advice) in [
            (libc::EISDIR, "move the directory away"),
            (libc::ENOTDIR, "move the file away"),
            (libc::EEXIST, "move away what is there"),
            (libc::ELOOP, "symbolic link"),
            (libc::ENAMETOOLONG, "shorter"),
            (libc::EACCES, "run as root"),
            (libc::ENOSPC, "free some space"),
            (libc::EROFS, "read-write"),
        ] {
            let e = Error::io("open", "/x", &io::Error::from_raw_os_error(number)).to_string();
            let (_, hint) = e.split_once("; ").unwrap_or_default();
            assert!(hint.contains(advice), "{e}");
        }
    }

    #[test]
    fn every_kind_survives_the_wire() {
        for k in [
            Kind::Failed,
            Kind::Usage,
            Kind::Denied,
            Kind::NotInstalled,
            Kind::NotConfigured,
            Kind::NotRunning,
            Kind::TimedOut,
            Kind::Busy,
            Kind::Unreachable,
        ] {
            assert_eq!(Kind::from_wire_code(k.wire_code()), k);
        }
    }
}
