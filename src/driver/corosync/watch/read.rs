//! What is read through a connection when corosync has told that it is new.

use super::client::{Client, News};
use super::round::{SETTLE, Watching};
use crate::driver::corosync::render;
use crate::driver::corosync::tools::Cmap as Values;
use crate::event::Note;
use crate::sys::corosync::CsResult;
use crate::types::Mono;
use std::sync::Arc;
use std::time::Duration;

/// Round trips and packet sizes are read so often.
const MEASURE_EVERY: Duration = Duration::from_secs(30);
/// What still arrives on links that are down is looked at so often.
const HEAR_EVERY: Duration = Duration::from_millis(500);

impl Watching {
    /// The configuration, and what follows from it.
    pub(super) fn read_config(&mut self, client: &Client) -> CsResult<()> {
        (self.parts.name, self.parts.version) = client.name()?;
        self.parts.nodes = client.nodes()?;
        self.members.names = self.parts.nodes.clone();
        self.links.names = self.parts.nodes.clone();
        self.times = client.times()?;
        self.ping = client.ping_interval()?;
        let running = client.running()?;
        self.read = Some(hash(&running));
        self.sys.show_running(running);
        Ok(())
    }

    /// Whether a reload is under way, and how the last one went.
    pub(super) fn take_reload(
        &mut self,
        client: &Client,
        new: bool,
        now: Mono,
        notes: &mut Vec<Note>,
    ) -> CsResult<()> {
        let sys = Arc::clone(&self.sys);
        self.config_at.get_or_insert(now.plus(SETTLE));
        let (busy, status) = sys.watch.beat.call(|| client.reload())?;
        if new {
            let changed = self.running.is_some() && self.running != self.read;
            notes.extend(self.reloads.returned(changed, busy, status));
        } else if !busy && self.reloads.under_way() {
            // What it brought is known no later than it is told.
            sys.watch.beat.call(|| self.read_config(client))?;
        }
        notes.extend(self.reloads.seen(busy, status, now));
        Ok(())
    }

    /// What the members told of themselves, and the votes.
    pub(super) fn take_members(
        &mut self,
        client: &Client,
        news: &mut News,
        notes: &mut Vec<Note>,
    ) -> CsResult<()> {
        if news.members {
            news.told = client.versions()?.into_iter().collect();
        }
        self.take_told(news, notes);
        if news.votes {
            self.parts.own = client.votes(client.local)?;
            self.parts.votes.clear();
            let all: Vec<_> = self.parts.nodes.keys().copied().collect();
            for id in all {
                let info = client.votes(id)?;
                self.parts.votes.extend(info.map(|i| (id, i)));
            }
        }
        Ok(())
    }

    /// The links of which something is new, and now and then all.
    pub(super) fn take_links(
        &mut self,
        client: &mut Client,
        news: &News,
        now: Mono,
        notes: &mut Vec<Note>,
    ) -> CsResult<()> {
        let mut changed = news.links.clone();
        let mut measure = changed.clone();
        if news.shape {
            changed = self.sys.watch.beat.call(|| client.find_links())?;
            self.links.keep(&changed);
        } else if news.ring {
            changed = self.links.ids();
        }
        if news.shape || now >= self.measure_at {
            self.measure_at = now.plus(MEASURE_EVERY);
            measure = self.links.ids();
            measure.extend(&changed);
        }
        for id in changed {
            // Link by link: it is one call that must not take too long, not all of them.
            let link = self.sys.watch.beat.call(|| client.link(id))?;
            if let Some((connected, downs)) = link {
                notes.extend(self.links.sample(id, connected, downs, now));
            }
        }
        for id in measure {
            let (mtu, latency) = self.sys.watch.beat.call(|| client.measure(id))?;
            self.links.measured(id, mtu, latency);
        }
        self.hear(client, now)
    }

    /// Which of the links that are down are so in one direction only.
    fn hear(&mut self, client: &Client, now: Mono) -> CsResult<()> {
        if now < self.hear_at {
            return Ok(());
        }
        for id in self.links.unconnected() {
            self.hear_at = now.plus(HEAR_EVERY);
            if let Some(packets) = self.sys.watch.beat.call(|| client.arrived(id))? {
                self.links.arrived(id, packets, now, self.ping);
            }
        }
        Ok(())
    }
}

/// Of what a reload can change; corosync's own measurements are beside it.
fn hash(running: &Values) -> String {
    let mut text = String::new();
    for (key, value) in running
        .iter()
        .filter(|(key, _)| !key.starts_with("resources."))
    {
        text.extend([key.as_str(), "=", value, "\n"]);
    }
    render::sha256_hex(text.as_bytes())
}
