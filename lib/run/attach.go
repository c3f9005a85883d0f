package run

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// leaveKeys is what a person types to leave a container that goes on: Ctrl-P
// Ctrl-Q.
var leaveKeys = []byte{0x10, 0x11}

// Attach connects the streams to the terminal of the container, until that
// ends or the person leaves; left tells which. What has ended shows its log. A
// signal that asks for the end of this process is an error with its status.
func (c *Container) Attach(ctx context.Context, streams Streams) (left bool, err error) {
	conn, err := c.dial()
	if errors.Is(err, fault.ErrNotFound) && c.Started && !c.Process.alive() {
		err = c.Logs(ctx, streams.Stdout, true)
		if errors.Is(err, fault.ErrNotFound) {
			err = nil // there is none
		}
		return false, err
	}
	if err != nil {
		return false, err
	}
	// Wait may outlive the connection; this descriptor closes with the process
	// when the goroutine that reads it has not ended.
	a := &attachment{conn: conn, streams: streams, left: make(chan struct{})}
	defer func() { _ = unix.Shutdown(conn, unix.SHUT_RDWR) }()
	a.console = console{tty: streams.TTY}
	s := catchSignals()
	defer s.release()
	a.raw()
	defer a.restore()
	a.sendSize()
	output := make(chan error, 1)
	go func() {
		_, err := io.Copy(streams.Stdout, fdReader(conn))
		output <- err
	}()
	if streams.Stdin != nil {
		go a.sendKeys()
	}
	for {
		select {
		case err := <-output:
			return false, err
		case <-a.left:
			return true, nil
		case <-s.resized:
			a.sendSize()
		case sig := <-s.asked:
			return false, endedBy(sig)
		case sig := <-s.caught:
			a.stopOrGoOn(sig)
		}
	}
}

// endedBy is the exit status of a process that a signal has ended, as a shell
// tells it.
func endedBy(caught os.Signal) error {
	sig, _ := caught.(unix.Signal)
	return fault.Exit(128 + int(sig))
}

func (c *Container) dial() (int, error) {
	if !c.Terminal || !c.Detached {
		return -1, fault.Usage("container %s has no terminal to attach to", c.ID)
	}
	path := c.path(attachSocket)
	if len(path) > maxSocketPath {
		dir, err := os.OpenFile(c.Dir(), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return -1, fmt.Errorf("attach to container %s: %w", c.ID, err)
		}
		defer dir.Close()
		path = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), attachSocket)
	}
	conn, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	if err := unix.Connect(conn, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(conn)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			return -1, fault.NotFound("container %s has ended, or its monitor was killed", c.ID)
		}
		return -1, fmt.Errorf("attach to container %s: %w", c.ID, err)
	}
	return conn, nil
}

// attachment is one end of attach.sock, that of the guest.
type attachment struct {
	console
	conn    int
	streams Streams
	left    chan struct{}
}

// stopOrGoOn is job control: the terminal is the shell's meanwhile.
func (a *attachment) stopOrGoOn(sig os.Signal) {
	switch sig {
	case unix.SIGTSTP:
		a.restore()
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	case unix.SIGCONT:
		a.raw()
		a.sendSize()
	}
}

func (a *attachment) send(kind byte, payload []byte) error {
	frame := append([]byte{kind, 0, 0}, payload...)
	binary.BigEndian.PutUint16(frame[1:], uint16(len(payload)))
	return writeAll(a.conn, frame)
}

func (a *attachment) sendSize() {
	if a.tty == nil {
		return
	}
	size, err := unix.IoctlGetWinsize(int(a.tty.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	payload := binary.BigEndian.AppendUint16(nil, size.Row)
	_ = a.send(frameSize, binary.BigEndian.AppendUint16(payload, size.Col))
}

// sendKeys sends what is typed. The keys that leave may come in two reads; the
// first of them is held back until the next key shows what it was.
func (a *attachment) sendKeys() {
	buf := make([]byte, 4<<10)
	held := false
	for {
		n, err := fdReader(a.streams.Stdin.Fd()).Read(buf)
		if err != nil {
			return // the end of input leaves the output connected
		}
		keys := buf[:n]
		if held {
			keys = append([]byte{leaveKeys[0]}, keys...)
		}
		if before, _, leave := bytes.Cut(keys, leaveKeys); leave {
			_ = a.send(frameKeys, before)
			close(a.left)
			return
		}
		if held = keys[len(keys)-1] == leaveKeys[0]; held {
			keys = keys[:len(keys)-1]
		}
		if a.send(frameKeys, keys) != nil {
			return
		}
	}
}
