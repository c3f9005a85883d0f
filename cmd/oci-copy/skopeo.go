package main

import (
	"os"
	"regexp"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// skopeo is the command that copies the same, with the flags that mean the
// same there.
func (l *lesson) skopeo(src, dst string) string {
	words := append(l.skopeoCopy(), daemons(l.inv, src, dst)...)
	return explain.Quote(append(words, stream(src, "/dev/stdin"), stream(dst, "/dev/stdout"))...)
}

// skopeoCopy is the command up to the operands. What only makes a copy faster
// is left out.
func (l *lesson) skopeoCopy() []string {
	inv := l.inv
	words := append(l.skopeoCommand(), "copy", "--quiet")
	for _, name := range []string{
		"all", "preserve-digests", "remove-signatures", "dest-compress", "dest-decompress", "dest-oci-accept-uncompressed-layers",
		"dest-force-compress-format", "src-no-creds", "dest-no-creds",
	} {
		if inv.Bool(name) {
			words = append(words, "--"+name)
		}
	}
	for _, name := range []string{
		"format", "multi-arch", "dest-compress-format", "dest-compress-level", "src-shared-blob-dir", "dest-shared-blob-dir",
		"digestfile", "sign-by-sigstore-private-key", "sign-passphrase-file", "sign-identity",
	} {
		if inv.IsSet(name) {
			words = append(words, "--"+name, inv.String(name))
		}
	}
	for _, name := range []string{"additional-tag", "encryption-key", "encrypt-layer", "decryption-key"} {
		for _, value := range inv.StringSlice(name) {
			words = append(words, "--"+name+"="+value)
		}
	}
	words = append(words, retryTimes(inv)...)
	return append(words, access(inv)...)
}

// skopeoCommand is skopeo with the flags that all of its commands share.
func (l *lesson) skopeoCommand() []string {
	inv, words := l.inv, []string{"skopeo"}
	switch {
	case inv.IsSet("policy") && !inv.Bool("insecure-policy"):
		words = append(words, "--policy", inv.String("policy"))
	case !l.copier.Policed():
		words = append(words, "--insecure-policy") // skopeo demands a policy file
	}
	for _, name := range []string{"registries.d", "tmpdir"} {
		if inv.IsSet(name) {
			words = append(words, "--"+name, inv.String(name))
		}
	}
	if limit := inv.Duration("timeout"); limit > 0 {
		words = append(words, "--command-timeout", limit.String())
	}
	for _, platform := range inv.StringSlice("platform") {
		parts := strings.Split(platform, "/")
		for i, flag := range []string{"--override-os", "--override-arch", "--override-variant"} {
			if i < len(parts) {
				words = append(words, flag, parts[i])
			}
		}
	}
	return words
}

func retryTimes(inv *cli.Invocation) []string {
	if inv.IsSet("retry") {
		return []string{"--retry-times", inv.String("retry")}
	}
	return nil
}

// access are the flags of both sides. Secrets are no part of them: what is
// printed may end in a log.
func access(inv *cli.Invocation) []string {
	var words []string
	for _, side := range []string{"src", "dest"} {
		for _, word := range sideAccess(inv, side) {
			words = append(words, "--"+side+"-"+word)
		}
	}
	return words
}

// sideAccess are the flags of one side, without its name.
func sideAccess(inv *cli.Invocation, side string) []string {
	var words []string
	for _, name := range []string{"authfile", "cert-dir"} {
		for _, flag := range []string{side + "-" + name, name} {
			if inv.IsSet(flag) {
				words = append(words, name+"="+inv.String(flag))
				break
			}
		}
	}
	for _, flag := range []string{side + "-tls-verify", "tls-verify"} {
		if inv.IsSet(flag) {
			words = append(words, "tls-verify="+inv.String(flag))
			break
		}
	}
	return words
}

// daemons name the Docker daemon of each side; skopeo does not know DOCKER_HOST.
func daemons(inv *cli.Invocation, src, dst string) []string {
	var words []string
	for _, end := range []struct{ flag, ref string }{{"src-daemon-host", src}, {"dest-daemon-host", dst}} {
		host := inv.String(end.flag)
		if host == "" && strings.HasPrefix(end.ref, "docker-daemon:") {
			host = os.Getenv("DOCKER_HOST")
		}
		if host != "" {
			words = append(words, "--"+end.flag, host)
		}
	}
	return words
}

// stream writes the path - as skopeo needs it.
func stream(ref, device string) string {
	for _, t := range []string{"oci-archive:", "docker-archive:"} {
		if rest, ok := strings.CutPrefix(ref, t+"-"); ok && (rest == "" || rest[0] == ':') {
			return t + device + rest
		}
	}
	return ref
}

// withoutPassphrases refuses KEY:PASSPHRASE, which a script would show.
func withoutPassphrases(inv *cli.Invocation) error {
	for _, key := range inv.StringSlice("decryption-key") {
		if strings.Contains(key, ":") {
			return inv.Usage("--decryption-key with a passphrase is a secret, which a script would show")
		}
	}
	return nil
}

// tags tells of --tags as a loop of the shell.
func (l *lesson) tags(src, dst string) error {
	tagging, err := l.copier.Tagging(src, dst)
	if err != nil {
		return err
	}
	filter := l.inv.String("filter")
	if !sameInGrep(filter) {
		return fault.Hint(l.inv.Usage("grep -E would read --filter %q in another way", filter), "write it with letters, digits, . * + ? | ( ) ^ $ and [a-z] only")
	}
	const mark = "TAG"
	pair := tagging.Pair(mark)
	from, to := strings.TrimSuffix(pair.Source, mark), strings.TrimSuffix(pair.Destination, mark)
	return l.inv.Steps().Step(explain.Step{
		Action: "copy all tags",
		Command: l.listTags(strings.TrimSuffix(from, ":")) + "\ntags=$(printf '%s\\n' \"$tags\" | LC_ALL=C grep -E -e " + explain.Quote(filter) + ` || :)
[ -n "$tags" ] || { echo 'no tag matches' >&2; exit 3; }
for tag in $tags; do
	` + explain.Quote(l.skopeoCopy()...) + " " + explain.Quote(from) + `"$tag" ` + explain.Quote(to) + `"$tag" </dev/null` + "\ndone",
		Why: "a repository is a set of tags, each of which is copied like any image", Ref: "distribution-spec, Listing Tags",
	})
}

// listTags sets tags to those of a layout or a repository.
func (l *lesson) listTags(name string) string {
	if dir, ok := strings.CutPrefix(name, "oci:"); ok {
		return `tags=$(jq -r '.manifests[].annotations["org.opencontainers.image.ref.name"] // empty' ` + explain.Quote(dir+"/index.json") + ")"
	}
	words := append(l.skopeoCommand(), "list-tags")
	if l.inv.Bool("src-no-creds") {
		words = append(words, "--no-creds")
	}
	words = append(words, retryTimes(l.inv)...)
	for _, word := range sideAccess(l.inv, "src") {
		words = append(words, "--"+word)
	}
	return "tags=$(" + explain.Quote(append(words, name)...) + ")\n" + `tags=$(printf '%s\n' "$tags" | jq -r '.Tags[]')`
}

// portable is what regular expressions of Go and of POSIX have in common.
var portable = regexp.MustCompile(`^(?:(?:[A-Za-z0-9_./:^$|()-]|\\[.+*?|()^$[]|\[\^?[A-Za-z0-9_.-]+\])[*+?]?)*$`)

// sameInGrep reports whether grep -E reads a regular expression as Go does.
func sameInGrep(filter string) bool {
	return portable.MatchString(filter) && !strings.Contains(filter, "(?") && !strings.Contains(filter, "()")
}
