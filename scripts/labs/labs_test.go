// Package labs tests the labs: a tutorial that does not work is a defect.
package labs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestLabs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the labs mount and run containers: they need root")
	}
	for _, program := range []string{"jq", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s; install it with: apt-get install %s", program, program)
		}
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "../../cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	labs, err := filepath.Glob("[0-9]*.sh")
	if err != nil || len(labs) == 0 {
		t.Fatalf("no labs: %v", err)
	}
	for _, lab := range labs {
		number, _, _ := strings.Cut(lab, "-")
		t.Run(strings.TrimSuffix(lab, ".sh"), func(t *testing.T) {
			cmd := exec.Command("./run", number)
			cmd.Env = append(os.Environ(), "OCI_BIN="+bin)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}
