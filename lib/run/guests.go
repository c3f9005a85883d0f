package run

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// The protocol of attach.sock. To the guest goes what comes out of the
// terminal, as it is. From the guest come frames: a byte that says what, two
// bytes of length, most significant first, and the payload.
const (
	attachSocket = "attach.sock"
	// frameKeys carries input.
	frameKeys = 'k'
	// frameSize carries the size of the guest's terminal: rows and columns, two
	// bytes each.
	frameSize = 's'
	maxFrame  = 1<<16 - 1
)

// guestPatience is how long a guest may take nothing before it is sent away:
// the container must not stall for it.
const guestPatience = 1000 // milliseconds

// guests are those who have attached to a terminal.
type guests struct {
	mu       sync.Mutex
	listener *os.File
	path     string
	master   *os.File
	conns    map[int]bool
	closed   bool
}

func listenGuests(dir string, master *os.File) (*guests, error) {
	listener, held, path, err := listenSocket(dir, attachSocket)
	if err != nil {
		return nil, err
	}
	if held != nil {
		// Whoever attaches finds its own way to a path that is too long.
		path = dir + "/" + attachSocket
		_ = held.Close()
	}
	g := &guests{listener: listener, path: path, master: master, conns: make(map[int]bool)}
	go g.welcome()
	return g, nil
}

func (g *guests) welcome() {
	for {
		conn, _, err := unix.Accept4(int(g.listener.Fd()), unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		g.mu.Lock()
		if g.closed {
			_ = unix.Close(conn)
		} else {
			g.conns[conn] = true
			go g.listen(conn)
		}
		g.mu.Unlock()
	}
}

// listen takes the frames of one guest.
func (g *guests) listen(conn int) {
	defer g.leave(conn)
	in := fdReader(conn)
	header := make([]byte, 3)
	body := make([]byte, maxFrame)
	for {
		if _, err := io.ReadFull(in, header); err != nil {
			return
		}
		payload := body[:binary.BigEndian.Uint16(header[1:])]
		if _, err := io.ReadFull(in, payload); err != nil {
			return
		}
		switch {
		case header[0] == frameKeys:
			if writeAll(int(g.master.Fd()), payload) != nil {
				return
			}
		case header[0] == frameSize && len(payload) == 4:
			size := unix.Winsize{Row: binary.BigEndian.Uint16(payload), Col: binary.BigEndian.Uint16(payload[2:])}
			_ = unix.IoctlSetWinsize(int(g.master.Fd()), unix.TIOCSWINSZ, &size)
		default:
			return
		}
	}
}

// leave ends a guest; the descriptor is closed here alone.
func (g *guests) leave(conn int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
	_ = unix.Close(conn)
}

// Write gives output to all guests. It never fails: a guest that takes nothing
// is shut down, and leaves.
func (g *guests) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		if !offer(conn, p) {
			_ = unix.Shutdown(conn, unix.SHUT_RDWR)
			delete(g.conns, conn)
		}
	}
	return len(p), nil
}

// offer writes p to a guest as long as that is patient.
func offer(conn int, p []byte) bool {
	for len(p) > 0 {
		n, err := unix.SendmsgN(conn, p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			p = p[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			ready, err := poll([]unix.PollFd{{Fd: int32(conn), Events: unix.POLLOUT}}, guestPatience)
			if err != nil || ready == 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (g *guests) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for conn := range g.conns {
		_ = unix.Shutdown(conn, unix.SHUT_RDWR)
	}
	// A shutdown wakes accept(2), a close would not.
	_ = unix.Shutdown(int(g.listener.Fd()), unix.SHUT_RDWR)
	_ = os.Remove(g.path)
}

// fdReader reads from a descriptor that is waited for by a thread.
type fdReader int

func (fd fdReader) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), p)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// tee writes to a log, whose failure is not the guests', and to the guests.
type tee struct {
	log    io.Writer
	guests *guests
}

func (t tee) Write(p []byte) (int, error) {
	_, _ = t.log.Write(p)
	return t.guests.Write(p)
}
