//! Events at a steady rate from the driver's queue to ten subscribers: through the monitor, the
//! journal, the log and the local service, all in this process, with a real corosync under the
//! monitor. Beside it, in turns: one thread that writes the same lines to a file and to ten sockets.

use crate::stats::{Row, Samples, remark, table};
use clusmgr::driver::table::find;
use clusmgr::driver::{Driver, Params};
use clusmgr::event::{Hub, Kind, Note, Severity};
use clusmgr::journal::Journal;
use clusmgr::mgr::monitor::Monitor;
use clusmgr::mgr::state::Input;
use clusmgr::mgr::{Kept, Manager, publish};
use clusmgr::paths::{CorosyncPaths, LAYOUTS};
use clusmgr::policy::Policy;
use clusmgr::service::LocalService;
use clusmgr::sys::clock;
use clusmgr::sys::wake::Waker;
use clusmgr::types::Mono;
use clusmgr::wire::ServiceState;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const RATE: u32 = 5000;
const EVENTS: u64 = 20_000;
const SUBSCRIBERS: usize = 10;
const LIMIT: Duration = Duration::from_secs(60);
/// As the daemon has it.
const HUB: usize = 256;

pub fn run() {
    let dir = Path::new("/var/lib/bench-events");
    std::fs::create_dir_all(dir).unwrap();
    let bed = Bed::new(dir);
    let readers: Vec<_> = (0..SUBSCRIBERS)
        .map(|_| subscriber(&bed.socket()))
        .collect();
    let took = produce(|note| bed.note(note));
    let got: Vec<Got> = readers.into_iter().map(|r| r.join().unwrap()).collect();
    let journal = bed.end();
    let bare = bare(dir);
    std::fs::remove_dir_all(dir).unwrap();

    let lagged: usize = got.iter().map(|g| g.lagged).sum();
    let sound = got.iter().all(|g| g.gaps == 0 && g.lost == 0);
    let times = |got: Vec<Got>| Samples::of(got.into_iter().flat_map(|g| g.times).collect());
    let (ours, bare) = (times(got), times(bare));
    table(
        &format!("{RATE} events a second to {SUBSCRIBERS} subscribers: from the driver to a line"),
        "ms",
        &[
            Row::judged(
                "queue, journal, log, service",
                &ours,
                "none lost, none lagged",
                lagged == 0 && sound && journal,
            ),
            Row::other("a file and ten sockets, bare", &bare),
        ],
    );
    let rate = f64::from(u32::try_from(EVENTS).unwrap()) / took.as_secs_f64();
    remark(&format!(
        "{rate:.0} events a second were made; lagged lines: {lagged}; the journal is without a gap: {journal}"
    ));
}

/// Makes the events, each in its time; what is late is made at once.
fn produce(mut hand: impl FnMut(Note)) -> Duration {
    let begin = Instant::now();
    for n in 0..EVENTS {
        let due = begin + Duration::from_secs(n) / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let text = "link 0 to n2 (2) is down";
        let note = Note::new(Kind::LinkDown, Severity::Warning, text)
            .with("nodeid", 2)
            .with("link", 0)
            .with("n", n)
            .with("mono", clock::now().0);
        hand(note);
    }
    begin.elapsed()
}

/// What a subscriber got.
#[derive(Default)]
struct Got {
    times: Vec<f64>,
    lagged: usize,
    gaps: usize,
    lost: usize,
}

fn number(line: &str, name: &str) -> Option<u64> {
    let rest = line.split_once(name)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

fn read(stream: BufReader<UnixStream>) -> Got {
    let mut got = Got::default();
    let mut last = None;
    for line in stream.lines() {
        let line = line.unwrap();
        let at = clock::now();
        if line.starts_with("{\"lagged\"") {
            got.lagged += 1;
            continue;
        }
        let seq = number(&line, "\"seq\":").unwrap();
        if last.is_some_and(|last| seq != last + 1) {
            got.gaps += 1;
        }
        last = Some(seq);
        got.lost += usize::from(line.contains("events.lost"));
        if let Some(made) = number(&line, "\"mono\":") {
            got.times.push(at.since(Mono(made)).as_secs_f64() * 1e3);
            if number(&line, "\"n\":") == Some(EVENTS - 1) {
                return got;
            }
        }
    }
    panic!("the stream ended");
}

fn subscriber(socket: &Path) -> JoinHandle<Got> {
    let mut stream = BufReader::new(UnixStream::connect(socket).unwrap());
    stream.get_ref().set_read_timeout(Some(LIMIT)).unwrap();
    stream
        .get_mut()
        .write_all(b"{\"id\":1,\"req\":\"subscribe\"}\n")
        .unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.contains("\"ok\""), "{line}");
    thread::spawn(move || read(stream))
}

/// The daemon's threads in this process.
struct Bed<'a> {
    dir: &'a Path,
    manager: Arc<Manager>,
    waker: Arc<Waker>,
    local: LocalService,
    monitor: JoinHandle<()>,
    events: JoinHandle<()>,
}

impl Bed<'_> {
    fn new(dir: &Path) -> Bed<'_> {
        let waker = Arc::new(Waker::new().unwrap());
        log_to(&dir.join("log"));
        let op = find("corosync").unwrap();
        let params = Params {
            node_name: "n1".to_owned(),
            paths: CorosyncPaths::from(&LAYOUTS[0]),
            state_dir: dir.into(),
            run_dir: dir.into(),
            hang_timeout: Some(Duration::from_secs(10)),
            poll_interval: Duration::from_secs(1),
            waker: Arc::clone(&waker),
        };
        let Driver { service, data, .. } = (op.init)(params).unwrap();
        let (journal, _) = Journal::open(dir, "a boot").unwrap();
        let hub = Arc::new(Hub::new(HUB, 0));
        let manager = Arc::new(Manager::new(
            op,
            Arc::clone(&data),
            "n1".to_owned(),
            Arc::clone(&waker),
            Arc::clone(&hub),
            journal.reader(),
        ));
        let listener = UnixListener::bind(dir.join("sock")).unwrap();
        let events = publish::start(Arc::clone(&data), journal, hub, |_| ()).unwrap();
        let local = LocalService::start(listener, Arc::clone(&manager) as Arc<_>).unwrap();
        let monitor = Monitor {
            manager: Arc::clone(&manager),
            service,
            data,
            waker: Arc::clone(&waker),
            policy: Policy::default(),
            interval: Duration::from_secs(1),
            state_dir: dir.into(),
            kept: Kept::default(),
            hold: None,
            boot: "a boot".to_owned(),
            keep: Box::new(|| ()),
        };
        let monitor = monitor.start().unwrap();
        let deadline = Instant::now() + LIMIT;
        while manager.status().service.state != ServiceState::Running {
            assert!(Instant::now() < deadline, "corosync does not run");
            thread::sleep(Duration::from_millis(20));
        }
        Bed {
            dir,
            manager,
            waker,
            local,
            monitor,
            events,
        }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.join("sock")
    }

    /// As the driver does.
    fn note(&self, note: Note) {
        self.manager.driver_data().evt_internal_queue().push(note);
        self.waker.wake();
    }

    /// Whether the journal has the events without a gap, as far as it reaches back.
    fn end(self) -> bool {
        let page = self.manager.journal().read_since(0, usize::MAX);
        let numbers: Vec<u64> = page
            .lines
            .iter()
            .map(|l| number(l, "\"seq\":").unwrap())
            .collect();
        let sound = page.damaged == 0
            && numbers.len() > 1000
            && numbers.windows(2).all(|w| w[1] == w[0] + 1)
            && page.last >= EVENTS;
        self.manager.tell(Input::Shutdown, "the benchmark");
        assert!(self.manager.wait_ended(Instant::now() + LIMIT));
        self.monitor.join().unwrap();
        self.manager.driver_data().evt_public_queue().close();
        self.events.join().unwrap();
        assert_eq!(self.local.stop(), 0);
        sound
    }
}

/// The log, to a syslogd that takes all.
fn log_to(path: &Path) {
    let socket = UnixDatagram::bind(path).unwrap();
    thread::spawn(move || {
        let mut line = [0; 8192];
        while socket.recv(&mut line).is_ok() {}
    });
    let target = clusmgr::log::Target::Syslog {
        facility: clusmgr::log::facility("daemon").unwrap(),
        paths: vec![path.into()],
    };
    // It ends with the process.
    std::mem::forget(clusmgr::log::start(target, log::LevelFilter::Info).unwrap());
}

/// The least that could be done.
fn bare(dir: &Path) -> Vec<Got> {
    let path = dir.join("bare");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    let (ours, theirs): (Vec<_>, Vec<_>) = (0..SUBSCRIBERS)
        .map(|_| UnixStream::pair().unwrap())
        .unzip();
    let readers: Vec<_> = theirs
        .into_iter()
        .map(|s| thread::spawn(move || read(BufReader::new(s))))
        .collect();
    let (tell, told) = mpsc::channel::<Note>();
    let writer = thread::spawn(move || {
        for (seq, note) in (1..).zip(told) {
            let event = clusmgr::event::Event { seq, note };
            let line = serde_json::to_string(&event).unwrap() + "\n";
            file.write_all(line.as_bytes()).unwrap();
            for mut out in &ours {
                out.write_all(line.as_bytes()).unwrap();
            }
        }
    });
    produce(|note| tell.send(note).unwrap());
    drop(tell);
    writer.join().unwrap();
    readers.into_iter().map(|r| r.join().unwrap()).collect()
}
