package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// byHand describes a copy with curl, tar, jq, cp and sha256sum. It reports
// false for a copy that takes more than that: daemons and stores, archives of
// Docker as sources, accounts, several images. What only the image itself can
// tell, such as a manifest to convert, ends the script.
func (l *lesson) byHand(src, dst string) ([]explain.Step, bool) {
	inv := l.inv
	for _, f := range inv.Command.Flags {
		if name := f.Names()[0]; inv.IsSet(name) && !takenByHand[name] {
			return nil, false
		}
	}
	platform, ok := onePlatform(inv)
	if !ok {
		return nil, false
	}
	fetch, ok := fetchFrom(inv, src)
	if !ok {
		return nil, false
	}
	begin, end, ok := storeIn(inv, dst)
	if !ok {
		return nil, false
	}
	room := `rm -rf "$work"` + "\nwork=$(mktemp -d)\n"
	if !l.begun {
		room = "work=$(mktemp -d)\ntrap 'rm -rf \"$work\"' EXIT\n"
	}
	begin.Command = room + refuse + "\n" + begin.Command
	choose := "platform=" + explain.Quote(platform.OS+"/"+platform.Architecture) + " variant=" + explain.Quote(platform.Variant) + "\n" + choosePlatform
	if inv.IsSet("platform") {
		choose += "\n" + elsePlatform
	}
	rest := []explain.Step{{
		Action:  "choose the platform",
		Command: choose + "\nfi" + kept(dst),
		Why:     "an index lists one manifest for each platform", Ref: "image-spec, image-index.md",
	}, {
		Action:  "fetch the config and the layers, and check each",
		Command: fetchBlobs,
		Why:     "a blob that does not hash to its name is not the one that the manifest means", Ref: "image-spec, descriptor.md",
	}}
	return slices.Concat([]explain.Step{begin}, fetch, rest, end), true
}

// takenByHand are the flags that a script by hand heeds, or that do not change
// what is copied.
var takenByHand = map[string]bool{
	"src-tls-verify": true, "tls-verify": true, "dest-tls-verify": true, "src-no-creds": true, "dest-no-creds": true,
	"platform": true, "insecure-policy": true, "batch": true, "jobs": true, "image-parallel-copies": true, "progress": true,
}

func onePlatform(inv *cli.Invocation) (layout.Platform, bool) {
	switch given := inv.StringSlice("platform"); len(given) {
	case 0:
		return layout.HostPlatform(), true
	case 1:
		p, err := layout.ParsePlatform(given[0])
		return p, err == nil
	default:
		return layout.Platform{}, false
	}
}

// absolute is a path as it means the same anywhere, and does not look like a
// flag; the path - of an archive is a stream.
func absolute(path string) string {
	if path == "-" {
		return path
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// kept ends the script where the copy would not keep the bytes.
func kept(dst string) string {
	switch transport, _, _ := strings.Cut(dst, ":"); transport {
	case "oci", "oci-archive":
		return "\n" + refuseDocker + "\n" + refuseUncompressed
	case "docker":
		return "\n" + refuseUncompressed
	default:
		return ""
	}
}

const refuse = `refuse() { echo "$1: that takes oci-copy itself" >&2; exit 1; }`

const choosePlatform = `check() { echo "${1#sha256:}  $2" | sha256sum -c --quiet -; }
check "$digest" "$work/manifest"
if jq -e '.manifests' "$work/manifest" >/dev/null; then
	digest=$(jq -r --arg platform "$platform" --arg variant "$variant" '[.manifests[] | select("\(.platform.os)/\(.platform.architecture)" == $platform and ($variant == "" or .platform.variant == $variant))][0].digest // empty' "$work/manifest")
	[ -n "$digest" ] || { echo "no image for $platform $variant" >&2; exit 3; }
	fetch_manifest "$digest" "$work/manifest"
	check "$digest" "$work/manifest"`

const elsePlatform = `else
	fetch_blob "$(jq -r .config.digest "$work/manifest")" "$work/config"
	jq -e --arg platform "$platform" --arg variant "$variant" '"\(.os)/\(.architecture)" == $platform and ($variant == "" or .variant == $variant)' "$work/config" >/dev/null || { echo "no image for $platform $variant" >&2; exit 3; }`

const refuseDocker = `jq -e '.mediaType // "" | startswith("application/vnd.docker.") | not' "$work/manifest" >/dev/null || refuse "the manifest of Docker's format becomes another"`

const refuseUncompressed = `jq -e 'all(.layers[].mediaType; endswith("tar") | not)' "$work/manifest" >/dev/null || refuse "a layer is not compressed and gets so"`

const fetchBlobs = `for blob in $(jq -r '.config.digest, .layers[].digest' "$work/manifest"); do
	file=$dst/blobs/sha256/${blob#sha256:}
	if [ -e "$file" ] && check "$blob" "$file" >/dev/null 2>&1; then continue; fi
	fetch_blob "$blob" "$work/blob"
	check "$blob" "$work/blob"
	mv -f "$work/blob" "$file"
done`
