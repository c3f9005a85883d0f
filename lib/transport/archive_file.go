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

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// archiveOutput is where an archive is written: a file without a name that
// takes the place of the target when it is whole, or a stream.
type archiveOutput struct {
	// file is set for a regular file, and allows writing at any offset.
	file *os.File
	// named says that the file has a temporary name.
	named bool
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
	f, named, err := archiveTemp(filepath.Dir(target))
	if err != nil {
		return nil, fmt.Errorf("create archive: %w", err)
	}
	return &archiveOutput{file: f, named: named, target: target}, nil
}

// archiveTemp opens a file without a name, and where the file system has no
// such thing, one with a temporary name.
func archiveTemp(dir string) (f *os.File, named bool, err error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, "(unnamed)")), false, nil
	}
	f, err = os.CreateTemp(dir, tempPrefix)
	return f, true, err
}

// tempPrefix begins the names of archives that are not whole yet.
const tempPrefix = ".oci-tmp-"

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
		err = o.file.Chmod(archiveMode(o.target))
	}
	if err == nil {
		err = o.file.Sync()
	}
	if err == nil {
		err = o.rename()
	}
	if err != nil {
		return fmt.Errorf("write archive %s: %w", o.target, err)
	}
	dir, err := os.Open(filepath.Dir(o.target))
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// rename puts the file in the place of the target. linkat cannot replace, so
// that a file without a name gets a temporary one for two calls.
func (o *archiveOutput) rename() error {
	f := o.file
	if o.named {
		o.file = nil
		return errors.Join(os.Rename(f.Name(), o.target), f.Close())
	}
	temp := filepath.Join(filepath.Dir(o.target), fmt.Sprintf("%s%d-%d", tempPrefix, os.Getpid(), f.Fd()))
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, temp, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: f.Name(), New: temp, Err: err}
	}
	o.file = nil
	return errors.Join(os.Rename(temp, o.target), f.Close())
}

// archiveMode is that of the file that is replaced, or that of a new one.
func archiveMode(target string) os.FileMode {
	if info, err := os.Stat(target); err == nil {
		return info.Mode().Perm()
	}
	mask := unix.Umask(0)
	unix.Umask(mask)
	return 0o666 &^ os.FileMode(mask) //nolint:gosec // a umask is small
}

// discard drops what was not published.
func (o *archiveOutput) discard() error {
	switch {
	case o.file != nil:
		f := o.file
		o.file = nil
		err := f.Close()
		if o.named {
			err = errors.Join(err, os.Remove(f.Name()))
		}
		return err
	case o.closer != nil:
		c := o.closer
		o.closer = nil
		if err := c.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			return err
		}
	}
	return nil
}
