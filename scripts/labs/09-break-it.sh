# 09 Break it
#
# Each common error, made on purpose: what it says, and how it is mended.
# Needs root.
. "$LABS/lab.sh"

say "(there is an image in a layout, store:busybox)"
prepare 'oci-copy -q "oci:$LAB_IMAGE:busybox" oci:store:busybox'

say "try NAME COMMAND: runs it, and keeps what it prints, what it says and its status."
show 'try() { name=$1 code=0; shift; sh -c "$*" >$name.out 2>$name.err || code=$?; echo $code >$name.status; cat $name.err; echo "(status $code)"; }'

title "A tag that is not there"
show 'try tag oci-unpack store:busibox bundle'

title "A registry's name where a layout's belongs"
show 'try registry oci-unpack docker://busybox bundle'

title "A damaged blob"
show 'cp -r store damaged'
show 'layer=damaged/blobs/$(jq -r ".layers[0].digest" damaged/blobs/$(jq -r ".manifests[0].digest" damaged/index.json | tr : /) | tr : /)'
show 'printf X | dd of=$layer bs=1 seek=1000 conv=notrunc status=none'
show 'try digest oci-unpack damaged:busybox bundle'
show 'ls -A'
say "There is no bundle: nothing half-made is left."

title "A program that is not in the image"
show 'oci-unpack -q store:busybox bundle'
show 'oci-genspec -q bundle -- no-such-program'
show 'try notfound oci-run -b bundle'

title "One that is no program"
show 'oci-genspec -q bundle -- /etc/passwd'
show 'try notexec oci-run -b bundle'

title "A terminal where there is none"
say "(setsid takes the terminal away)"
show 'oci-genspec -q --tty bundle -- sh'
show 'try tty "echo $PWD/bundle | setsid -w oci-run"'

title "A pipe whose first command fails"
show 'try pipe "oci-unpack store:nope other | oci-genspec -- sh | oci-run"'

title "An upper directory where the kernel allows none"
show 'mkdir -p on/lower on/upper on/work on/merged'
show 'mount -t overlay overlay -o lowerdir=on/lower,upperdir=on/upper,workdir=on/work on/merged'
show 'try upper oci-mount store:busybox on/merged/bundle'
show 'umount on/merged'

title "The bundle is there already"
show 'try taken oci-unpack store:busybox bundle'
