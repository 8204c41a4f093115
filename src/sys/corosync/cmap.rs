//! libcmap: corosync's map of keys and values, and that of its statistics.
#![allow(unsafe_code)]

use super::Libraries;
use super::error::{CsError, CsResult, check};
use super::ffi::{self, NotifyValue};
use super::handle::{Handle, LIFE, c_string};
use super::inbox::{self, Intake, Slot};
use super::value::{SECRET_KEY, VALUE_MAX};
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

mod keys;

pub use super::value::Value;
pub use keys::Keys;

/// Which map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// The configuration as running, and `runtime.*`.
    Config,
    /// Statistics; read-only. A change of one is looked for every 1.5 s, and only by its exact key.
    Stats,
}

/// What to be told about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Track {
    /// That it is there now.
    pub add: bool,
    /// That it has gone.
    pub delete: bool,
    /// That its value is another.
    pub modify: bool,
    /// Every key that begins like this one. In [`Map::Stats`] only with `add` and `delete`, both.
    pub prefix: bool,
}

/// Which [`Cmap::track`] a change belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackId(pub u64);

/// A change of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Who asked for it.
    pub track: TrackId,
    /// The key.
    pub key: String,
    /// Its new value (not that of a secret, which is replaced); none if it has gone.
    pub value: Option<Value>,
}

/// Whether nobody is to be shown the value of this key: by the key alone, or with the value that a text has.
pub type IsSecret = fn(&str, Option<&str>) -> bool;

/// A connection to one of the maps.
#[derive(Debug)]
pub struct Cmap {
    handle: Handle,
    map: Map,
    secret: IsSecret,
    intake: Intake,
}

/// Room for a value at first. Never less, and never none: for a statistic corosync (3.1.7, stats.c)
/// copies the value without a look at the room there is, and into no room at all it crashes.
const ROOM: usize = 1024;

/// How often a value may grow between two looks at it.
const TRIES: u32 = 4;

thread_local! {
    static INBOX: Slot<Change> = const { RefCell::new(None) };
}

impl Cmap {
    /// Connects.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`] if corosync does not run, [`CsError::TRY_AGAIN`] while it starts,
    /// [`CsError::ACCESS`] if it does not admit us.
    pub fn open(libraries: &Arc<Libraries>, map: Map) -> CsResult<Cmap> {
        let fns = &libraries.cmap;
        let number = match map {
            Map::Config => ffi::CMAP_MAP_ICMAP,
            Map::Stats => ffi::CMAP_MAP_STATS,
        };
        // SAFETY: a place for the handle, and a number.
        let initialize = |id: &mut u64| unsafe { (fns.cmap_initialize_map)(id, number) };
        let handle = Handle::open(libraries, initialize, fns.cmap_fd_get, fns.cmap_finalize)?;
        Ok(Cmap {
            handle,
            map,
            secret: |key, _| key == SECRET_KEY,
            intake: Intake::default(),
        })
    }

    /// Hides more than the value of `totem.key` from [`Cmap::dump`] and [`Cmap::dispatch`].
    #[must_use]
    pub fn hiding(self, secret: IsSecret) -> Cmap {
        Cmap { secret, ..self }
    }

    /// What to hand out in place of a value.
    fn shown(&self, key: &str, value: Value) -> Value {
        match value {
            Value::Text(text) if (self.secret)(key, Some(&text)) => Value::secret(),
            value => value,
        }
    }

    /// Readable when [`Cmap::dispatch`] has something to do, or corosync has gone.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.fd()
    }

    /// The value of a key; none if there is no such key.
    ///
    /// # Errors
    /// The library's; [`CsError::TOO_BIG`] for a value over 1 MiB.
    pub fn get(&self, key: &str) -> CsResult<Option<Value>> {
        let mut room = ROOM;
        for _ in 0..TRIES {
            match self.get_into(key, room) {
                Err(CsError::NOT_EXIST) => return Ok(None),
                // In the configuration: too little room. Statistics are all short.
                Err(CsError::INVALID_PARAM) if self.map == Map::Config => {}
                got => return got.map(Some),
            }
            room = match self.len_of(key) {
                Err(CsError::NOT_EXIST) => return Ok(None),
                len => len?.max(ROOM),
            };
            if room > VALUE_MAX {
                return Err(CsError::TOO_BIG);
            }
        }
        Err(CsError::TRY_AGAIN)
    }

    fn get_into(&self, key: &str, room: usize) -> CsResult<Value> {
        let key = key_string(key)?;
        let mut bytes = vec![0u8; room];
        let (mut len, mut kind) = (room, 0);
        // SAFETY: a string with its NUL; `len` says how many bytes there are at `bytes`, and it is
        // not 0, for which the library would take the room to be endless.
        check(unsafe {
            (self.handle.libraries.cmap.cmap_get)(
                self.handle.id,
                key.as_ptr(),
                bytes.as_mut_ptr().cast(),
                &raw mut len,
                &raw mut kind,
            )
        })?;
        let bytes = bytes.get(..len).ok_or(CsError::MESSAGE_ERROR)?;
        Ok(Value::decode(kind, bytes))
    }

    /// The length of a value; never asked of the statistics ([`ROOM`]).
    fn len_of(&self, key: &str) -> CsResult<usize> {
        let key = key_string(key)?;
        let (mut len, mut kind) = (0, 0);
        // SAFETY: a string with its NUL; without a place for the value it gives length and type.
        check(unsafe {
            (self.handle.libraries.cmap.cmap_get)(
                self.handle.id,
                key.as_ptr(),
                std::ptr::null_mut(),
                &raw mut len,
                &raw mut kind,
            )
        })?;
        Ok(len)
    }

    /// Sets a key, new or not.
    ///
    /// # Errors
    /// [`CsError::ACCESS`] for a read-only key and for all of [`Map::Stats`];
    /// [`CsError::INVALID_PARAM`] for a value over 16 KiB, and a text with a NUL;
    /// [`CsError::NAME_TOO_LONG`] for a key of less than 3 or more than 255 characters, or others
    /// than `A-Za-z0-9._-/:`.
    pub fn set(&self, key: &str, value: &Value) -> CsResult<()> {
        let key = key_string(key)?;
        match value {
            // corosync looks for the end of a text in what was sent, and beyond where there is none;
            // so it goes with its NUL, other than `cmap_set_string` has it.
            Value::Text(text) => {
                let text = c_string(text)?;
                let len = text.as_bytes_with_nul().len();
                self.set_raw(&key, ffi::CMAP_VALUETYPE_STRING, text.as_ptr().cast(), len)
            }
            value => value.encoded(|kind, data, len| self.set_raw(&key, kind, data, len)),
        }
    }

    fn set_raw(&self, key: &CStr, kind: u32, data: *const c_void, len: usize) -> CsResult<()> {
        if len > VALUE_MAX {
            return Err(CsError::TOO_BIG);
        }
        // SAFETY: a string with its NUL, and the value's own address and length.
        check(unsafe {
            (self.handle.libraries.cmap.cmap_set)(self.handle.id, key.as_ptr(), data, len, kind)
        })
    }

    /// All of [`Cmap::keys`].
    ///
    /// # Errors
    /// The library's.
    pub fn list(&self, prefix: Option<&str>) -> CsResult<Vec<String>> {
        self.keys(prefix)?.collect()
    }

    /// The keys and their values; what vanishes in between is left out, and so is what is over 1 MiB.
    /// The value of a secret key is not read but replaced, and replaced if only the value shows it.
    ///
    /// # Errors
    /// The library's.
    pub fn dump(&self, prefix: Option<&str>) -> CsResult<Vec<(String, Value)>> {
        let mut all = Vec::new();
        for key in self.list(prefix)? {
            all.extend(self.entry(&key)?.map(|value| (key, value)));
        }
        Ok(all)
    }

    /// The value of a key for a list of all: none if it has vanished or is over 1 MiB; a secret as
    /// in [`Cmap::dump`].
    ///
    /// # Errors
    /// The library's.
    pub fn entry(&self, key: &str) -> CsResult<Option<Value>> {
        if (self.secret)(key, None) {
            return Ok(Some(Value::secret()));
        }
        match self.get(key) {
            Err(CsError::TOO_BIG) => Ok(None),
            got => Ok(got?.map(|value| self.shown(key, value))),
        }
    }

    /// Asks to be told of changes, from now on; [`Cmap::dispatch`] gives them. The present value is
    /// not told: ask for it **after** this.
    ///
    /// # Errors
    /// The library's.
    pub fn track(&mut self, key: &str, what: Track) -> CsResult<TrackId> {
        let key = key_string(key)?;
        let mut kind = 0;
        for (wanted, bit) in [
            (what.add, ffi::CMAP_TRACK_ADD),
            (what.delete, ffi::CMAP_TRACK_DELETE),
            (what.modify, ffi::CMAP_TRACK_MODIFY),
            (what.prefix, ffi::CMAP_TRACK_PREFIX),
        ] {
            kind |= if wanted { bit } else { 0 };
        }
        let mut track = 0;
        let _one = LIFE.lock();
        // SAFETY: a string with its NUL, a callback of the right type that lives as long as the
        // process, no data for it, and a place for the number.
        check(unsafe {
            (self.handle.libraries.cmap.cmap_track_add)(
                self.handle.id,
                key.as_ptr(),
                kind,
                Some(changed),
                std::ptr::null_mut(),
                &raw mut track,
            )
        })?;
        Ok(TrackId(track))
    }

    /// No longer. Changes that corosync has sent already are dropped with it. That it fails means
    /// that there is no such track, or no corosync, which the next call says.
    pub fn untrack(&mut self, track: TrackId) {
        let _one = LIFE.lock();
        // SAFETY: two numbers.
        unsafe { (self.handle.libraries.cmap.cmap_track_delete)(self.handle.id, track.0) };
    }

    /// What has changed since the last time; does not wait.
    ///
    /// # Errors
    /// [`CsError::LIBRARY`] when corosync has gone; what it sent before comes first.
    pub fn dispatch(&mut self) -> CsResult<Vec<Change>> {
        let (dispatch, id) = (self.handle.libraries.cmap.cmap_dispatch, self.handle.id);
        // SAFETY: two numbers; the callback finds its inbox by itself.
        let mut changes = self
            .intake
            .dispatch(&INBOX, || unsafe { dispatch(id, ffi::CS_DISPATCH_ALL) })?;
        for change in &mut changes {
            change.value = change.value.take().map(|v| self.shown(&change.key, v));
        }
        Ok(changes)
    }

    /// Changes that were dropped so far, since one dispatch brought too many.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.intake.lost
    }
}

/// Called in [`Cmap::dispatch`].
unsafe extern "C" fn changed(
    _handle: u64,
    track: u64,
    event: i32,
    key: *const c_char,
    new: NotifyValue,
    _old: NotifyValue,
    _data: *mut c_void,
) {
    if key.is_null() {
        return;
    }
    let size = new.len.saturating_add(ffi::CMAP_KEYNAME_MAXLEN);
    inbox::push(&INBOX, size, || {
        // SAFETY: the library hands out a string with its NUL.
        let key = unsafe { text(key) };
        let value = if event == ffi::CMAP_TRACK_DELETE {
            None
        } else if key == SECRET_KEY {
            Some(Value::secret())
        } else if new.len > VALUE_MAX {
            return None;
        } else if new.data.is_null() {
            Some(Value::decode(new.r#type, &[]))
        } else {
            // SAFETY: the library says that there are so many bytes, and that is not too many for
            // its own buffer.
            let bytes = unsafe { std::slice::from_raw_parts(new.data.cast(), new.len) };
            Some(Value::decode(new.r#type, bytes))
        };
        Some(Change {
            track: TrackId(track),
            key,
            value,
        })
    });
}

/// A key for C. The library itself would forget to give back what it holds when one is too long.
fn key_string(key: &str) -> CsResult<std::ffi::CString> {
    if key.len() > ffi::CMAP_KEYNAME_MAXLEN {
        return Err(CsError::NAME_TOO_LONG);
    }
    c_string(key)
}

/// # Safety
/// There is a NUL at the end.
unsafe fn text(name: *const c_char) -> String {
    // SAFETY: by the contract of this function.
    unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned()
}
