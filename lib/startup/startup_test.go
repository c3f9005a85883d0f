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
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHugePage$", "-test.v")
	child.Env = append(os.Environ(), "STARTUP_TEST_CHILD=1", Lean+"=1")
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "huge: ") || strings.Contains(string(out), "huge: 0;") {
		t.Errorf("%v printed no size of a huge page: %v\n%s", child, err, out)
	}
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
