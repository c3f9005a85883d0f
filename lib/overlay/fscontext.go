package overlay

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fsContext is a file system being configured: the descriptor of fsopen(2).
type fsContext struct {
	fd   int
	kind string
}

func openContext(kind string) (*fsContext, error) {
	fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	switch {
	case errors.Is(err, unix.ENODEV):
		return nil, fmt.Errorf("open a mount of type %s: the kernel does not know the file system: %w", kind, err)
	case err != nil:
		return nil, fmt.Errorf("open a mount of type %s: %w", kind, err)
	}
	return &fsContext{fd: fd, kind: kind}, nil
}

func (c *fsContext) close() { unix.Close(c.fd) }

// set gives the kernel one parameter.
func (c *fsContext) set(o option) error {
	var err error
	switch {
	case o.mount != nil:
		err = unix.FsconfigSetFd(c.fd, o.key, int(o.mount.Fd()))
	case o.flag:
		err = unix.FsconfigSetFlag(c.fd, o.key)
	case o.path && len(o.text()) >= maxString:
		err = c.setLong(o)
	default:
		err = unix.FsconfigSetString(c.fd, o.key, o.text())
	}
	if err != nil {
		return c.failure(fmt.Sprintf("set %s option %s=%s", c.kind, o.key, o.value), err)
	}
	return nil
}

// maxString is what fsconfig(2) takes as a string, its final NUL included.
const maxString = 256

// text is the value as the kernel reads it.
func (o option) text() string {
	if !o.escapes {
		return o.value
	}
	return strings.ReplaceAll(o.value, `\`, `\\`)
}

// setLong names a directory by a descriptor, of which mountinfo shows the path
// all the same; or, on kernels before 6.13, by the short path of one.
func (c *fsContext) setLong(o option) error {
	fd, err := unix.Open(o.value, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if unix.FsconfigSetFd(c.fd, o.key, fd) == nil {
		return nil
	}
	return unix.FsconfigSetString(c.fd, o.key, heldPath(fd))
}

// heldPath is the path of what a descriptor of this process stands for.
func heldPath(fd int) string { return fmt.Sprintf("%s%d", heldPrefix, fd) }

const heldPrefix = "/proc/self/fd/"

// mount ends the configuration and makes the detached mount.
func (c *fsContext) mount(attributes int) (*os.File, error) {
	if err := unix.FsconfigCreate(c.fd); err != nil {
		return nil, c.failure("mount "+c.kind, err)
	}
	fd, err := unix.Fsmount(c.fd, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return nil, c.failure("mount "+c.kind, err)
	}
	return os.NewFile(uintptr(fd), c.kind), nil
}

// failure adds to err what the kernel has to say: it queues messages on the
// descriptor, one per read, as "e overlay: text".
func (c *fsContext) failure(what string, err error) error {
	var said []string
	buf := make([]byte, 1024)
	for {
		n, readErr := unix.Read(c.fd, buf)
		if readErr != nil || n <= 0 {
			break
		}
		message := strings.TrimSpace(string(buf[:n]))
		if text, isError := strings.CutPrefix(message, "e "); isError {
			said = append(said, strings.TrimPrefix(text, c.kind+": "))
		}
	}
	if len(said) == 0 {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w (the kernel says: %s)", what, err, strings.Join(said, "; "))
}
