package transport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
)

// libraryDocker has the library write the archive into a private directory,
// from where it goes to its place, or to the stream, when it is whole.
func (r *archiveRef) libraryDocker(ctx context.Context, sys *types.SystemContext) (types.ImageDestination, error) {
	out, err := r.createArchive(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := durable.MakeTempDir(sys.BigFilesTemporaryDir, 0o700)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("temporary directory: %w", err), out.discard())
	}
	d := &stagedDocker{ref: r, out: out, dir: dir, ctx: ctx}
	// The layers that it spools lie there, too, and go with the directory when
	// this process is killed.
	private := *sys
	private.BigFilesTemporaryDir = dir.Path
	name := filepath.Join(dir.Path, "archive.tar")
	if r.name != "" {
		name += ":" + r.name
	}
	inner, err := dockerarchive.Transport.ParseReference(name)
	if err == nil {
		d.ImageDestination, err = inner.NewImageDestination(ctx, &private)
	}
	if err != nil {
		return nil, errors.Join(err, out.discard(), dir.Drop())
	}
	return d, nil
}

// stagedDocker is the library's destination with its archive elsewhere.
type stagedDocker struct {
	types.ImageDestination
	ref       *archiveRef
	out       *archiveOutput
	dir       *durable.TempDir
	ctx       context.Context //nolint:containedctx // Close, which moves the archive, has none
	committed bool
}

// Reference is what was asked for.
func (d *stagedDocker) Reference() types.ImageReference { return d.ref }

// Commit completes the archive.
func (d *stagedDocker) Commit(ctx context.Context, top types.UnparsedImage) error {
	err := d.ImageDestination.Commit(ctx, top)
	d.committed = err == nil
	return err
}

// Close moves the complete archive to its place: the library writes its end
// not before it is closed.
func (d *stagedDocker) Close() error {
	err := d.ImageDestination.Close()
	if err == nil && d.committed {
		err = d.deliver()
	}
	return errors.Join(err, d.out.discard(), d.dir.Drop())
}

func (d *stagedDocker) deliver() error {
	f, err := os.Open(filepath.Join(d.dir.Path, "archive.tar"))
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if d.out.streams() {
		err = copyTo(d.out.stream, &contextReader{d.ctx, f})
	} else {
		err = copyTo(d.out.file, &contextReader{d.ctx, f})
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return d.out.publish(d.ctx)
}
