//! The thread's rounds: follow the process, connect, take what came, tell.

use super::Target;
use super::away::{later, marked};
use super::client::{Client, News, passes};
use super::deliver::Delivery;
use super::lasting::Lasting;
use super::links::Links;
use super::members::Members;
use super::owed::Record;
use super::reload::Reloads;
use super::tell::OF_THE_CLUSTER;
use super::view::Parts;
use crate::driver::READY_TIMEOUT;
use crate::driver::corosync::CorosyncSys;
use crate::event::Note;
use crate::journal::Reader;
use crate::sys::clock;
use crate::sys::corosync::quorum::Notice;
use crate::sys::corosync::{CsError, CsResult, Libraries};
use crate::sys::file::Latest;
use crate::sys::ready;
use crate::types::Mono;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a message goes round to this node itself, and the one before is asked after. Two of these
/// and `--hang-timeout` are what a hang lasts.
pub(super) const SEND_EVERY: Duration = Duration::from_millis(800);
/// A starting corosync is tried again so often, and for so long; then once a second.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_FOR: Duration = Duration::from_secs(10);
const RETRY_STILL: Duration = Duration::from_secs(1);
/// Where it cannot be better soon: it refuses this daemon, or there are no libraries.
const RETRY_LATER: Duration = Duration::from_secs(10);
/// Changes of the configuration come in bursts.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// Whether corosync noticed a pause is asked so often, and soon after a message that was late.
const PAUSE_EVERY: Duration = Duration::from_secs(10);
/// For the sleep of one who waits for nothing.
const LONG: Duration = Duration::from_secs(3600);

/// What the thread holds.
pub(in crate::driver::corosync) struct Watching {
    pub(super) sys: Arc<CorosyncSys>,
    client: Option<Client>,
    pub(super) target: Option<Target>,
    /// Nothing was looked at yet: what an earlier clusmgr knew is compared first.
    pub(super) first: bool,
    /// There was a whole look at this corosync.
    pub(super) looked: bool,
    /// What is found now happened while clusmgr was away.
    pub(super) away: bool,
    /// What corosync has told since, until that is told.
    pub(super) later: Vec<Notice>,
    /// What the next clusmgr is to know, as it is on disk.
    pub(super) record: Record,
    pub(super) record_file: Latest,
    /// A hash of the running configuration, as it was read last, and as of the last reload.
    pub(super) read: Option<String>,
    pub(super) running: Option<String>,
    pub(super) members: Members,
    pub(super) links: Links,
    pub(super) parts: Parts,
    pub(super) delivery: Delivery,
    pub(super) reloads: Reloads,
    pub(super) times: (Duration, Duration),
    /// Between two pings on a link.
    pub(super) ping: Duration,
    retry_at: Mono,
    /// Since when there is no connection.
    alone: Mono,
    pub(super) send_at: Mono,
    pub(super) sent: Option<(u64, bool)>,
    pub(super) measure_at: Mono,
    pub(super) hear_at: Mono,
    pub(super) config_at: Option<Mono>,
    pub(super) pause: Option<u64>,
    pub(super) pause_at: Mono,
    pub(super) pause_until: Option<Mono>,
    /// Since when a member has a newer configuration.
    pub(super) behind_since: Option<Mono>,
    /// Links that are down while another one to the same node works.
    pub(super) one_down: Lasting,
}

impl Watching {
    /// Nothing is known yet.
    pub(in crate::driver::corosync) fn new(sys: Arc<CorosyncSys>) -> Watching {
        let zero = Mono::default();
        let record_file = Record::file(&sys.params.run_dir);
        Watching {
            sys,
            client: None,
            target: None,
            first: true,
            looked: false,
            away: false,
            later: Vec::new(),
            record: Record::default(),
            record_file,
            read: None,
            running: None,
            members: Members::default(),
            links: Links::default(),
            parts: Parts::default(),
            delivery: Delivery::default(),
            reloads: Reloads::default(),
            times: (Duration::from_secs(3), Duration::from_millis(3600)),
            ping: Duration::ZERO,
            retry_at: zero,
            alone: zero,
            send_at: zero,
            sent: None,
            measure_at: zero,
            hear_at: zero,
            config_at: None,
            pause: None,
            pause_at: zero,
            pause_until: None,
            behind_since: None,
            one_down: Lasting::default(),
        }
    }

    /// Until the daemon ends.
    pub(in crate::driver::corosync) fn run(mut self) {
        self.settle();
        while !self.sys.watch.ending() {
            self.sys.watch.waker.clear();
            let now = clock::now();
            self.follow(now);
            self.turn(now);
            self.sleep();
        }
        self.record.close(&mut self.record_file);
        // What it has just said is the next clusmgr's to tell.
        self.sys.watch.beat.call(|| drop(self.client.take()));
    }

    /// What an earlier clusmgr was about to tell, and could not any more.
    fn settle(&mut self) {
        self.record = Record::load(&self.sys.params.run_dir);
        let journal = Reader::new(&self.sys.params.state_dir);
        let page = journal.read_since(self.record.after, usize::MAX);
        let owed = self.record.settle(&page);
        self.tell(owed);
    }

    fn sleep(&self) {
        let now = clock::now();
        let until = self.due().unwrap_or_else(|| now.plus(LONG));
        let mut fds = self.client.as_ref().map(Client::fds).unwrap_or_default();
        fds.push(self.sys.watch.waker.as_fd());
        ready::wait_any(&fds, until.since(now));
    }

    fn due(&self) -> Option<Mono> {
        self.target?;
        if self.client.is_none() {
            return Some(self.retry_at);
        }
        let dues = [
            Some(self.send_at),
            Some(self.measure_at),
            self.links.listens().then_some(self.hear_at),
            self.links.due(),
            self.reloads.due(),
            self.config_at,
            self.pause_until,
        ];
        dues.into_iter().flatten().min()
    }

    /// Takes up another process, or none.
    fn follow(&mut self, now: Mono) {
        let order = self.sys.watch.order();
        if !order.looked || (order.target == self.target && !self.first) {
            return;
        }
        let before = std::mem::replace(&mut self.target, order.target);
        self.looked = false;
        let (mut notes, mut over) = (Vec::new(), Vec::new());
        if std::mem::take(&mut self.first) {
            let known = &self.record.known;
            let adopted = order.target.filter(|t| t.adopted).map(|t| t.pid);
            let same = adopted.is_some() && adopted == known.pid;
            known.recall(&mut self.members, same);
            self.links.remember(known.links(same));
            if same {
                self.running.clone_from(&known.process.running);
                self.reloads.recall(known.process.reload);
                self.pause = known.process.pause;
            }
            self.away = order.target.is_some_and(|t| t.adopted);
            if !self.away {
                self.read_names();
                notes.extend(self.members.gone().into_iter().map(marked));
            }
        } else if before.is_some() {
            self.away = false;
            if let Some(client) = self.client.take() {
                self.sys.watch.beat.call(|| drop(client));
                self.sys.show_cluster(None, Vec::new());
            }
            let gone;
            (gone, over) = self.gone();
            notes.extend(gone);
        }
        self.tell(notes);
        self.hand_on(over);
        (self.retry_at, self.alone) = (now, now);
    }

    /// corosync is gone, and with it what it told: the events of that, and of what no longer makes the
    /// node degraded.
    fn gone(&mut self) -> (Vec<Note>, Vec<Note>) {
        self.links.gone();
        self.reloads = Reloads::default();
        self.delivery = Delivery::default();
        self.config_at = None;
        self.running = None;
        self.pause = None;
        self.pause_until = None;
        let reasons = OF_THE_CLUSTER.into_iter().chain(["no-answer"]);
        let over = reasons.filter_map(|reason| self.sys.restore(reason));
        let over = over.collect();
        (self.members.gone(), over)
    }

    fn turn(&mut self, now: Mono) {
        if self.target.is_none() {
            return;
        }
        self.links.away = self.away;
        let begun = match self.client.take() {
            Some(client) => Ok((client, false)),
            None if now < self.retry_at => return,
            None => {
                let Some(libs) = self.libraries(now) else {
                    return;
                };
                self.attach(&libs, now).map(|client| (client, true))
            }
        };
        // What was taken in before a call failed is told all the same: nobody says it again.
        let mut notes = Vec::new();
        let done = begun.and_then(|(mut client, new)| {
            let done = self.round(&mut client, new, now, &mut notes);
            if self.away {
                self.returned(done.is_ok(), &mut notes);
            }
            match done {
                Ok(()) => self.client = Some(client),
                Err(_) => self.part(client, &mut notes),
            }
            done
        });
        match done {
            Ok(()) => {
                self.show(notes, now);
                self.looked = true;
            }
            Err(e) => {
                self.tell(notes);
                self.failed(e, now);
            }
        }
    }

    /// corosync's libraries; what is missing of them is said, and is not looked for again soon.
    fn libraries(&mut self, now: Mono) -> Option<Arc<Libraries>> {
        match self.sys.libraries() {
            Ok(libs) => Some(libs),
            Err(e) => {
                self.sys.set_degraded("no-libraries", &e.to_string());
                self.retry_at = now.plus(RETRY_LATER);
                // Not corosync's fault: its time to answer begins when it can be asked.
                self.alone = self.retry_at;
                None
            }
        }
    }

    fn attach(&mut self, libs: &Arc<Libraries>, now: Mono) -> CsResult<Client> {
        self.sys.clear_degraded("no-libraries");
        let beat = &self.sys.watch.beat;
        // As a whole too: what was opened before one fails is closed, which may wait.
        let client = beat.call(|| Client::open(libs, beat))?;
        for reason in ["no-access", "no-answer"] {
            self.sys.clear_degraded(reason);
        }
        self.sys.watch.answered.store(true, Ordering::Relaxed);
        self.members.local = Some(client.local);
        // A message that was under way never comes to this connection.
        self.delivery.again();
        self.sent = None;
        self.send_at = now;
        Ok(client)
    }

    /// No connection, or no more. corosync may be about to be there, or gone: the monitor knows.
    fn failed(&mut self, e: CsError, now: Mono) {
        self.sys.show_cluster(None, Vec::new());
        let alone = now.since(self.alone);
        // One that has served nobody yet may still be looking its peers' names up.
        let patience = match self.sys.watch.answered() {
            true => RETRY_FOR,
            false => READY_TIMEOUT,
        };
        let wait = match e {
            CsError::ACCESS => RETRY_LATER,
            _ if passes(e) && alone < RETRY_FOR => RETRY,
            _ => RETRY_STILL,
        };
        self.retry_at = now.plus(wait);
        if e == CsError::ACCESS {
            let text =
                "corosync refuses clusmgr; does it run as another user, in another user namespace?";
            self.sys.set_degraded("no-access", text);
        } else if !passes(e) || alone >= patience {
            let text = format!("corosync runs but does not serve its clients: {e}");
            self.sys.set_degraded("no-answer", &text);
        }
    }

    /// One look through a connection that stands.
    fn round(
        &mut self,
        client: &mut Client,
        new: bool,
        now: Mono,
        notes: &mut Vec<Note>,
    ) -> CsResult<()> {
        let sys = Arc::clone(&self.sys);
        let beat = &sys.watch.beat;
        let mut news = beat.look(|| client.take());
        if news.reload_began {
            // Before it is asked anything: until it is through with that it answers nobody.
            beat.excuse();
            self.reloads.began(now);
        }
        if self.away {
            self.later = later(&mut news.quorum);
        }
        if news.lost {
            log::warn!("corosync told more at once than could be kept; its state is read again");
            news.failed.get_or_insert(CsError::TRY_AGAIN);
        }
        if let Some(e) = news.failed {
            self.take_told(&mut news, notes);
            return Err(e);
        }
        self.alone = now;
        if new {
            news.shape = true;
            news.members = true;
            news.votes = true;
            news.reload = true;
            self.pause_at = now;
            self.config_at = Some(now);
        }
        if news.config {
            self.config_at.get_or_insert(now.plus(SETTLE));
        }
        if new {
            // The members' names, before they are told of.
            self.read_due(client, now)?;
        }
        self.take_quorum(&mut news, notes);
        if !new {
            if !notes.is_empty() {
                // Before anything is asked of corosync, which has its hands full at such a time.
                self.show(std::mem::take(notes), now);
            }
            self.read_due(client, now)?;
        }
        // It may have nothing to ask, and is no answer then.
        self.take_members(client, &mut news, notes)?;
        self.take_links(client, &news, now, notes)?;
        if news.reload {
            self.take_reload(client, new, now, notes)?;
        }
        // What a reload brings is known once that is told.
        if !self.reloads.under_way() {
            self.running.clone_from(&self.read);
        }
        // In the wake-up of a message, so that it costs none of its own.
        if now >= self.pause_at && (new || now >= self.send_at) {
            self.pause_at = now.plus(PAUSE_EVERY);
            let found = beat.call(|| client.pauses(self.pause))?;
            notes.extend(self.take_pauses(&found, now));
        }
        self.deliver(client, &news, now)?;
        notes.extend(self.links.tick(now));
        notes.extend(self.reloads.tick(now));
        if self.pause_until.is_some_and(|at| at <= now) {
            self.pause_until = None;
        }
        Ok(())
    }

    /// Reads the configuration where it is time to.
    fn read_due(&mut self, client: &mut Client, now: Mono) -> CsResult<()> {
        if self.config_at.is_some_and(|at| at <= now) {
            self.config_at = None;
            let sys = Arc::clone(&self.sys);
            sys.watch.beat.call(|| self.read_config(client))?;
        }
        Ok(())
    }

    pub(super) fn take_quorum(&mut self, news: &mut News, notes: &mut Vec<Note>) {
        for notice in std::mem::take(&mut news.quorum) {
            match notice {
                Notice::Quorum { quorate, .. } => {
                    news.votes = true;
                    self.parts.recount(&self.members.members);
                    notes.extend(self.members.quorum(quorate));
                }
                // Not before corosync has synchronized: the votes are still those of the last ring.
                Notice::Nodes {
                    ring,
                    members,
                    joined,
                    left,
                } => {
                    if self.members.ring != Some(ring) {
                        self.delivery.ring();
                    }
                    notes.extend(self.members.ring(ring, &members, &joined, &left));
                    self.links.ring(&self.members.members);
                    news.ring = true;
                }
            }
        }
    }
}
