package main

import (
	"runtime"
	"slices"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// byHand describes a copy with curl, tar, jq, cp and sha256sum. It reports
// false for a copy that takes more than that: daemons and stores, archives of
// Docker as sources, accounts, conversions, several images.
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
	rest := []explain.Step{{
		Action:  "choose the platform",
		Command: "platform=" + explain.Quote(platform.OS+"/"+platform.Architecture) + " variant=" + explain.Quote(platform.Variant) + "\n" + choosePlatform,
		Why:     "an index lists one manifest for each platform", Ref: "image-spec, image-index.md",
	}, {
		Action:  "fetch the config and the layers, and check each",
		Command: fetchBlobs,
		Why:     "a blob that does not hash to its name is not the one that the manifest means", Ref: "image-spec, descriptor.md",
	}}
	return slices.Concat(begin, fetch, rest, end), true
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
	if [ -e "$file" ] && check "$blob" "$file" >/dev/null 2>&1; then continue; fi
	fetch_blob "$blob" "$work/blob"
	check "$blob" "$work/blob"
	mv -f "$work/blob" "$file"
done`
