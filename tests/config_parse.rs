//! The grammar of corosync.conf, rule by rule, each finding with its line and column.
#![allow(clippy::unwrap_used)]

use clusmgr::driver::corosync::finding::Severity;
use clusmgr::driver::corosync::model::{Config, Item};
use clusmgr::driver::corosync::parse::{MAX_FINDINGS, parse};
use clusmgr::driver::corosync::render::{render, render_redacted, sha256_hex};

fn ok(text: impl AsRef<[u8]>) -> Config {
    parse(text.as_ref()).unwrap()
}

/// Line, column and path of every finding, and all messages.
fn wrong(text: impl AsRef<[u8]>) -> (Vec<(u32, u32, String)>, String) {
    let findings = parse(text.as_ref()).unwrap_err();
    let all = findings.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(findings.iter().all(|f| f.severity == Severity::Error));
    let places = findings.into_iter().map(|f| (f.line, f.column, f.path));
    (places.collect(), all.join("\n"))
}

/// Asserts that there is one finding, at a place, and that its message says so much.
#[track_caller]
fn one(text: impl AsRef<[u8]>, line: u32, column: u32, path: &str, says: &str) {
    let (places, message) = wrong(text);
    assert_eq!(places, [(line, column, path.to_owned())], "{message}");
    assert!(message.contains(says), "{message}");
}

fn value(config: &Config, path: &str) -> Vec<u8> {
    config.get(path).unwrap().expose().to_vec()
}

#[test]
fn blanks_comments_and_line_ends() {
    let c = ok("\n \t\n  # c {\t\nfoo\t {\r\n  bar :\t a b\t \r\n}\n");
    assert_eq!(value(&c, "foo.bar"), b"a b");
    assert!(matches!(&c.items()[0], Item::Comment(t) if t.expose() == b" c {"));
    // No newline at the end of the file.
    assert_eq!(value(&ok("abc: 1"), "abc"), b"1");
    assert_eq!(ok(""), Config::default());
    assert_eq!(ok("#a\r\r\n"), ok("#a\n"));
}

#[test]
fn values_may_hold_colon_brace_and_hash() {
    let c = ok("foo {\na: b: c\nd: }\ne: x # y\nf:: g\nh:\n}\n");
    assert_eq!(value(&c, "foo.a"), b"b: c");
    assert_eq!(value(&c, "foo.d"), b"}");
    assert_eq!(value(&c, "foo.e"), b"x # y");
    assert_eq!(value(&c, "foo.f"), b": g");
    assert_eq!(value(&c, "foo.h"), b"");
    assert_eq!(value(&ok(b"abc: \xe9\xff"), "abc"), b"\xe9\xff");
}

#[test]
fn a_section_opens_wherever_a_brace_is() {
    assert_eq!(value(&ok("foo{\na: 1\n  }\n"), "foo.a"), b"1");
    assert_eq!(value(&ok("foo: {\na: 1\n}\n"), "foo.a"), b"1");
    one("foo {\na: b{\n}\n", 2, 5, "foo", "a value cannot hold it");
    one("foo { x\n}\n", 1, 7, "foo", "nothing may follow");
    one("foo {}\nabc: 1\n", 1, 6, "foo", "nothing may follow");
    one(" foo { # c\n}\n", 1, 8, "foo", "nothing may follow");
    one("  {\n}\n", 1, 3, "", "name before \"{\" is missing");
    one(" : {\n}\n", 1, 4, "", "name before \"{\" is missing");
    one("f\u{e9}o {\n}\n", 1, 2, "", "\\xc3");
}

#[test]
fn a_section_is_closed_by_a_brace_alone() {
    one("foo {\n } # c\n", 2, 4, "foo", "stand alone");
    one("foo {\n x }\n", 2, 2, "foo", "stand alone");
    one("abc: 1\n\t}\n", 2, 2, "", "closes nothing");
    one("foo {\n bar {\n }\n", 1, 1, "foo", "never closed");
    let (places, _) = wrong("foo {\n bar {\n");
    assert_eq!(places, [(1, 1, "foo".into()), (2, 2, "foo.bar".into())]);
}

#[test]
fn lines_that_are_nothing() {
    one("foo {\n  bar\n}\n", 2, 3, "foo", "neither");
    one("foo {\n  : x\n}\n", 2, 3, "foo", "name before \":\"");
    one("foo {\n b z: x\n}\n", 2, 3, "foo", "\" \" is not allowed");
    one("foo {\n\u{a0}bar: x\n}\n", 2, 1, "foo", "non-breaking");
    one("ab: 1\n", 1, 1, "ab", "at least 3");
}

#[test]
fn bytes_that_are_no_text() {
    one("\u{feff}abc: 1\n", 1, 1, "", "byte-order mark");
    one("foo {\na: b\0c\n}\n", 2, 5, "foo", "NUL");
    one("foo {\na: b\rc\n}\n", 2, 5, "foo", "carriage return");
    one("foo {\r\r\n}\n", 1, 6, "", "carriage return");
}

#[test]
fn lines_hold_510_bytes() {
    let line = |n: usize| format!("abc:{}", "x".repeat(n - 4));
    for end in ["", "\n"] {
        assert!(parse((line(510) + end).as_bytes()).is_ok());
        one(line(511) + end, 1, 511, "", "511 bytes");
    }
    assert!(parse((line(509) + "\r\n").as_bytes()).is_ok());
    one(line(510) + "\r\n", 1, 511, "", "511 bytes");
    one(format!("#{}\n", "x".repeat(510)), 1, 511, "", "511 bytes");
    // What is as long as can be is still written, without the lay-out that would make it too long.
    let long = format!("foo {{\n{}\n#{}\n}}\n", line(510), "y".repeat(509));
    let text = render(&ok(&long)).unwrap();
    assert_eq!(*text, long.as_bytes());
    let near = format!("foo {{\n{}\n}}\n", line(508));
    let text = render(&ok(&near)).unwrap();
    assert!(text.starts_with(b"foo {\n\tabc: xxx") || text.starts_with(b"foo {\nabc: xxx"));
    assert_eq!(ok(&*text), ok(&near));
}

#[test]
fn paths_hold_254_bytes() {
    let name = |n: usize| "x".repeat(n);
    assert!(parse(format!("{}: 1\n", name(253)).as_bytes()).is_ok());
    assert!(parse(format!("a {{\n{}: 1\n}}\n", name(252)).as_bytes()).is_ok());
    let (places, message) = wrong(format!("{}: 1\n", name(254)));
    assert_eq!((places[0].0, places[0].1), (1, 1));
    assert!(message.contains("255 bytes"), "{message}");
    let (places, _) = wrong(format!("a {{\n {} {{\nb: 1\n}}\n}}\n", name(253)));
    assert_eq!(places.len(), 1);
    assert_eq!((places[0].0, places[0].1), (2, 2));
}

#[test]
fn bounds() {
    let deep = |n: usize| "a {\n".repeat(n) + &"}\n".repeat(n);
    assert!(parse(deep(32).as_bytes()).is_ok());
    one(deep(40), 33, 1, &["a"; 33].join("."), "more than 32");
    let (_, message) = wrong("abc:\n".repeat(65_537));
    assert!(
        message.starts_with("line 65537, column 1: more than 65536"),
        "{message}"
    );
    let (_, message) = wrong(vec![b'\n'; (1 << 20) + 1]);
    assert!(message.contains("1048577 bytes"), "{message}");
    let (places, message) = wrong("x\n".repeat(1000));
    assert_eq!(places.len(), MAX_FINDINGS + 1);
    assert!(
        message.ends_with("800 more findings are not shown"),
        "{message}"
    );
}

#[test]
fn all_findings_are_told_in_order() {
    let (places, message) = wrong("foo {\n bar\nb z: 1\n sub {\n}\nx } \n}\ntotem {\n");
    let lines: Vec<u32> = places.iter().map(|p| p.0).collect();
    assert_eq!(lines, [2, 3, 6, 7, 8], "{message}");
    assert!(
        message.starts_with("line 2, column 2: foo: neither"),
        "{message}"
    );
}

#[test]
fn no_key_is_ever_quoted() {
    for text in [
        "totem {\nkey SECRET\n}\n",
        "totem {\nkey: SECRET{\n}\n}\n",
        "totem {\nkey:SECRET{x\n}\n}\n",
        "totem {\nkey:SECRET{\na b: 1\n",
        "totem {\nkey: SECRET\0\n}\n",
        "totem {\nkey: SEC\rRET\n}\n",
        "totem {\nSECRET\nSECRET }\n",
    ] {
        let (_, message) = wrong(text);
        assert!(
            !message.contains("SEC") && !message.contains("RET"),
            "{message}"
        );
    }
    let c = ok("totem {\nkey: SECRET\n# key: OLDSECRET\n}\n");
    let shown = render_redacted(&c).unwrap();
    assert!(!shown.contains("SECRET") && !format!("{c:?}").contains("SECRET"));
    assert_eq!(shown, "totem {\n\tkey: <redacted>\n\t#key: <redacted>\n}\n");
    assert!(render(&c).unwrap().windows(6).any(|w| w == b"SECRET"));
}

#[test]
fn the_canonical_text() {
    let c = ok(
        "#one\nlogging{\ndebug : off\n}\n\nabc:1\nabc:2\n#two\ntotem {\nversion: 2\n#three\ninterface {\n}\n}\n#end\n",
    );
    let text = render(&c).unwrap();
    let want = "#two\ntotem {\n\tversion: 2\n\t#three\n\tinterface {\n\t}\n}\n\n#one\nlogging {\n\tdebug: off\n}\n\nabc: 1\nabc: 2\n\n#end\n";
    assert_eq!(std::str::from_utf8(&text).unwrap(), want);
    assert_eq!(
        sha256_hex(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn what_no_file_can_hold_is_not_written() {
    let long = "x".repeat(510);
    for (item, says) in [
        (Item::key("abc", "a{b"), "abc: its value holds \"{\""),
        (Item::key("abc", "a\nb"), "abc: its value holds \"\\x0a\""),
        (Item::key("abc", " a"), "begins or ends with a blank"),
        (Item::key("ab", "a"), "at least 3"),
        (Item::key("a:b", "a"), "cannot hold \":\""),
        (Item::key("a b", "a"), "\" \" is not allowed"),
        (Item::key("abc", &long), "514 bytes"),
        (Item::section("", vec![]), "missing"),
        (Item::section("a:", vec![]), "ends with"),
        (Item::Comment("a\nb".into()), "newline"),
        (Item::Comment(long.as_str().into()), "511 bytes"),
    ] {
        let err = render(&Config::new(vec![item])).unwrap_err().to_string();
        assert!(err.contains(says), "{err}");
        assert!(err.starts_with("render corosync.conf: "), "{err}");
    }
}
