#!/bin/bash
# The lab's own pid 1. It makes bridges and nodes, says `up`, and then holds the namespaces until
# it is told to end, its time is up, or `lab up` vanishes before it committed. With pid 1 the
# kernel ends every process of the lab, and with the processes go mounts and interfaces.
#
# stdin is a pipe from `lab up`: `mapped`, then `commit`; its end means that `lab up` died.
# stdout reports to `lab up`: `userns`, `up`, or `error TEXT`.
#
#   lab-holder.sh map  DIR LOCK_FD NODES LINKS BIN_DIR SYSROOT   in a new user namespace
#   lab-holder.sh hold (the same)                                in the lab's other namespaces
set -euo pipefail
stage=$1 dir=$2 lock=$3 nodes=$4 links=$5 bin=$6 sysroot=$7
here=${BASH_SOURCE[0]%/*}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

if [[ $stage == map ]]; then
	# Only from outside can a range of uids be mapped; and only an exec after that gives us the
	# capabilities of the namespace's root.
	echo userns
	read -r word && [[ $word == mapped ]] || {
		rm -rf "$dir"
		exit 1
	}
	unshare -m -n -p -u -i true || {
		echo "error this system allows user namespaces, but not mount, network and pid namespaces in them: in a container run it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined; on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
		exit 1
	}
	exec unshare -m -n -p -u -i --fork --kill-child -- bash "$0" hold "${@:2}"
fi

end() {
	trap '' TERM
	# As pid 1: everybody in this namespace and below it, but not us.
	kill -KILL -1 2>/dev/null || :
	# The last of them may be writing still.
	local tries=100
	until rm -rf "$dir" 2>/dev/null; do
		((tries-- > 0)) || exit 1
		read -rt 0.05 -u "$never" || :
	done
	exit 0
}
fail() {
	local text="$*"
	printf 'error %s\n' "${text//$'\n'/ }"
	# Not before `lab up` has read why, and closed its end.
	read -rt 5 || :
	end
}
must() {
	local out
	out=$("$@" 2>&1) || fail "$* failed: ${out//$'\n'/ }"
}

exec {never}<> <(:)
trap end TERM

# /proc is the caller's yet: this is our pid as the caller knows it.
read -r pid _ </proc/self/stat
echo "$pid" >"$dir/lab.pid"

# Asked before anything else, as this is what containers lack most.
if ! out=$(unshare -m -p --fork mount -n -t proc proc /proc 2>&1); then
	fail "cannot mount /proc in a pid namespace (${out%%$'\n'*}): /proc is masked, as in a container: run it with --security-opt systempaths=unconfined --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
fi

if [[ -n $sysroot ]]; then
	must mount -n --bind "$sysroot" /mnt
	out=$(mount -n -t overlay -o lowerdir=/mnt/usr:/usr lab-usr /usr 2>&1) ||
		fail "cannot lay $sysroot over /usr with overlayfs (${out%%$'\n'*}): it needs Linux 5.11 with overlay (modprobe overlay), or corosync, corosync-notifyd, nftables, iproute2, iputils-ping, procps, runit, systemd and strace installed"
	must umount -n -l /mnt
	hash -r
fi

must ip link set lo up
for ((l = 0; l < links; l++)); do
	must ip link add "br$l" type bridge
	must ip link set "br$l" up
done

# Nodes get neither the lock, which says that this lab lives, nor the pipe from `lab up`.
mkfifo "$dir/nodes.fifo"
exec {from_nodes}<>"$dir/nodes.fifo"
rm "$dir/nodes.fifo"
for ((k = 1; k <= nodes; k++)); do
	unshare -m -n -p -u -i --fork --kill-child -- bash "$here/lab-node.sh" "$dir" "$k" "$bin" \
		</dev/null >&"$from_nodes" {from_nodes}>&- {never}>&- {lock}>&- &
done

pids=()
left=$((2 * nodes))
while ((left > 0)); do
	read -rt 20 -u "$from_nodes" word k pid || fail "the nodes are not ready after 20 s: see $dir/lab.log"
	case $word in
	pid) pids[k]=$pid ;;
	ready) ;;
	*) fail "$k $pid" ;;
	esac
	left=$((left - 1))
done
exec {from_nodes}>&-

# One veth for each node and link: its one end in the bridge, the other one in the node.
{
	for ((k = 1; k <= nodes; k++)); do
		for ((l = 0; l < links; l++)); do
			echo "link add n${k}l$l type veth peer name link$l netns /proc/${pids[k]}/ns/net"
			echo "link set n${k}l$l master br$l up"
		done
	done
} >"$dir/ip.batch"
must ip -batch "$dir/ip.batch"
for ((k = 1; k <= nodes; k++)); do
	{
		echo "link set lo up"
		for ((l = 0; l < links; l++)); do
			echo "addr add 10.77.$l.$k/24 dev link$l"
			echo "link set link$l up"
		done
	} >"$dir/ip.batch"
	must nsenter --net="/proc/${pids[k]}/ns/net" ip -batch "$dir/ip.batch"
	echo "${pids[k]}" >"$dir/n$k/init.pid"
done
rm "$dir/ip.batch"
must mount -n -t proc proc /proc

echo up
read -r word || end
[[ $word == commit ]] || end
exec </dev/null >/dev/null 2>&1
cd /
# Bash reaps any child in its SIGCHLD handler, orphans too, while it sleeps here.
read -rt "${LAB_MAX_SECS:-3600}" -u "$never" || :
end
