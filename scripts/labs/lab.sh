# The words in which the labs are written; they begin with: . "$LABS/lab.sh"
# shellcheck shell=sh
set -eu

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
	bold='' dim='' plain=''
fi

# title TEXT, say TEXT: what the learner reads.
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }

# show COMMAND: prints the command line, and runs it in this shell.
show() {
	printf '%s$ %s%s\n' "$bold" "$1" "$plain"
	eval "$1"
}

# fails COMMAND: like show, for a command whose failure is the lesson. Its
# status is left in $status.
fails() {
	printf '%s$ %s%s\n' "$bold" "$1" "$plain"
	status=0
	(eval "$1") || status=$?
	say "(it ended with status $status)"
}

# have PROGRAM...: whether the stock tools of a lab are all there.
have() {
	for program; do
		command -v "$program" >/dev/null || {
			say "($program is not installed, so this half of the lab is left out: apt-get install $program)"
			return 1
		}
	done
}

# The engines keep what they make in the lab's directory, not in the system's.
skopeo() { command skopeo --insecure-policy "$@"; }
buildah() { command buildah --root "$LAB/c" --runroot "$LAB/r" --storage-driver overlay "$@"; }
podman() { command podman --root "$LAB/c" --runroot "$LAB/r" --cgroup-manager cgroupfs --runtime runc "$@"; }
