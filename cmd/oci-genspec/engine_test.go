package main

import (
	"os/exec"
	"regexp"
	"slices"
	"testing"
)

// Each flag of podman run does what it does there, or says what does it here.
func TestFlagsOfPodmanAreKnown(t *testing.T) {
	help, err := exec.Command("podman", "run", "--help").Output()
	if err != nil {
		t.Skip("needs podman; install it with: apt-get install podman")
	}
	var known []string
	for _, f := range command().AllFlags() {
		known = append(known, f.Names()...)
	}
	for _, match := range regexp.MustCompile(`(?m)^\s+(?:-(\w), )?--([a-z0-9-]+)`).FindAllSubmatch(help, -1) {
		for _, name := range match[1:] {
			if len(name) > 0 && !slices.Contains(known, string(name)) {
				t.Errorf("podman run has the flag %q, and no error names its cure", name)
			}
		}
	}
}
