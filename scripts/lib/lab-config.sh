# The files that a node of the lab starts with. Sourced, never run.
# shellcheck shell=bash

# lab_corosync_conf NODES LINKS: the whole cluster's corosync.conf.
lab_corosync_conf() {
	local nodes=$1 links=$2 k l
	cat <<'CONF'
totem {
    version: 2
    cluster_name: clab
    config_version: 1
    transport: knet
    crypto_cipher: aes256
    crypto_hash: sha256
    token: 1000
}

nodelist {
CONF
	for ((k = 1; k <= nodes; k++)); do
		printf '    node {\n'
		for ((l = 0; l < links; l++)); do
			printf '        ring%d_addr: 10.77.%d.%d\n' "$l" "$l" "$k"
		done
		printf '        name: n%d\n        nodeid: %d\n    }\n' "$k" "$k"
	done
	printf '}\n\nquorum {\n    provider: corosync_votequorum\n'
	[[ $nodes != 2 ]] || printf '    two_node: 1\n'
	cat <<'CONF'
}

logging {
    to_stderr: yes
    to_syslog: no
    to_logfile: no
    timestamp: hires
}

system {
    allow_knet_handle_fallback: yes
    move_to_root_cgroup: no
}
CONF
}

# lab_files DIR NODES LINKS EMPTY: every node's private directories, and what lies in them.
lab_files() {
	local dir=$1 nodes=$2 links=$3 empty=$4 k j n
	for ((k = 1; k <= nodes; k++)); do
		n=$dir/n$k
		# dev and stage are mount points only.
		mkdir -p "$n"/{etc/corosync,etc/clusmgr,etc-corosync,etc-clusmgr,run/lab/bin,run/lock,run/corosync} \
			"$n"/{var-lib/corosync,var-log/corosync,tmp,dev,bin}
		chmod 1777 "$n/tmp" "$n/run/lock"
		printf 'n%d\n' "$k" >"$n/etc/hostname"
		{
			printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n'
			for ((j = 1; j <= nodes; j++)); do printf '10.77.0.%d n%d\n' "$j" "$j"; done
		} >"$n/etc/hosts"
	done
	[[ -z $empty ]] || return 0
	lab_corosync_conf "$nodes" "$links" >"$dir/n1/etc-corosync/corosync.conf"
	(umask 377 && head -c 256 /dev/urandom >"$dir/n1/etc-corosync/authkey")
	for ((k = 2; k <= nodes; k++)); do
		cp -p "$dir/n1/etc-corosync/"{corosync.conf,authkey} "$dir/n$k/etc-corosync/"
	done
}
