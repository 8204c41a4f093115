//! The rules of the sections logging and system.

use super::{Check, quoted};

impl Check<'_> {
    pub(super) fn system(&mut self) {
        let on = |value: Option<&str>| matches!(value, Some("yes" | "on"));
        if on(self.config.get_str("logging.to_logfile"))
            && self.config.get("logging.logfile").is_none()
        {
            let message = "there is no logfile to log to; add \"logfile: PATH\", or remove it";
            self.warn(
                self.place("logging.to_logfile"),
                "logging.to_logfile",
                message,
            );
        }
        // What -t does not look at, and a start ends with exit 8 over.
        let path = "system.priority";
        if let Some(value) = self.config.get_str(path) {
            if !matches!(value, "max" | "min") && value.parse::<i32>().is_err() {
                let message = format!(
                    "{} is not valid; write max, min, or a number as for nice",
                    quoted(value)
                );
                self.error(self.place(path), path, message);
            } else if self.config.get_str("system.sched_rr") != Some("no") {
                let message = "it is used with \"sched_rr: no\" only; add that, or remove it";
                self.warn(self.place(path), path, message);
            }
        }
    }
}
