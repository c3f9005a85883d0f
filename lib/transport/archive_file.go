package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// archiveOutput is where an archive is written: a file without a name that
// takes the place of the target when it is whole, or a stream.
type archiveOutput struct {
	// file is set for a regular file, and allows writing at any offset.
	file *os.File
	// stream is set for everything else.
	stream io.Writer
	// named is either of them, but for standard output.
	named     *durable.Output
	published bool
}

// createArchive opens the archive, and remembers it for undo.
func (r *archiveRef) createArchive(ctx context.Context) (*archiveOutput, error) {
	var err error
	r.out, err = r.copier.createArchive(ctx, r.path)
	return r.out, err
}

// undo gives an archive's place back what it had. What went into a stream is
// gone.
func (r *archiveRef) undo(context.Context) error {
	if r.out == nil || r.out.named == nil {
		return nil
	}
	if err := errors.Join(r.out.named.Undo(), r.out.named.Drop()); err != nil {
		return fmt.Errorf("take back archive %s: %w", r.path, err)
	}
	return nil
}

// settle drops what undo would need.
func (r *archiveRef) settle() error {
	if r.out == nil || r.out.named == nil {
		return nil
	}
	return r.out.named.Drop()
}

// createArchive opens the target for writing. What is there already stays
// until the new archive is whole.
func (c *Copier) createArchive(ctx context.Context, name string) (*archiveOutput, error) {
	if name == "-" {
		return c.stdoutArchive(ctx)
	}
	named, err := openOutput(ctx, name)
	switch {
	case errors.Is(err, unix.EISDIR):
		return nil, fault.Usage("%s is a directory, not an archive", name)
	case err != nil:
		return nil, fmt.Errorf("create archive: %w", err)
	case named.Streams():
		return &archiveOutput{stream: pipe.Output(ctx, named), named: named}, nil
	}
	return &archiveOutput{file: named.File, named: named}, nil
}

// openOutput opens the target. A FIFO waits for its reader.
func openOutput(ctx context.Context, name string) (*durable.Output, error) {
	open := func() (*durable.Output, error) { return durable.OpenOutput(name) }
	if info, err := os.Stat(name); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		return pipe.Abandon(ctx, open)
	}
	return open()
}

// stdoutArchive streams to standard output, which must not be a terminal. A
// regular file there is a stream, too: the shell has opened it, and may have
// others write to it.
func (c *Copier) stdoutArchive(ctx context.Context) (*archiveOutput, error) {
	out := c.options.Stdout
	if out == nil {
		return nil, fault.Usage("there is no standard output to write an archive to")
	}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return nil, fault.Hint(fault.Usage("an archive is not written to a terminal"), "redirect it: oci-copy SRC oci-archive:- >FILE")
	}
	return &archiveOutput{stream: pipe.Output(ctx, out)}, nil
}

// streams reports whether the output is a stream.
func (o *archiveOutput) streams() bool { return o.file == nil }

// publish gives a file its name, durably.
func (o *archiveOutput) publish(ctx context.Context) error {
	if o.named == nil {
		return nil
	}
	err := context.Cause(ctx)
	if err == nil {
		err = o.named.Publish()
	}
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	o.published = true
	return nil
}

// discard drops what was not published.
func (o *archiveOutput) discard() error {
	if o.named == nil || o.published {
		return nil
	}
	return o.named.Drop()
}
