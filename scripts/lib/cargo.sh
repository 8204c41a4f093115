# Whether there is a Rust that can build this. Sourced, never run.
# shellcheck shell=bash

check_cargo() {
	local advice='on Debian 13: apt-get install cargo; on Debian 12: apt-get install cargo-web (from its security archive); or rustup, see https://rustup.rs' v major minor
	command -v cargo >/dev/null || die "no Rust (cargo) here: $advice"
	v=$(cargo --version 2>/dev/null) || die "cargo does not run: $advice"
	[[ $v =~ ([0-9]+)\.([0-9]+) ]] || die "cannot make sense of cargo's version '$v': $advice"
	major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
	((major > 1 || minor >= 85)) || die "cargo is $major.$minor, and 1.85 or newer is needed: $advice"
}
