//! A second driver in the table, run by the manager: what the monitor asks of any driver, and when.

#![allow(clippy::unwrap_used)]

use clusmgr::driver::change::{
    Changes, Effect, Needs, Prepared, Request, Runs, Text, Unfinished, What,
};
use clusmgr::driver::table::find_in;
use clusmgr::driver::{
    Check, Driver, DriverData, DriverOps, Ended, Hang, How, Params, Run, Service, StartError,
    StartFailure,
};
use clusmgr::error::{Error, Result};
use clusmgr::event::{EvtQueue, Hub, Kind, Note, Severity};
use clusmgr::journal::Journal;
use clusmgr::mgr::monitor::Monitor;
use clusmgr::mgr::state::Hold;
use clusmgr::mgr::state::Input;
use clusmgr::mgr::{Command, Kept, Manager, publish};
use clusmgr::noise::Psk;
use clusmgr::paths::{CorosyncPaths, LAYOUTS};
use clusmgr::peer::compare::{Asked, Peer};
use clusmgr::peer::watch::Ask;
use clusmgr::policy::Policy;
use clusmgr::remote::{RemoteNode, RemoteView};
use clusmgr::sys::clock;
use clusmgr::sys::wake::Waker;
use clusmgr::types::{ConfigVersion, Mono, NodeId, Pid, WallMs};
use clusmgr::wire::{
    CheckReport, ConfigStatus, DegradedItem, DiffReport, HistoryPage, KeyStatus, LastExit, Mode,
    PeerReport, Reason, ServiceState, Status, Unreachable,
};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the test says the process does, and what the monitor has asked for.
struct Script {
    asked: Vec<&'static str>,
    check: Check,
    changed: bool,
    fail: Option<StartFailure>,
    obeys_term: bool,
    needs: Needs,
    /// Steps of a change that fail, each once.
    fails: Vec<&'static str>,
    /// A start is ready at once.
    eager: bool,
    /// Each start has another pid.
    new_pids: bool,
    /// There is another node in the configuration, and a key.
    peers: bool,
    /// A corosync runs already.
    runs: bool,
    pid: i32,
}

/// One script for each test: the table's `init` is a plain function and can carry nothing along.
static SCRIPTS: OnceLock<Mutex<Scripts>> = OnceLock::new();
type Scripts = Vec<(String, Arc<Mutex<Script>>)>;

fn script_of(node: &str) -> Arc<Mutex<Script>> {
    let mut all = SCRIPTS.get_or_init(Mutex::default).lock().unwrap();
    if let Some((_, s)) = all.iter().find(|(n, _)| n == node) {
        return Arc::clone(s);
    }
    let new = Arc::new(Mutex::new(Script {
        asked: Vec::new(),
        check: Check::default(),
        changed: false,
        fail: None,
        obeys_term: true,
        needs: Needs::Reload,
        fails: Vec::new(),
        eager: false,
        new_pids: false,
        peers: false,
        runs: false,
        pid: 4711,
    }));
    all.push((node.to_owned(), Arc::clone(&new)));
    new
}

struct Data {
    internal: EvtQueue,
    public: EvtQueue,
    script: Arc<Mutex<Script>>,
    waker: Arc<Waker>,
}

impl DriverData for Data {
    fn evt_internal_queue(&self) -> &EvtQueue {
        &self.internal
    }
    fn evt_public_queue(&self) -> &EvtQueue {
        &self.public
    }
    fn nodeid(&self) -> Option<NodeId> {
        Some(NodeId(7))
    }
    fn remote(&self) -> Arc<RemoteView> {
        let node = |id| RemoteNode {
            name: format!("n{id}"),
            nodeid: Some(NodeId(id)),
            addrs: Vec::new(),
        };
        let there = self.script.lock().unwrap().peers;
        Arc::new(RemoteView {
            generation: 1,
            psk: there.then(|| Psk::derive(b"a key")),
            nodes: vec![node(7), node(8)],
            local: Some(0),
        })
    }
    fn config_status(&self) -> ConfigStatus {
        ConfigStatus::default()
    }
    fn key_status(&self) -> KeyStatus {
        KeyStatus::default()
    }
    fn degraded(&self) -> Vec<DegradedItem> {
        Vec::new()
    }
    fn config_show(&self) -> Result<(String, String)> {
        Ok(("text".into(), "place".into()))
    }
    fn config_check(&self) -> Result<CheckReport> {
        Err(Error::new("check", "", "not here"))
    }
    fn config_diff(&self, _text: Option<&[u8]>) -> Result<DiffReport> {
        Err(Error::new("compare", "", "not here"))
    }
    fn config_history(&self) -> Result<HistoryPage> {
        Err(Error::new("read", "", "not here"))
    }
    fn key_fingerprint(&self) -> Result<String> {
        Ok("ff".into())
    }
}

impl Data {
    fn did(&self, what: &'static str) -> Result<()> {
        let mut s = self.script.lock().unwrap();
        s.asked.push(what);
        match s.fails.iter().position(|f| *f == what) {
            Some(at) => {
                s.fails.remove(at);
                Err(Error::new("do", what, "told to fail"))
            }
            None => Ok(()),
        }
    }
}

fn text(version: u64) -> Text {
    Text {
        bytes: vec![u8::try_from(version).unwrap()].into(),
        sha256: format!("{version:064}"),
        version: ConfigVersion(version),
    }
}

impl Changes for Data {
    fn change_prepare(
        &self,
        request: &Request,
        _runs: Runs,
        _others: Option<ConfigVersion>,
    ) -> Result<Prepared> {
        self.did("prepare")?;
        Ok(Prepared {
            what: request.what.as_str(),
            by: request.by.clone(),
            same: false,
            needs: self.script.lock().unwrap().needs,
            plan: vec!["a: 1 → 2".into()],
            warnings: Vec::new(),
            new: text(2),
            old: Some(text(1)),
            back: Some(text(1)),
            key: None,
            writes_key: false,
        })
    }
    fn change_write(&self, _change: &Prepared) -> Result<()> {
        self.did("write")
    }
    fn change_reload(&self, _change: &Prepared) -> Result<()> {
        self.did("reload")
    }
    fn change_restart(&self, _change: &Prepared) -> Result<()> {
        self.script.lock().unwrap().check.need_restart = true;
        self.waker.wake();
        Ok(())
    }
    fn change_prove(&self, _change: &Prepared, undone: bool) -> Result<()> {
        self.did(if undone { "prove old" } else { "prove" })
    }
    fn change_keep(&self, _change: &Prepared, _how: Effect) -> Result<()> {
        self.did("keep")?;
        self.internal
            .push(Note::new(Kind::ConfigChanged, Severity::Notice, "kept"));
        Ok(())
    }
    fn change_undo(&self, _change: &Prepared) -> Result<Option<String>> {
        self.did("undo").map(|()| None)
    }
    fn change_undone(&self, _change: &Prepared, _how: Needs, _why: &str) {
        self.script.lock().unwrap().asked.push("undone");
    }
    fn change_over(&self, _proved: bool) {}

    fn change_may_restart(&self, _change: &Prepared) -> Result<()> {
        Ok(())
    }
    fn change_is_out(&self, _change: &Prepared) -> bool {
        false
    }

    fn change_unfinished(&self) -> Option<Unfinished> {
        self.script.lock().unwrap().asked.push("unfinished");
        None
    }
}

struct Proc(Arc<Mutex<Script>>);

impl Service for Proc {
    fn adopt_service(&mut self) -> Result<Option<Run>> {
        let mut s = self.0.lock().unwrap();
        s.asked.push("adopt");
        Ok(s.runs.then(|| Run {
            pid: Pid(s.pid),
            since: clock::now(),
        }))
    }
    fn start_service(&mut self) -> std::result::Result<Run, StartError> {
        let mut s = self.0.lock().unwrap();
        s.asked.push("start");
        s.check.ready = s.eager;
        if s.new_pids {
            s.pid += 1;
        }
        match s.fail {
            Some(f) => Err(StartError::Failed(
                f,
                Error::new("start", "it", "told to fail"),
            )),
            None => Ok(Run {
                pid: Pid(s.pid),
                since: clock::now(),
            }),
        }
    }
    fn stop_service(&mut self, how: How) -> Result<()> {
        let mut s = self.0.lock().unwrap();
        s.asked.push(if how == How::Term { "term" } else { "kill" });
        if how == How::Kill || s.obeys_term {
            s.check.ended = Some(ended("exit 0", false));
        }
        Ok(())
    }
    fn check_service(&mut self, _now: Mono) -> Check {
        std::mem::take(&mut self.0.lock().unwrap().check)
    }
    fn check_misc(&mut self, _now: Mono) -> bool {
        let mut s = self.0.lock().unwrap();
        s.asked.push("misc");
        std::mem::take(&mut s.changed)
    }
    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
}

fn ended(cause: &str, permanent: bool) -> Ended {
    let exit = LastExit {
        cause: cause.into(),
        code: Some(0),
        signal: None,
        at: WallMs::now(),
        ran_ms: 1,
        hung: false,
        output: vec!["last words".into()],
    };
    Ended { exit, permanent }
}

#[allow(clippy::needless_pass_by_value)] // the table's type
fn init(params: Params) -> Result<Driver> {
    let data = Arc::new(Data {
        internal: EvtQueue::new(16),
        public: EvtQueue::new(64),
        script: script_of(&params.node_name),
        waker: Arc::clone(&params.waker),
    });
    Ok(Driver {
        watcher: None,
        service: Box::new(Proc(script_of(&params.node_name))),
        data,
    })
}

static TABLE: [DriverOps; 2] = [
    DriverOps {
        name: "first",
        about: "",
        init: |_| Err(Error::new("init", "first", "unused")),
        test: |_| Vec::new(),
    },
    DriverOps {
        name: "second",
        about: "",
        init,
        test: |_| Vec::new(),
    },
];

struct Bed {
    manager: Arc<Manager>,
    script: Arc<Mutex<Script>>,
    data: Arc<dyn DriverData>,
    waker: Arc<Waker>,
    monitor: Option<JoinHandle<()>>,
    events: Option<JoinHandle<()>>,
    dir: tempfile::TempDir,
}

/// Asks the other node, which answers after so long, or not by the deadline.
struct Asker(Duration);

impl Ask for Asker {
    fn ask_all(&mut self, deadline: Instant) -> Vec<Asked> {
        let until = (Instant::now() + self.0).min(deadline);
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        let heard = match until < deadline {
            true => Ok((report(8), "an address".to_owned())),
            false => Err((Unreachable::TimedOut, "no answer".to_owned())),
        };
        let peer = Peer {
            name: "n8".into(),
            nodeid: Some(NodeId(8)),
        };
        vec![Asked { peer, heard }]
    }
}

/// Another node, which has a key; this one says that it has none.
fn report(id: u32) -> PeerReport {
    PeerReport {
        node: format!("n{id}"),
        nodeid: Some(NodeId(id)),
        config_version: Some(ConfigVersion(3)),
        sha256: None,
        running_version: None,
        fingerprint: None,
        state: ServiceState::Running,
        quorate: true,
        members: vec![NodeId(8)],
        isolated: false,
        drift: false,
        file_version: None,
        claiming: false,
        restarting: false,
    }
}

impl Bed {
    fn new(node: &str, policy: Policy) -> Bed {
        Bed::among(node, policy, None)
    }

    fn among(node: &str, policy: Policy, asker: Option<Asker>) -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let waker = Arc::new(Waker::new().unwrap());
        let op = find_in(&TABLE, "second").unwrap();
        let params = Params {
            node_name: node.into(),
            paths: CorosyncPaths::from(&LAYOUTS[0]),
            state_dir: dir.path().into(),
            run_dir: dir.path().into(),
            hang_timeout: None,
            poll_interval: Duration::from_millis(20),
            waker: Arc::clone(&waker),
        };
        let driver = (op.init)(params).unwrap();
        let (journal, _) = Journal::open(dir.path(), "boot").unwrap();
        let hub = Arc::new(Hub::new(64, 0));
        let data = Arc::clone(&driver.data);
        let manager = Arc::new(Manager::new(
            op,
            Arc::clone(&data),
            node.into(),
            Arc::clone(&waker),
            Arc::clone(&hub),
            journal.reader(),
        ));
        let events = publish::start(Arc::clone(&data), journal, hub, |_| ()).unwrap();
        if let Some(asker) = asker {
            manager.watch_peers(Box::new(asker)).unwrap();
        }
        let monitor = Monitor {
            manager: Arc::clone(&manager),
            service: driver.service,
            data: driver.data,
            waker: Arc::clone(&waker),
            policy,
            interval: Duration::from_millis(20),
            state_dir: dir.path().into(),
            kept: Kept::default(),
            hold: None,
            boot: "a boot".into(),
            keep: Box::new(|| ()),
        };
        let monitor = Some(monitor.start().unwrap());
        Bed {
            manager,
            script: script_of(node),
            data,
            waker,
            monitor,
            events: Some(events),
            dir,
        }
    }

    fn say(&self, tell: impl FnOnce(&mut Script)) {
        tell(&mut self.script.lock().unwrap());
        self.waker.wake();
    }

    #[track_caller]
    fn wait(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = self.manager.status();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "not in time: {what}: {status:?}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn kinds(&self) -> Vec<String> {
        let page = self.manager.journal().read_since(0, 1000);
        let kind = |l: &String| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["kind"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        page.lines.iter().map(kind).collect()
    }

    fn asked(&self) -> Vec<&'static str> {
        let mut asked = self.script.lock().unwrap().asked.clone();
        // While held, the monitor looks once a period for one that somebody else has started.
        let mut looked = false;
        asked.retain(|a| *a != "misc" && (*a != "adopt" || !std::mem::replace(&mut looked, true)));
        asked
    }

    fn end(mut self) -> (Vec<String>, Vec<&'static str>) {
        self.manager.tell(Input::Shutdown, "the test");
        assert!(
            self.manager
                .wait_ended(Instant::now() + Duration::from_secs(20))
        );
        self.monitor.take().unwrap().join().unwrap();
        self.manager.end_peers();
        self.data.evt_public_queue().close();
        self.events.take().unwrap().join().unwrap();
        assert!(self.dir.path().exists());
        (self.kinds(), self.asked())
    }
}

#[test]
fn on_an_error_of_the_check_the_monitor_stops_and_starts_and_it_calls_check_misc_each_period() {
    let bed = Bed::new(
        "a",
        Policy {
            stable_after: Duration::ZERO,
            ..Policy::default()
        },
    );
    bed.wait("started", |s| s.service.state == ServiceState::Starting);
    bed.say(|s| s.check.ready = true);
    let s = bed.wait("running", |s| s.service.state == ServiceState::Running);
    assert_eq!(
        (s.driver.as_str(), s.node.nodeid, s.service.pid),
        ("second", Some(NodeId(7)), Some(Pid(4711)))
    );

    // It hangs: killed, and started again.
    bed.say(|s| s.check.hung = Some(Hang::Stopped(Duration::from_secs(9))));
    bed.wait("started again", |s| {
        s.service.restarts == 1 && s.service.state == ServiceState::Starting
    });
    // It needs a restart: stopped with SIGTERM, and started again; that is no death.
    bed.say(|s| s.check.ready = true);
    bed.wait("running", |s| s.service.state == ServiceState::Running);
    bed.say(|s| s.check.need_restart = true);
    bed.wait("restarted", |s| s.service.state == ServiceState::Starting);
    let misc = |b: &Bed| {
        b.script
            .lock()
            .unwrap()
            .asked
            .iter()
            .filter(|a| **a == "misc")
            .count()
    };
    let before = misc(&bed);
    let deadline = Instant::now() + Duration::from_secs(20);
    while misc(&bed) < before + 3 {
        assert!(Instant::now() < deadline, "check_misc is not called");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let (kinds, asked) = bed.end();
    assert_eq!(
        asked,
        ["adopt", "start", "kill", "start", "term", "start", "term"]
    );
    for kind in [
        "service.hung",
        "service.exited",
        "service.stopped",
        "service.ready",
    ] {
        assert!(
            kinds.iter().any(|k| k == kind),
            "{kind} is not in {kinds:?}"
        );
    }
}

#[test]
fn a_permanent_end_leads_to_standalone_and_a_change_leads_out_of_it_at_once() {
    let bed = Bed::new("b", Policy::default());
    bed.wait("started", |s| s.service.state == ServiceState::Starting);
    bed.say(|s| s.check.ended = Some(ended("exit 8", true)));
    let s = bed.wait("failed", |s| s.service.state == ServiceState::Failed);
    assert_eq!(
        (s.mode, s.mode_reason),
        (Mode::Standalone, Some(Reason::BadConfig))
    );
    assert_eq!(s.mode_detail.as_deref(), Some("exit 8: last words"));
    assert!(s.service.next_retry_ms.is_some_and(|ms| ms > 20_000));
    bed.say(|s| s.changed = true);
    let s = bed.wait("started", |s| s.service.state == ServiceState::Starting);
    assert_eq!((s.mode, s.mode_reason), (Mode::Cluster, None));
    bed.end();
}

#[test]
fn without_a_binary_or_a_configuration_the_reason_says_so() {
    for (node, failure, reason) in [
        ("c", StartFailure::NoBinary, Reason::NoBinary),
        ("d", StartFailure::BadConfig, Reason::BadConfig),
        ("e", StartFailure::Unconfigured, Reason::Unconfigured),
    ] {
        script_of(node).lock().unwrap().fail = Some(failure);
        let bed = Bed::new(node, Policy::default());
        let s = bed.wait("standalone", |s| {
            s.mode_reason == Some(reason) && s.mode_detail.is_some()
        });
        assert_eq!(s.mode_detail.as_deref(), Some("start it: told to fail"));
        let e = bed
            .manager
            .command(
                Command::Start(Hold::Kept),
                "the test",
                Duration::from_secs(20),
            )
            .unwrap_err();
        assert!(e.to_string().contains(reason.as_str()), "{e}");
        bed.end();
    }
}

#[test]
fn a_stop_is_obeyed_kept_and_killed_where_it_must_be() {
    let bed = Bed::new(
        "f",
        Policy {
            stop_timeout: Duration::from_millis(50),
            ..Policy::default()
        },
    );
    bed.wait("started", |s| s.service.state == ServiceState::Starting);
    bed.say(|s| s.obeys_term = false);
    bed.manager
        .command(
            Command::Stop(Hold::Kept),
            "the test",
            Duration::from_secs(20),
        )
        .unwrap();
    let s = bed.manager.status();
    assert_eq!(
        (s.service.state, s.mode_reason, s.service.hold),
        (ServiceState::Stopped, Some(Reason::Held), true)
    );
    let kept = std::fs::read_to_string(bed.dir.path().join("manager.json")).unwrap();
    assert!(kept.contains("\"hold\": true"), "{kept}");
    bed.say(|s| s.obeys_term = true);
    let (kinds, asked) = bed.end();
    assert_eq!(asked, ["adopt", "start", "term", "kill"]);
    assert!(
        kinds.contains(&"hold.set".to_owned()) && kinds.contains(&"service.killed".to_owned()),
        "{kinds:?}"
    );
}

/// A bed whose corosync runs, and what a change asks of its driver.
fn running(node: &str, needs: Needs) -> Bed {
    let script = script_of(node);
    {
        let mut s = script.lock().unwrap();
        s.needs = needs;
        s.eager = true;
    }
    let bed = Bed::new(node, Policy::default());
    bed.wait("running", |s| s.service.state == ServiceState::Running);
    script.lock().unwrap().asked.clear();
    bed
}

fn apply() -> Request {
    Request {
        what: What::Apply(vec![2].into()),
        this_node_only: false,
        by: "the test".into(),
    }
}

#[test]
fn a_change_by_reload_is_written_reloaded_proved_and_kept() {
    let bed = running("h", Needs::Reload);
    let report = bed.manager.change(&apply(), true).unwrap();
    assert!(!report.done, "a dry run does nothing");
    let report = bed.manager.change(&apply(), false).unwrap();
    assert_eq!(
        (report.done, report.how.as_str(), report.version.0),
        (true, "reload", 2)
    );
    assert_eq!(
        bed.asked(),
        ["prepare", "prepare", "write", "reload", "prove", "keep"]
    );
    bed.end();
}

#[test]
fn a_change_by_restart_goes_by_way_of_the_monitor() {
    let bed = running("i", Needs::Restart);
    // The scripted process has one pid for all runs; what matters here is who is asked for what.
    bed.say(|s| s.new_pids = true);
    let report = bed.manager.change(&apply(), false).unwrap();
    assert_eq!((report.done, report.how.as_str()), (true, "restart"));
    assert_eq!(
        bed.asked(),
        ["prepare", "write", "term", "start", "prove", "keep"]
    );
    bed.end();
}

#[test]
fn whatever_fails_the_old_configuration_is_back_and_proved() {
    for (node, fails, asked) in [
        (
            "j",
            vec!["reload"],
            vec![
                "prepare",
                "write",
                "reload",
                "undo",
                "reload",
                "prove old",
                "undone",
            ],
        ),
        (
            "k",
            vec!["prove"],
            vec![
                "prepare",
                "write",
                "reload",
                "prove",
                "undo",
                "reload",
                "prove old",
                "undone",
            ],
        ),
        (
            "l",
            vec!["keep"],
            vec![
                "prepare",
                "write",
                "reload",
                "prove",
                "keep",
                "undo",
                "reload",
                "prove old",
                "undone",
            ],
        ),
    ] {
        let bed = running(node, Needs::Reload);
        bed.say(|s| s.fails = fails.clone());
        let e = bed.manager.change(&apply(), false).unwrap_err().to_string();
        assert!(e.contains(&format!("do {}: told to fail", fails[0])), "{e}");
        assert!(
            e.ends_with("the old configuration is back, and proved"),
            "{e}"
        );
        assert_eq!(bed.asked(), asked);
        bed.end();
    }
    // Where the way back fails too, the error says that.
    let bed = running("m", Needs::Reload);
    bed.say(|s| s.fails = vec!["prove", "prove old"]);
    let e = bed.manager.change(&apply(), false).unwrap_err().to_string();
    assert!(e.contains("not proved: do prove old: told to fail"), "{e}");
    bed.end();
    // What cannot be written, or is refused, touches nothing.
    for (node, step) in [("n", "prepare"), ("o", "write")] {
        let bed = running(node, Needs::Reload);
        bed.say(|s| s.fails = vec![step]);
        let e = bed.manager.change(&apply(), false).unwrap_err().to_string();
        assert!(e.contains("told to fail"), "{e}");
        assert_eq!(bed.asked().last(), Some(&step));
        bed.end();
    }
}

#[test]
fn a_second_change_during_the_first_is_refused() {
    let bed = running("p", Needs::Reload);
    let gate = Arc::clone(&bed.script);
    // The first stands in its second step while this lock is held.
    let held = gate.lock().unwrap();
    let manager = Arc::clone(&bed.manager);
    let first = std::thread::spawn(move || manager.change(&apply(), false));
    let deadline = Instant::now() + Duration::from_secs(20);
    let refused = loop {
        // The turn is taken before the driver is asked anything.
        if bed.manager.is_changing() {
            break bed.manager.change(&apply(), false).unwrap_err();
        }
        assert!(Instant::now() < deadline, "the first change does not begin");
        std::thread::park_timeout(Duration::from_millis(1));
    };
    assert_eq!(refused.of_kind(), clusmgr::error::Kind::Busy);
    assert!(
        refused.to_string().contains("apply by the test"),
        "{refused}"
    );
    drop(held);
    assert!(first.join().unwrap().unwrap().done);
    bed.end();
}

#[test]
fn no_change_begins_before_what_the_last_clusmgr_left_is_settled() {
    let bed = running("early", Needs::Reload);
    bed.manager.expect_unfinished();
    let manager = Arc::clone(&bed.manager);
    let change = std::thread::spawn(move || manager.change(&apply(), false));
    // It has time to come first.
    let deadline = Instant::now() + Duration::from_millis(300);
    while Instant::now() < deadline {
        assert!(!bed.asked().contains(&"prepare") && !change.is_finished());
        std::thread::park_timeout(Duration::from_millis(5));
    }
    bed.manager.finish_unfinished();
    let report = change.join().unwrap();
    let asked = bed.asked();
    let at = |what: &str| asked.iter().position(|a| *a == what);
    assert!(
        at("unfinished").is_some() && at("unfinished") < at("prepare"),
        "{asked:?}"
    );
    assert!(report.unwrap().done);
    bed.end();
}

#[test]
fn what_the_driver_says_comes_out_in_its_order() {
    let bed = running("g", Needs::Reload);
    bed.manager.change(&apply(), false).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !bed.kinds().contains(&"config.changed".to_owned()) {
        assert!(Instant::now() < deadline, "{:?}", bed.kinds());
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let (kinds, _) = bed.end();
    let place = |k: &str| {
        kinds
            .iter()
            .position(|x| x == k)
            .unwrap_or_else(|| unreachable!("{k} in {kinds:?}"))
    };
    assert!(place("service.starting") < place("config.changed"));
    assert!(place("config.changed") < place("service.stopping"));
}

/// A bed whose node has a peer that answers after so long, and when that was begun.
fn with_peer(node: &str, answers: Duration, tell: impl FnOnce(&mut Script)) -> (Bed, Instant) {
    let script = script_of(node);
    let mut s = script.lock().unwrap();
    s.peers = true;
    tell(&mut s);
    drop(s);
    let began = Instant::now();
    (
        Bed::among(node, Policy::default(), Some(Asker(answers))),
        began,
    )
}

/// When corosync was started.
#[track_caller]
fn started(bed: &Bed, began: Instant) -> Duration {
    bed.wait("started", |s| s.service.state == ServiceState::Starting);
    began.elapsed()
}

const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn the_first_start_comes_after_the_peers_were_asked_and_shows_what_it_waits_for() {
    let (bed, began) = with_peer("first-a", Duration::from_millis(300), |_| ());
    assert!(
        bed.manager
            .wait_begun(Instant::now() + Duration::from_secs(20))
    );
    let s = bed.manager.status();
    assert_eq!(s.mode, Mode::Cluster, "{s:?}");
    assert_eq!(s.service.state, ServiceState::Backoff);
    assert!(
        s.service.next_retry_ms.is_some_and(|ms| ms <= 1000),
        "{s:?}"
    );
    assert!(
        began.elapsed() < Duration::from_millis(300),
        "nothing else waits"
    );
    let took = started(&bed, began);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    let peers = bed.manager.status().peers;
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].config_version, Some(ConfigVersion(3)));
    assert_eq!(peers[0].unreachable, None);
    let (kinds, asked) = bed.end();
    assert_eq!(asked[..2], ["adopt", "start"]);
    assert!(!kinds.contains(&"service.retry".to_owned()), "{kinds:?}");
}

#[test]
fn peers_that_do_not_answer_delay_the_first_start_by_less_than_a_second_and_no_other() {
    let (bed, began) = with_peer("first-b", NEVER, |s| s.eager = true);
    bed.wait("runs", |s| s.service.state == ServiceState::Running);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(650), "{took:?}");
    let restarted = Instant::now();
    bed.say(|s| s.check.need_restart = true);
    bed.wait("stops", |s| s.service.state != ServiceState::Running);
    bed.wait("runs", |s| s.service.state == ServiceState::Running);
    assert!(restarted.elapsed() < Duration::from_millis(900));
    bed.end();
}

#[test]
fn orders_of_another_node_are_told_ten_times_a_minute_and_only_those_that_are_taken() {
    let (bed, _) = with_peer("told", Duration::ZERO, |s| s.eager = true);
    bed.wait("runs", |s| s.service.state == ServiceState::Running);
    let address = "10.0.0.8".parse().unwrap();
    let ask = |command, wait| {
        let peer = ("n8", address);
        bed.manager
            .command_of_peer(command, "node n8 (10.0.0.8)", wait, peer)
    };
    // It is no quorate member, so that its turn in a round never comes; and it is told so at once.
    let e = ask(Command::RestartInTurn, Duration::from_secs(5)).unwrap_err();
    assert_eq!(clusmgr::wire::WireError::from(&e).code, "busy", "{e}");
    assert!(e.to_string().contains("no quorate member"), "{e}");
    assert!(!bed.manager.report().claiming && !bed.manager.report().restarting);
    for _ in 0..30 {
        ask(Command::Start(Hold::Kept), Duration::ZERO).unwrap();
    }
    ask(Command::Restart, Duration::from_secs(20)).unwrap();
    let (kinds, asked) = bed.end();
    let told = kinds.iter().filter(|k| *k == "peer.asked").count();
    assert_eq!(told, 11, "ten starts and a restart: {kinds:?}");
    assert_eq!(
        asked.iter().filter(|a| **a == "start").count(),
        2,
        "{asked:?}"
    );
}

#[test]
fn an_order_that_comes_before_the_first_start_is_obeyed_at_once() {
    let (bed, began) = with_peer("first-c", NEVER, |s| s.eager = true);
    let none = Duration::ZERO;
    bed.manager
        .command(Command::Start(Hold::Kept), "me", none)
        .unwrap();
    bed.wait("runs", |s| s.service.state == ServiceState::Running);
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    let (_, asked) = bed.end();
    assert_eq!(asked.iter().filter(|a| **a == "start").count(), 1);

    let (bed, _) = with_peer("first-d", NEVER, |_| ());
    let wait = Duration::from_millis(900);
    bed.manager
        .command(Command::Stop(Hold::Kept), "me", wait)
        .unwrap();
    let s = bed.manager.status();
    assert_eq!(s.mode_reason, Some(Reason::Held));
    // Longer than the first start would have waited.
    let end = Instant::now() + Duration::from_millis(1200);
    while Instant::now() < end {
        assert!(!bed.asked().contains(&"start"), "{:?}", bed.asked());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    bed.end();

    let (bed, _) = with_peer("first-e", NEVER, |_| ());
    bed.manager.tell(Input::Leave, "a signal");
    assert!(
        bed.manager
            .wait_ended(Instant::now() + Duration::from_millis(900))
    );
    let (_, asked) = bed.end();
    assert!(!asked.contains(&"start"), "{asked:?}");
}

#[test]
fn without_a_key_or_with_a_corosync_that_runs_nobody_is_waited_for() {
    let (bed, began) = with_peer("first-f", NEVER, |s| s.peers = false);
    let took = started(&bed, began);
    assert!(took < Duration::from_millis(900), "{took:?}");
    bed.end();
    let (bed, began) = with_peer("first-g", NEVER, |s| s.runs = true);
    bed.wait("adopted", |s| s.service.adopted);
    assert!(began.elapsed() < Duration::from_millis(900));
    bed.end();
}
