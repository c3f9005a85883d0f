package main

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// dryRun prints the script and copies nothing. What depends on the network,
// the tags of --tags, is left to the script itself.
func dryRun(inv *cli.Invocation, options *transport.Options) error {
	if options.Format == "" && options.MultiArch == "" && options.Compression == "" {
		inv.Log.Detail("the script uses skopeo; its policy file decides what is accepted")
	}
	switch {
	case inv.Bool("tags"):
		return inv.Steps().Step(explain.Step{
			Action:  "copy all tags",
			Command: tagsLoop(inv, inv.Operand(0), inv.Operand(1)),
			Why:     "a repository is a set of tags, each of which is copied like any image",
			Ref:     "distribution-spec, Listing Tags",
		})
	case inv.Bool("batch"):
		return (&runner{inv: inv}).lines(func(p transport.Pair) error {
			return explainCopy(inv, p.Source, p.Destination)
		})
	case inv.Operand(0) == "-":
		return eachLine(inv, func(src string) error { return explainCopy(inv, src, inv.Operand(1)) })
	default:
		return explainCopy(inv, inv.Operand(0), inv.Operand(1))
	}
}

// eachLine reads the names of images for a script.
func eachLine(inv *cli.Invocation, do func(string) error) error {
	lines := bufio.NewScanner(inv.In)
	for lines.Scan() {
		if err := do(lines.Text()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
		return fault.As(fault.ErrUsage, err)
	}
	return nil
}

// explainCopy describes one copy: by hand where a person could, else as the
// skopeo command that makes it.
func explainCopy(inv *cli.Invocation, src, dst string) error {
	steps := inv.Steps()
	if !steps.Enabled() {
		return nil
	}
	if byHand, ok := byHand(inv, src, dst); ok {
		for _, s := range byHand {
			if err := steps.Step(s); err != nil {
				return err
			}
		}
		return nil
	}
	return steps.Step(explain.Step{
		Action:  "copy " + src + " to " + dst,
		Command: skopeo(inv, src, dst),
		Why:     "manifest first, then the blobs it names that are not there yet, each held to its digest; the name last",
		Ref:     "distribution-spec, Pulling manifests; image-spec, image-layout.md",
	})
}

// skopeo is the command with the flags that mean the same there.
func skopeo(inv *cli.Invocation, src, dst string) string {
	words := []string{"skopeo"}
	policy := inv.String("policy")
	switch {
	case inv.Bool("insecure-policy"):
		words = append(words, "--insecure-policy")
	case policy != "":
		words = append(words, "--policy", policy)
	}
	if p := inv.StringSlice("platform"); len(p) == 1 {
		parts := strings.Split(p[0], "/")
		for i, flag := range []string{"--override-os", "--override-arch", "--override-variant"} {
			if i < len(parts) {
				words = append(words, flag, parts[i])
			}
		}
	}
	words = append(words, "copy", "--quiet")
	for _, name := range []string{"all", "preserve-digests", "remove-signatures", "dest-compress", "dest-decompress", "dest-oci-accept-uncompressed-layers"} {
		if inv.Bool(name) {
			words = append(words, "--"+name)
		}
	}
	for _, name := range []string{"format", "multi-arch", "dest-compress-format", "dest-compress-level", "src-shared-blob-dir", "dest-shared-blob-dir", "src-daemon-host", "dest-daemon-host"} {
		if inv.IsSet(name) {
			words = append(words, "--"+name, inv.String(name))
		}
	}
	words = append(words, access(inv)...)
	return explain.Quote(append(words, stream(src, "/dev/stdin"), stream(dst, "/dev/stdout"))...)
}

// access are the flags of both sides. Secrets stay out: what is printed may
// end in a log.
func access(inv *cli.Invocation) []string {
	var words []string
	for _, side := range []string{"src", "dest"} {
		for _, name := range []string{"authfile", "cert-dir"} {
			for _, flag := range []string{side + "-" + name, name} {
				if value := inv.String(flag); value != "" {
					words = append(words, "--"+side+"-"+name, value)
					break
				}
			}
		}
		for _, flag := range []string{side + "-tls-verify", "tls-verify"} {
			if inv.IsSet(flag) && !inv.Bool(flag) {
				words = append(words, "--"+side+"-tls-verify=false")
				break
			}
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

// tagsLoop is the shell's form of --tags.
func tagsLoop(inv *cli.Invocation, src, dst string) string {
	one := skopeo(inv, "SRC", "DST")
	one = strings.TrimSuffix(one, " SRC DST")
	filter := ""
	if f := inv.String("filter"); f != "" {
		filter = " | grep -E -e " + explain.Quote(f)
	}
	return "skopeo list-tags " + strings.Join(tagAccess(inv), " ") + explain.Quote(src) + " | jq -r '.Tags[]'" + filter + " |\n" +
		"while IFS= read -r tag; do\n\t" + one + " " + explain.Quote(src) + `:"$tag" ` + explain.Quote(dst) + `:"$tag" </dev/null` + "\ndone"
}

func tagAccess(inv *cli.Invocation) []string {
	var words []string
	for _, flag := range []string{"src-tls-verify", "tls-verify"} {
		if inv.IsSet(flag) && !inv.Bool(flag) {
			return append(words, "--tls-verify=false ")
		}
	}
	return words
}
