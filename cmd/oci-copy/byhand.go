package main

import (
	"runtime"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// byHand describes a copy into a layout, from a registry or another layout,
// with curl, jq, cp and sha256sum. It reports false for a copy that takes more
// than that: other transports, accounts, conversions, several images.
func byHand(inv *cli.Invocation, src, dst string) ([]explain.Step, bool) {
	for _, f := range inv.Flags {
		switch name := f.Names()[0]; name {
		case "src-tls-verify", "tls-verify", "dest-tls-verify", "insecure-policy", "platform":
		default:
			if inv.IsSet(name) {
				return nil, false
			}
		}
	}
	to, err := layout.ParseReference(dst)
	if err != nil || to.Tag == "" || to.Digest != "" || !strings.HasPrefix(dst, "oci:") {
		return nil, false
	}
	platform, ok := onePlatform(inv)
	if !ok {
		return nil, false
	}
	first := []explain.Step{{
		Action:  "make the layout",
		Command: "dst=" + explain.Quote(to.Dir) + " tag=" + explain.Quote(to.Tag) + "\n" + makeLayout,
		Why:     "a layout is a directory with oci-layout, index.json and blobs", Ref: "image-spec, image-layout.md",
	}}
	var fetch []explain.Step
	switch from, err := layout.ParseReference(src); {
	case strings.HasPrefix(src, "docker://"):
		fetch, ok = fromRegistry(inv, src)
	case err == nil && strings.HasPrefix(src, "oci:") && from.Tag != "" && from.Digest == "":
		fetch, ok = fromLayout(from), true
	default:
		return nil, false
	}
	if !ok {
		return nil, false
	}
	rest := []explain.Step{{
		Action:  "choose the platform",
		Command: "platform=" + explain.Quote(platform.OS+"/"+platform.Architecture) + " variant=" + explain.Quote(platform.Variant) + "\n" + choosePlatform,
		Why:     "an index lists one manifest for each platform", Ref: "image-spec, image-index.md",
	}, {
		Action:  "fetch the config and the layers, and check each",
		Command: fetchBlobs,
		Why:     "a blob that does not hash to its name is not the one that the manifest means", Ref: "image-spec, descriptor.md",
	}, {
		Action:  "name the manifest in index.json",
		Command: nameManifest,
		Why:     "the name comes last: a tag means that all it needs is there", Ref: "image-spec, annotations.md",
	}}
	return append(append(first, fetch...), rest...), true
}

func onePlatform(inv *cli.Invocation) (layout.Platform, bool) {
	switch given := inv.StringSlice("platform"); len(given) {
	case 0:
		return layout.Platform{OS: "linux", Architecture: runtime.GOARCH}, true
	case 1:
		p, err := layout.ParsePlatform(given[0])
		return p, err == nil
	default:
		return layout.Platform{}, false
	}
}

// fromLayout defines fetch_manifest and fetch_blob for a layout on disk.
func fromLayout(from layout.Reference) []explain.Step {
	return []explain.Step{{
		Action: "read the tag in the other layout",
		Command: "src=" + explain.Quote(from.Dir) + " ref=" + explain.Quote(from.Tag) + `
path() { echo "blobs/$(echo "$1" | tr : /)"; }
digest=$(jq -r --arg ref "$ref" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $ref) | .digest' "$src/index.json")
fetch_manifest() { cp "$src/$(path "$1")" "$2"; }
fetch_blob() { cp "$src/$(path "$1")" "$2"; }
fetch_manifest "$digest" "$work/manifest"`,
		Why: "index.json tells which manifest a tag names", Ref: "image-spec, image-layout.md",
	}}
}

// fromRegistry defines them for a registry, after the token that it may ask
// for.
func fromRegistry(inv *cli.Invocation, src string) ([]explain.Step, bool) {
	name := strings.TrimPrefix(src, "docker://")
	ref := "latest"
	if before, digest, ok := strings.Cut(name, "@"); ok {
		name, ref = before, digest
	} else if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name, ref = name[:i], name[i+1:]
	}
	host, repository, ok := strings.Cut(name, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, repository = "docker.io", name
	}
	if host == "docker.io" {
		host = "registry-1.docker.io"
		if !strings.Contains(repository, "/") {
			repository = "library/" + repository
		}
	}
	insecure := ""
	for _, flag := range []string{"src-tls-verify", "tls-verify"} {
		if inv.IsSet(flag) && !inv.Bool(flag) {
			insecure = "\n" + `insecure=-k; curl -sko /dev/null "$registry/v2/" || registry=http://${registry#https://}`
		}
	}
	return []explain.Step{{
		Action:  "ask the registry for a token, if it wants one",
		Command: "registry=https://" + explain.Quote(host) + " repository=" + explain.Quote(repository) + " ref=" + explain.Quote(ref) + " insecure=" + insecure + "\n" + registryAuth,
		Why:     "a public image needs no account, but often a token for anonymous reading", Ref: "distribution-spec; docs.docker.com, token authentication",
	}, {
		Action:  "fetch the manifest",
		Command: registryFetch,
		Why:     "the Accept header lists the types that we understand", Ref: "distribution-spec, Pulling manifests",
	}}, true
}

const makeLayout = `mkdir -p "$dst/blobs/sha256"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -e "$dst/oci-layout" ] || echo '{"imageLayoutVersion":"1.0.0"}' >"$dst/oci-layout"
[ -e "$dst/index.json" ] || echo '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}' >"$dst/index.json"`

const registryAuth = `challenge=$(curl -sS $insecure -o /dev/null -D - "$registry/v2/" | tr -d '\r' | grep -i '^www-authenticate: *bearer' || :)
token=
if [ -n "$challenge" ]; then
	realm=$(echo "$challenge" | sed 's/.*realm="\([^"]*\)".*/\1/')
	service=$(echo "$challenge" | sed -n 's/.*service="\([^"]*\)".*/\1/p')
	token=$(curl -fsSG $insecure --data-urlencode "service=$service" --data-urlencode "scope=repository:$repository:pull" "$realm" | jq -r '.token // .access_token')
fi
get() { curl -fsSL $insecure ${token:+-H "Authorization: Bearer $token"} "$@"; }`

const registryFetch = `types='application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json'
fetch_manifest() { get -H "Accept: $types" -o "$2" "$registry/v2/$repository/manifests/$1"; }
fetch_blob() { get -o "$2" "$registry/v2/$repository/blobs/$1"; }
fetch_manifest "$ref" "$work/manifest"
digest=sha256:$(sha256sum <"$work/manifest" | cut -d' ' -f1)`

const choosePlatform = `check() { echo "${1#sha256:}  $2" | sha256sum -c --quiet -; }
check "$digest" "$work/manifest"
if jq -e '.manifests' "$work/manifest" >/dev/null; then
	digest=$(jq -r --arg platform "$platform" --arg variant "$variant" '[.manifests[] | select("\(.platform.os)/\(.platform.architecture)" == $platform and ($variant == "" or .platform.variant == $variant))][0].digest // empty' "$work/manifest")
	[ -n "$digest" ] || { echo "no image for $platform $variant" >&2; exit 3; }
	fetch_manifest "$digest" "$work/manifest"
	check "$digest" "$work/manifest"
fi`

const fetchBlobs = `for blob in $(jq -r '.config.digest, .layers[].digest' "$work/manifest"); do
	file=$dst/blobs/sha256/${blob#sha256:}
	[ ! -e "$file" ] || check "$blob" "$file" 2>/dev/null || rm "$file"
	[ -e "$file" ] || { fetch_blob "$blob" "$work/blob" && check "$blob" "$work/blob" && mv "$work/blob" "$file"; }
done`

const nameManifest = `size=$(wc -c <"$work/manifest")
type=$(jq -r '.mediaType // "application/vnd.oci.image.manifest.v1+json"' "$work/manifest")
mv "$work/manifest" "$dst/blobs/sha256/${digest#sha256:}"
jq -c --arg tag "$tag" --arg digest "$digest" --arg type "$type" --argjson size "$size" '.manifests |= map(select(.annotations["org.opencontainers.image.ref.name"] != $tag)) + [{mediaType: $type, digest: $digest, size: $size, annotations: {"org.opencontainers.image.ref.name": $tag}}]' "$dst/index.json" >"$work/index"
mv "$work/index" "$dst/index.json"`
