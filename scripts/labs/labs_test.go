// Package labs tests the labs: a tutorial that does not work is a defect.
package labs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildTools builds the tools into a directory for the labs.
func buildTools(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// text is what the learner reads in a lab.
func text(t *testing.T, number string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "./run", "--text", number).CombinedOutput()
	if err != nil {
		t.Fatalf("run --text %s: %v\n%s", number, err, out)
	}
	return string(out)
}

// Each lab is in the table of the README, and its text can be read by who has
// nothing prepared.
func TestTexts(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.CommandContext(t.Context(), "./run", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	titles := strings.Split(strings.TrimSpace(string(list)), "\n")
	if len(titles) < 10 {
		t.Errorf("%d labs are listed", len(titles))
	}
	for _, title := range titles {
		number, _, _ := strings.Cut(title, " ")
		read := text(t, number)
		if !strings.HasPrefix(read, title+"\n") || strings.Count(read, "\n$ ") < 8 {
			t.Errorf("the text of lab %s is not one:\n%s", number, read)
		}
		needsRoot := "no"
		if strings.Contains(read, "\nNeeds root.\n") {
			needsRoot = "yes"
		}
		row := false
		for line := range strings.Lines(string(readme)) {
			row = row || strings.HasPrefix(line, "| "+title+" | ") && strings.HasSuffix(line, " | "+needsRoot+" |\n")
		}
		if !row {
			t.Errorf("the README has no row for %q with %q for root", title, needsRoot)
		}
	}
}

// What a learner reads can be typed as it is, and the check says which step
// was left out.
func TestTyped(t *testing.T) {
	for _, program := range []string{"jq", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s; install it with: apt-get install %s", program, program)
		}
	}
	bin := buildTools(t)
	var typed []string
	for line := range strings.Lines(text(t, "02")) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			typed = append(typed, command)
		}
	}
	do := func(commands []string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "./run", "--shell", "02")
		cmd.Env = append(os.Environ(), "OCI_BIN="+bin, "SHELL=/bin/bash")
		cmd.Stdin = strings.NewReader(strings.Join(commands, "") + "exit\n")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := do(typed); err != nil {
		t.Errorf("all typed: %v\n%s", err, out)
	}
	last := typed[len(typed)-1]
	if out, err := do(typed[:len(typed)-1]); err == nil || !strings.Contains(out, "not ok") || !strings.Contains(out, "#   $ "+last) {
		t.Errorf("without %q: %v, and the check does not name it:\n%s", last, err, out)
	}
}

func TestLabs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the labs mount and run containers: they need root")
	}
	for _, program := range []string{"jq", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s; install it with: apt-get install %s", program, program)
		}
	}
	bin := buildTools(t)
	labs, err := filepath.Glob("[0-9]*.sh")
	if err != nil || len(labs) == 0 {
		t.Fatalf("no labs: %v", err)
	}
	for _, lab := range labs {
		number, _, _ := strings.Cut(lab, "-")
		t.Run(strings.TrimSuffix(lab, ".sh"), func(t *testing.T) {
			// With a state directory of its own: "runc list" fails when another
			// container goes away while it looks (os.Stat after os.ReadDir).
			cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
				`mkdir -p /run/runc && mount -t tmpfs runc /run/runc && exec ./run "$1"`, "sh", number)
			cmd.Env = append(os.Environ(), "OCI_BIN="+bin)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}
