package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// canary is the directory on the host that the hostile images aim at.
const canary = "/oci-canary"

// hostileCase is an entry of cases.json.
type hostileCase struct {
	ID       string   `json:"id"`
	Category string   `json:"category"`
	Note     string   `json:"note"`
	Expect   string   `json:"expect"`
	MaxRSS   int64    `json:"max_rss_mb"`
	MaxTime  int64    `json:"max_seconds"`
	Tag      string   `json:"tag"`
	Tree     []string `json:"tree"`
}

// TestHostile unpacks each image of the collection, in a mount namespace in
// which /oci-canary is a file system of its own.
func TestHostile(t *testing.T) {
	collection := shared(t, "hostile")
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make the files that the images aim at")
	}
	if os.Getenv("OCI_UNPACK_HOSTILE") == "" {
		again := exec.Command("/proc/self/exe", "-test.run=^TestHostile$", "-test.v")
		again.Env = append(os.Environ(), "OCI_UNPACK_HOSTILE=1")
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		made := os.Mkdir(canary, 0o700) == nil
		out, err := again.CombinedOutput()
		if made {
			_ = os.Remove(canary)
		}
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	mountCanary(t)
	var cases []hostileCase
	data, err := os.ReadFile(filepath.Join(collection, "cases.json"))
	if err == nil {
		err = json.Unmarshal(data, &cases)
	}
	if err != nil || len(cases) == 0 {
		t.Fatalf("cases.json: %d cases, %v", len(cases), err)
	}
	layouts := t.TempDir()
	extractLayouts(t, filepath.Join(collection, "layouts.tar.zst"), layouts)
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			status, stderr, work := c.run(t, "oci-unpack", filepath.Join(layouts, "hostile", c.ID, "layout"))
			c.judge(t, status, stderr, work)
		})
	}
	broken := brokenTool(t)
	for _, c := range cases {
		if slices.Contains([]string{"traversal", "symlink", "hardlink", "whiteout"}, c.Category) {
			t.Run(c.ID+" behind the second wall alone", func(t *testing.T) {
				c.run(t, broken, filepath.Join(layouts, "hostile", c.ID, "layout"))
			})
		}
	}
}

func mountCanary(t *testing.T) {
	t.Helper()
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("tmpfs", canary, "tmpfs", 0, "mode=750"))
	must(t, os.MkdirAll(canary+"/dir/sub", 0o755))
	for name, content := range map[string]string{
		"victim": "victim\n", "dir/f": "f\n", "dir/sub/g": "g\n", "passwd": "canaryuser:x:31337:31337::/:/bin/sh\n",
	} {
		must(t, os.WriteFile(filepath.Join(canary, name), []byte(content), 0o640))
	}
	must(t, unix.Setxattr(canary+"/dir", "trusted.canary", []byte("sings"), 0))
}

// run unpacks the image, and looks at the host before anything looks at the
// outcome.
func (c hostileCase) run(t *testing.T, program, layout string) (status int, messages, work string) {
	t.Helper()
	before := snapshot(t, canary)
	work = t.TempDir()
	limit := time.Duration(c.MaxTime) * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tool := exec.CommandContext(ctx, program, "-q", layout+":"+c.Tag, filepath.Join(work, "b"))
	var stderr bytes.Buffer
	tool.Stderr = &stderr
	err := tool.Run()
	if ctx.Err() != nil {
		t.Fatalf("it did not end within %v", limit)
	}
	if diff := cmp.Diff(before, snapshot(t, canary)); diff != "" {
		t.Fatalf("the canary was changed:\n%s", diff)
	}
	if strings.Contains(stderr.String(), "goroutine ") {
		t.Fatalf("it panicked:\n%s", &stderr)
	}
	if rss := tool.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10; rss > c.MaxRSS {
		t.Errorf("it took %d MiB, more than %d", rss, c.MaxRSS)
	}
	return exitStatus(err), stderr.String(), work
}

// judge compares the outcome with what the case expects. Those about
// config.json are another tool's: here they are images like others.
func (c hostileCase) judge(t *testing.T, status int, stderr, work string) {
	t.Helper()
	if status != 0 {
		if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
			t.Errorf("it left %v (%v)", left, err)
		}
		if !strings.HasPrefix(stderr, "oci-unpack: error: ") {
			t.Errorf("stderr is %q, want an error line", stderr)
		}
	}
	expect := c.Expect
	if c.Category == "genspec" {
		expect = "contain"
	}
	switch expect {
	case "refuse":
		if status != 5 && status != 3 {
			t.Errorf("exit status %d, want 5 (%s): %s", status, c.Note, stderr)
		}
	case "contain":
		if status != 0 && status != 5 && status != 3 {
			t.Errorf("exit status %d, want 0 or 5 (%s): %s", status, c.Note, stderr)
		}
	case "tree":
		if status != 0 {
			t.Fatalf("exit status %d (%s): %s", status, c.Note, stderr)
		}
		got := listTree(t, filepath.Join(work, "b", "rootfs"))
		slices.Sort(c.Tree)
		if diff := cmp.Diff(c.Tree, got); diff != "" {
			t.Errorf("the tree (-want +got):\n%s", diff)
		}
	default:
		t.Errorf("unknown expectation %q", c.Expect)
	}
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}

// snapshot is everything about the files below dir that an attack may change.
func snapshot(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%s %o %d:%d %d links %d.%d", path, st.Mode, st.Uid, st.Gid, st.Nlink, st.Mtim.Sec, st.Mtim.Nsec)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", data)
		}
		all = append(all, line+xattrsOf(t, path))
		return nil
	}))
	return all
}

// listTree is the tree in the form of cases.json.
func listTree(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		kind, content := "?", ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			kind = "d"
		case unix.S_IFIFO:
			kind = "p"
		case unix.S_IFCHR, unix.S_IFBLK:
			kind = map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b"}[st.Mode&unix.S_IFMT]
			content = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		case unix.S_IFLNK:
			kind = "l"
			content, err = os.Readlink(path)
		case unix.S_IFREG:
			kind = "f"
			var data []byte
			data, err = os.ReadFile(path)
			content = string(data)
		}
		name := strings.TrimPrefix(path, root+"/")
		all = append(all, fmt.Sprintf("%s %04o %d:%d %q %q%s", kind, st.Mode&0o7777, st.Uid, st.Gid, name, content, xattrsOf(t, path)))
		return err
	}))
	slices.Sort(all)
	return all
}

func xattrsOf(t *testing.T, path string) string {
	t.Helper()
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(path, list)
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 {
		return ""
	}
	must(t, err)
	var words []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		must(t, err)
		words = append(words, fmt.Sprintf("%s=%q", name, value[:n]))
	}
	slices.Sort(words)
	return " {" + strings.Join(words, ", ") + "}"
}

// extractLayouts unpacks the collection, which holds fifos and odd links.
func extractLayouts(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	must(t, err)
	defer f.Close()
	plain, err := zstd.NewReader(f)
	must(t, err)
	defer plain.Close()
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		must(t, err)
		path := filepath.Join(dir, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			must(t, os.MkdirAll(path, 0o755))
		case tar.TypeSymlink:
			must(t, os.Symlink(h.Linkname, path))
		case tar.TypeFifo:
			must(t, unix.Mkfifo(path, 0o644))
		case tar.TypeLink:
			must(t, os.Link(filepath.Join(dir, h.Linkname), path))
		case tar.TypeReg:
			data, err := io.ReadAll(r)
			must(t, err)
			must(t, os.WriteFile(path, data, 0o644))
		default:
			t.Fatalf("%s has type %q", h.Name, h.Typeflag)
		}
	}
}

// shared returns the path of material that is kept beside the repository, or
// skips the test.
func shared(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("test material ../shared/%s is not here; the generated images cover the same classes", name)
	}
	abs, err := filepath.Abs(path)
	must(t, err)
	return abs
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
