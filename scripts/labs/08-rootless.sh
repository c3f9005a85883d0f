# 08 Without root
#
# An ordinary user has no right to mount, to chown, to make devices. A user
# namespace gives some of it back: inside it one is root, outside one is not.
. "$LABS/lab.sh"

# The learner's home in this lab, and a program that goes there as the user.
prepare_home() {
	mkdir -p home/bin home/run home/data
	chmod 0700 home/run
	cp -r "$LAB_IMAGE" home/image
	# The tools may be in a directory that is closed to others.
	for tool in oci-unpack oci-mount oci-genspec oci-run; do cp "$(command -v "$tool")" home/bin; done
	become=
	if [ "$(id -u)" = 0 ]; then
		chown -R 65534:65534 home
		become='setpriv --reuid=65534 --regid=65534 --clear-groups'
	fi
	home=$PWD/home
	cat >as-user <<-EOT
		#!/bin/sh
		cd '$home' || exit
		[ \$# -gt 0 ] || set -- "\${SHELL:-sh}"
		exec $become env HOME='$home' PATH='$home/bin':"\$PATH" XDG_RUNTIME_DIR='$home/run' \\
			XDG_DATA_HOME='$home/data' OCI_ROOT='$home/state' "\$@"
	EOT
	chmod 0755 as-user
}
prepare prepare_home

# The user's commands, each in a shell of its own when the lab walks by itself.
user_shows() {
	if [ "$LAB_MODE" = walk ]; then
		printf '%s$ %s%s\n' "$bold" "$1" "$plain"
		./as-user sh -euc "$1"
	else
		show "$1"
	fi
}
# A user's shell, for those who type.
user_enters() { [ "$LAB_MODE" = walk ] || show "$1"; }

say "This begins a shell in a home of its own, in which there is an image, image:busybox."
say "If you are root, you are not so in there: you are the user nobody."
user_enters './as-user'

title "A user namespace: root inside, nobody outside"
user_shows 'id -u'
user_shows 'unshare --user --map-root-user sh -c "id -u; cat /proc/self/uid_map"'

if have umoci runc; then
	title "The stock tools: umoci --rootless, runc with a directory of its own"
	user_shows 'umoci unpack --rootless --image image:busybox stock-bundle'
	user_shows "jq '.process.terminal = false | .process.args = [\"id\", \"-u\"]' stock-bundle/config.json >edited && mv edited stock-bundle/config.json"
	user_shows 'runc --root "$XDG_RUNTIME_DIR/stock" run -b stock-bundle lab08-stock >stock.out'
fi

title "Ours"
user_shows 'oci-unpack image:busybox bundle'
say "All files are the user's; what the image says of owners is kept beside them."
user_shows 'oci-genspec --rootless bundle -- id -u'
user_shows 'oci-run -b bundle >ours.out'
user_shows 'cat ours.out'

title "A mount without root lives in a namespace, and ends with it"
say "So the plain form cannot work, and says what does:"
user_shows 'oci-mount image:busybox 2>hint || echo $? >status'
user_shows 'cat hint'
user_shows 'oci-mount image:busybox -- sh -c "echo changed >rootfs/etc/motd; cat rootfs/etc/motd" >chain.out'

user_enters exit
