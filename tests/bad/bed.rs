//! What these tests share: the shape of an error, and what must not have changed.

use crate::common::{Node, Ran};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A live configuration that does not parse, and the places of all that is wrong with it.
pub const UNPARSABLE: &str = "totem {\n    version: 2\n    token 1000\n}\n}\nquorum {\n";
pub const FOUND: [(u32, u32); 3] = [(3, 5), (5, 1), (6, 1)];

/// One line on standard error, under the program's name, with these parts and an advice; nothing on
/// standard output; this exit code.
#[track_caller]
pub fn refused(ran: &Ran, program: &str, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert_eq!(ran.out, "", "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "one line: {ran:?}");
    assert!(ran.err.ends_with('\n'), "{ran:?}");
    one_error(ran.err.trim_end(), program, parts);
}

/// `PROGRAM: OPERATION OBJECT: CAUSE; WHAT TO DO` with these parts.
#[track_caller]
pub fn one_error(line: &str, program: &str, parts: &[&str]) {
    assert!(line.starts_with(&format!("{program}: ")), "{line}");
    let (_, advice) = line
        .rsplit_once("; ")
        .unwrap_or_else(|| panic!("no advice: {line}"));
    assert!(advice.len() > 5, "no advice: {line}");
    for part in parts {
        assert!(line.contains(part), "no {part:?}: {line}");
    }
}

/// What bad input must leave alone: which corosync runs, and every file that clusmgr keeps, with its
/// mode, but the journal, which may grow, and the lock, which has the daemon's pid.
#[derive(Debug, PartialEq, Eq)]
pub struct Before {
    corosync: Vec<i64>,
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Before {
    /// Of a node whose corosync runs.
    #[track_caller]
    pub fn running(node: &Node<'_>) -> Before {
        node.wait_state("running");
        let before = Before::now(node);
        assert_eq!(before.corosync, [node.pid()]);
        before
    }

    /// As it is.
    #[track_caller]
    pub fn now(node: &Node<'_>) -> Before {
        let mut files = BTreeMap::new();
        for dir in [
            "/etc/corosync",
            "/var/lib/clusmgr",
            "/var/lib/clusmgr/conf",
            "/var/lib/clusmgr/keys",
            "/var/lib/clusmgr/backup",
        ] {
            gather(&node.file(dir), dir, &mut files);
        }
        Before {
            corosync: corosyncs(node),
            files,
        }
    }

    #[track_caller]
    pub fn is_so_still(&self, node: &Node<'_>) {
        let now = Before::now(node);
        assert_eq!(now.corosync, self.corosync, "another corosync runs");
        assert_eq!(
            now.files.keys().collect::<Vec<_>>(),
            self.files.keys().collect::<Vec<_>>()
        );
        for (path, was) in &self.files {
            assert!(now.files[path] == *was, "{path} was changed");
        }
    }
}

fn gather(dir: &Path, name: &str, files: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        let file = entry.file_name().to_string_lossy().into_owned();
        let meta = entry.metadata().unwrap();
        if meta.is_file() && !file.starts_with("events.") && file != "clusmgr.lock" {
            let bytes = fs::read(entry.path()).unwrap();
            files.insert(format!("{name}/{file}"), (meta.mode(), bytes));
        }
    }
}

/// The pids of every corosync in a node, without asking clusmgr.
#[track_caller]
pub fn corosyncs(node: &Node<'_>) -> Vec<i64> {
    let script = "for p in /proc/[0-9]*; do read -r comm <$p/comm && [[ $comm = corosync ]] && echo ${p#/proc/}; done 2>/dev/null; :";
    let out = node.sh(script).ok();
    out.lines().map(|l| l.parse().unwrap()).collect()
}

/// The words that run a program in a node as another uid, and as a group; a failure that says so where
/// the lab has one uid only.
#[track_caller]
pub fn as_another(node: &Node<'_>, group: u32) -> Vec<String> {
    let words = format!("setpriv --reuid=65534 --regid={group} --clear-groups");
    let ran = node.sh(&format!("{words} true"));
    assert_eq!(
        ran.code, 0,
        "the lab has no second uid: run this as root, or install uidmap and give the user a range in \
         /etc/subuid and /etc/subgid: {ran:?}"
    );
    words.split(' ').map(str::to_owned).collect()
}

/// Why the node is degraded.
pub fn degraded(status: &serde_json::Value) -> Vec<String> {
    let items = status["degraded"].as_array().unwrap();
    items
        .iter()
        .map(|i| i["reason"].as_str().unwrap().to_owned())
        .collect()
}

/// A path below a directory of a node that fits in a socket's address, however deep the lab lies.
/// It holds as long as the directory is open.
pub struct Short(File);

impl Short {
    pub fn of(node: &Node<'_>, dir: &str) -> Short {
        Short(File::open(node.file(dir)).unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd())
    }
}

/// A client of a node's local socket that says what it likes.
pub struct Client {
    pub stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Client {
    #[track_caller]
    pub fn connect(node: &Node<'_>) -> Client {
        let dir = Short::of(node, "/run/clusmgr");
        let stream = UnixStream::connect(dir.path("clusmgr.sock")).unwrap();
        // Longer than any deadline of the service.
        stream
            .set_read_timeout(Some(Duration::from_secs(40)))
            .unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Client { stream, reader }
    }

    /// Sends; false if the other side has hung up.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next line.
    #[track_caller]
    pub fn reply(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    /// Waits until the other side hangs up; what it still said.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => {}
            // It hung up before it had read everything.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(e) => panic!("it does not hang up: {e}"),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// A refusal on the wire: its code, and a message with an object and an advice.
#[track_caller]
pub fn refused_by_wire(reply: &serde_json::Value, code: &str, parts: &[&str]) {
    assert_eq!(reply["err"]["code"], code, "{reply}");
    let message = reply["err"]["message"].as_str().unwrap();
    assert!(!message.contains('\n'), "{message:?}");
    one_error(&format!("wire: {message}"), "wire", parts);
}
