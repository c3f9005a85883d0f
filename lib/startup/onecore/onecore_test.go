package onecore_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/startup/onecore"
)

// TestOneCore runs itself in processes of its own: what counts is the start.
func TestOneCore(t *testing.T) {
	const child = "ONECORE_TEST_CHILD"
	if os.Getenv(child) != "" {
		before := runtime.GOMAXPROCS(0)
		onecore.Lift()
		t.Logf("processors: %d %d;", before, runtime.GOMAXPROCS(0))
		return
	}
	env := os.Environ()
	for _, c := range []struct{ set, before string }{{"GOMAXPROCS=", "processors: 1 "}, {"GOMAXPROCS=2", "processors: 2 2;"}} {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOneCore$", "-test.v")
		again.Env = append(append([]string{}, env...), child+"=1", c.set)
		out, err := again.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.before) {
			t.Errorf("with %s: %v, printed\n%s\nwant %q", c.set, err, out, c.before)
		}
		if runtime.NumCPU() > 1 && strings.Contains(string(out), "processors: 1 1;") {
			t.Errorf("with %s: Lift gave no processor back:\n%s", c.set, out)
		}
	}
}
