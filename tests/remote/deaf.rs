//! A node whose own messages do not come back, while its corosync is as it is.
//!
//! A real corosync keeps what it cannot deliver only as long as its ring stands: with every new ring it
//! gives up what is missing and delivers the rest, and a node that its peers have left has a new ring
//! after token and consensus. So the fault that `isolated` is for is a corosync with a defect, and a
//! packet filter cannot make it: a libcpg that hands on everything but messages, while there is a file,
//! can. All else of it is corosync's own.

use crate::common::Node;
use std::process::Command;

const C: &str = r#"
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* cpg_model_v1_data_t, as in corosync/cpg.h */
struct model { int model; void *deliver, *confchg, *totem; unsigned flags; };
typedef void deliver_fn(uint64_t, const void *, uint32_t, uint32_t, void *, size_t);

static void *real(const char *name)
{
	static void *lib;
	if (!lib) lib = dlopen("libcpg.so.4", RTLD_NOW | RTLD_LOCAL);
	return lib ? dlsym(lib, name) : NULL;
}

static deliver_fn *to;

static void deliver(uint64_t h, const void *group, uint32_t node, uint32_t pid, void *data, size_t len)
{
	if (access("/tmp/deaf", F_OK) != 0) to(h, group, node, pid, data, len);
}

int cpg_model_initialize(uint64_t *h, int model, struct model *data, void *context)
{
	struct model ours = *data;
	int (*f)(uint64_t *, int, struct model *, void *) = real("cpg_model_initialize");
	if (!f) return 2;
	to = (deliver_fn *)data->deliver;
	ours.deliver = (void *)deliver;
	return f(h, model, &ours, context);
}

int cpg_finalize(uint64_t h) { int (*f)(uint64_t) = real("cpg_finalize"); return f(h); }
int cpg_fd_get(uint64_t h, int *fd) { int (*f)(uint64_t, int *) = real("cpg_fd_get"); return f(h, fd); }
int cpg_dispatch(uint64_t h, int what) { int (*f)(uint64_t, int) = real("cpg_dispatch"); return f(h, what); }
int cpg_local_get(uint64_t h, unsigned *id) { int (*f)(uint64_t, unsigned *) = real("cpg_local_get"); return f(h, id); }
int cpg_join(uint64_t h, const void *g) { int (*f)(uint64_t, const void *) = real("cpg_join"); return f(h, g); }
int cpg_leave(uint64_t h, const void *g) { int (*f)(uint64_t, const void *) = real("cpg_leave"); return f(h, g); }
int cpg_mcast_joined(uint64_t h, int type, const void *v, unsigned n)
{
	int (*f)(uint64_t, int, const void *, unsigned) = real("cpg_mcast_joined");
	return f(h, type, v, n);
}
"#;

/// Starts clusmgr in a node without one, with a libcpg that can be made silent.
#[track_caller]
pub fn start(node: &Node<'_>) {
    node.put("/tmp/cpg.c", C);
    node.sh("mkdir -p /tmp/bin /tmp/lib && cp /usr/sbin/corosync /tmp/bin/corosync")
        .ok();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
        .arg(node.file("/tmp/lib/libcpg.so.4"))
        .arg(node.file("/tmp/cpg.c"))
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    node.start_daemon(&["--corosync-bin", "/tmp/bin/corosync"]);
}

/// From now on no message comes back, until [`hears`].
#[track_caller]
pub fn silent(node: &Node<'_>) {
    node.put("/tmp/deaf", "");
}

/// They come again.
#[track_caller]
pub fn hears(node: &Node<'_>) {
    std::fs::remove_file(node.file("/tmp/deaf")).unwrap();
}

/// What corosync sends to this node is dropped, from its peers alone; clusmgr's TCP is let through.
#[track_caller]
pub fn cut_udp(node: &Node<'_>) {
    let table = "nft -f - <<'END'
table inet deaf {
    chain input {
        type filter hook input priority -5; policy accept;
        ip saddr 10.77.0.0/16 udp dport 5405-5412 counter drop
    }
}
END";
    node.sh(table).ok();
}

/// It arrives again.
#[track_caller]
pub fn heal_udp(node: &Node<'_>) {
    node.run(&["nft", "delete", "table", "inet", "deaf"]).ok();
}
