package layer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// TestPlannedIsBottomUp builds stacks of small layers at random. unpackTo
// compares what planning across layers makes of each with what applying them
// one by one does: the tree, every inode's metadata, and the manifest.
// OCI_LAYER_SEEDS sets how many.
func TestPlannedIsBottomUp(t *testing.T) {
	needRoot(t)
	seeds := 300
	if n, err := strconv.Atoi(os.Getenv("OCI_LAYER_SEEDS")); err == nil {
		seeds = n
	}
	planned, failed := 0, 0
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		var texts []string
		var entries [][]testimage.Entry
		for range 2 + rng.IntN(4) {
			text := randomLayer(rng, seed%3 > 0)
			texts = append(texts, text)
			entries = append(entries, parse(t, text))
		}
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m, layers := stack(t, entries...)
			_, result, err := unpackTo(t, m, layers, Options{})
			switch {
			case err != nil:
				failed++
			case !result.Restarted:
				planned++
			}
		})
		if !ok {
			t.Fatalf("seed %d: %q", seed, texts)
		}
	}
	t.Logf("%d of %d stacks were planned to the end, %d refused", planned, seeds, failed)
	if planned < seeds/10 {
		t.Errorf("only %d of %d stacks were planned: the test compares bottom-up with itself", planned, seeds)
	}
}

// randomLayer is a layer in the notation of parse. Few names make collisions
// likely. A tame one names each path once and uses none both as a directory
// and as something else; it can mostly be planned.
func randomLayer(rng *rand.Rand, tame bool) string {
	name := func(depth int) string {
		parts := make([]string, 1+rng.IntN(depth))
		for i := range parts {
			parts[i] = string(rune('a' + rng.IntN(3)))
		}
		return strings.Join(parts, "/")
	}
	seen := map[string]bool{}
	var files, words []string
	for range 1 + rng.IntN(8) {
		n := name(3)
		if tame && (seen[n] || below(n, files)) || seen[n] && rng.IntN(8) > 0 {
			continue
		}
		seen[n] = true
		for i := range n {
			if tame && n[i] == '/' {
				seen[n[:i]] = true
			}
		}
		mode := fmt.Sprintf("@%04o", 0o700+rng.IntN(8)*9)
		switch k := rng.IntN(24); {
		case k < 7:
			words = append(words, n+"/"+mode)
		case k < 15:
			words = append(words, fmt.Sprintf("%s=%d%s", n, rng.IntN(100), mode))
			files = append(files, n)
		case k < 18:
			dir, base := "", n
			if i := strings.LastIndexByte(n, '/'); i >= 0 {
				dir, base = n[:i+1], n[i+1:]
			}
			words = append(words, dir+".wh."+base)
		case k < 20:
			words = append(words, name(2)+"/OPQ")
		case k < 22 && len(files) > 0:
			words = append(words, n+"=>"+files[rng.IntN(len(files))])
			files = append(files, n)
		case k == 22 && (!tame || rng.IntN(4) == 0):
			words = append(words, n+"->"+[]string{"", "/", "../"}[rng.IntN(3)]+name(2))
		default:
			words = append(words, n+"|"+mode)
			files = append(files, n)
		}
	}
	return strings.Join(words, " ")
}

// below reports whether the path has one of the files above it.
func below(path string, files []string) bool {
	return slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(path, f+"/") })
}
