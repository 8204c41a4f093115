//! What a person sees: the size of a terminal, and the wall clock in the zone of the user.

#![allow(unsafe_code)]

use crate::types::WallMs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

/// The first moment of the year 10000, with a day's margin for the zone.
const YEAR_10000: u64 = 253_402_214_400_000;

/// Columns of the terminal behind a descriptor (ioctl_tty(2)); `None` if it is none or does not
/// know.
pub fn width(fd: impl AsFd) -> Option<usize> {
    size(fd).map(|s| usize::from(s.ws_col)).filter(|n| *n > 0)
}

/// Lines of it, likewise.
pub fn height(fd: impl AsFd) -> Option<usize> {
    size(fd).map(|s| usize::from(s.ws_row)).filter(|n| *n > 0)
}

fn size(fd: impl AsFd) -> Option<libc::winsize> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the descriptor is open as long as it is borrowed, and TIOCGWINSZ writes at most one
    // winsize to where it is told, which is that large.
    let rc = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) };
    if rc != 0 {
        return None;
    }
    // SAFETY: all bytes are zero or written by the kernel, and any bytes are a valid winsize.
    Some(unsafe { size.assume_init() })
}

/// `2026-01-31 13:05:09` in the local zone (localtime_r(3)); the number itself for a time after the
/// year 9999.
#[must_use]
pub fn local_time(at: WallMs) -> String {
    let seconds = match libc::time_t::try_from(at.0 / 1000) {
        Ok(s) if at.0 < YEAR_10000 => s,
        _ => return at.0.to_string(),
    };
    let mut tm = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call, and localtime_r keeps neither.
    let done = unsafe { libc::localtime_r(&raw const seconds, tm.as_mut_ptr()) };
    if done.is_null() {
        return at.0.to_string();
    }
    // SAFETY: zeroed is a valid tm, and localtime_r has filled it.
    let tm = unsafe { tm.assume_init() };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        i64::from(tm.tm_year) + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_has_no_size() {
        assert_eq!(width(File::open("/dev/null").unwrap()), None);
        assert_eq!(height(File::open("/dev/null").unwrap()), None);
    }

    #[test]
    fn a_time_has_the_length_of_a_time_in_every_zone() {
        // The zone is the machine's: at most 14 hours off, so day and hour may differ, these not.
        let t = local_time(WallMs(1_700_000_000_000));
        assert!(t.starts_with("2023-11-1"), "{t}");
        assert_eq!(t.len(), 19, "{t}");
        assert!(t.ends_with(":20"), "{t}");
        assert_eq!(local_time(WallMs(u64::MAX)), (u64::MAX).to_string());
    }
}
