package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/config"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	launch "github.com/oci-plumbing/oci-plumbing/lib/run"
)

// maxPatch bounds a config patch, as the config itself is bounded.
const maxPatch = 4 << 20

// texts are the flags whose values become text of the config or manifest.
var texts = []string{"env", "entrypoint", "cmd", "user", "workdir", "label", "expose", "volume", "stop-signal", "author", "history", "comment", "annotation"}

// checkTexts refuses what JSON cannot hold: it would be stored as another text.
func checkTexts(inv *cli.Invocation) error {
	for _, flag := range texts {
		for _, value := range append(inv.StringSlice(flag), inv.String(flag)) {
			if !utf8.ValidString(value) {
				return inv.Usage("--%s %q is not UTF-8, which alone JSON can hold", flag, value)
			}
		}
	}
	return nil
}

// editsOf collects the options that edit the config.
func editsOf(inv *cli.Invocation) (config.Edits, error) {
	e := config.Edits{
		Env: inv.StringSlice("env"), User: inv.String("user"), WorkingDir: inv.String("workdir"),
		StopSignal: inv.String("stop-signal"), Author: inv.String("author"), Labels: inv.StringSlice("label"),
		ExposedPorts: inv.StringSlice("expose"), Volumes: inv.StringSlice("volume"),
	}
	if inv.IsSet("stop-signal") {
		if _, err := launch.ParseSignal(e.StopSignal); err != nil {
			return e, fmt.Errorf("--stop-signal: %w", err)
		}
	}
	for _, word := range inv.StringSlice("clear") {
		if _, ok := annotationToClear(word); !ok {
			e.Clear = append(e.Clear, word)
		}
	}
	var err error
	if e.Entrypoint, err = words(inv, "entrypoint"); err != nil {
		return e, err
	}
	if e.Cmd, err = words(inv, "cmd"); err != nil {
		return e, err
	}
	for _, word := range inv.StringSlice("config-patch") {
		patch, err := readPatch(inv, word)
		if err != nil {
			return e, err
		}
		e.Patches = append(e.Patches, patch)
	}
	return e, nil
}

// annotationToClear returns the key in "annotation=KEY"; the config has none.
func annotationToClear(word string) (key string, ok bool) {
	name, key, _ := strings.Cut(word, "=")
	return key, name == "annotation" || name == "annotations"
}

// words are the words of a command line: of each option one, or a JSON array.
func words(inv *cli.Invocation, flag string) ([]string, error) {
	list := inv.StringSlice(flag)
	if len(list) != 1 || !strings.HasPrefix(list[0], "[") {
		return list, nil
	}
	parsed := []string{}
	if err := json.Unmarshal([]byte(list[0]), &parsed); err != nil {
		return nil, inv.Usage("--%s %s is not a JSON array of strings", flag, list[0])
	}
	return parsed, nil
}

func readPatch(inv *cli.Invocation, word string) (json.RawMessage, error) {
	if strings.HasPrefix(strings.TrimSpace(word), "{") {
		return json.RawMessage(word), nil
	}
	in := inv.Input()
	if word != "-" {
		f, err := os.Open(word)
		if err != nil {
			return nil, fault.As(fault.ErrNotFound, fmt.Errorf("config patch: %w", err))
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPatch+1))
	if err != nil {
		return nil, fmt.Errorf("config patch %s: %w", word, err)
	}
	if len(data) > maxPatch {
		return nil, fault.Refused("config patch %s is larger than %d bytes", word, maxPatch)
	}
	return data, nil
}

// pairs splits NAME=VALUE options.
func pairs(inv *cli.Invocation, flag string) (map[string]string, error) {
	all := make(map[string]string)
	for _, word := range inv.StringSlice(flag) {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, inv.Usage("--%s %q is not NAME=VALUE", flag, word)
		}
		all[key] = value
	}
	return all, nil
}

// sourceDateEpoch is the variable of reproducible-builds.org; nil when unset.
func sourceDateEpoch() (*time.Time, error) {
	word := os.Getenv("SOURCE_DATE_EPOCH")
	if word == "" {
		return nil, nil
	}
	seconds, err := strconv.ParseInt(word, 10, 64)
	if err != nil || seconds < 0 {
		return nil, fault.Usage("SOURCE_DATE_EPOCH %q is not a number of seconds since 1970", word)
	}
	t := time.Unix(seconds, 0).UTC()
	if !hasYear(t) {
		return nil, fault.Usage("SOURCE_DATE_EPOCH %q is after the year 9999", word)
	}
	return &t, nil
}

// hasYear reports whether RFC 3339 can say the time (5.6: four digits).
func hasYear(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

// createdOf is the date of the image.
func createdOf(inv *cli.Invocation, epoch *time.Time) (time.Time, error) {
	word := inv.String("created")
	switch {
	case word == "" && epoch != nil:
		return *epoch, nil
	case word == "":
		return time.Now().UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, word)
	if seconds, bad := strconv.ParseInt(strings.TrimPrefix(word, "@"), 10, 64); bad == nil {
		t, err = time.Unix(seconds, 0), nil
	}
	if err != nil {
		return t, inv.Usage("--created %q is neither RFC 3339 (2026-01-02T03:04:05Z) nor seconds since 1970", word)
	}
	if !hasYear(t.UTC()) {
		return t, inv.Usage("--created %q is not within the years 0 to 9999", word)
	}
	return t.UTC(), nil
}

// encodingOf is how the layer is compressed; last is the media type of the
// parent's last layer.
func encodingOf(inv *cli.Invocation, last string) (changeset.Encoding, error) {
	e := changeset.Encoding{Compression: changeset.CompressionOf(last), Level: inv.Int("level")}
	if word := inv.String("compress"); word != "auto" {
		var err error
		if e.Compression, err = changeset.ParseCompression(word); err != nil {
			return e, err
		}
	}
	return e, e.Check()
}

// platformOf is --platform; the zero value when it is not given.
func platformOf(inv *cli.Invocation) (layout.Platform, error) {
	p, err := layout.ParsePlatform(inv.String("platform"))
	if err != nil {
		return p, fmt.Errorf("--platform: %w", err)
	}
	return p, nil
}

// destination parses DST.
func destination(inv *cli.Invocation, word string) (layout.Reference, error) {
	ref, err := layout.ParseReference(word)
	switch {
	case err != nil:
		return ref, fmt.Errorf("destination: %w", err)
	case ref.Digest != "":
		return ref, inv.Usage("destination %q: the digest is what comes out, give a tag", word)
	case ref.Tag == "":
		return ref, fault.Hint(inv.Usage("destination %q has no tag", word), "%s", explain.Quote("oci:"+ref.Dir+":TAG"))
	}
	return ref, nil
}
