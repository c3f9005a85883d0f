package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// dirtyMark is what the kernel leaves in the work directory of a volatile
// mount, and refuses to mount over (overlayfs.rst, "Volatile mount").
const dirtyMark = "work/incompat/volatile"

// attach mounts the stack on the rootfs of the bundle. The caller holds the
// lock of the bundle: the kernel lets one upper be mounted twice, and then
// damages it.
func (m *mounter) attach(ctx context.Context, b *bundle.Bundle, s *stack) error {
	if len(m.IDMap) > 0 {
		if err := m.giveToRoot(b); err != nil {
			return err
		}
	}
	lowers, done, err := s.lowers()
	if err != nil {
		return err
	}
	defer done()
	o := overlay.Stack{Lowers: lowers, UserXattr: m.userXattr, Volatile: m.Volatile}
	if !m.ReadOnly {
		o.Upper, o.Work = filepath.Join(b.Dir, bundle.UpperDir), filepath.Join(b.Dir, bundle.WorkDir)
	}
	if m.Size > 0 {
		if err := m.inMemory(b, s, &o); err != nil {
			return err
		}
	}
	err = overlay.Mount(o, b.Rootfs())
	if err != nil && m.fusePossible(err) {
		err = m.mountFuse(ctx, &o, b.Rootfs(), err)
	}
	return err
}

// inMemory mounts the tmpfs on the work directory, makes the true upper in
// it, and shows it in its usual place.
func (m *mounter) inMemory(b *bundle.Bundle, s *stack, o *overlay.Stack) error {
	if err := overlay.MountTmpfs(o.Work, m.Size); err != nil {
		return err
	}
	upper, work := filepath.Join(o.Work, bundle.UpperDir), filepath.Join(o.Work, bundle.WorkDir)
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	if err := s.copyRoot(filepath.Join(b.Dir, fixupDir), upper); err != nil {
		return err
	}
	if err := unix.Mount(upper, o.Upper, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s on %s: %w", upper, o.Upper, err)
	}
	o.Upper, o.Work = upper, work
	return nil
}

// giveToRoot lets the root user of the id map pass through the bundle, and
// nobody else.
func (m *mounter) giveToRoot(b *bundle.Bundle) error {
	if !slices.ContainsFunc(m.IDMap, func(r idmap.Range) bool { return r.Container == 0 }) {
		return nil // root itself is not mapped
	}
	id, err := m.IDMap.ToHost(0)
	if err != nil {
		return err
	}
	for _, dir := range []string{b.Dir, b.Rootfs()} {
		if err := os.Lchown(dir, int(id), int(id)); err != nil {
			return fmt.Errorf("give the bundle to its root: %w", err)
		}
	}
	return nil
}

// fusePossible reports whether fuse-overlayfs may do what the kernel did not:
// an overlay in a user namespace of an old kernel.
func (m *mounter) fusePossible(err error) bool {
	if !m.userXattr || !(errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV)) {
		return false
	}
	_, missing := exec.LookPath(overlay.FuseProgram)
	return missing == nil
}

func (m *mounter) mountFuse(ctx context.Context, o *overlay.Stack, target string, cause error) error {
	m.log.Warn("the kernel mounts no overlay here (%v), using %s, which is slower", cause, overlay.FuseProgram)
	cmd, err := o.FuseCommand(ctx, target)
	if err != nil {
		return errors.Join(cause, err)
	}
	var out []byte
	err = slack.Punctual(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return fmt.Errorf("%w; %s: %w: %s", cause, overlay.FuseProgram, err, out)
	}
	return nil
}

// again mounts a bundle that was unmounted, with the changes in its upper.
func (m *mounter) again(ctx context.Context, old *existing, s *stack) (*mounted, error) {
	b := &old.Bundle
	lock, err := lockBundle(b)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if m.userXattr { // else it is the kernel that mounts
		if err := overlay.EndIdleFuse(b.Rootfs()); err != nil {
			return nil, err
		}
	}
	if err := checkUnmounted(b); err != nil {
		return nil, err
	}
	if err := detachInner(b); err != nil {
		return nil, err
	}
	if err := m.checkClean(b); err != nil {
		return nil, err
	}
	if m.Force {
		if err := bundle.RemoveAll(filepath.Join(b.Dir, bundle.WorkDir, dirtyMark)); err != nil {
			return nil, err
		}
	}
	s.own = old.own()
	if err := b.WriteState(m.stateAgain(old, s)); err != nil {
		return nil, err
	}
	if err := m.store.AddRoot(b.Dir); err != nil {
		return nil, err
	}
	made := &mounted{bundle: *b, image: old.image}
	if err := m.attach(ctx, b, s); err != nil {
		return nil, errors.Join(err, detach(b, false))
	}
	return made, nil
}

// checkUnmounted refuses a bundle that is mounted here, or whose upper is in
// use anywhere.
func checkUnmounted(b *bundle.Bundle) error {
	here, err := overlay.At(b.Rootfs())
	if err != nil {
		return err
	}
	if here != nil {
		return fault.Hint(fmt.Errorf("bundle %s is mounted already", b.Dir), "unmount it: oci-mount -u %s", b.Dir)
	}
	return waitUnused(b)
}

// waitUnused waits a while until no mount has the upper. A process that was
// made with a copy of all mounts, such as a runtime's, drops it in a moment.
func waitUnused(b *bundle.Bundle) error {
	for deadline := time.Now().Add(inUseWait); ; time.Sleep(inUsePause) {
		used, err := upperInUse(b)
		switch {
		case err != nil || !used:
			return err
		case time.Now().After(deadline):
			return fault.Temporary("bundle %s is in use: processes in another mount namespace, or of a lazy unmount, still have it", b.Dir)
		}
	}
}

// upperInUse asks the kernel whether any mount has the upper, also one that no
// list shows. An ordinary user may not ask, and has no such mount.
func upperInUse(b *bundle.Bundle) (bool, error) {
	upper := filepath.Join(b.Dir, bundle.UpperDir)
	if !privileged() || !isDir(upper) {
		return false, nil
	}
	return overlay.InUse(upper)
}

const (
	inUseWait  = 3 * time.Second
	inUsePause = 20 * time.Millisecond
)

// checkClean refuses the upper of a volatile mount that was never unmounted,
// unless --force was given.
func (m *mounter) checkClean(b *bundle.Bundle) error {
	if m.Force {
		return nil
	}
	_, err := os.Lstat(filepath.Join(b.Dir, bundle.WorkDir, dirtyMark))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the mark of a volatile mount: %w", err)
	}
	return fault.Hint(fmt.Errorf("the changes in bundle %s may be damaged: it was mounted with --volatile, and not unmounted", b.Dir),
		"mount it all the same with --force, or start anew: oci-mount --rm %s", b.Dir)
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// lockBundle keeps others from mounting and unmounting the bundle. The lock
// is on the directory, and ends with the process.
func lockBundle(b *bundle.Bundle) (*os.File, error) {
	fd, err := unix.Open(b.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open bundle %s: %w", b.Dir, err)
	}
	lock := os.NewFile(uintptr(fd), b.Dir)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fault.Temporary("bundle %s is in use by another oci-mount: %w", b.Dir, err)
	}
	return lock, nil
}
