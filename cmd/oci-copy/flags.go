package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

func flags() []cli.Flag {
	return slices.Concat(selectionFlags(), shapeFlags(), trustFlags(), accessFlags(), transferFlags())
}

// selectionFlags say what of the source is copied.
func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "platform", Usage: "copy the image for `OS/ARCH[/VARIANT]`; given more than once: an index of these"},
		&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "copy an index with all its images"},
		&cli.BoolFlag{Name: "tags", Usage: "copy all tags of SRC, a repository or layout, to DST"},
		&cli.StringFlag{Name: "filter", Usage: "with --tags: only the tags that match the regular expression `REGEXP`"},
		&cli.BoolFlag{Name: "batch", Usage: "copy what the SRC<tab>DST lines on standard input say"},
		&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Usage: "with --batch and --tags: copy `N` images at once", Value: 2},
		&cli.BoolFlag{Name: "keep-going", Aliases: []string{"k"}, Usage: "with --batch and --tags: go on past failures, and fail at the end"},
		&cli.StringFlag{Name: "multi-arch", Usage: "what of an index is copied: `MODE` is system (the image for this host), all, or index-only"},
	}
}

// shapeFlags say what the copy looks like.
func shapeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "manifest `FORMAT` at the destination: oci, v2s2 or v2s1 (default: the source's)"},
		&cli.StringFlag{Name: "dest-compress-format", Usage: "compress layers with `FORMAT`: gzip, zstd or zstd:chunked"},
		&cli.IntFlag{Name: "dest-compress-level", Usage: "compression `LEVEL`: gzip 1-9, zstd 1-20"},
		&cli.BoolFlag{Name: "dest-force-compress-format", Usage: "recompress layers that have another format"},
		&cli.BoolFlag{Name: "dest-compress", Usage: "compress all layers (dir: only)"},
		&cli.BoolFlag{Name: "dest-decompress", Usage: "decompress all layers"},
		&cli.BoolFlag{Name: "dest-oci-accept-uncompressed-layers", Usage: "store uncompressed layers as they are"},
		&cli.BoolFlag{Name: "preserve-digests", Usage: "fail rather than change a manifest"},
		&cli.StringSliceFlag{Name: "additional-tag", Usage: "a further `NAME:TAG` for the image in a docker-archive"},
		&cli.StringFlag{Name: "digestfile", Usage: "write the digest of the copied manifest to `FILE`"},
	}
}

// trustFlags are about signatures.
func trustFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "policy", Usage: "signature policy `FILE` (default: policy.json of the user or the system; without one all is accepted)"},
		&cli.BoolFlag{Name: "insecure-policy", Usage: "accept every image, whatever the policy files say"},
		&cli.BoolFlag{Name: "require-signed", Usage: "refuse an image that no signature was verified for"},
		&cli.StringFlag{Name: "registries.d", Usage: "`DIR` that configures the storage of signatures"},
		&cli.BoolFlag{Name: "remove-signatures", Usage: "do not copy signatures"},
		&cli.StringFlag{Name: "sign-by-sigstore-private-key", Usage: "sign the copy with the sigstore private key in `FILE`"},
		&cli.StringFlag{Name: "sign-passphrase-file", Usage: "passphrase of that key: the first line of `FILE`"},
		&cli.StringFlag{Name: "sign-identity", Usage: "`REFERENCE` written into the signature (default: DST)"},
		&cli.StringSliceFlag{Name: "encryption-key", Usage: "encrypt layers for `PROTOCOL:FILE`: jwe, pgp or pkcs7"},
		&cli.StringSliceFlag{Name: "encrypt-layer", Usage: "encrypt layer `INDEX` only, -1 is the last (default: all)"},
		&cli.StringSliceFlag{Name: "decryption-key", Usage: "decrypt layers with `KEY[:PASSPHRASE]`"},
	}
}

// accessFlags say how each side is reached.
func accessFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "authfile", Usage: "credentials `FILE` (default: $REGISTRY_AUTH_FILE, then those of podman and docker)"},
		&cli.StringFlag{Name: "creds", Usage: "credentials `USER[:PASSWORD]` for both sides"},
		&cli.StringSliceFlag{Name: "allow-token-server", Usage: "`HOST[:PORT]` that may see the credentials when a registry of another domain names it"},
		&cli.StringFlag{Name: "cert-dir", Usage: "`DIR` with *.crt, *.cert and *.key for both sides"},
		&cli.BoolFlag{Name: "tls-verify", Usage: "false allows plain HTTP and unverified certificates on both sides", Value: true},
	}
	for _, side := range []string{"src", "dest"} {
		flags = append(flags,
			&cli.StringFlag{Name: side + "-authfile", Usage: "credentials `FILE` of this side"},
			&cli.StringFlag{Name: side + "-creds", Usage: "credentials `USER[:PASSWORD]` of this side"},
			&cli.StringFlag{Name: side + "-username", Usage: "user `NAME` of this side"},
			&cli.StringFlag{Name: side + "-password", Usage: "`PASSWORD` of this side"},
			&cli.BoolFlag{Name: side + "-no-creds", Usage: "send no credentials to this side"},
			&cli.StringFlag{Name: side + "-registry-token", Usage: "bearer `TOKEN` for this side"},
			&cli.StringFlag{Name: side + "-cert-dir", Usage: "`DIR` with *.crt, *.cert and *.key of this side"},
			&cli.BoolFlag{Name: side + "-tls-verify", Usage: "false allows plain HTTP and unverified certificates on this side", Value: true},
			&cli.StringFlag{Name: side + "-daemon-host", Usage: "`ADDRESS` of the Docker daemon (docker-daemon: only)"},
			&cli.StringFlag{Name: side + "-shared-blob-dir", Usage: "`DIR` of blobs that several layouts share (oci: only)"},
		)
	}
	return flags
}

// transferFlags say how the bytes travel.
func transferFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "tmpdir", Usage: "`DIR` for big temporary files (default: $TMPDIR, then /var/tmp)"},
		&cli.IntFlag{Name: "image-parallel-copies", Usage: "copy `N` blobs at once", Value: 6},
		&cli.BoolFlag{Name: "link-blobs", Usage: "hard-link blobs from one layout to another; they then share them"},
		&cli.IntFlag{Name: "retry", Aliases: []string{"retry-times"}, Usage: "repeat a request `N` times after a failure that may pass", Value: 4},
		&cli.DurationFlag{Name: "stall-timeout", Usage: "give up a transfer that brings nothing for `TIME`, and try again", Value: 30 * time.Second},
		&cli.DurationFlag{Name: "timeout", Aliases: []string{"command-timeout"}, Usage: "give up after `TIME` in all (default: never)"},
		&cli.StringFlag{Name: "progress", Usage: "`FORM` is bar, json (one object per line on stderr), none, or auto: bars on a terminal", Value: "auto"},
	}
}

// optionsOf reads the flags.
func optionsOf(inv *cli.Invocation) (*transport.Options, error) {
	for _, check := range []func(*cli.Invocation) error{nothingEmpty, numbers, companions, directories} {
		if err := check(inv); err != nil {
			return nil, err
		}
	}
	o := &transport.Options{
		MultiArch:        inv.String("multi-arch"),
		Format:           inv.String("format"),
		Compression:      inv.String("dest-compress-format"),
		ForceCompression: inv.Bool("dest-force-compress-format"),
		Compress:         inv.Bool("dest-compress"),
		Decompress:       inv.Bool("dest-decompress"),
		KeepUncompressed: inv.Bool("dest-oci-accept-uncompressed-layers"),
		PreserveDigests:  inv.Bool("preserve-digests"),
		AdditionalTags:   inv.StringSlice("additional-tag"),
		Policy:           inv.String("policy"),
		InsecurePolicy:   inv.Bool("insecure-policy"),
		RequireSigned:    inv.Bool("require-signed"),
		RegistriesDir:    inv.String("registries.d"),
		RemoveSignatures: inv.Bool("remove-signatures"),
		TempDir:          inv.String("tmpdir"),
		Parallel:         inv.Int("image-parallel-copies"),
		LinkBlobs:        inv.Bool("link-blobs"),
		TokenServers:     inv.StringSlice("allow-token-server"),
		Retries:          inv.Int("retry"),
		StallTimeout:     inv.Duration("stall-timeout"),
		UserAgent:        "oci-copy",
		Stdin:            inv.In,
		Stdout:           inv.Out,
		Note:             inv.Log.Note,
	}
	if o.Retries <= 0 {
		o.Retries = -1
	}
	if inv.IsSet("dest-compress-level") {
		level := inv.Int("dest-compress-level")
		o.CompressionLevel = &level
	}
	if inv.Bool("all") {
		if o.MultiArch != "" && o.MultiArch != transport.MultiArchAll {
			return nil, inv.Usage("--all and --multi-arch %s exclude each other", o.MultiArch)
		}
		o.MultiArch = transport.MultiArchAll
	}
	for _, s := range inv.StringSlice("platform") {
		p, err := layout.ParsePlatform(s)
		if err != nil {
			return nil, err
		}
		o.Platforms = append(o.Platforms, p)
	}
	o.Sign = transport.Signing{
		SigstoreKey:    inv.String("sign-by-sigstore-private-key"),
		PassphraseFile: inv.String("sign-passphrase-file"),
		Identity:       inv.String("sign-identity"),
	}
	o.Encryption = transport.Encryption{EncryptFor: inv.StringSlice("encryption-key"), DecryptWith: inv.StringSlice("decryption-key")}
	for _, s := range inv.StringSlice("encrypt-layer") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, inv.Usage("--encrypt-layer %q is not the index of a layer", s)
		}
		o.Encryption.Layers = append(o.Encryption.Layers, n)
	}
	var err error
	if o.Source, err = endpointOf(inv, "src"); err != nil {
		return nil, err
	}
	o.Destination, err = endpointOf(inv, "dest")
	return o, err
}

// endpointOf reads the flags of one side; those for both sides stand in for
// what is missing.
func endpointOf(inv *cli.Invocation, side string) (transport.Endpoint, error) {
	either := func(name string) string {
		if s := inv.String(side + "-" + name); s != "" {
			return s
		}
		return inv.String(name)
	}
	e := transport.Endpoint{
		AuthFile:    either("authfile"),
		CertDir:     either("cert-dir"),
		Anonymous:   inv.Bool(side + "-no-creds"),
		Token:       inv.String(side + "-registry-token"),
		DaemonHost:  inv.String(side + "-daemon-host"),
		SharedBlobs: inv.String(side + "-shared-blob-dir"),
	}
	for _, name := range []string{side + "-tls-verify", "tls-verify"} {
		if inv.IsSet(name) {
			verify := inv.Bool(name)
			e.TLSVerify = &verify
			break
		}
	}
	var err error
	if e.Credentials, err = credentialsOf(inv, side); err != nil {
		return e, err
	}
	switch {
	case e.Anonymous && (e.Credentials != "" || e.Token != ""):
		return e, inv.Usage("--%s-no-creds and credentials exclude each other", side)
	case e.Token != "" && e.Credentials != "":
		return e, inv.Usage("--%s-registry-token and credentials of that side exclude each other", side)
	}
	if e.AuthFile != "" {
		if _, err := os.Stat(e.AuthFile); err != nil {
			return e, fault.NotFound("credentials file: %v", err)
		}
	}
	return e, nil
}

// credentialsOf are those of one side as USER[:PASSWORD], in whichever of the
// forms they were given; those for both sides stand in for none.
func credentialsOf(inv *cli.Invocation, side string) (string, error) {
	creds, user, password := side+"-creds", side+"-username", side+"-password"
	switch {
	case inv.IsSet(user) != inv.IsSet(password):
		return "", inv.Usage("--%s and --%s go together", user, password)
	case inv.IsSet(user) && inv.IsSet(creds):
		return "", inv.Usage("--%s and --%s exclude each other", creds, user)
	case inv.IsSet(user) && strings.Contains(inv.String(user), ":"):
		return "", inv.Usage("--%s %q has a colon, at which a user's name ends", user, inv.String(user))
	case inv.IsSet(user):
		return inv.String(user) + ":" + inv.String(password), nil
	case !inv.IsSet(creds):
		creds = "creds"
	}
	if strings.HasPrefix(inv.String(creds), ":") {
		return "", inv.Usage("--%s names no user", creds)
	}
	return inv.String(creds), nil
}

// mayBeEmpty are the flags by which an empty value can be meant.
var mayBeEmpty = []string{"src-password", "dest-password"}

// nothingEmpty refuses values that are empty, as "$unset" of a shell is: taken
// for none they would fall back to what was not asked for.
func nothingEmpty(inv *cli.Invocation) error {
	for _, f := range inv.Command.Flags {
		name, values := f.Names()[0], []string(nil)
		switch f.(type) {
		case *cli.StringFlag:
			values = []string{inv.String(name)}
		case *cli.StringSliceFlag:
			values = inv.StringSlice(name)
		}
		if inv.IsSet(name) && slices.Contains(values, "") && !slices.Contains(mayBeEmpty, name) {
			return inv.Usage("--%s has an empty value: is a variable of the shell not set?", name)
		}
	}
	return nil
}

// numbers refuses those that mean nothing.
func numbers(inv *cli.Invocation) error {
	for name, least := range map[string]int{"jobs": 1, "image-parallel-copies": 1, "retry": 0} {
		if inv.IsSet(name) && inv.Int(name) < least {
			return inv.Usage("--%s %d is less than %d", name, inv.Int(name), least)
		}
	}
	return nil
}

// companions refuses flags that have no effect without another.
func companions(inv *cli.Invocation) error {
	tags := inv.Bool("tags")
	many := tags || inv.Bool("batch")
	switch {
	case inv.IsSet("filter") && !tags:
		return inv.Usage("--filter takes --tags")
	case inv.IsSet("jobs") && !many:
		return inv.Usage("--jobs takes --tags or --batch")
	case inv.Bool("keep-going") && !many:
		return inv.Usage("--keep-going takes --tags or --batch")
	default:
		return nil
	}
}

// directories refuses those that are not there: the image library takes one of
// certificates or of registries.d for empty then.
func directories(inv *cli.Invocation) error {
	for _, name := range []string{"registries.d", "cert-dir", "src-cert-dir", "dest-cert-dir", "tmpdir"} {
		if !inv.IsSet(name) {
			continue
		}
		switch info, err := os.Stat(inv.String(name)); {
		case errors.Is(err, fs.ErrNotExist):
			return fault.NotFound("--%s: %v", name, err)
		case err != nil:
			return fmt.Errorf("--%s: %w", name, err)
		case !info.IsDir():
			return inv.Usage("--%s %s is not a directory", name, inv.String(name))
		}
	}
	return nil
}
