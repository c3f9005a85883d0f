package layer

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// refuseLinks has link(2) fail in the calling goroutine, whose thread ends with
// it. Unpack makes links in the goroutine that calls it.
func refuseLinks(t *testing.T, errno unix.Errno) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_LINKAT, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); e != 0 {
		t.Skipf("needs seccomp: %v", e)
	}
}

// Where the file system refuses a hard link, the name gets a file that equals
// the other one, and the manifest says so.
func TestLinksThatAreRefused(t *testing.T) {
	needRoot(t)
	for _, errno := range []unix.Errno{unix.EPERM, unix.EXDEV, unix.EMLINK} {
		for _, bottomUp := range []bool{false, true} {
			t.Run(unix.ErrnoName(errno), func(t *testing.T) {
				big := strings.Repeat("0123456789abcdef", 1<<15) // several chunks
				m, layers := stack(t, []testimage.Entry{
					testimage.File("f", big, testimage.Mode(0o4711), testimage.Owner(7, 8), testimage.Xattr("user.x", "y"), at(1000)),
					testimage.Hardlink("g", "f"),
					testimage.Symlink("s", "f", testimage.Owner(7, 8), at(1000)),
					testimage.Hardlink("t", "s"),
					testimage.Fifo("p", at(1000)),
					testimage.Hardlink("q", "p"),
				}, []testimage.Entry{testimage.Hardlink("h", "f")})
				refuseLinks(t, errno)
				dir := t.TempDir()
				var warned []string
				result, err := Unpack(context.Background(), m, layers, dir, Options{
					Digests: true, BottomUp: bottomUp,
					Warn: func(format string, _ ...any) { warned = append(warned, format) },
				})
				if err != nil {
					t.Fatal(err)
				}
				lines := metadata(t, dir)
				for _, pair := range [][2]string{{"f", "g"}, {"f", "h"}, {"s", "t"}, {"p", "q"}} {
					if a, b := describeFile(lines, pair[0]), describeFile(lines, pair[1]); a != b || !strings.Contains(a, "links 1") {
						t.Errorf("%s is %s, %s is %s", pair[0], a, pair[1], b)
					}
				}
				manifest := manifestOf(t, result)
				if strings.Contains(manifest, "nlink=2") || strings.Contains(manifest, "nlink=3") {
					t.Errorf("the manifest counts links that are not there:\n%s", manifest)
				}
				if len(warned) != 1 {
					t.Errorf("warnings: %q, want one", warned)
				}
			})
		}
	}
}

// describeFile is the line of metadata without what names the file.
func describeFile(lines []string, name string) string {
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, `"/`+name+`" `) })
	if i < 0 {
		return "not there"
	}
	words := strings.Fields(lines[i])
	at := slices.Index(words, "inode")
	return strings.Join(slices.Delete(words[1:], at-1, at+1), " ")
}

// A sparse file stays one when its hard link becomes a copy.
func TestCopiedLinkIsSparse(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	const size = 64 << 20
	d := &disk{ctx: context.Background()}
	from, err := os.Create(filepath.Join(dir, "from"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, "to"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := from.WriteAt([]byte("x"), size/2); err != nil {
		t.Fatal(err)
	}
	if err := from.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := d.copyData(int(to.Fd()), int(from.Fd()), size); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(to.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Size <= size/2 || st.Blocks*512 > size/4 {
		t.Errorf("the copy has %d bytes in %d blocks", st.Size, st.Blocks)
	}
	one := make([]byte, 1)
	if _, err := to.ReadAt(one, size/2); err != nil || one[0] != 'x' {
		t.Errorf("the copy holds %q (%v)", one, err)
	}
}
