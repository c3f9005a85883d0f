package layer

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The index agrees with a map over any sequence of additions and removals.
func TestDirectoryIndex(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	d, want := &directory{}, map[string]*node{}
	for step := range 20_000 {
		name := fmt.Sprint(random.IntN(300))
		got, there := d.child(name), want[name]
		if got != there {
			t.Fatalf("step %d: child(%q) = %v, want %v", step, name, got, there)
		}
		// Growing at first, then shrinking.
		if there == nil && random.IntN(20_000) > step {
			n := &node{name: name}
			d.add(n)
			want[name] = n
		} else if there != nil && random.IntN(20_000) < step {
			d.drop(there)
			delete(want, name)
		}
		if step%5000 == 0 {
			d.sort()
		}
		if len(d.children) != len(want) {
			t.Fatalf("step %d: %d children, want %d", step, len(d.children), len(want))
		}
	}
}
