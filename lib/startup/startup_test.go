package startup_test

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/startup"
)

// TestHugePage looks at the test's own process: its heap has a huge page at
// once, and none where the environment forbids it.
func TestHugePage(t *testing.T) {
	if os.Getenv("STARTUP_TEST_CHILD") != "" {
		t.Logf("huge: %d", hugeKiB(t))
		return
	}
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage/enabled"); err != nil {
		t.Skip("this kernel has no transparent huge pages")
	}
	if mode, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled"); strings.Contains(string(mode), "[always]") {
		t.Skip("this kernel gives huge pages to every process")
	}
	if huge(t) == 0 {
		t.Skip("this kernel did not collapse the heap (it can since Linux 6.1)")
	}
	if got := huge(t, startup.Lean+"=1"); got != 0 {
		t.Errorf("with %s the heap has %d KiB of huge pages, want none", startup.Lean, got)
	}
}

// huge runs this test in a process of its own, and returns what it saw.
func huge(t *testing.T, env ...string) int {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHugePage$", "-test.v")
	child.Env = append(append(os.Environ(), "STARTUP_TEST_CHILD=1"), env...)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", child, err, out)
	}
	_, after, ok := strings.Cut(string(out), "huge: ")
	if !ok {
		t.Fatalf("%v printed no figure:\n%s", child, out)
	}
	figure, _, _ := strings.Cut(after, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(figure))
	if err != nil {
		t.Fatal(err)
	}
	return n
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
