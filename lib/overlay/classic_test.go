package overlay

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What kernels before 6.7 need is tried on every kernel.
func TestClassic(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	for name, c := range map[string]struct {
		base   string
		lowers int
		upper  bool
	}{
		"usual":       {"b", 2, true},
		"read-only":   {"b", 2, false},
		"odd":         {"a:b,c d\\e=f\ng\\\\h", 3, true},
		"long":        {strings.Repeat(strings.Repeat(`\`, 200)+"/", 4), 2, true},
		"many layers": {strings.Repeat("x", 100), MaxLowers, true},
	} {
		t.Run(name, func(t *testing.T) {
			base := filepath.Join(t.TempDir(), c.base)
			var s Stack
			for i := range c.lowers {
				dir := filepath.Join(base, fmt.Sprintf("lower%d", i))
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), []byte("text"), 0o644); err != nil {
					t.Fatal(err)
				}
				s.Lowers = append(s.Lowers, Lower{Path: dir})
			}
			if c.upper {
				s.Upper, s.Work = filepath.Join(base, "upper"), filepath.Join(base, "work")
				for _, dir := range []string{s.Upper, s.Work} {
					if err := os.Mkdir(dir, 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			mnt, err := s.createClassic()
			if err != nil {
				t.Fatal(err)
			}
			if line := overlayIn(t, "TestClassic"); line != "" {
				t.Errorf("the mount is seen in this namespace: %s", line)
			}
			if c.upper {
				if used, err := inUseClassic(s.Upper); err != nil || !used {
					t.Errorf("inUseClassic = %v, %v of a mounted upper", used, err)
				}
			}
			target := t.TempDir()
			err = Attach(mnt, target)
			mnt.Close()
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(target)
			if err != nil || len(entries) != c.lowers {
				t.Errorf("%d files are seen, want %d (%v)", len(entries), c.lowers, err)
			}
			err = os.WriteFile(filepath.Join(target, "new"), nil, 0o644)
			if (err == nil) != c.upper {
				t.Errorf("write: %v", err)
			}
			if err := Unmount(target, false); err != nil {
				t.Fatal(err)
			}
			if !c.upper {
				return
			}
			if _, err := os.Stat(filepath.Join(s.Upper, "new")); err != nil {
				t.Error(err)
			}
			if used, err := inUseClassic(s.Upper); err != nil || used {
				t.Errorf("inUseClassic = %v, %v after the unmount", used, err)
			}
		})
	}
}

// Clones of layers in a shared mount, as with systemd every one is, show
// nothing of the overlay to others.
func TestClassicOfClones(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	base := t.TempDir()
	for _, call := range [][2]any{{base, uintptr(unix.MS_BIND)}, {"", uintptr(unix.MS_SHARED)}} {
		if err := unix.Mount(call[0].(string), base, "", call[1].(uintptr), ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(base, unix.MNT_DETACH) })
	s := Stack{Upper: filepath.Join(base, "upper"), Work: filepath.Join(base, "work")}
	for _, dir := range []string{s.Upper, s.Work, filepath.Join(base, "a"), filepath.Join(base, "b")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		l := Lower{Path: filepath.Join(base, name)}
		fd, err := l.clone()
		if err != nil {
			t.Fatal(err)
		}
		l.Mount = os.NewFile(uintptr(fd), name)
		t.Cleanup(func() { _ = l.Mount.Close() })
		s.Lowers = append(s.Lowers, l)
	}
	open, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Close() })
	if err := os.WriteFile(filepath.Join(open.Name(), "seen"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Lowers = append(s.Lowers, Lower{Path: open.Name(), Mount: open})
	mnt, err := s.createClassic()
	if err != nil {
		t.Fatal(err)
	}
	defer mnt.Close()
	if _, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d/seen", mnt.Fd())); err != nil {
		t.Errorf("the open directory is not seen: %v", err)
	}
	if line := overlayIn(t, "TestClassicOfClones"); line != "" {
		t.Errorf("the mount is seen in this namespace: %s", line)
	}
}

// overlayIn returns a line of mountinfo about an overlay of the test.
func overlayIn(t *testing.T, test string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, " overlay ") && strings.Contains(line, test) {
			return line
		}
	}
	return ""
}
