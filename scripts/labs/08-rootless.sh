# 08 Without root
#
# An ordinary user has no right to mount, to chown, to make devices. A user
# namespace gives some of it back: inside it one is root, outside one is not.
. "$LABS/lab.sh"

user=$(id -u)
as_user=
if [ "$user" = 0 ]; then
	say "(you are root; the lab goes on as the user nobody)"
	chmod 0755 .
	mkdir -p home/bin && chown 65534:65534 home
	# The tools may be in a directory that is closed to others.
	cp "$(command -v oci-unpack)" "$(command -v oci-mount)" "$(command -v oci-genspec)" "$(command -v oci-run)" home/bin
	PATH=$LAB/home/bin:$PATH
	cp -r "$LAB_IMAGE" home/image
	chown -R 65534:65534 home
	as_user='setpriv --reuid=65534 --regid=65534 --clear-groups env HOME='$LAB'/home XDG_RUNTIME_DIR='$LAB'/home/run XDG_DATA_HOME='$LAB'/home/data OCI_ROOT='$LAB'/home/state'
	mkdir home/run home/data && chown 65534:65534 home/run home/data && chmod 0700 home/run
else
	mkdir home && cp -r "$LAB_IMAGE" home/image
fi
cd home
# The user's commands, each in a shell of its own.
user_shows() {
	printf '%s$ %s%s\n' "$bold" "$1" "$plain"
	$as_user sh -euc "$1"
}

title "A user namespace: root inside, nobody outside"
user_shows 'unshare --user --map-root-user sh -c "id -u; cat /proc/self/uid_map"'

if have umoci runc; then
	title "The stock tools: umoci --rootless, runc with a directory of its own"
	user_shows 'umoci unpack --rootless --image image:busybox stock-bundle'
	user_shows 'jq ".process.terminal = false | .process.args = [\"id\", \"-u\"]" stock-bundle/config.json >edited && mv edited stock-bundle/config.json'
	user_shows 'runc --root "$XDG_RUNTIME_DIR/stock" run -b stock-bundle lab08-stock >stock.out'
fi

title "Ours"
user_shows 'oci-unpack image:busybox bundle'
say "All files are the user's; what the image says of owners is kept beside them."
user_shows 'oci-genspec --rootless bundle -- id -u'
user_shows 'oci-run -b bundle >ours.out'

title "A mount without root lives in a namespace, and ends with it"
say "So the plain form cannot work, and says what does:"
printf '%s$ oci-mount image:busybox%s\n' "$bold" "$plain"
status=0
$as_user oci-mount image:busybox 2>hint || status=$?
cat hint
echo "$status" >status
user_shows 'oci-mount image:busybox -- sh -c "echo changed >rootfs/etc/motd; cat rootfs/etc/motd" >chain.out'
