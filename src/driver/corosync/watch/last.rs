//! The end of a connection, or of corosync: what can still be told.

use super::client::{Client, News};
use super::round::Watching;
use crate::event::Note;

impl Watching {
    /// A connection that is of no more use, to a corosync that may live. What it has said is taken
    /// before the libraries say good-bye to it, which it may not answer. Of a dead one they give nothing
    /// any more: libqb looks at the socket first.
    pub(super) fn part(&mut self, mut client: Client, notes: &mut Vec<Note>) {
        let mut news = self.sys.watch.beat.look(|| client.take());
        self.take_told(&mut news, notes);
        self.sys.watch.beat.call(|| drop(client));
    }

    /// What was told in full, so that nothing needs to be asked.
    pub(super) fn take_told(&mut self, news: &mut News, notes: &mut Vec<Note>) {
        self.take_quorum(news, notes);
        for (id, version) in std::mem::take(&mut news.told) {
            self.members.seen.insert(id);
            notes.extend(version.and_then(|v| self.members.version(id, v)));
        }
    }

    /// Who is who, as the file has it, where no corosync runs that could be asked.
    pub(super) fn read_names(&mut self) {
        if let Ok(Some(live)) = self.sys.read_live() {
            self.members.local = live.nodeid();
            let nodes = live.config.nodes().into_iter();
            self.members.names = nodes
                .filter_map(|n| Some((n.nodeid?, n.name.unwrap_or_default())))
                .collect();
        }
    }
}
