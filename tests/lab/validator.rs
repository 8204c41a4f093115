//! The validator beside the real corosync: what we render of what it passes, `corosync -t` passes, and
//! what it refuses for the sake of the exit codes does end corosync with them.

use crate::common::{Lab, Node};
use clusmgr::driver::corosync::finding::has_errors;
use clusmgr::driver::corosync::nodes::LocalHost;
use clusmgr::driver::corosync::options::{Form, Kind, Opt, section};
use clusmgr::driver::corosync::parse::parse;
use clusmgr::driver::corosync::render::render;
use clusmgr::driver::corosync::validate::{KeyFile, validate};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::{BoxedStrategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::fmt::Write as _;
use std::io::Read as _;

/// How many files go through `corosync -t`.
const FILES: usize = 100;

fn n1() -> LocalHost {
    LocalHost {
        node_name: "n1".to_owned(),
        hostname: "n1".to_owned(),
        addresses: Vec::new(),
    }
}

/// Whether the validator passes a file; what it renders of it.
fn passed(text: &str) -> Option<Vec<u8>> {
    let config = parse(text.as_bytes()).unwrap();
    let findings = validate(&config, &n1(), KeyFile::Present);
    (!has_errors(&findings)).then(|| render(&config).unwrap().to_vec())
}

/// A value that the row of an option allows, its bounds above all.
fn value(opt: &'static Opt) -> BoxedStrategy<String> {
    match opt.kind {
        Kind::Int { least, most, .. } => {
            let near = least.saturating_add(5000).min(most);
            prop_oneof![Just(least), Just(most), least..=near]
                .prop_map(|n| n.to_string())
                .boxed()
        }
        Kind::U64 => any::<u64>().prop_map(|n| n.to_string()).boxed(),
        Kind::Flag => select(vec!["0", "1"]).prop_map(str::to_owned).boxed(),
        Kind::Words(words) | Kind::Lax(words) => select(words).prop_map(str::to_owned).boxed(),
        Kind::Dscp => select(vec!["ef", "cs6", "12"])
            .prop_map(str::to_owned)
            .boxed(),
        Kind::Path => Just("/tmp".to_owned()).boxed(),
        Kind::Text => "[a-z][a-z0-9]{0,8}".boxed(),
        Kind::Gone(_, Form::Words(words)) => Just(words[0].to_owned()).boxed(),
        Kind::Gone(..) => Just("1".to_owned()).boxed(),
    }
}

/// Some options of a section, as lines; all but those that are named.
fn lines(path: &'static str, most: usize, but: &'static [&'static str]) -> BoxedStrategy<String> {
    let rows: Vec<&'static Opt> = section(path)
        .unwrap()
        .options
        .iter()
        .filter(|o| !but.contains(&o.name))
        .collect();
    let most = most.min(rows.len());
    let line = |o: &'static Opt| value(o).prop_map(move |v| format!("{}: {v}\n", o.name));
    subsequence(rows, 0..=most)
        .prop_flat_map(move |some| some.into_iter().map(line).collect::<Vec<_>>())
        .prop_map(|l| l.concat())
        .boxed()
}

/// A section, which is there in one of so many files.
fn at_times(rare: u32, section: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    prop_oneof![rare - 1 => Just(String::new()), 1 => section].boxed()
}

fn device() -> BoxedStrategy<String> {
    let own = lines("quorum.device", 3, &["model"]);
    let net = lines("quorum.device.net", 3, &[]);
    let heuristics = lines("quorum.device.heuristics", 3, &["exec_*"]);
    let section = (own, net, heuristics).prop_map(|(own, net, heuristics)| {
        format!("device {{\nmodel: net\n{own}net {{\nhost: q\n{net}}}\nheuristics {{\nexec_ping: /bin/true\n{heuristics}}}\n}}\n")
    });
    at_times(4, section)
}

fn subsys() -> BoxedStrategy<String> {
    let own = lines("logging.logger_subsys", 3, &["subsys", "logfile"]);
    let section = (select(vec!["QUORUM", "TOTEM", "CFG"]), own)
        .prop_map(|(name, own)| format!("logger_subsys {{\nsubsys: {name}\n{own}}}\n"));
    at_times(3, section)
}

fn daemon() -> BoxedStrategy<String> {
    let section = lines("logging.logging_daemon", 3, &["subsys", "logfile"])
        .prop_map(|own| format!("logging_daemon {{\nname: corosync\n{own}}}\n"));
    at_times(4, section)
}

fn pload() -> BoxedStrategy<String> {
    let section = lines("pload", 2, &[]).prop_map(|own| format!("pload {{\n{own}}}\n"));
    at_times(6, section)
}

fn resources() -> BoxedStrategy<String> {
    let own = lines("resources", 2, &["watchdog_device"]);
    let polled = lines("resources.system.memory_used", 3, &[]);
    let section = (own, polled).prop_map(|(own, polled)| {
        format!("resources {{\n{own}system {{\nmemory_used {{\n{polled}}}\n}}\n}}\n")
    });
    at_times(3, section)
}

/// By number: which names there are depends on the machine.
fn uidgid() -> BoxedStrategy<String> {
    let section = (any::<u16>(), any::<u16>())
        .prop_map(|(uid, gid)| format!("uidgid {{\nuid: {uid}\ngid: {gid}\n}}\n"));
    at_times(3, section)
}

/// A whole file: one to eight nodes or 32 of them, on one to eight links, with options from every table.
fn file() -> impl Strategy<Value = String> {
    let count = prop_oneof![4 => 1..=8_usize, 1 => Just(32_usize)];
    let links = subsequence((0..=7_usize).collect::<Vec<_>>(), 1..=8);
    let nodes = (count, links, any::<u8>(), any::<Index>(), any::<bool>());
    let transport = prop_oneof![4 => Just("knet"), 1 => Just("udp"), 1 => Just("udpu")];
    // What these name depends on the machine, or on how knet was built; the key file is the copy's.
    let totem = lines(
        "totem",
        6,
        &[
            "version",
            "transport",
            "crypto_model",
            "crypto_cipher",
            "crypto_hash",
            "secauth",
            "keyfile",
            "key",
        ],
    );
    let interface = lines(
        "totem.interface",
        3,
        &["linknumber", "bindnetaddr", "mcastaddr", "broadcast"],
    );
    let quorum = lines("quorum", 3, &["provider"]);
    // The directory that stands for every path is none that can be logged to.
    let logging = lines("logging", 4, &["logfile"]);
    let system = lines("system", 3, &["priority"]);
    let more = (device(), subsys(), daemon(), resources(), uidgid(), pload());
    let more = more.prop_map(|(d, s, l, r, u, p)| [d, s + &l, r + &u + &p]);
    let crypto = select(vec![
        ("none", "none"),
        ("aes256", "sha256"),
        ("aes128", "sha512"),
        ("none", "md5"),
    ]);
    let tables = (totem, interface, quorum, logging, system, more);
    (nodes, transport, crypto, tables).prop_map(
        |((count, links, family, turn, votes), transport, crypto, (totem, interface, quorum, logging, system, more))| {
            let [device, subsys, rest] = more;
            let links = if transport == "knet" { links } else { vec![0] };
            let crypto = if transport == "knet" { crypto } else { ("none", "none") };
            let mut text = format!(
                "totem {{\nversion: 2\ncluster_name: lab\ntransport: {transport}\ncrypto_cipher: {}\ncrypto_hash: {}\n{totem}interface {{\nlinknumber: {}\n{interface}}}\n}}\nnodelist {{\n",
                crypto.0, crypto.1, links[0]
            );
            let first = turn.index(count);
            for n in (0..count).map(|n| (n + first) % count + 1) {
                write!(text, "node {{\nnodeid: {n}\nname: n{n}\n").unwrap();
                for l in &links {
                    let v6 = transport == "knet" && family >> l & 1 == 1;
                    let addr = if v6 { format!("fd00:{l}::{n:x}") } else { format!("10.77.{l}.{n}") };
                    writeln!(text, "ring{l}_addr: {addr}").unwrap();
                }
                if votes && n == 2 {
                    text.push_str("quorum_votes: 2\n");
                }
                text.push_str("}\n");
            }
            write!(
                text,
                "}}\nquorum {{\nprovider: corosync_votequorum\n{quorum}{device}}}\nlogging {{\n{logging}{subsys}}}\nsystem {{\n{system}}}\n{rest}"
            )
            .unwrap();
            text
        },
    )
}

/// Names the seed of an earlier run, to make the same files again.
const SEED: &str = "CLUSMGR_TEST_SEED";

/// Another one in each run, unless it is given.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    match std::env::var(SEED) {
        Ok(text) => {
            assert_eq!(text.len(), 64, "{SEED}: 64 digits");
            for (byte, digits) in seed.iter_mut().zip(text.as_bytes().chunks(2)) {
                let digits = std::str::from_utf8(digits).unwrap();
                *byte = u8::from_str_radix(digits, 16).unwrap();
            }
        }
        Err(_) => {
            let mut random = std::fs::File::open("/dev/urandom").unwrap();
            random.read_exact(&mut seed).unwrap();
        }
    }
    seed
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Runs a command on each file of a directory of the node; gives file, exit code and output.
#[track_caller]
fn each(node: &Node<'_>, command: &str) -> Vec<(String, i32, String)> {
    let script = format!(
        "cd /tmp/t && for f in *.conf; do out=$({command} 2>&1); echo \"$f $?\"; printf '%s\\n' \"$out\" >$f.out; done"
    );
    let out = node.sh(&script).ok();
    let of = |line: &str| {
        let (name, code) = line.split_once(' ').unwrap();
        let told = node.file(&format!("/tmp/t/{name}.out"));
        let told = std::fs::read_to_string(told).unwrap();
        (name.to_owned(), code.parse().unwrap(), told)
    };
    out.lines().map(of).collect()
}

#[track_caller]
fn put(node: &Node<'_>, name: &str, text: &[u8]) {
    let path = node.file("/tmp/t").join(format!("{name}.conf"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn what_the_validator_passes_corosync_t_passes() {
    let seed = seed();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut files, mut refused) = (Vec::new(), 0);
    while files.len() < FILES {
        let text = file().new_tree(&mut runner).unwrap().current();
        match passed(&text) {
            Some(bytes) => files.push(bytes),
            None => refused += 1,
        }
        assert!(
            refused < 100 * FILES,
            "the validator passes next to nothing; {SEED}={}",
            hex(&seed)
        );
    }
    let lab = Lab::up("validator-t", "1 --no-clusmgr", &[]);
    let node = lab.node(1);
    for (i, bytes) in files.iter().enumerate() {
        // The copy that is tested, as the product makes it: the last of a key wins.
        let more =
            b"totem {\n\tkeyfile: /etc/corosync/authkey\n}\nlogging {\n\tto_stderr: yes\n}\n";
        put(
            &node,
            &format!("{i:03}"),
            &[bytes.as_slice(), more].concat(),
        );
    }
    let ran = each(&node, "timeout 20 corosync -t -c /tmp/t/$f");
    assert_eq!(ran.len(), FILES);
    for (name, code, told) in ran {
        let text = std::fs::read_to_string(node.file("/tmp/t").join(&name)).unwrap();
        assert_eq!(code, 0, "{SEED}={} {name}: {told}\n{text}", hex(&seed));
    }
    eprintln!("{FILES} files passed; the validator had refused {refused}");
}

/// Three nodes, of which this is the first.
const BASE: &str = "totem {\nversion: 2\ncluster_name: lab\ncrypto_cipher: none\ncrypto_hash: none\ntoken: 1000\n}\n\
nodelist {\nnode {\nnodeid: 1\nname: n1\nring0_addr: 10.77.0.1\n}\nnode {\nnodeid: 2\nname: n2\nring0_addr: 10.77.0.2\n}\n\
node {\nnodeid: 3\nname: n3\nring0_addr: 10.77.0.3\n}\n}\n\
quorum {\nprovider: corosync_votequorum\n}\nlogging {\nto_stderr: yes\nto_syslog: no\n}\n\
system {\nallow_knet_handle_fallback: yes\nmove_to_root_cgroup: no\n}\n";

const DEVICE: &str = "device {\nmodel: net\nvotes: 1\n}";

#[test]
fn what_the_validator_refuses_ends_corosync_with_8_or_20() {
    let edit = |from: &str, to: &str| {
        assert!(BASE.contains(from), "{from}");
        BASE.replacen(from, to, 1)
    };
    let quorum = |lines: &str| edit("votequorum\n", &format!("votequorum\n{lines}\n"));
    let cases = [
        ("nodeid-twice", 8, edit("nodeid: 2", "nodeid: 1")),
        ("nodeid-missing", 8, edit("nodeid: 2\n", "")),
        ("nodeid-too-high", 8, edit("nodeid: 2", "nodeid: 65536")),
        (
            "link-number-8",
            8,
            edit(
                "ring0_addr: 10.77.0.2",
                "ring0_addr: 10.77.0.2\nring8_addr: 10.77.1.2",
            ),
        ),
        (
            "links-unequal",
            8,
            edit(
                "ring0_addr: 10.77.0.2",
                "ring0_addr: 10.77.0.2\nring1_addr: 10.77.1.2",
            ),
        ),
        (
            "interface-of-no-link",
            8,
            edit(
                "token: 1000\n",
                "token: 1000\ninterface {\nlinknumber: 1\nknet_link_priority: 5\n}\n",
            ),
        ),
        ("families-mixed", 8, edit("10.77.0.2", "fd00::2")),
        (
            "no-addresses",
            8,
            BASE.replace("ring0_addr: 10.77.0.", "comment: "),
        ),
        (
            "cipher-without-hash",
            8,
            edit("cipher: none", "cipher: aes256"),
        ),
        (
            "token-29",
            8,
            edit("token: 1000", "token: 29\ntoken_coefficient: 0"),
        ),
        (
            "retransmits",
            8,
            edit(
                "token: 1000",
                "token: 1000\ntoken_retransmits_before_loss_const: 60",
            ),
        ),
        (
            "consensus-below-join",
            8,
            edit("token: 1000", "token: 1000\nconsensus: 40"),
        ),
        (
            "compression-none",
            8,
            edit("token: 1000", "knet_compression_model: none"),
        ),
        (
            "family-of-ip-version",
            8,
            edit("token: 1000", "ip_version: ipv6"),
        ),
        (
            "priority",
            8,
            edit("system {\n", "system {\npriority: high\n"),
        ),
        ("provider", 20, edit("corosync_votequorum", "votequorum")),
        (
            "two-node-and-device",
            20,
            quorum(&format!("two_node: 1\n{DEVICE}")),
        ),
        (
            "lms-and-device",
            20,
            quorum(&format!("last_man_standing: 1\n{DEVICE}")),
        ),
        (
            "atb-and-device",
            20,
            quorum(&format!("auto_tie_breaker: 1\nwait_for_all: 1\n{DEVICE}")),
        ),
        (
            "downscale-and-device",
            20,
            quorum(&format!("allow_downscale: 1\n{DEVICE}")),
        ),
        (
            "atb-and-lms",
            20,
            quorum("auto_tie_breaker: 1\nlast_man_standing: 1"),
        ),
        (
            "expected-and-device",
            20,
            quorum("expected_votes: 4\ndevice {\nmodel: net\n}"),
        ),
        (
            "device-votes-high",
            20,
            quorum("expected_votes: 3\ndevice {\nmodel: net\nvotes: 2\n}"),
        ),
    ];
    let lab = Lab::up("validator-exit", "1 --no-clusmgr", &[]);
    let node = lab.node(1);
    assert!(passed(BASE).is_some());
    for (name, _, text) in &cases {
        assert_eq!(passed(text), None, "{name}");
        put(&node, name, text.as_bytes());
    }
    // One that runs is ended, with 124.
    let ran = each(&node, "timeout 6 corosync -f -c /tmp/t/$f");
    assert_eq!(ran.len(), cases.len());
    let mut wrong = Vec::new();
    for (file, code, told) in ran {
        let name = file.strip_suffix(".conf").unwrap();
        let case = cases.iter().find(|c| c.0 == name).unwrap();
        if code != case.1 {
            wrong.push(format!("{name}: exit {code}, not {}: {told}", case.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What only the machine can tell: the validator passes these, and corosync ends over them.
#[test]
fn what_the_validator_cannot_know_still_ends_corosync_with_8_and_20() {
    let lab = Lab::up("validator-blind", "1 --no-clusmgr", &[]);
    let node = lab.node(1);
    let user = format!("{BASE}uidgid {{\nuid: nobody-of-this-name\n}}\n");
    let tracking = BASE.replace("votequorum\n", "votequorum\nexpected_votes_tracking: 1\n");
    for (name, text) in [("8", &user), ("20", &tracking)] {
        assert!(passed(text).is_some());
        put(&node, name, text.as_bytes());
    }
    // The file of the highest votes seen cannot be read.
    node.sh("mkdir -p /var/lib/corosync/ev_tracking").ok();
    let ran = each(&node, "timeout 6 corosync -f -c /tmp/t/$f");
    let codes: Vec<(&str, i32)> = ran.iter().map(|r| (r.0.as_str(), r.1)).collect();
    assert_eq!(codes, [("20.conf", 20), ("8.conf", 8)], "{ran:?}");
}
