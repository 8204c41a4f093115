//! The whole state × event matrix against a written table, and what a table cannot show.

use super::*;
use std::fmt::Write;

const T0: Mono = Mono(1_000_000_000_000);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Every phase, with the letter that the table has for it. All have been in it for 20 s, which is
/// a stable run, and what is due is due.
fn phases() -> Vec<(&'static str, Phase)> {
    let since = Mono(T0.0 - 20_000_000_000);
    let stopping = |why| Phase::Stopping {
        why,
        since,
        kill_at: T0,
    };
    vec![
        ("stopped", Phase::Stopped),
        ("Start", Phase::Starting { since }),
        ("Run", Phase::Running { since }),
        ("hold", stopping(Why::Hold)),
        ("down", stopping(Why::Shutdown)),
        ("again", stopping(Why::Restart)),
        ("apart", stopping(Why::Isolated)),
        ("fault", stopping(Why::Fault)),
        ("Back", Phase::Backoff { until: T0 }),
        (
            "Fail",
            Phase::Failed {
                reason: Reason::StartFailed,
                retry_at: T0,
            },
        ),
    ]
}

fn inputs() -> Vec<(&'static str, Input)> {
    use StartFailure as F;
    vec![
        ("Boot, none found", Input::Boot { found: None }),
        ("Boot, one found", Input::Boot { found: Some(T0) }),
        ("Start", Input::Start(Hold::Kept)),
        ("Start, runtime", Input::Start(Hold::UntilBoot)),
        ("Stop", Input::Stop(Hold::Kept)),
        ("Stop, runtime", Input::Stop(Hold::UntilBoot)),
        ("Restart", Input::Restart),
        ("Shutdown", Input::Shutdown),
        ("Leave", Input::Leave),
        ("StartFailed unconf.", Input::StartFailed(F::Unconfigured)),
        ("StartFailed bad conf", Input::StartFailed(F::BadConfig)),
        ("StartFailed no bin", Input::StartFailed(F::NoBinary)),
        ("StartFailed other", Input::StartFailed(F::Transient)),
        ("Adopted", Input::Adopted { since: T0 }),
        ("Ready", Input::Ready),
        ("Told", Input::Told),
        ("Exited", Input::Exited { permanent: false }),
        ("Exited, permanent", Input::Exited { permanent: true }),
        ("Hung", Input::Hung),
        ("NeedRestart", Input::NeedRestart),
        ("Isolated", Input::Isolated),
        ("Changed", Input::Changed),
        ("Tick", Input::Tick),
    ]
}

fn letter(phase: Phase) -> &'static str {
    match phase {
        Phase::Stopped => "-",
        Phase::Starting { .. } => "S",
        Phase::Running { .. } => "R",
        Phase::Stopping { why: Why::Hold, .. } => "h",
        Phase::Stopping {
            why: Why::Shutdown, ..
        } => "d",
        Phase::Stopping {
            why: Why::Restart, ..
        } => "a",
        Phase::Stopping {
            why: Why::Isolated, ..
        } => "i",
        Phase::Stopping {
            why: Why::Fault, ..
        } => "f",
        Phase::Backoff { .. } => "B",
        Phase::Failed {
            reason: Reason::StartFailed,
            ..
        } => "F",
        Phase::Failed {
            reason: Reason::BadConfig,
            ..
        } => "Fc",
        Phase::Failed {
            reason: Reason::NoBinary,
            ..
        } => "Fb",
        Phase::Failed { .. } => "F?",
    }
}

fn cell(phase: Phase, hold: Option<Hold>, input: Input) -> String {
    let mut state = State::new(Policy::default(), hold);
    state.phase = phase;
    state.ending = matches!(
        phase,
        Phase::Stopping {
            why: Why::Shutdown,
            ..
        }
    );
    let actions = state.step(input, T0);
    if state.phase == phase && actions.is_empty() {
        return ".".to_owned();
    }
    let mut text = letter(state.phase).to_owned();
    for action in actions {
        text += match action {
            Action::SaveHold(Some(Hold::Kept)) => "+hold",
            Action::SaveHold(Some(Hold::UntilBoot)) => "+boot",
            Action::SaveHold(None) => "+unhold",
            Action::Start => "+start",
            Action::Term => "+TERM",
            Action::Kill => "+KILL",
            Action::Finish => "+end",
        };
    }
    text
}

fn table(hold: Option<Hold>) -> String {
    let mut text = String::new();
    let _ = write!(text, "{:21}", "");
    for (name, _) in phases() {
        let _ = write!(text, "|{name:14}");
    }
    text = text.trim_end().to_owned() + "\n";
    for (name, input) in inputs() {
        let mut line = format!("{name:21}");
        for (_, phase) in phases() {
            let _ = write!(line, "|{:14}", cell(phase, hold, input));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Without a hold. A cell is the phase after the step and what is to be done; `.` is no change.
const FREE: &str = "
                     |stopped       |Start         |Run           |hold          |down          |again         |apart         |fault         |Back          |Fail
Boot, none found     |S+start       |S+start       |S+start       |S+start       |.             |S+start       |S+start       |S+start       |S+start       |S+start
Boot, one found      |R             |R             |R             |R             |.             |R             |R             |R             |R             |R
Start                |S+start       |.             |.             |a             |.             |.             |a             |a             |S+start       |S+start
Start, runtime       |S+start       |.             |.             |a             |.             |.             |a             |a             |S+start       |S+start
Stop                 |-+hold        |h+hold+TERM   |h+hold+TERM   |h+hold        |.             |h+hold        |h+hold        |h+hold        |-+hold        |-+hold
Stop, runtime        |-+boot        |h+boot+TERM   |h+boot+TERM   |h+boot        |.             |h+boot        |h+boot        |h+boot        |-+boot        |-+boot
Restart              |S+start       |a+TERM        |a+TERM        |a             |.             |.             |a             |a             |S+start       |S+start
Shutdown             |-+end         |d+TERM        |d+TERM        |d             |.             |d             |d             |d             |-+end         |-+end
Leave                |-+end         |S+end         |R+end         |h+end         |d+end         |a+end         |i+end         |f+end         |B+end         |F+end
StartFailed unconf.  |.             |-             |.             |.             |.             |.             |.             |.             |.             |.
StartFailed bad conf |.             |Fc            |.             |.             |.             |.             |.             |.             |.             |.
StartFailed no bin   |.             |Fb            |.             |.             |.             |.             |.             |.             |.             |.
StartFailed other    |.             |B             |.             |.             |.             |.             |.             |.             |.             |.
Adopted              |R             |R             |.             |.             |.             |.             |.             |.             |R             |R
Ready                |.             |R             |.             |.             |.             |.             |.             |.             |.             |.
Told                 |.             |.             |.             |h             |d             |a             |i             |f             |.             |.
Exited               |.             |S+start       |S+start       |-             |-+end         |S+start       |S+start       |S+start       |.             |.
Exited, permanent    |.             |Fc            |Fc            |-             |-+end         |S+start       |S+start       |Fc            |.             |.
Hung                 |.             |f+KILL        |f+KILL        |h+KILL        |d+KILL        |a+KILL        |i+KILL        |f+KILL        |.             |.
NeedRestart          |.             |.             |a+TERM        |.             |.             |.             |.             |.             |.             |.
Isolated             |.             |.             |i+TERM        |.             |.             |.             |.             |.             |.             |.
Changed              |S+start       |.             |.             |.             |.             |.             |.             |.             |.             |S+start
Tick                 |.             |.             |.             |h+KILL        |d+KILL        |a+KILL        |i+KILL        |f+KILL        |S+start       |S+start
";

/// With a hold: corosync runs only because somebody else started it, or is on its way out.
const HELD: &str = "
                     |stopped       |Start         |Run           |hold          |down          |again         |apart         |fault         |Back          |Fail
Boot, none found     |.             |.             |.             |.             |.             |.             |.             |.             |.             |.
Boot, one found      |R             |R             |R             |R             |.             |R             |R             |R             |R             |R
Start                |S+unhold+start|S+unhold      |R+unhold      |a+unhold      |.             |a+unhold      |a+unhold      |a+unhold      |S+unhold+start|S+unhold+start
Start, runtime       |.             |.             |.             |.             |.             |.             |.             |.             |.             |.
Stop                 |.             |h+TERM        |h+TERM        |.             |.             |h             |h             |h             |-             |-
Stop, runtime        |.             |h+TERM        |h+TERM        |.             |.             |h             |h             |h             |-             |-
Restart              |S+unhold+start|a+unhold+TERM |a+unhold+TERM |a+unhold      |.             |a+unhold      |a+unhold      |a+unhold      |S+unhold+start|S+unhold+start
Shutdown             |-+end         |S+end         |R+end         |d             |.             |d             |d             |d             |-+end         |-+end
Leave                |-+end         |S+end         |R+end         |h+end         |d+end         |a+end         |i+end         |f+end         |B+end         |F+end
StartFailed unconf.  |.             |-             |.             |.             |.             |.             |.             |.             |.             |.
StartFailed bad conf |.             |-             |.             |.             |.             |.             |.             |.             |.             |.
StartFailed no bin   |.             |-             |.             |.             |.             |.             |.             |.             |.             |.
StartFailed other    |.             |-             |.             |.             |.             |.             |.             |.             |.             |.
Adopted              |R             |R             |.             |.             |.             |.             |.             |.             |R             |R
Ready                |.             |R             |.             |.             |.             |.             |.             |.             |.             |.
Told                 |.             |.             |.             |h             |d             |a             |i             |f             |.             |.
Exited               |.             |-             |-             |-             |-+end         |-             |-             |-             |.             |.
Exited, permanent    |.             |-             |-             |-             |-+end         |-             |-             |-             |.             |.
Hung                 |.             |.             |.             |h+KILL        |d+KILL        |a+KILL        |i+KILL        |f+KILL        |.             |.
NeedRestart          |.             |.             |.             |.             |.             |.             |.             |.             |.             |.
Isolated             |.             |.             |.             |.             |.             |.             |.             |.             |.             |.
Changed              |.             |.             |.             |.             |.             |.             |.             |.             |.             |.
Tick                 |.             |.             |.             |h+KILL        |d+KILL        |a+KILL        |i+KILL        |f+KILL        |.             |.
";

/// Where a hold that ends with the boot differs from one that survives it.
const HELD_UNTIL_BOOT: &str = "
Start, runtime       |S+unhold+start|S+unhold      |R+unhold      |a+unhold      |.             |a+unhold      |a+unhold      |a+unhold      |S+unhold+start|S+unhold+start
Stop                 |-+hold        |h+hold+TERM   |h+hold+TERM   |h+hold        |.             |h+hold        |h+hold        |h+hold        |-+hold        |-+hold
";

fn compare(hold: Option<Hold>, written: &str) {
    let written = written.trim_matches('\n');
    for (got, want) in table(hold).lines().zip(written.lines()) {
        assert_eq!(got, want.trim_end(), "hold: {hold:?}");
    }
    assert_eq!(table(hold).lines().count(), written.lines().count());
}

#[test]
fn every_input_in_every_phase_does_what_the_table_says() {
    compare(None, FREE);
    compare(Some(Hold::Kept), HELD);
    let name = |line: &str| line.split('|').next().unwrap_or_default().to_owned();
    let other: Vec<&str> = HELD_UNTIL_BOOT.trim().lines().collect();
    let rows = HELD.lines().map(|row| {
        let differs = other.iter().find(|o| name(o) == name(row));
        *differs.unwrap_or(&row)
    });
    compare(Some(Hold::UntilBoot), &rows.collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_word_of_readiness_counts_as_running_after_a_while() {
    let mut state = State::new(Policy::default(), None);
    assert_eq!(state.step(Input::Boot { found: None }, T0), [Action::Start]);
    assert_eq!(state.deadline(), Some(T0.plus(READY_TIMEOUT)));
    assert_eq!(state.step(Input::Tick, T0.plus(secs(29))), []);
    assert_eq!(state.service(), ServiceState::Starting);
    assert_eq!(state.step(Input::Tick, T0.plus(READY_TIMEOUT)), []);
    assert_eq!(state.service(), ServiceState::Running);
}

#[test]
fn a_stop_has_a_deadline_and_is_killed_again_and_again() {
    let mut state = State::new(Policy::default(), None);
    let _ = state.step(Input::Boot { found: Some(T0) }, T0);
    assert_eq!(
        state.step(Input::Stop(Hold::Kept), T0),
        [Action::SaveHold(Some(Hold::Kept)), Action::Term]
    );
    // The disk took its time, and that is none of corosync's.
    let told = T0.plus(secs(3));
    assert_eq!(state.step(Input::Told, told), []);
    assert_eq!(state.deadline(), Some(told.plus(secs(10))));
    assert_eq!(state.step(Input::Tick, told.plus(secs(9))), []);
    assert_eq!(state.step(Input::Tick, told.plus(secs(10))), [Action::Kill]);
    assert_eq!(state.step(Input::Tick, told.plus(secs(19))), []);
    assert_eq!(state.step(Input::Tick, told.plus(secs(20))), [Action::Kill]);
    assert_eq!(
        state.step(Input::Exited { permanent: false }, told.plus(secs(21))),
        []
    );
    assert_eq!(state.mode(), (Mode::Standalone, Some(Reason::Held)));
}

#[test]
fn a_crash_loop_leads_to_standalone_and_one_unstable_retry_straight_back() {
    let mut state = State::new(Policy::default(), None);
    let mut now = T0;
    let _ = state.step(Input::Boot { found: None }, now);
    let died = Input::Exited { permanent: false };
    for wait in [1, 2, 4, 8] {
        assert_eq!(state.step(died, now), []);
        assert_eq!(state.service(), ServiceState::Backoff);
        assert_eq!(state.retry_at(), Some(now.plus(secs(wait))));
        now = now.plus(secs(wait));
        assert_eq!(state.step(Input::Tick, now), [Action::Start]);
    }
    let _ = state.step(died, now);
    assert_eq!(state.mode(), (Mode::Standalone, Some(Reason::StartFailed)));
    assert_eq!(state.retry_at(), Some(now.plus(secs(30))));
    now = now.plus(secs(30));
    assert_eq!(state.step(Input::Tick, now), [Action::Start]);
    assert_eq!(state.mode(), (Mode::Cluster, None));
    let _ = state.step(died, now);
    assert_eq!(
        state.retry_at(),
        Some(now.plus(secs(60))),
        "on probation, and doubled"
    );
    assert_eq!(state.restarts, 4);
    // An operator's start forgives all.
    let start = Input::Start(Hold::Kept);
    assert_eq!(state.step(start, now), [Action::Start]);
    assert_eq!(state.step(died, now), []);
    assert_eq!(state.retry_at(), Some(now.plus(secs(1))));
}

#[test]
fn who_comes_later_wins_over_a_stop_under_way() {
    let mut state = State::new(Policy::default(), None);
    let _ = state.step(Input::Boot { found: Some(T0) }, T0);
    let _ = state.step(Input::Stop(Hold::Kept), T0);
    let start = Input::Start(Hold::Kept);
    assert_eq!(state.step(start, T0), [Action::SaveHold(None)]);
    assert_eq!(
        state.step(Input::Exited { permanent: false }, T0),
        [Action::Start]
    );
    let _ = state.step(Input::Shutdown, T0);
    assert_eq!(
        state.step(start, T0),
        [],
        "nothing counts once the daemon ends"
    );
    assert_eq!(
        state.step(Input::Exited { permanent: false }, T0),
        [Action::Finish]
    );
}

#[test]
fn the_restart_delay_holds_whatever_leads_to_the_next_start_but_an_operator() {
    let policy = Policy {
        restart_delay: secs(60),
        restart_limit: 1,
        ..Policy::default()
    };
    let died = Input::Exited { permanent: false };
    let dead = |now| {
        let mut state = State::new(policy.clone(), None);
        let _ = state.step(Input::Boot { found: None }, now);
        let _ = state.step(died, now);
        state
    };
    // The retry out of STANDALONE would be due after 30 s.
    let mut state = dead(T0);
    assert_eq!(state.mode(), (Mode::Standalone, Some(Reason::StartFailed)));
    assert_eq!(state.retry_at(), Some(T0.plus(secs(60))));
    // A changed file is no reason to come back earlier.
    assert_eq!(state.step(Input::Changed, T0.plus(secs(5))), []);
    assert_eq!(state.retry_at(), Some(T0.plus(secs(60))));
    assert_eq!(state.step(Input::Tick, T0.plus(secs(60))), [Action::Start]);
    // Another clusmgr is none either.
    let mut next = State::new(policy.clone(), None);
    next.not_before = state.not_before;
    assert_eq!(next.step(Input::Boot { found: None }, T0.plus(secs(5))), []);
    assert_eq!(next.retry_at(), Some(T0.plus(secs(60))));
    assert_eq!(next.step(Input::Tick, T0.plus(secs(60))), [Action::Start]);
    // An operator is.
    let mut state = dead(T0);
    assert_eq!(
        state.step(Input::Start(Hold::Kept), T0.plus(secs(5))),
        [Action::Start]
    );
}

#[test]
fn once_the_daemon_ends_nothing_is_started_and_nothing_left_alone_is_killed() {
    for (name, phase) in phases() {
        if matches!(phase, Phase::Stopping { .. }) {
            continue;
        }
        for (what, input) in inputs() {
            let mut state = State::new(Policy::default(), None);
            state.phase = phase;
            state.ending = true;
            let actions = state.step(input, T0);
            let harmless = actions
                .iter()
                .all(|a| *a == Action::Finish || *a == Action::Term);
            assert!(harmless, "{what} in {name}: {actions:?}");
        }
    }
}

#[test]
fn who_is_isolated_comes_back_after_the_delay_of_a_death() {
    for delay in [0, 120] {
        let policy = Policy {
            restart_delay: secs(delay),
            ..Policy::default()
        };
        let mut state = State::new(policy, None);
        state.phase = Phase::Running { since: T0 };
        assert_eq!(state.step(Input::Isolated, T0), [Action::Term]);
        let ended = state.step(Input::Exited { permanent: false }, T0);
        let due = T0.plus(secs(delay));
        if delay == 0 {
            assert_eq!(ended, [Action::Start]);
            continue;
        }
        assert_eq!((ended, state.deadline()), (Vec::new(), Some(due)));
        // An operator may know better.
        let mut other = state.clone();
        assert_eq!(other.step(Input::Start(Hold::Kept), T0), [Action::Start]);
        assert_eq!(state.step(Input::Tick, due), [Action::Start]);
    }
}
