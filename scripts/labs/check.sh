# The words in which the .check files are written: results in TAP.
# shellcheck shell=sh
set -u
checks=0 wrong=0

# right NAME, not_right NAME [WHY]: one result.
right() {
	checks=$((checks + 1))
	printf 'ok %s - %s\n' "$checks" "$1"
}
not_right() {
	checks=$((checks + 1)) wrong=1
	printf 'not ok %s - %s\n' "$checks" "$1"
	[ -z "${2-}" ] || printf '# why: %s\n' "$2"
}

# ok COMMAND NAME WHY: runs the command line; NAME says what it shows, WHY
# what is wrong when it fails.
ok() {
	if (eval "$1") >/dev/null 2>&1; then right "$2"; else not_right "$2" "$3"; fi
}

# is GOT WANT NAME WHY: compares two words.
is() {
	if [ "$1" = "$2" ]; then
		right "$3"
	else
		not_right "$3" "$4"
		printf '# got:  %s\n# want: %s\n' "${1:-nothing}" "$2"
	fi
}

# made FILE...: whether the steps that make these files were done. If not, it
# says which they are: the lab's first that name the file.
made() {
	all=0
	for file; do
		[ ! -s "$file" ] || continue
		all=1
		not_right "${file##*/} is made" "it is not there, or empty; this step of the lab makes it:"
		word=$(printf %s "$file" | sed 's/\./\\./g')
		step=$(LAB_MODE=text sh "$LABS/${LAB##*/}.sh" |
			grep -E "^\\$.*(^|[^[:alnum:]_.-])$word([^[:alnum:]_.-]|\$)" | sed -n 1p)
		printf '#   %s\n' "$step"
		case $step in *'|| echo $? >'*) printf '# (what stands behind || is done only when the command before it fails)\n' ;; esac
	done
	return "$all"
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

# no_mounts: that the lab has left none.
no_mounts() {
	ok '! grep -q " $LAB/" /proc/self/mountinfo' 'nothing is mounted any more' \
		'oci-mount --list shows what is; oci-mount --rm --all, or umount, removes it'
}

# finish ends the check: the plan, and the status.
finish() {
	printf '1..%s\n' "$checks"
	exit "$wrong"
}

# The layout's parts, by hand.
manifest_of() { jq -r --arg tag "$2" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $tag) | .digest' "$1/index.json"; }
blob() { printf '%s/blobs/%s\n' "$1" "$(printf %s "$2" | tr : /)"; }
