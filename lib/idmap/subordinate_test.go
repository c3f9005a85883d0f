package idmap

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestSubordinate(t *testing.T) {
	const uid = 4000000001
	file := filepath.Join(t.TempDir(), "subuid")
	for _, tt := range []struct {
		text string
		want Range
		ok   bool
	}{
		{"", Range{}, false},
		{"root:1:2\n:5:5\n", Range{}, false},
		{fmt.Sprintf("x:1:2\n %d:100000:65536 \n%[1]d:300000:1\n", uid), Range{1, 100000, 65536}, true},
		{fmt.Sprintf("%d:100000:0\n%[1]d:4294967295:5\n%[1]d:a:5\n%[1]d:7\n", uid), Range{}, false},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok := Subordinate(file, uid); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %v, %v, want %v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
	}
	if _, ok := Subordinate(filepath.Join(filepath.Dir(file), "none"), uid); ok {
		t.Error("a file that is not there gives ids")
	}
	if got := userName(0); got != "root" {
		t.Errorf("uid 0 is %q", got)
	}
}
