# cut, loss, heal, status. Sourced, never run.
# shellcheck shell=bash
#
# Everything is one kind of rule: node R drops what comes from node S on link L, always or with a
# probability. It is always the receiver that drops, as a broken network would: a sender whose own
# packet filter refuses gets EPERM, which no cable ever says. The rules in force are lines
# `R S L PERCENT` in DIR/faults; a node's table is rendered from them and replaced in one go.

declare -A FAULTS=()

lab_shape() {
	[[ -f $DIR/shape && -f $DIR/lab.pid ]] || die "there is no lab in $DIR: begin with: $ME up 3"
	read -r NODES LINKS <"$DIR/shape"
}

# The number of a node, from its name.
lab_node_number() {
	[[ $1 =~ ^n([1-9][0-9]?)$ ]] && ((BASH_REMATCH[1] <= NODES)) ||
		usage_error "there is no node '$1': nodes are n1 to n$NODES"
	printf '%s' "${BASH_REMATCH[1]}"
}

lab_link_list() {
	if [[ -z ${1:-} ]]; then
		seq 0 $((LINKS - 1))
		return
	fi
	[[ $1 =~ ^[0-7]$ ]] && (($1 < LINKS)) || usage_error "there is no link '$1': links are 0 to $((LINKS - 1))"
	printf '%s' "$1"
}

faults_load() {
	local r s l p
	# Two at once would lose one another's rules.
	exec {FAULTS_LOCK}<"$DIR/shape"
	flock -w 10 "$FAULTS_LOCK" || die "another $ME works on $DIR"
	FAULTS=()
	[[ -f $DIR/faults ]] || return 0
	while read -r r s l p; do FAULTS["$r $s $l"]=$p; done <"$DIR/faults"
}

# fault R S L PERCENT: what is cut stays cut until `heal`; a new loss replaces an old one.
fault() {
	[[ ${FAULTS["$1 $2 $3"]:-} == 100 ]] || FAULTS["$1 $2 $3"]=$4
}

# faults_apply R…: renders and loads the tables of these nodes, then remembers the rules.
faults_apply() {
	local r key pids=() failed=''
	for r in "$@"; do
		{
			printf 'table inet lab\ndelete table inet lab\ntable inet lab {\n'
			printf ' chain input {\n  type filter hook input priority -10; policy accept;\n'
			for key in "${!FAULTS[@]}"; do
				local to from link
				read -r to from link <<<"$key"
				[[ $to == "$r" ]] || continue
				if ((FAULTS[$key] == 100)); then
					printf '  ip saddr 10.77.%s.%s drop\n' "$link" "$from"
				else
					printf '  ip saddr 10.77.%s.%s numgen random mod 100 < %s drop\n' "$link" "$from" "${FAULTS[$key]}"
				fi
			done
			printf ' }\n}\n'
		} >"$DIR/n$r/faults.nft"
		"$REPO/scripts/lab" --dir "$DIR" exec "n$r" nft -f - <"$DIR/n$r/faults.nft" &
		pids+=($!)
	done
	for r in "${pids[@]}"; do wait "$r" || failed=1; done
	[[ -z $failed ]] || die "nft failed: the kernel needs nf_tables (and nft_numgen for loss): modprobe nf_tables nft_numgen"
	: >"$DIR/faults.new"
	for key in "${!FAULTS[@]}"; do echo "$key ${FAULTS[$key]}" >>"$DIR/faults.new"; done
	mv "$DIR/faults.new" "$DIR/faults"
}

lab_cut() {
	lab_shape
	local oneway='' a b='' link='' l links k
	if [[ ${1:-} == --one-way ]]; then
		oneway=1
		shift
		(($# == 2 || $# == 3)) || usage_error "cut --one-way A B [LINK]"
	fi
	(($# >= 1 && $# <= 3)) || usage_error "cut A B [LINK], or cut A [LINK]"
	a=$(lab_node_number "$1")
	if [[ ${2:-} =~ ^[0-9]+$ ]]; then
		(($# == 2)) && [[ -z $oneway ]] || usage_error "cut A B [LINK], or cut A [LINK]"
		link=$2
	elif (($# >= 2)); then
		b=$(lab_node_number "$2")
		[[ $a != "$b" ]] || usage_error "cut: '$1' and '$2' are the same node"
		link=${3:-}
	fi
	links=$(lab_link_list "$link")
	faults_load
	local touched=()
	if [[ -n $b ]]; then
		for l in $links; do
			fault "$b" "$a" "$l" 100
			[[ -n $oneway ]] || fault "$a" "$b" "$l" 100
		done
		touched=("$b")
		[[ -n $oneway ]] || touched+=("$a")
	else
		for ((k = 1; k <= NODES; k++)); do
			touched+=("$k")
			[[ $k != "$a" ]] || continue
			for l in $links; do
				fault "$k" "$a" "$l" 100
				fault "$a" "$k" "$l" 100
			done
		done
	fi
	faults_apply "${touched[@]}"
}

lab_loss() {
	lab_shape
	(($# == 3 || $# == 4)) || usage_error "loss A B PERCENT [LINK]"
	local a b l links
	a=$(lab_node_number "$1")
	b=$(lab_node_number "$2")
	[[ $a != "$b" ]] || usage_error "loss: '$1' and '$2' are the same node"
	[[ $3 =~ ^[0-9]{1,3}$ ]] && ((10#$3 <= 100)) || usage_error "loss: the percentage is 0 to 100, not '$3'"
	links=$(lab_link_list "${4:-}")
	faults_load
	for l in $links; do
		fault "$a" "$b" "$l" $((10#$3))
		fault "$b" "$a" "$l" $((10#$3))
	done
	faults_apply "$a" "$b"
}

lab_heal() {
	lab_shape
	(($# == 0)) || usage_error "heal takes no arguments"
	faults_load
	local k all=()
	for k in $(cut -d' ' -f1 "$DIR/faults" 2>/dev/null | sort -un); do all+=("$k"); done
	FAULTS=()
	((${#all[@]} == 0)) || faults_apply "${all[@]}"
}

# One line a node: its name, its addresses, and who runs there, with pids as seen in the node.
lab_status() {
	lab_shape
	(($# == 0)) || usage_error "status takes no arguments"
	local k l addrs
	for ((k = 1; k <= NODES; k++)); do
		addrs=
		for ((l = 0; l < LINKS; l++)); do addrs+=${addrs:+,}10.77.$l.$k; done
		# shellcheck disable=SC2016
		"$REPO/scripts/lab" --dir "$DIR" exec "n$k" bash -c '
			for f in /proc/[0-9]*/comm; do
				{ read -r comm <"$f"; } 2>/dev/null || continue
				pid=${f#/proc/} pid=${pid%/comm}
				case $comm in
				clusmgr) m+=${m:+,}$pid ;;
				corosync) c+=${c:+,}$pid ;;
				esac
			done
			echo "$1 $2 clusmgr ${m:--} corosync ${c:--}"' - "n$k" "$addrs" 2>/dev/null ||
			echo "n$k $addrs off"
	done
}
