//! `status --watch`: the status anew whenever something happens.

use super::client::{Client, Result};
use super::commands::Cli;
use super::output::{self, Out};
use super::status::shown;
use super::text::{clean, clean_json, wrap};
use super::{connect, retry_before, said};
use crate::sys::term;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Events that come within this time of one another are shown by one refresh.
const TOGETHER: Duration = Duration::from_millis(100);

/// Shows the status until interrupted. A daemon that goes away is waited for.
pub(super) fn run(cli: &Cli, out: &Out, json: bool) -> Result<u8> {
    let mut screen = Screen {
        cli,
        out,
        json,
        last: String::new(),
        cleared: false,
    };
    let mut told = String::new();
    loop {
        let (e, shown) = match session(cli, &mut screen) {
            (Err(e), shown) => (e, shown),
            (Ok(never), _) => match never {},
        };
        if !e.passes() {
            return Err(e);
        }
        // The same outage is told once, not every second.
        let text = said(cli, &e);
        if shown || told != text {
            screen.away(&text)?;
            told = text;
        }
        retry_before(None);
    }
}

/// One connection's worth; also whether anything was shown.
fn session(cli: &Cli, screen: &mut Screen<'_>) -> (Result<Infallible>, bool) {
    let mut shown = false;
    let mut serve = || -> Result<Infallible> {
        // One connection for events, another to ask: a stream takes no more requests. Subscribed
        // first, so that nothing falls between the two.
        let mut events = connect(cli)?;
        events.subscribe(None)?;
        let mut asker = connect(cli)?;
        loop {
            screen.status(&mut asker)?;
            shown = true;
            events.news(None)?;
            let pause = Instant::now() + TOGETHER;
            while events.news(Some(pause))?.is_some() {}
        }
    };
    let end = serve();
    (end, shown)
}

/// As much as the screen can hold: what is longer would scroll, and each frame leave a part of the
/// last one behind.
fn fitting(text: &str, height: Option<usize>) -> String {
    // The cursor stands on the line below the last one.
    let room = height.map_or(usize::MAX, |h| h.saturating_sub(1).max(2));
    let all = text.lines().count();
    if all <= room {
        return text.to_owned();
    }
    let mut some: Vec<&str> = text.lines().take(room - 1).collect();
    let rest = format!("… and {} lines more, for a taller window", all - some.len());
    some.push(&rest);
    some.join("\n") + "\n"
}

struct Screen<'a> {
    cli: &'a Cli,
    out: &'a Out,
    json: bool,
    /// The last status, to stay on the screen while the daemon is away.
    last: String,
    cleared: bool,
}

impl Screen<'_> {
    fn status(&mut self, asker: &mut Client) -> Result<()> {
        let (value, status) = asker.status()?;
        if self.json {
            return self.out.print(&clean_json(&format!("{value}\n")));
        }
        // No "2 m ago": nothing would correct it until the next event.
        self.last = output::status(&shown(self.cli, &status), &self.out.view(false));
        let text = self.last.clone();
        self.frame(&text)
    }

    fn away(&mut self, e: &str) -> Result<()> {
        if self.json {
            super::complain(&format!("{e}; trying again every second"));
            return Ok(());
        }
        let view = self.out.view(false);
        let since = (view.time)(view.now);
        let said = format!(
            "Since {since} there is no status: {}; trying again every second.",
            clean(e)
        );
        let mut text = wrap(&said, view.width).join("\n");
        text.push('\n');
        if self.out.terminal && !self.last.is_empty() {
            let _ = write!(text, "\nWhat it last said:\n\n{}", self.last);
        }
        self.frame(&text)
    }

    /// Writes over the last frame, in one write and without blanking the screen first: nothing
    /// flickers. Where there is no terminal, below it.
    fn frame(&mut self, text: &str) -> Result<()> {
        if !self.out.terminal {
            return self.out.print(&format!("{text}\n"));
        }
        let clear = if std::mem::replace(&mut self.cleared, true) {
            ""
        } else {
            "\x1b[2J"
        };
        let lines = fitting(text, term::height(std::io::stdout())).replace('\n', "\x1b[K\n");
        self.out.print(&format!("{clear}\x1b[H{lines}\x1b[J"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_no_taller_than_the_screen() {
        let text = "1\n2\n3\n4\n5\n";
        assert_eq!(fitting(text, None), text);
        assert_eq!(fitting(text, Some(6)), text);
        let cut = fitting(text, Some(5));
        assert_eq!(cut, "1\n2\n3\n… and 2 lines more, for a taller window\n");
    }
}
