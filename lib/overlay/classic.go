package overlay

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// pageOptions is what mount(2) takes as options, its final NUL included.
const pageOptions = 4096

// mountClassic uses mount(2). When the paths do not fit into its page, they
// go as /proc/self/fd/N, which is short however deep the store is.
func (s *Stack) mountClassic(target string) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	lowers := s.escapedLowers()
	data := s.classicOptions(lowers)
	if len(data) >= pageOptions {
		held, err := s.hold(lowers)
		if err != nil {
			return err
		}
		defer func() {
			for _, f := range held {
				f.Close()
			}
		}()
		data = s.classicOptions(lowers)
	}
	if len(data) >= pageOptions {
		return fmt.Errorf("mount overlay: %d lower layers do not fit into one page of options: %w", len(lowers), unix.E2BIG)
	}
	flags := uintptr(unix.MS_NODEV)
	if s.Upper == "" {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(Source, target, "overlay", flags, data); err != nil {
		return fmt.Errorf("mount overlay on %s (options %q): %w", target, data, err)
	}
	return nil
}

// ClassicOptions are all options in one word, as mount(8) takes them.
func (s *Stack) ClassicOptions() string { return s.classicOptions(s.escapedLowers()) }

func (s *Stack) escapedLowers() []string {
	lowers := make([]string, len(s.Lowers))
	for i, l := range s.Lowers {
		lowers[i] = escape(l.Path)
	}
	return lowers
}

// hold opens each lower and puts its short name in its place.
func (s *Stack) hold(lowers []string) ([]*os.File, error) {
	var held []*os.File
	for i, l := range s.Lowers {
		fd, err := unix.Open(l.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			for _, f := range held {
				f.Close()
			}
			return nil, fmt.Errorf("open layer %s: %w", l.Path, err)
		}
		held = append(held, os.NewFile(uintptr(fd), l.Path))
		lowers[i] = heldPath(fd)
	}
	return held, nil
}

func (s *Stack) classicOptions(lowers []string) string {
	words := []string{"lowerdir=" + strings.Join(lowers, ":")}
	for _, o := range s.options() {
		if o.flag {
			words = append(words, o.key)
		} else {
			words = append(words, o.key+"="+escape(o.value))
		}
	}
	return strings.Join(words, ",")
}

// escape protects the characters that separate layers and options.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(path)
}
