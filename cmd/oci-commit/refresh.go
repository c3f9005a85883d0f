package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// refresh makes the bundle's record say that what was committed is in the
// image: the next commit stacks only what changes from now on. It returns how
// to take that back, and what is left to do when all has gone well.
//
// A ready archive and a squash are not in the rootfs as the record describes
// it, so that after them the record stays. Where no changes were looked for, the
// next commit finds them still, and stacks them on the new image.
func (c *commit) refresh(ctx context.Context, s *source, d *draft, desc ispec.Descriptor, tree *changeset.Tree) (undo func() error, done func(), err error) {
	nothing := func() error { return nil }
	if s.bundle == nil || c.inv.Bool("no-refresh") || c.inv.Bool("squash") || len(c.inv.StringSlice("layer")) > 0 {
		return nothing, func() {}, nil
	}
	r := &refresher{bundle: s.bundle, saved: make(map[string]*savedFile)}
	if s.kind == kindUpper {
		err = r.upper(s, d, desc, tree)
	} else {
		err = r.rootfs(ctx, s, d, desc, tree)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("refresh bundle %s: %w", s.bundle.Dir, err), r.undo())
	}
	return r.undo, r.done, nil
}

// refresher writes files of a bundle, and keeps what they were.
type refresher struct {
	bundle *bundle.Bundle
	saved  map[string]*savedFile
	old    string // a file to be removed at the end
}

// savedFile is a file before the refresh.
type savedFile struct {
	data []byte
	mode fs.FileMode
	none bool // it was not there
}

// save keeps what a file is, once.
func (r *refresher) save(name string) error {
	if r.saved[name] != nil {
		return nil
	}
	path := filepath.Join(r.bundle.Dir, name)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		r.saved[name] = &savedFile{none: true}
		return nil
	}
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r.saved[name] = &savedFile{data: data, mode: info.Mode().Perm()}
	return nil
}

func (r *refresher) write(name string, data []byte, mode fs.FileMode) error {
	if err := r.save(name); err != nil {
		return err
	}
	return r.bundle.WriteFile(name, data, mode)
}

// undo puts back all that was written.
func (r *refresher) undo() error {
	var errs []error
	for name, was := range r.saved {
		if was.none {
			if err := os.Remove(filepath.Join(r.bundle.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		errs = append(errs, r.bundle.WriteFile(name, was.data, was.mode))
	}
	return errors.Join(errs...)
}

// done removes the manifest that is not the bundle's any more. That it cannot
// be removed harms nobody.
func (r *refresher) done() {
	if r.old != "" {
		_ = os.Remove(r.old)
	}
}

// upper records what of the upper is in the image now. The mount itself, and
// so the rest of the record, stays as it is.
func (r *refresher) upper(s *source, _ *draft, desc ispec.Descriptor, tree *changeset.Tree) error {
	if tree != nil {
		if err := r.record(tree, ""); err != nil {
			return err
		}
	}
	if err := r.save(bundle.StateFile); err != nil {
		return err
	}
	state := *s.state
	state.Committed = &desc
	return r.bundle.WriteState(&state)
}

// record notes which files are as they were committed.
func (r *refresher) record(tree *changeset.Tree, key string) error {
	var record bytes.Buffer
	if err := tree.Record(&record, key); err != nil {
		return err
	}
	return r.write(changeset.SnapshotFile, record.Bytes(), 0o600)
}

// manifest writes the manifest of the rootfs as it was committed, under the
// name that belongs to the new image.
func (r *refresher) manifest(ctx context.Context, s *source, name string, tree *changeset.Tree) error {
	oldPath, err := s.mtree()
	if tree == nil && errors.Is(err, fault.ErrNotFound) {
		return nil // unpacked without one
	}
	if err != nil {
		return err
	}
	if filepath.Base(oldPath) != name {
		r.old = oldPath
	}
	if tree == nil {
		same, err := os.ReadFile(oldPath)
		if err != nil {
			return err
		}
		return r.write(name, same, 0o644)
	}
	old, err := s.manifest()
	if err != nil {
		return err
	}
	var manifest bytes.Buffer
	if err := tree.WriteManifest(ctx, old, &manifest); err != nil {
		return err
	}
	if err := r.write(name, manifest.Bytes(), 0o644); err != nil {
		return err
	}
	sum := sha256.Sum256(manifest.Bytes())
	return r.record(tree, hex.EncodeToString(sum[:]))
}

// rootfs makes the new image the bundle's.
func (r *refresher) rootfs(ctx context.Context, s *source, d *draft, desc ispec.Descriptor, tree *changeset.Tree) error {
	name := bundle.MtreeName(desc)
	if err := r.manifest(ctx, s, name, tree); err != nil {
		return err
	}
	if s.umoci != nil {
		if err := r.save(bundle.UmociFile); err != nil {
			return err
		}
		if err := rewriteUmoci(s.bundle, desc); err != nil {
			return err
		}
	}
	if s.state == nil {
		return nil
	}
	if err := r.save(bundle.StateFile); err != nil {
		return err
	}
	return r.bundle.WriteState(d.state(s.state, desc, name))
}

// state is the record of a bundle whose rootfs is the new image.
func (d *draft) state(old *bundle.State, desc ispec.Descriptor, manifest string) *bundle.State {
	state := *old
	state.Reference = d.commit.dst.String()
	state.Manifest, state.Config, state.ImageConfig, state.Platform = desc, d.config, d.raw, &d.final.Platform
	if state.Mtree != "" {
		state.Mtree = manifest
	}
	state.Layers = nil
	for _, l := range d.layers {
		state.Layers = append(state.Layers, bundle.Layer{Descriptor: l.desc, DiffID: digest.Digest(l.diffID)})
	}
	return &state
}
