//! What happened while clusmgr was away: it is what the first look finds, however long that takes, and
//! nothing that corosync tells later.

use super::client::News;
use super::round::Watching;
use crate::event::Note;
use crate::sys::corosync::quorum::Notice;

/// So that it is known as old.
pub(super) fn marked(mut note: Note) -> Note {
    note.text = format!("while clusmgr was away: {}", note.text);
    note.with("away", true)
}

/// corosync tells its present state first, of the ring and of quorum; what follows has happened since,
/// and is taken out.
pub(super) fn later(notices: &mut Vec<Notice>) -> Vec<Notice> {
    let (mut quorum, mut ring) = (false, false);
    let mut first = |n: &Notice| match n {
        Notice::Quorum { .. } => !std::mem::replace(&mut quorum, true),
        Notice::Nodes { .. } => !std::mem::replace(&mut ring, true),
    };
    let all = std::mem::take(notices);
    let (state, later) = all.into_iter().partition(|n| first(n));
    *notices = state;
    later
}

impl Watching {
    /// The first look is over, or it failed and comes again.
    pub(super) fn returned(&mut self, whole: bool, notes: &mut Vec<Note>) {
        *notes = std::mem::take(notes).into_iter().map(marked).collect();
        let mut news = News {
            quorum: std::mem::take(&mut self.later),
            ..News::default()
        };
        self.take_quorum(&mut news, notes);
        self.away = !whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::corosync::RingId;
    use crate::types::NodeId;

    #[test]
    fn only_the_first_of_each_kind_is_the_state_that_was_found() {
        let ring = |seq| RingId {
            nodeid: NodeId(1),
            seq,
        };
        let nodes = |seq| Notice::Nodes {
            ring: ring(seq),
            members: vec![NodeId(1)],
            joined: Vec::new(),
            left: Vec::new(),
        };
        let quorum = |quorate| Notice::Quorum {
            quorate,
            ring: ring(4),
            members: vec![NodeId(1)],
        };
        for state in [[quorum(true), nodes(4)], [nodes(4), quorum(true)]] {
            let after = [nodes(8), quorum(false)];
            let mut notices = [state.clone(), after.clone()].concat();
            assert_eq!(later(&mut notices), after);
            assert_eq!(notices, state);
        }
    }
}
