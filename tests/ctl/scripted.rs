//! A daemon that is no more than a function from request lines to answers, to see what is asked of it
//! and to have other nodes say what a test wants.

use clusmgr::wire::{Answer, PROTO, ReplyLine, Request, RequestLine, WireError};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tempfile::TempDir;

type Streams = Arc<Mutex<VecDeque<Vec<Value>>>>;
type Script = dyn Fn(&RequestLine) -> Answer + Send + Sync;

pub struct Scripted {
    dir: TempDir,
    /// Every request line, as it came.
    pub asked: Arc<Mutex<Vec<Value>>>,
    /// The lines that follow the answer to each subscription, in turn.
    pub stream: Streams,
}

impl Scripted {
    /// Answers every request by the script; the question whether it knows of other nodes by itself.
    pub fn new(script: impl Fn(&RequestLine) -> Answer + Send + Sync + 'static) -> Scripted {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("clusmgr.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        let stream = Streams::default();
        let streams = Arc::clone(&stream);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                let streams = Arc::clone(&streams);
                std::thread::spawn(move || serve(stream, &*script, &log, &streams));
            }
        });
        Scripted { dir, asked, stream }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("clusmgr.sock")
    }

    /// Runs to the end: exit code, stdout, stderr.
    pub fn run(&self, args: &str) -> (i32, String, String) {
        let mut c = std::process::Command::new(env!("CARGO_BIN_EXE_clusmgrctl"));
        c.args(args.split(' ')).arg("--socket").arg(self.socket());
        let out = c.stdin(Stdio::null()).output().unwrap();
        let text = |b| String::from_utf8(b).unwrap();
        (
            out.status.code().unwrap(),
            text(out.stdout),
            text(out.stderr),
        )
    }

    /// As [`Scripted::run`], and nobody reads what it says: the exit code.
    pub fn unread(&self, args: &str) -> i32 {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let mut c = std::process::Command::new(env!("CARGO_BIN_EXE_clusmgrctl"));
        c.args(args.split(' ')).arg("--socket").arg(self.socket());
        c.stdin(Stdio::null()).stderr(Stdio::null());
        let run = c.stdout(OwnedFd::from(writer)).status();
        run.unwrap().code().unwrap()
    }

    /// What was asked since the last time, ids left out.
    pub fn heard(&self) -> Vec<Value> {
        let mut all = std::mem::take(&mut *self.asked.lock());
        for line in &mut all {
            line.as_object_mut().unwrap().remove("id");
        }
        all
    }
}

fn serve(stream: UnixStream, script: &Script, log: &Mutex<Vec<Value>>, streams: &Streams) {
    let mut to = stream.try_clone().unwrap();
    let mut first = Some(PROTO);
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let request: RequestLine = serde_json::from_str(&line).unwrap();
        let probe = request.node.is_none() && !request.all && line.contains("peer.report");
        let answer = if probe {
            Answer::Ok(json!({}))
        } else {
            log.lock().push(serde_json::from_str(&line).unwrap());
            script(&request)
        };
        let reply = ReplyLine {
            id: request.id,
            proto: first.take(),
            answer,
        };
        let text = serde_json::to_string(&reply).unwrap();
        let mut lines = vec![text];
        if matches!(request.request, Request::Subscribe { .. }) {
            let more = streams.lock().pop_front().unwrap_or_default();
            lines.extend(more.iter().map(Value::to_string));
        }
        for line in lines {
            if writeln!(to, "{line}").is_err() {
                return;
            }
        }
    }
}

pub fn refused(code: &str, message: &str) -> Answer {
    Answer::Err(WireError {
        code: code.to_owned(),
        message: message.to_owned(),
    })
}
