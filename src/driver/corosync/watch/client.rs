//! The connections of `cm-watch` to a running corosync, and what it reads through them.

use super::beat::Beat;
use super::counted::Counted;
use super::keys::{LINKS, MEMBERS, key, link_of, member_of};
use super::links::Id;
use super::pauses::{self, Pause};
use crate::driver::corosync::options;
use crate::driver::corosync::tools::Cmap as Values;
use crate::driver::corosync::value::is_secret_in_cmap;
use crate::sys::corosync::cmap::{Change, Map, Track, TrackId};
use crate::sys::corosync::cpg::{Cpg, Message};
use crate::sys::corosync::quorum::{Notice, Quorum};
use crate::sys::corosync::votequorum::{Info, Votequorum};
use crate::sys::corosync::{CsError, CsResult, Libraries};
use crate::types::{ConfigVersion, NodeId};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// Sections of the configuration that are compared with the file, and followed.
const SECTIONS: [&str; 5] = ["quorum.", "logging.", "nodelist.", "system.", "uidgid."];
/// Compared too, and not followed as a whole: corosync's own measurements lie in one, the key in the
/// other, which would come through shared memory with each change. Of that one the options are
/// followed one by one.
const NOT_FOLLOWED: [&str; 2] = ["resources.", TOTEM];
const TOTEM: &str = "totem.";
/// The quorum provider that has votes.
const VOTEQUORUM: &str = "corosync_votequorum";
/// Set while a reload is under way, and for as long as one is stuck.
const BUSY: [&str; 2] = [
    "config.reload_in_progress",
    "config.totemconfig_reload_in_progress",
];
const STATUS: &str = "config.reload_status";
/// What corosync made of the settings of each link.
const INTERFACES: &str = "runtime.config.totem.interface.";
const PING_EVERY: &str = ".knet_ping_interval";
/// How many requests to read its configuration corosync has taken up. One that fails at once while an
/// earlier one is stuck changes no other key.
const REQUESTS: &str = "runtime.services.cfg.3.rx";

/// All connections. One thread has them all.
#[derive(Debug)]
pub(super) struct Client {
    config: Counted,
    stats: Counted,
    quorum: Quorum,
    /// None where the quorum provider is another one, or there is none.
    votes: Option<Votequorum>,
    cpg: Cpg,
    pub(super) local: NodeId,
    tracked: BTreeMap<Id, [TrackId; 2]>,
    /// Which key tells that a reload begins.
    begins: &'static str,
    beat: Arc<Beat>,
}

/// What has changed, of one look.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) quorum: Vec<Notice>,
    /// Votes or expected votes.
    pub(super) votes: bool,
    /// All that the members told of themselves is to be read.
    pub(super) members: bool,
    /// A member told something of itself, and which configuration version if it was that.
    pub(super) told: Vec<(NodeId, Option<ConfigVersion>)>,
    /// A reload began or ended.
    pub(super) reload: bool,
    /// It began, and may be over already.
    pub(super) reload_began: bool,
    /// The configuration.
    pub(super) config: bool,
    /// There are other links than before.
    pub(super) shape: bool,
    /// There is a new ring: corosync tells of its links up to 1.5 s later.
    pub(super) ring: bool,
    /// These links changed.
    pub(super) links: Vec<Id>,
    /// Messages to ourselves that came back.
    pub(super) came: Vec<u64>,
    /// Callbacks that were too many to be kept.
    pub(super) lost: bool,
    /// A connection failed; what the others brought is here all the same.
    pub(super) failed: Option<CsError>,
}

impl News {
    /// What a dispatch brought; nothing to take is nothing taken.
    fn of<T>(&mut self, taken: CsResult<Vec<T>>) -> Vec<T> {
        taken.unwrap_or_else(|e| {
            if e != CsError::TRY_AGAIN {
                self.failed.get_or_insert(e);
            }
            Vec::new()
        })
    }
}

impl Client {
    /// Opens all connections.
    ///
    /// # Errors
    /// corosync's; `CS_ERR_TRY_AGAIN` and `CS_ERR_LIBRARY` while it starts.
    pub(super) fn open(libs: &Arc<Libraries>, beat: &Arc<Beat>) -> CsResult<Client> {
        let config = Counted::open(libs, Map::Config, beat)?;
        let mut config = config.hiding(is_secret_in_cmap);
        let mut stats = Counted::open(libs, Map::Stats, beat)?;
        let any = Track {
            add: true,
            delete: true,
            modify: true,
            prefix: true,
        };
        for prefix in SECTIONS.into_iter().chain([MEMBERS, "config."]) {
            config.track(prefix, any)?;
        }
        let one = Track {
            prefix: false,
            ..any
        };
        for name in options::names("totem").filter(|name| *name != "key") {
            config.track(&format!("{TOTEM}{name}"), one)?;
        }
        config.track(REQUESTS, one)?;
        let begins = match config.get(REQUESTS)? {
            Some(_) => REQUESTS,
            None => BUSY[0],
        };
        // The statistics tell of keys that come and go, but of values only key by key.
        let shape = Track {
            modify: false,
            ..any
        };
        stats.track(LINKS, shape)?;
        let mut quorum = beat.call(|| Quorum::open(libs))?;
        beat.call(|| quorum.start())?;
        // Under another provider, or none, nobody serves votequorum.
        let provider = config.get("quorum.provider")?.map(|v| v.text());
        let votes = if provider.as_deref() == Some(VOTEQUORUM) {
            let mut votes = beat.call(|| Votequorum::open(libs))?;
            beat.call(|| votes.start())?;
            Some(votes)
        } else {
            None
        };
        let mut cpg = beat.call(|| Cpg::open(libs))?;
        let local = beat.call(|| cpg.local_nodeid())?;
        beat.call(|| cpg.join(&group(local)))?;
        Ok(Client {
            config,
            stats,
            quorum,
            votes,
            cpg,
            local,
            tracked: BTreeMap::new(),
            begins,
            beat: Arc::clone(beat),
        })
    }

    /// What to wait for: for all but the messages to ourselves, which wake-ups are too many for.
    pub(super) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let votes = self.votes.as_ref().map(Votequorum::fd);
        [self.config.fd(), self.stats.fd(), self.quorum.fd()]
            .into_iter()
            .chain(votes)
            .collect()
    }

    /// Takes what has come, of all connections; waits for nothing. What one connection brought is
    /// there also when another one has failed.
    pub(super) fn take(&mut self) -> News {
        let mut news = News::default();
        news.quorum = news.of(self.quorum.dispatch());
        for change in news.of(self.config.dispatch()) {
            match change.key.as_str() {
                key if key.starts_with(MEMBERS) => news.told.extend(member_of(&change)),
                key if key == REQUESTS || key.starts_with("config.") => {
                    news.reload = true;
                    let value = change.value.and_then(|v| v.as_u64());
                    // The others follow it, perhaps when this one is over.
                    news.reload_began |= key == self.begins && value.is_some_and(|n| n != 0);
                }
                _ => news.config = true,
            }
        }
        for change in news.of(self.stats.dispatch()) {
            self.take_stat(&change, &mut news);
        }
        if let Some(votes) = &mut self.votes {
            news.votes = !news.of(votes.dispatch()).is_empty();
        }
        for message in news.of(self.cpg.dispatch()) {
            if let Message::Deliver { nodeid, data, .. } = message {
                if nodeid == self.local {
                    news.came
                        .extend(data.try_into().ok().map(u64::from_le_bytes));
                }
            }
        }
        let lost = [
            self.config.lost(),
            self.stats.lost(),
            self.quorum.lost(),
            self.cpg.lost(),
        ];
        news.lost = lost.iter().any(|n| *n > 0);
        news
    }

    fn take_stat(&self, change: &Change, news: &mut News) {
        if let Some(id) = link_of(&change.key) {
            if self.tracked.contains_key(&id) && change.value.is_some() {
                news.links.push(id);
            } else {
                news.shape = true;
            }
        }
    }

    /// Sends a message to ourselves, over the ring; false if corosync does not take it now.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn send(&self, number: u64) -> CsResult<bool> {
        match self.cpg.mcast(&number.to_le_bytes()) {
            Ok(()) => Ok(true),
            Err(CsError::TRY_AGAIN) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// A call that corosync's main loop answers at once, whatever the ring does.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn ping(&self) -> CsResult<()> {
        self.config.get("totem.version").map(drop)
    }

    fn number(&self, key: &str) -> CsResult<Option<u64>> {
        Ok(self.config.get(key)?.and_then(|v| v.as_u64()))
    }

    fn text(&self, key: &str) -> CsResult<String> {
        Ok(self.config.get(key)?.map(|v| v.text()).unwrap_or_default())
    }

    /// Name of the cluster and running `config_version`.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn name(&self) -> CsResult<(String, Option<ConfigVersion>)> {
        let version = self.number("totem.config_version")?.map(ConfigVersion);
        Ok((self.text("totem.cluster_name")?, version))
    }

    /// The running token and consensus time-outs.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn times(&self) -> CsResult<(Duration, Duration)> {
        let ms = |key: &str, default: u64| -> CsResult<Duration> {
            let value = self.number(&format!("runtime.config.totem.{key}"))?;
            Ok(Duration::from_millis(value.unwrap_or(default)))
        };
        Ok((ms("token", 3000)?, ms("consensus", 3600)?))
    }

    /// The longest time between two pings on a link; zero where the transport sends none.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn ping_interval(&self) -> CsResult<Duration> {
        let all = self.config.dump(INTERFACES)?;
        let ours = all.iter().filter(|(key, _)| key.ends_with(PING_EVERY));
        let ms = ours.filter_map(|(_, value)| value.as_u64()).max();
        Ok(Duration::from_millis(ms.unwrap_or(0)))
    }

    /// The running nodelist.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn nodes(&self) -> CsResult<BTreeMap<NodeId, String>> {
        let mut ids = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (key, value) in self.config.dump("nodelist.node.")? {
            let Some((place, what)) = key
                .strip_prefix("nodelist.node.")
                .and_then(|rest| rest.split_once('.'))
            else {
                continue;
            };
            match what {
                "nodeid" => {
                    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
                    ids.extend(id.map(|id| (place.to_owned(), NodeId(id))));
                }
                "name" => {
                    names.insert(place.to_owned(), value.text());
                }
                _ => {}
            }
        }
        let named = |(place, id)| (id, names.remove(&place).unwrap_or_default());
        Ok(ids.into_iter().map(named).collect())
    }

    /// The configuration versions that the nodes told the ring; of every node that was ever seen.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn versions(&self) -> CsResult<BTreeMap<NodeId, Option<ConfigVersion>>> {
        let mut versions = BTreeMap::new();
        for (key, value) in self.config.dump(MEMBERS)? {
            let rest = key.strip_prefix(MEMBERS).and_then(|r| r.split_once('.'));
            let Some((Ok(id), what)) = rest.map(|(id, what)| (id.parse().map(NodeId), what)) else {
                continue;
            };
            let version: &mut Option<ConfigVersion> = versions.entry(id).or_default();
            if what == "config_version" {
                *version = value.as_u64().map(ConfigVersion);
            }
        }
        Ok(versions)
    }

    /// Whether a reload is under way, and how the last one ended.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn reload(&self) -> CsResult<(bool, Option<u64>)> {
        let mut busy = false;
        for key in BUSY {
            busy |= self.number(key)?.is_some_and(|n| n != 0);
        }
        Ok((busy, self.number(STATUS)?))
    }

    /// The running configuration, as far as it is compared with the file.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn running(&self) -> CsResult<Values> {
        let mut all = Values::new();
        for prefix in SECTIONS.into_iter().chain(NOT_FOLLOWED) {
            let found = self.config.dump(prefix)?;
            all.extend(found.into_iter().map(|(key, value)| (key, value.text())));
        }
        Ok(all)
    }

    /// What votequorum knows of a node.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn votes(&self, node: NodeId) -> CsResult<Option<Info>> {
        let ask = |v: &Votequorum| self.beat.call(|| v.info(node));
        match self.votes.as_ref().map(ask) {
            None => Ok(None),
            Some(Ok(info)) => Ok(info),
            Some(Err(e)) if e == CsError::LIBRARY => Err(e),
            Some(Err(_)) => Ok(None),
        }
    }

    /// Looks which links there are, and follows their state.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn find_links(&mut self) -> CsResult<Vec<Id>> {
        let keys = self.stats.list(LINKS)?;
        let mut found: Vec<Id> = keys
            .iter()
            .filter(|k| k.ends_with(".connected"))
            .filter_map(|k| link_of(k))
            .filter(|(node, _)| *node != self.local)
            .collect();
        found.sort_unstable();
        for id in self.tracked.keys().copied().collect::<Vec<_>>() {
            if !found.contains(&id) {
                for track in self.tracked.remove(&id).into_iter().flatten() {
                    // The key is gone, and its track may be with it.
                    self.stats.untrack(track);
                }
            }
        }
        for id in &found {
            if !self.tracked.contains_key(id) {
                let tracks = [
                    self.stats.track(&key(*id, "connected"), VALUE)?,
                    self.stats.track(&key(*id, "down_count"), VALUE)?,
                ];
                self.tracked.insert(*id, tracks);
            }
        }
        Ok(found)
    }

    /// Whether a link is connected, and how often it went down; none if it is gone.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn link(&self, id: Id) -> CsResult<Option<(bool, u64)>> {
        let number = |what: &str| -> CsResult<Option<u64>> {
            Ok(self.stats.get(&key(id, what))?.and_then(|v| v.as_u64()))
        };
        let (connected, downs) = (number("connected")?, number("down_count")?);
        Ok(connected.map(|c| (c != 0, downs.unwrap_or(0))))
    }

    /// How many packets of the other node have arrived on a link; none if it is gone.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn arrived(&self, id: Id) -> CsResult<Option<u64>> {
        let value = self.stats.get(&key(id, "rx_total_packets"))?;
        Ok(value.and_then(|v| v.as_u64()))
    }

    /// A link's packet size in bytes and average round trip in microseconds.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn measure(&self, id: Id) -> CsResult<(u32, u32)> {
        let number = |what: &str| -> CsResult<u32> {
            let value = self.stats.get(&key(id, what))?.and_then(|v| v.as_u64());
            Ok(u32::try_from(value.unwrap_or(0)).unwrap_or(u32::MAX))
        };
        Ok((number("mtu")?, number("latency_ave")?))
    }

    /// The pauses that corosync noticed after that of `known`, newest first.
    ///
    /// # Errors
    /// corosync's.
    pub(super) fn pauses(&self, known: Option<u64>) -> CsResult<Vec<Pause>> {
        pauses::after(known, |key| self.stats.get(key))
    }
}

const VALUE: Track = Track {
    add: false,
    delete: false,
    modify: true,
    prefix: false,
};

/// Whether corosync is only about to be there, or about to be gone.
pub(super) fn passes(e: CsError) -> bool {
    e == CsError::TRY_AGAIN || e == CsError::LIBRARY
}

/// A group of this node's own, so that nobody else is woken by it.
fn group(local: NodeId) -> String {
    format!("clusmgr.self.{local}")
}
