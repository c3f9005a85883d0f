package main

import (
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// fetchFrom defines fetch_manifest, fetch_blob and digest for a source.
func fetchFrom(inv *cli.Invocation, src string) ([]explain.Step, bool) {
	transport, name, _ := strings.Cut(src, ":")
	switch transport {
	case "docker":
		return fromRegistry(inv, src), true
	case "oci":
		from, err := layout.ParseReference(src)
		return []explain.Step{fromLayout(explain.Quote(from.Dir), from.Tag)}, err == nil && from.Tag != "" && from.Digest == ""
	case "oci-archive":
		path, tag, _ := strings.Cut(name, ":")
		return []explain.Step{{
			Action:  "unpack the archive",
			Command: `mkdir "$work/archive" && tar -xf ` + explain.Quote(absolute(path)) + ` -C "$work/archive"`,
			Why:     "an oci-archive is a layout in a tar file", Ref: "containers-transports(5)",
		}, fromLayout(`"$work/archive"`, tag)}, !strings.HasPrefix(tag, "@")
	case "dir":
		return []explain.Step{fromDir(absolute(name))}, true
	default:
		return nil, false
	}
}

// fromDir defines them for the directory of the transport dir.
func fromDir(dir string) explain.Step {
	return explain.Step{
		Action: "read the manifest of the directory",
		Command: "src=" + explain.Quote(dir) + `
[ -z "$(find "$src" -name '*signature-*')" ] || refuse "$src holds signatures"
fetch_manifest() { cp "$src/${1#sha256:}.manifest.json" "$2"; }
fetch_blob() { cp "$src/${1#sha256:}" "$2"; }
cp "$src/manifest.json" "$work/manifest"
digest=sha256:$(sha256sum <"$work/manifest" | cut -d' ' -f1)`,
		Why: "a directory holds one image, its files named by their digests", Ref: "containers-transports(5)",
	}
}

// fromLayout defines fetch_manifest and fetch_blob for a layout on disk.
func fromLayout(dir, tag string) explain.Step {
	return explain.Step{
		Action: "read the tag in the other layout",
		Command: "src=" + dir + " ref=" + explain.Quote(tag) + `
path() { echo "blobs/$(echo "$1" | tr : /)"; }
digest=$(jq -r --arg ref "$ref" '.manifests[] | select($ref == "" or .annotations["org.opencontainers.image.ref.name"] == $ref) | .digest' "$src/index.json")
[ "$digest" ] || { echo "no tag $ref in $src" >&2; exit 3; }
fetch_manifest() { cp "$src/$(path "$1")" "$2"; }
fetch_blob() { cp "$src/$(path "$1")" "$2"; }
fetch_manifest "$digest" "$work/manifest"`,
		Why: "index.json tells which manifest a tag names", Ref: "image-spec, image-layout.md",
	}
}

// fromRegistry defines them for a registry, after the token that it may ask
// for.
func fromRegistry(inv *cli.Invocation, src string) []explain.Step {
	name, ref := splitName(strings.TrimPrefix(src, "docker://"))
	return []explain.Step{{
		Action:  "ask the registry for a token, if it wants one",
		Command: registryVariables(inv, "src", name, ref) + " actions=pull\n" + registryAuth,
		Why:     "a public image needs no account, but often a token for anonymous reading", Ref: "distribution-spec; docs.docker.com, token authentication",
	}, {
		Action:  "fetch the manifest",
		Command: registryFetch,
		Why:     "the Accept header lists the types that we understand", Ref: "distribution-spec, Pulling manifests",
	}}
}

// splitName splits NAME[:TAG][@DIGEST] of a registry, where docker.io and
// library/ may be left out.
func splitName(s string) (name, ref string) {
	name, ref = s, "latest"
	if before, digest, ok := strings.Cut(s, "@"); ok {
		name, ref = before, digest
	}
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		if name == s {
			ref = name[i+1:]
		}
		name = name[:i]
	}
	host, rest, ok := strings.Cut(name, "/")
	switch {
	case !ok:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		name = "docker.io/" + name
	case host == "docker.io" && !strings.Contains(rest, "/"):
		name = "docker.io/library/" + rest
	}
	return name, ref
}

// registryVariables sets what the parts about a registry use.
func registryVariables(inv *cli.Invocation, side, name, ref string) string {
	host, repository, _ := strings.Cut(name, "/")
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	insecure := ""
	for _, flag := range []string{side + "-tls-verify", "tls-verify"} {
		if inv.IsSet(flag) && !inv.Bool(flag) {
			insecure = "\n" + `insecure=-k; curl -sko /dev/null "$registry/v2/" || registry=http://${registry#https://}` + "\n"
			break
		}
	}
	return "registry=https://" + explain.Quote(host) + " repository=" + explain.Quote(repository) + " ref=" + explain.Quote(ref) + " insecure=" + insecure
}

const registryAuth = `challenge=$(curl -sS $insecure -o /dev/null -D - "$registry/v2/" | tr -d '\r' | grep -i '^www-authenticate: *bearer' || :)
token=
if [ -n "$challenge" ]; then
	realm=$(echo "$challenge" | sed 's/.*realm="\([^"]*\)".*/\1/')
	service=$(echo "$challenge" | sed -n 's/.*service="\([^"]*\)".*/\1/p')
	token=$(curl -fsSG $insecure --data-urlencode "service=$service" --data-urlencode "scope=repository:$repository:$actions" "$realm" | jq -r '.token // .access_token')
fi
get() { curl -fsSL $insecure ${token:+-H "Authorization: Bearer $token"} "$@"; }`

const registryFetch = `types='application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json'
fetch_manifest() { get -H "Accept: $types" -o "$2" "$registry/v2/$repository/manifests/$1"; }
fetch_blob() { get -o "$2" "$registry/v2/$repository/blobs/$1"; }
fetch_manifest "$ref" "$work/manifest"
case $ref in sha256:*) digest=$ref ;; *) digest=sha256:$(sha256sum <"$work/manifest" | cut -d' ' -f1) ;; esac`
