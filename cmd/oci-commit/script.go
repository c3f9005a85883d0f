package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

// script prints the commit as commands of tar, sha256sum and jq: with -n all
// of it as a script, with -x as a trace. The image of the script has the same
// tree and config; the bytes of its layer are GNU tar's.
func (c *commit) script(ctx context.Context, s *source, d *draft, tree *changeset.Tree) error {
	steps := c.inv.Steps()
	if !steps.Enabled() {
		return nil
	}
	if err := c.scriptable(s); err != nil {
		if !c.inv.DryRun() {
			return nil
		}
		return fmt.Errorf("--dry-run: %w", err)
	}
	w := &scriptWriter{commit: c, source: s, draft: d, show: steps.Step}
	w.prepare()
	w.parent()
	if tree != nil && (!tree.Empty() || c.inv.Bool("squash")) {
		w.changes(tree)
		w.layer()
	}
	archives := c.inv.StringSlice("layer")
	if s.kind == kindTar {
		archives = append([]string{s.path}, archives...)
	}
	for _, word := range archives {
		w.archive(word)
		w.layer()
	}
	w.documents()
	w.tag(ctx, s.parent.Digest)
	return w.err
}

// scriptable says why no commands do the same.
func (c *commit) scriptable(s *source) error {
	if len(s.uidMap)+len(s.gidMap) > 0 || s.rootless {
		return fault.Usage("tar cannot map owners back, so that there is no script for this bundle")
	}
	if s.kind != kindUpper || !c.inv.Bool("squash") {
		return nil
	}
	mounted, err := overlay.At(s.bundle.Rootfs())
	if err != nil {
		return fmt.Errorf("look at the mount: %w", err)
	}
	if mounted == nil {
		return fault.Hint(fault.Usage("%s is not mounted, so that tar finds no rootfs", s.bundle.Dir), "mount it again: %s", s.mountAgain())
	}
	return nil
}

// scriptWriter prints steps until one fails.
type scriptWriter struct {
	commit *commit
	source *source
	draft  *draft
	show   func(explain.Step) error
	err    error
	layers int
}

func (w *scriptWriter) step(s explain.Step) {
	if w.err == nil {
		w.err = w.show(s)
	}
}

func (w *scriptWriter) prepare() {
	w.step(explain.Step{
		Action: "open the layout",
		Command: `store=` + explain.Quote(w.commit.dst.Dir) + `
blobs=$store/blobs/sha256
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mkdir -p "$blobs"
[ -e "$store/oci-layout" ] || printf '{"imageLayoutVersion":"1.0.0"}' >"$store/oci-layout"
[ -e "$store/index.json" ] || printf '{"schemaVersion":2,"manifests":[]}' >"$store/index.json"
digest() { sha256sum <"$1" | cut -d' ' -f1; }
put() { mv "$1" "$blobs/$(digest "$1")"; }`,
		Why: "a layout is a directory of blobs named by their digests, and an index of tags", Ref: "image-layout.md",
	})
}

// parent copies what the new image begins with.
func (w *scriptWriter) parent() {
	d := w.draft
	config, err := d.image.Encode()
	if err != nil {
		w.err = err
		return
	}
	manifest, err := d.manifest.Encode()
	if err != nil {
		w.err = err
		return
	}
	if d.parent != nil && !w.commit.inv.Bool("squash") {
		if same, err := sameDir(d.parent.layout.Dir(), w.commit.dst.Dir); err != nil || !same {
			w.copyBlobs()
		}
	}
	w.step(explain.Step{
		Action: "begin with the config and manifest of the parent image, edited as asked",
		Command: "printf %s " + explain.Quote(string(config)) + ` >"$work/config"` + "\n" +
			"printf %s " + explain.Quote(string(manifest)) + ` >"$work/manifest"`,
		Why: "an image is a list of layers and a config", Ref: "manifest.md, config.md",
	})
	if w.commit.inv.Bool("squash") {
		w.step(explain.Step{
			Action: "drop the parent's layers, and keep its history",
			Command: edit("config", `.rootfs.diff_ids = [] | if .history then .history |= map(.empty_layer = true) else . end`) + "\n" +
				edit("manifest", `.layers = []`),
			Why: "the one new layer takes their place",
		})
	}
}

func (w *scriptWriter) copyBlobs() {
	var command strings.Builder
	for _, l := range w.draft.layers {
		from, err := w.draft.parent.layout.BlobPath(l.desc.Digest)
		if err != nil {
			w.err = err
			return
		}
		fmt.Fprintf(&command, "cp -n %s \"$blobs/\"\n", explain.Quote(from))
	}
	w.step(explain.Step{Action: "copy the layers of the parent image", Command: command.String(), Why: "an image must be whole in its layout"})
}

// edit is the command that changes a document.
func edit(document, filter string, args ...string) string {
	words := append([]string{"jq", "-cS"}, args...)
	return explain.Quote(append(words, filter)...) + ` "$work/` + document + `" >"$work/t" && mv "$work/t" "$work/` + document + `"`
}

// root is the directory in which the changed files lie.
func (w *scriptWriter) root() string {
	s := w.source
	switch {
	case s.kind == kindTree:
		abs, err := filepath.Abs(s.path)
		if err != nil {
			w.err = err
		}
		return abs
	case s.kind == kindUpper && !w.commit.inv.Bool("squash"):
		return filepath.Join(s.bundle.Dir, s.overlay().Upper)
	default:
		return filepath.Join(s.bundle.Dir, bundle.RootfsDir)
	}
}

// changes packs the changed files and the whiteouts.
func (w *scriptWriter) changes(tree *changeset.Tree) {
	w.list(tree)
	var names, whiteouts []string
	collect(tree.Root, "", tree.Root.Kind != changeset.Unchanged, &names, &whiteouts)
	if len(whiteouts) > 0 {
		var command strings.Builder
		command.WriteString(`mkdir "$work/deleted"` + "\n")
		for _, name := range whiteouts {
			fmt.Fprintf(&command, "mkdir -p \"$work/deleted/\"%s && touch -d @0 \"$work/deleted/\"%s\n", explain.Quote(path.Dir(name)), explain.Quote(name))
		}
		command.WriteString("printf '%s\\0' " + explain.Quote(whiteouts...) + ` >"$work/whiteouts"`)
		w.step(explain.Step{
			Action: "make a whiteout for each deleted file", Command: command.String(),
			Why: "a layer deletes NAME by an empty file .wh.NAME", Ref: "layer.md, Whiteouts",
		})
	}
	command := ": >\"$work/names\"\n"
	if len(names) > 0 {
		command = "printf '%s\\0' " + explain.Quote(names...) + ` >"$work/names"` + "\n"
	}
	command += "tar --format=pax --pax-option=delete=atime,delete=ctime,delete=mtime --numeric-owner --xattrs '--xattrs-include=*' " +
		w.hostXattrs() + "--no-recursion --null --verbatim-files-from"
	if e := w.commit.epoch; e != nil {
		command += " --clamp-mtime --mtime=@" + strconv.FormatInt(e.Unix(), 10)
	}
	command += ` -cf "$work/layer.tar" -C ` + explain.Quote(w.root()) + ` -T "$work/names"`
	if len(whiteouts) > 0 {
		command += ` -C "$work/deleted" -T "$work/whiteouts"`
	}
	w.step(explain.Step{
		Action: "pack the new and changed files", Command: command,
		Why: "a layer holds whole files, and the directories on the way to them", Ref: "layer.md, Change Types",
	})
}

// hostXattrs are the options for tar to leave out what is not the image's.
func (w *scriptWriter) hostXattrs() string {
	names := []string{"security.selinux", "system.nfs4_acl"}
	s := w.source
	switch {
	case s.kind == kindUpper && w.commit.inv.Bool("squash"): // the mount hides them
	case s.kind == kindUpper && s.userXattr():
		names = append(names, "user.overlay.*")
	case s.kind == kindUpper:
		names = append(names, "trusted.overlay.*")
	default:
		names = append(names, "trusted.overlay.*", "user.overlay.*")
	}
	var options strings.Builder
	for _, name := range names {
		options.WriteString("'--xattrs-exclude=" + name + "' ")
	}
	return options.String()
}

// list shows the changes, as comments of a script.
func (w *scriptWriter) list(tree *changeset.Tree) {
	var lines strings.Builder
	err := tree.Each(func(path string, n *changeset.Node) error {
		fmt.Fprintf(&lines, "# %s %s\n", n.Kind, strings.ReplaceAll(path, "\n", `\n`))
		return nil
	})
	if err != nil && w.err == nil {
		w.err = err
	}
	w.step(explain.Step{Action: "find what changed", Command: lines.String(), Why: "A added, C changed, D deleted"})
}

// collect lists the names of a layer. The path has no leading slash.
func collect(n *changeset.Node, name string, self bool, names, whiteouts *[]string) {
	if self {
		if name == "" {
			*names = append(*names, ".")
		} else {
			*names = append(*names, name)
		}
	}
	if n.Opaque {
		*whiteouts = append(*whiteouts, path.Join(name, ".wh..wh..opq"))
	}
	for _, child := range n.Children {
		if child.Kind == changeset.Deleted {
			*whiteouts = append(*whiteouts, path.Join(name, ".wh."+child.Name))
			continue
		}
		collect(child, path.Join(name, child.Name), child.Stat.Type() != unix.S_IFSOCK, names, whiteouts)
	}
}

// archive takes a ready tar.
func (w *scriptWriter) archive(word string) {
	from := "<" + explain.Quote(word)
	if word == "-" {
		from = ""
	}
	w.step(explain.Step{
		Action: "take the archive as it is, but for its compression",
		Command: `cat ` + from + ` >"$work/archive"
case $(head -c 4 "$work/archive" | od -An -tx1) in
" 1f 8b"*) gzip -dc <"$work/archive" >"$work/layer.tar" ;;
" 28 b5 2f fd") zstd -qdc <"$work/archive" >"$work/layer.tar" ;;
*) mv "$work/archive" "$work/layer.tar" ;;
esac`,
		Why: "its digest will be the diffID of the layer",
	})
}

// layer adds layer.tar to the image.
func (w *scriptWriter) layer() {
	w.layers++
	pack := map[changeset.Compression]string{
		changeset.Gzip:  `gzip -nc "$work/layer.tar" >"$work/layer"`,
		changeset.Zstd:  `zstd -qc "$work/layer.tar" >"$work/layer"`,
		changeset.Plain: `cp "$work/layer.tar" "$work/layer"`,
	}[w.draft.encoding.Compression]
	w.step(explain.Step{
		Action: "compress the layer, and list it in config and manifest",
		Command: pack + "\n" +
			`diffid=sha256:$(digest "$work/layer.tar") layer=sha256:$(digest "$work/layer") size=$(wc -c <"$work/layer")` + "\n" +
			withShell("config", `.rootfs.diff_ids += [$d]`, `--arg d "$diffid"`) + "\n" +
			withShell("manifest", `.layers += [{mediaType: $t, digest: $d, size: ($s|tonumber)}]`,
				`--arg d "$layer" --arg s "$size" --arg t `+explain.Quote(w.draft.encoding.Compression.MediaType(w.draft.docker))) + "\n" +
			`put "$work/layer"`,
		Why: "the config names the plain archive (diffID), the manifest the compressed blob (digest)", Ref: "config.md, Layer DiffID",
	})
	w.history(false)
}

// withShell is edit with arguments that the shell expands.
func withShell(document, filter, args string) string {
	return "jq -cS " + args + " " + explain.Quote(filter) + ` "$work/` + document + `" >"$work/t" && mv "$work/t" "$work/` + document + `"`
}

func (w *scriptWriter) history(empty bool) {
	inv := w.commit.inv
	if inv.Bool("no-history") {
		return
	}
	by := inv.String("history")
	if by == "" {
		by = name
	}
	filter := `.history += [{created: $c, created_by: $b, author: $a, comment: $m, empty_layer: ` + strconv.FormatBool(empty) +
		`} | with_entries(select(.value != "" and .value != false))]`
	w.step(explain.Step{
		Action: "tell in the history how the layer was made",
		Command: edit("config", filter, "--arg", "c", w.created(), "--arg", "b", by,
			"--arg", "a", inv.String("author"), "--arg", "m", inv.String("comment")),
		Why: "there is an entry for each layer, and one marked empty_layer for a change of the config alone", Ref: "config.md, history",
	})
}

func (w *scriptWriter) created() string {
	return w.commit.created.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
}

// documents stores config and manifest.
func (w *scriptWriter) documents() {
	if w.layers == 0 {
		w.history(true)
	}
	d := w.draft
	mediaType := ispec.MediaTypeImageConfig
	if d.parent != nil {
		mediaType = d.parent.image.Manifest.Config.MediaType
	}
	dated := ""
	if d.edited || w.layers > 0 || !w.commit.inv.Bool("no-history") {
		dated = edit("config", ".created = $c", "--arg", "c", w.created()) + "\n"
	}
	w.step(explain.Step{
		Action: "store the config, and name it in the manifest",
		Command: dated + `config=sha256:$(digest "$work/config") size=$(wc -c <"$work/config")` + "\n" +
			withShell("manifest", `.config += {mediaType: $t, digest: $d, size: ($s|tonumber)} | del(.config.data)`,
				`--arg d "$config" --arg s "$size" --arg t `+explain.Quote(mediaType)) + "\n" +
			`put "$work/config"`,
		Why: "the digest of the config is the ID of the image", Ref: "config.md, ImageID",
	})
}

func (w *scriptWriter) tag(ctx context.Context, parent digest.Digest) {
	mediaType := ispec.MediaTypeImageManifest
	if w.draft.docker {
		mediaType = "application/vnd.docker.distribution.manifest.v2+json"
	}
	dst := w.commit.dst
	store := `manifest=sha256:$(digest "$work/manifest") size=$(wc -c <"$work/manifest")` + "\n" + `put "$work/manifest"` + "\n"
	place, others := w.place(ctx, parent)
	if place != nil && layout.IsIndex(place.MediaType) {
		w.step(explain.Step{
			Action: "store the manifest, and put it in the place of its parent in the index",
			Command: store + `jq -cSj --arg d "$manifest" --argjson s "$size" ` +
				explain.Quote("--arg", "old", parent.String(), "--arg", "t", mediaType,
					`.manifests |= map(if .digest == $old then del(.data) + {mediaType: $t, digest: $d, size: $s} else . end)`) +
				` "$blobs/` + place.Digest.Encoded() + `" >"$work/manifest"`,
			Why: "the tag names images for several platforms, and the others stay", Ref: "image-index.md",
		})
		mediaType = place.MediaType
	}
	loses, args := `.annotations["`+ispec.AnnotationRefName+`"] == $n`, []string{"--arg", "n", dst.Tag, "--arg", "t", mediaType}
	if others {
		loses += " and .digest == $old"
		args = append(args, "--arg", "old", place.Digest.String())
	}
	entry, err := json.Marshal(w.entry(place))
	if err != nil && w.err == nil {
		w.err = err
	}
	args = append(args, "--argjson", "e", string(entry), `.manifests |= map(select(`+loses+` | not)) + [$e + {mediaType: $t, digest: $d, size: ($s|tonumber)}]`)
	w.step(explain.Step{
		Action: "store what the tag shall name, and move the tag",
		Command: store + `jq -c --arg d "$manifest" --arg s "$size" ` + explain.Quote(args...) +
			` "$store/index.json" >"$store/index.new" && mv "$store/index.new" "$store/index.json"` + "\n" +
			"echo " + explain.Quote(dst.String()),
		Why: "the tag moves last, when all that it names is there", Ref: "image-layout.md, index.json",
	})
}

// entry is what index.json tells of the image beside its descriptor; an index
// keeps what it had.
func (w *scriptWriter) entry(place *ispec.Descriptor) map[string]any {
	if place != nil && layout.IsIndex(place.MediaType) {
		return map[string]any{"annotations": place.Annotations}
	}
	e := map[string]any{"annotations": map[string]string{ispec.AnnotationRefName: w.commit.dst.Tag}}
	if p := w.draft.indexPlatform(); p != nil {
		e["platform"] = p
	}
	return e
}

// place is the parent, or the index that lists it, among what the tag names,
// and whether the tag names others beside. A layout that is not there has no
// tags.
func (w *scriptWriter) place(ctx context.Context, parent digest.Digest) (place *ispec.Descriptor, others bool) {
	l, err := layout.Open(w.commit.dst.Dir)
	if err != nil {
		return nil, false
	}
	now, err := tagged(ctx, l, w.commit.dst.Tag)
	if err != nil {
		return nil, false
	}
	at, err := placeOf(ctx, l, now, parent)
	if err != nil || at < 0 {
		return nil, false
	}
	return &now[at], len(now) > 1
}
