//! Both maps of a running corosync.

use crate::libraries;
use clusmgr::sys::corosync::cmap::{Change, Cmap, Map, Track, Value};
use clusmgr::sys::corosync::{CsError, Libraries};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub fn all() {
    let libraries = libraries();
    one_call(&libraries);
    let map = Cmap::open(&libraries, Map::Config).unwrap();
    each_type(&map);
    each_length(&map);
    bad_keys(&map);
    lists(&map);
    tracks(&libraries, &map);
    descriptors(&libraries);
    statistics(&libraries);
}

pub fn one_call(libraries: &Arc<Libraries>) {
    let map = Cmap::open(libraries, Map::Config).unwrap();
    let version = map.get("totem.version").unwrap().unwrap();
    assert_eq!(version.text(), "2");
}

/// Waits until a descriptor is readable.
pub fn readable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(limit).unwrap();
    poll(&mut fds, limit).unwrap() > 0
}

/// What corosync's own tool prints behind the `=`.
fn tool(key: &str) -> String {
    let ran = Command::new("corosync-cmapctl")
        .args(["-g", key])
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    let (_, value) = out.split_once(" = ").unwrap_or_else(|| panic!("{ran:?}"));
    value.strip_suffix('\n').unwrap().to_owned()
}

fn each_type(map: &Cmap) {
    assert_eq!(map.get("test.none").unwrap(), None);
    for (i, value) in [
        Value::I8(-128),
        Value::U8(200),
        Value::I16(-30_000),
        Value::U16(60_000),
        Value::I32(i32::MIN),
        Value::U32(u32::MAX),
        Value::I64(i64::MIN),
        Value::U64(u64::MAX),
        Value::F32(1.25),
        Value::F64(-1234.5678),
        Value::Text("two words".into()),
        Value::Bytes(vec![0, 255, 10]),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("test.type{i}");
        map.set(&key, &value).unwrap();
        assert_eq!(map.get(&key).unwrap().as_ref(), Some(&value));
        if !matches!(value, Value::Bytes(_)) {
            assert_eq!(value.text(), tool(&key), "{key}");
        }
        // The same key with another type.
        map.set(&key, &Value::U8(1)).unwrap();
        assert_eq!(map.get(&key).unwrap(), Some(Value::U8(1)));
    }
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        map.set("test.odd", &Value::F32(odd)).unwrap();
        let got = map.get("test.odd").unwrap().unwrap();
        assert_eq!(got.text(), tool("test.odd"));
    }
}

fn each_length(map: &Cmap) {
    for len in [0, 1, 16, 255, 1023, 1024, 1025, 4096, 16_000] {
        let text = Value::Text("x".repeat(len));
        map.set("test.text", &text).unwrap();
        assert_eq!(map.get("test.text").unwrap(), Some(text), "{len}");
        let bytes = Value::Bytes(vec![7; len]);
        map.set("test.bytes", &bytes).unwrap();
        assert_eq!(map.get("test.bytes").unwrap(), Some(bytes), "{len}");
    }
    // corosync's own limit is 16 KiB.
    for len in [16_385, 100_000] {
        let text = map.set("test.text", &Value::Text("x".repeat(len)));
        assert_eq!(text, Err(CsError::INVALID_PARAM), "{len}");
        let bytes = map.set("test.bytes", &Value::Bytes(vec![7; len]));
        assert_eq!(bytes, Err(CsError::INVALID_PARAM), "{len}");
    }
    let e = map.set("test.bytes", &Value::Bytes(vec![7; (1 << 20) + 1]));
    assert_eq!(e, Err(CsError::TOO_BIG));
    // About as long as the library's own buffer, which may have no room for it now.
    for len in [1_000_000, 1 << 20] {
        let e = map.set("test.bytes", &Value::Bytes(vec![7; len]));
        println!("a value of {len} bytes: {e:?}");
        assert!(e.is_err());
    }
    // All that stands there still is what went before.
    let value = map.get("test.text").unwrap().unwrap();
    assert_eq!(value.text().len(), 16_000);
    let e = map.set("test.text", &Value::Text("a\0b".into()));
    assert_eq!(e, Err(CsError::INVALID_PARAM));
}

fn bad_keys(map: &Cmap) {
    let long = "k".repeat(255);
    map.set(&long, &Value::U8(1)).unwrap();
    assert_eq!(map.get(&long).unwrap(), Some(Value::U8(1)));
    assert_eq!(map.list(Some(&long)).unwrap(), vec![long.clone()]);
    for bad in ["k".repeat(256), "k".repeat(70_000)] {
        assert_eq!(map.set(&bad, &Value::U8(1)), Err(CsError::NAME_TOO_LONG));
        assert_eq!(map.get(&bad), Err(CsError::NAME_TOO_LONG));
        assert_eq!(map.list(Some(&bad)), Err(CsError::NAME_TOO_LONG));
    }
    for bad in ["", "ab", "with space", "ä.ö"] {
        assert_eq!(map.set(bad, &Value::U8(1)), Err(CsError::NAME_TOO_LONG));
        assert_eq!(map.get(bad), Ok(None), "{bad}");
    }
    assert_eq!(map.get("a\0b"), Err(CsError::INVALID_PARAM));
    let e = map.set("totem.version", &Value::U32(3));
    assert_eq!(e, Err(CsError::ACCESS));
}

fn lists(map: &Cmap) {
    let all = map.list(None).unwrap();
    let test = map.list(Some("test.")).unwrap();
    assert!(all.len() > 50 && test.len() > 10, "{all:?}");
    assert!(
        test.iter()
            .all(|k| k.starts_with("test.") && all.contains(k))
    );
    assert_eq!(map.list(Some("nothing.")).unwrap(), Vec::<String>::new());
    let dump = map.dump(None).unwrap();
    let began = Instant::now();
    let keys: Vec<&String> = dump.iter().map(|(k, _)| k).collect();
    assert_eq!(keys, all.iter().collect::<Vec<_>>());
    map.dump(None).unwrap();
    println!("a dump of {} keys: {:?}", all.len(), began.elapsed());
    // As the tool prints them all; but it says nothing of binary values.
    let ran = Command::new("corosync-cmapctl").output().unwrap();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    let mut compared = 0;
    for (key, value) in &dump {
        if key.starts_with("runtime.") || matches!(value, Value::Bytes(_)) {
            continue;
        }
        let line = out.lines().find(|l| l.split(' ').next() == Some(key));
        let (_, said) = line
            .unwrap_or_else(|| panic!("{key}"))
            .split_once(" = ")
            .unwrap();
        assert_eq!(value.text(), said, "{key}");
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

/// The changes until there are so many.
fn changes(map: &mut Cmap, want: usize) -> Vec<Change> {
    let mut got = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while got.len() < want {
        assert!(Instant::now() < deadline, "only {got:?}");
        if readable(map.fd(), Duration::from_millis(100)) {
            got.extend(map.dispatch().unwrap());
        }
    }
    got
}

const EVERY: Track = Track {
    add: true,
    delete: true,
    modify: true,
    prefix: true,
};

fn tracks(libraries: &Arc<Libraries>, writer: &Cmap) {
    let mut map = Cmap::open(libraries, Map::Config).unwrap();
    assert_eq!(map.dispatch().unwrap(), []);
    let every = map.track("test.track.", EVERY).unwrap();
    let exact = map
        .track(
            "test.track.a",
            Track {
                modify: true,
                ..Track::default()
            },
        )
        .unwrap();
    assert_ne!(every, exact);
    let long = "x".repeat(16_000);
    writer.set("test.track.a", &Value::U32(1)).unwrap();
    writer.set("test.track.a", &Value::U32(2)).unwrap();
    writer
        .set("test.track.b", &Value::Text(long.clone()))
        .unwrap();
    writer.set("test.other", &Value::U32(2)).unwrap();
    let ran = Command::new("corosync-cmapctl")
        .args(["-d", "test.track.b"])
        .status();
    assert!(ran.unwrap().success());
    let mut got: Vec<_> = changes(&mut map, 5)
        .into_iter()
        .map(|c| (c.track, c.key, c.value.map(|v| v.text())))
        .collect();
    got.sort_by_key(|(track, ..)| *track == exact);
    let change =
        |track, key: &str, value: Option<&str>| (track, key.to_owned(), value.map(str::to_owned));
    let want = [
        change(every, "test.track.a", Some("1")),
        change(every, "test.track.a", Some("2")),
        change(every, "test.track.b", Some(&long)),
        change(every, "test.track.b", None),
        change(exact, "test.track.a", Some("2")),
    ];
    assert_eq!(got, want);
    // What was sent before is dropped with the track.
    writer.set("test.track.a", &Value::U32(3)).unwrap();
    map.untrack(every);
    map.untrack(every);
    writer.set("test.track.a", &Value::U32(4)).unwrap();
    let got = changes(&mut map, 2);
    assert!(got.iter().all(|c| c.track == exact), "{got:?}");
    // Many at once, more than corosync's ring for us may hold.
    let many = map.track("test.many.", EVERY).unwrap();
    for i in 0..5_000u32 {
        writer.set("test.many.x", &Value::U32(i)).unwrap();
    }
    let got = changes(&mut map, 5_000);
    let numbers: Vec<u64> = got
        .iter()
        .filter_map(|c| c.value.as_ref()?.as_u64())
        .collect();
    assert!(numbers.iter().copied().eq(0..5_000), "{numbers:?}");
    assert!(got.iter().all(|c| c.track == many));
    assert_eq!(map.lost(), 0);
}

/// Where the key is in the configuration, and so in the map.
pub fn secret() {
    let libraries = libraries();
    let map = Cmap::open(&libraries, Map::Config).unwrap();
    let dump = map.dump(None).unwrap();
    let found = dump.iter().find(|(k, _)| k == "totem.key").unwrap();
    assert_eq!(found.1, Value::Text("(secret)".into()));
    assert!(!format!("{dump:?}").contains(SECRET));
    // Who asks for it by name gets it.
    let value = map.get("totem.key").unwrap().unwrap();
    assert!(value.text().starts_with(SECRET));
}

/// The beginning of the key in that configuration.
pub const SECRET: &str = "0123456789abcdef";

/// A program that we start shares nothing with corosync.
fn descriptors(libraries: &Arc<Libraries>) {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    let map = Cmap::open(libraries, Map::Config).unwrap();
    assert_eq!(count(), before + 1);
    let info = format!("/proc/self/fdinfo/{}", map.fd().as_raw_fd());
    let info = std::fs::read_to_string(info).unwrap();
    let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).unwrap();
    let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
    assert_ne!(flags & nix::libc::O_CLOEXEC, 0, "{info}");
}

fn statistics(libraries: &Arc<Libraries>) {
    let mut map = Cmap::open(libraries, Map::Stats).unwrap();
    let dump = map.dump(None).unwrap();
    let value = |key: &str| dump.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    println!("{} statistics", dump.len());
    assert!(dump.len() > 50, "{dump:?}");
    assert!(value("stats.srp.operational_entered").unwrap().as_u64() >= Some(1));
    assert_eq!(
        value("stats.knet.node2.link0.connected"),
        Some(Value::U8(1))
    );
    for (key, one) in &dump {
        assert!(!matches!(one, Value::Bytes(_)), "{key}: {one:?}");
    }
    assert_eq!(map.get("stats.none").unwrap(), None);
    assert_eq!(map.get("totem.version").unwrap(), None);
    let e = map.set("stats.srp.mtu", &Value::U32(1));
    println!("setting a statistic: {e:?}");
    assert!(e.is_err());
    // An exact key is looked at every 1.5 s: a further connection changes this one.
    let key = "stats.ipcs.global.active";
    let modify = Track {
        modify: true,
        ..Track::default()
    };
    let track = map.track(key, modify).unwrap();
    let before = map.get(key).unwrap().unwrap().as_u64().unwrap();
    let more = Cmap::open(libraries, Map::Config).unwrap();
    let got = changes(&mut map, 1);
    assert_eq!((got[0].track, got[0].key.as_str()), (track, key));
    assert_eq!(got[0].value.as_ref().unwrap().as_u64(), Some(before + 1));
    drop(more);
}
