# 01 An image by hand
#
# An image is a few JSON documents and a tar. Here you write them all: the
# layer, the config, the manifest, the index.
. "$LABS/lab.sh"

title "The layer: a tar of what the container shall see"
show 'mkdir -p rootfs/bin && cp "$(command -v busybox)" rootfs/bin/busybox && ln -s busybox rootfs/bin/sh'
show 'tar --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 -C rootfs -cf layer.tar .'
show 'gzip -n <layer.tar >layer.tar.gz'
say "Two digests of one layer. The diffID is that of the tar, which is the content;"
say "the digest is that of the bytes as they are stored and sent. Compress the same"
say "tar in another way, and only the digest changes. (image-spec: config.md, descriptor.md)"
show 'diffid=sha256:$(sha256sum <layer.tar | cut -d" " -f1)'
show 'layer=$(sha256sum <layer.tar.gz | cut -d" " -f1)'

title "The layout: a directory in which each blob is named by its digest"
show 'mkdir -p hand/blobs/sha256'
show 'echo "{\"imageLayoutVersion\":\"1.0.0\"}" >hand/oci-layout'
say "put FILE: stores a blob, and prints its descriptor without the media type"
show 'put() { sum=$(sha256sum <"$1" | cut -d" " -f1); cp "$1" "hand/blobs/sha256/$sum"; printf "\"digest\":\"sha256:%s\",\"size\":%s" "$sum" "$(wc -c <"$1")"; }'

title "The config: how to run it, and which layers it is made of, by diffID"
show 'arch=$(uname -m | sed "s/x86_64/amd64/;s/aarch64/arm64/")'
show 'printf "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"/bin/sh\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}" "$arch" "$diffid" >config.json'

title "The manifest: the config and the layers, by digest and size"
show 'layer_desc=$(put layer.tar.gz) config_desc=$(put config.json)'
show 'printf "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",%s},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",%s}]}" "$config_desc" "$layer_desc" >manifest.json'

title "The index: the names of manifests"
show 'manifest_desc=$(put manifest.json)'
show 'printf "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",%s,\"annotations\":{\"org.opencontainers.image.ref.name\":\"mine\"}}]}" "$manifest_desc" >hand/index.json'
show 'printf "%s\n%s\n" "$diffid" "$layer" >digests'

title "The same with our tools: one command"
show 'tar --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 -C rootfs -c . | oci-commit --from scratch --cmd /bin/sh - oci:tool:mine'
show 'oci-unpack hand:mine hand-bundle'
show 'oci-unpack tool:mine tool-bundle'
