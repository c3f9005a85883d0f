package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// archiveOutput is where an archive is written: a file without a name that
// takes the place of the target when it is whole, or a stream.
type archiveOutput struct {
	// file is set for a regular file, and allows writing at any offset.
	file *os.File
	// temp is that file on its way to its name.
	temp *durable.TempFile
	// stream is set for everything else.
	stream io.Writer
	// target is the path of the file.
	target string
	// closer closes a fifo or device.
	closer io.Closer
}

// createArchive opens the target for writing. What is there already stays
// until the new archive is whole.
func (c *Copier) createArchive(name string) (*archiveOutput, error) {
	if name == "-" {
		return c.stdoutArchive()
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil, fault.Usage("%s is a directory, not an archive", name)
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open archive: %w", err)
		}
		return &archiveOutput{stream: f, closer: f}, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("create archive: %w", err)
	}
	// Through a symbolic link, the file it names is what gets replaced.
	target, err := filepath.EvalSymlinks(name)
	if errors.Is(err, os.ErrNotExist) {
		target, err = filepath.Abs(name)
	}
	if err != nil {
		return nil, fmt.Errorf("create archive: %w", err)
	}
	durable.Sweep(filepath.Dir(target))
	f, err := durable.Temp(filepath.Dir(target))
	if err != nil {
		return nil, fmt.Errorf("create archive: %w", err)
	}
	return &archiveOutput{file: f.File, temp: f, target: target}, nil
}

// stdoutArchive streams to standard output, which must not be a terminal. A
// regular file there is a stream, too: the shell has opened it, and may have
// others write to it.
func (c *Copier) stdoutArchive() (*archiveOutput, error) {
	out := c.options.Stdout
	if out == nil {
		return nil, fault.Usage("there is no standard output to write an archive to")
	}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return nil, fault.Hint(fault.Usage("an archive is not written to a terminal"), "redirect it: oci-copy SRC oci-archive:- >FILE")
	}
	return &archiveOutput{stream: out}, nil
}

// streams reports whether the output is a stream.
func (o *archiveOutput) streams() bool { return o.file == nil }

// publish gives a file its name, durably.
func (o *archiveOutput) publish(ctx context.Context) error {
	if o.file == nil {
		if o.closer != nil {
			return o.closer.Close()
		}
		return nil
	}
	err := context.Cause(ctx)
	if err == nil {
		err = o.keepMode()
	}
	if err == nil {
		err = o.file.Sync()
	}
	if err == nil {
		err = o.temp.Rename(o.target)
	}
	if err != nil {
		return fmt.Errorf("write archive %s: %w", o.target, err)
	}
	if err := o.discard(); err != nil {
		return fmt.Errorf("write archive %s: %w", o.target, err)
	}
	return durable.SyncDir(filepath.Dir(o.target))
}

// keepMode gives the file the mode of the one that it replaces; a new file has
// the mode it was made with.
func (o *archiveOutput) keepMode() error {
	info, err := os.Stat(o.target)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.file.Chmod(info.Mode().Perm())
}

// discard drops what was not published.
func (o *archiveOutput) discard() error {
	switch {
	case o.file != nil:
		o.file = nil
		return o.temp.Drop()
	case o.closer != nil:
		c := o.closer
		o.closer = nil
		if err := c.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			return err
		}
	}
	return nil
}
