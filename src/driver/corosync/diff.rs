//! A unified diff of two texts, as `diff -u` prints it; for canonical configurations, redacted before.
//!
//! Longest common subsequence by a table, after what both texts begin and end with is set aside; where the
//! rest is too big for a table, all of it is shown as replaced.

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// Most cells of the table: some 1000 changed lines on both sides, 4 MiB, of which each client may have one.
const MOST_CELLS: usize = 1 << 20;

/// A line of both texts, or of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Both(&'t str),
    Old(&'t str),
    New(&'t str),
}

/// The unified diff from one text to another, under these names; empty if they are equal.
#[must_use]
pub fn unified(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    let lines = compare(
        &old.lines().collect::<Vec<_>>(),
        &new.lines().collect::<Vec<_>>(),
    );
    let mut out = String::new();
    let changed: Vec<usize> = (0..lines.len())
        .filter(|i| !matches!(lines[*i], Line::Both(_)))
        .collect();
    let mut rest = changed.as_slice();
    let (mut old_line, mut new_line, mut at) = (0, 0, 0);
    while let Some(first) = rest.first() {
        if out.is_empty() {
            out = format!("--- {old_name}\n+++ {new_name}\n");
        }
        // Changes that share their context are one hunk.
        let together = rest
            .windows(2)
            .take_while(|w| w[1] - w[0] <= 2 * CONTEXT)
            .count();
        let start = first.saturating_sub(CONTEXT);
        let end = (rest[together] + CONTEXT + 1).min(lines.len());
        rest = &rest[together + 1..];
        // Between two hunks there are lines of both only.
        old_line += start - at;
        new_line += start - at;
        at = end;
        let hunk = &lines[start..end];
        let olds = hunk.iter().filter(|l| !matches!(l, Line::New(_))).count();
        let news = hunk.iter().filter(|l| !matches!(l, Line::Old(_))).count();
        out.push_str(&format!(
            "@@ -{} +{} @@\n",
            range(old_line, olds),
            range(new_line, news)
        ));
        for line in hunk {
            let (mark, text) = match line {
                Line::Both(text) => (' ', text),
                Line::Old(text) => ('-', text),
                Line::New(text) => ('+', text),
            };
            out.push(mark);
            out.push_str(text);
            out.push('\n');
        }
        old_line += olds;
        new_line += news;
    }
    out
}

/// `line,count`; of no lines, the one before.
fn range(before: usize, count: usize) -> String {
    match count {
        0 => format!("{before},0"),
        1 => format!("{}", before + 1),
        _ => format!("{},{count}", before + 1),
    }
}

fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(new).take_while(same).count();
    let (o, n) = (&old[head..], &new[head..]);
    let tail = o.iter().rev().zip(n.iter().rev()).take_while(same).count();
    let (o, n) = (&o[..o.len() - tail], &n[..n.len() - tail]);
    let mut lines: Vec<Line<'t>> = old[..head].iter().map(|l| Line::Both(l)).collect();
    middle(o, n, &mut lines);
    lines.extend(old[old.len() - tail..].iter().map(|l| Line::Both(l)));
    lines
}

fn middle<'t>(old: &[&'t str], new: &[&'t str], lines: &mut Vec<Line<'t>>) {
    let width = new.len() + 1;
    if (old.len() + 1).saturating_mul(width) > MOST_CELLS {
        lines.extend(old.iter().map(|l| Line::Old(l)));
        lines.extend(new.iter().map(|l| Line::New(l)));
        return;
    }
    // length[i * width + j]: how many lines old[i..] and new[j..] have in common.
    let mut length = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            length[i * width + j] = if old[i] == new[j] {
                length[(i + 1) * width + j + 1] + 1
            } else {
                length[(i + 1) * width + j].max(length[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Both(old[i]));
            i += 1;
            j += 1;
        } else if j == new.len()
            || (i < old.len() && length[(i + 1) * width + j] >= length[i * width + j + 1])
        {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(from: u32, to: u32) -> String {
        (from..=to).map(|n| format!("{n}\n")).collect()
    }

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(unified("a", "x\ny\n", "b", "x\ny\n"), "");
        assert_eq!(unified("a", "", "b", ""), "");
    }

    #[test]
    fn a_change_is_shown_with_three_lines_around() {
        let old = numbers(1, 20);
        let new = old.replace("10\n", "ten\n");
        assert_eq!(
            unified("a", &old, "b", &new),
            "--- a\n+++ b\n@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n"
        );
    }

    #[test]
    fn distant_changes_are_hunks_of_their_own() {
        let old = numbers(1, 30);
        let new = old.replacen("2\n", "2\nmore\n", 1).replace("28\n", "");
        let diff = unified("a", &old, "b", &new);
        let hunks: Vec<&str> = diff.lines().filter(|l| l.starts_with("@@")).collect();
        assert_eq!(hunks, ["@@ -1,5 +1,6 @@", "@@ -25,6 +26,5 @@"]);
    }

    #[test]
    fn from_and_to_nothing() {
        assert_eq!(
            unified("a", "", "b", "x\n"),
            "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n"
        );
        assert_eq!(
            unified("a", "x\n", "b", ""),
            "--- a\n+++ b\n@@ -1 +0,0 @@\n-x\n"
        );
    }

    #[test]
    fn what_is_too_big_for_the_table_is_replaced_whole() {
        let (old, new) = (numbers(1, 5000), numbers(6001, 11_000));
        let diff = unified("a", &old, "b", &new);
        assert_eq!(diff.lines().count(), 2 + 1 + 10_000);
    }
}
