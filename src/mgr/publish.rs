//! The thread `cm-events`: numbers what is in the public queue, journals it, hands it to the hub and
//! logs it. It is a thread of its own so that a slow disk never delays a restart.

use crate::driver::DriverData;
use crate::error::{Error, Result};
use crate::event::{Event, Hub, Kind, Note, Severity, Taken};
use crate::journal::Journal;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// Starts the thread. It ends when the public queue is closed and empty, and then closes the
/// journal and the hub.
///
/// # Errors
/// When there can be no thread.
pub fn start(data: Arc<dyn DriverData>, journal: Journal, hub: Arc<Hub>) -> Result<JoinHandle<()>> {
    let thread = Builder::new().name("cm-events".into()).stack_size(256 << 10);
    let run = move || run(&*data, journal, &hub);
    thread.spawn(run).map_err(|e| Error::io("start", "thread cm-events", &e))
}

fn run(data: &dyn DriverData, mut journal: Journal, hub: &Hub) {
    while let Taken::Notes(notes, lost) = data.evt_public_queue().take() {
        if lost > 0 {
            let text = format!("{lost} events were lost: they came faster than they could be numbered");
            publish(Note::new(Kind::EventsLost, Severity::Err, text).with("lost", lost), &mut journal, hub);
        }
        for note in notes {
            publish(note, &mut journal, hub);
        }
    }
    hub.close();
    if let Err(e) = journal.close() {
        log::error!("{e}");
    }
}

fn publish(note: Note, journal: &mut Journal, hub: &Hub) {
    let seq = journal.next_seq();
    log_note(seq, &note);
    let event = Event { seq, note };
    let Ok(line) = serde_json::to_string(&event) else { return };
    // The journal counts its failures and says them once; who follows gets the event all the same.
    let _ = journal.append(seq, &line);
    hub.publish(seq, line.into());
}

fn log_note(seq: u64, note: &Note) {
    let (kind, text) = (note.kind.as_str(), &note.text);
    match note.severity {
        Severity::Info => log::info!("{kind}: {text} [{seq}]"),
        Severity::Notice => log::info!(target: "notice", "{kind}: {text} [{seq}]"),
        Severity::Warning => log::warn!("{kind}: {text} [{seq}]"),
        Severity::Err => log::error!("{kind}: {text} [{seq}]"),
        Severity::Crit => log::error!(target: "crit", "{kind}: {text} [{seq}]"),
    }
}
