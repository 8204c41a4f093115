#![allow(clippy::unwrap_used)]

use super::seq::JUMP;
use super::*;
use proptest::prelude::*;
use std::os::unix::fs::{MetadataExt, symlink};
use tempfile::TempDir;

const BOOT: &str = "11111111-1111-1111-1111-111111111111";
const OTHER: &str = "22222222-2222-2222-2222-222222222222";

fn open(d: &TempDir, boot: &str) -> (Journal, OpenReport) {
    Journal::open(d.path(), boot).unwrap()
}

fn event(seq: u64) -> String {
    format!(r#"{{"seq":{seq},"kind":"test","text":"a \" b"}}"#)
}

/// Writes so many events; their last number.
fn fill(j: &mut Journal, n: u64) -> u64 {
    for _ in 0..n {
        let seq = j.next_seq();
        j.append(seq, &event(seq)).unwrap();
    }
    j.last_seq()
}

fn seqs(page: &Page) -> Vec<u64> {
    page.lines
        .iter()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect()
}

#[test]
fn events_are_numbered_from_1_and_read_back_in_pages() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, report) = open(&d, BOOT);
    let fresh = OpenReport {
        resumed: Resumed::Fresh,
        next: 1,
        lines: 0,
        damaged: 0,
        torn: 0,
    };
    assert_eq!(report, fresh);
    assert_eq!(j.read_since(0, 10), Page::default());
    assert_eq!(fill(&mut j, 5), 5);
    let page = j.read_since(2, 2);
    assert_eq!((seqs(&page), page.last, page.more), (vec![3, 4], 4, true));
    assert_eq!(page.lines[0], event(3));
    let page = j.read_since(4, 2);
    assert_eq!((seqs(&page), page.last, page.more), (vec![5], 5, false));
    let page = j.read_since(9, 2);
    assert_eq!(
        (seqs(&page), page.last, page.first_available),
        (vec![], 9, Some(1))
    );
    for name in [CURRENT, SEQ] {
        let mode = fs::metadata(d.path().join(name)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn numbers_go_on_without_a_gap_after_a_kill_and_after_a_clean_end() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, _) = open(&d, BOOT);
    fill(&mut j, 1700);
    // Given, and never written nor heard of: it is the next one's.
    assert_eq!(j.next_seq(), 1701);
    drop(j);
    let (mut j, report) = open(&d, BOOT);
    assert_eq!(
        (report.resumed, report.next, report.lines),
        (Resumed::Exactly, 1701, 1700)
    );
    fill(&mut j, 1);
    // Killed when the line was written, and its number not on record yet.
    let before = fs::read(d.path().join(SEQ)).unwrap();
    fill(&mut j, 1);
    drop(j);
    fs::write(d.path().join(SEQ), before).unwrap();
    let (j, report) = open(&d, BOOT);
    assert_eq!(
        (report.resumed, report.next, report.lines),
        (Resumed::Exactly, 1703, 1702)
    );
    j.close().unwrap();
    // Clean: also over a reboot.
    let (j, report) = open(&d, OTHER);
    assert_eq!((report.resumed, report.next), (Resumed::Exactly, 1703));
    drop(j);
    // Opened is no longer clean.
    let (_, report) = open(&d, BOOT);
    assert_eq!(report.resumed, Resumed::AfterPowerLoss);
    assert_eq!(report.next, 1702 + BLOCK + 1);
}

#[test]
fn after_a_power_loss_nothing_repeats_even_if_no_unsynced_byte_survived() {
    let d = tempfile::tempdir().unwrap();
    let seq = d.path().join(SEQ);
    let (mut j, _) = open(&d, BOOT);
    let mut synced = fs::read(&seq).unwrap();
    let mut bound = State::of(&synced);
    for _ in 0..5000 {
        let given = j.next_seq();
        // What a power loss right now would leave: the state of the last sync.
        let now = fs::read(&seq).unwrap();
        if State::of(&now) != bound {
            (bound, synced) = (State::of(&now), now);
        }
        assert!(given <= bound, "{given} was given above the synced {bound}");
    }
    let last = j.last_seq();
    drop(j);
    fs::write(&seq, &synced).unwrap();
    fs::write(d.path().join(CURRENT), "").unwrap();
    let (_, report) = open(&d, OTHER);
    assert_eq!(report.resumed, Resumed::AfterPowerLoss);
    assert!(report.next > last && report.next <= last + BLOCK + 1);
}

/// The bound in the bytes of an events.seq.
struct State;
impl State {
    fn of(bytes: &[u8]) -> u64 {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut words = text.split(' ').skip_while(|w| *w != "bound");
        words.nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn a_damaged_or_missing_number_file_jumps_safely() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, _) = open(&d, BOOT);
    let mut last = fill(&mut j, 10);
    drop(j);
    let good = fs::read_to_string(d.path().join(SEQ)).unwrap();
    let damaged = [
        None,
        Some(String::new()),
        Some("rubbish".to_owned()),
        Some("x".repeat(5000)),
        Some(good[..good.len() - 3].to_owned()),
        Some(good.replace("last 0", "last 9")),
        // An old copy: the journal has numbers above its bound.
        Some(good.replace("00000000000000001000", "00000000000000000010")),
    ];
    for content in damaged {
        match &content {
            None => fs::remove_file(d.path().join(SEQ)).unwrap(),
            Some(text) => fs::write(d.path().join(SEQ), text).unwrap(),
        }
        let (mut j, report) = open(&d, BOOT);
        if last > 10 || content.is_none() {
            assert_eq!(report.resumed, Resumed::Damaged, "{content:?}");
            assert_eq!(report.next, last + JUMP + 1, "{content:?}");
        }
        last = fill(&mut j, 1);
    }
}

#[test]
fn a_torn_last_line_is_cut_off_and_damaged_ones_are_skipped() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, _) = open(&d, BOOT);
    fill(&mut j, 3);
    drop(j);
    let path = d.path().join(CURRENT);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"not json\n\xff\xfe\n{\"seq\":\"4\"}\n\n");
    bytes.extend_from_slice(event(4).as_bytes());
    bytes.extend_from_slice(b"\n{\"seq\":5,\"ki");
    fs::write(&path, bytes).unwrap();
    let (mut j, report) = open(&d, BOOT);
    assert_eq!(
        (report.lines, report.damaged, report.torn, report.next),
        (4, 4, 12, 5)
    );
    fill(&mut j, 1);
    let page = j.read_since(0, 100);
    assert_eq!((seqs(&page), page.damaged), (vec![1, 2, 3, 4, 5], 4));
}

#[test]
fn the_journal_is_bounded_and_says_where_it_begins() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, _) = open(&d, BOOT);
    let text = "x".repeat(50_000);
    for _ in 0..100 {
        let seq = j.next_seq();
        j.append(seq, &format!(r#"{{"seq":{seq},"t":"{text}"}}"#))
            .unwrap();
        for name in [CURRENT, OLDER] {
            let len = fs::metadata(d.path().join(name)).map_or(0, |m| m.len());
            assert!(len <= FILE_MAX, "{name} has {len}");
        }
    }
    let page = j.read_since(3, 1000);
    let first = page.first_available.unwrap();
    assert!(first > 50, "{first}");
    assert_eq!(seqs(&page), (first..=100).collect::<Vec<_>>());
    drop(j);
    let (_, report) = open(&d, BOOT);
    assert_eq!((report.next, report.lines), (101, 101 - first));
    // Rotated while it is read: lines that are in both files come once.
    fs::copy(d.path().join(CURRENT), d.path().join(OLDER)).unwrap();
    let page = Reader::new(d.path()).read_since(0, 1000);
    let mut once = seqs(&page);
    once.dedup();
    assert_eq!(once.len(), page.lines.len());
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, _) = open(&d, BOOT);
    fill(&mut j, 2);
    let len = fs::metadata(d.path().join(CURRENT)).unwrap().len();
    for room in [10, 0, 1] {
        j.room = Some(room);
        let seq = j.next_seq();
        let e = j.append(seq, &event(seq)).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull);
        // Half a line does not stay.
        assert_eq!(fs::metadata(d.path().join(CURRENT)).unwrap().len(), len);
    }
    assert_eq!((j.failures(), j.lost), (3, Some(3)));
    j.room = None;
    fill(&mut j, 1);
    assert_eq!((j.failures(), j.lost), (3, None));
    assert_eq!(seqs(&j.read_since(0, 10)), [1, 2, 6]);
    drop(j);
    assert_eq!(open(&d, BOOT).1.next, 7);
}

#[test]
fn a_short_line_in_the_last_block_of_a_full_disk_does_not_end_the_trouble() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, _) = open(&d, BOOT);
    let long = format!("{{\"seq\":1,\"text\":\"{}\"}}", "x".repeat(100));
    j.room = Some(60);
    for (line, lost, failures) in [
        (long.as_str(), Some(1), 1),
        ("{\"seq\":2}", Some(1), 1),
        (long.as_str(), Some(2), 2),
        ("{\"seq\":3}", Some(2), 2),
    ] {
        let seq = j.next_seq();
        assert_eq!(j.append(seq, line).is_ok(), line.len() < 60);
        j.room = Some(60);
        assert_eq!((j.lost, j.failures()), (lost, failures), "{line}");
    }
    j.room = None;
    let seq = j.next_seq();
    j.append(seq, &long).unwrap();
    assert_eq!(j.lost, None);
}

const HELPER: &str = "CLUSMGR_TEST_JOURNAL";

/// Not a test by itself: the other process of the next one, whose files the kernel bounds. It
/// fills the journal until a line does not fit, and is killed.
#[test]
fn helper() {
    let Some(dir) = std::env::var_os(HELPER) else {
        return;
    };
    let (mut j, _) = Journal::open(Path::new(&dir), BOOT).unwrap();
    for _ in 0..1000 {
        let seq = j.next_seq();
        if j.append(seq, &event(seq)).is_err() {
            assert_eq!(j.failures(), 1);
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    }
}

#[test]
fn a_line_that_the_kernel_cuts_off_is_gone_and_its_number_is_used() {
    let d = tempfile::tempdir().unwrap();
    let out = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "journal::tests::helper"])
        .env(HELPER, d.path())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), None, "{out:?}");
    let (mut j, report) = open(&d, BOOT);
    assert_eq!((report.torn, report.damaged), (0, 0));
    assert_eq!(report.next, report.lines + 2);
    assert_eq!(report.resumed, Resumed::Exactly);
    assert_eq!(fill(&mut j, 1), report.lines + 2);
}

#[test]
fn a_journal_that_cannot_be_rotated_recovers() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, _) = open(&d, BOOT);
    fill(&mut j, 1);
    j.len = FILE_MAX;
    fs::create_dir(d.path().join(OLDER)).unwrap();
    let seq = j.next_seq();
    assert!(j.append(seq, &event(seq)).is_err());
    fs::remove_dir(d.path().join(OLDER)).unwrap();
    fill(&mut j, 1);
    assert_eq!(seqs(&j.read_since(0, 10)), [1, 3]);
}

#[test]
fn what_is_no_line_is_refused() {
    let d = tempfile::tempdir().unwrap();
    let (mut j, _) = open(&d, BOOT);
    let seq = j.next_seq();
    for line in ["{}\n{}".to_owned(), "x".repeat(LINE_MAX)] {
        let e = j.append(seq, &line).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(fs::metadata(d.path().join(CURRENT)).unwrap().len(), 0);
}

#[test]
fn what_cannot_be_opened_is_named() {
    let d = tempfile::tempdir().unwrap();
    let e = Journal::open(&d.path().join("none"), BOOT).unwrap_err();
    assert!(
        e.to_string().contains("none/events.jsonl: No such file"),
        "{e}"
    );
    symlink("/dev/null", d.path().join(CURRENT)).unwrap();
    assert!(Journal::open(d.path(), BOOT).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A kill at any byte of a write, a power loss that keeps any part of the lines, a clean end:
    /// in any order. Without a power loss there is no gap either.
    #[test]
    fn no_end_repeats_a_number(steps in proptest::collection::vec((0u64..700, 0usize..60, 0u8..4), 1..8)) {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join(CURRENT);
        let mut boot = 0;
        let mut last = 0;
        let (mut exact, mut whole) = (true, true);
        for (events, cut, end) in steps {
            let (mut j, report) = open(&d, &format!("boot-{boot}"));
            if exact {
                prop_assert_eq!(report.next, last + 1);
            } else {
                prop_assert!(report.next > last);
            }
            fill(&mut j, events);
            last = j.next_seq();
            let line = event(last) + "\n";
            let cut = cut.min(line.len());
            if cut == line.len() || end < 2 {
                j.append(last, &event(last)).unwrap();
            } else {
                // Killed in the middle of the line: nobody has heard of the number.
                last -= 1;
                let mut f = OpenOptions::new().append(true).open(&path).unwrap();
                f.write_all(&line.as_bytes()[..cut]).unwrap();
            }
            exact = true;
            match end {
                0 => j.close().unwrap(),
                1 => {
                    j.close().unwrap();
                    boot += 1;
                }
                2 => drop(j),
                _ => {
                    drop(j);
                    boot += 1;
                    exact = false;
                    let f = OpenOptions::new().write(true).open(&path).unwrap();
                    let len = f.metadata().unwrap().len();
                    f.set_len(len.saturating_sub(cut as u64 * 50)).unwrap();
                }
            }
            let page = Reader::new(d.path()).read_since(0, usize::MAX);
            prop_assert!(seqs(&page).is_sorted_by(|a, b| a < b));
            whole &= exact;
            prop_assert!(!whole || seqs(&page).iter().copied().eq(1..=last));
        }
    }
}
