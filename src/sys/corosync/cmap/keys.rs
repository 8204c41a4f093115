//! The names of a map's keys, which corosync tells one by one.
#![allow(unsafe_code)]

use super::{Cmap, key_string, text};
use crate::sys::corosync::error::{CsError, CsResult, check};
use crate::sys::corosync::ffi;
use std::ffi::c_char;

/// Each name is a question to corosync, and so are the first step and the end.
#[derive(Debug)]
pub struct Keys<'a> {
    map: &'a Cmap,
    iter: u64,
    ended: bool,
}

impl Cmap {
    /// The keys, or those that begin so, in no order to rely on: one that comes or goes meanwhile may
    /// be there or not.
    ///
    /// # Errors
    /// The library's.
    pub fn keys(&self, prefix: Option<&str>) -> CsResult<Keys<'_>> {
        let prefix = prefix.map(key_string).transpose()?;
        let prefix = prefix.as_ref().map_or(std::ptr::null(), |p| p.as_ptr());
        let mut iter = 0;
        // SAFETY: null or a string with its NUL, and a place for the iterator.
        check(unsafe {
            (self.handle.libraries.cmap.cmap_iter_init)(self.handle.id, prefix, &raw mut iter)
        })?;
        Ok(Keys {
            map: self,
            iter,
            ended: false,
        })
    }
}

impl Iterator for Keys<'_> {
    type Item = CsResult<String>;

    fn next(&mut self) -> Option<CsResult<String>> {
        if self.ended {
            return None;
        }
        let handle = &self.map.handle;
        // The library writes a name of at most this length, and a NUL.
        let mut name = [0 as c_char; ffi::CMAP_KEYNAME_MAXLEN + 2];
        let (mut len, mut kind) = (0, 0);
        // SAFETY: the iterator is ours and lives, and there is room for the longest name.
        let code = unsafe {
            (handle.libraries.cmap.cmap_iter_next)(
                handle.id,
                self.iter,
                name.as_mut_ptr(),
                &raw mut len,
                &raw mut kind,
            )
        };
        match check(code) {
            // SAFETY: the library has put a NUL behind the name.
            Ok(()) => Some(Ok(unsafe { text(name.as_ptr()) })),
            Err(e) => {
                self.ended = true;
                (e != CsError::NO_SECTIONS).then_some(Err(e))
            }
        }
    }
}

impl Drop for Keys<'_> {
    fn drop(&mut self) {
        let handle = &self.map.handle;
        // SAFETY: the iterator is ours, and not used after this.
        unsafe { (handle.libraries.cmap.cmap_iter_finalize)(handle.id, self.iter) };
    }
}
