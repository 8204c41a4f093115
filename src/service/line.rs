//! Lines out of a stream of bytes, with a bound on what is kept.

use crate::wire::MAX_LINE;
use std::time::Instant;
use zeroize::Zeroizing;

/// What is kept of a buffer between two requests; a client that once sent a long line does not hold
/// on to its memory.
const KEPT: usize = 8 * 1024;

/// The bytes that were read and are no line yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buf: Vec<u8>,
    /// Up to here there is no newline.
    scanned: usize,
    begun: Option<Instant>,
}

impl Lines {
    /// Takes in what was read at a moment.
    pub(super) fn push(&mut self, bytes: &[u8], now: Instant) {
        self.buf.extend_from_slice(bytes);
        if !self.buf.is_empty() {
            self.begun.get_or_insert(now);
        }
    }

    /// The next whole line, without its newline. It may hold a key.
    pub(super) fn next(&mut self, now: Instant) -> Option<Zeroizing<Vec<u8>>> {
        let Some(at) = self.buf[self.scanned..].iter().position(|b| *b == b'\n') else {
            self.scanned = self.buf.len();
            return None;
        };
        let rest = self.buf.split_off(self.scanned + at + 1);
        let mut line = Zeroizing::new(std::mem::replace(&mut self.buf, rest));
        line.pop();
        self.scanned = 0;
        self.begun = (!self.buf.is_empty()).then_some(now);
        if self.buf.len() < KEPT {
            self.buf.shrink_to(KEPT);
        }
        Some(line)
    }

    /// Whether a line has begun that can no longer end within [`MAX_LINE`].
    pub(super) fn too_long(&self) -> bool {
        self.scanned >= MAX_LINE
    }

    /// When the line that is not yet whole began.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_in_order_however_they_were_cut() {
        let now = Instant::now();
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for byte in b"one\n\ntwo\nhalf" {
            lines.push(&[*byte], now);
            got.extend(lines.next(now).map(|l| l.to_vec()));
        }
        assert_eq!(got, [&b"one"[..], b"", b"two"]);
        assert_eq!(lines.begun(), Some(now));
        lines.push(b"\n", now);
        assert_eq!(lines.next(now).as_deref(), Some(&b"half".to_vec()));
        assert_eq!(lines.begun(), None);
    }

    #[test]
    fn a_line_of_the_longest_length_passes_and_its_memory_is_given_back() {
        let now = Instant::now();
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; MAX_LINE - 1], now);
        assert_eq!(lines.next(now), None);
        assert!(!lines.too_long());
        let mut longer = Lines::default();
        longer.push(&vec![b'x'; MAX_LINE], now);
        assert_eq!(longer.next(now), None);
        assert!(longer.too_long());
        lines.push(b"\n", now);
        assert_eq!(lines.next(now).map(|l| l.len()), Some(MAX_LINE - 1));
        assert!(lines.buf.capacity() <= KEPT, "{}", lines.buf.capacity());
    }
}
