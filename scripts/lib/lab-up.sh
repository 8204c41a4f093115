# `lab up` and `lab down`. Sourced, never run.
# shellcheck shell=bash
#
# A lab lives as long as its DIR is locked (flock). `up` takes the lock and hands it to the
# holder, so that whoever gets it knows that nobody is there: no pid file has to be believed.

# shellcheck source=scripts/lib/sysroot.sh
. "$LIB/sysroot.sh"
# shellcheck source=scripts/lib/lab-config.sh
. "$LIB/lab-config.sh"

UP_COMMITTED=
LOCK_FD=

# Only what `up` made is ever removed.
lab_is_ours() { [[ -f $1/.clusmgr-lab ]]; }

# Removes the files that a killed lab left. With a range of uids some may be another uid's, and
# only in a user namespace with the same map we may remove those.
lab_remove_files() {
	lab_is_ours "$1" || return 0
	rm -rf "$1" 2>/dev/null && return 0
	unshare --map-root-user --map-auto rm -rf "$1" 2>/dev/null && return 0
	die "cannot remove $1: files in it belong to another user: remove it as root"
}

# Takes the lock of DIR, which is made if need be.
lab_lock() {
	local dir=$1 tries
	for tries in 1 2 3 4 5; do
		mkdir -p "$dir" 2>/dev/null || die "cannot make $dir: choose another place with --dir"
		if ! lab_is_ours "$dir" && [[ -n $(ls -A "$dir") ]]; then
			die "$dir exists, is not empty and is no lab's: choose another place with --dir"
		fi
		exec {LOCK_FD}<"$dir"
		if ! flock -n "$LOCK_FD"; then
			LOCK_FD=
			die "there is a lab in $dir already: end it with: $ME --dir $dir down"
		fi
		: >"$dir/.clusmgr-lab" 2>/dev/null || :
		# Another one may have removed and made it anew between our open and our lock.
		[[ "/proc/$$/fd/$LOCK_FD" -ef $dir && -f $dir/.clusmgr-lab ]] && break
		exec {LOCK_FD}<&-
		[[ $tries != 5 ]] || die "$dir changes under our hands"
	done
	# What a killed lab left.
	find "$dir" -mindepth 1 -maxdepth 1 ! -name .clusmgr-lab -exec rm -rf {} + 2>/dev/null ||
		unshare --map-root-user --map-auto find "$dir" -mindepth 1 -maxdepth 1 ! -name .clusmgr-lab -exec rm -rf {} + ||
		die "cannot clear $dir: files in it belong to another user: remove it as root"
}

# lab_map PID: gives the new user namespace of PID its uids and gids: a range where we may, so that
# tests can have several users, else our own uid as its root.
lab_map() {
	local pid=$1 kind range
	local -A map=()
	if ((EUID == 0)); then
		for kind in uid gid; do
			# A map may not span two of its parent's ranges, so copy the parent's.
			map[$kind]=$(awk '$1 < 65536 { n = $3; if ($1 + n > 65536) n = 65536 - $1; print $1, $1, n }' "/proc/self/${kind}_map")
		done
		if printf '%s\n' "${map[uid]}" 2>/dev/null >"/proc/$pid/uid_map" &&
			printf '%s\n' "${map[gid]}" 2>/dev/null >"/proc/$pid/gid_map"; then
			return 0
		fi
	elif command -v newuidmap >/dev/null && command -v newgidmap >/dev/null; then
		for kind in uid gid; do
			range=$(awk -F: -v name="$(id -un)" -v id="$EUID" '$1 == name || $1 == id { print $2, $3; exit }' "/etc/sub$kind" 2>/dev/null) || :
			map[$kind]=$range
		done
		if [[ -n ${map[uid]} && -n ${map[gid]} ]]; then
			# shellcheck disable=SC2086
			newuidmap "$pid" 0 "$(id -u)" 1 1 ${map[uid]} 2>/dev/null &&
				newgidmap "$pid" 0 "$(id -g)" 1 1 ${map[gid]} 2>/dev/null && return 0
		fi
	fi
	if [[ ! -s /proc/$pid/uid_map ]] || ! grep -q . "/proc/$pid/uid_map"; then
		echo "0 $(id -u) 1" >"/proc/$pid/uid_map" || return 1
	fi
	if ! grep -q . "/proc/$pid/gid_map"; then
		echo deny >"/proc/$pid/setgroups" && echo "0 $(id -g) 1" >"/proc/$pid/gid_map" || return 1
	fi
}

# lab_userns_hint: why user namespaces may be refused here.
lab_userns_hint() {
	local v
	read -r v </proc/sys/user/max_user_namespaces 2>/dev/null || v=
	if [[ $v == 0 ]]; then
		echo "root must allow them: sysctl -w user.max_user_namespaces=15000"
		return
	fi
	read -r v 2>/dev/null </proc/sys/kernel/unprivileged_userns_clone || v=
	if [[ $v == 0 ]]; then
		echo "root must allow them: sysctl -w kernel.unprivileged_userns_clone=1"
		return
	fi
	read -r v 2>/dev/null </proc/sys/kernel/apparmor_restrict_unprivileged_userns || v=
	if [[ $v == 1 ]]; then
		echo "root must allow them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
		return
	fi
	echo "in a container run it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
}

# The end of our pipe ends the lab: it has not heard `commit`. Wait for that, and then say why.
lab_abort() {
	local dir=$1 fd
	trap '' INT TERM
	[[ -z ${CTL:-} ]] || exec {CTL}>&-
	CTL=
	if [[ -n $LOCK_FD ]]; then
		exec {LOCK_FD}<&-
		LOCK_FD=
		if [[ -d $dir ]] && exec {fd}<"$dir"; then
			flock -w 10 "$fd" && lab_remove_files "$dir" || say "the lab in $dir does not end"
		fi
	fi
}
lab_on_exit() {
	local rc=$?
	trap - EXIT
	[[ -n $UP_COMMITTED ]] || lab_abort "$DIR"
	exit "$rc"
}

lab_up() {
	local nodes='' links=1 empty='' start=1 flags=()
	while (($#)); do
		case $1 in
		--links)
			(($# > 1)) || usage_error "--links needs a number"
			links=$2
			shift
			;;
		--links=*) links=${1#*=} ;;
		--empty) empty=1 ;;
		--no-clusmgr | --nodes-only) start= ;;
		--)
			shift
			flags=("$@")
			break
			;;
		-*) usage_error "up: unknown option $1" ;;
		*)
			[[ -z $nodes ]] || usage_error "up: unexpected argument $1 (clusmgr's flags follow --)"
			nodes=$1
			;;
		esac
		shift
	done
	[[ $nodes =~ ^[0-9]{1,2}$ ]] && ((10#$nodes >= 1 && 10#$nodes <= 16)) || usage_error "up: the number of nodes is 1 to 16, not '$nodes'"
	[[ $links =~ ^[0-9]$ ]] && ((links >= 1 && links <= 8)) || usage_error "up: the number of links is 1 to 8, not '$links'"
	nodes=$((10#$nodes))
	[[ ${LAB_MAX_SECS:-3600} =~ ^[1-9][0-9]*$ ]] || usage_error "LAB_MAX_SECS is a number of seconds, not '$LAB_MAX_SECS'"

	local bin
	bin=$(bin_dir)
	if [[ -n $start && ! -x $bin/clusmgr ]]; then
		die "no clusmgr in $bin: build it (cargo build --release), or say where it is with CLUSMGR_BIN_DIR, or use --no-clusmgr"
	fi
	[[ ! -d $bin ]] || bin=$(cd "$bin" && pwd -P)
	sysroot_ensure

	trap lab_on_exit EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	lab_lock "$DIR"
	DIR=$(cd "$DIR" && pwd -P)
	case $DIR/ in
	/usr/* | /etc/* | /proc/* | /dev/*) die "a lab cannot live in $DIR: choose another place with --dir" ;;
	esac
	lab_hold "$nodes" "$links" "$bin" "$empty"
	[[ -z $start ]] || lab_start_all "$nodes" ${flags[@]+"${flags[@]}"}
	echo commit >&"$CTL"
	UP_COMMITTED=1
	say "up: $nodes node$( ((nodes == 1)) || echo s) in $DIR"
}

# lab_hold NODES LINKS BIN_DIR EMPTY: starts the holder and waits until the nodes are there.
lab_hold() {
	local holder line begun='' word rest deadline
	mkfifo "$DIR/reply"
	exec {REPLY_FD}<>"$DIR/reply"
	rm "$DIR/reply"
	# Its own session: Ctrl-C at the terminal later is not meant for it.
	exec {CTL}> >(exec setsid -- unshare -U -- bash "$LIB/lab-holder.sh" map "$DIR" "$LOCK_FD" "$1" "$2" "$3" "$SYSROOT_USE" \
		>&"$REPLY_FD" 2>"$DIR/lab.log" {REPLY_FD}>&-)
	holder=$!
	deadline=$(($(uptime_s) + 60))
	while :; do
		if ! IFS= read -rt 0.2 -u "$REPLY_FD" line; then
			# The time may be up in the middle of a line.
			begun+=$line
			kill -0 "$holder" 2>/dev/null || lab_holder_gone
			(($(uptime_s) < deadline)) || die "the nodes are not ready after 60 s: $(tail -n 1 "$DIR/lab.log")"
			continue
		fi
		read -r word rest <<<"$begun$line" || :
		begun=
		case $word in
		userns)
			# Not earlier: from here on the holder removes the files if we are killed.
			lab_files "$DIR" "$1" "$2" "$4"
			echo "$1 $2" >"$DIR/shape"
			lab_map "$holder" 2>/dev/null || die "cannot map a uid in a new user namespace: $(lab_userns_hint)"
			echo mapped >&"$CTL"
			;;
		up) return 0 ;;
		error) die "$rest" ;;
		esac
	done
}

lab_holder_gone() {
	local log
	log=$(tail -n 1 "$DIR/lab.log" 2>/dev/null) || :
	case $log in
	unshare:*) die "this system gives us no user namespace (${log#unshare: }): $(lab_userns_hint)" ;;
	*) die "the lab ended while it was made: ${log:-no reason given}" ;;
	esac
}

# A clusmgr in each node, all at once. It detaches, and returns 0 when it serves its socket.
lab_start_all() {
	local nodes=$1 k bad='' rc out
	shift
	local pids=()
	for ((k = 1; k <= nodes; k++)); do
		# Without our descriptors: a daemon must not hold the lab's lock or our pipe.
		(
			exec {CTL}>&- {LOCK_FD}<&- {REPLY_FD}>&- </dev/null >"$DIR/n$k/clusmgr.out" 2>&1
			# A shell's background job ignores INT and QUIT: clusmgr must not inherit that.
			exec env --default-signal=INT,QUIT timeout "${LAB_START_SECS:-60}" "$REPO/scripts/lab" --dir "$DIR" exec "n$k" clusmgr "$@"
		) &
		pids[k]=$!
	done
	for ((k = 1; k <= nodes; k++)); do
		rc=0
		wait "${pids[k]}" || rc=$?
		((rc != 0)) || continue
		out=$(tail -n 3 "$DIR/n$k/clusmgr.out" | tr '\n' ' ')
		((rc != 124)) || out="no answer in ${LAB_START_SECS:-60} s; $out"
		say "n$k: clusmgr did not start (exit $rc): ${out:-it said nothing}"
		bad=1
	done
	[[ -z $bad ]] || exit 1
}

lab_down() {
	(($# == 0)) || usage_error "down takes no arguments"
	local fd pid tries=0
	# Nothing there: there is nothing to do.
	[[ -d $DIR ]] || return 0
	# An `up` that was killed at its first step leaves an empty directory.
	rmdir "$DIR" 2>/dev/null && return 0
	lab_is_ours "$DIR" || die "$DIR is no lab's: nothing was removed"
	exec {fd}<"$DIR"
	until flock -n "$fd"; do
		# Locked: so lab.pid, if it is there yet, is the living holder's.
		if ((tries % 50 == 0)) && read -r pid 2>/dev/null <"$DIR/lab.pid"; then
			# A holder that does not end by itself within 5 s is ended by force.
			kill "-$( ((tries < 100)) && echo TERM || echo KILL)" "$pid" 2>/dev/null || :
		fi
		((tries++ < 300)) || die "the lab in $DIR does not end: see $DIR/lab.log"
		pause 0.05
	done
	lab_remove_files "$DIR"
}
