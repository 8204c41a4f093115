//! Keys that others' code moves over the stack.

use std::hint::black_box;
use zeroize::Zeroize;

/// More of the stack than a handshake takes, in a debug build too.
const STACK_USED: usize = 32 * 1024;

/// Does something that moves keys by way of the stack, as snow does, and clears what it has left there:
/// the stack of a thread that has ended is kept for the next one.
pub(super) fn leaving_nothing<T>(what: impl FnOnce() -> T) -> T {
    #[inline(never)]
    fn deeper<T>(what: impl FnOnce() -> T) -> T {
        what()
    }
    #[inline(never)]
    fn clear() {
        let mut used = [0xff_u8; STACK_USED];
        black_box(&mut used).zeroize();
    }
    let done = deeper(what);
    clear();
    done
}
