# 01 An image by hand
#
# An image is a few JSON documents and a tar. Here you write them all: the
# layer, the config, the manifest, the index.
. "$LABS/lab.sh"

# Any static busybox will do; the lab takes that of its image.
prepare 'gzip -dc "$LAB_IMAGE/blobs/$(jq -r ".layers[0].digest" "$LAB_IMAGE/blobs/$(jq -r ".manifests[0].digest" "$LAB_IMAGE/index.json" | tr : /)" | tr : /)" | tar -xf - -O bin/busybox >busybox && chmod +x busybox'

say "(there is a program here that needs no libraries: busybox)"
title "The layer: a tar of what the container shall see"
show 'mkdir -p rootfs/bin && cp busybox rootfs/bin/busybox && ln -s busybox rootfs/bin/sh'
show 'tar --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 -C rootfs -cf layer.tar .'
show 'gzip -n <layer.tar >layer.tar.gz'
say "Two digests of one layer. The diffID is that of the tar, which is the content;"
say "the digest is that of the bytes as they are stored and sent. Compress the same"
say "tar in another way, and only the digest changes. (image-spec: config.md, descriptor.md)"
show 'diffid=sha256:$(sha256sum <layer.tar | cut -d" " -f1)'
show 'layer=sha256:$(sha256sum <layer.tar.gz | cut -d" " -f1)'
show 'echo $diffid $layer | tee digests'

title "The layout: a directory in which each blob is named by its digest"
show 'mkdir -p hand/blobs/sha256'
show <<'EOT'
echo '{"imageLayoutVersion": "1.0.0"}' >hand/oci-layout
EOT
say "put FILE: stores a blob, and prints what a descriptor says of it"
show <<'EOT'
put() { sum=$(sha256sum <$1 | cut -d" " -f1); cp $1 hand/blobs/sha256/$sum; echo "\"digest\": \"sha256:$sum\", \"size\": $(wc -c <$1)"; }
EOT

title "The config: how to run it, and which layers it is made of, by diffID"
show 'arch=$(uname -m | sed "s/x86_64/amd64/;s/aarch64/arm64/")'
show <<'EOT'
cat >config.json <<END
{
  "architecture": "$arch",
  "os": "linux",
  "config": {"Cmd": ["/bin/sh"]},
  "rootfs": {"type": "layers", "diff_ids": ["$diffid"]}
}
END
EOT

title "The manifest: the config and the layers, by digest and size"
show <<'EOT'
cat >manifest.json <<END
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {"mediaType": "application/vnd.oci.image.config.v1+json", $(put config.json)},
  "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", $(put layer.tar.gz)}]
}
END
EOT
show 'cat manifest.json'

title "The index: the names of manifests"
show <<'EOT'
cat >hand/index.json <<END
{
  "schemaVersion": 2,
  "manifests": [{
    "mediaType": "application/vnd.oci.image.manifest.v1+json", $(put manifest.json),
    "annotations": {"org.opencontainers.image.ref.name": "mine"}
  }]
}
END
EOT
show 'find hand -type f'
if have skopeo; then
	say "Another program takes it for an image:"
	show 'skopeo inspect oci:hand:mine'
fi

title "The same with our tools: one command"
show 'tar --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 -C rootfs -c . | oci-commit --from scratch --cmd /bin/sh - oci:tool:mine'
say "Both are images to them, and the same tree comes out:"
show 'oci-unpack hand:mine hand-bundle'
show 'oci-unpack tool:mine tool-bundle'
show 'diff -r --no-dereference hand-bundle/rootfs tool-bundle/rootfs && echo the same'
