//! This node beside its peers, round for round: who answers, and what of them is not as here. Pure.
//!
//! Nothing is changed by it. A peer that cannot be reached is no fault of this node; what it said last
//! still counts. What is missing on either side, as in a node that has no configuration yet, is not
//! compared, and shown.

use super::differs::{
    Difference, What, impostor, newest, of_config, of_key, to_start, wrong_key, wrong_node,
};
use super::items::Item;
use super::report::{tidied, tidy};
use super::told::{Tell, Told};
use crate::event::{Kind, Note, Severity};
use crate::types::{ConfigVersion, Mono, NodeId, WallMs};
use crate::wire::{DegradedItem, PeerReport, PeerStatus, Unreachable};
use serde_json::Value;
use std::cmp::Ordering;
use std::time::Duration;

/// Rounds may follow each other at once: two failures count as such only with this between them.
const APART: Duration = Duration::from_secs(5);
/// Most nodes that are named in one line.
const MOST: usize = 16;

/// A configured node, other than this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, or where it has none its nodeid.
    pub name: String,
    /// From the nodelist.
    pub nodeid: Option<NodeId>,
}

/// A report and the address that it came from; or why there is none, and more about that in words.
pub type Heard = Result<(PeerReport, String), (Unreachable, String)>;

/// What came of asking one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who was asked.
    pub peer: Peer,
    /// What it said.
    pub heard: Heard,
}

/// What comes of a round.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is news.
    pub notes: Vec<Note>,
    /// What every peer is, in the order in which they were asked.
    pub statuses: Vec<PeerStatus>,
    /// Who answered now, as itself, and what: bounded and clean.
    pub heard: Vec<(Peer, PeerReport)>,
}

/// What is known of all of them.
#[derive(Debug)]
pub struct Compare {
    known: Vec<Known>,
    config: Item,
    key: Item,
    identity: Item,
}

impl Default for Compare {
    fn default() -> Compare {
        Compare {
            known: Vec::new(),
            config: Item::new("peer-config", Severity::Warning),
            key: Item::new("peer-key", Severity::Err),
            identity: Item::new("peer-identity", Severity::Err),
        }
    }
}

/// What is known of one.
#[derive(Debug)]
struct Known {
    peer: Peer,
    unreachable: Option<Unreachable>,
    /// Since when, and for how many rounds in a row, it could not be asked.
    fails: Option<(Mono, u32)>,
    address: Option<String>,
    seen: Option<WallMs>,
    /// What it said last, if that was itself.
    report: Option<PeerReport>,
    impostor: Option<Difference>,
    /// The fingerprint of this node's key that it did not take.
    refused_key: Option<Option<String>>,
    reach: Told<Reach>,
    told: [Told<Difference>; What::ALL.len()],
}

impl Compare {
    /// One round: what this node is, and what came of asking each of the others. Who is no longer among
    /// them is forgotten.
    pub fn round(
        &mut self,
        own: &PeerReport,
        asked: Vec<Asked>,
        now: Mono,
        wall: WallMs,
    ) -> Outcome {
        let mut out = Outcome::default();
        let mut before = std::mem::take(&mut self.known);
        for Asked { peer, heard } in asked {
            let at = before.iter().position(|k| k.peer == peer);
            let mut known = at.map_or_else(|| Known::new(peer), |at| before.swap_remove(at));
            out.notes.extend(known.take(own, heard, now, wall));
            out.statuses.push(known.status(own));
            out.heard.extend(known.heard());
            self.known.push(known);
        }
        let (config, key) = (self.config_detail(own), self.key_detail(own));
        out.notes.extend(self.config.set(config, now, wall));
        out.notes.extend(self.key.set(key, now, wall));
        let identity = self.identity_detail(own);
        out.notes.extend(self.identity.set(identity, now, wall));
        out
    }

    /// What of it makes this node degraded.
    #[must_use]
    pub fn degraded(&self) -> Vec<DegradedItem> {
        let all = [self.config.get(), self.key.get(), self.identity.get()];
        all.into_iter().flatten().cloned().collect()
    }

    fn identity_detail(&self, own: &PeerReport) -> Option<String> {
        let is = |d: &Difference| d.what == What::Identity;
        let who = self.named(own, is, |d| match d.theirs.as_str() {
            Some(who) => format!("{who} answers"),
            None => "another one answers".to_owned(),
        })?;
        let text = "another node answers where these were asked, and nothing is known of them:";
        Some(format!("{text} {who}"))
    }

    fn config_detail(&self, own: &PeerReport) -> Option<String> {
        let of = |order: Ordering, what: What| {
            let fits = move |d: &Difference| d.what == what && d.order == order;
            self.named(own, fits, |d| match what {
                What::Config => format!("hash {}", Difference::brief(&d.theirs)),
                _ => format!("config_version {}", Difference::brief(&d.theirs)),
            })
        };
        let ours = to_start(own).unwrap_or_default();
        let mut parts = Vec::new();
        if let Some(who) = of(Ordering::Greater, What::ConfigVersion) {
            parts.push(format!(
                "newer than this node's config_version {ours}: {who}; this node is behind, and the next \
                 start of corosync here would fail"
            ));
        }
        if let Some(who) = of(Ordering::Less, What::ConfigVersion) {
            parts.push(format!(
                "older than this node's config_version {ours}: {who}; the next start of corosync there \
                 would fail"
            ));
        }
        if let Some(who) = of(Ordering::Equal, What::Config) {
            let hash = own.sha256.clone().into();
            parts.push(format!(
                "the same config_version {ours} and other content than here (hash {}): {who}",
                Difference::brief(&hash)
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn key_detail(&self, own: &PeerReport) -> Option<String> {
        let who = self.named(
            own,
            |d| d.what == What::Key,
            |d| match d.theirs.is_null() {
                true => "which does not take this node's".to_owned(),
                false => format!("fingerprint {}", Difference::brief(&d.theirs)),
            },
        )?;
        let hash = own.fingerprint.clone().into();
        let mut text = format!(
            "another key than here (fingerprint {}): {who}",
            Difference::brief(&hash)
        );
        let differs = |k: &&Known| k.key(own).is_some();
        let others = self.known.iter().filter(differs).count();
        let same = self.known.iter().any(|k| k.has_key_of(own));
        if others > 1 && !same {
            text.push_str("; no node that answers has this node's, so that it is the odd one");
        }
        Some(text)
    }

    /// Every node with such a difference, each with what is to be said of it.
    fn named(
        &self,
        own: &PeerReport,
        fits: impl Fn(&Difference) -> bool,
        say: impl Fn(&Difference) -> String,
    ) -> Option<String> {
        let one = |k: &Known| {
            let found = k.differences(own).into_iter().find(|d| fits(d))?;
            let then = match k.unreachable {
                None | Some(Unreachable::WrongKey | Unreachable::WrongNode) => "",
                Some(_) => ", when it last answered",
            };
            Some(format!("{} ({}{then})", k.peer.name, say(&found)))
        };
        let mut all: Vec<String> = self.known.iter().filter_map(one).collect();
        if all.len() > MOST {
            let rest = all.len() - MOST;
            all.truncate(MOST);
            all.push(format!("{rest} more"));
        }
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl Known {
    fn new(peer: Peer) -> Known {
        Known {
            peer,
            unreachable: None,
            fails: None,
            address: None,
            seen: None,
            report: None,
            impostor: None,
            refused_key: None,
            reach: Told::default(),
            told: Default::default(),
        }
    }

    fn take(&mut self, own: &PeerReport, heard: Heard, now: Mono, wall: WallMs) -> Vec<Note> {
        let mut notes = Vec::new();
        match heard {
            Ok((report, address)) => {
                self.unreachable = None;
                self.refused_key = None;
                self.address = Some(tidy(&address));
                self.seen = Some(wall);
                let report = tidied(report);
                self.impostor = impostor(&self.peer, &report);
                self.report = self.impostor.is_none().then_some(report);
                notes.extend(self.tell_reach(None, "", now));
            }
            Err((why, message)) => {
                self.unreachable = Some(why);
                if why == Unreachable::WrongKey {
                    self.refused_key = Some(own.fingerprint.clone());
                }
                if why == Unreachable::WrongNode {
                    self.refused_key = None;
                    let message = tidy(&message);
                    self.impostor = Some(wrong_node(&self.peer, &message));
                    self.report = None;
                }
                notes.extend(self.tell_reach(Some(why), &message, now));
            }
        }
        let differences = self.differences(own);
        for (what, at) in What::ALL.into_iter().zip(0..) {
            let is = differences.iter().find(|d| d.what == what).cloned();
            let refused = self.refused_key.as_ref();
            if what == What::Key && refused.is_some_and(|k| *k != own.fingerprint) {
                // This node has another key by now: whether the peer takes that one, nobody knows yet.
                continue;
            }
            if let Some(tell) = self.told[at].take(is, now) {
                notes.extend(self.tell_difference(tell, own));
            }
        }
        notes
    }

    fn tell_reach(&mut self, why: Option<Unreachable>, message: &str, now: Mono) -> Option<Note> {
        self.fails = why.map(|_| {
            let (since, rounds) = self.fails.unwrap_or((now, 0));
            (since, rounds.saturating_add(1))
        });
        let lasts = self
            .fails
            .is_some_and(|(since, rounds)| rounds > 1 && now.since(since) >= APART);
        let counts = match why {
            None => true,
            // That is this node's own, and would be told of every one of them.
            Some(Unreachable::NoKey) => false,
            // Told as what it is: another identity.
            Some(Unreachable::WrongNode) => false,
            Some(Unreachable::WrongKey | Unreachable::OtherProtocol) => true,
            // A clusmgr that is restarted, a packet that was lost.
            Some(_) => lasts,
        };
        if !counts {
            return None;
        }
        let name = &self.peer.name;
        let note = match self.reach.take(why.map(Reach), now)? {
            Tell::Over(_) => {
                let text = format!("the clusmgr of {name} answers again");
                Note::new(Kind::PeerReachable, Severity::Notice, text)
            }
            Tell::Bad(Reach(why), untold) => {
                let severity = match why {
                    Unreachable::WrongKey => Severity::Err,
                    _ => Severity::Warning,
                };
                let mut text = format!("the clusmgr of {name} cannot be asked: {}", why.as_str());
                let message = tidy(message);
                if !message.is_empty() {
                    text = format!("{text}: {message}");
                }
                counted(
                    Note::new(Kind::PeerUnreachable, severity, text).with("reason", why.as_str()),
                    untold,
                )
            }
        };
        Some(
            note.with("node", name.clone())
                .with("address", self.address.clone()),
        )
    }

    fn tell_difference(&self, tell: Tell<Difference>, own: &PeerReport) -> Option<Note> {
        let name = &self.peer.name;
        match tell {
            Tell::Bad(d, untold) => {
                let severity = match d.what {
                    What::Key | What::Identity => Severity::Err,
                    What::Config | What::ConfigVersion => Severity::Warning,
                };
                let note = Note::new(Kind::PeerDiffers, severity, d.line(name))
                    .with("node", name.clone())
                    .with("what", d.what.as_str())
                    .with("ours", d.ours)
                    .with("theirs", d.theirs);
                Some(counted(note, untold))
            }
            Tell::Over(d) => {
                let text = match d.what {
                    What::Identity => format!("{name} itself answers again"),
                    What::ConfigVersion => format!("{name} and this node have one config_version"),
                    What::Config => format!("{name} and this node have one configuration"),
                    What::Key => format!("{name} and this node have one key"),
                };
                let (ours, theirs) = self.values(d.what, own);
                // Else one of the two has none any more, or another version of it: that is no agreement.
                (ours == theirs && !ours.is_null()).then(|| {
                    Note::new(Kind::PeerAgrees, Severity::Notice, text)
                        .with("node", name.clone())
                        .with("what", d.what.as_str())
                        .with("ours", ours)
                        .with("theirs", theirs)
                })
            }
        }
    }

    fn values(&self, what: What, own: &PeerReport) -> (Value, Value) {
        let version = |v: Option<ConfigVersion>| v.map(|v| v.0).into();
        let theirs = self.report.as_ref();
        if what == What::ConfigVersion {
            let theirs = theirs.map(|r| version(newest(r)));
            return (version(to_start(own)), theirs.unwrap_or_default());
        }
        let of = |r: &PeerReport| match what {
            What::Identity => self.peer.name.clone().into(),
            What::ConfigVersion => Value::Null,
            What::Config => r.sha256.clone().into(),
            What::Key => r.fingerprint.clone().into(),
        };
        let theirs = theirs.map(&of);
        (of(own), theirs.unwrap_or_default())
    }

    fn key(&self, own: &PeerReport) -> Option<Difference> {
        // What it did not take may have been another key than this node has by now.
        if self.refused_key.as_ref() == Some(&own.fingerprint) {
            return Some(wrong_key(own));
        }
        of_key(own, self.report.as_ref()?)
    }

    /// Whether it answers, and has this node's key.
    fn has_key_of(&self, own: &PeerReport) -> bool {
        let said = self.report.as_ref().and_then(|r| r.fingerprint.as_ref());
        self.unreachable.is_none() && said.is_some() && said == own.fingerprint.as_ref()
    }

    fn differences(&self, own: &PeerReport) -> Vec<Difference> {
        let config = self.report.as_ref().and_then(|r| of_config(own, r));
        let all = [self.impostor.clone(), config, self.key(own)];
        all.into_iter().flatten().collect()
    }

    fn heard(&self) -> Option<(Peer, PeerReport)> {
        let answers = self.unreachable.is_none();
        let report = self.report.clone().filter(|_| answers)?;
        Some((self.peer.clone(), report))
    }

    fn status(&self, own: &PeerReport) -> PeerStatus {
        let said = self.report.as_ref();
        let differs = self.differences(own);
        PeerStatus {
            name: self.peer.name.clone(),
            nodeid: self.peer.nodeid,
            unreachable: self.unreachable,
            address: self.address.clone(),
            seen: self.seen,
            config_version: said.and_then(newest),
            sha256: said.and_then(|r| r.sha256.clone()),
            fingerprint: said.and_then(|r| r.fingerprint.clone()),
            differs: differs.iter().map(|d| d.what.as_str().into()).collect(),
        }
    }
}

/// Why it is out of reach, as far as that is news: a node that is off is at times found so by silence, and
/// at times by an error of the network on the way.
#[derive(Debug, Clone, Copy)]
struct Reach(Unreachable);

impl PartialEq for Reach {
    fn eq(&self, other: &Reach) -> bool {
        let kind = |why| match why {
            Unreachable::Failed => Unreachable::TimedOut,
            why => why,
        };
        kind(self.0) == kind(other.0)
    }
}

/// With how often it was so and was not told.
fn counted(mut note: Note, untold: u32) -> Note {
    if untold > 0 {
        note.text = format!("{}; {untold} times more in between", note.text);
        note = note.with("untold", untold);
    }
    note
}

#[cfg(test)]
mod tests;
