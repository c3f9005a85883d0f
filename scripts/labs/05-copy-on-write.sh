# 05 Copy-on-write mounts
#
# The tutorial of podman, buildah and runc: mount an image instead of unpacking
# it, take the config.json that podman made, and point it at the mount.
# Needs root.
. "$LABS/lab.sh"

say "(there is an image in a layout, store:busybox)"
prepare 'oci-copy -q "oci:$LAB_IMAGE:busybox" oci:store:busybox'

if have buildah podman runc; then
	title "The stock tools: buildah for the mount, podman for the config, runc to run"
	show 'ctr=$(buildah from oci:store:busybox)'
	show 'm=$(buildah mount $ctr)'
	show 'ls $m'
	say "podman accepts any program as its runtime, so that one which copies the"
	say "config.json shows what podman would have run:"
	show <<'EOT'
cat >capture <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
  --bundle | -b) bundle=$2 ;;
  create | run) verb=$1 ;;
  state) echo '{"status": "stopped"}'; exit ;;
  features | --version) exec runc "$@" ;;
  esac
  shift
done
[ -z "${verb-}" ] || cp "$bundle/config.json" "$(dirname "$0")/podman.json"
exit 1
END
EOT
	show 'chmod +x capture'
	show 'buildah commit -q $ctr localhost/lab05 >/dev/null'
	run='podman --runtime $PWD/capture run --rm --network none --ulimit host localhost/lab05 cat /etc/passwd 2>podman.log || echo "podman takes the container for failed"'
	show "$run"
	# Its locks are shared by all of the machine, and can fail it before it gets there.
	[ "$LAB_MODE" != walk ] || [ -e podman.json ] || show "$run"
	say "Its root.path belongs to podman, and so do some of its mounts; both must go:"
	show 'mkdir -p stock-bundle'
	show <<'EOT'
jq --arg m "$m" '.root.path = $m | .mounts |= map(select(.type != "bind")) | del(.process.rlimits, .linux.cgroupsPath, .hooks)' podman.json >stock-bundle/config.json
EOT
	show 'runc run -b stock-bundle lab05-stock-$$ >stock.out'
	show 'head -n 1 stock.out'
	show 'buildah umount $ctr >/dev/null; buildah rm $ctr >/dev/null'
fi

title "Ours: the mount is a name in a pipe"
show 'oci-mount store:busybox bundle'
show 'oci-genspec bundle -- sh -c "echo written >/new; rm /etc/group; cat /etc/passwd"'
show 'oci-run -b bundle >ours.out'
title "What was changed lies in the bundle; the layers are as they were"
say "The removed file is a whiteout here, too: a character device 0, 0."
show 'ls -lA bundle/upper bundle/upper/etc'
show 'oci-mount --diff bundle | tee differences'
show 'oci-mount --list'
title "The same in one pipe, and a second container on the same layers"
show 'oci-mount store:busybox | oci-genspec -- ls / | oci-run --rm >second.out'
show 'cat second.out'
show 'oci-mount --rm bundle'
title "Without a bundle: the chain form"
show 'oci-mount store:busybox -- ls rootfs >chain.out'
