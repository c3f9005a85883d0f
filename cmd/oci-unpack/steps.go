package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
)

// printScript prints the script that makes the same tree, or fails as making
// it would.
func printScript(ctx context.Context, inv *cli.Invocation, p plan) error {
	switch {
	case p.tar != "" && os.Geteuid() != 0:
		return fault.Hint(fault.Usage("--dry-run: tar packs what lies on a disk, where only root can make the image's owners and devices"),
			"as root: %s --dry-run --tar ...; %s --tar itself needs no root", name, name)
	case p.existing:
		return fault.Hint(fault.Usage("--dry-run: a script would follow the symlinks in %s out of it, and leave what whiteouts remove there", p.bundle),
			"leave out --into-existing for a script that makes a directory; %s itself resolves such links inside", name)
	case p.tar == "":
		if err := bundle.CheckVacant(p.bundle); err != nil {
			return err
		}
	}
	return p.explain(ctx, inv)
}

// explain prints the steps, as the flags ask. They are found by reading the
// layers once more: what a layer removes depends on the lower ones.
func (p *plan) explain(ctx context.Context, inv *cli.Invocation) error {
	steps := inv.Steps()
	if !steps.Enabled() {
		return nil
	}
	opt := p.options.forLayers()
	opt.Warn = func(string, ...any) {}
	outline, err := layer.Describe(ctx, p.layout, p.layers, opt)
	if err != nil {
		return err
	}
	if outline.FollowsLinks && inv.DryRun() {
		return fault.Hint(fault.Refused("a layer writes through a symlink of the image: a script would follow it out of the tree"),
			"%s itself resolves such links inside the tree", name)
	}
	byRoot := p.mapped() && os.Geteuid() == 0
	if outline.NamesIDs && byRoot && inv.DryRun() {
		return fault.Refused("an ACL of the image names users or groups, which a script cannot map")
	}
	if outline.HidesDevice && inv.DryRun() {
		return fault.Refused("a layer has a device and something else at one path: tar would leave out both")
	}
	w := &stepWriter{plan: p, steps: steps, perEntry: inv.Log.Verbose(1)}
	w.begin()
	if p.mapped() && !byRoot {
		w.within = inside
		w.namespace()
	}
	for i := range p.layers {
		w.layer(i, &outline.Layers[i])
	}
	if p.options.Rootless && slices.ContainsFunc(outline.Dirs, locks) {
		w.openDirectories()
	}
	w.placeholders(outline.Placeholders)
	w.attributes(outline.Attributes)
	w.directories(outline.Dirs)
	if p.options.Rootless {
		w.modes(outline.Dirs)
	}
	if byRoot {
		w.owners(outline)
	}
	w.end()
	return w.err
}

// stepWriter prints steps until one fails.
type stepWriter struct {
	plan     *plan
	steps    *explain.Printer
	perEntry bool
	// within precedes the commands that run in the user namespace.
	within string
	err    error
}

func (w *stepWriter) step(s explain.Step) {
	if w.err == nil {
		w.err = w.steps.Step(s)
	}
}

// rootfs is the directory in which the script works.
func (w *stepWriter) rootfs() string {
	dir, err := filepath.Abs(w.plan.bundle)
	if err != nil && w.err == nil {
		w.err = err
	}
	if w.plan.rootfsOnly {
		return dir
	}
	return filepath.Join(dir, bundle.RootfsDir)
}

func (w *stepWriter) begin() {
	if w.plan.tar != "" {
		w.step(explain.Step{
			Action: "unpack into a directory of its own", Command: `OCI_TREE=$(mktemp -d)` + "\n" + `cd -- "$OCI_TREE"`,
			Why: "tar can only flatten what lies on a disk",
		})
		return
	}
	enter := "cd -- " + explain.Quote(w.rootfs())
	if w.plan.existing {
		w.step(explain.Step{Action: "enter the directory", Command: enter, Why: "what it holds counts as a lower layer"})
		return
	}
	var commands []string
	if !w.plan.rootfsOnly {
		bundleDir := filepath.Dir(w.rootfs())
		commands = makeDirectory(bundleDir)
		if gid, ok := w.plan.rootGroup(); ok {
			quoted := explain.Quote(bundleDir)
			commands = append(commands, fmt.Sprintf("chgrp %d -- %s", gid, quoted), "chmod 0710 -- "+quoted)
		}
	}
	commands = append(commands, makeDirectory(w.rootfs())...)
	w.step(explain.Step{
		Action: "make the directory", Command: strings.Join(append(commands, enter), "\n"),
		Why: "0700: setuid files of the image are out of other users' reach", Ref: "CVE-2021-41091",
	})
}

// makeDirectory makes one that must not be there, or be empty.
func makeDirectory(dir string) []string {
	var commands []string
	if _, err := os.Lstat(dir); err == nil {
		commands = append(commands, "rmdir -- "+explain.Quote(dir))
	}
	return append(commands, "mkdir -m 0700 -- "+explain.Quote(dir))
}

// layer prints what one layer amounts to: first what it removes, then what
// it holds. In this order it does not matter where its whiteouts stand.
func (w *stepWriter) layer(i int, c *layer.Changes) {
	l := w.plan.layers[i]
	if w.perEntry {
		w.entries(i, c)
	}
	if w.plan.options.Rootless && i > 0 {
		w.openDirectories()
	}
	if len(c.Removed) > 0 {
		w.step(explain.Step{
			Action:  fmt.Sprintf("layer %d: remove %d paths of lower layers", i+1, len(c.Removed)),
			Command: w.lines("rm -rf --", below(c.Removed)),
			Why:     "whiteouts, and what changes its kind", Ref: "image-spec layer.md, Whiteouts",
		})
	}
	blob, err := w.plan.layout.BlobPath(l.Descriptor.Digest)
	if err != nil {
		w.err = err
		return
	}
	w.step(explain.Step{
		Action: fmt.Sprintf("layer %d: extract %d entries, %d bytes", i+1, len(c.Entries), c.Bytes),
		Command: unpacker(l.Descriptor.MediaType) + " " + explain.Quote(blob) +
			" | " + w.within + "tar -x -p" + w.tarFlags() + " --exclude='.wh.*'" + without(c.Devices) + " -f -",
		Why: fmt.Sprintf("the archive is %s, the blob %s; both are verified", l.DiffID, l.Descriptor.Digest),
		Ref: "image-spec layer.md, Applying Changesets",
	})
}

// tarFlags say what tar keeps of owners and attributes. Rootless all of these
// are set later; a file that its owner may not write, tar could not dress.
func (w *stepWriter) tarFlags() string {
	if w.plan.options.Rootless {
		return " --no-same-owner"
	}
	flags := []string{" --same-owner --numeric-owner --xattrs --xattrs-include='*'"}
	left := []string{"trusted.overlay.*", "user.overlay.*", "security.selinux", "system.nfs4_acl"}
	if os.Geteuid() != 0 {
		left = []string{"trusted.*", "user.overlay.*", "security.*", "system.nfs4_acl"}
	}
	for _, pattern := range left {
		flags = append(flags, "--xattrs-exclude="+explain.Quote(pattern))
	}
	return strings.Join(flags, " ")
}

func unpacker(mediaType string) string {
	switch c, _ := layer.CompressionOf(mediaType); c {
	case layer.Gzip:
		return "gzip -dc"
	case layer.Zstd:
		return "zstd -dcq"
	default:
		return "cat"
	}
}

// entries prints each entry of a layer, as a comment on the step that makes
// all of them.
func (w *stepWriter) entries(i int, c *layer.Changes) {
	for _, e := range c.Entries {
		action := fmt.Sprintf("layer %d: %s %q", i+1, e.Action, e.Path)
		if e.Target != "" {
			action += fmt.Sprintf(" to %q", e.Target)
		}
		if e.Action == "file" {
			action += fmt.Sprintf(", %d bytes", e.Size)
		}
		w.step(explain.Step{Action: action})
	}
}

// directories repairs what extracting one layer over the other has changed:
// directories get a new time with each new entry, and those without an entry
// of their own the umask's mode.
func (w *stepWriter) directories(dirs []layer.OutlineDir) {
	var implied []string
	times := map[string][]string{}
	for _, d := range dirs {
		if d.Implied {
			implied = append(implied, d.Path)
		}
		at := explain.Time(d.MTime)
		times[at] = append(times[at], d.Path)
	}
	if len(implied) > 0 {
		command := w.lines("chmod 0755 --", below(implied))
		if !w.plan.options.Rootless {
			command = w.lines("chown 0:0 --", below(implied)) + "\n" + command
		}
		w.step(explain.Step{
			Action:  fmt.Sprintf("describe %d directories that no layer describes", len(implied)),
			Command: command, Why: "else the umask would decide",
		})
	}
	var commands []string
	for _, at := range slices.Sorted(maps.Keys(times)) {
		commands = append(commands, w.lines("touch -h -d @"+at+" --", below(times[at])))
	}
	w.step(explain.Step{
		Action: fmt.Sprintf("set the times of %d directories", len(dirs)), Command: strings.Join(commands, "\n"),
		Why: "each entry that was added or removed has changed them",
	})
}

func (w *stepWriter) end() {
	switch p := w.plan; {
	case p.tar != "":
		out := "-"
		if p.tar != "-" {
			abs, err := filepath.Abs(p.tar)
			if err != nil {
				w.err = err
				return
			}
			out = explain.Quote(abs)
		}
		w.step(explain.Step{
			Action:  "pack the tree",
			Command: "tar -c --numeric-owner --xattrs --xattrs-include='*' --sort=name -f " + out + " .\n" + `cd / && rm -rf -- "$OCI_TREE"`,
		})
	case p.mtree:
		w.step(explain.Step{
			Action: "record the tree",
			Command: "if command -v gomtree >/dev/null; then gomtree -c -k type,mode,uid,gid,nlink,size,link,tar_time,sha256digest,xattr -p . >../" +
				explain.Quote(p.manifestName()) + "; fi",
			Why: "what changes from now on can be found by comparison", Ref: "mtree(5)",
		})
	}
	if !w.plan.rootfsOnly && w.plan.tar == "" {
		w.step(explain.Step{
			Action: "leave the rootfs", Command: "cd ..",
			Why: fmt.Sprintf("%s also writes %s, which names the image and its layers", name, bundle.StateFile),
		})
	}
}

// lines is the command with all the operands, where tar runs.
func (w *stepWriter) lines(command string, operands []string) string {
	return strings.Join(explain.Lines(w.within+command, operands), "\n")
}

// below makes paths of the tree paths that no command takes for a flag.
func below(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = "./" + p
	}
	return out
}
