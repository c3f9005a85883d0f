package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

var ctx = context.Background()

// TestMain lets the test binary be one of many writers.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LAYOUT_TEST_WRITER"); dir != "" {
		if err := writer(dir, os.Getenv("LAYOUT_TEST_TAGS")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writer tags a blob of its own, and one that all writers share, per tag.
func writer(dir, tags string) error {
	l, err := Create(ctx, dir)
	if err != nil {
		return err
	}
	for tag := range strings.SplitSeq(tags, " ") {
		desc, err := l.PutBytes(ctx, ispec.MediaTypeImageManifest, []byte(`{"tag":"`+tag+`"}`))
		if err != nil {
			return err
		}
		if _, err := l.PutBytes(ctx, ispec.MediaTypeImageLayer, []byte("shared by all")); err != nil {
			return err
		}
		if err := l.Tag(ctx, tag, desc); err != nil {
			return err
		}
	}
	return nil
}

// verify is a checker of its own: strict JSON, every blob under its digest,
// nothing but what belongs there. It returns the tags.
func verify(t *testing.T, dir string) []string {
	t.Helper()
	var index ispec.Index
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &index))
	blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	must(t, err)
	for _, b := range blobs {
		data, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", b.Name()))
		must(t, err)
		if got := digest.FromBytes(data).Encoded(); got != b.Name() {
			t.Errorf("blob %s holds %s", b.Name(), got)
		}
	}
	var tags []string
	for _, d := range index.Manifests {
		if info, err := os.Stat(filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded())); err != nil || info.Size() != d.Size {
			t.Errorf("descriptor %s has no such blob: %v", d.Digest, err)
		}
		tags = append(tags, d.Annotations[ispec.AnnotationRefName])
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"blobs", "index.json", "oci-layout"}, names); diff != "" {
		t.Errorf("the layout holds (-want +got):\n%s", diff)
	}
	return tags
}

func TestTag(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "layout")
	must(t, writer(dir, "a b c"))
	must(t, writer(dir, "b"))
	if diff := cmp.Diff([]string{"a", "c", "b"}, verify(t, dir)); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	l := open(t, dir)
	if err := l.Tag(ctx, "x/../y", ispec.Descriptor{Digest: sum}); !errors.Is(err, fault.ErrUsage) {
		t.Errorf("a malformed tag: %v", err)
	}
	if err := l.Tag(ctx, "x", ispec.Descriptor{Digest: sum}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a tag for a blob that is not there: %v", err)
	}
	tags, err := l.Tags(ctx)
	if diff := cmp.Diff([]string{"a", "c", "b"}, tags); err != nil || diff != "" {
		t.Errorf("after failures: %v (-want +got):\n%s", err, diff)
	}
}

func TestTagKeepsWhatItDoesNotKnow(t *testing.T) {
	dir := t.TempDir()
	must(t, writer(dir, "a"))
	path := filepath.Join(dir, indexFile)
	const known = `"annotations":{"k":"<v>"},"future":{"n":18446744073709551615}`
	entry := `{"mediaType":"application/x","digest":"` + sum + `","size":0,"later":[1.50],"annotations":{"org.opencontainers.image.ref.name":"old"}}`
	must(t, os.WriteFile(path, []byte(`{"schemaVersion":2,"manifests":[`+entry+`],`+known+`}`), 0o600))
	must(t, writer(dir, "b"))
	data, err := os.ReadFile(path)
	must(t, err)
	for _, want := range []string{known, entry, `"b"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("index.json lost %s:\n%s", want, data)
		}
	}
}

func TestManyProcessesLoseNoTag(t *testing.T) {
	const writers = 32
	dir := filepath.Join(t.TempDir(), "layout")
	self, err := os.Executable()
	must(t, err)
	var wg sync.WaitGroup
	want := make(map[string]bool)
	for i := range writers {
		tags := fmt.Sprintf("t%d-0 t%d-1 t%d-2", i, i, i)
		for tag := range strings.SplitSeq(tags, " ") {
			want[tag] = true
		}
		wg.Go(func() {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), "LAYOUT_TEST_WRITER="+dir, "LAYOUT_TEST_TAGS="+tags)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("writer %d: %v\n%s", i, err, out)
			}
		})
	}
	wg.Wait()
	got := make(map[string]bool)
	for _, tag := range verify(t, dir) {
		got[tag] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestCreateLeavesOtherDirectoriesAlone(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600))
	if _, err := Create(ctx, dir); err == nil {
		t.Error("Create in a directory with other things succeeded")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestBlobWriterRefusesAnotherBlob(t *testing.T) {
	dir := t.TempDir()
	l, err := Create(ctx, dir)
	must(t, err)
	for _, desc := range []ispec.Descriptor{{Digest: sum, Size: 1}, {Digest: digest.FromString("x"), Size: 2}} {
		w, err := l.NewBlob(ctx)
		must(t, err)
		_, err = w.Write([]byte("x"))
		must(t, err)
		if err := w.CommitAs(ctx, desc); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("CommitAs(%v) = %v, want a refusal", desc, err)
		}
	}
	verify(t, dir)
}

func TestADamagedBlobIsReplaced(t *testing.T) {
	dir := t.TempDir()
	must(t, writer(dir, "a"))
	l := open(t, dir)
	desc, err := l.PutBytes(ctx, ispec.MediaTypeImageLayer, []byte("content"))
	must(t, err)
	path, err := l.BlobPath(desc.Digest)
	must(t, err)
	must(t, os.WriteFile(path, []byte("CONTENT"), 0o600))
	if has, err := l.HasBlob(ctx, desc); has || err != nil {
		t.Errorf("HasBlob of a damaged blob = %v, %v", has, err)
	}
	_, err = l.PutBytes(ctx, ispec.MediaTypeImageLayer, []byte("content"))
	must(t, err)
	if has, err := l.HasBlob(ctx, desc); !has || err != nil {
		t.Errorf("HasBlob after writing it again = %v, %v", has, err)
	}
	verify(t, dir)
}

func TestSharedBlobs(t *testing.T) {
	dir, shared := t.TempDir(), t.TempDir()
	l, err := Create(ctx, dir, SharedBlobs(shared))
	must(t, err)
	desc, err := l.PutBytes(ctx, ispec.MediaTypeImageManifest, []byte("{}"))
	must(t, err)
	must(t, l.Tag(ctx, "a", desc))
	if _, err := os.Stat(filepath.Join(shared, "sha256", desc.Digest.Encoded())); err != nil {
		t.Error(err)
	}
	again, err := Open(dir, SharedBlobs(shared))
	must(t, err)
	if has, err := again.HasBlob(ctx, desc); !has || err != nil {
		t.Errorf("HasBlob = %v, %v", has, err)
	}
}

func TestWhatRootWritesBelongsToTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to have another owner")
	}
	dir := t.TempDir()
	must(t, os.Chown(dir, 1234, 5678))
	must(t, writer(dir, "a"))
	for _, name := range []string{"index.json", "oci-layout"} {
		var st unix.Stat_t
		must(t, unix.Stat(filepath.Join(dir, name), &st))
		if st.Uid != 1234 || st.Gid != 5678 || st.Mode&0o777 != 0o644 {
			t.Errorf("%s is owned by %d:%d, mode %o", name, st.Uid, st.Gid, st.Mode&0o777)
		}
	}
}

func TestAFullDiskLosesNoTag(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=256k,nr_inodes=64"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	dir := filepath.Join(small, "layout")
	must(t, writer(dir, "first"))
	l := open(t, dir)
	var failed error
	for i := 0; failed == nil && i < 100; i++ {
		var desc ispec.Descriptor
		if desc, failed = l.PutBytes(ctx, "x", []byte(fmt.Sprint(i)+strings.Repeat("x", 9000))); failed == nil {
			failed = l.Tag(ctx, fmt.Sprintf("t%d", i), desc)
		}
	}
	if !errors.Is(failed, unix.ENOSPC) {
		t.Fatalf("filling the disk = %v, want no space left", failed)
	}
	if tags := verify(t, dir); tags[0] != "first" {
		t.Errorf("tags are %v", tags)
	}
}

// TestAKillAnywhereLosesNoTag kills a writer before each of its calls in turn.
func TestAKillAnywhereLosesNoTag(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace; install it with: apt-get install strace")
	}
	self, err := os.Executable()
	must(t, err)
	for _, calls := range []string{"write", "fsync", "openat", "linkat", "rename,renameat,renameat2", "fchmod,fchmodat,fchown,flock"} {
		struck := 0
		for n := 1; n <= 25; n++ {
			dir := filepath.Join(t.TempDir(), "layout")
			must(t, writer(dir, "old older"))
			trace := filepath.Join(t.TempDir(), "trace")
			cmd := exec.Command(strace, "-f", "-qq", "-o", trace,
				"-e", "trace="+calls, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", calls, n), self)
			cmd.Env = append(os.Environ(), "LAYOUT_TEST_WRITER="+dir, "LAYOUT_TEST_TAGS=new")
			runErr := cmd.Run()
			must(t, writer(dir, "next"))
			tags := strings.Join(verify(t, dir), " ")
			if !strings.HasPrefix(tags, "old older") || !strings.HasSuffix(tags, "next") {
				t.Errorf("killed before %s number %d: tags are %s", calls, n, tags)
			}
			if runErr == nil {
				break
			}
			struck++
		}
		if struck == 0 {
			t.Errorf("%s: no kill struck, so nothing was tried", calls)
		}
	}
}
