//! Every option that corosync reads, applied and proved: no good change fails because corosync keeps a
//! value in another form or in another place.

use crate::change::{edited, report};
use crate::common::Lab;
use clusmgr::driver::corosync::model::Item;
use clusmgr::driver::corosync::options::{Effect, Kind, SECTIONS, option, section};
use clusmgr::driver::corosync::parse::parse;
use serde_json::json;
use std::collections::BTreeSet;

/// What is not in the file below, and why.
const LEFT_OUT: [(&str, &[&str]); 7] = [
    // A secret, which the proof leaves out.
    ("totem", &["key"]),
    // Of udp only: corosync ends over it.
    ("totem.interface", &["ttl"]),
    // Written by corosync, not by people.
    ("resources.system", &["current", "name"]),
    ("resources.process", &["current", "max", "recovery"]),
    (
        "quorum.device.net",
        &[
            "tie_breaker",
            "connect_timeout",
            "force_ip_version",
            "keep_active_partition_tie_breaker",
        ],
    ),
    // Need a device; not proved.
    ("nozzle", &["name", "ipaddr", "ipprefix", "macaddr"]),
    ("pload", &["count", "size", "start"]),
];

const ALL: &str = r#"totem {
	version: 2
	cluster_name: clab
	config_version: 2
	transport: knet
	ip_version: ipv4
	ip_dscp: 12
	link_mode: active
	crypto_model: nss
	crypto_cipher: aes256
	crypto_hash: sha256
	secauth: off
	keyfile: /etc/corosync/authkey
	token: 01000
	token_coefficient: 100
	token_warning: 60
	token_retransmit: 200
	hold: 100
	token_retransmits_before_loss_const: 5
	join: 60
	send_join: 5
	consensus: 1300
	merge: 210
	downcheck: 1100
	fail_recv_const: 2600
	seqno_unchanged_const: 31
	heartbeat_failures_allowed: 1
	max_network_delay: 60
	window_size: 60
	max_messages: 18
	miss_count_const: 6
	netmtu: 1500
	knet_pmtud_interval: 31
	knet_mtu: 1400
	knet_compression_model: zlib
	knet_compression_threshold: 101
	knet_compression_level: 1
	block_unlisted_ips: no
	cancel_token_hold_on_retransmit: yes
	clear_node_high_bit: yes
	threads: 1
	cluster_uuid: abcdefg
	nodeid: 1
	rrp_mode: none
	rrp_token_expired_timeout: 47
	rrp_problem_count_timeout: 1000
	rrp_problem_count_threshold: 10
	rrp_problem_count_mcast_threshold: 100
	rrp_autorecovery_check_timeout: 1000
	vsftype: none
	unknown_one: yes
	interface {
		linknumber: 0
		mcastport: 05406
		knet_link_priority: 10
		knet_ping_interval: 300
		knet_ping_timeout: 600
		knet_ping_precision: 1024
		knet_pong_count: 3
		knet_transport: udp
		bindnetaddr: 10.77.0.0
		mcastaddr: 239.255.1.1
		broadcast: no
		ringnumber: 0
		strange: 1
		member {
			memberaddr: 10.77.0.1
		}
	}
}
compatibility: whitetank
nodelist {
	node {
		name: n1
		nodeid: 01
		ring0_addr: 10.77.0.1
		quorum_votes: 02
		strange: yes
	}
}
quorum {
	provider: corosync_votequorum
	expected_votes: 3
	two_node: 0
	wait_for_all: 0
	auto_tie_breaker: 0
	auto_tie_breaker_node: lowest
	last_man_standing: 0
	last_man_standing_window: 9000
	allow_downscale: 0
	expected_votes_tracking: 0
	votes: 1
	leaving_timeout: 5
	device {
		model: net
		votes: 1
		timeout: 9000
		sync_timeout: 29000
		master_wins: 0
		net {
			host: h
			port: 1
			tls: off
			algorithm: ffsplit
		}
		heuristics {
			mode: off
			timeout: 5
			sync_timeout: 6
			interval: 7
			exec_a: /bin/true
		}
	}
}
logging {
	timestamp: on
	fileline: on
	function_name: on
	blackbox: on
	to_stderr: yes
	to_syslog: no
	to_logfile: yes
	logfile: /tmp/x.log
	logfile_priority: info
	syslog_facility: local0
	syslog_priority: info
	debug: off
	to_file: yes
	syslog_level: info
	logger_subsys {
		subsys: QUORUM
		debug: on
		to_stderr: yes
		to_syslog: no
		to_logfile: yes
		syslog_facility: local1
		syslog_priority: err
		logfile_priority: err
		logfile: /tmp/x.log
		to_file: yes
		syslog_level: info
		strange: x
	}
	logging_daemon {
		name: corosync
		subsys: TOTEM
		debug: on
		to_stderr: yes
		to_syslog: no
		to_logfile: no
		logfile: /tmp/x.log
		logfile_priority: info
		syslog_facility: local2
		syslog_priority: info
		to_file: no
		syslog_level: info
	}
	logging_daemon {
		name: qdevice
		subsys: A
		debug: on
	}
	logging_daemon {
		name: other
		debug: on
	}
}
system {
	qb_ipc_type: native
	sched_rr: no
	priority: 0
	move_to_root_cgroup: no
	allow_knet_handle_fallback: yes
	state_dir: /var/lib/corosync
	strange: x
}
resources {
	watchdog_device: off
	watchdog_timeout: 7
	system {
		memory_used {
			recovery: none
			poll_period: 5000
			max: 80
		}
		load_15min {
			poll_period: 6000
			max: 80.5
		}
	}
	process {
		abc {
			poll_period: 6000
			name: x
		}
	}
}
uidgid {
	uid: root
	gid: 0
}
uidgid {
	uid: 7
}
strange {
	a: b
	inner {
		c: d
	}
}
"#;

/// The options of a file, by section and name in the table.
fn named(items: &[Item], at: &str, found: &mut BTreeSet<(&'static str, &'static str)>) {
    for item in items {
        match item {
            Item::Key(key) => {
                let opt = option(at, &key.name).map(|o| o.name);
                found.extend(section(at).map(|s| s.path).zip(opt));
            }
            Item::Section(inner) => {
                let path = [at, &inner.name].join(".");
                named(&inner.items, path.trim_start_matches('.'), found);
            }
            Item::Comment(_) => {}
        }
    }
}

#[test]
fn no_option_of_the_tables_is_forgotten_here() {
    let mut found = BTreeSet::new();
    named(parse(ALL.as_bytes()).unwrap().items(), "", &mut found);
    let known = SECTIONS
        .iter()
        .flat_map(|s| s.options.iter().map(|o| (s.path, o.name)));
    let left = LEFT_OUT
        .iter()
        .flat_map(|(s, names)| names.iter().map(move |n| (*s, *n)));
    found.extend(left);
    let missing: Vec<_> = known.filter(|o| !found.contains(o)).collect();
    assert_eq!(missing, []);
}

#[test]
fn every_option_that_corosync_takes_is_applied_and_proved() {
    let lab = Lab::up("options", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let base = edited(&n1, &[]);
    let base = std::fs::read_to_string(n1.file(&base)).unwrap();
    let apply = |text: &str, how: &str| {
        n1.put("/tmp/new.conf", text);
        let done = report(&n1, &["apply", "/tmp/new.conf"]);
        assert_eq!(
            (&done["done"], &done["how"]),
            (&json!(true), &json!(how)),
            "{done:#}"
        );
    };
    let versioned = |text: &str, version: u64| {
        let line = |l: &str| match l.trim_start().starts_with("config_version:") {
            true => format!("\tconfig_version: {version}\n"),
            false => format!("{l}\n"),
        };
        text.lines().map(line).collect::<String>()
    };
    // What a reload brings into effect, first by one; then all the rest by a restart.
    let mut text = versioned(&base, 2);
    for lines in [
        "cluster_uuid:",
        "rrp_mode: passive",
        "secauth: off",
        "vsftype: none",
        "nodeid: 7",
    ] {
        text = text.replacen("totem {\n", &format!("totem {{\n\t{lines}\n"), 1);
    }
    apply(&text, "reload");
    apply(&versioned(&base, 3), "reload");
    apply(&versioned(ALL, 4), "restart");
    // Other numbers, all of them by a reload.
    let more = |line: &str| {
        let (name, value) = line.trim().split_once(": ")?;
        let opt = ["totem", "totem.interface", "quorum.device"]
            .iter()
            .find_map(|s| option(s, name))?;
        let next = value.parse::<i64>().ok()? + 1;
        let fits =
            matches!(opt.kind, Kind::Int { least, most, .. } if least <= next && next <= most);
        let stays = ["linknumber", "nodeid", "votes", "mcastport"].contains(&name);
        (fits && !stays && opt.effect == Effect::Reload).then(|| format!("{name}: {next}"))
    };
    let other: String = ALL
        .lines()
        .map(|l| more(l).unwrap_or_else(|| l.to_owned()) + "\n")
        .collect();
    let other = other.replace(
        "subsys: QUORUM\n\t\tdebug: on",
        "subsys: QUORUM\n\t\tdebug: off",
    );
    assert!(
        other.contains("token: 1001\n") && other.contains("knet_pong_count: 4\n"),
        "{other}"
    );
    apply(&versioned(&other, 5), "reload");
    assert_eq!(n1.cmap("logging.logger_subsys.QUORUM.debug"), "off");
    // All of it gone again.
    apply(&versioned(&base, 6), "restart");
    assert_eq!(n1.status()["degraded"], json!([]));
}

/// A reload that reports success and leaves one value as it was, wherever that is.
#[test]
fn a_value_of_any_section_that_does_not_change_is_told() {
    let lab = Lab::up("options-lie", "1 --no-clusmgr", &[]);
    // The old text is what corosync reads, whatever there is, but for the version, which would be the
    // first that is missed.
    let script = "#!/bin/sh\nv=$(sed -n 's/.*config_version: //p' /etc/corosync/corosync.conf)\n\
                  exec /usr/sbin/corosync-cmapctl -s totem.config_version u64 $v\n";
    crate::change::stand_in_reload(&lab, script);
    let n1 = lab.node(1);
    for (at, lines, key) in [
        (
            "totem {\n",
            "interface {\nlinknumber: 0\nknet_pong_count: 3\n}\n",
            "totem.interface.0.knet_pong_count",
        ),
        (
            "name: n1\n",
            "quorum_votes: 3\n",
            "nodelist.node.0.quorum_votes",
        ),
        (
            "votequorum\n",
            "device {\nmodel: net\nvotes: 1\nnet {\nhost: h\n}\n}\n",
            "quorum.device.model",
        ),
        (
            "logging {\n",
            "logger_subsys {\nsubsys: QUORUM\ndebug: on\n}\n",
            "logging.logger_subsys.QUORUM.debug",
        ),
        (
            "quorum {\n",
            "}\nresources {\nwatchdog_timeout: 9\n}\nquorum {\n",
            "resources.watchdog_timeout",
        ),
        (
            "quorum {\n",
            "}\nuidgid {\nuid: 7\n}\nquorum {\n",
            "uidgid.config.uid.7",
        ),
    ] {
        let next = ("config_version: 1\n", "config_version: 2\n");
        let file = edited(&n1, &[next, (at, &format!("{at}{lines}"))]);
        let ran = n1.ctl(&["config", "apply", &file]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains(key), "no {key} in {ran:?}");
    }
}

#[test]
fn a_file_of_latin_1_and_a_directory_in_uidgid_d_are_no_hindrance() {
    let lab = Lab::up("options-odd", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    n1.sh("mkdir -p /etc/corosync/uidgid.d/old").ok();
    let file = edited(&n1, &[("config_version: 1\n", "config_version: 2\n")]);
    let mut bytes = n1.read(&file);
    bytes.extend(b"# f\xfcr alle\n");
    n1.put(&file, &bytes);
    let diff = n1.ctl(&["config", "diff", &file]).ok();
    assert!(diff.contains("+# f"), "{diff}");
    assert_eq!(report(&n1, &["apply", &file])["done"], true);
    let live = n1.read("/etc/corosync/corosync.conf");
    assert!(
        live.windows(5).any(|w| w == b"f\xfcr a"),
        "the comment stays as it was"
    );
    // 600 KiB of comments are no hindrance; a text that fits in no line is, and that is said.
    for (lines, fits) in [(6_000, true), (10_400, false)] {
        let mut long = live.clone();
        long.retain(|b| *b != 0xfc);
        let text = String::from_utf8(long)
            .unwrap()
            .replace("config_version: 2\n", "config_version: 3\n");
        n1.put(
            &file,
            text + &format!("# {}\n", "x".repeat(97)).repeat(lines),
        );
        let ran = n1.ctl(&["config", "apply", &file]);
        assert_eq!(ran.code == 0, fits, "{ran:?}");
        assert!(fits || ran.err.contains("can be sent"), "{ran:?}");
    }
}

#[test]
fn an_apply_names_every_mistake_by_the_lines_of_the_file_that_was_given() {
    let lab = Lab::up("options-lines", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    // The totem section last, where the canonical text has it first.
    n1.put(
        "/tmp/new.conf",
        "quorum {\nprovider: corosync_votequorum\n}\nnodelist {\nnode {\nnodeid: 1\nname: n1\n\
         ring0_addr: 10.77.0.1\n}\n}\n\n\ntotem {\nversion: 2\ntoken: 7\njoin: x\nconfig_version: 9\n}\n",
    );
    let ran = n1.ctl(&["config", "apply", "/tmp/new.conf"]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    for part in [
        "apply the new configuration: line 15, column 8: totem.token",
        "line 16, column 7: totem.join",
        "config check FILE",
    ] {
        assert!(ran.err.contains(part), "no {part:?} in {ran:?}");
    }
    assert!(!ran.err.contains("/etc/corosync/corosync.conf"), "{ran:?}");
}

#[test]
fn a_dry_run_leaves_no_log_behind() {
    let lab = Lab::up("options-dry", "1", &["--poll-interval", "0.2"]);
    let n1 = lab.node(1);
    n1.wait_state("running");
    let log = "to_logfile: yes\n\tlogfile: /var/log/new.log";
    let next = ("config_version: 1\n", "config_version: 2\n");
    let file = edited(&n1, &[next, ("to_logfile: no", log)]);
    assert_eq!(report(&n1, &["apply", &file, "--dry-run"])["how"], "reload");
    assert!(!n1.file("/var/log/new.log").exists());
    assert_eq!(report(&n1, &["apply", &file])["done"], true);
    assert!(n1.file("/var/log/new.log").exists());
}
