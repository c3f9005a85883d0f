package testimage

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func host() ispec.Platform { return ispec.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// applets are the commands of busybox that tests call.
var applets = []string{
	"ash", "cat", "chmod", "chown", "date", "dd", "echo", "env", "false", "head", "hostname", "id", "kill", "ln", "ls",
	"mkdir", "mknod", "mount", "mv", "printf", "ps", "pwd", "rm", "rmdir", "seq", "sh", "sleep", "stat", "stty", "su",
	"sync", "test", "touch", "true", "tty", "umount", "uname", "wc", "which", "yes",
}

// BusyboxEntries is a root file system with the static busybox of the host. It
// skips the test when there is none.
func BusyboxEntries(t testing.TB) []Entry {
	t.Helper()
	binary, err := os.ReadFile(staticBusybox(t))
	check(t, err)
	entries := []Entry{
		Dir("bin"), Dir("dev"), Dir("etc"), Dir("home"), Dir("proc"), Dir("root", Mode(0o700)), Dir("sys"),
		Dir("tmp", Mode(0o1777)), Dir("usr"), Dir("var"),
		File("bin/busybox", string(binary), Mode(0o755)),
		File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
		File("etc/group", "root:x:0:\nwheel:x:10:alice\nalice:x:1000:\nnogroup:x:65534:\n"),
		Dir("home/alice", Owner(1000, 1000)),
	}
	for _, a := range applets {
		entries = append(entries, Hardlink("bin/"+a, "bin/busybox"))
	}
	return entries
}

// Busybox makes a layout with the tag "busybox", and returns its directory.
func Busybox(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	Write(t, dir, "busybox", Image{Layers: [][]Entry{BusyboxEntries(t)}})
	return dir
}

// staticBusybox finds a busybox that runs in an empty root.
func staticBusybox(t testing.TB) string {
	t.Helper()
	var candidates []string
	if path, err := exec.LookPath("busybox"); err == nil {
		candidates = append(candidates, path)
	}
	for _, path := range append(candidates, "/bin/busybox", "/usr/bin/busybox") {
		if isStatic(path) {
			return path
		}
	}
	t.Skip("no static busybox here; install it with: apt-get install busybox-static")
	return ""
}

func isStatic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// Shared returns the path of material that is kept beside the repository, not
// in it: real and hostile images. It skips the test where that is absent.
func Shared(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	check(t, err)
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		path := filepath.Join(filepath.Dir(dir), "shared", name)
		if _, err := os.Stat(path); err != nil {
			t.Skipf("test material %s is not here; the tests of generated images cover the same classes", filepath.Join("..", "shared", name))
		}
		return path
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}
