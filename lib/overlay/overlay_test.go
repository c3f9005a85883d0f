package overlay_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
}

// dir makes a directory with files; a name with a final slash is a directory.
func dir(t *testing.T, files ...string) string {
	t.Helper()
	d := t.TempDir()
	for _, name := range files {
		put(t, filepath.Join(d, name), strings.HasSuffix(name, "/"))
	}
	return d
}

func put(t *testing.T, path string, isDir bool) {
	t.Helper()
	if isDir {
		must(t, os.MkdirAll(path, 0o755))
		return
	}
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(filepath.Base(path)), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func lowers(paths ...string) []overlay.Lower {
	list := make([]overlay.Lower, len(paths))
	for i, p := range paths {
		list[i].Path = p
	}
	return list
}

// mount stacks s on a fresh directory, which goes with the test.
func mount(t *testing.T, s overlay.Stack) string {
	t.Helper()
	target := t.TempDir()
	must(t, overlay.Mount(s, target))
	t.Cleanup(func() { must(t, overlay.Unmount(target, false)) })
	return target
}

func TestMountTakesAnyPathAndIsListed(t *testing.T) {
	needRoot(t)
	for name, odd := range map[string]string{
		"odd":                                 "a:b,c d\\e=f\ng\\\\h",
		"long":                                strings.Repeat("0123456789", 20) + "/" + strings.Repeat("abcd efgh\\", 20),
		"longer than a page with its escapes": strings.Repeat(strings.Repeat(`\`, 200)+"/", 4),
	} {
		t.Run(name, func(t *testing.T) { mountAt(t, filepath.Join(t.TempDir(), odd)) })
	}
}

// mountAt mounts a lower and an upper in the directory base.
func mountAt(t *testing.T, base string) {
	lower, upper, work := filepath.Join(base, "lower"), filepath.Join(base, "upper"), filepath.Join(base, "work")
	for _, d := range []string{lower, upper, work} {
		must(t, os.MkdirAll(d, 0o755))
	}
	put(t, filepath.Join(lower, "file"), false)
	target := mount(t, overlay.Stack{Lowers: lowers(lower), Upper: upper, Work: work, Volatile: true})

	if _, err := os.Stat(filepath.Join(target, "file")); err != nil {
		t.Fatal(err)
	}
	m, err := overlay.At(target)
	must(t, err)
	shown := lower
	if overlay.WantsClassic() && len(lower) > 500 {
		shown = "/" // the kernel was given a descriptor
	}
	if m == nil || !m.Volatile || m.ReadOnly || len(m.Lowers) != 1 || m.Lowers[0] != shown {
		t.Errorf("At(%q) = %+v", target, m)
	}
	var st unix.Stat_t
	must(t, unix.Stat(target, &st))
	if m.Device != st.Dev {
		t.Errorf("Device = %d, want %d", m.Device, st.Dev)
	}
	used, err := overlay.InUse(upper)
	must(t, err)
	if !used {
		t.Errorf("InUse(%q) = false", upper)
	}
}

func TestMountFiveHundredLayers(t *testing.T) {
	needRoot(t)
	var list []overlay.Lower
	base := t.TempDir()
	for i := range overlay.MaxLowers {
		d := filepath.Join(base, fmt.Sprintf("a-rather-long-name-of-a-layer-directory-%03d", i))
		must(t, os.Mkdir(d, 0o755))
		put(t, filepath.Join(d, fmt.Sprint("from-", i)), false)
		list = append(list, overlay.Lower{Path: d})
	}
	target := mount(t, overlay.Stack{Lowers: list})
	names, err := os.ReadDir(target)
	must(t, err)
	if len(names) != overlay.MaxLowers {
		t.Errorf("%d names through the mount, want %d", len(names), overlay.MaxLowers)
	}
	m, err := overlay.At(target)
	must(t, err)
	if m == nil || len(m.Lowers) != overlay.MaxLowers || !m.ReadOnly {
		t.Errorf("the list does not show %d lowers, read-only", overlay.MaxLowers)
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	needRoot(t)
	lower := dir(t, "f")
	inner := mount(t, overlay.Stack{Lowers: lowers(lower, dir(t))})
	tests := map[string]struct {
		stack overlay.Stack
		want  string
	}{
		"no lower":            {overlay.Stack{}, "no lower layer"},
		"one lower, no upper": {overlay.Stack{Lowers: lowers(lower)}, "two lower layers"},
		"missing lower":       {overlay.Stack{Lowers: lowers("/nonexistent", lower)}, "nonexistent"},
		"upper on overlay":    {overlay.Stack{Lowers: lowers(lower), Upper: inner, Work: inner}, "upperdir"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := overlay.Mount(test.stack, t.TempDir())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Mount = %v, want something about %q", err, test.want)
			}
		})
	}
}

func TestUnmountBusy(t *testing.T) {
	needRoot(t)
	target := t.TempDir()
	must(t, overlay.Mount(overlay.Stack{Lowers: lowers(dir(t, "f"), dir(t))}, target))
	held, err := os.Open(filepath.Join(target, "f"))
	must(t, err)
	if err := overlay.Unmount(target, false); !errors.Is(err, unix.EBUSY) {
		t.Errorf("Unmount = %v, want EBUSY", err)
	}
	m, err := overlay.At(target)
	must(t, err)
	must(t, overlay.Unmount(target, true))
	must(t, held.Close())
	if m == nil {
		t.Fatal("not listed")
	}
	if m, err := overlay.At(target); err != nil || m != nil {
		t.Errorf("At after unmounting = %v, %v", m, err)
	}
}

func TestProbe(t *testing.T) {
	needRoot(t)
	good := t.TempDir()
	if err := overlay.Probe(good, false); err != nil {
		t.Errorf("Probe = %v", err)
	}
	upper := t.TempDir()
	work := filepath.Join(filepath.Dir(upper), "w")
	must(t, os.Mkdir(work, 0o700))
	bad := mount(t, overlay.Stack{Lowers: lowers(dir(t)), Upper: upper, Work: work})
	err := overlay.Probe(bad, false)
	reason := "not supported as upperdir"
	if overlay.WantsClassic() {
		reason = "dmesg"
	}
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("Probe on an overlay = %v, want the kernel's reason", err)
	}
}

func TestUsers(t *testing.T) {
	needRoot(t)
	target := mount(t, overlay.Stack{Lowers: lowers(dir(t, "f"), dir(t))})
	m, err := overlay.At(target)
	must(t, err)
	users, err := overlay.Users(*m)
	must(t, err)
	if len(users) != 0 {
		t.Errorf("Users = %v, want none", users)
	}
	t.Chdir(target)
	users, err = overlay.Users(*m)
	must(t, err)
	if len(users) != 1 || users[0] != os.Getpid() {
		t.Errorf("Users = %v, want this process", users)
	}
	t.Chdir("/")
}

func TestTmpfs(t *testing.T) {
	needRoot(t)
	target := t.TempDir()
	must(t, overlay.MountTmpfs(target, 64<<10))
	defer func() { must(t, overlay.Unmount(target, false)) }()
	err := os.WriteFile(filepath.Join(target, "big"), make([]byte, 128<<10), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("writing beyond the size = %v, want ENOSPC", err)
	}
}

func TestInUse(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	upper, work := filepath.Join(base, "upper"), filepath.Join(base, "work")
	must(t, os.Mkdir(upper, 0o700))
	must(t, os.Mkdir(work, 0o700))
	inUse := func(want bool) {
		t.Helper()
		if got, err := overlay.InUse(upper); err != nil || got != want {
			t.Errorf("InUse = %v, %v, want %v", got, err, want)
		}
	}
	inUse(false)
	target := t.TempDir()
	must(t, overlay.Mount(overlay.Stack{Lowers: lowers(dir(t)), Upper: upper, Work: work}, target))
	inUse(true)
	held, err := os.Open(target)
	must(t, err)
	must(t, overlay.Unmount(target, true))
	inUse(true) // out of sight, and yet in use
	must(t, held.Close())
	inUse(false)
	if left, err := os.ReadDir(work); err != nil || len(left) > 1 {
		t.Errorf("the question left %v, %v", left, err)
	}
}
