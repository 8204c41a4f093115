# corosync and the tools of the lab, where the machine lacks them: fetched with apt as an ordinary
# user and unpacked under target/. Nothing is installed, enabled or started: the lab lays the tree
# over /usr in its own mount namespace. Sourced, never run.
# shellcheck shell=bash

# runit: its runsv is what scripts/bench compares us with, and corosync-notifyd too. systemd: its systemd-analyze verifies our units. strace: faults at a chosen system call
SYSROOT_PACKAGES=(corosync corosync-notifyd nftables iproute2 iputils-ping procps runit systemd strace
	libcorosync-common-dev libcmap-dev libcpg-dev libquorum-dev libvotequorum-dev libcfg-dev libqb-dev)
# One program for each of the packages, so that what is there is not fetched.
SYSROOT_PROGRAMS=(corosync corosync-notifyd nft ip ping ps runsv systemd-analyze strace)
# The same for the -dev packages: a test compares with them what the client of corosync's libraries says.
SYSROOT_HEADERS=(corosync/{corotypes,cmap,cpg,quorum,votequorum,cfg}.h qb/qbhdb.h)

SYSROOT=${LAB_SYSROOT:-$TARGET/lab-sysroot}
APT_DIR=${LAB_APT_DIR:-$TARGET/lab-apt}

# The programs and headers that neither the machine nor the sysroot ($1, may be empty) has.
sysroot_missing() {
	local p found dir
	for p in "${SYSROOT_PROGRAMS[@]}"; do
		found=
		for dir in ${1:+"$1/usr/sbin" "$1/usr/bin"} /usr/sbin /usr/bin; do
			[[ -x $dir/$p ]] && found=1 && break
		done
		[[ -n $found ]] || printf '%s ' "$p"
	done
	for p in "${SYSROOT_HEADERS[@]}"; do
		[[ -f $1/usr/include/$p || -f /usr/include/$p ]] || printf '%s ' "$p"
	done
}

# Sets SYSROOT_USE: the tree to lay over /usr, or empty if the machine has everything itself.
sysroot_ensure() {
	SYSROOT_USE=
	local missing
	missing=$(sysroot_missing "")
	[[ -n $missing ]] || return 0
	SYSROOT_USE=$SYSROOT
	sysroot_complete && return 0

	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
		die "missing: ${missing% }, and there is no apt to fetch it with: install corosync, corosync-notifyd, nftables, iproute2, iputils-ping, procps, runit, systemd and strace, and of corosync's libraries the -dev packages"
	mkdir -p "$TARGET" "$APT_DIR"
	local lock
	exec {lock}<"$APT_DIR"
	flock -n "$lock" || {
		say "waiting for another run that is fetching packages"
		flock -w 600 "$lock" || die "another run has held $APT_DIR for 10 minutes"
	}
	# It may have done our work.
	if ! sysroot_complete; then
		say "fetching ${missing% } with apt into ${SYSROOT#"$PWD"/} (nothing is installed on this machine)"
		sysroot_fetch
	fi
	exec {lock}<&-
}

sysroot_complete() {
	[[ -f $SYSROOT/.complete ]] || return 1
	[[ $(<"$SYSROOT/.complete") == "$(sysroot_stamp)" ]] || return 1
	[[ -z $(sysroot_missing "$SYSROOT") ]]
}

# The tree of one release does not fit another, and target/ may be carried between machines.
sysroot_stamp() {
	(
		# shellcheck disable=SC1091
		. /etc/os-release
		printf '%s %s %s %s' "${ID:-?}" "${VERSION_ID:-?}" "$(uname -m)" "${SYSROOT_PACKAGES[*]}"
	)
}

# apt with state and cache of its own. It dies with us: after kill -9 no download goes on alone.
sysroot_apt() {
	setpriv --pdeathsig TERM apt-get -q \
		-o Dir::State="$APT_DIR/state" -o Dir::Cache="$APT_DIR/cache" \
		-o Dir::State::status=/var/lib/dpkg/status -o Dir::Etc::parts="$APT_DIR/conf.d" \
		-o Dir::Log="$APT_DIR/log" \
		-o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" \
		-o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
		-o Acquire::Languages=none -o APT::Get::List-Cleanup=0 "$@"
}

sysroot_fetch() {
	local log=$APT_DIR/apt.log f ok=
	mkdir -p "$APT_DIR"/{state/lists/partial,cache/archives/partial,no-cache/partial,conf.d,log}
	# The user's settings (proxies) hold, but not hooks, which are meant for the system's own
	# apt: container images have one that deletes the system's package cache.
	for f in /etc/apt/apt.conf.d/*; do
		[[ ! -r $f ]] || ln -sf "$f" "$APT_DIR/conf.d/"
	done
	cat >"$APT_DIR/conf.d/zzz-lab" <<'CONF'
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
CONF
	: >"$log"
	# Lists that are there may do; only if they are missing or stale is an update needed. Its
	# failure alone says little: one broken source among several is common.
	if [[ -n $(compgen -G "$APT_DIR/state/lists/*_Packages*") ]] && sysroot_download "$log"; then
		ok=1
	else
		sysroot_apt update >>"$log" 2>&1 </dev/null || :
		sysroot_download "$log" && ok=1
	fi
	if [[ -z $ok ]]; then
		local why
		why=$(grep -oEm 1 '(Unable to locate|Could not|Temporary failure|Failed to fetch|Unmet dep|held broken).*' "$log") || :
		die "apt could not fetch ${SYSROOT_PACKAGES[*]}: ${why:-see $log}: is the network up, and does /etc/apt name a Debian mirror? (all of it in $log)"
	fi
	sysroot_unpack "$log"
}

sysroot_download() {
	# --no-upgrade: what the machine has it uses; only what is missing comes from here.
	sysroot_apt -y --no-install-recommends --no-upgrade --download-only install \
		"${SYSROOT_PACKAGES[@]}" >>"$1" 2>&1 </dev/null || return 1
	# It names only what it would have to fetch, so it must not see the cache.
	sysroot_apt -y --no-install-recommends --no-upgrade --print-uris \
		-o Dir::Cache::Archives="$APT_DIR/no-cache/" install \
		"${SYSROOT_PACKAGES[@]}" >"$APT_DIR/uris" 2>>"$1" </dev/null
}

# Unpacks exactly what apt chose now; older packages may lie in the cache.
sysroot_unpack() {
	local new=$SYSROOT.new d name
	rm -rf "$new"
	mkdir -p "$new/usr"
	while read -r name; do
		dpkg-deb -x "$APT_DIR/cache/archives/$name" "$new" >>"$1" 2>&1 ||
			die "cannot unpack $name: remove $APT_DIR and try again"
	done < <(sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" "$APT_DIR/uris")
	# Packages may still hold paths outside /usr; on the machine these are links into it.
	for d in bin sbin lib lib64; do
		[[ -d $new/$d && ! -L $new/$d ]] || continue
		mkdir -p "$new/usr/$d"
		cp -a "$new/$d/." "$new/usr/$d/"
		rm -rf "${new:?}/$d"
	done
	local missing
	missing=$(sysroot_missing "$new")
	[[ -z $missing ]] || die "the packages fetched hold no ${missing% }: see $1"
	sysroot_stamp >"$new/.complete"
	# A lab that is up keeps the old tree's files: it has them mounted.
	rm -rf "$SYSROOT"
	mv "$new" "$SYSROOT"
}
