# The words in which the labs are written; they begin with: . "$LABS/lab.sh"
#
# LAB_MODE is what is wanted of a lab: "prepare" does what the learner finds done,
# "text" prints what the learner reads and types, "walk" prepares, prints and runs.
# shellcheck shell=sh
set -eu

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
	bold='' dim='' plain=''
fi

runs() { [ "$LAB_MODE" != text ]; }
reads() { [ "$LAB_MODE" != prepare ]; }

# prepare COMMAND: what is done for the learner.
prepare() { if runs; then eval "$1" >/dev/null; fi; }

# title TEXT, say TEXT: what the learner reads.
title() { if reads; then printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; fi; }
say() { if reads; then printf '%s%s%s\n' "$dim" "$*" "$plain"; fi; }

# show [COMMAND]: what the learner types, here or on standard input; a walk runs
# it in this shell.
show() {
	[ $# -gt 0 ] || set -- "$(cat)"
	if reads; then printf '%s$ %s%s\n' "$bold" "$1" "$plain"; fi
	[ "$LAB_MODE" != walk ] || eval "$1"
}

# What a lab is about stands at its beginning.
if reads; then
	printf '%s' "$bold"
	sed -n '/^#/!q; s/^# \{0,1\}//p' "$0"
	printf '%s' "$plain"
fi

# have PROGRAM...: whether the stock tools of a lab are all there.
have() {
	for program; do
		command -v "$program" >/dev/null || {
			say "($program is not installed, so this half of the lab is left out: apt-get install $program)"
			return 1
		}
	done
}
