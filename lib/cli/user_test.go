package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestOutside(t *testing.T) {
	const own = "         0      65534          1\n         1     100000      65536\n"
	for _, test := range []struct {
		mapping   string
		uid, want int
	}{
		{"         0          0 4294967295\n", 0, 0},
		{"         0          0 4294967295\n", 1000, 1000},
		{own, 0, 65534},
		{own, 1, 100000},
		{own, 65536, 165535},
		{own, 70000, 70000},
		{"", 7, 7},
	} {
		if got := outside(test.mapping, test.uid); got != test.want {
			t.Errorf("outside(%q, %d) = %d, want %d", test.mapping, test.uid, got, test.want)
		}
	}
}

// TestRunRootInNamespace runs this test again as root of a user namespace that
// an ordinary user made.
func TestRunRootInNamespace(t *testing.T) {
	if os.Getenv("OCI_TEST_PRINT_RUN_ROOT") != "" {
		os.Stdout.WriteString("run root: " + RunRoot() + "\n")
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	again := exec.CommandContext(t.Context(), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		"unshare", "--user", "--map-root-user", "/proc/self/fd/3", "-test.run=^TestRunRootInNamespace$")
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	again.ExtraFiles = []*os.File{self}
	again.Dir = "/"
	again.Env = append(os.Environ(), "OCI_TEST_PRINT_RUN_ROOT=1", "XDG_RUNTIME_DIR=/users")
	out, err := again.CombinedOutput()
	if err != nil {
		t.Skipf("no user namespace can be made: %v: %s", err, out)
	}
	if !strings.Contains(string(out), "run root: /users/oci-plumbing\n") {
		t.Errorf("RunRoot as root of a user's namespace: %s; want the directory of the user", out)
	}
}
