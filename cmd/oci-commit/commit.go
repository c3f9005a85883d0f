package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/config"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// commit is one invocation: what the options ask for.
type commit struct {
	inv         *cli.Invocation
	src         string
	dst         layout.Reference
	from        string
	edits       config.Edits
	annotations map[string]string
	platform    layout.Platform
	epoch       *time.Time
	created     time.Time
}

// newCommit reads operands and options, and finds fault with them before
// anything is done.
func newCommit(inv *cli.Invocation) (*commit, error) {
	c := &commit{inv: inv, from: inv.String("from")}
	if err := c.operands(); err != nil {
		return nil, err
	}
	if err := c.conflicts(); err != nil {
		return nil, err
	}
	if err := checkTexts(inv); err != nil {
		return nil, err
	}
	var err error
	if c.edits, err = editsOf(inv); err != nil {
		return nil, err
	}
	if c.annotations, err = pairs(inv, "annotation"); err != nil {
		return nil, err
	}
	if c.platform, err = platformOf(inv); err != nil {
		return nil, err
	}
	if c.epoch, err = sourceDateEpoch(); err != nil {
		return nil, err
	}
	if c.created, err = createdOf(inv, c.epoch); err != nil {
		return nil, err
	}
	_, err = encodingOf(inv, "")
	return c, err
}

// operands are SRC and DST, of which --diff needs only the first, and a
// pipeline only the second.
func (c *commit) operands() error {
	words := c.inv.Operands
	if c.inv.Bool("diff") {
		c.src = c.inv.Operand(0)
		if len(words) > 1 {
			return c.inv.Usage("--diff commits nothing: leave out %s", words[1])
		}
		return nil
	}
	if len(words) == 0 {
		return c.inv.Usage("no destination")
	}
	if len(words) == 2 {
		c.src = words[0]
	}
	var err error
	c.dst, err = destination(c.inv, words[len(words)-1])
	return err
}

// comparing are the flags that say what --diff compares; the others make
// something.
var comparing = []string{"diff", "from", "squash", "mask-path", "include-volumes", "include-litter", "verify", "force"}

// unused finds flags that would have no effect, or that an unset variable has
// left empty.
func (c *commit) unused() error {
	inv := c.inv
	for _, f := range flags() {
		flag := f.Names()[0]
		if inv.Bool("diff") && slices.Contains(inv.Given, flag) && !slices.Contains(comparing, flag) {
			return inv.Usage("--diff commits nothing: leave out --%s", flag)
		}
	}
	for _, flag := range []string{"from", "user", "workdir", "stop-signal", "author", "platform", "created", "history"} {
		if inv.IsSet(flag) && inv.String(flag) == "" {
			return inv.Usage("--%s is empty", flag)
		}
	}
	for _, flag := range []string{"layer", "mask-path", "config-patch"} {
		if slices.Contains(inv.StringSlice(flag), "") {
			return inv.Usage("--%s is empty", flag)
		}
	}
	if inv.IsSet("level") && inv.Int("level") == 0 {
		return inv.Usage("--level begins with 1")
	}
	return nil
}

// conflicts finds options that contradict each other.
func (c *commit) conflicts() error {
	inv := c.inv
	if err := c.unused(); err != nil {
		return err
	}
	stdin := 0
	for _, flag := range []string{"layer", "config-patch"} {
		for _, word := range inv.StringSlice(flag) {
			if word == "-" {
				stdin++
			}
		}
	}
	if c.src == "-" || c.src == "" && c.from == "" {
		stdin++
	}
	switch {
	case stdin > 1:
		return inv.Usage("standard input can be read for one thing only")
	case inv.Bool("empty-layer") && (inv.Bool("squash") || len(inv.StringSlice("layer")) > 0):
		return inv.Usage("--empty-layer excludes --squash and --layer")
	case inv.Bool("no-history") && (inv.IsSet("history") || inv.IsSet("comment")):
		return inv.Usage("--no-history excludes --history and --comment")
	}
	return nil
}

// run commits from the operand, or from the record on standard input.
func (c *commit) run(ctx context.Context) error {
	if c.from != "" {
		return c.one(ctx, c.src)
	}
	done := false
	return c.inv.EachInput(c.src, func(rec pipe.Record) error {
		if done && !c.inv.Bool("diff") {
			return c.inv.Usage("%s: a second bundle for the one destination %s", rec.Name(), c.dst)
		}
		done = true
		return c.one(ctx, rec.Name())
	})
}

// one makes one image.
func (c *commit) one(ctx context.Context, src string) (err error) {
	s := &source{}
	defer s.release()
	how := unix.LOCK_EX
	if c.inv.Bool("diff") || c.inv.DryRun() {
		how = unix.LOCK_SH
	}
	if err := s.find(ctx, src, c.from, c.platform, how); err != nil {
		return err
	}
	p, err := findParent(ctx, s, c.dst)
	if c.inv.Bool("diff") && errors.Is(err, fault.ErrNotFound) {
		// The image tells the volumes, which are masked, and no more.
		c.inv.Log.Detail("%v: volumes are not masked", err)
		err = nil
	}
	if err != nil {
		return err
	}
	d, err := newDraft(c, s, p)
	if err != nil {
		return err
	}
	tree, err := c.changes(ctx, s, d)
	if err != nil {
		return err
	}
	if tree != nil {
		defer func() { err = errors.Join(err, tree.Close()) }()
	}
	if c.inv.Bool("diff") {
		return c.list(tree)
	}
	if err := c.script(ctx, s, d, tree); err != nil || c.inv.DryRun() {
		return err
	}
	return c.write(ctx, s, d, tree)
}

// changes compares; nil when there is nothing to compare.
func (c *commit) changes(ctx context.Context, s *source, d *draft) (*changeset.Tree, error) {
	if c.inv.Bool("empty-layer") {
		return nil, nil
	}
	opt := changeset.Options{Mask: c.inv.StringSlice("mask-path")}
	if s.kind == kindUpper || s.kind == kindRootfs {
		if !c.inv.Bool("include-volumes") {
			opt.Volumes = d.volumes()
		}
		if !c.inv.Bool("include-litter") {
			var err error
			if opt.Litter, err = s.litter(d.workingDir()); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case s.kind == kindTree:
		return changeset.Whole(s.path, opt)
	case s.bundle != nil && c.inv.Bool("squash"):
		return c.whole(s, opt)
	case s.kind == kindUpper:
		return c.upper(ctx, s, opt)
	case s.kind == kindRootfs:
		return c.rootfs(ctx, s, opt)
	default:
		return nil, nil
	}
}

// write makes the image durable, tags it, refreshes the bundle's record, and
// prints the image's name. When nobody takes the name, all but the blobs is
// put back.
func (c *commit) write(ctx context.Context, s *source, d *draft, tree *changeset.Tree) error {
	if err := c.inv.Records().Check(c.dst.String()); err != nil {
		return err
	}
	// Whoever made this layout, and fails, leaves it while it is claimed.
	l, claim, err := layout.CreateClaimed(ctx, c.dst.Dir)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	defer claim.Release()
	shared, err := isShared(ctx, l, c.dst.Tag, s.parent.Digest)
	if err != nil {
		return err
	}
	if err := d.addLayers(ctx, l, s, tree); err != nil {
		return err
	}
	c.warn(tree)
	desc, err := d.store(ctx, l)
	if err != nil {
		return err
	}
	set, err := tag(ctx, l, c.dst, desc, s.parent.Digest, shared)
	if err != nil {
		return err
	}
	undoRefresh, done, err := c.refresh(ctx, s, d, desc, tree)
	if err != nil {
		return errors.Join(err, set.Undo(context.WithoutCancel(ctx)))
	}
	rec := pipe.Record{Kind: pipe.KindImage, Image: c.dst.String(), Digest: desc.Digest.String()}
	if len(d.added) > 0 {
		rec.Extra = map[string]any{"layers": d.added}
	}
	if err := c.inv.Records().Write(rec); err != nil {
		return errors.Join(err, undoRefresh(), set.Undo(context.WithoutCancel(ctx)))
	}
	done()
	return nil
}

func (c *commit) warn(tree *changeset.Tree) {
	if tree == nil {
		return
	}
	for _, w := range tree.Warnings {
		c.inv.Log.Warn("%s", w)
	}
}
