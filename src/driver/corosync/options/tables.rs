//! The rows: one table a section.

use super::Effect::{Link, Reload, Restart};
use super::{Effect, Form, Kind, Opt};

/// One section that corosync knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionSpec {
    /// Its path, as `totem.interface`.
    pub path: &'static str,
    /// The options that may be in it.
    pub options: &'static [Opt],
    /// Whether it is of an older corosync, without any effect now.
    pub gone: bool,
}

/// The section of this path. Below `resources.system` and `resources.process` any name is one.
#[must_use]
pub fn section(path: &str) -> Option<&'static SectionSpec> {
    let free = ["resources.system.", "resources.process."];
    let path = match free.iter().find(|p| path.starts_with(**p)) {
        Some(whole) => whole.trim_end_matches('.'),
        None => path,
    };
    SECTIONS.iter().find(|s| s.path == path)
}

const U32: i64 = 4_294_967_295;
/// Above this, 1.2 times the token overflows corosync's int.
const TOKEN: i64 = 1_789_569_706;

const fn opt(name: &'static str, kind: Kind, default: &'static str, effect: Effect) -> Opt {
    Opt { name, kind, default, effect }
}

/// An integer with a range, a unit and a default.
const fn int(name: &'static str, least: i64, most: i64, unit: &'static str, default: &'static str, effect: Effect) -> Opt {
    opt(name, Kind::Int { least, most, zero: false, unit }, default, effect)
}

/// The same, where 0 stands for the default; most of totem's numbers.
const fn int0(name: &'static str, least: i64, most: i64, unit: &'static str, default: &'static str) -> Opt {
    opt(name, Kind::Int { least, most, zero: true, unit }, default, Reload)
}

const fn words(name: &'static str, words: &'static [&'static str], default: &'static str, effect: Effect) -> Opt {
    opt(name, Kind::Words(words), default, effect)
}

const fn text(name: &'static str, effect: Effect) -> Opt {
    opt(name, Kind::Text, "", effect)
}

const fn gone(name: &'static str, instead: &'static str) -> Opt {
    opt(name, Kind::Gone(instead, Form::Any), "", Reload)
}

const fn gone_number(name: &'static str, instead: &'static str) -> Opt {
    opt(name, Kind::Gone(instead, Form::U32), "", Reload)
}

const fn gone_word(name: &'static str, words: &'static [&'static str], instead: &'static str) -> Opt {
    opt(name, Kind::Gone(instead, Form::Words(words)), "", Reload)
}

const fn spec(path: &'static str, options: &'static [Opt]) -> SectionSpec {
    SectionSpec { path, options, gone: false }
}

const fn old(path: &'static str) -> SectionSpec {
    SectionSpec { path, options: &[], gone: true }
}

const YES_NO: &[&str] = &["yes", "no"];
const ON_OFF: &[&str] = &["on", "off"];
const SWITCH: &[&str] = &["yes", "no", "on", "off"];
const DEBUG: &[&str] = &["on", "off", "trace"];
const PRIORITY: &[&str] = &["alert", "crit", "debug", "emerg", "err", "info", "notice", "warning"];
const FACILITY: &[&str] = &[
    "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7", "auth",
    "authpriv", "cron", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp",
];

const DROP: &str = "corosync 3 does not read it; remove it";

const TOTEM: &[Opt] = &[
    int("version", 2, 2, "", "", Restart),
    text("cluster_name", Restart),
    opt("config_version", Kind::U64, "0", Reload),
    words("transport", &["knet", "udp", "udpu"], "knet", Restart),
    words("ip_version", &["ipv4", "ipv6", "ipv4-6", "ipv6-4"], "ipv6-4 (ipv4 with udp)", Restart),
    opt("ip_dscp", Kind::Dscp, "0", Restart),
    words("link_mode", &["passive", "active", "rr"], "passive", Restart),
    words("crypto_model", &["nss", "openssl", "gcrypt"], "nss", Reload),
    words("crypto_cipher", &["none", "aes128", "aes192", "aes256"], "none", Reload),
    words("crypto_hash", &["none", "md5", "sha1", "sha256", "sha384", "sha512"], "none", Reload),
    opt("secauth", Kind::Lax(ON_OFF), "off", Reload),
    opt("keyfile", Kind::Path, "/etc/corosync/authkey", Reload),
    text("key", Reload),
    int0("token", 30, TOKEN, "ms", "3000"),
    int("token_coefficient", 0, TOKEN, "ms", "650", Reload),
    int("token_warning", 0, 100, "%", "75", Reload),
    int0("token_retransmit", 30, U32, "ms", "token / (token_retransmits_before_loss_const + 0.2)"),
    int0("hold", 14, U32, "ms", "token_retransmit * 0.8 - 10"),
    int0("token_retransmits_before_loss_const", 1, U32, "", "4"),
    int0("join", 30, U32, "ms", "50"),
    int("send_join", 0, U32, "ms", "0", Reload),
    int0("consensus", 30, U32, "ms", "token * 1.2"),
    int0("merge", 30, U32, "ms", "200"),
    int0("downcheck", 30, U32, "ms", "1000"),
    int0("fail_recv_const", 1, U32, "", "2500"),
    int0("seqno_unchanged_const", 1, U32, "", "30"),
    int("heartbeat_failures_allowed", 0, U32, "", "0", Restart),
    opt("max_network_delay", Kind::Int { least: 30, most: U32, zero: true, unit: "ms" }, "50", Restart),
    int0("window_size", 1, 16_384, "messages", "50"),
    int0("max_messages", 1, 16_384, "messages", "17"),
    int0("miss_count_const", 1, U32, "messages", "5"),
    opt("netmtu", Kind::Int { least: 576, most: 65_536, zero: true, unit: "bytes" }, "65536 (1500 with udp and udpu)", Restart),
    int0("knet_pmtud_interval", 1, 86_400, "s", "30"),
    // knet takes its own overhead off it, and below that comes to 4 GiB; IPv4 itself asks for 576.
    int0("knet_mtu", 576, 65_535, "bytes", "0"),
    // `none` is what corosync takes without it, and 3.1.7 refuses the word; a rule of its own says so.
    words("knet_compression_model", &["zlib", "lz4", "lz4hc", "lzo2", "lzma", "bzip2", "zstd"], "", Reload),
    int("knet_compression_threshold", 0, U32, "bytes", "100", Reload),
    int("knet_compression_level", -2_147_483_648, 2_147_483_647, "", "0", Reload),
    opt("block_unlisted_ips", Kind::Lax(YES_NO), "yes", Reload),
    opt("cancel_token_hold_on_retransmit", Kind::Lax(YES_NO), "no", Reload),
    opt("clear_node_high_bit", Kind::Lax(YES_NO), "no", Restart),
    int("threads", 0, U32, "", "0", Restart),
    // Written by pcs, read by its own tools.
    text("cluster_uuid", Reload),
    gone_number("nodeid", "corosync 3 ignores it; write nodeid in the node's section of the nodelist"),
    gone("rrp_mode", "corosync 3 has knet for that; write link_mode, or remove it"),
    gone_number("rrp_token_expired_timeout", DROP),
    gone_number("rrp_problem_count_timeout", DROP),
    gone_number("rrp_problem_count_threshold", DROP),
    gone_number("rrp_problem_count_mcast_threshold", DROP),
    gone_number("rrp_autorecovery_check_timeout", DROP),
    gone("vsftype", "corosync 3 does not read it; write provider in the quorum section"),
];

const INTERFACE: &[Opt] = &[
    int("linknumber", 0, 7, "", "0", Reload),
    opt("mcastport", Kind::Int { least: 1, most: 65_535, zero: true, unit: "" }, "5405 + linknumber", Restart),
    int("knet_link_priority", 0, 255, "", "1", Reload),
    int0("knet_ping_interval", 1, U32, "ms", "token / (knet_pong_count * 2)"),
    int0("knet_ping_timeout", 1, U32, "ms", "token / knet_pong_count"),
    int0("knet_ping_precision", 1, U32, "samples", "2048"),
    int0("knet_pong_count", 1, 255, "", "2"),
    words("knet_transport", &["udp", "sctp"], "udp", Link),
    text("bindnetaddr", Restart),
    text("mcastaddr", Restart),
    opt("broadcast", Kind::Lax(YES_NO), "no", Restart),
    int("ttl", 0, 255, "hops", "1", Restart),
    gone("ringnumber", "corosync 3 does not read it, and takes this section for link 0; write linknumber"),
];

const MEMBER: &[Opt] = &[gone("memberaddr", "corosync 3 takes the members from the nodelist; write a node there")];

const NODE: &[Opt] = &[
    int("nodeid", 0, U32, "", "", Restart),
    text("name", Reload),
    opt("ringN_addr", Kind::Text, "", Link),
    int("quorum_votes", 0, U32, "votes", "1", Reload),
];

const QUORUM: &[Opt] = &[
    words("provider", &["corosync_votequorum", "corosync_ykd"], "", Restart),
    int0("expected_votes", 1, U32, "votes", "the votes of all nodes"),
    opt("two_node", Kind::Flag, "0", Reload),
    opt("wait_for_all", Kind::Flag, "two_node", Restart),
    opt("auto_tie_breaker", Kind::Flag, "0", Restart),
    opt("auto_tie_breaker_node", Kind::Text, "lowest", Restart),
    opt("last_man_standing", Kind::Flag, "0", Restart),
    int("last_man_standing_window", 0, U32, "ms", "10000", Restart),
    opt("allow_downscale", Kind::Flag, "0", Restart),
    opt("expected_votes_tracking", Kind::Flag, "0", Restart),
    int("votes", 0, U32, "votes", "1", Reload),
    gone_number("leaving_timeout", DROP),
];

const DEVICE: &[Opt] = &[
    text("model", Reload),
    int("votes", 0, U32, "votes", "the votes of all nodes, less 1", Reload),
    int("timeout", 0, U32, "ms", "10000", Reload),
    int("sync_timeout", 0, U32, "ms", "30000", Reload),
    opt("master_wins", Kind::Flag, "0", Reload),
];

/// Read by corosync-qdevice(8), not by corosync.
const NET: &[Opt] = &[
    text("host", Reload), text("port", Reload), text("tls", Reload), text("algorithm", Reload),
    text("tie_breaker", Reload), text("connect_timeout", Reload), text("force_ip_version", Reload),
    text("keep_active_partition_tie_breaker", Reload),
];

/// Read by corosync-qdevice(8), not by corosync.
const HEURISTICS: &[Opt] = &[
    text("mode", Reload), text("timeout", Reload), text("sync_timeout", Reload), text("interval", Reload),
    text("exec_*", Reload),
];

/// What is only in `logging`; the others are also in `logging.logger_subsys`.
macro_rules! logging {
    ($($more:expr),* $(,)?) => {
        &[
            $($more,)*
            words("to_stderr", SWITCH, "yes", Reload),
            words("to_syslog", SWITCH, "yes", Reload),
            words("to_logfile", SWITCH, "no", Reload),
            opt("logfile", Kind::Path, "", Reload),
            words("logfile_priority", PRIORITY, "info", Reload),
            words("syslog_facility", FACILITY, "daemon", Reload),
            words("syslog_priority", PRIORITY, "info", Reload),
            words("debug", DEBUG, "off", Reload),
            gone_word("to_file", SWITCH, "it is obsolete; write to_logfile"),
            gone_word("syslog_level", PRIORITY, "it is obsolete; write syslog_priority"),
        ]
    };
}

const LOGGING: &[Opt] = logging![
    words("timestamp", &["off", "on", "hires"], "hires", Reload),
    words("fileline", ON_OFF, "off", Reload),
    words("function_name", ON_OFF, "off", Reload),
    words("blackbox", ON_OFF, "on", Reload),
];
const LOGGER_SUBSYS: &[Opt] = logging![text("subsys", Reload)];
const LOGGING_DAEMON: &[Opt] = logging![text("name", Reload), text("subsys", Reload)];

const SYSTEM: &[Opt] = &[
    words("qb_ipc_type", &["native", "shm", "socket"], "native", Restart),
    words("sched_rr", YES_NO, "yes", Restart),
    opt("priority", Kind::Text, "0", Restart),
    words("move_to_root_cgroup", &["yes", "no", "auto"], "auto", Restart),
    words("allow_knet_handle_fallback", YES_NO, "no", Restart),
    opt("state_dir", Kind::Path, "/var/lib/corosync", Restart),
];

const RESOURCES: &[Opt] = &[
    text("watchdog_device", Restart),
    int("watchdog_timeout", 2, 120, "s", "6", Reload),
];

const POLLED: &[Opt] = &[
    opt("poll_period", Kind::U64, "3000", Reload),
    text("max", Reload), text("current", Reload), text("recovery", Reload), text("name", Reload),
];

const UIDGID: &[Opt] = &[text("uid", Reload), text("gid", Reload)];

const NOZZLE: &[Opt] = &[
    text("name", Reload), text("ipaddr", Reload), text("ipprefix", Reload), text("macaddr", Reload),
];

const PLOAD: &[Opt] = &[
    int("count", 0, U32, "", "1500000", Reload), int("size", 0, U32, "bytes", "300", Reload), text("start", Reload),
];

/// Every section.
pub const SECTIONS: &[SectionSpec] = &[
    spec("", &[gone("compatibility", DROP)]),
    spec("totem", TOTEM),
    spec("totem.interface", INTERFACE),
    spec("totem.interface.member", MEMBER),
    spec("nodelist", &[]),
    spec("nodelist.node", NODE),
    spec("quorum", QUORUM),
    spec("quorum.device", DEVICE),
    spec("quorum.device.net", NET),
    spec("quorum.device.heuristics", HEURISTICS),
    spec("logging", LOGGING),
    spec("logging.logger_subsys", LOGGER_SUBSYS),
    spec("logging.logging_daemon", LOGGING_DAEMON),
    spec("system", SYSTEM),
    spec("resources", RESOURCES),
    spec("resources.system", POLLED),
    spec("resources.process", POLLED),
    spec("uidgid", UIDGID),
    spec("nozzle", NOZZLE),
    spec("pload", PLOAD),
    old("service"),
    old("aisexec"),
    old("amf"),
    old("event"),
];
