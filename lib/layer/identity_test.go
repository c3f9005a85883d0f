package layer

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// checkIdentities compares what was noted of each file with what the kernel
// says now. Only a file that lost a name may be unknown.
func checkIdentities(t testing.TB, root string, r *Result) {
	t.Helper()
	parents := []string{root}
	check := func(path string, id *Identity) {
		want, err := new(identities).of(unix.AT_FDCWD, path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if id != nil && *id != *want {
			t.Errorf("%s: %+v was noted, it is %+v", path, *id, *want)
		}
	}
	err := r.Directories(func(d Directory) error {
		path := root
		if d.Depth > 0 {
			path = filepath.Join(parents[d.Depth-1], d.Name)
		}
		parents = append(parents[:d.Depth], path)
		check(path, d.Self())
		d.Entries(func(name string, id *Identity) { check(filepath.Join(path, name), id) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Links of one layer and of two, names that go away again, and the kinds of
// files that are not made by open(2).
func TestIdentities(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name    string
		layers  []string
		unknown string // the one name that may be unknown
	}{
		{"each kind", []string{"d/ d/f=1 l->f p| e h=>d/f h2=>l"}, ""},
		{"a link from above", []string{"f=1", "h=>f"}, ""},
		{"a name less", []string{"f=1 h=>f", ".wh.f"}, "h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, layers := memory{}, []Layer(nil)
			for _, l := range c.layers {
				layers = append(layers, m.add(t, testimage.Tar(t, parse(t, l)...), testimage.Gzip))
			}
			_, r, err := unpackTo(t, m, layers, Options{})
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Directories(func(d Directory) error {
				if d.Self() == nil {
					t.Errorf("%s is unknown", d.Name)
				}
				d.Entries(func(name string, id *Identity) {
					if id == nil && name != c.unknown {
						t.Errorf("%s/%s is unknown", d.Name, name)
					}
				})
				return nil
			})
		})
	}
}
