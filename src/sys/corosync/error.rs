//! What the libraries answer.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl CsError {
            $($(#[$doc])* pub const $name: CsError = CsError($value);)*

            /// Every code and its name; the test compares them with the header.
            pub(super) const ALL: &'static [(u32, &'static str)] =
                &[$(($value, concat!("CS_ERR_", stringify!($name)))),*];
        }
    };
}

/// An answer of corosync's libraries that is not `CS_OK`: `cs_error_t` of corotypes.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CsError(pub u32);

codes! {
    /// The connection is broken: corosync does not run, or died. Open anew.
    LIBRARY = 2;
    /// The library and corosync do not understand each other.
    VERSION = 3;
    /// Not initialized.
    INIT = 4;
    /// It took too long.
    TIMEOUT = 5;
    /// Not now: corosync starts, synchronizes, or its queue is full.
    TRY_AGAIN = 6;
    /// An argument that makes no sense; for a map also a value that is too long, or a bad key.
    INVALID_PARAM = 7;
    /// No memory.
    NO_MEMORY = 8;
    /// No such handle.
    BAD_HANDLE = 9;
    /// Busy.
    BUSY = 10;
    /// We may not: a read-only key, or a user whom corosync does not admit.
    ACCESS = 11;
    /// There is no such thing.
    NOT_EXIST = 12;
    /// A name that is too long, or, of a key, too short or with a bad character.
    NAME_TOO_LONG = 13;
    /// It is there already.
    EXIST = 14;
    /// No space.
    NO_SPACE = 15;
    /// Interrupted by a signal.
    INTERRUPT = 16;
    /// No such name.
    NAME_NOT_FOUND = 17;
    /// Out of something.
    NO_RESOURCES = 18;
    /// corosync cannot do that.
    NOT_SUPPORTED = 19;
    /// Not in this state.
    BAD_OPERATION = 20;
    /// It went wrong; corosync's log says why.
    FAILED_OPERATION = 21;
    /// A message that cannot be read.
    MESSAGE_ERROR = 22;
    /// A queue is full.
    QUEUE_FULL = 23;
    /// There is no queue.
    QUEUE_NOT_AVAILABLE = 24;
    /// Bad flags.
    BAD_FLAGS = 25;
    /// Too big; also what we ourselves refuse to carry.
    TOO_BIG = 26;
    /// No (more) sections: the end of a list.
    NO_SECTIONS = 27;
    /// No such context.
    CONTEXT_NOT_FOUND = 28;
    /// Too many groups.
    TOO_MANY_GROUPS = 30;
    /// Refused by a security policy.
    SECURITY = 100;
}

/// What a call of the libraries gives.
pub type CsResult<T> = Result<T, CsError>;

/// `CS_OK`.
pub(super) const OK: u32 = 1;

/// A code as a result.
pub(super) fn check(code: u32) -> CsResult<()> {
    if code == OK {
        Ok(())
    } else {
        Err(CsError(code))
    }
}

impl CsError {
    /// Its name in corotypes.h; none for a code that is not there.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let known = CsError::ALL.iter().find(|(code, _)| *code == self.0);
        known.map(|(_, name)| *name)
    }
}

impl fmt::Display for CsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name().unwrap_or("cs_error_t"), self.0)
    }
}

impl std::error::Error for CsError {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_name_and_its_number() {
        assert_eq!(CsError::LIBRARY.to_string(), "CS_ERR_LIBRARY (2)");
        assert_eq!(CsError(100).to_string(), "CS_ERR_SECURITY (100)");
        assert_eq!(CsError(29).to_string(), "cs_error_t (29)");
        assert_eq!(check(1), Ok(()));
        assert_eq!(check(6), Err(CsError::TRY_AGAIN));
        assert_eq!(check(0), Err(CsError(0)));
    }
}
