# Small things that every script here needs. Sourced, never run.
# shellcheck shell=bash

# A plain user's PATH lacks the sbin directories, where ip, nft and corosync live.
PATH=${PATH:-/usr/bin}:/usr/local/sbin:/usr/sbin:/sbin
umask 022

LIB=$(cd "${BASH_SOURCE[0]%/*}" && pwd -P)
REPO=$(cd "$LIB/../.." && pwd -P)
TARGET=${CARGO_TARGET_DIR:-$REPO/target}
ME=${0##*/}

say() { printf '%s: %s\n' "$ME" "$*" >&2; }

# What failed, and what to do about it, in one line.
die() {
	say "$*"
	exit 1
}

usage_error() {
	say "$* (try: $ME --help)"
	exit 2
}

# Whole seconds of a clock that nobody sets, for deadlines.
uptime_s() {
	local t
	read -r t _ </proc/uptime
	printf '%s' "${t%.*}"
}

# A pause without a process. The descriptor is a pipe that never gets a byte.
pause() {
	if [[ -z ${PAUSE_FD:-} ]]; then
		exec {PAUSE_FD}<> <(:)
	fi
	read -rt "$1" -u "$PAUSE_FD" || :
}

# Where clusmgr and clusmgrctl are: as told, else the release build, else the debug build.
bin_dir() {
	if [[ -n ${CLUSMGR_BIN_DIR:-} ]]; then
		printf '%s' "$CLUSMGR_BIN_DIR"
	elif [[ -x $TARGET/release/clusmgr ]]; then
		printf '%s' "$TARGET/release"
	else
		printf '%s' "$TARGET/debug"
	fi
}
