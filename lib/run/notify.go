package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a container sees of the service manager (sd_notify(3)): a socket of
// this process's own, mounted below notifyMount. The real socket stays
// outside, for who may speak there can also name another main process.
const (
	notifyDir    = "notify"
	notifyName   = "notify.sock"
	notifyMount  = "/run/notify"
	notifySocket = notifyMount + "/" + notifyName
	maxNotice    = 64 << 10
)

// notifyProxy hands what the program says about itself on to the service
// manager.
type notifyProxy struct {
	in, out int
	to      unix.Sockaddr
	// extra is added to a message that says READY=1.
	extra string
	// done is closed when nothing more is handed on.
	done chan struct{}
}

// newNotifyProxy listens below dir, and sends to the socket address that was
// in NOTIFY_SOCKET.
func newNotifyProxy(dir, address string, detached bool) (*notifyProxy, error) {
	home := filepath.Join(dir, notifyDir)
	if err := os.Mkdir(home, 0o755); err != nil {
		return nil, fmt.Errorf("make the notify socket: %w", err)
	}
	n := &notifyProxy{to: &unix.SockaddrUnix{Name: address}, done: make(chan struct{})}
	if detached {
		// The process that was started has ended; this one has the container.
		n.extra = fmt.Sprintf("\nMAINPID=%d", os.Getpid())
	}
	var err error
	if n.in, err = datagramSocket(); err != nil {
		return nil, err
	}
	if n.out, err = datagramSocket(); err != nil {
		_ = unix.Close(n.in)
		return nil, err
	}
	if err := n.bind(home); err != nil {
		closeAll([]int{n.in, n.out})
		return nil, fmt.Errorf("make the notify socket: %w", err)
	}
	go n.relay()
	return n, nil
}

func datagramSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	return fd, nil
}

func (n *notifyProxy) bind(home string) error {
	dir, err := os.OpenFile(home, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	// The way through the descriptor is short, however long the path is.
	if err := unix.Bind(n.in, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), notifyName)}); err != nil {
		return err
	}
	// The program may be any user; nobody else gets past the directory above.
	return os.Chmod(filepath.Join(home, notifyName), 0o777)
}

func (n *notifyProxy) relay() {
	defer close(n.done)
	buf, oob := make([]byte, maxNotice), make([]byte, unix.CmsgSpace(64*4))
	for {
		size, rights, _, _, err := unix.Recvmsg(n.in, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || size == 0 {
			return
		}
		// Closing the descriptors that came along is what sd_notify_barrier(3)
		// waits for.
		closeRights(oob[:rights])
		if text := n.filter(string(buf[:size])); text != "" {
			_ = unix.Sendto(n.out, []byte(text), unix.MSG_NOSIGNAL, n.to)
		}
	}
}

// filter keeps what is about the program's state. Pids are of another
// namespace, and descriptors are not kept for a container.
func (n *notifyProxy) filter(text string) string {
	var kept []string
	for line := range strings.SplitSeq(text, "\n") {
		name, _, _ := strings.Cut(line, "=")
		switch name {
		case "", "MAINPID", "MAINPIDFDID", "FDSTORE", "FDSTOREREMOVE", "FDNAME", "FDPOLL", "BARRIER":
		default:
			if line == "READY=1" {
				line += n.extra
			}
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func closeRights(oob []byte) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			closeAll(fds)
		}
	}
}

// close returns when all that was sent has been handed on: what is in the
// queue is still received after the shutdown.
func (n *notifyProxy) close() {
	_ = unix.Shutdown(n.in, unix.SHUT_RD)
	select {
	case <-n.done:
		closeAll([]int{n.in, n.out})
	case <-time.After(time.Second): // a service manager that does not listen
	}
}
