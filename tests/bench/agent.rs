//! What works inside a node for the parts that need several: it obeys lines on its standard input,
//! and answers each with one line. Both ends of it are in this file. The clock is the same in all
//! namespaces, and whatever is timed begins and ends in here.

use crate::across::{self, Client};
use crate::cut::Witnesses;
use clusmgr::sys::clock;
use clusmgr::types::{Mono, Pid};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub const SOCKET: &str = "/run/clusmgr/clusmgr.sock";
const PIDFILE: &str = "/run/clusmgr/clusmgr.pid";
const COROSYNC: &str = "/usr/sbin/corosync";
const CONF: &str = "/etc/corosync/corosync.conf";
const LIMIT: Duration = Duration::from_secs(60);
/// How often corosync's output is looked at while a ring forms.
const LOOK: Duration = Duration::from_millis(1);

/// An agent as seen from outside.
pub struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Agent {
    pub fn start(lab: &str, dir: &str, node: &str) -> Agent {
        let mut child = Command::new(lab)
            .args(["--dir", dir, "exec", node])
            .args(["/run/lab/bin/examples/bench", "agent"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Agent {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Three of them, for n1 to n3.
    pub fn three(lab: &str, dir: &str) -> [Agent; 3] {
        ["n1", "n2", "n3"].map(|n| Agent::start(lab, dir, n))
    }

    pub fn tell(&mut self, order: &str) {
        writeln!(self.input.as_mut().unwrap(), "{order}").unwrap();
    }

    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        let n = self.output.read_line(&mut line).unwrap();
        assert!(n > 0, "an agent ended: see above");
        line.trim_end().to_owned()
    }

    pub fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer()
    }

    pub fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success(), "an agent failed");
    }
}

/// All do it at the same time.
pub fn ask_all(agents: &mut [Agent], order: &str) -> Vec<String> {
    for agent in agents.iter_mut() {
        agent.tell(order);
    }
    agents.iter_mut().map(Agent::answer).collect()
}

/// The agent itself.
pub fn run() {
    let mut keeper = None;
    let mut witnesses: Option<Witnesses> = None;
    let mut client: Option<Client> = None;
    for order in std::io::stdin().lines() {
        let order = order.unwrap();
        let answer = match order.as_str() {
            "keep clusmgr" => {
                keeper = Some(Keeper::clusmgr());
                "ok".to_owned()
            }
            "keep bare" => {
                keeper = Some(Keeper::bare());
                "ok".to_owned()
            }
            "leave" => {
                keeper.take().unwrap().end();
                "ok".to_owned()
            }
            "ring" => wait_ring(),
            "kill" => keeper.as_ref().unwrap().kill_once(),
            "daemon" => daemon(),
            "usage" => usage(),
            "life" => life(),
            "all" => client.as_mut().unwrap().all(),
            "status" => client.as_mut().unwrap().status(),
            "ctl" => across::ctl(),
            "freeze" => across::signal(Signal::SIGSTOP),
            "thaw" => across::signal(Signal::SIGCONT),
            "witness" => {
                witnesses = Some(Witnesses::call());
                "ok".to_owned()
            }
            "gained" => witnesses.as_mut().unwrap().gained(),
            "lost" => witnesses.as_mut().unwrap().lost(),
            other => {
                let nodes = other.strip_prefix("across ");
                let nodes = nodes.unwrap_or_else(|| panic!("no such order: {other}"));
                client = Some(Client::connect(nodes));
                "ok".to_owned()
            }
        };
        println!("{answer}");
    }
    if let Some(keeper) = keeper {
        keeper.end();
    }
}

/// Who keeps corosync running, and where corosync writes.
struct Keeper {
    by: By,
    output: &'static str,
}

enum By {
    Clusmgr(Child),
    Loop {
        stop: Arc<AtomicBool>,
        pid: Arc<AtomicI32>,
        thread: thread::JoinHandle<()>,
    },
}

impl Keeper {
    fn clusmgr() -> Keeper {
        let daemon = Command::new("clusmgr")
            .args(["-f", "--stable-after", "1"])
            .stdin(Stdio::null())
            .stderr(append("/var/log/clusmgr.err"))
            .spawn()
            .unwrap();
        Keeper {
            by: By::Clusmgr(daemon),
            output: "/run/clusmgr/corosync.out",
        }
    }

    /// The bare immediate restart: a thread that waits for its child, and execs the next.
    fn bare() -> Keeper {
        let output = "/run/bare.out";
        let stop = Arc::new(AtomicBool::new(false));
        let pid = Arc::new(AtomicI32::new(0));
        let (stopped, shown) = (Arc::clone(&stop), Arc::clone(&pid));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let mut child = Command::new(COROSYNC)
                    .args(["-f", "-c", CONF])
                    .stdin(Stdio::null())
                    .stdout(append(output))
                    .stderr(append(output))
                    .spawn()
                    .unwrap();
                shown.store(i32::try_from(child.id()).unwrap(), Ordering::SeqCst);
                child.wait().unwrap();
            }
        });
        Keeper {
            by: By::Loop { stop, pid, thread },
            output,
        }
    }

    fn pid(&self) -> i32 {
        match &self.by {
            By::Clusmgr(_) => {
                let text = fs::read_to_string("/run/clusmgr/corosync.id").unwrap();
                let record: serde_json::Value = serde_json::from_str(&text).unwrap();
                i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
            }
            By::Loop { pid, .. } => pid.load(Ordering::SeqCst),
        }
    }

    /// kill -9 to the new corosync's word that this node is in a quorate ring of three, in
    /// nanoseconds; its own tool must say the same after that.
    fn kill_once(&self) -> String {
        let old = self.pid();
        let mut output = File::open(self.output).unwrap();
        output.seek(SeekFrom::End(0)).unwrap();
        let mut text = String::new();
        let killed = clock::now();
        kill(nix::unistd::Pid::from_raw(old), Signal::SIGKILL).unwrap();
        let deadline = Instant::now() + LIMIT;
        while !(text.contains("is within the primary component")
            && text.contains("[QUORUM] Members[3]:"))
        {
            assert!(Instant::now() < deadline, "no ring of three:\n{text}");
            thread::sleep(LOOK);
            output.read_to_string(&mut text).unwrap();
        }
        let took = clock::now().since(killed);
        assert_ne!(self.pid(), old, "the old corosync lives");
        wait_ring();
        took.as_nanos().to_string()
    }

    fn end(self) {
        match self.by {
            By::Clusmgr(mut daemon) => {
                let pid = i32::try_from(daemon.id()).unwrap();
                kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
                daemon.wait().unwrap();
            }
            By::Loop { stop, pid, thread } => {
                stop.store(true, Ordering::SeqCst);
                let pid = nix::unistd::Pid::from_raw(pid.load(Ordering::SeqCst));
                kill(pid, Signal::SIGTERM).unwrap();
                thread.join().unwrap();
            }
        }
    }
}

fn append(path: &str) -> File {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap()
}

/// Waits until this node is in a quorate ring of three.
fn wait_ring() -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let out = Command::new("corosync-quorumtool").arg("-s").output();
        let out = String::from_utf8_lossy(&out.unwrap().stdout).into_owned();
        let has = |line: &str| out.lines().any(|l| l == line);
        if has("Nodes:            3") && has("Quorate:          Yes") {
            return "ok".to_owned();
        }
        assert!(Instant::now() < deadline, "no quorate ring of three: {out}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Starts clusmgr as an init script does, with a syslogd that takes what it writes. It becomes a child
/// of this one when it detaches.
fn daemon() -> String {
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let (bound, is_bound) = mpsc::channel();
    thread::spawn(move || {
        let socket = UnixDatagram::bind("/dev/log").unwrap();
        bound.send(()).unwrap();
        let mut line = [0; 8192];
        while socket.recv(&mut line).is_ok() {}
    });
    is_bound.recv().unwrap();
    let status = Command::new("clusmgr").stdin(Stdio::null()).status();
    assert!(status.unwrap().success(), "clusmgr did not start");
    "ok".to_owned()
}

fn daemon_pid() -> i32 {
    let pid = clusmgr::sys::pidfile::owner(Path::new(PIDFILE));
    let Pid(pid) = pid.expect("a clusmgr runs");
    pid
}

/// `VOLUNTARY SWITCHES` of the daemon's whole life, which ends here: of all its threads, also of those
/// that had ended by any earlier look, and of the children that it has waited for.
fn life() -> String {
    let of_children = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let all = [
            usage.voluntary_context_switches(),
            usage.involuntary_context_switches(),
        ];
        all.map(|n| u64::try_from(n).unwrap())
    };
    let before = of_children();
    let pid = nix::unistd::Pid::from_raw(daemon_pid());
    // So that it does nothing more.
    kill(pid, Signal::SIGKILL).unwrap();
    nix::sys::wait::waitpid(pid, None).unwrap();
    let after = of_children();
    let voluntary = after[0] - before[0];
    format!("{voluntary} {}", voluntary + after[1] - before[1])
}

/// `ANONYMOUS_KIB SHARED_KIB MAPPED_KIB VOLUNTARY SWITCHES RUN_NS THREADS` of the daemon, the switches
/// those of the threads that there are; shared and mapped are the rings in `/dev/shm` that corosync's
/// libraries share with it.
fn usage() -> String {
    let pid = daemon_pid();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let anonymous = field(&rollup, "Anonymous:");
    let (mut shared, mut mapped, mut is_ring) = (0, 0, false);
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    for line in smaps.lines() {
        let name = line.split_ascii_whitespace().next().unwrap();
        if !name.ends_with(':') {
            is_ring = line.contains(" /dev/shm/");
        } else if is_ring && name == "Rss:" {
            shared += field(line, name);
        } else if is_ring && name == "Size:" {
            mapped += field(line, name);
        }
    }
    let (mut voluntary, mut switches, mut threads) = (0, 0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        // It may be over by now.
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else {
            continue;
        };
        voluntary += field(&status, "voluntary_ctxt_switches:");
        switches += field(&status, "nonvoluntary_ctxt_switches:");
        threads += 1;
    }
    switches += voluntary;
    // Also of the threads that have ended.
    let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(pid)).unwrap();
    let run_ns = Duration::from(nix::time::clock_gettime(clock).unwrap()).as_nanos();
    format!("{anonymous} {shared} {mapped} {voluntary} {switches} {run_ns} {threads}")
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    let number = line.split_ascii_whitespace().next().unwrap();
    number.parse().unwrap()
}

/// What [`usage`] said.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub at: Mono,
    pub anonymous_kib: u32,
    pub shared_kib: u32,
    pub mapped_kib: u32,
    pub voluntary: u32,
    pub switches: u32,
    pub run: Duration,
    pub threads: u32,
}

impl Usage {
    pub fn parse(text: &str) -> Usage {
        let numbers: Vec<u64> = text.split(' ').map(|n| n.parse().unwrap()).collect();
        let [
            anonymous,
            shared,
            mapped,
            voluntary,
            switches,
            run_ns,
            threads,
        ] = numbers[..]
        else {
            panic!("not seven numbers: {text}");
        };
        let small = |n: u64| u32::try_from(n).unwrap();
        Usage {
            at: clock::now(),
            anonymous_kib: small(anonymous),
            shared_kib: small(shared),
            mapped_kib: small(mapped),
            voluntary: small(voluntary),
            switches: small(switches),
            run: Duration::from_nanos(run_ns),
            threads: small(threads),
        }
    }
}
