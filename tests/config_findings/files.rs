//! Files that are none: what is wrong with their bytes, lines and size.

use super::*;

/// The errors of a file that does not parse.
#[track_caller]
fn broken(bytes: &[u8]) -> Vec<Finding> {
    let started = std::time::Instant::now();
    let findings = parse(bytes).unwrap_err();
    // Linear, and bounded: far less than a second even in a debug build on a busy machine.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    findings
}

#[track_caller]
fn broken_at(bytes: &[u8], line: u32, column: u32, says: &str) {
    let findings = broken(bytes);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let f = &findings[0];
    assert_eq!((f.line, f.column), (line, column), "{f}");
    assert!(f.message.contains(says), "{f}");
}

#[test]
fn a_file_of_10_mib_is_refused() {
    let mut bytes = BASE.as_bytes().to_vec();
    bytes.resize(10 << 20, b'\n');
    broken_at(&bytes, 1, 1, "10485760 bytes; at most 1048576");
}

#[test]
fn a_file_of_100_000_sections_is_refused() {
    let findings = broken("a{\n}\n".repeat(100_000).as_bytes());
    let last = findings.last().unwrap();
    assert!(last.message.contains("more than 65536"), "{last}");
    // As many as are allowed are gone through in no time, too.
    let text = "abc {\nx: y\n}\n".repeat(20_000) + BASE;
    let started = std::time::Instant::now();
    assert_eq!(check(&text).len(), 201);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn a_nul_is_refused() {
    let bytes = BASE.replace("token: 3000", "token: 30\x0000");
    broken_at(bytes.as_bytes(), 8, 10, "NUL");
}

#[test]
fn a_byte_order_mark_is_refused() {
    broken_at(
        format!("\u{feff}{BASE}").as_bytes(),
        1,
        1,
        "byte-order mark",
    );
}

#[test]
fn crlf_is_taken() {
    sound(&BASE.replace('\n', "\r\n"));
}

#[test]
fn lines_of_510_bytes_are_taken_and_of_511_and_512_refused() {
    let with = |length: usize| {
        let value = "x".repeat(length - "cluster_name: ".len());
        edited(&[("cluster_name: c", &format!("cluster_name: {value}"))])
    };
    sound(&with(510));
    broken_at(with(511).as_bytes(), 3, 511, "511 bytes");
    broken_at(with(512).as_bytes(), 3, 511, "512 bytes");
}

#[test]
fn a_brace_a_section_or_a_line_that_is_wrong_is_refused() {
    let with = |line: &str| edited(&[("token: 3000", line)]);
    let findings = broken(with("token: {3000").as_bytes());
    assert!(
        findings
            .iter()
            .any(|f| f.line == 8 && f.message.contains("nothing may follow"))
    );
    broken_at(with("token 3000").as_bytes(), 8, 1, "neither");
    let findings = broken(with("} token").as_bytes());
    assert!(
        findings
            .iter()
            .any(|f| f.line == 8 && f.message.contains("stand alone"))
    );
    let end = u32::try_from(BASE.lines().count()).unwrap() + 1;
    broken_at(format!("{BASE}}}\n").as_bytes(), end, 1, "closes nothing");
    let open = BASE.strip_suffix("}\n").unwrap();
    broken_at(open.as_bytes(), line_of(open, "logging"), 1, "never closed");
}
