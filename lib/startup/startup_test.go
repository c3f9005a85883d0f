package startup

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestHugePage looks at a process of its own: its heap has a huge page once it
// is backed by one.
func TestHugePage(t *testing.T) {
	if os.Getenv("STARTUP_TEST_CHILD") != "" {
		backHeap(unsafe.Pointer(new([64]byte)))
		t.Logf("huge: %d;", hugeKiB(t))
		return
	}
	mode, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(mode), "[never]") {
		t.Skip("this kernel has no transparent huge pages")
	}
	var release unix.Utsname
	must(t, unix.Uname(&release))
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(release.Release[:]), "%d.%d", &major, &minor); err != nil || major*100+minor < 601 {
		t.Skip("this kernel cannot collapse a range at once (it can since Linux 6.1)")
	}
	// The kernel may refuse at times (EAGAIN: another core holds one of the pages
	// in a batch of its own): 1 of 60 attempts on two busy cores.
	for attempt := range 20 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHugePage$", "-test.v")
		child.Env = append(os.Environ(), "STARTUP_TEST_CHILD=1", Lean+"=1")
		out, err := child.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "huge: ") {
			t.Fatalf("%v printed no size: %v\n%s", child, err, out)
		}
		if !strings.Contains(string(out), "huge: 0;") {
			return
		}
		time.Sleep(time.Duration(attempt) * 10 * time.Millisecond)
	}
	if err := collapse(t); err != nil {
		t.Skipf("this kernel has no huge page to give now: %v", err)
	}
	t.Error("no process out of 20 got a huge page beneath its heap")
}

// collapse asks for a huge page beneath a mapping that is not a heap.
func collapse(t *testing.T) error {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, 2*hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	must(t, err)
	defer func() { must(t, unix.Munmap(mem)) }()
	start := -uintptr(unsafe.Pointer(&mem[0])) & (hugePage - 1)
	mem[start] = 1
	return unix.Madvise(mem[start:start+hugePage], madvCollapse)
}

// What a fault costs is known once there were some, as at the start.
func TestFaults(t *testing.T) {
	var use syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	for spent := time.Now(); time.Since(spent) < time.Duration(use.Minflt)*2*dearFault*time.Microsecond; {
	}
	if !faultsAreDear() {
		t.Errorf("%d faults and a time of twice %d µs for each are not dear", use.Minflt, dearFault)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hugeKiB is the memory of this process in huge pages (proc_pid_smaps(5)).
func hugeKiB(t *testing.T) int {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = f.Close() }()
	total := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "AnonHugePages:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	return total
}
