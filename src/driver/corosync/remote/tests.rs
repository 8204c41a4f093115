#![allow(clippy::unwrap_used)]

use super::*;
use crate::driver::change::{Changes, Effect, Needs, Prepared, Text};
use crate::driver::corosync::change::text_of;
use crate::driver::{DriverData, Params};
use crate::paths::CorosyncPaths;
use crate::sys::ready;
use crate::types::{ConfigVersion, NodeId};
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

const KEY: [u8; 256] = [7; 256];
const OTHER: [u8; 128] = [8; 128];

struct Bed {
    dir: tempfile::TempDir,
    sys: CorosyncSys,
}

impl Bed {
    /// Nothing is there yet.
    fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let sys = Bed::sys(dir.path());
        Bed { dir, sys }
    }

    fn sys(dir: &Path) -> CorosyncSys {
        let params = Params {
            node_name: "n2".to_owned(),
            paths: CorosyncPaths {
                bin: dir.join("corosync"),
                conf: dir.join("corosync.conf"),
                authkey: dir.join("authkey"),
                pid: dir.join("pid"),
            },
            state_dir: dir.to_owned(),
            run_dir: dir.to_owned(),
            hang_timeout: None,
            poll_interval: Duration::from_secs(1),
            waker: Arc::new(Waker::new().unwrap()),
        };
        let sys = CorosyncSys::new(params).unwrap();
        sys.load_record().unwrap();
        sys.compare();
        sys.follow_remote();
        sys
    }

    /// With a configuration and a key, both of which clusmgr holds.
    fn held() -> Bed {
        let bed = Bed::new();
        bed.put("corosync.conf", conf(1, "10.0.0.1", "").as_bytes());
        bed.put("authkey", &KEY);
        bed.sys.make_ready().unwrap();
        bed.look();
        bed
    }

    /// The next clusmgr.
    fn again(self) -> Bed {
        let sys = Bed::sys(self.dir.path());
        Bed { sys, ..self }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join(name);
        let _ = fs::remove_file(&path);
        fs::write(path, bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.dir.path().join(name)).unwrap();
    }

    /// As the housekeeping does.
    fn look(&self) -> Arc<RemoteView> {
        self.sys.follow_remote();
        self.sys.remote_view()
    }
}

fn conf(version: u64, addr: &str, more: &str) -> String {
    format!(
        "totem {{\n version: 2\n cluster_name: c\n config_version: {version}\n transport: knet\n \
         crypto_cipher: aes256\n crypto_hash: sha256\n{more}}}\nnodelist {{\n node {{\n ring1_addr: 10.1.0.1\n \
         ring0_addr: {addr}\n nodeid: 1\n name: n1\n }}\n node {{\n ring0_addr: 10.0.0.2\n ring1_addr: 10.1.0.2\n \
         nodeid: 2\n name: n2\n }}\n}}\nquorum {{\n provider: corosync_votequorum\n two_node: 1\n}}\n"
    )
}

fn psk(key: &[u8]) -> Option<Psk> {
    Some(Psk::derive(key))
}

fn addr(view: &RemoteView) -> &str {
    &view.nodes[0].addrs[0]
}

fn change(old: &str, new: &str) -> Prepared {
    let text = |t: &str| text_of(Zeroizing::new(t.as_bytes().to_vec()));
    let (old, new): (Text, Text) = (text(old), text(new));
    Prepared {
        what: "apply",
        by: "a test".to_owned(),
        same: false,
        needs: Needs::Reload,
        plan: Vec::new(),
        warnings: Vec::new(),
        new,
        old: Some(old.clone()),
        back: Some(old),
        key: Some(AuthKey::from_bytes(KEY.to_vec()).unwrap().fingerprint()),
        writes_key: false,
    }
}

#[test]
fn without_a_configuration_it_has_the_key_if_there_is_one_and_nothing_else() {
    let bed = Bed::new();
    let view = bed.look();
    assert_eq!((view.generation, view.local), (0, None));
    assert!(view.nodes.is_empty() && view.psk.is_none());
    let key_alone = |wanted: Option<Psk>| {
        let view = bed.look();
        assert!(view.nodes.is_empty() && view.local.is_none());
        assert_eq!(view.psk, wanted);
    };
    bed.put("authkey", &KEY);
    key_alone(psk(&KEY));
    bed.put("authkey", b"too short");
    key_alone(None);
    bed.put("authkey", &OTHER);
    key_alone(psk(&OTHER));
    bed.put("corosync.conf", b"totem {\n");
    key_alone(psk(&OTHER));
    // A version that is no number; the key is where it says.
    let at = bed.dir.path().join("other").display().to_string();
    let bad = conf(1, "10.0.0.1", &format!(" keyfile: {at}\n"));
    let bad = bad.replace("config_version: 1", "config_version: one");
    bed.put("other", b"too short");
    bed.put("corosync.conf", bad.as_bytes());
    key_alone(None);
    bed.put("other", &KEY);
    key_alone(psk(&KEY));
    // One without crypto, which has no key.
    let open = bad.replace("crypto_cipher: aes256", "crypto_cipher: none");
    let open = open.replace("crypto_hash: sha256", "crypto_hash: none");
    assert_ne!(open, bad);
    bed.put("corosync.conf", open.as_bytes());
    key_alone(None);
    bed.remove("corosync.conf");
    key_alone(psk(&OTHER));
    bed.remove("authkey");
    key_alone(None);
}

#[test]
fn what_is_live_is_there_before_any_start_and_only_a_real_change_makes_another_one() {
    let bed = Bed::new();
    bed.put("authkey", &KEY);
    bed.put("corosync.conf", conf(1, "10.0.0.1", "").as_bytes());
    let bed = bed.again();
    let view = bed.sys.remote_view();
    assert_eq!((view.generation, view.local), (1, Some(1)));
    assert_eq!(view.psk, psk(&KEY));
    assert_eq!(
        view.nodes[0],
        RemoteNode {
            name: "n1".to_owned(),
            nodeid: Some(NodeId(1)),
            addrs: vec!["10.0.0.1".to_owned(), "10.1.0.1".to_owned()],
        }
    );
    assert_eq!(view.nodes.len(), 2);
    // The take-over writes another text over it, of the same nodes.
    bed.sys.make_ready().unwrap();
    bed.put("authkey", &KEY);
    bed.put("corosync.conf", conf(2, "10.0.0.1", "").as_bytes());
    assert!(Arc::ptr_eq(&bed.look(), &view));
    let shown = format!("{view:?} {:?}", bed.sys.remote);
    assert!(!shown.contains("7, 7"), "{shown}");
}

#[test]
fn a_look_where_nothing_changed_reads_nothing() {
    let bed = Bed::held();
    bed.look();
    let looks = bed.sys.remote.0.lock().begun;
    for _ in 0..3 {
        bed.look();
    }
    assert_eq!(bed.sys.remote.0.lock().begun, looks);
    // The time of a file is enough for a look, but not for another snapshot.
    let view = bed.look();
    bed.put("authkey", &KEY);
    assert!(Arc::ptr_eq(&bed.look(), &view));
    assert_eq!(bed.sys.remote.0.lock().begun, looks + 1);
}

#[test]
fn a_hand_edit_and_a_replaced_or_removed_key_are_followed() {
    let bed = Bed::held();
    bed.put("corosync.conf", conf(2, "10.0.0.9", "").as_bytes());
    assert_eq!(addr(&bed.look()), "10.0.0.9");
    bed.put("authkey", &OTHER);
    assert_eq!(bed.look().psk, psk(&OTHER));
    bed.remove("authkey");
    let view = bed.look();
    assert_eq!(view.psk, None);
    assert_eq!((addr(&view), view.local), ("10.0.0.9", Some(1)));
    // A start puts the key that is held back in its place.
    bed.sys.make_ready().unwrap();
    assert_eq!(bed.look().psk, psk(&KEY));
}

#[test]
fn the_version_of_a_hand_edit_is_told_as_long_as_it_is_one_and_can_be_used() {
    let bed = Bed::held();
    let ours = fs::read(bed.dir.path().join("corosync.conf")).unwrap();
    let told = || {
        bed.sys.compare();
        let config = bed.sys.config_status();
        (config.drift, config.version, config.file_version)
    };
    let one = Some(ConfigVersion(1));
    assert_eq!(told(), (false, one, None));
    bed.put("corosync.conf", conf(9, "10.0.0.1", "").as_bytes());
    assert_eq!(told(), (true, one, Some(ConfigVersion(9))));
    bed.put("corosync.conf", b"totem {\n");
    assert_eq!(told(), (true, one, None));
    // A start looks for itself.
    bed.put("corosync.conf", conf(5, "10.0.0.1", "").as_bytes());
    bed.sys.make_ready().unwrap();
    let started = bed.sys.config_status().file_version;
    assert_eq!(started, Some(ConfigVersion(5)));
    bed.put("corosync.conf", &ours);
    assert_eq!(told(), (false, one, None));
}

#[test]
fn a_live_file_that_is_no_good_or_gone_leaves_what_is_held() {
    for (restarted, text) in [
        (false, Some("totem {\n")),
        (true, Some("nonsense")),
        (false, None),
        (true, None),
    ] {
        let mut bed = Bed::held();
        match text {
            Some(text) => bed.put("corosync.conf", text.as_bytes()),
            None => bed.remove("corosync.conf"),
        }
        if restarted {
            bed = bed.again();
        }
        let view = bed.look();
        assert_eq!((addr(&view), view.local), ("10.0.0.1", Some(1)), "{text:?}");
        assert_eq!(view.psk, psk(&KEY));
        bed.put("authkey", &OTHER);
        assert_eq!(
            bed.look().psk,
            psk(&OTHER),
            "the live key, if it can be used"
        );
        bed.put("authkey", b"too short");
        assert_eq!(bed.look().psk, psk(&KEY), "{text:?}");
        bed.remove("authkey");
        assert_eq!(bed.look().psk, psk(&KEY), "{text:?}");
    }
}

#[test]
fn a_live_key_that_is_no_good_leaves_the_one_that_is_held() {
    let bed = Bed::held();
    let view = bed.look();
    bed.put("authkey", b"too short");
    assert!(Arc::ptr_eq(&bed.look(), &view));
}

#[test]
fn the_key_is_where_the_configuration_says() {
    let bed = Bed::held();
    let at = bed.dir.path().join("other").display().to_string();
    bed.put("other", &OTHER);
    bed.put(
        "corosync.conf",
        conf(2, "10.0.0.1", &format!(" keyfile: {at}\n")).as_bytes(),
    );
    assert_eq!(bed.look().psk, psk(&OTHER));
    // And from then on that one is followed.
    bed.put("other", &KEY);
    assert_eq!(bed.look().psk, psk(&KEY));

    let inside = "k".repeat(200);
    bed.put(
        "corosync.conf",
        conf(3, "10.0.0.1", &format!(" key: {inside}\n")).as_bytes(),
    );
    let as_corosync_has_it = format!("{inside}\0");
    assert_eq!(bed.look().psk, psk(as_corosync_has_it.as_bytes()));

    let none = conf(4, "10.0.0.1", "")
        .replace("aes256", "none")
        .replace("sha256", "none");
    bed.put("corosync.conf", none.as_bytes());
    assert_eq!(bed.look().psk, None);
}

#[test]
fn a_change_and_its_undoing_are_followed_at_once() {
    let bed = Bed::held();
    let live = fs::read_to_string(bed.dir.path().join("corosync.conf")).unwrap();
    let new = live
        .replace("10.0.0.1", "10.0.0.9")
        .replace("config_version: 1", "config_version: 2");
    let change = change(&live, &new);
    let now = || addr(&bed.sys.remote_view()).to_owned();
    bed.sys.change_write(&change).unwrap();
    assert_eq!(now(), "10.0.0.9");
    bed.sys.change_undo(&change).unwrap();
    assert_eq!(now(), "10.0.0.1");
    bed.sys.change_undone(&change, Needs::Reload, "a test");
    bed.sys.change_over(false);
    bed.sys.change_write(&change).unwrap();
    let effect = Effect::By(Needs::Reload);
    bed.sys.change_keep(&change, effect).unwrap();
    bed.sys.change_over(false);
    assert_eq!(now(), "10.0.0.9");
    // What is held now.
    bed.remove("corosync.conf");
    assert_eq!(addr(&bed.look()), "10.0.0.9");
    let version = bed.sys.corosync_config_mtx.lock().version;
    assert_eq!(version, Some(ConfigVersion(2)));
}

#[test]
fn who_waits_is_woken_by_another_one_and_forgotten_when_he_is_gone() {
    let bed = Bed::held();
    let woken = |w: &Waker| {
        let wanted = [(w.as_fd(), ready::Want::Read)];
        let [got] = ready::wait(wanted, Some(std::time::Instant::now())).unwrap();
        w.clear();
        got.ready
    };
    let waker = Arc::new(Waker::new().unwrap());
    bed.sys.wake_for_remote(&waker);
    bed.put("authkey", &KEY);
    bed.look();
    assert!(!woken(&waker), "nothing changed");
    bed.put("authkey", &OTHER);
    bed.look();
    assert!(woken(&waker));
    bed.look();
    assert!(!woken(&waker));
    for _ in 0..100 {
        bed.sys.wake_for_remote(&Arc::new(Waker::new().unwrap()));
    }
    assert!(bed.sys.remote.0.lock().wakers.len() <= 2);
    bed.put("authkey", &KEY);
    bed.look();
    assert_eq!(bed.sys.remote.0.lock().wakers.len(), 1);
    assert!(woken(&waker));
}

#[test]
fn a_node_without_a_name_is_called_by_its_number() {
    let text =
        "nodelist {\n node {\n nodeid: 7\n ring0_addr: a\n }\n node {\n ring0_addr: b\n }\n}\n";
    let nodes = parse::parse(text.as_bytes()).unwrap().nodes();
    let named: Vec<_> = nodes.into_iter().map(remote_node).collect();
    assert_eq!((named[0].name.as_str(), named[1].name.as_str()), ("7", ""));
}
