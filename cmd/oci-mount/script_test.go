package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"oci-mount": main})
}

func TestScripts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the scripts mount, and become another user where they say so")
	}
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: func(env *testscript.Env) error { return setup(t, env) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mounted":  cmdMounted,
			"asnobody": cmdAsNobody,
			"meta":     cmdMeta,
			"count":    cmdCount,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "erofs":
				return tryImage(t.TempDir()) == nil, nil
			case "fuse":
				_, err := os.Stat("/dev/fuse")
				return err == nil, nil
			case "fsconfig":
				return knowsLowers()
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// knowsLowers reports whether the kernel takes the layers of an overlay one by
// one, since Linux 6.7; before, it keeps its reasons for its log. Kernels before
// 6.5 take any parameter.
func knowsLowers() (bool, error) {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	return unix.FsconfigSetString(fd, "lowerdir+", "/proc") == nil && unix.FsconfigSetFlag(fd, "nonsense") != nil, nil
}

// setup makes the layout "img" of small images, and lets another user reach
// the directory of the test.
func setup(t *testing.T, env *testscript.Env) error {
	writeImages(t, filepath.Join(env.WorkDir, "img"))
	env.Setenv("OCI_ROOT", filepath.Join(env.WorkDir, "root"))
	env.Defer(func() { unmountBelow(t, env.WorkDir) })
	var errs []error
	for dir := env.WorkDir; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		errs = append(errs, os.Chmod(dir, 0o755))
	}
	first, _, _ := strings.Cut(env.Getenv("PATH"), ":")
	for dir := first; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		errs = append(errs, os.Chmod(dir, 0o755))
	}
	home := filepath.Join(env.WorkDir, "nobody")
	errs = append(errs, os.Mkdir(home, 0o700), os.Chown(home, nobody, nobody))
	return errors.Join(errs...)
}

const nobody = 65534

// unmountBelow clears away what a failed script has left mounted.
func unmountBelow(t *testing.T, dir string) {
	mounts, err := overlay.Mounts()
	if err != nil {
		t.Error(err)
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.Target, dir+"/") {
			if err := overlay.Unmount(m.Target, true); err != nil {
				t.Error(err)
			}
		}
	}
}

// writeImages makes the images that the scripts name by their tags.
func writeImages(t *testing.T, dir string) {
	t.Helper()
	base := []entry{
		directory(".", 0o751).owner(3, 4).at(1_234_567_890),
		directory("etc", 0o755), file("etc/passwd", "root:x:0:0::/:/bin/sh\n"), file("etc/doomed", "x"),
		directory("root", 0o700).owner(7, 8).at(1_234_567_890),
		directory("tmp", 0o1777),
		directory("opt", 0o755), file("opt/hidden", "x"), file("opt/kept", "x"),
		directory("real", 0o755), symlink("lnk", "real"),
	}
	second := []entry{
		file("root/new", "n\n"), whiteout("etc/doomed"),
		directory("opt", 0o755), opaque("opt"), file("opt/kept", "again\n"),
	}
	writeImage(t, dir, "none")
	writeImage(t, dir, "one", base)
	writeImage(t, dir, "two", base, second)
	writeImage(t, dir, "link", base, []entry{hardlink("passwd-link", "etc/passwd")})
	writeImage(t, dir, "through", base, []entry{file("lnk/file", "through\n")})
	if shell, err := os.ReadFile("/bin/busybox"); err == nil {
		busybox := file("bin/busybox", string(shell))
		busybox.Mode = 0o755
		writeImage(t, dir, "busybox", base, []entry{directory("bin", 0o755), busybox, hardlink("bin/sh", "bin/busybox"), directory("proc", 0o555), directory("dev", 0o755), directory("sys", 0o555)})
	}
}

// cmdMounted checks that one of ours is mounted on the path.
func cmdMounted(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: mounted PATH")
	}
	m, err := overlay.At(ts.MkAbs(args[0]))
	ts.Check(err)
	if (m != nil) == neg {
		ts.Fatalf("mounted %s = %v", args[0], m != nil)
	}
}

// cmdMeta prints mode, owner and time of a file, as "meta PATH WANT".
func cmdMeta(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: meta PATH MODE:UID:GID:TIME")
	}
	out, err := exec.Command("stat", "-c", "%a:%u:%g:%Y", ts.MkAbs(args[0])).Output()
	ts.Check(err)
	if got := strings.TrimSpace(string(out)); got != args[1] {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}

// cmdCount checks how many names a directory holds; none where there is none.
func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: count N DIR")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[1]))
	if !errors.Is(err, fs.ErrNotExist) {
		ts.Check(err)
	}
	if got := len(entries); args[0] != string(rune('0'+got)) {
		ts.Fatalf("%s holds %d entries, want %s: %v", args[1], got, args[0], entries)
	}
}

// cmdAsNobody runs a command as an ordinary user, whose home is $WORK/nobody.
func cmdAsNobody(ts *testscript.TestScript, neg bool, args []string) {
	home := ts.MkAbs(filepath.Join(ts.Getenv("WORK"), "nobody"))
	path := ts.Getenv("PATH")
	cmd := exec.Command("env", append([]string{"-i", "PATH=" + path, "HOME=" + home, "OCI_ROOT=" + home + "/state"}, args...)...)
	cmd.Dir = home
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}}
	err := cmd.Run()
	if (err != nil) != neg {
		ts.Fatalf("%v: %v", args, err)
	}
	if err != nil {
		ts.Logf("%v", err)
	}
}
