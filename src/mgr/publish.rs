//! The thread `cm-events`: numbers what is in the public queue, journals it, hands it to the hub and
//! logs it. It is a thread of its own so that a slow disk never delays a restart.

use crate::driver::DriverData;
use crate::error::{Error, Result};
use crate::event::{Event, Hub, Kind, Note, Severity, Taken};
use crate::journal::Journal;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// Starts the thread; `told` is called with each event once it is out. It ends when the public queue
/// is closed and empty, and then closes the journal and the hub.
///
/// # Errors
/// When there can be no thread.
pub fn start(
    data: Arc<dyn DriverData>,
    journal: Journal,
    hub: Arc<Hub>,
    told: impl Fn(&Note) + Send + 'static,
) -> Result<JoinHandle<()>> {
    data.told(None, journal.last_seq());
    let thread = Builder::new()
        .name("cm-events".into())
        .stack_size(256 << 10);
    let out = Out { journal, hub, told };
    let run = move || out.run(&*data);
    thread
        .spawn(run)
        .map_err(|e| Error::io("start", "thread cm-events", &e))
}

/// From the driver's internal queue to the public one.
pub(super) fn pass(data: &dyn DriverData) {
    data.evt_internal_queue().pass_to(data.evt_public_queue());
}

struct Out<T> {
    journal: Journal,
    hub: Arc<Hub>,
    told: T,
}

impl<T: Fn(&Note)> Out<T> {
    fn run(mut self, data: &dyn DriverData) {
        while let Taken::Notes(notes, lost) = data.evt_public_queue().take() {
            if lost > 0 {
                let text = format!(
                    "{lost} events were lost: they came faster than they could be numbered"
                );
                let note = Note::new(Kind::EventsLost, Severity::Err, text).with("lost", lost);
                self.publish(data, note);
            }
            for note in notes {
                self.publish(data, note);
            }
        }
        self.hub.close();
        if let Err(e) = self.journal.close() {
            log::error!("{e}");
        }
    }

    fn publish(&mut self, data: &dyn DriverData, note: Note) {
        let seq = self.journal.next_seq();
        let event = Event { seq, note };
        if let Ok(line) = serde_json::to_string(&event) {
            // The journal counts its failures and says them once; who follows gets the event all
            // the same.
            let _ = self.journal.append(seq, &line);
            self.hub.publish(seq, line.into());
        }
        // Who follows hears of it first: the log has a thread of its own, which would be woken before
        // theirs.
        log_note(seq, &event.note);
        data.told(event.note.ticket, seq);
        (self.told)(&event.note);
    }
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
