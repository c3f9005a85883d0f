package run

import (
	"slices"
	"testing"
)

// What the user says about the Go runtime goes before what is said here.
func TestBriefEnv(t *testing.T) {
	for _, c := range []struct{ env, want []string }{
		{[]string{"PATH=/bin"}, []string{"PATH=/bin", "GOMAXPROCS=1", "GOGC=400"}},
		{[]string{"GOGC=off"}, []string{"GOGC=off", "GOMAXPROCS=1"}},
		{[]string{"GOMAXPROCS=4", "GOGC=50"}, []string{"GOMAXPROCS=4", "GOGC=50"}},
	} {
		if got := briefEnv(slices.Clone(c.env)); !slices.Equal(got, c.want) {
			t.Errorf("briefEnv(%q) = %q, want %q", c.env, got, c.want)
		}
	}
}
