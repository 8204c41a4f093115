//! A handle of one of the libraries: opened, used by one thread, closed.
#![allow(unsafe_code)]

use super::Libraries;
use super::error::{CsResult, check};
use libc::c_int;
use parking_lot::Mutex;
use std::ffi::CString;
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

/// libqb's tables of handles know no lock where an entry comes or goes (hdb.c), so nothing is opened
/// or closed at once. The calls under it may wait for corosync, against the rule; but whoever waits
/// for the lock is about to wait for the same corosync.
pub(super) static LIFE: Mutex<()> = Mutex::new(());

/// A handle. It is neither `Send` nor `Sync`: the libraries lock nothing around a request.
#[derive(Debug)]
pub(super) struct Handle {
    /// The library's number for it.
    pub(super) id: u64,
    /// What the libraries are reached by.
    pub(super) libraries: Arc<Libraries>,
    fd: RawFd,
    finalize: unsafe extern "C" fn(u64) -> u32,
    one_thread: PhantomData<*const ()>,
}

impl Handle {
    /// Opens one. `initialize` calls the library's function of that name with the place for the
    /// number.
    pub(super) fn open(
        libraries: &Arc<Libraries>,
        initialize: impl FnOnce(&mut u64) -> u32,
        fd_get: unsafe extern "C" fn(u64, *mut c_int) -> u32,
        finalize: unsafe extern "C" fn(u64) -> u32,
    ) -> CsResult<Handle> {
        let mut id = 0;
        let opened = {
            let _one = LIFE.lock();
            check(initialize(&mut id))
        };
        // Before the error is looked at: some of the functions leave a handle behind when they fail,
        // and closing one that is not there is refused by its check number.
        let mut handle = Handle {
            id,
            libraries: Arc::clone(libraries),
            fd: -1,
            finalize,
            one_thread: PhantomData,
        };
        opened?;
        // SAFETY: a handle that was just opened, and a place for an int.
        check(unsafe { fd_get(handle.id, &raw mut handle.fd) })?;
        Ok(handle)
    }

    /// Readable when there is something to dispatch, or corosync has gone.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the library keeps this descriptor open until the handle is closed, which needs the
        // handle itself, and that is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _one = LIFE.lock();
        // SAFETY: the number came from the library, and nobody uses it after this.
        unsafe { (self.finalize)(self.id) };
    }
}

/// A string for C; none if it has a NUL in it.
pub(super) fn c_string(text: &str) -> CsResult<CString> {
    CString::new(text).map_err(|_| super::CsError::INVALID_PARAM)
}

/// No list of the libraries is longer: `PROCESSOR_COUNT_MAX` is 384.
const LIST_MAX: usize = 4096;

/// A copy of a list of the library's.
///
/// # Safety
/// `first` is null, or `len` elements can be read there (of any alignment).
pub(super) unsafe fn copied<C: Copy, T>(
    first: *const C,
    len: usize,
    to: impl Fn(C) -> T,
) -> Option<Vec<T>> {
    if len > LIST_MAX {
        return None;
    }
    if first.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: by the contract of this function; elements need not be aligned.
    let read = |i| to(unsafe { first.add(i).read_unaligned() });
    Some((0..len).map(read).collect())
}
