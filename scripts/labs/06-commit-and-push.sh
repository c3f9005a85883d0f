# 06 Commit, push, pull
#
# Change the tree, make a layer of the change, push the image, and run it with
# an engine.
# Needs root.
. "$LABS/lab.sh"

say "(there is an image in a layout, store:busybox, and a registry at \$LAB_REGISTRY)"
prepare 'oci-copy -q "oci:$LAB_IMAGE:busybox" oci:store:busybox'

if have umoci skopeo; then
	title "The stock tools: umoci and skopeo"
	show 'cp -r store stock'
	show 'umoci unpack --image stock:busybox stock-bundle'
	show 'echo stock >stock-bundle/rootfs/etc/motd'
	show 'umoci repack --image stock:mine stock-bundle'
	show 'skopeo copy -q --dest-tls-verify=false oci:stock:mine docker://$LAB_REGISTRY/lab06:stock'
fi

title "Ours: change inside a container"
show 'oci-mount store:busybox bundle'
show 'oci-genspec bundle -- sh -c "echo ours >/etc/motd; rm /etc/group"'
show 'oci-run -b bundle'
show 'oci-commit --diff bundle | tee differences'
show <<'EOT'
oci-commit --cmd '["cat", "/etc/motd"]' bundle oci:store:mine
EOT
title "The new image has the old layer, and one more"
say "A removed file is in the layer, too: as an empty file .wh.NAME, a whiteout."
show <<'EOT'
manifest=$(jq -r '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == "mine") | .digest' store/index.json | tr : /)
EOT
show 'jq ".layers[].digest" store/blobs/$manifest'
show 'gzip -dc store/blobs/$(jq -r ".layers[1].digest" store/blobs/$manifest | tr : /) | tar -tvf - | tee layer'
title "Push it, and let an engine run it"
show 'oci-copy --dest-tls-verify=false oci:store:mine docker://$LAB_REGISTRY/lab06:mine'
if have podman; then
	say "(the limits are those that a container in a container may set; yours need none)"
	show 'podman run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --tls-verify=false --quiet $LAB_REGISTRY/lab06:mine >podman.out'
	show 'cat podman.out'
fi
show 'oci-mount --rm bundle'
