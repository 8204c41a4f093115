//! Properties of parser and renderer: no bytes make them panic, nothing is lost on the way.
#![allow(clippy::unwrap_used)]

use clusmgr::driver::corosync::limits::MAX_LINE;
use clusmgr::driver::corosync::model::{Config, Item, Key, Pos, Section};
use clusmgr::driver::corosync::nodes::LocalHost;
use clusmgr::driver::corosync::parse::parse;
use clusmgr::driver::corosync::render::{render, render_redacted};
use clusmgr::driver::corosync::validate::{KeyFile, validate};
use clusmgr::driver::corosync::value::ConfValue;
use proptest::collection::vec;
use proptest::prelude::*;

const VALID: &[u8] = b"# head\r\ntotem {\n\tversion: 2\n\tkey: abc\n\tinterface {\n\t\tlinknumber: 0\n\t}\n}\n\nnodelist {\n\tnode {\n\t\tname: a:b}#c\n\t\tring0_addr: fd00::1\n\t}\n}\nlogging {\n}\n";

/// A value or comment: bytes with no `{`, no line ends, no NUL, no blanks around.
fn value() -> impl Strategy<Value = ConfValue> {
    let text = prop_oneof![
        "[ -z|}~]{0,40}",
        Just("a: b } # c".to_owned()),
        Just("}".to_owned()),
        Just("\u{e0} la \u{a0}".to_owned()),
        "[a-z ]{480,500}",
    ];
    prop_oneof![
        8 => text.prop_map(|t| ConfValue::new(t.trim_matches([' ', '\t']).as_bytes())),
        1 => vec(128_u8.., 0..20).prop_map(|b| ConfValue::new(&b)),
    ]
}

fn key() -> impl Strategy<Value = Item> {
    let name = prop_oneof!["[a-zA-Z0-9._/-]{3,12}", Just("key".to_owned())];
    (name, value()).prop_map(|(name, value)| {
        Item::Key(Key {
            name,
            value,
            at: Pos::default(),
            value_at: Pos::default(),
        })
    })
}

fn comment() -> impl Strategy<Value = Item> {
    value().prop_map(Item::Comment)
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let leaf = vec(prop_oneof![key(), comment()], 0..4);
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof![
            Just("totem".to_owned()),
            Just("node".to_owned()),
            Just("interface".to_owned()),
            "[a-z#][a-z0-9:._/-]{0,8}[a-z]".prop_map(|n| n.replace('#', "x")),
        ];
        let section = (name, inner).prop_map(|(name, items)| {
            Item::Section(Section {
                name,
                items,
                at: Pos::default(),
            })
        });
        vec(prop_oneof![key(), comment(), section], 0..6)
    })
}

/// Whether a model can be written: its keys and comments fit in a line.
fn fits(items: &[Item]) -> bool {
    items.iter().all(|i| match i {
        Item::Comment(c) => c.expose().len() < MAX_LINE,
        Item::Key(k) => k.name.len() + 1 + k.value.expose().len() <= MAX_LINE,
        Item::Section(s) => fits(&s.items),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_model_survives_render_and_parse(items in items()) {
        let model = Config::new(items);
        prop_assume!(fits(model.items()));
        let text = render(&model).unwrap();
        prop_assert!(text.split(|b| *b == b'\n').all(|l| l.len() <= MAX_LINE));
        let again = parse(&text).unwrap();
        prop_assert_eq!(&again, &model);
        prop_assert_eq!(&*render(&again).unwrap(), &*text);
        let shown = render_redacted(&model).unwrap();
        prop_assert!(parse(shown.as_bytes()).is_ok() || shown.contains(char::REPLACEMENT_CHARACTER));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..2000)) {
        parse_all(&bytes);
    }

    #[test]
    fn no_lines_of_the_grammar_panic(lines in vec("[ \\t]{0,2}[#a-z:{} \\r]{0,6}", 0..40)) {
        parse_all(lines.join("\n").as_bytes());
    }

    #[test]
    fn no_mutation_panics(changes in vec((any::<prop::sample::Index>(), any::<Option<u8>>()), 1..8)) {
        let mut bytes = VALID.to_vec();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            match to {
                Some(b) => bytes[at] = b,
                None => bytes.truncate(at.max(1)),
            }
        }
        parse_all(&bytes);
    }
}

/// Parses, and does all that can be done with what comes of it.
fn parse_all(bytes: &[u8]) {
    match parse(bytes) {
        Ok(model) => {
            let text = render(&model).unwrap();
            assert_eq!(parse(&text).unwrap(), model);
            assert_eq!(render(&parse(&text).unwrap()).unwrap(), text);
            let _ = validate(&model, &LocalHost::default(), KeyFile::Absent);
            let _ = format!("{model:?} {:?}", model.nodes());
        }
        Err(findings) => {
            assert!(!findings.is_empty());
            for f in findings {
                let shown = f.to_string();
                assert!(
                    shown.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
                    "{shown}"
                );
                assert!(f.column <= 511 + 1, "{shown}");
            }
        }
    }
}

#[test]
fn big_and_hostile_files_are_done_in_no_time() {
    let started = std::time::Instant::now();
    parse_all(&b"a {\n".repeat(250_000));
    parse_all(&b"abc {\n}\n".repeat(30_000));
    parse_all(&b"a{\n}\n".repeat(100_000));
    parse_all(&b"}\n".repeat(500_000));
    parse_all(&b"x".repeat(1 << 20));
    parse_all(&b"\n".repeat(1 << 20));
    parse_all(&b"abc:\n".repeat(60_000));
    parse_all(
        &[
            b"nodelist {\n".as_slice(),
            &b"node {\nring0_addr: x\n}\n".repeat(30_000),
            b"}\n",
        ]
        .concat(),
    );
    parse_all(&b"nodelist {\nnode {\nnodeid: 1\n}\n}\n".repeat(20_000));
    parse_all(&vec![0; (1 << 20) + 1]);
    // About a second in a debug build; what is quadratic takes minutes.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
