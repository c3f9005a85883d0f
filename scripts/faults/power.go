package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// durable are the operations that promise what they print to outlive the
// machine.
var durable = []string{"copy", "pull", "archive", "unpack", "commit", "genspec"}

func powerSome() []string { return numbered(durable, 9, 10) }

func powerMore() []string { return numbered(durable, 0, 100) }

// FS_IOC_SHUTDOWN (include/uapi/linux/fs.h) stops an ext4 as if the power had
// failed; with this flag it does not even flush its journal.
const (
	fsIocShutdown = 0x8004587d
	noLogFlush    = 2
)

// playPower cuts the disk off after N twentieths of an operation's time, mounts
// it again, which replays the journal, and checks: OP:N. Beyond 20 the tool has
// probably ended, and what it printed has to be there.
func playPower(ctx context.Context, s *sweep, words []string) (struck bool, err error) {
	op, n, err := operationAt(words, 0)
	if err != nil {
		return false, err
	}
	disk, e, err := s.envOn(true, op)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, disk.close()) }()
	if err := disk.sync(); err != nil { // what is prepared was there long before
		return false, err
	}
	// About what these take on a machine that does other things, too.
	cut := time.AfterFunc(time.Duration(n)*8*time.Millisecond, func() { _ = shutdown(disk.dir) })
	out, err := e.run(ctx, op.argv(e)...)
	cut.Stop()
	if err != nil {
		return true, err
	}
	if err := errors.Join(shutdown(disk.dir), disk.detach(), disk.replug()); err != nil {
		return true, err
	}
	return true, hold(op, e, out)
}

// sync writes out this file system alone.
func (d *disk) sync() error {
	root, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(root.Fd())), root.Close())
}

// shutdown cuts the file system off; one that is cut off already stays so.
func shutdown(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EIO) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetPointerInt(fd, fsIocShutdown, noLogFlush); err != nil && !errors.Is(err, unix.EIO) {
		return fmt.Errorf("cut %s off: %w", dir, err)
	}
	return nil
}

func command(argv ...string) error {
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", argv, err, out)
	}
	return nil
}
