# The words in which the .check files are written: results in TAP.
# shellcheck shell=sh
set -u
checks=0 wrong=0

# ok COMMAND NAME [WHY]: runs the command line; NAME says what it shows, WHY
# what is wrong when it fails.
ok() {
	checks=$((checks + 1))
	if (eval "$1") >/dev/null 2>&1; then
		printf 'ok %s - %s\n' "$checks" "$2"
	else
		wrong=$((wrong + 1))
		printf 'not ok %s - %s\n' "$checks" "$2"
		[ $# -lt 3 ] || printf '# why: %s\n' "$3"
	fi
}

# is GOT WANT NAME [WHY]: compares two words.
is() {
	checks=$((checks + 1))
	if [ "$1" = "$2" ]; then
		printf 'ok %s - %s\n' "$checks" "$3"
	else
		wrong=$((wrong + 1))
		printf 'not ok %s - %s\n# got:  %s\n# want: %s\n' "$checks" "$3" "$1" "$2"
		[ $# -lt 4 ] || printf '# why: %s\n' "$4"
	fi
}

# skip NAME WHY
skip() {
	checks=$((checks + 1))
	printf 'ok %s - %s # SKIP %s\n' "$checks" "$1" "$2"
}

# with PROGRAM NAME: whether the program is there; if not, NAME is skipped.
with() {
	command -v "$1" >/dev/null && return
	skip "$2" "$1 is not installed: apt-get install $1"
	return 1
}

# finish ends the check: the plan, and the status.
finish() {
	printf '1..%s\n' "$checks"
	exit "$wrong"
}

# The layout's parts, by hand.
manifest_of() { jq -r --arg tag "$2" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $tag) | .digest' "$1/index.json"; }
blob() { printf '%s/blobs/%s\n' "$1" "$(printf %s "$2" | tr : /)"; }
