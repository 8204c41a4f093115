//! One of corosync's maps, of which each question counts by itself.
//!
//! A reading of the configuration is hundreds of questions. A corosync that is slow, but answers each
//! of them, does not hang; and the beat shows that only if no two of them share a count.

use super::beat::Beat;
use crate::sys::corosync::cmap::{Change, Cmap, IsSecret, Map, Track, TrackId, Value};
use crate::sys::corosync::{CsResult, Libraries};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// As [`Cmap`], whose functions these are.
#[derive(Debug)]
pub(super) struct Counted {
    map: Cmap,
    beat: Arc<Beat>,
}

impl Counted {
    pub(super) fn open(libs: &Arc<Libraries>, map: Map, beat: &Arc<Beat>) -> CsResult<Counted> {
        Ok(Counted {
            map: beat.call(|| Cmap::open(libs, map))?,
            beat: Arc::clone(beat),
        })
    }

    pub(super) fn hiding(self, secret: IsSecret) -> Counted {
        Counted {
            map: self.map.hiding(secret),
            ..self
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd()
    }

    pub(super) fn get(&self, key: &str) -> CsResult<Option<Value>> {
        self.beat.call(|| self.map.get(key))
    }

    pub(super) fn list(&self, prefix: &str) -> CsResult<Vec<String>> {
        let mut keys = self.beat.call(|| self.map.keys(Some(prefix)))?;
        let mut all = Vec::new();
        let ended = loop {
            match self.beat.call(|| keys.next()) {
                Some(Ok(key)) => all.push(key),
                Some(Err(e)) => break Err(e),
                None => break Ok(all),
            }
        };
        self.beat.call(|| drop(keys));
        ended
    }

    pub(super) fn dump(&self, prefix: &str) -> CsResult<Vec<(String, Value)>> {
        let mut all = Vec::new();
        for key in self.list(prefix)? {
            let value = self.beat.call(|| self.map.entry(&key))?;
            all.extend(value.map(|value| (key, value)));
        }
        Ok(all)
    }

    pub(super) fn track(&mut self, key: &str, what: Track) -> CsResult<TrackId> {
        self.beat.call(|| self.map.track(key, what))
    }

    pub(super) fn untrack(&mut self, track: TrackId) {
        self.beat.call(|| self.map.untrack(track));
    }

    pub(super) fn dispatch(&mut self) -> CsResult<Vec<Change>> {
        self.map.dispatch()
    }

    pub(super) fn lost(&self) -> u64 {
        self.map.lost()
    }
}
