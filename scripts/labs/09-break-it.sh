# 09 Break it
#
# Each common error, made on purpose: what it says, and how it is mended.
. "$LABS/lab.sh"

oci-copy -q "oci:$LAB_IMAGE:busybox" oci:store:busybox >/dev/null
# breaks NAME COMMAND: shows an error, and keeps what it said.
breaks() {
	printf '%s$ %s%s\n' "$bold" "$2" "$plain"
	status=0
	(eval "$2") >"$1.out" 2>"$1.err" || status=$?
	cat "$1.err"
	echo "$status" >"$1.status"
	say "(status $status)"
}

title "A tag that is not there"
breaks tag 'oci-unpack store:busibox bundle'

title "A registry's name where a layout's belongs"
breaks registry 'oci-unpack docker://busybox bundle'

title "A damaged blob"
show 'cp -r store damaged'
show 'layer=damaged/blobs/$(jq -r ".layers[0].digest" damaged/blobs/$(jq -r ".manifests[0].digest" damaged/index.json | tr : /) | tr : /)'
show 'printf X | dd of=$layer bs=1 seek=1000 conv=notrunc status=none'
breaks digest 'oci-unpack damaged:busybox bundle'
show 'ls -A'
say "Nothing half-made is left."

title "A program that is not in the image"
show 'oci-unpack -q store:busybox bundle >/dev/null'
show 'oci-genspec bundle -- no-such-program >/dev/null'
breaks notfound 'oci-run -b bundle'

title "One that is no program"
show 'oci-genspec bundle -- /etc/passwd >/dev/null'
breaks notexec 'oci-run -b bundle'

title "A terminal where there is none"
show 'oci-genspec --tty bundle -- sh >/dev/null'
breaks tty 'echo $PWD/bundle | setsid -w oci-run'

title "A pipe whose first command fails"
breaks pipe 'oci-unpack store:nope other | oci-genspec -- sh | oci-run'

title "An upper directory where the kernel allows none"
if mount -t overlay 2>/dev/null >&2 || [ "$(id -u)" = 0 ]; then
	show 'mkdir -p on/lower on/upper on/work on/merged'
	show 'mount -t overlay overlay -o lowerdir=on/lower,upperdir=on/upper,workdir=on/work on/merged'
	breaks upper 'oci-mount store:busybox on/merged/bundle'
	show 'umount on/merged'
fi

title "The bundle is there already"
breaks taken 'oci-unpack store:busybox bundle'
