# 03 Unpack to a bundle, and run it with runc
#
# The tutorial of skopeo, umoci and runc: a bundle is a rootfs and a config.json.
# Needs root.
. "$LABS/lab.sh"

say "(there is an image in a layout, whose path is in \$LAB_IMAGE)"

if have skopeo umoci runc; then
	title "The stock tools: skopeo, umoci, runc"
	show 'skopeo copy -q oci:${LAB_IMAGE}:busybox oci:stock:busybox'
	show 'umoci unpack --image stock:busybox stock-bundle'
	show 'ls stock-bundle'
	say "umoci's config asks for a shell on a terminal. Without a terminal runc would"
	say "fail, so the config is edited first:"
	show <<'EOT'
jq '.process.terminal = false | .process.args = ["hostname"]' stock-bundle/config.json >edited && mv edited stock-bundle/config.json
EOT
	show 'runc run -b stock-bundle lab03-stock >stock.out'
fi

title "Ours: one stage, one command"
show 'oci-copy oci:${LAB_IMAGE}:busybox oci:store:busybox'
show 'oci-unpack store:busybox bundle'
show 'ls bundle'
show 'oci-genspec bundle -- hostname'
if have runc; then
	say "The bundle is one for any runtime:"
	show 'runc run -b bundle lab03 >runc.out'
fi
say "and oci-run ends as the program ends:"
show 'oci-genspec bundle -- sh -c "exit 42" | oci-run || echo $? >status'
show 'cat status'

title "The manifest of the tree"
say "It tells what was unpacked: names, types, modes, owners, times, digests. Change"
say "the tree, and --check says what differs."
show 'head -n 8 bundle/*.mtree'
show 'oci-unpack --check bundle'
show 'echo changed >>bundle/rootfs/etc/passwd'
show 'oci-unpack --check bundle >differences || echo "it ended with status $?"'
show 'cat differences'
