package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.podman.io/image/v5/signature/sigstore"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

func newCopier(t *testing.T, options transport.Options) *transport.Copier {
	t.Helper()
	options.TempDir = t.TempDir()
	if options.Policy == "" {
		options.InsecurePolicy = true
	}
	c, err := transport.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// sample is a layout with the image "one" of three layers.
func sample(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "img")
	testimage.Write(t, dir, "one", testimage.Image{Layers: [][]testimage.Entry{
		{testimage.Dir("etc"), testimage.File("etc/a", strings.Repeat("a", 1<<16))},
		{testimage.File("b", strings.Repeat("b", 1<<10))},
		{testimage.Whiteout("etc/a")},
	}})
	return dir
}

// Ten times 32 copies into one layout at the same time: every tag is there
// afterwards, with its image whole. Three more that fail each time take nothing
// away from the others.
func TestParallelWriters(t *testing.T) {
	t.Parallel()
	const rounds, writers = 10, 32
	img := filepath.Join(t.TempDir(), "img")
	for i := range writers {
		testimage.Write(t, img, fmt.Sprint(i), testimage.Image{Layers: [][]testimage.Entry{
			{testimage.File("all", "the same")}, {testimage.File("one", fmt.Sprint(i))},
		}})
	}
	c := newCopier(t, transport.Options{})
	ctx := context.Background()
	store := filepath.Join(t.TempDir(), "store")
	var want []string
	for round := range rounds {
		var group sync.WaitGroup
		errs := make([]error, writers+3)
		for i := range errs {
			src, tag := fmt.Sprint(i), fmt.Sprintf("r%d-%d", round, i)
			if i < writers {
				want = append(want, tag)
			}
			group.Go(func() {
				_, errs[i] = c.Copy(ctx, "oci:"+img+":"+src, "oci:"+store+":"+tag)
			})
		}
		group.Wait()
		for i, err := range errs {
			if (err == nil) != (i < writers) {
				t.Fatalf("round %d, writer %d: %v", round, i, err)
			}
		}
	}
	l, err := layout.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	tags, err := l.Tags(ctx)
	slices.Sort(tags)
	slices.Sort(want)
	if err != nil || !slices.Equal(tags, want) {
		t.Fatalf("%d tags, %v; want %d", len(tags), err, len(want))
	}
	for _, tag := range tags {
		found, err := l.Resolve(ctx, layout.Reference{Dir: store, Tag: tag}, layout.Platform{})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, layer := range found.Manifest.Layers {
			if ok, err := l.HasBlob(ctx, layer); !ok || err != nil {
				t.Errorf("%s: layer %s: %t, %v", tag, layer.Digest, ok, err)
			}
		}
	}
}

// What a copy tells of each blob.
func TestEvents(t *testing.T) {
	t.Parallel()
	img, store := sample(t), filepath.Join(t.TempDir(), "s")
	var mu sync.Mutex
	var events []transport.Event
	c := newCopier(t, transport.Options{Progress: func(e transport.Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}})
	first, err := c.Copy(context.Background(), "oci:"+img+":one", "oci:"+store+":a")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(first.Blobs); n != 4 || first.Bytes() == 0 {
		t.Errorf("first copy: %d blobs, %d bytes; want 4 blobs", n, first.Bytes())
	}
	if !slices.ContainsFunc(events, func(e transport.Event) bool { return e.Action == transport.Done && e.Offset == e.Size }) {
		t.Errorf("no blob was done: %v", events)
	}
	second, err := c.Copy(context.Background(), "oci:"+img+":one", "oci:"+store+":b")
	if err != nil {
		t.Fatal(err)
	}
	if second.Bytes() != 0 || len(second.Blobs) != 4 || second.Digest != first.Digest {
		t.Errorf("second copy: %+v; want four blobs, all reused", second)
	}
	if err := second.Undo(context.Background()); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	if tags, err := l.Tags(context.Background()); err != nil || !slices.Equal(tags, []string{"a"}) {
		t.Errorf("after Undo: tags %q, %v", tags, err)
	}
}

// A signature made by a sigstore key is demanded by a policy, and found; for
// another key the image is refused, and so is one without a signature.
func TestSigstore(t *testing.T) {
	t.Parallel()
	img, work := sample(t), t.TempDir()
	key := func(name string) (private, public string) {
		pair, err := sigstore.GenerateKeyPair([]byte("pass"))
		if err != nil {
			t.Fatal(err)
		}
		private, public = filepath.Join(work, name+".key"), filepath.Join(work, name+".pub")
		write(t, private, string(pair.PrivateKey))
		write(t, public, string(pair.PublicKey))
		return private, public
	}
	private, public := key("ours")
	_, other := key("other")
	write(t, filepath.Join(work, "pass"), "pass\n")
	policy := func(key string) string {
		path := key + ".json"
		write(t, path, fmt.Sprintf(`{"default":[{"type":"sigstoreSigned","keyPath":%q,"signedIdentity":{"type":"exactReference","dockerReference":"example.com/x:1"}}]}`, key))
		return path
	}
	signed := filepath.Join(work, "signed")
	sign := newCopier(t, transport.Options{Sign: transport.Signing{
		SigstoreKey: private, PassphraseFile: filepath.Join(work, "pass"), Identity: "example.com/x:1",
	}})
	if _, err := sign.Copy(context.Background(), "oci:"+img+":one", "dir:"+signed); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, policy, source string
		want                 error
	}{
		{"right key", policy(public), "dir:" + signed, nil},
		{"wrong key", policy(other), "dir:" + signed, fault.ErrRefused},
		{"no signature", policy(public), "oci:" + img + ":one", fault.ErrRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store := filepath.Join(t.TempDir(), "s")
			c := newCopier(t, transport.Options{Policy: tt.policy, RequireSigned: true, RemoveSignatures: true})
			_, err := c.Copy(context.Background(), tt.source, "oci:"+store+":x")
			if !errors.Is(err, tt.want) {
				t.Errorf("Copy = %v, want %v", err, tt.want)
			}
			// Nothing of a refused image arrives.
			if blobs, _ := filepath.Glob(filepath.Join(store, "blobs", "*", "*")); tt.want != nil && len(blobs) > 0 {
				t.Errorf("refused, and yet there are blobs: %q", blobs)
			}
		})
	}
	// A layout has no place for signatures, and they are not lost silently.
	c := newCopier(t, transport.Options{})
	if _, err := c.Copy(context.Background(), "dir:"+signed, "oci:"+filepath.Join(work, "s")+":x"); err == nil {
		t.Error("a signature was dropped silently")
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What the image of another format needs is left to the library; here the two
// ways from archives and back.
func TestArchivesKeepTheirBytes(t *testing.T) {
	t.Parallel()
	img, work := sample(t), t.TempDir()
	c := newCopier(t, transport.Options{})
	copyTo := func(src, dst string) *transport.Result {
		t.Helper()
		r, err := c.Copy(context.Background(), src, dst)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := copyTo("oci:"+img+":one", "oci-archive:"+work+"/a.tar:t").Digest
	if got := copyTo("oci-archive:"+work+"/a.tar", "oci-archive:"+work+"/b.tar:t").Digest; got != want {
		t.Errorf("archive to archive: digest %s, want %s", got, want)
	}
	if got := copyTo("oci-archive:"+work+"/b.tar:t", "oci:"+work+"/l:t").Digest; got != want {
		t.Errorf("archive to layout: digest %s, want %s", got, want)
	}
	a, err := os.ReadFile(work + "/a.tar")
	if err != nil {
		t.Fatal(err)
	}
	copyTo("oci:"+work+"/l:t", "docker-archive:"+work+"/d.tar:x:1")
	copyTo("docker-archive:"+work+"/d.tar", "docker-archive:"+work+"/e.tar:x:1")
	d, err := os.ReadFile(work + "/d.tar")
	if err != nil {
		t.Fatal(err)
	}
	e, err := os.ReadFile(work + "/e.tar")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d, e) {
		t.Error("a Docker archive copied to another one has changed")
	}
	if len(a) == 0 || len(d) == 0 {
		t.Error("an archive is empty")
	}
}
