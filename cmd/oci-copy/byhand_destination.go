package main

import (
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// storeIn tells the first and the last steps for a destination. All of them
// collect the blobs in a layout, which for most is a temporary one.
func storeIn(inv *cli.Invocation, dst string) (begin explain.Step, end []explain.Step, ok bool) {
	transport, name, _ := strings.Cut(dst, ":")
	dir, tag, vacant := `"$work/layout"`, "", ""
	switch transport {
	case "oci":
		to, err := layout.ParseReference(dst)
		if err != nil || to.Tag == "" || to.Digest != "" {
			return begin, nil, false
		}
		dir, tag, vacant = explain.Quote(to.Dir), to.Tag, "\n"+refuseForeign
		end = []explain.Step{nameIt()}
	case "oci-archive":
		var path string
		path, tag, _ = strings.Cut(name, ":")
		end = []explain.Step{nameIt(), packLayout(absolute(path))}
	case "dir":
		vacant = "\nout=" + explain.Quote(absolute(name)) + "\n" + refuseFilled
		end = []explain.Step{fillDir()}
	case "docker-archive":
		path, names, _ := strings.Cut(name, ":")
		end = []explain.Step{packDocker(absolute(path), names)}
	case "docker":
		end = pushTo(inv, strings.TrimPrefix(name, "//"))
	default:
		return begin, nil, false
	}
	begin = explain.Step{
		Action:  "make the layout",
		Command: "dst=" + dir + " tag=" + explain.Quote(tag) + vacant + "\n" + makeLayout,
		Why:     "a layout is a directory with oci-layout, index.json and blobs", Ref: "image-spec, image-layout.md",
	}
	return begin, end, true
}

func nameIt() explain.Step {
	return explain.Step{
		Action:  "name the manifest in index.json",
		Command: nameManifest,
		Why:     "the name comes last: a tag means that all it needs is there", Ref: "image-spec, annotations.md",
	}
}

func packLayout(path string) explain.Step {
	return explain.Step{
		Action:  "pack the layout",
		Command: "tar -cf " + explain.Quote(path) + ` -C "$dst" oci-layout blobs index.json`,
		Why:     "an oci-archive is a layout in a tar file", Ref: "containers-transports(5)",
	}
}

func fillDir() explain.Step {
	return explain.Step{
		Action: "fill the directory",
		Command: `mkdir -p "$out"
mv "$dst"/blobs/sha256/* "$out"
mv "$work/manifest" "$out/manifest.json"
echo 'Directory Transport Version: 1.1' >"$out/version"`,
		Why: "a directory holds one image, its files named by their digests", Ref: "containers-transports(5)",
	}
}

func packDocker(path, names string) explain.Step {
	tags := "[]"
	if names != "" {
		name, tag := splitName(names)
		tags = `["` + name + ":" + tag + `"]` // the grammar of names has no quotes
	}
	return explain.Step{
		Action:  "decompress the layers, and pack all for docker load",
		Command: "tags=" + explain.Quote(tags) + "\n" + dockerFiles + "\ntar -cf " + explain.Quote(path) + ` -C "$work/docker" .`,
		Why:     "Docker's archive has the layers as plain tar files; the config's diff_ids are their digests", Ref: "docker-save(1)",
	}
}

func pushTo(inv *cli.Invocation, dst string) []explain.Step {
	name, ref := splitName(dst)
	return []explain.Step{{
		Action:  "ask the registry for a token, if it wants one",
		Command: registryVariables(inv, "dest", name, ref) + " actions=pull,push\n" + registryAuth,
		Why:     "who may push has to say who he is; this asks without an account", Ref: "distribution-spec; docs.docker.com, token authentication",
	}, {
		Action:  "send the blobs that the registry lacks",
		Command: pushBlobs,
		Why:     "an upload is begun with POST, which tells where to PUT the bytes", Ref: "distribution-spec, Pushing blobs",
	}, {
		Action:  "send the manifest",
		Command: pushManifest,
		Why:     "the name comes last: a tag means that all it needs is there", Ref: "distribution-spec, Pushing manifests",
	}}
}

const refuseFilled = `[ -z "$(ls -A "$out" 2>/dev/null)" ] || refuse "$out is not empty"`

const refuseForeign = `[ -e "$dst/oci-layout" ] || [ -z "$(ls -A "$dst" 2>/dev/null)" ] || { echo "$dst is not empty and not an OCI layout" >&2; exit 1; }`

const makeLayout = `mkdir -p "$dst/blobs/sha256"
[ -e "$dst/oci-layout" ] || echo '{"imageLayoutVersion":"1.0.0"}' >"$dst/oci-layout"
[ -e "$dst/index.json" ] || echo '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}' >"$dst/index.json"`

const mediaType = `type=$(jq -r '.mediaType // "application/vnd.oci.image.manifest.v1+json"' "$work/manifest")
`

const nameManifest = `size=$(wc -c <"$work/manifest")
` + mediaType + `mv "$work/manifest" "$dst/blobs/sha256/${digest#sha256:}"
jq -c --arg tag "$tag" --arg digest "$digest" --arg type "$type" --argjson size "$size" '.manifests |= map(select(.annotations["org.opencontainers.image.ref.name"] != $tag)) + [{mediaType: $type, digest: $digest, size: $size} + if $tag == "" then {} else {annotations: {"org.opencontainers.image.ref.name": $tag}} end]' "$dst/index.json" >"$work/index"
mv "$work/index" "$dst/index.json"`

const dockerFiles = `mkdir "$work/docker"
config=$(jq -r '.config.digest | ltrimstr("sha256:")' "$work/manifest")
cp "$dst/blobs/sha256/$config" "$work/docker/$config.json"
jq -r '.layers[] | "\(.digest) \(.mediaType)"' "$work/manifest" >"$work/layers"
jq -r '.rootfs.diff_ids[]' "$work/docker/$config.json" | paste -d' ' - "$work/layers" | while read -r diff layer type; do
	case $type in *gzip) unpack='gzip -dc' ;; *zstd) unpack='zstd -dc' ;; *) unpack=cat ;; esac
	$unpack <"$dst/blobs/sha256/${layer#sha256:}" >"$work/docker/${diff#sha256:}.tar"
	check "$diff" "$work/docker/${diff#sha256:}.tar"
done
jq -cj --arg config "$config.json" --argjson tags "$tags" '[{Config: $config, RepoTags: $tags, Layers: [.rootfs.diff_ids[] | ltrimstr("sha256:") + ".tar"]}]' "$work/docker/$config.json" >"$work/docker/manifest.json"`

const pushBlobs = `for blob in $(jq -r '.config.digest, .layers[].digest' "$work/manifest"); do
	if get -I -o /dev/null "$registry/v2/$repository/blobs/$blob" 2>/dev/null; then continue; fi
	location=$(get -X POST -D - -o /dev/null "$registry/v2/$repository/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: *//p')
	case $location in /*) location=$registry$location ;; esac
	case $location in *\?*) location="$location&digest=$blob" ;; *) location="$location?digest=$blob" ;; esac
	get -T "$dst/blobs/sha256/${blob#sha256:}" -o /dev/null "$location"
done`

const pushManifest = mediaType + `get -X PUT -H "Content-Type: $type" --data-binary "@$work/manifest" -o /dev/null "$registry/v2/$repository/manifests/$ref"`
