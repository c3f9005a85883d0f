package overlay

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// wantsClassic reports whether the kernel is one of those that want mount(2)
// for an overlay: before Linux 6.7 it does not know "lowerdir+", and before 6.5
// fsopen(2) takes any parameter, and reads them when it comes to the mount. It
// is asked first, as it logs there what it does not know.
func wantsClassic() bool {
	fs, err := openContext("overlay")
	if err != nil {
		return false // what follows says why
	}
	defer fs.close()
	err = fs.set(lowerOption(Lower{Path: procfs}))
	return errors.Is(err, unix.EINVAL) || fs.set(option{key: Source + "-asks", flag: true}) == nil
}

// pageOptions is what mount(2) takes as options, its final NUL included.
const pageOptions = 4096

// createClassic is Create by mount(2), which needs a directory to mount on,
// and attached layers: both are found in a mount namespace that nobody sees.
func (s *Stack) createClassic() (*os.File, error) {
	var mnt *os.File
	err := inPrivate(func() error {
		if err := s.attachLowers(); err != nil {
			return err
		}
		target := s.Lowers[0].Path
		if err := s.mountClassic(target); err != nil {
			return err
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, target, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("take the overlay out of its namespace: %w", err)
		}
		mnt = os.NewFile(uintptr(fd), "overlay")
		// The namespace ends some time after the thread.
		if err := Unmount(target, true); err != nil {
			return errors.Join(err, mnt.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return mnt, nil
}

// attachLowers puts the layers that are detached mounts in the place of what
// they are mounts of. The others are found by their paths: an open directory is
// in the namespace where it was opened, from which the kernel takes none.
func (s *Stack) attachLowers() error {
	for _, l := range s.Lowers {
		if l.Mount == nil {
			continue
		}
		err := Attach(l.Mount, l.Path)
		if errors.Is(err, unix.EINVAL) {
			continue // no mount, but a directory
		}
		if err != nil {
			return err
		}
		// A clone shares what is mounted on it with what it was made from.
		if err := unix.Mount("", l.Path, "", unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("keep the mounts on layer %s apart: %w", l.Path, err)
		}
	}
	return nil
}

// inPrivate calls f on a thread with a mount namespace and a working directory
// of its own, which end with it.
func inPrivate(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: Go ends the thread with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// /proc/self shows the namespace of this one, which Go never ends.
			done <- inPrivate(f)
			runtime.UnlockOSThread()
			return
		}
		err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err != nil {
			done <- fmt.Errorf("enter a mount namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// mountClassic mounts the stack on target. When the paths do not fit into a
// page, they are descriptors, relative to the directory of these.
func (s *Stack) mountClassic(target string) error {
	data := s.ClassicOptions()
	if len(data) >= pageOptions {
		short, release, err := s.held()
		if err != nil {
			return err
		}
		defer release()
		if data = short.ClassicOptions(); len(data) >= pageOptions {
			return fmt.Errorf("mount overlay: %d lower layers do not fit into one page of options: %w", len(s.Lowers), unix.E2BIG)
		}
		if err := unix.Chdir(heldPrefix); err != nil {
			return fmt.Errorf("enter %s: %w", heldPrefix, err)
		}
	}
	flags := uintptr(unix.MS_NODEV)
	if s.Upper == "" {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(Source, target, "overlay", flags, data); err != nil {
		return fmt.Errorf("mount overlay (options %q): %w (dmesg shows the reason)", data, err)
	}
	return nil
}

// ClassicOptions are all options in one word, as mount(8) takes them.
func (s *Stack) ClassicOptions() string {
	words := []string{"lowerdir=" + s.escapedLowers()}
	for _, o := range s.options() {
		if o.flag {
			words = append(words, o.key)
		} else {
			words = append(words, o.key+"="+escape(o.value))
		}
	}
	return strings.Join(words, ",")
}

// escapedLowers are the layers as one word, the topmost first.
func (s *Stack) escapedLowers() string {
	lowers := make([]string, len(s.Lowers))
	for i, l := range s.Lowers {
		lowers[i] = escape(l.Path)
	}
	return strings.Join(lowers, ":")
}

// held opens each directory, and puts the number of its descriptor in its place.
func (s *Stack) held() (short *Stack, release func(), err error) {
	var open []*os.File
	release = func() {
		for _, f := range open {
			f.Close()
		}
	}
	hold := func(dir *string) {
		if *dir == "" || err != nil {
			return
		}
		fd, openErr := unix.Open(*dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if openErr != nil {
			err = fmt.Errorf("open layer %s: %w", *dir, openErr)
			return
		}
		open = append(open, os.NewFile(uintptr(fd), *dir))
		*dir = strconv.Itoa(fd)
	}
	copied := *s
	copied.Lowers = append([]Lower(nil), s.Lowers...)
	for i := range copied.Lowers {
		hold(&copied.Lowers[i].Path)
	}
	hold(&copied.Upper)
	hold(&copied.Work)
	if err != nil {
		release()
		return nil, nil, err
	}
	return &copied, release, nil
}

// inUseClassic is InUse by mount(2).
func inUseClassic(upper string) (bool, error) {
	err := inPrivate(func() error {
		data := "lowerdir=" + procfs + ",upperdir=" + escape(upper) + ",workdir=" + procfs + ",index=on"
		return unix.Mount(Source, procfs, "overlay", unix.MS_RDONLY, data)
	})
	switch {
	case errors.Is(err, unix.EBUSY):
		return true, nil
	case errors.Is(err, unix.EINVAL):
		return false, nil // for the reason that was arranged
	case err != nil:
		return false, fmt.Errorf("ask whether %s is mounted: %w", upper, err)
	}
	return false, fmt.Errorf("upper %s is in the same file system as /proc", upper)
}

// escape protects the characters that separate layers and options.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(path)
}
