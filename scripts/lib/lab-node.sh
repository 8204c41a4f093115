#!/bin/bash
# Pid 1 of a lab node: makes the node's private file system, then reaps.
# Run by lab-holder.sh in new namespaces: lab-node.sh DIR K BIN_DIR; reports on stdout.
set -euo pipefail
dir=$1 k=$2 bin=$3

fail() {
	local text="$*"
	printf 'error n%s: %s\n' "$k" "${text//$'\n'/ }"
	exit 1
}
must() {
	local out
	out=$("$@" 2>&1) || fail "$* failed: ${out//$'\n'/ }"
}

# /proc is still the one of whoever called `lab up`, so this is our pid as the caller sees it.
read -r pid _ </proc/self/stat
printf 'pid %s %s\n' "$k" "$pid"

must hostname "n$k"

# mount -n: no notes in the /run of the machine. Everything is gathered at /mnt first: the lab's directory may itself lie below a path
# that gets covered here (/tmp, /run, /var/lib).
must mount -n --bind "$dir/n$k" /mnt
[[ ! -d $bin ]] || must mount -n --bind -o ro "$bin" /mnt/bin

# A /dev of its own: a test may make /dev/log here, and nobody outside is touched.
must mount -n -t tmpfs -o mode=755 lab-dev /mnt/dev
for f in null zero full random urandom tty; do
	[[ -e /dev/$f ]] || continue
	: >"/mnt/dev/$f"
	must mount -n --bind "/dev/$f" "/mnt/dev/$f"
done
mkdir /mnt/dev/shm /mnt/dev/pts
must mount -n -t tmpfs -o mode=1777 lab-shm /mnt/dev/shm
[[ ! -d /dev/pts ]] || must mount -n --bind /dev/pts /mnt/dev/pts
ln -s pts/ptmx /mnt/dev/ptmx
ln -s /proc/self/fd /mnt/dev/fd
for f in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${f%:*}" "/mnt/dev/${f#*:}"; done
must mount -n --move /mnt/dev /dev

# /etc is the machine's, read only, with ours on top: hosts, hostname, and mount points that
# the machine may lack. The two directories that clusmgr writes to are real.
must mount -n -t overlay -o lowerdir=/mnt/etc:/etc lab-etc /etc
must mount -n --bind /mnt/etc-corosync /etc/corosync
must mount -n --bind /mnt/etc-clusmgr /etc/clusmgr
must mount -n --bind /mnt/var-lib /var/lib
must mount -n --bind /mnt/var-log /var/log
must mount -n --bind /mnt/run /run
[[ ! -d $bin ]] || must mount -n --bind /mnt/bin /run/lab/bin
must mount -n --bind /mnt/tmp /tmp
[[ ! -d $bin ]] || must umount -n -l /mnt/bin
must umount -n -l /mnt
must mount -n -t proc proc /proc

# Now a pid 1 like any other: an init ends on TERM, and the kernel ends the node with it. A node
# that a test powers off is gone for good; `up` makes it anew.
trap 'exit 0' TERM
# Bash waits for any child, also for those that it never started, in its SIGCHLD handler: that
# reaps orphans. In between it sleeps in a read from a pipe that never gets a byte.
exec {never}<> <(:)
printf 'ready %s\n' "$k"
exec >/dev/null 2>&1
cd /
while :; do read -r -u "$never" || :; done
