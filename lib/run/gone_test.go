package run

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The state directory is a name, and no pattern.
func TestTraces(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state[1]")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(state, "a_sandbox:a.state")
	for _, path := range []string{trace, filepath.Join(state, "ab_sandbox:ab.state")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]string{"runsc": {trace}, "runc": {filepath.Join(state, "a")}} {
		if got := (Runtime{Path: "/usr/bin/" + name, State: state}).traces("a"); !slices.Equal(got, want) {
			t.Errorf("traces of %s: %q, want %q", name, got, want)
		}
	}
}
