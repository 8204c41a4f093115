//! Checks a configuration for what a start needs, all of it at once.
//!
//! Only what corosync itself would fail over, or abort over, before it runs; the rules that it applies
//! to nodes and quorum as a whole (a nodeid twice, two_node with a qdevice) are left to corosync and its
//! exit codes for now. A rule about one key is a row of [`rule_for`]; a rule about several is a function
//! that [`validate`] calls.

use super::authkey::{MAX_KEY, MIN_KEY};
use super::finding::{Finding, Severity, printable};
use super::limits;
use super::model::{Config, Item, Key, Pos, Section};
use super::nodes::{LocalHost, sections};
use std::collections::BTreeSet;

/// Whether there is a key file, as far as the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFile {
    /// Not looked for: a check of a file alone.
    Unknown,
    /// It is there.
    Present,
    /// There is none.
    Absent,
}

/// What a value must be, for corosync to take the file.
enum Rule {
    /// An integer in this range.
    Int(i64, i64),
    /// An unsigned 64-bit integer.
    U64,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

const U8: Rule = Rule::Int(0, 255);
const U16: Rule = Rule::Int(0, 65_535);
const U32: Rule = Rule::Int(0, 4_294_967_295);
const YES_NO: Rule = Rule::OneOf(&["yes", "no"]);

/// The rule for a key, by its path. Types from corosync's `coroparse.c`.
#[rustfmt::skip]
fn rule_for(path: &str) -> Option<Rule> {
    let (section, key) = path.rsplit_once('.')?;
    Some(match (section, key) {
        ("totem", "version") => Rule::Int(2, 2),
        ("totem", "config_version") => Rule::U64,
        ("totem", "nodeid" | "threads" | "token" | "token_coefficient" | "token_retransmit"
            | "token_warning" | "hold" | "token_retransmits_before_loss_const" | "join" | "send_join"
            | "consensus" | "merge" | "downcheck" | "fail_recv_const" | "seqno_unchanged_const"
            | "rrp_token_expired_timeout" | "rrp_problem_count_timeout" | "rrp_problem_count_threshold"
            | "rrp_problem_count_mcast_threshold" | "rrp_autorecovery_check_timeout"
            | "heartbeat_failures_allowed" | "max_network_delay" | "window_size" | "max_messages"
            | "miss_count_const" | "knet_pmtud_interval" | "knet_mtu" | "knet_compression_threshold"
            | "netmtu") => U32,
        ("totem", "knet_compression_level") => Rule::Int(-2_147_483_648, 2_147_483_647),
        ("totem", "ip_version") => Rule::OneOf(&["ipv4", "ipv6", "ipv4-6", "ipv6-4"]),
        ("totem", "transport") => Rule::OneOf(&["knet", "udp", "udpu"]),
        ("totem", "link_mode") => Rule::OneOf(&["passive", "active", "rr"]),
        ("totem", "crypto_cipher") => Rule::OneOf(&["none", "aes128", "aes192", "aes256"]),
        ("totem", "crypto_hash") => {
            Rule::OneOf(&["none", "md5", "sha1", "sha256", "sha384", "sha512"])
        }
        ("totem.interface", "linknumber" | "ttl" | "knet_link_priority") => U8,
        ("totem.interface", "mcastport") => U16,
        ("totem.interface", "knet_ping_interval" | "knet_ping_timeout" | "knet_ping_precision"
            | "knet_pong_count") => U32,
        ("nodelist.node", "quorum_votes" | "nodeid") => U32,
        ("quorum", "expected_votes" | "votes" | "last_man_standing_window" | "leaving_timeout") => U32,
        ("quorum", "two_node" | "expected_votes_tracking" | "allow_downscale" | "wait_for_all"
            | "auto_tie_breaker" | "last_man_standing") => U8,
        ("quorum.device", "timeout" | "sync_timeout" | "votes") => U32,
        ("quorum.device", "master_wins") => U8,
        ("system", "qb_ipc_type") => Rule::OneOf(&["native", "shm", "socket"]),
        ("system", "sched_rr" | "allow_knet_handle_fallback") => YES_NO,
        ("system", "move_to_root_cgroup") => Rule::OneOf(&["yes", "no", "auto"]),
        ("resources", "watchdog_timeout") => U32,
        _ => return None,
    })
}

/// Everything that is wrong, in order of place; what is missing altogether comes first.
#[must_use]
pub fn validate(config: &Config, local: &LocalHost, keyfile: KeyFile) -> Vec<Finding> {
    let mut check = Check {
        config,
        findings: Vec::new(),
    };
    check.keys(config.items(), "");
    check.totem();
    check.nodes(local);
    check.crypto();
    check.authkey(keyfile);
    check.findings.sort_by_key(|f| (f.line, f.column));
    check.findings
}

/// Whether a section has a key of this name.
fn has(section: &Section, name: &str) -> bool {
    let mut items = section.items.iter();
    items.any(|i| matches!(i, Item::Key(k) if k.name == name))
}

struct Check<'a> {
    config: &'a Config,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn error(&mut self, at: Pos, path: &str, message: impl Into<String>) {
        self.find(Severity::Error, at, path, message.into());
    }

    fn warn(&mut self, at: Pos, path: &str, message: impl Into<String>) {
        self.find(Severity::Warning, at, path, message.into());
    }

    fn find(&mut self, severity: Severity, at: Pos, path: &str, message: String) {
        self.findings.push(Finding {
            line: at.line,
            column: at.column,
            path: printable(path.as_bytes()),
            severity,
            message,
        });
    }

    /// Where the value of a key stands; nowhere if there is none.
    fn place(&self, path: &str) -> Pos {
        self.config
            .find(path)
            .map_or(Pos::default(), |k| k.value_at)
    }

    /// The rules about single keys and sections.
    fn keys(&mut self, items: &[Item], section: &str) {
        for item in items {
            match item {
                Item::Key(key) => self.key(key, &limits::join(section, &key.name)),
                Item::Section(inner) => {
                    let path = limits::join(section, &inner.name);
                    self.section(inner, &path);
                    self.keys(&inner.items, &path);
                }
                Item::Comment(_) => {}
            }
        }
    }

    fn key(&mut self, key: &Key, path: &str) {
        if key.value.is_secret() {
            return;
        }
        let bytes = key.value.expose();
        // corosync 3.1.7 keeps it, later versions take it for a blank: half a character goes.
        if bytes.first() == Some(&0xa0) || bytes.last() == Some(&0xa0) {
            let message = "the value begins or ends with byte 0xA0, which newer versions of corosync cut off; remove it";
            self.warn(key.value_at, path, message);
        }
        if path == "uidgid.uid" || path == "uidgid.gid" {
            return;
        }
        if path.starts_with("uidgid.") {
            return self.error(
                key.at,
                path,
                "only uid and gid are allowed in uidgid; remove it",
            );
        }
        let Some(rule) = rule_for(path) else {
            return;
        };
        let value = std::str::from_utf8(bytes).unwrap_or_default();
        let wanted = match rule {
            Rule::Int(least, most) => {
                let fits = value.parse::<i64>().is_ok_and(|n| n >= least && n <= most);
                if fits {
                    return;
                }
                if least == most {
                    format!("{most}")
                } else {
                    format!("a whole number from {least} to {most}")
                }
            }
            Rule::U64 if value.parse::<u64>().is_ok() => return,
            Rule::U64 => format!("a whole number from 0 to {}", u64::MAX),
            Rule::OneOf(words) if words.contains(&value) => return,
            Rule::OneOf(words) => format!("one of {}", words.join(", ")),
        };
        let message = format!("\"{}\" is not valid; write {wanted}", printable(bytes));
        self.error(key.value_at, path, message);
    }

    fn section(&mut self, section: &Section, path: &str) {
        let needs = match path {
            "logging.logger_subsys" => "subsys",
            "logging.logging_daemon" => "name",
            _ => "",
        };
        if !needs.is_empty() && !has(section, needs) {
            let message = format!("it has no {needs}; add \"{needs}: NAME\"");
            self.error(section.at, path, message);
        }
        if path.starts_with("nodelist.node.") {
            let message = "corosync ends the node where a section inside it ends; move what follows before it, or remove it";
            self.warn(section.at, path, message);
        }
    }

    fn totem(&mut self) {
        let Some(totem) = self.config.section("totem") else {
            let message = "there is no totem section; add \"totem {\", \"version: 2\", \"}\"";
            return self.error(Pos::default(), "totem", message);
        };
        if self.config.get("totem.version").is_none() {
            self.error(
                totem.at,
                "totem.version",
                "it is missing; add \"version: 2\" to totem",
            );
        }
    }

    fn nodes(&mut self, local: &LocalHost) {
        let nodes = self.config.nodes();
        if nodes.is_empty() {
            let at = self
                .config
                .section("nodelist")
                .map_or(Pos::default(), |s| s.at);
            let message = "there are no nodes, and corosync 3 does not start without them; add a nodelist with a node section for each node";
            return self.error(at, "nodelist", message);
        }
        let knet = self.config.transport() == "knet";
        // A node with a nodeid that is no number has a finding already.
        let silent: BTreeSet<u32> = sections(self.config.items(), "nodelist")
            .flat_map(|list| sections(&list.items, "node"))
            .filter(|n| !has(n, "nodeid"))
            .map(|n| n.at.line)
            .collect();
        for node in nodes.iter().filter(|_| knet) {
            let message = match node.nodeid.map(|id| id.0) {
                Some(1..=65_535) => continue,
                Some(id) => format!("nodeid {id} is out of range; write a number from 1 to 65535"),
                None if silent.contains(&node.at.line) => {
                    "the nodeid is missing; add \"nodeid: N\", N from 1 to 65535".to_owned()
                }
                None => continue,
            };
            self.error(node.at, "nodelist.node.nodeid", message);
        }
        if self.config.local_node(local).is_none() {
            let message = format!(
                "no node has the name \"{}\" or an address of this host; give this host's node a \"name: {}\" (corosync may still find it by the resolver)",
                printable(local.node_name.as_bytes()),
                printable(local.node_name.as_bytes()),
            );
            self.warn(Pos::default(), "nodelist", message);
        }
    }

    fn crypto(&mut self) {
        let (cipher, hash) = (self.config.crypto_cipher(), self.config.crypto_hash());
        let at = self.place("totem.crypto_cipher");
        if cipher != "none" && hash == "none" {
            let message = format!(
                "{} needs a hash; add \"crypto_hash: sha256\"",
                printable(cipher.as_bytes())
            );
            self.error(at, "totem.crypto_cipher", message);
        }
        if self.config.transport() != "knet" && self.config.needs_key() {
            let message = "only knet can encrypt; set crypto_cipher and crypto_hash to none, or transport to knet";
            self.error(at, "totem.crypto_cipher", message);
        }
        if !self.config.crypto_is_explicit() && self.config.transport() == "knet" {
            let message = "versions of corosync differ in the defaults of crypto_cipher and crypto_hash; write both";
            self.warn(at, "totem.crypto_cipher", message);
        }
    }

    fn authkey(&mut self, keyfile: KeyFile) {
        if !self.config.needs_key() {
            return;
        }
        if let (None, Some(key)) = (self.config.keyfile(), self.config.find("totem.key")) {
            // corosync counts the NUL at the end of the string, too.
            let length = key.value.expose().len();
            if length + 1 < MIN_KEY {
                let message = format!(
                    "it has {length} bytes; corosync wants {MIN_KEY} to {MAX_KEY}, put a new key in it on all nodes, or use a key file"
                );
                self.error(key.value_at, "totem.key", message);
            }
        } else if keyfile == KeyFile::Absent {
            let (path, at) = ("totem.keyfile", self.place("totem.keyfile"));
            let message = "the traffic is to be encrypted and there is no key; copy the authkey from another node, or make one with corosync-keygen";
            self.error(at, path, message);
        }
    }
}
