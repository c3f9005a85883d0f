//go:build evilresolver

package layer

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// Without the second wall the broken resolver does write outside, in each of
// these ways: else the test behind the wall would prove nothing.
func TestEvilResolverEscapes(t *testing.T) {
	outside := t.TempDir()
	for name, text := range map[string]string{
		"parent":   "../escaped=1",
		"absolute": outside + "/escaped=1",
		"link":     "link->" + outside + " link/escaped=1",
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			rootfs := filepath.Join(top, "rootfs")
			if err := os.Mkdir(rootfs, 0o755); err != nil {
				t.Fatal(err)
			}
			m, layers := stack(t, parse(t, text))
			_, err := Unpack(context.Background(), m, layers, rootfs, Options{})
			_, inParent := os.Stat(filepath.Join(top, "escaped"))
			_, elsewhere := os.Stat(filepath.Join(outside, "escaped"))
			if inParent != nil && elsewhere != nil {
				t.Errorf("%q did not escape (Unpack = %v)", text, err)
			}
			_ = os.Remove(filepath.Join(outside, "escaped"))
		})
	}
}
