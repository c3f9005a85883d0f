package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/confine"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
)

// job is what the confined process does: it unpacks the layers into a
// directory below its own, and writes the manifest and the record of the files
// beside it.
type job struct {
	Layout  []byte        `json:"layout"` // a path, which need not be UTF-8
	Layers  []layer.Layer `json:"layers"`
	Rootfs  string        `json:"rootfs"`
	Mtree   string        `json:"mtree,omitempty"`
	Options options       `json:"options"`
	// Discard asks to remove what an earlier job has made instead. Where its
	// files belong to mapped ids, only a process that has these ids can.
	Discard bool `json:"discard,omitempty"`
	// Check asks to compare the rootfs with this manifest instead. Where files
	// belong to mapped ids, or their owner may not read them, only a process
	// that is root over these can.
	Check string `json:"check,omitempty"`
}

// report is its answer.
type report struct {
	Placeholders []bundle.Placeholder `json:"placeholders,omitempty"`
	Skipped      int                  `json:"skipped,omitempty"`
	Restarted    bool                 `json:"restarted,omitempty"`
	Totals       []layer.Total        `json:"totals,omitempty"`
	Differences  []mtree.Difference   `json:"differences,omitempty"`
}

// message is what it says meanwhile.
type message struct {
	Warn string `json:"warn,omitempty"`
	Read int64  `json:"read,omitempty"`
}

// unpackConfined runs in the confined process.
func unpackConfined(ctx context.Context, raw json.RawMessage, send func(any)) (any, error) {
	var j job
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	switch {
	case j.Discard:
		return report{}, discard()
	case j.Check != "":
		diffs, err := compare(ctx, bundle.RootfsDir, j.Check)
		return report{Differences: diffs}, err
	}
	// Only here, in a process of its own, may the umask be changed: files
	// then get their mode by being made.
	unix.Umask(0)
	layer.TuneCollector(j.Layers, 25)
	images, err := layout.Open(string(j.Layout))
	if err != nil {
		return nil, err
	}
	opt := j.Options.forLayers()
	opt.Identities = j.Mtree != ""
	opt.Warn = func(format string, args ...any) { send(message{Warn: fmt.Sprintf(format, args...)}) }
	opt.Progress = sendProgress(send)
	if j.Rootfs != "." {
		if err := os.Mkdir(j.Rootfs, 0o700); err != nil {
			return nil, err
		}
	}
	result, err := layer.Unpack(ctx, images, j.Layers, j.Rootfs, opt)
	if err != nil {
		return nil, err
	}
	if j.Mtree != "" {
		if err := writeRecords(result, j.Mtree); err != nil {
			return nil, err
		}
	}
	r := report{Skipped: result.Skipped, Restarted: result.Restarted, Totals: result.Totals}
	for _, p := range result.Placeholders {
		r.Placeholders = append(r.Placeholders, bundle.Placeholder(p))
	}
	return r, nil
}

// sendProgress sums up, and tells ten times a second.
func sendProgress(send func(any)) func(int64) {
	var sum, last atomic.Int64
	begun := time.Now()
	return func(n int64) {
		total := sum.Add(n)
		now := int64(time.Since(begun) / (100 * time.Millisecond))
		if before := last.Load(); now > before && last.CompareAndSwap(before, now) {
			send(message{Read: total})
		}
	}
}

// mayHoldAnything also of a directory that only the confined process can read.
func mayHoldAnything(dir string) bool {
	entries, err := os.ReadDir(dir)
	return len(entries) > 0 || errors.Is(err, fs.ErrPermission)
}

// discard empties the directory of the process.
func discard() error {
	entries, err := os.ReadDir(".")
	for _, e := range entries {
		err = errors.Join(err, bundle.RemoveAll(e.Name()))
	}
	return err
}

// empty has the confined process remove what is in the directory. Root can do
// that without.
func (p *plan) empty(ctx context.Context, inv *cli.Invocation, dir string) error {
	if os.Geteuid() == 0 || !mayHoldAnything(dir) {
		return nil
	}
	child := confine.Child{Name: programName(), Dir: dir, Stderr: inv.Err, UIDs: p.options.UIDMap, GIDs: p.options.GIDMap}
	// The context is done, perhaps; the clearing up is not.
	return child.Run(context.WithoutCancel(ctx), job{Discard: true}, &report{})
}

// programName is what the confined process is called in lists of processes.
func programName() string { return filepath.Base(os.Args[0]) }

// runConfined has the confined process fill the directory.
func (p *plan) runConfined(ctx context.Context, inv *cli.Invocation, dir, rootfs string) (*report, error) {
	j := job{Layout: []byte(p.layout.Dir()), Layers: p.layers, Rootfs: rootfs, Options: p.options}
	if p.mtree {
		j.Mtree = p.manifestName()
	}
	bar := newProgress(inv, p.layers)
	defer bar.end()
	child := confine.Child{
		Name: programName(), Dir: dir, Ahead: p.ahead, Stderr: inv.Err,
		UIDs: p.options.UIDMap, GIDs: p.options.GIDMap,
		Message: func(raw json.RawMessage) {
			var m message
			if err := json.Unmarshal(raw, &m); err != nil {
				return
			}
			if m.Warn == "" {
				bar.set(m.Read)
				return
			}
			bar.clear()
			inv.Log.Warn("%s", m.Warn)
		},
		NoWall: func(reason error) { inv.Log.Detail("unpacking without a mount namespace of its own: %v", reason) },
	}
	var r report
	err := child.Run(ctx, j, &r)
	if err == nil && r.Skipped > 0 {
		inv.Log.Detail("%d files were not written, since a higher layer replaces or removes them", r.Skipped)
	}
	if err == nil && r.Restarted {
		inv.Log.Detail("the layers depend on their order, and were applied from the lowest")
	}
	return &r, err
}
