package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// console is the pseudo-terminal of a container: the runtime makes it, and
// sends its master through a socket (runc docs/terminals.md).
type console struct {
	// path is the socket's, for the runtime.
	path     string
	listener *os.File
	// home is the container's directory.
	home string
	// guests have attached to the terminal of a detached container.
	guests *guests
	// dir is held open for a path that is too long for a socket address.
	dir    *os.File
	master *os.File
	tty    *os.File
	saved  *unix.Termios
	// stop wakes the copying goroutines when its other end is closed.
	stop, stopper *os.File
	outputDone    chan struct{}
	hungUp        chan struct{}
	hangUpOnce    sync.Once
	closeOnce     sync.Once
}

// maxSocketPath is the size of sun_path less its final NUL.
const maxSocketPath = 107

// listenSocket makes a listening Unix socket in dir. The path returned is what
// another process connects to; it goes through this process's descriptor of
// the directory when the plain path is too long for a socket address.
func listenSocket(dir, name string) (listener, held *os.File, path string, err error) {
	bind := filepath.Join(dir, name)
	path = bind
	if len(path) > maxSocketPath {
		if held, err = os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			return nil, nil, "", fmt.Errorf("listen on %s: %w", bind, err)
		}
		bind = fmt.Sprintf("/proc/self/fd/%d/%s", held.Fd(), name)
		path = fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), held.Fd(), name)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, "", fmt.Errorf("make a socket: %w", err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: bind}), unix.Listen(fd, 8)); err != nil {
		_ = unix.Close(fd)
		return nil, nil, "", fmt.Errorf("listen on %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), held, path, nil
}

func listenConsole(dir string) (*console, error) {
	listener, held, path, err := listenSocket(dir, "console.sock")
	if err != nil {
		return nil, err
	}
	return &console{home: dir, path: path, listener: listener, dir: held, outputDone: make(chan struct{}), hungUp: make(chan struct{})}, nil
}

// consoleWait bounds the wait for a runtime that has said it is done.
const consoleWait = 5000 // milliseconds

// receive takes the master and connects it to the streams. The runtime has
// sent it before "create" ended, so it is in the socket's queue.
func (c *console) receive(streams Streams) error {
	if err := c.accept(); err != nil {
		return err
	}
	c.tty = streams.TTY
	c.resize()
	c.raw()
	var err error
	if c.stop, c.stopper, err = os.Pipe(); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	out := streams.Output
	if out == nil {
		out = streams.Stdout
	}
	if streams.Attach {
		if c.guests, err = listenGuests(c.home, c.master); err != nil {
			return err
		}
		out = tee{out, c.guests}
	}
	go c.copyOutput(out)
	if streams.Stdin != nil {
		go c.copyInput(streams.Stdin)
	}
	return nil
}

func (c *console) accept() error {
	defer func() {
		_ = c.listener.Close()
		_ = os.Remove(c.path)
		if c.dir != nil {
			_ = c.dir.Close()
		}
	}()
	fds := []unix.PollFd{{Fd: int32(c.listener.Fd()), Events: unix.POLLIN}}
	if n, err := poll(fds, consoleWait); err != nil || n == 0 {
		return errors.Join(errors.New("the runtime has sent no terminal"), err)
	}
	conn, _, err := unix.Accept4(int(c.listener.Fd()), unix.SOCK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("receive the terminal: %w", err)
	}
	defer unix.Close(conn)
	name, oob := make([]byte, unix.PathMax), make([]byte, unix.CmsgSpace(4*4))
	_, n, _, _, err := unix.Recvmsg(conn, name, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return fmt.Errorf("receive the terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return errors.Join(errors.New("receive the terminal: no descriptor came"), err)
	}
	received, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(received) == 0 {
		return errors.Join(errors.New("receive the terminal: no descriptor came"), err)
	}
	c.master = os.NewFile(uintptr(received[0]), "terminal of the container")
	closeAll(received[1:])
	return c.clearONLCR()
}

// clearONLCR stops the container's terminal from turning \n into \r\n: the
// user's does that already, and a file that the output goes to wants none.
func (c *console) clearONLCR() error {
	t, err := unix.IoctlGetTermios(int(c.master.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read the mode of the container's terminal: %w", err)
	}
	t.Oflag &^= unix.ONLCR
	if err := unix.IoctlSetTermios(int(c.master.Fd()), unix.TCSETS, t); err != nil {
		return fmt.Errorf("set the mode of the container's terminal: %w", err)
	}
	return nil
}

// resize gives the container's terminal the size of the user's.
func (c *console) resize() {
	if c.tty == nil || c.master == nil {
		return
	}
	if size, err := unix.IoctlGetWinsize(int(c.tty.Fd()), unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(int(c.master.Fd()), unix.TIOCSWINSZ, size)
	}
}

// raw hands all keys to the container. Output processing stays on: it is what
// turns the container's \n into \r\n.
func (c *console) raw() {
	if c.tty == nil {
		return
	}
	t, err := unix.IoctlGetTermios(int(c.tty.Fd()), unix.TCGETS)
	if err != nil {
		return
	}
	saved := *t
	if c.saved == nil {
		c.saved = &saved
	}
	makeRaw(t)
	_ = unix.IoctlSetTermios(int(c.tty.Fd()), unix.TCSETSW, t)
}

// makeRaw is cfmakeraw(3) without its change of c_oflag.
func makeRaw(t *unix.Termios) {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}

// restore gives the user's terminal its mode back.
func (c *console) restore() {
	if c.tty != nil && c.saved != nil {
		_ = unix.IoctlSetTermios(int(c.tty.Fd()), unix.TCSETSW, c.saved)
	}
}

// copyOutput copies until the last process has closed the container's side
// (EIO). Output that nobody takes any more is read on and dropped: the hang-up
// is for the program to notice, not a full buffer.
func (c *console) copyOutput(out io.Writer) {
	defer close(c.outputDone)
	buf := make([]byte, 32<<10)
	lost := false
	for {
		n, ok := c.read(c.master, buf)
		if !ok {
			return
		}
		if lost {
			continue
		}
		if _, err := out.Write(buf[:n]); err != nil {
			lost = true
			c.hangUp()
		}
	}
}

// copyInput copies keys. The end of input that is no terminal becomes the end
// of file character; that of a terminal is a hang-up.
func (c *console) copyInput(in *os.File) {
	buf := make([]byte, 4<<10)
	for {
		n, ok := c.read(in, buf)
		if ok && n > 0 {
			if writeAll(int(c.master.Fd()), buf[:n]) != nil {
				return
			}
			continue
		}
		if c.tty != nil && in == c.tty {
			c.hangUp()
		} else if ok {
			const endOfFile = 4 // VEOF of a new terminal
			_ = writeAll(int(c.master.Fd()), []byte{endOfFile})
		}
		return
	}
}

// read waits for input or for the stop. It reports false at an error, and at
// the stop; no bytes are the end of the input.
func (c *console) read(f *os.File, buf []byte) (int, bool) {
	for {
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}, {Fd: int32(c.stop.Fd())}}
		if _, err := poll(fds, -1); err != nil || fds[1].Revents != 0 {
			return 0, false
		}
		n, err := unix.Read(int(f.Fd()), buf)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case err != nil:
			return 0, false
		case n == 0 && f == c.master:
			return 0, false
		default:
			return n, true
		}
	}
}

func (c *console) hangUp() { c.hangUpOnce.Do(func() { close(c.hungUp) }) }

// drain waits until the output of a program that has ended is copied. Should
// another process keep the terminal open, it is not waited for.
func (c *console) drain() {
	select {
	case <-c.outputDone:
	case <-time.After(2 * time.Second):
	}
	c.close()
}

// close restores the user's terminal and closes the container's, whose
// foreground processes get a SIGHUP from the kernel.
func (c *console) close() {
	c.closeOnce.Do(func() {
		c.restore()
		if c.master == nil {
			_ = c.listener.Close()
			return
		}
		if c.guests != nil {
			c.guests.close()
		}
		if c.stopper != nil {
			_ = c.stopper.Close()
			<-c.outputDone
		}
		_ = c.master.Close()
	})
}

func poll(fds []unix.PollFd, ms int) (int, error) {
	for {
		n, err := unix.Poll(fds, ms)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if _, err := poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			data = data[n:]
		}
	}
	return nil
}
