//! Words on a screen: cleaned, measured, wrapped, coloured.

use crate::types::harmful;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar;

/// Text of another's with every character replaced that could do something to a terminal, or turn
/// the text around.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if harmful(c) { '\u{fffd}' } else { c })
        .collect()
}

/// As [`clean`], but lines stay lines and tabs stay tabs.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    let keep = |c: char| c == '\n' || c == '\t';
    text.chars()
        .map(|c| {
            if harmful(c) && !keep(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// JSON as [`clean`] has text, and with the same meaning: such characters can only be inside of strings,
/// and are escaped there.
#[must_use]
pub fn clean_json(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if harmful(c) && c != '\n' {
            let _ = write!(clean, "\\u{:04x}", u32::from(c));
        } else {
            clean.push(c);
        }
    }
    clean
}

/// The beginning of a text, and that there was more of it.
#[must_use]
pub fn brief(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}… ({} bytes in all)", &text[..at], text.len()),
    }
}

/// For [`wrap`], a space at which no line may end.
pub const NO_BREAK: &str = "\u{a0}";

/// Columns that text takes on a terminal: a Chinese letter two, an accent by itself none.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().map(wide).sum()
}

fn wide(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// How much of the text, in bytes, fits into so many columns.
fn fits(text: &str, width: usize) -> usize {
    let mut used = 0;
    let over = |(at, c): (usize, char)| {
        used += wide(c);
        (used > width).then_some(at)
    };
    text.char_indices().find_map(over).unwrap_or(text.len())
}

/// In at most so many columns, the last an ellipsis if there were more.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let some = &text[..fits(text, width.saturating_sub(1))];
    format!("{some}…")
}

/// As [`cut`], and with spaces behind it up to that width.
#[must_use]
pub fn cell(text: &str, width: usize) -> String {
    let mut text = cut(text, width);
    text.push_str(&" ".repeat(width.saturating_sub(columns(&text))));
    text
}

/// As [`cell`], with the spaces before it.
#[must_use]
pub fn right(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let gap = width.saturating_sub(columns(&text));
    " ".repeat(gap) + &text
}

/// Breaks text into lines of at most `width` columns, at spaces where it can.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(10);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for mut word in text.split(' ').filter(|w| !w.is_empty()) {
        if used > 0 && used + 1 + columns(word) > width {
            lines.push(String::new());
            used = 0;
        }
        // A path can be longer than any line.
        while columns(word) > width {
            let (some, rest) = word.split_at(fits(word, width));
            if let Some(line) = lines.last_mut() {
                line.push_str(some);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            used += columns(word);
            line.push_str(word);
        }
    }
    for line in &mut lines {
        *line = line.replace(NO_BREAK, " ");
    }
    lines
}

/// A colour, where colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// As it should be.
    Green,
    /// Worth a look.
    Yellow,
    /// Not working.
    Red,
}

/// Puts text in a colour.
#[must_use]
pub fn paint(text: &str, colour: Colour, wanted: bool) -> String {
    let code = match colour {
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Red => 31,
    };
    if wanted {
        format!("\x1b[1;{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_meaning_and_steers_no_terminal() {
        let value = serde_json::json!({"a\u{9b}": "\u{202e}\u{7f}\u{1b}[2J\n", "b": 1});
        let text = clean_json(&format!("{value:#}"));
        assert!(!text.chars().any(|c| harmful(c) && c != '\n'), "{text:?}");
        let read = serde_json::from_str::<serde_json::Value>(&text).ok();
        assert_eq!(read, Some(value));
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(brief("éé", 2), "éé");
        assert_eq!(brief("ééé", 2), "éé… (6 bytes in all)");
        assert_eq!(brief("", 0), "");
    }

    #[test]
    fn what_could_steer_a_terminal_is_replaced() {
        assert_eq!(
            clean("a\x1b[2Jb\n\u{9b}c\u{202e}d\u{7f}ü"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}ü"
        );
        assert_eq!(clean_lines("a\n\tb\r"), "a\n\tb\u{fffd}");
    }

    #[test]
    fn lines_break_at_spaces_and_inside_words_only_if_they_must() {
        assert_eq!(wrap("one two three four", 10), ["one two", "three four"]);
        assert_eq!(wrap("a 123456789012345", 10), ["a", "1234567890", "12345"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("1234567890 b", 10), ["1234567890", "b"]);
    }

    #[test]
    fn what_is_wide_counts_for_two_columns_and_an_accent_for_none() {
        assert_eq!(
            wrap("节点一二 三四五六七八九", 10),
            ["节点一二", "三四五六七", "八九"]
        );
        assert_eq!(wrap("12345678e\u{301}0 b", 10), ["12345678e\u{301}0", "b"]);
        assert_eq!(cut("节点一二三", 10), "节点一二三");
        assert_eq!(cut("节点一二三", 9), "节点一二…");
        assert_eq!(cut("节点一二三", 8), "节点一…");
        assert_eq!(cell("节点一二三", 8), "节点一… ");
        assert_eq!(cell("n1", 4), "n1  ");
    }
}
