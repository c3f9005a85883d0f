# 02 Copy an image, and look inside
#
# From a registry into a directory, and from there by hand down to a file.
. "$LABS/lab.sh"

say "(there is a registry on this machine, at \$LAB_REGISTRY, and an image in it: lab02)"
prepare 'oci-copy -q --dest-tls-verify=false "oci:$LAB_IMAGE:busybox" "docker://$LAB_REGISTRY/lab02:latest"'

if have skopeo; then
	title "The stock tool: skopeo"
	show 'skopeo copy -q --src-tls-verify=false docker://$LAB_REGISTRY/lab02 oci:stock:busybox'
fi

title "Ours"
show 'oci-copy --src-tls-verify=false docker://$LAB_REGISTRY/lab02 oci:store:busybox'
say "It prints the name of what it made, and nothing else: the next command can read it."

title "From the tag to the manifest, to the config, to the layer"
show 'find store -type f | sort'
show 'jq . store/index.json'
show 'manifest=$(jq -r ".manifests[0].digest" store/index.json | tr : /)'
show 'jq . store/blobs/$manifest'
show 'config=$(jq -r .config.digest store/blobs/$manifest | tr : /)'
show 'jq "{architecture, os, config, rootfs}" store/blobs/$config'
show 'layer=$(jq -r ".layers[0].digest" store/blobs/$manifest | tr : /)'
show 'gzip -dc store/blobs/$layer | tar -tvf - >files && head -n 5 files'

title "Between transports"
say "An archive for docker load, in a file:"
show 'oci-copy oci:store:busybox docker-archive:image.tar:lab02:latest'
show 'tar -tf image.tar'
say "And an archive can go through a pipe, for example through ssh:"
show 'oci-copy -q oci:store:busybox oci-archive:- | oci-copy oci-archive:- oci:other:busybox'
