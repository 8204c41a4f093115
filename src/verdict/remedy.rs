//! What to do, by the word for what is wrong. The one place for such advice: `status` shows it beside
//! a degraded reason, `why` beside a verdict.

/// Every reason that `status` may call a node degraded for.
pub const REASONS: &[&str] = &[
    "bad-config",
    "config-readable",
    "config-unwritable",
    "config-version-behind",
    "drift",
    "history",
    "hold-unsaved",
    "isolated",
    "key-drift",
    "key-unwritable",
    "link-down",
    "link-flapping",
    "no-access",
    "no-answer",
    "no-libraries",
    "not-answering",
    "not-delivering",
    "not-ready",
    "output",
    "peer-config",
    "peer-identity",
    "peer-key",
    "reload-stuck",
    "restart-needed",
    "run-dir",
    "running-differs",
    "sched-pause",
    "shm-full",
    "state-dir-full",
];

/// The steps that help against a degraded reason or a verdict, the likeliest first.
#[must_use]
pub fn remedy(word: &str) -> &'static [&'static str] {
    known(word).unwrap_or(&["see clusmgrctl events for what led to it"])
}

/// As [`remedy`]; none for a word that is not known here.
#[must_use]
pub fn known(word: &str) -> Option<&'static [&'static str]> {
    of_the_mode(word)
        .or_else(|| of_corosync(word))
        .or_else(|| of_the_configuration(word))
        .or_else(|| of_the_cluster(word))
        .or_else(|| of_the_machine(word))
}

fn of_the_mode(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "not-configured" => &[
            "write corosync.conf and, unless crypto is none, the authkey; corosync is then started",
        ],
        "held" => &["clusmgrctl start ends the hold"],
        "held-and-runs" => &[
            "clusmgrctl start ends the hold, and clusmgr takes that corosync over",
            "else clusmgrctl stop ends it; disable what starts it",
        ],
        "no-binary" => {
            &["install corosync, or name the program with clusmgr's flag --corosync-bin"]
        }
        "crash-loop" => &[
            "look at the last lines of its output, and at corosync's own log",
            "clusmgr tries again by itself; clusmgrctl start does so at once",
        ],
        "died" => &["nothing: clusmgr starts it again; if it dies again, look at its log"],
        "starting" => &["wait: clusmgrctl status --wait ends when the node is a quorate member"],
        "hold-unsaved" => &["make the state directory writable, then give the order again"],
        _ => return None,
    })
}

fn of_corosync(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "hung" => &[
            "nothing: clusmgr kills and restarts it",
            "if it comes back, look for who stops it (SIGSTOP, a debugger) and at the load of the machine",
        ],
        "not-ready" => &[
            "wait: it may be forming its first ring",
            "if it lasts, look at corosync's output and log, then clusmgrctl restart",
        ],
        "no-answer" => &[
            "wait: a corosync that hangs is restarted after --hang-timeout",
            "if it lasts, see that /dev/shm is not full and is the same for clusmgr and corosync",
        ],
        "no-access" => {
            &["run clusmgr as root, or allow its user in corosync's uidgid.d and restart corosync"]
        }
        "no-libraries" => &[
            "install corosync's client libraries (Debian: libcmap4, libquorum5, libvotequorum8, \
             libcfg7, libcpg4), of the version of corosync",
        ],
        "not-delivering" => &[
            "see clusmgrctl link list: a link that loses packets stalls the ring",
            "if the links are fine and it lasts, clusmgrctl restart, one node at a time",
        ],
        "two-corosyncs" => &[
            "end the one that clusmgr does not watch, and disable what starts it (systemctl disable \
             corosync), or give its container a network of its own",
        ],
        "pid-file-held" => &[
            "end the process that holds corosync's pid file, or name the right files by \
             --corosync-pid and --corosync-bin",
        ],
        _ => return None,
    })
}

fn of_the_configuration(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "bad-config" => &[
            "clusmgrctl config check shows every finding with its line",
            "mend the file: clusmgr then tries again by itself; or clusmgrctl config revert",
        ],
        "drift" => &[
            "clusmgrctl config diff shows the difference",
            "clusmgrctl config adopt takes it in, clusmgrctl config revert undoes it",
        ],
        "key-drift" => &[
            "compare clusmgrctl key fingerprint on all nodes",
            "clusmgrctl config revert puts the key back that clusmgr holds; clusmgrctl config adopt takes \
             this one in, once every node has it",
        ],
        "config-version-behind" => &[
            "copy corosync.conf from the node with the newest config_version",
            "clusmgrctl config apply FILE --this-node-only here: with the older one the next start fails",
        ],
        "peer-config" => &[
            "find the node that has the right corosync.conf: as a rule that of the newest config_version",
            "clusmgrctl config apply FILE --this-node-only with that one on the nodes that are behind",
            "where the versions are the same and the content is not: apply the right one on every node, \
             under a greater config_version",
        ],
        "peer-key" => &[
            "compare clusmgrctl key fingerprint on all nodes: the key that most of them have is as a rule \
             the right one",
            "copy it to the nodes that have another, then clusmgrctl config adopt and clusmgrctl restart \
             there, one node at a time",
        ],
        "peer-identity" => &[
            "look at the addresses of that node in corosync.conf, at its names in /etc/hosts and in DNS, \
             and at who has them now: ip addr on both nodes",
            "see that no address translation, and no machine with the same address, is in between",
        ],
        "not-answering" => &[
            "see whether it is stopped (state T in ps): kill -CONT lets it go on",
            "clusmgr kills and restarts it after --hang-timeout; without one, clusmgrctl restart does",
        ],
        "running-differs" => &[
            "the detail names what differs: corosync was told otherwise since, as by corosync-cmapctl or by a \
             file that was changed back",
            "bring the file into effect with clusmgrctl restart, one node at a time, or change the file to what \
             runs",
        ],
        "restart-needed" => &["clusmgrctl restart brings it into effect; one node at a time"],
        "reload-stuck" => &[
            "clusmgrctl config check on every node: one of them could not read its corosync.conf",
            "mend that file, then reload once more (corosync-cfgtool -R)",
        ],
        "config-unwritable" => &["make the directory of corosync.conf writable for clusmgr"],
        "config-readable" => &["chmod 600 corosync.conf: it holds the key"],
        "key-unwritable" => &["make the directory of the authkey writable for clusmgr"],
        "history" => &["make the state directory writable and see that its disk is not full"],
        _ => return None,
    })
}

fn of_the_cluster(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "not-quorate" => &[
            "bring the missing nodes back: see that they have power and that clusmgrctl status is \
             fine on each",
            "see that the network between them carries UDP port 5405 and up",
        ],
        "no-quorum-yet" => &[
            "start the nodes that were not seen yet: with wait_for_all every node must be seen once",
            "if one of them cannot come back, remove it from the configuration",
        ],
        "node-missing" => &["look at that node: power, network, clusmgrctl status there"],
        "no-link" => &[
            "look at that node: it may be off, or its corosync stopped",
            "else see that the network to it carries UDP port 5405 and up, and no firewall drops it",
        ],
        "isolated" => &[
            "wait: clusmgr restarts corosync here, one node at a time and once in 10 minutes",
            "if it comes back, see clusmgrctl link list: a link that loses packets, or carries small \
             ones only, does this",
        ],
        "own-network" => {
            &["look at this node's own network first: cables, switch ports, addresses, firewall"]
        }
        "connected-but-no-member" => &[
            "wait some seconds: a node that has just started joins within that time",
            "see clusmgrctl why on that node: its corosync may hang, or die again and again",
            "compare nodelist and config_version of corosync.conf, and clusmgrctl key fingerprint, on \
             both nodes",
            "see that nothing on the way lets only small packets through: a firewall, a smaller MTU; \
             else clusmgrctl restart on that node",
        ],
        "link-down" => &[
            "look at the network of that link: cable, switch, address, firewall; the other link \
             carries the traffic meanwhile",
        ],
        "flapping" | "link-flapping" => &[
            "look for a loose cable, a failing switch port, duplex or load trouble on that network",
        ],
        _ => return None,
    })
}

fn of_the_machine(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "sched-pause" => &[
            "look at the load of the machine, at its disk and swap; of a VM at its host's load and \
             at snapshots and migrations",
            "pauses that cannot be avoided need a longer totem.token",
        ],
        "shm-full" => {
            &["make room in /dev/shm, or mount it larger: corosync and its clients need it"]
        }
        "state-dir-full" => &["make room on the disk of clusmgr's state directory"],
        "run-dir" => {
            &["see that clusmgr's run directory can be written; it is made anew by itself"]
        }
        "output" => &["see that clusmgr's run directory can be written and is not full"],
        _ => return None,
    })
}
