package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// stagePrefix begins the names of staged bundles.
const stagePrefix = durable.TempPrefix + "bundle-"

// parentPatience is how long Stage waits for others that begin in the same
// directory; they may be removing what a killed run left.
const parentPatience = 30 * time.Second

// Staging is a bundle in the making. It is a locked directory beside its final
// place, on the same file system.
type Staging struct {
	// Bundle is the temporary directory, to be filled.
	Bundle
	final string
	lock  *os.File
	// vacant describes the empty directory that is there now.
	vacant fs.FileInfo
}

// Stage begins the bundle that shall appear as dir, which must not exist or be
// an empty directory. What killed runs left beside it is removed.
func Stage(dir string) (*Staging, error) {
	final, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("stage bundle: %w", err)
	}
	if err := CheckVacant(final); err != nil {
		return nil, err
	}
	vacant, err := os.Lstat(final)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("stage bundle: %w", err)
	}
	temp, lock, err := makeStage(filepath.Dir(final))
	if err != nil {
		return nil, fmt.Errorf("stage bundle: %w", err)
	}
	return &Staging{Bundle: Bundle{Dir: temp}, final: final, lock: lock, vacant: vacant}, nil
}

// makeStage makes and locks a staging directory in parent. Meanwhile the
// parent is locked: so a sweep, which runs under that lock, too, never sees a
// directory that is made and not locked yet.
func makeStage(parent string) (temp string, lock *os.File, err error) {
	parentLock, err := lockParent(parent)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, parentLock.Close()) }()
	if temp, err = os.MkdirTemp(parent, stagePrefix); err != nil {
		return "", nil, err
	}
	if lock, err = lockDir(temp, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return "", nil, errors.Join(err, os.Remove(temp))
	}
	return temp, lock, nil
}

// lockParent locks the directory in which bundles are staged, and sweeps it.
// In a directory such as /tmp a stranger may hold the lock for ever.
func lockParent(parent string) (*os.File, error) {
	for deadline := time.Now().Add(parentPatience); ; time.Sleep(5 * time.Millisecond) {
		lock, err := lockDir(parent, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			sweep(parent)
			return lock, nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, fault.Hint(err, "make it with: mkdir -p %s", explain.Quote(parent))
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, err
		case time.Now().After(deadline):
			return nil, fault.Hint(fault.As(fault.ErrTemporary, err), "another process holds the lock of %s; try again, or another directory", parent)
		}
	}
}

// WriteState writes oci-bundle.json, and returns when it is durable. Nobody sees
// the directory yet, so that the file needs no other name before it is whole.
func (s *Staging) WriteState(state *State) error {
	data, err := state.encode()
	if err != nil {
		return err
	}
	return durable.CreateFile(filepath.Join(s.Dir, StateFile), data, stateMode)
}

// Final is where the bundle will appear.
func (s *Staging) Final() *Bundle { return &Bundle{Dir: s.final} }

// CheckVacant refuses a place where something is.
func CheckVacant(final string) error {
	info, err := os.Lstat(final)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("stage bundle: %w", err)
	case !info.IsDir():
		return taken(final, "is there and not a directory")
	}
	entries, err := os.ReadDir(final)
	if err != nil {
		return fmt.Errorf("stage bundle: %w", err)
	}
	if len(entries) > 0 {
		return taken(final, "is not empty")
	}
	return nil
}

func taken(final, why string) error {
	return fault.Hint(fmt.Errorf("bundle %s %s", final, why), "name another directory, or remove it first")
}

// Publish makes the bundle durable and gives it its name. When another run was
// faster it fails, and touches nothing of the winner's.
func (s *Staging) Publish(ctx context.Context) error {
	// One syncfs in place of an fsync for each of thousands of files.
	if err := unix.Syncfs(int(s.lock.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", s.Dir, err)
	}
	return s.PublishSynced(ctx)
}

// PublishSynced is Publish for a bundle that holds nothing but directories and
// what WriteFile wrote after they were made: that is durable already, and
// syncfs would make the caller wait for what others have written.
func (s *Staging) PublishSynced(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	// rename(2) replaces an empty directory, and nothing else that is there.
	// os.Rename would refuse the empty directory, too.
	err := unix.Rename(s.Dir, s.final)
	switch {
	case errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.ENOTDIR):
		return taken(s.final, "was made by another process meanwhile")
	case err != nil:
		return fmt.Errorf("publish bundle %s: %w", s.final, err)
	}
	s.Dir = s.final
	if err := durable.SyncDir(filepath.Dir(s.final)); err != nil {
		return fmt.Errorf("publish bundle: %w", err)
	}
	return s.release()
}

// Discard removes what was staged. After Publish it does nothing, so that it
// can be deferred.
func (s *Staging) Discard() error {
	if s.lock == nil {
		return nil
	}
	err := RemoveAll(s.Dir)
	return errors.Join(err, s.release())
}

// Retract removes the published bundle. The empty directory in whose place it
// stood comes back.
func (s *Staging) Retract() error {
	err := RemoveAll(s.final)
	if err != nil || s.vacant == nil {
		return err
	}
	if err := os.Mkdir(s.final, 0o700); err != nil {
		return fmt.Errorf("put back %s: %w", s.final, err)
	}
	if st, ok := s.vacant.Sys().(*syscall.Stat_t); ok {
		err = os.Lchown(s.final, int(st.Uid), int(st.Gid))
	}
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if err = errors.Join(err, os.Chmod(s.final, s.vacant.Mode()&bits)); err != nil {
		return fmt.Errorf("put back %s: %w", s.final, err)
	}
	return nil
}

func (s *Staging) release() error {
	err := s.lock.Close()
	s.lock = nil
	return err
}

// lockDir takes an flock on the directory; it dies with the process.
func lockDir(dir string, how int) (*os.File, error) {
	// os.OpenFile would try to wait for the directory in epoll first.
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: dir, Err: err}, f.Close())
	}
	return f, nil
}

// Sweep removes what killed runs have staged in the directory, which need not
// exist.
func Sweep(parent string) error {
	lock, err := lockParent(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep %s: %w", parent, err)
	}
	return lock.Close()
}

// sweep removes staged bundles in parent whose makers are dead.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), stagePrefix) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		lock, err := lockDir(dir, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue
		}
		_ = RemoveAll(dir)
		_ = lock.Close()
	}
}
