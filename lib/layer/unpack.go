package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// The buffers of a run: what the layers ahead share, and what is kept for the
// one that is being applied.
const (
	sharedChunks   = 64
	reservedChunks = 32
)

// Unpack merges the layers, lowest first, into the directory rootfs, which
// must be empty unless Options.Existing says otherwise. The digests of all
// layers have been compared when it returns without an error.
func Unpack(ctx context.Context, src Source, layers []Layer, rootfs string, opt Options) (*Result, error) {
	opt = opt.withDefaults()
	if err := check(layers); err != nil {
		return nil, err
	}
	if err := opt.checkMaps(); err != nil {
		return nil, err
	}
	opt.Warn = once(opt.Warn)
	restarted := false
	if !opt.BottomUp && !opt.Existing && !opt.KeepDirlinks && opt.Trace == nil && len(layers) > 1 {
		p, err := topDown(ctx, src, layers, rootfs, opt)
		if err == nil {
			p.sort()
			return &Result{tree: p.applier, Placeholders: p.placeholders(), Skipped: p.skipped, Totals: p.totals}, nil
		}
		if !errors.Is(err, errAwkward) {
			return nil, err
		}
		if err := empty(rootfs); err != nil {
			return nil, err
		}
		restarted = true
	}
	a, err := bottomUp(ctx, src, layers, rootfs, opt, false)
	if err != nil {
		return nil, err
	}
	a.sort()
	return &Result{tree: a, Placeholders: a.placeholders(), Restarted: restarted, Totals: a.totals}, nil
}

// once drops a warning that was given before: layers may be read twice.
func once(warn func(string, ...any)) func(string, ...any) {
	var told sync.Map
	return func(format string, args ...any) {
		if _, before := told.LoadOrStore(fmt.Sprintf(format, args...), true); !before {
			warn(format, args...)
		}
	}
}

// empty removes what an attempt has left in the directory.
func empty(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	dirs, err := emptyOut(fd)
	for _, name := range dirs {
		if err == nil {
			err = removeTree(fd, name)
		}
	}
	if err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	return nil
}

// Extract makes one layer the directory dir, which must be empty, in the form
// that overlayfs stacks: whiteouts are character devices 0:0, opaque
// directories carry an xattr, and the attributes of the image that overlayfs
// would obey are escaped.
func Extract(ctx context.Context, src Source, l Layer, dir string, opt Options) (*Sidecar, error) {
	opt = opt.withDefaults()
	opt.Existing = false
	if err := check([]Layer{l}); err != nil {
		return nil, err
	}
	a, err := bottomUp(ctx, src, []Layer{l}, dir, opt, true)
	if err != nil {
		return nil, err
	}
	return a.sidecar(), nil
}

// check refuses what cannot be a layer before anything is written.
func check(layers []Layer) error {
	for i, l := range layers {
		if _, err := CompressionOf(l.Descriptor.MediaType); err != nil {
			return fmt.Errorf("%s: %w", describe(i, l.Descriptor), err)
		}
		if err := l.DiffID.Validate(); err != nil {
			return fault.Refused("%s: diff_id %q: %w", describe(i, l.Descriptor), l.DiffID, err)
		}
	}
	return nil
}

// checkMaps refuses maps without an owner for the directories that have no
// entry.
func (o Options) checkMaps() error {
	if _, err := o.UIDMap.ToHost(0); err != nil {
		return fault.Usage("uid map: %w", err)
	}
	if _, err := o.GIDMap.ToHost(0); err != nil {
		return fault.Usage("gid map: %w", err)
	}
	return nil
}

// bottomUp applies the layers one after the other.
func bottomUp(ctx context.Context, src Source, layers []Layer, dir string, opt Options, overlay bool) (*applier, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := newApplier(ctx, opt, nil)
	a.overlay = overlay
	d, err := newDisk(ctx, dir, a.root, opt)
	if err != nil {
		return nil, err
	}
	defer d.close()
	a.ctx, a.store = d.ctx, d

	err = eachLayer(d.ctx, d.cancel, src, layers, upwards(layers), opt, d.flush, a.layerFrom)
	if err == nil && overlay {
		err = a.whiteouts(d)
	}
	if err == nil {
		err = a.finish(d)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// upwards is the order from the lowest layer.
func upwards(layers []Layer) []int {
	order := make([]int, len(layers))
	for i := range order {
		order[i] = i
	}
	return order
}

// eachLayer inflates the layers in the order, some of them ahead, and has each
// archive applied in turn. idle is called before the parser may have to wait.
func eachLayer(ctx context.Context, cancel context.CancelCauseFunc, src Source, layers []Layer, order []int, opt Options, idle func(), apply func(int, *tarReader) error) error {
	supply := newSupply(sharedChunks, reservedChunks)
	streams := make([]*stream, 0, len(order))
	var failure error
	for turn, i := range order {
		for failure == nil && len(streams) < min(len(order), turn+1+opt.Writers) {
			streams = append(streams, start(ctx, src, layers[order[len(streams)]], supply, opt))
		}
		if turn >= len(streams) {
			break
		}
		s := streams[turn]
		if failure == nil {
			close(s.current)
			if err := oneLayer(ctx, s, i, idle, apply); err != nil {
				failure = annotate(err, i, layers[i])
				cancel(failure)
			}
		}
		if err := s.finish(failure != nil); err != nil {
			failure = annotate(err, i, layers[i])
			cancel(failure)
		}
	}
	return failure
}

// annotate names the layer, once, and gives an error of the kernel about a
// name or a number in the archive its kind.
func annotate(err error, i int, l Layer) error {
	var named *layerError
	if errors.As(err, &named) || errors.Is(err, context.Canceled) {
		return err
	}
	return &layerError{describe(i, l.Descriptor), err}
}

// layerError says in which layer it happened.
type layerError struct {
	layer string
	err   error
}

func (e *layerError) Error() string { return e.layer + ": " + e.err.Error() }
func (e *layerError) Unwrap() error { return e.err }

// oneLayer applies one archive, and reads its stream to the end.
func oneLayer(ctx context.Context, s *stream, i int, idle func(), apply func(int, *tarReader) error) error {
	r := newTarReader(ctx, func(ctx context.Context) (*chunk, error) {
		idle()
		return s.next(ctx)
	})
	defer r.close()
	if err := apply(i, r); !errors.Is(err, io.EOF) {
		return err
	}
	return r.drain()
}

// sort puts the names of every directory in order, for the records that are
// made of the tree.
func (a *applier) sort() {
	if !a.opt.Digests && !a.opt.Identities {
		return
	}
	_ = a.root.walk(func(n *node) error { // which fails never
		if n.dir != nil {
			n.dir.sort()
		}
		return nil
	}, nil)
}

func (a *applier) placeholders() []Placeholder {
	var all []Placeholder
	_ = a.root.walk(func(n *node) error {
		if more := n.ino.more(); more.device != 0 {
			all = append(all, Placeholder{
				Path: n.path(), Type: actions[more.device], Mode: uint32(more.deviceMode),
				Major: more.major, Minor: more.minor,
			})
		}
		return nil
	}, nil)
	slices.SortFunc(all, func(x, y Placeholder) int { return strings.Compare(x.Path, y.Path) })
	return all
}
