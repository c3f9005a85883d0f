package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Where the output of a detached container goes, besides a file.
const (
	LogNone     = "none"
	LogJournald = "journald"
)

// The formats of a log file.
const (
	// LogRaw: the container has the file as its stdout and stderr, and writes
	// it itself; no process is in between that could be killed or stall.
	LogRaw = "raw"
	// LogJSON: one object per line, as Docker's json-file.
	LogJSON = "json"
	// LogCRI: the format of the Kubernetes container runtime interface.
	LogCRI = "cri"
)

// LogPlan says where the output of a detached container goes.
type LogPlan struct {
	// Target is the absolute path of a file, LogNone, LogJournald, or "" for
	// the file in the container's directory of the store.
	Target string `json:"target"`
	Format string `json:"format"`
	// MaxSize is the size in bytes at which a file that the monitor writes
	// (json, cri) is rotated, MaxFiles how many there are in all.
	MaxSize  int64 `json:"maxSize,omitempty"`
	MaxFiles int   `json:"maxFiles,omitempty"`
	// UID and GID are the ids on the host that the program has, or -1. A
	// program that is not root opens /dev/stdout again by its name.
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// Check refuses a plan that cannot be meant.
func (l LogPlan) Check() error {
	switch l.Format {
	case LogRaw, LogJSON, LogCRI:
	default:
		return fault.Usage("log format %q is neither raw nor json nor cri", l.Format)
	}
	if l.MaxFiles < 1 || l.MaxSize < 0 {
		return fault.Usage("a log of %d files of %d bytes cannot be kept", l.MaxFiles, l.MaxSize)
	}
	if l.Format != LogRaw && (l.Target == LogNone || l.Target == LogJournald) {
		return fault.Usage("log format %s needs a log file, not %s", l.Format, l.Target)
	}
	return nil
}

// openRaw opens what the container writes to itself.
func (l LogPlan) openRaw(id string) (*os.File, error) {
	switch l.Target {
	case LogNone:
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	case LogJournald:
		return openJournal(id)
	}
	f, made, err := openLog(l.Target)
	if err != nil || !made {
		return f, err
	}
	if err := l.give(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openLog opens a log to append to, and tells whether it has made the file:
// what was there before is not to be given away. Nothing in it waits (a FIFO
// without a reader would be waited for), nor makes a terminal that of this
// session.
func openLog(path string) (f *os.File, made bool, err error) {
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Open(path, flags|unix.O_CREAT|unix.O_EXCL, 0o600)
	if made = err == nil; errors.Is(err, unix.EEXIST) {
		fd, err = unix.Open(path, flags, 0)
	}
	switch {
	case errors.Is(err, unix.ENXIO):
		err = errNoLog
	case err == nil:
		if err = checkLog(fd); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("open the container's log %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), made, nil
}

var errNoLog = fault.Refused("it is neither a file nor a character device")

// checkLog refuses what cannot be a log, and has writes wait again, which the
// program expects of its output.
func checkLog(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFCHR {
		return errNoLog
	}
	return unix.SetNonblock(fd, false)
}

// give makes the program the owner of its output. That it cannot be done, for
// lack of privilege, costs only the reopening.
func (l LogPlan) give(f *os.File) error {
	err := f.Chown(l.UID, l.GID)
	if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("give the log to the container's user: %w", err)
	}
	return nil
}

// journalSocket is where systemd-journald takes streams (sd_journal_stream_fd(3)).
const journalSocket = "/run/systemd/journal/stdout"

// openJournal opens a stream to the journal, which the container then writes
// to itself. The identifier is the container's ID.
func openJournal(id string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: journalSocket}); err != nil {
		_ = unix.Close(fd)
		return nil, fault.Hint(fmt.Errorf("connect to the journal at %s: %w", journalSocket, err), "without systemd-journald use --container-log FILE")
	}
	// Identifier, unit, priority (info), no prefixes, no forwarding.
	header := id + "\n\n6\n0\n0\n0\n0\n"
	if err := writeAll(fd, []byte(header)); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("write to the journal: %w", err)
	}
	return os.NewFile(uintptr(fd), journalSocket), nil
}

// logPath is the file of the log, "" when there is none.
func (c *Container) logPath() string {
	switch c.Log {
	case LogNone, LogJournald, "":
		return ""
	}
	return c.Log
}

// DefaultLog is the log in the container's directory.
func (s *Store) DefaultLog(id string) string { return filepath.Join(s.Dir(id), logFile) }
