# What scripts/install does. Sourced, never run.
# shellcheck shell=bash
#
# MANIFEST has a line for each change, written before it is made, so that a killed run can be undone.
# A PATH in it begins below DESTDIR.
#   prefix DIR           where the programs are
#   dir PATH             made, to be removed if empty
#   new SHA256 PATH      a file or link that was not there
#   was N SHA256 PATH    one that was there: its original is BACKUP/N
#   gone N PATH          removed; its original is BACKUP/N
# SHA256 is that of what we put there last: what was edited since is left where it is. While a file is
# being replaced there are two of them, as OLD,NEW.

RECORD='' MANIFEST='' BACKUP=''

# The record is one for all prefixes: the init files, which are not below any, belong to one of them.
install_begin() {
	RECORD=$DESTDIR/var/lib/clusmgr-install
	MANIFEST=$RECORD/manifest
	BACKUP=$RECORD/backup
	local had=''
	[[ ! -f $MANIFEST ]] || had=$(sed -n '/^prefix /{s///p;q}' "$MANIFEST")
	[[ -v PREFIX ]] || PREFIX=${had:-/usr} PREFIX=${PREFIX%/}
	[[ -z $had || ${had%/} == "$PREFIX" ]] ||
		die "clusmgr is installed with --prefix $had: give that, or first --uninstall"
}

# Says a step; true if it is to be done.
step() {
	if [[ -n $DRY ]]; then
		printf 'would %s\n' "$*"
		return 1
	fi
	printf '%s\n' "$*"
}

# The digest of a file, or of where a link points; - for nothing.
digest() {
	local sum
	if [[ -L $1 ]]; then
		sum=$(printf 'link:%s' "$(readlink -- "$1")" | sha256sum)
	elif [[ -f $1 ]]; then
		sum=$(sha256sum <"$1")
	else
		sum=-
	fi
	printf '%s' "${sum%% *}"
}

# The manifest's line on a path, if it has one.
noted() {
	local line
	set -- "${1#"$DESTDIR"}"
	[[ -f $MANIFEST ]] || return 1
	while read -r line; do
		case $line in
		"new "*" $1" | "was "*" $1" | "gone "*" $1")
			printf '%s' "$line"
			return 0
			;;
		esac
	done <"$MANIFEST"
	return 1
}

# note WORDS PATH: replaces the manifest's line on a path, or adds one.
note() {
	local path=${2#"$DESTDIR"} line
	{
		if [[ -f $MANIFEST ]]; then
			while read -r line; do
				case $line in
				"new "*" $path" | "was "*" $path" | "gone "*" $path") ;;
				*) printf '%s\n' "$line" ;;
				esac
			done <"$MANIFEST"
		fi
		printf '%s %s\n' "$1" "$path"
	} >"$MANIFEST.new"
	mv -f -- "$MANIFEST.new" "$MANIFEST"
}

# Drops the manifest's line on a path: nothing of it is left to undo.
forget() {
	local path=${1#"$DESTDIR"} line
	[[ -z $DRY ]] || return 0
	while read -r line; do
		case $line in
		"new "*" $path" | "was "*" $path" | "gone "*" $path") ;;
		*) printf '%s\n' "$line" ;;
		esac
	done <"$MANIFEST" >"$MANIFEST.new"
	mv -f -- "$MANIFEST.new" "$MANIFEST"
}

# Whether the backup that a line of the manifest names is there.
backed() {
	local n
	[[ $1 == was\ * || $1 == gone\ * ]] || return 1
	read -r _ n _ <<<"$1"
	[[ -e $BACKUP/$n || -L $BACKUP/$n ]]
}

# Makes a directory with its parents, and notes those that were not there.
make_dirs() {
	local dir=$1 missing=()
	while [[ ! -d $dir ]]; do
		[[ ! -e $dir && ! -L $dir ]] || die "$dir is in the way: it is no directory"
		missing=("$dir" "${missing[@]}")
		dir=${dir%/*}
		[[ -n $dir ]] || dir=/
	done
	for dir in "${missing[@]}"; do
		if [[ -f $MANIFEST ]]; then
			printf 'dir %s\n' "${dir#"$DESTDIR"}" >>"$MANIFEST"
		else
			EARLY+=("$dir")
		fi
		mkdir -- "$dir" || die "cannot make $dir"
	done
}

# Where our records go, made before anything else.
open_record() {
	[[ -z $DRY ]] || return 0
	EARLY=()
	make_dirs "$BACKUP"
	[[ -f $MANIFEST ]] || : >"$MANIFEST" || die "cannot write $MANIFEST"
	local dir
	for dir in "${EARLY[@]}"; do
		[[ $dir == "$RECORD"* ]] || printf 'dir %s\n' "${dir#"$DESTDIR"}" >>"$MANIFEST"
	done
	grep -q '^prefix ' "$MANIFEST" || printf 'prefix %s\n' "${PREFIX:-/}" >>"$MANIFEST"
}

# A number that no backup has, nor will get.
free_number() {
	local n=1
	while [[ -e $BACKUP/$n || -L $BACKUP/$n ]] || grep -qE "^(was|gone) $n " "$MANIFEST"; do n=$((n + 1)); done
	printf '%s' "$n"
}

# keep PATH N: keeps what is there. By another name first, so that a number has a whole one.
keep() {
	cp -a -- "$1" "$BACKUP/.new" && mv -T -- "$BACKUP/.new" "$BACKUP/$2" || die "cannot keep a copy of $1"
}

# Where a file or link is made, to be moved to a path.
beside() { printf '%s/.%s.clusmgr-new' "${1%/*}" "${1##*/}"; }

# ours LINE PATH: whether a path has what this line of the manifest says that we put there.
ours() {
	local sums
	case $1 in
	new\ *) read -r _ sums _ <<<"$1" ;;
	was\ *) read -r _ _ sums _ <<<"$1" ;;
	*) return 1 ;;
	esac
	[[ ,$sums, == *,"$(digest "$2")",* ]]
}

# put_ready NEW PATH WHAT: moves a file or link that was made in RECORD to PATH.
put_ready() {
	local new=$1 path=$2 what=$3 sum line n old='' kind=new
	sum=$(digest "$new")
	[[ ! -d $path || -L $path ]] || die "$path is in the way: it is a directory"
	line=$(noted "$path") || line=
	# A run that was killed has noted what it did not come to.
	[[ $line != was\ * && $line != gone\ * ]] || backed "$line" || line=
	if [[ ! -e $path && ! -L $path ]]; then
		printf '%s %s\n' "$what" "$path"
	elif ours "$line" "$path"; then
		printf '%s %s: replaced an earlier one of ours\n' "$what" "$path"
		old=$(digest "$path"),
	else
		n=$(free_number)
		# What comes back is what was there first.
		if [[ -z $line ]]; then
			line="was $n"
			note "$line $sum" "$path"
		fi
		keep "$path" "$n"
		printf '%s %s: what was there is kept as %s\n' "$what" "$path" "$BACKUP/$n"
	fi
	case $line in
	was\ * | gone\ *)
		read -r _ n _ <<<"$line"
		kind="was $n"
		;;
	esac
	note "$kind $old$sum" "$path"
	cp -dp -- "$new" "$(beside "$path")" && mv -fT -- "$(beside "$path")" "$path" || die "cannot write $path"
	[[ -z $old ]] || note "$kind $sum" "$path"
	rm -f -- "$new"
}

# put FILE PATH MODE: installs a file. The paths in text files follow --prefix.
put() {
	local path=$DESTDIR$2 new=$RECORD/new
	if [[ -n $DRY ]]; then
		if [[ -e $path || -L $path ]]; then
			cmp -s <(cooked "$1" 2>/dev/null) "$path" && printf '%s is there already\n' "$path" && return 0
			if ours "$(noted "$path")" "$path"; then
				printf 'would install %s, in place of an earlier one of ours\n' "$path"
			else
				printf 'would install %s, and keep what is there\n' "$path"
			fi
		else
			printf 'would install %s\n' "$path"
		fi
		return 0
	fi
	make_dirs "${path%/*}"
	cooked "$1" >"$new" && chmod "$3" "$new" || die "cannot write $new"
	if [[ ! -L $path && -f $path && $(stat -c %a "$path") == "${3#0}" ]] && cmp -s "$new" "$path"; then
		rm -f -- "$new"
		printf '%s is there already\n' "$path"
		return 0
	fi
	put_ready "$new" "$path" "installed"
}

cooked() {
	case $1 in
	"$BIN"/*) cat -- "$1" ;;
	*) sed "s|/usr/sbin/clusmgr|$PREFIX/sbin/clusmgr|g" -- "$1" ;;
	esac
}

# link TARGET PATH WHAT: makes a link.
link() {
	local path=$DESTDIR$2 new=$RECORD/new
	if [[ -L $path && $(readlink -- "$path") == "$1" ]]; then
		printf '%s: %s is there already\n' "$3" "$path"
		return 0
	fi
	step "$3: link $path to $1" || return 0
	make_dirs "${path%/*}"
	ln -sfT -- "$1" "$new" || die "cannot make $new"
	put_ready "$new" "$path" "linked"
}

# drop PATH WHY: removes a file or link, and keeps it.
drop() {
	local path=$DESTDIR$1 n line
	[[ -e $path || -L $path ]] || return 0
	step "$2: remove $path" || return 0
	if line=$(noted "$path") && backed "$line"; then
		rm -f -- "$path"
		return 0
	fi
	n=$(free_number)
	note "gone $n" "$path"
	keep "$path" "$n"
	rm -f -- "$path" || die "cannot remove $path"
}

install_programs() {
	BIN=${CLUSMGR_BIN_DIR:-$TARGET/release}
	BIN=$(realpath -m -- "$BIN")
	if [[ ! -x $BIN/clusmgr || ! -x $BIN/clusmgrctl ]]; then
		[[ -z ${CLUSMGR_BIN_DIR:-} ]] || die "$BIN has no clusmgr and clusmgrctl"
		step "build clusmgr and clusmgrctl (cargo build --release)" && {
			check_cargo
			(cd "$REPO" && cargo build --release --locked) || die "the build failed: see above"
		}
	fi
	put "$BIN/clusmgr" "$PREFIX/sbin/clusmgr" 0755
	put "$BIN/clusmgrctl" "$PREFIX/sbin/clusmgrctl" 0755
}

install_papers() {
	local page
	for page in "$REPO"/scripts/man/*.[1-8]; do
		[[ -f $page ]] || continue
		put "$page" "$PREFIX/share/man/man${page##*.}/${page##*/}" 0644
	done
	[[ -x $BIN/clusmgrctl ]] || return 0
	local words
	words=$(mktemp) || die "cannot make a file in ${TMPDIR:-/tmp}"
	if "$BIN/clusmgrctl" completion bash >"$words"; then
		put "$words" "$PREFIX/share/bash-completion/completions/clusmgrctl" 0644
	fi
	rm -f -- "$words"
}

which_init() {
	[[ $INIT == auto ]] || return 0
	if [[ -n $DESTDIR ]]; then
		if [[ -e $DESTDIR/usr/lib/systemd/systemd || -e $DESTDIR/lib/systemd/systemd ]]; then INIT=systemd; else INIT=sysv; fi
	elif [[ -d /run/systemd/system ]]; then
		INIT=systemd
	else
		INIT=sysv
	fi
	printf 'init is %s\n' "$INIT"
}

install_default() {
	if [[ -e $DESTDIR/etc/default/clusmgr || -L $DESTDIR/etc/default/clusmgr ]]; then
		printf '%s is there already, and stays as it is\n' "$DESTDIR/etc/default/clusmgr"
	else
		put "$REPO/scripts/init/default" /etc/default/clusmgr 0644
	fi
}

# Drop-ins apply by the unit's name, to ours too: a Restart= or a Type= for the distribution's unit
# makes it one that systemd refuses. Those that are there before ours is are kept aside; what a
# package has is masked. Those that come later are meant for ours.
set_drop_ins_aside() {
	local etc=/etc/systemd/system/corosync.service.d file
	for file in "$DESTDIR"{/run/systemd/system,/etc/systemd/system.control,/run/systemd/system.control}/corosync.service.d/*.conf; do
		[[ ! -f $file ]] || say "$file applies to our corosync.service too: look whether it fits"
	done
	if noted "$DESTDIR/etc/systemd/system/corosync.service" >/dev/null; then
		for file in "$DESTDIR$etc"/*.conf; do
			[[ ! -f $file ]] || printf '%s applies to our corosync.service, and stays\n' "$file"
		done
	else
		for file in "$DESTDIR$etc"/*.conf; do
			[[ $(readlink -- "$file") == /dev/null ]] ||
				drop "${file#"$DESTDIR"}" "set a drop-in aside that is for the distribution's corosync.service"
		done
	fi
	for file in "$DESTDIR"{/usr,/usr/local,}/lib/systemd/system/corosync.service.d/*.conf; do
		[[ -f $file ]] || continue
		[[ ! -e $DESTDIR$etc/${file##*/} && ! -L $DESTDIR$etc/${file##*/} ]] || continue
		link /dev/null "$etc/${file##*/}" "mask $file, which is for the distribution's corosync.service"
	done
}

install_systemd() {
	local etc=/etc/systemd/system
	put "$REPO/scripts/init/clusmgr.service" $etc/clusmgr.service 0644
	if [[ -e $DESTDIR/lib/systemd/system/corosync.service || -e $DESTDIR/usr/lib/systemd/system/corosync.service ]]; then
		printf '%s/corosync.service takes the place of the distribution'\''s\n' "$etc"
	fi
	set_drop_ins_aside
	put "$REPO/scripts/init/corosync.service" $etc/corosync.service 0644
	link $etc/clusmgr.service $etc/multi-user.target.wants/clusmgr.service "enable clusmgr"
	# What else wants or requires corosync.service stays: by such a link the name counts, wherever it
	# points, and the name is ours now.
	link $etc/corosync.service $etc/multi-user.target.wants/corosync.service "enable ours"
	reload_systemd
}

reload_systemd() {
	[[ -z $DESTDIR && -d /run/systemd/system ]] || return 0
	step "let systemd read its units again" || return 0
	systemctl daemon-reload || say "systemctl daemon-reload failed: run it by hand"
}

# Whether init starts by the scripts' headers, as Debian's does: links made by hand are not heeded.
by_headers() {
	[[ -z $DESTDIR ]] || return 1
	command -v insserv >/dev/null || [[ -x /usr/lib/insserv/insserv ]]
}

# order_scripts defaults|remove: lets init find out what starts when.
order_scripts() {
	if command -v update-rc.d >/dev/null; then
		set -- update-rc.d clusmgr "$1"
	elif [[ $1 == defaults ]]; then
		set -- insserv clusmgr
	else
		set -- insserv
	fi
	step "let init order its scripts anew: $*" || return 0
	"$@" || say "$* failed: run it by hand"
}

install_sysv() {
	put "$REPO/scripts/init/clusmgr" /etc/init.d/clusmgr 0755
	local n link
	# Ours provides `corosync`, which Pacemaker's script requires, and no two scripts may. The
	# distribution's would start and stop corosync behind clusmgr's back besides.
	for link in "$DESTDIR"/etc/rc[0-6S].d/[SK][0-9][0-9]corosync; do
		[[ -L $link ]] || continue
		drop "${link#"$DESTDIR"}" "disable the distribution's /etc/init.d/corosync, as clusmgr starts corosync"
	done
	drop /etc/init.d/corosync "set the distribution's script aside"
	if by_headers; then
		order_scripts defaults
		return
	fi
	# Where corosync's links are: after the network, before what needs a cluster.
	for n in 2 3 4 5; do link ../init.d/clusmgr "/etc/rc$n.d/S19clusmgr" "enable clusmgr"; done
	for n in 0 1 6; do link ../init.d/clusmgr "/etc/rc$n.d/K81clusmgr" "enable clusmgr"; done
	[[ -z $DESTDIR ]] ||
		printf 'If the init of %s starts by dependencies (insserv, as Debian), run there: update-rc.d clusmgr defaults\n' "$DESTDIR"
}

take_lock() {
	[[ -z $DRY ]] || return 0
	exec {LOCK}<"$DESTDIR/" || die "cannot use $DESTDIR/"
	flock -n "$LOCK" || die "another installation, or its undo, is under way in $DESTDIR/"
}

install_all() {
	install_begin
	which_init
	[[ -n $DRY ]] || mkdir -p -- "$DESTDIR/" || die "cannot make $DESTDIR"
	take_lock
	open_record
	install_programs
	install_papers
	install_default
	"install_$INIT"
	[[ -z $DRY ]] || return 0
	printf 'Nothing was started. corosync.conf and authkey are as they were; the first start of clusmgr takes them over.\n'
	case $INIT in
	systemd) printf 'Start it: systemctl start clusmgr      After an upgrade: systemctl restart clusmgr\n' ;;
	sysv) printf 'Start it: /etc/init.d/clusmgr start      After an upgrade: /etc/init.d/clusmgr upgrade\n' ;;
	esac
}

# undo_line LINE: one line of the manifest.
undo_line() {
	local kind n sum path
	case $1 in
	new\ *)
		read -r kind sum path <<<"$1"
		path=$DESTDIR$path
		[[ -n $DRY ]] || rm -f -- "$(beside "$path")"
		if [[ ! -e $path && ! -L $path ]]; then
			:
		elif ! ours "$1" "$path"; then
			printf '%s was changed since, and stays\n' "$path"
		elif step "remove $path"; then
			rm -f -- "$path" || die "cannot remove $path"
		fi
		forget "$path"
		;;
	was\ * | gone\ *)
		read -r kind n sum path <<<"$1"
		[[ $kind == was ]] || read -r kind n path <<<"$1"
		path=$DESTDIR$path
		[[ -n $DRY ]] || rm -f -- "$(beside "$path")"
		if ! backed "$1"; then
			forget "$path"
			return 0
		fi
		if [[ $(digest "$path") == "$(digest "$BACKUP/$n")" ]]; then
			[[ -n $DRY ]] || rm -f -- "$BACKUP/$n"
		elif [[ -e $path || -L $path ]] && ! ours "$1" "$path"; then
			printf '%s was changed since, and stays; what was there before is %s\n' "$path" "$BACKUP/$n"
		elif step "put $path back"; then
			mv -fT -- "$BACKUP/$n" "$path" || die "cannot put $path back"
		fi
		# What could not be put back stays noted, with its backup.
		backed "$1" || forget "$path"
		;;
	dir\ *)
		path=$DESTDIR${1#dir }
		[[ -d $path ]] || return 0
		step "remove $path if it is empty" || return 0
		rmdir -- "$path" 2>/dev/null || :
		;;
	esac
}

# Without its program and unit a clusmgr that runs can be neither stopped nor upgraded.
refuse_while_running() {
	local pid='' name='' pidfile=/run/clusmgr/clusmgr.pid
	[[ -z $DESTDIR && -z $DRY ]] || return 0
	# Who has moved it has told the init script so, which reads that file in the same way.
	# shellcheck disable=SC1091
	[[ ! -r /etc/default/clusmgr ]] || pidfile=$(
		set +u
		PIDFILE=$pidfile
		. /etc/default/clusmgr >&2
		printf %s "$PIDFILE"
	)
	if [[ -r $pidfile ]]; then
		read -r pid <"$pidfile" || :
		[[ ! $pid =~ ^[0-9]+$ ]] || read -r name 2>/dev/null <"/proc/$pid/comm" || :
	fi
	if [[ $name == clusmgr ]] || { [[ -d /run/systemd/system ]] && systemctl -q is-active clusmgr.service; }; then
		die "clusmgr runs: end it first (systemctl stop clusmgr, or /etc/init.d/clusmgr stop), or leave corosync running with: kill -QUIT ${pid:-PID}"
	fi
}

install_undo() {
	install_begin
	[[ ! -d $DESTDIR/ ]] || take_lock
	refuse_while_running
	[[ -f $MANIFEST ]] || die "nothing of ours is there: $MANIFEST does not exist (another --destdir?)"
	local lines=() before=() i
	mapfile -t lines <"$MANIFEST"
	before=("${lines[@]}")
	# Directories last, the deepest first.
	for ((i = ${#lines[@]} - 1; i >= 0; i--)); do [[ ${lines[i]} == dir\ * ]] || undo_line "${lines[i]}"; done
	mapfile -t lines < <(printf '%s\n' "${before[@]}" | grep '^dir ' | sort -ru)
	# The record goes after all that it tells of but the directories that it is in.
	for i in "${!lines[@]}"; do [[ $RECORD/ == "$DESTDIR${lines[i]#dir }"/* ]] || undo_line "${lines[i]}"; done
	if [[ -z $DRY ]]; then
		rm -f -- "$BACKUP/.new" "$RECORD/new"
		if rmdir -- "$BACKUP" 2>/dev/null; then
			rm -rf -- "$RECORD"
		else
			printf '%s has what was edited or could not be put back, and stays\n' "$BACKUP"
			# What is left there is bound to no prefix.
			sed -i '/^prefix /d' "$MANIFEST"
		fi
	fi
	for i in "${!lines[@]}"; do [[ $RECORD/ != "$DESTDIR${lines[i]#dir }"/* ]] || undo_line "${lines[i]}"; done
	reload_systemd
	[[ ${before[*]} != *" /etc/init.d/clusmgr"* ]] || ! by_headers || order_scripts remove
	[[ -z $DRY ]] || return 0
	printf 'What clusmgr keeps (%s/var/lib/clusmgr) stays, and so do corosync.conf and authkey.\n' "$DESTDIR"
}
