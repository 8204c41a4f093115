//! Why another node could not be asked.

use crate::error::{Error, Kind};
use crate::noise::{Broken, Refusal};
use crate::sys::tcp;
use crate::wire::Unreachable;
use std::fmt;
use std::io;

/// The reason for programs, and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// For programs.
    pub why: Unreachable,
    /// For people, a part of a line: cause, and what to do.
    pub text: String,
}

impl Trouble {
    pub(super) fn new(why: Unreachable, text: impl Into<String>) -> Trouble {
        let text = text.into();
        Trouble { why, text }
    }

    /// What tells most about a node of which several addresses were tried: who answers badly is nearer
    /// than who refuses, and he is nearer than silence.
    pub(super) fn telling(&self) -> u8 {
        match self.why {
            Unreachable::WrongNode => 7,
            Unreachable::WrongKey => 6,
            Unreachable::OtherProtocol => 5,
            Unreachable::Busy => 4,
            Unreachable::Refused => 3,
            Unreachable::TimedOut => 2,
            Unreachable::Failed | Unreachable::NoKey => 1,
            Unreachable::NoAddress => 0,
        }
    }

    /// As an error of what was wanted of the node.
    #[must_use]
    pub fn error(&self, node: &str) -> Error {
        Error::new("ask node", node, &self.text).kind(Kind::Unreachable)
    }

    pub(super) fn timed_out(seconds: f32) -> Trouble {
        Trouble::new(
            Unreachable::TimedOut,
            format!(
                "no answer within {seconds:.1} s; it is off or cut off, or a firewall drops TCP to its clusmgr"
            ),
        )
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        let (why, what_to_do) = match refusal {
            Refusal::WrongKey => (
                Unreachable::WrongKey,
                "compare clusmgrctl key fingerprint on both",
            ),
            Refusal::OtherProtocol(_) => (
                Unreachable::OtherProtocol,
                "see what listens there, and that both nodes have the same clusmgr",
            ),
            Refusal::Busy => (Unreachable::Busy, "try again later"),
        };
        Trouble::new(why, format!("{refusal}; {what_to_do}"))
    }
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Trouble {
        Trouble::new(Unreachable::Failed, format!("it sent {broken}"))
    }
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Trouble {
        // That who is on the way says so, or the kernel here, and not its silence, makes no other case of it.
        match e.kind() {
            _ if tcp::has_no_way(&e) => Trouble::new(
                Unreachable::TimedOut,
                format!("{e}; it is off or cut off, or this node has no way to its network"),
            ),
            io::ErrorKind::ConnectionRefused => Trouble::new(
                Unreachable::Refused,
                "nobody listens there; see that clusmgr runs on it, with a key, and without --listen none",
            ),
            io::ErrorKind::TimedOut => Trouble::new(Unreachable::TimedOut, e.to_string()),
            _ => Trouble::new(Unreachable::Failed, e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind;

    #[test]
    fn a_node_that_is_off_is_so_by_silence_and_by_what_the_network_says() {
        for e in [
            ErrorKind::HostUnreachable,
            ErrorKind::NetworkUnreachable,
            ErrorKind::NetworkDown,
            ErrorKind::TimedOut,
        ] {
            let trouble = Trouble::from(io::Error::from(e));
            assert_eq!(trouble.why, Unreachable::TimedOut, "{trouble}");
        }
        let other = Trouble::from(io::Error::from(ErrorKind::PermissionDenied));
        assert_eq!(other.why, Unreachable::Failed);
    }
}
