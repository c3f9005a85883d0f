package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "b")
	must(t, os.MkdirAll(filepath.Join(dir, RootfsDir, RootfsDir), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, StateFile), []byte("{}"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, ConfigFile), []byte("{}"), 0o600))
	// An image may hold what looks like a bundle.
	must(t, os.WriteFile(filepath.Join(dir, RootfsDir, StateFile), []byte("{}"), 0o600))
	for _, path := range []string{dir, dir + "/", filepath.Join(dir, RootfsDir), filepath.Join(dir, ConfigFile), filepath.Join(dir, StateFile)} {
		b, err := Find(path)
		if err != nil || b.Dir != dir {
			t.Errorf("Find(%s) = %v, %v, want %s", path, b, err, dir)
		}
	}
	for _, path := range []string{filepath.Join(dir, "nope"), t.TempDir()} {
		if b, err := Find(path); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("Find(%s) = %v, %v, want not found", path, b, err)
		}
	}
}

func TestStateRoundTrip(t *testing.T) {
	b := &Bundle{Dir: t.TempDir()}
	want := &State{
		SchemaVersion: SchemaVersion, Tool: "oci-unpack 1", Reference: "oci:/x:y", Layers: []Layer{},
		UIDMap: idmap.Map{{Container: 0, Host: 1000, Size: 1}}, Mounts: []Mount{{Target: "rootfs", Type: "overlay"}},
		ImageConfig: json.RawMessage(`{"a":"<b>"}`),
	}
	must(t, b.WriteState(want))
	got, err := b.State()
	must(t, err)
	got.ImageConfig = compact(t, got.ImageConfig)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("State() (-want +got):\n%s", diff)
	}
	first, err := os.ReadFile(filepath.Join(b.Dir, StateFile))
	must(t, err)
	must(t, b.WriteState(got))
	second, err := os.ReadFile(filepath.Join(b.Dir, StateFile))
	must(t, err)
	if !bytes.Equal(first, second) {
		t.Errorf("a state written twice differs:\n%s\n%s", first, second)
	}
	if names := list(t, b.Dir); len(names) != 1 {
		t.Errorf("bundle holds %v, want the state file only", names)
	}
}

func TestPlaceholderOfAnyName(t *testing.T) {
	for _, path := range []string{"dev/null", "n\xff", `"n"`, `"`, "'n'", "`n`", `a"b`, "\u00e9", "\ufffd", ""} {
		want := Placeholder{Path: path, Type: "char", Mode: 0o666, Major: 1, Minor: 3}
		data, err := json.Marshal(want)
		must(t, err)
		var got Placeholder
		must(t, json.Unmarshal(data, &got))
		if got != want {
			t.Errorf("%q came back as %q, by way of %s", path, got.Path, data)
		}
	}
}

func TestStateRefuses(t *testing.T) {
	for _, content := range []string{"", "[]", `{"schemaVersion":2}`, `{"schemaVersion":0}`} {
		b := &Bundle{Dir: t.TempDir()}
		must(t, os.WriteFile(filepath.Join(b.Dir, StateFile), []byte(content), 0o600))
		if _, err := b.State(); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("State() of %q = %v, want a refusal", content, err)
		}
	}
}

func compact(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	var v any
	must(t, json.Unmarshal(raw, &v))
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	must(t, enc.Encode(v))
	return json.RawMessage(strings.TrimSpace(b.String()))
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestStagePublishes(t *testing.T) {
	for _, final := range []string{"new", "empty"} {
		parent := t.TempDir()
		must(t, os.Mkdir(filepath.Join(parent, "empty"), 0o755))
		s, err := Stage(filepath.Join(parent, final))
		must(t, err)
		must(t, os.WriteFile(s.Config(), []byte("{}"), 0o600))
		must(t, s.Publish(context.Background()))
		must(t, s.Discard())
		info, err := os.Stat(filepath.Join(parent, final))
		must(t, err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, want 0700", final, info.Mode())
		}
		if names := list(t, filepath.Join(parent, final)); len(names) != 1 || names[0] != ConfigFile {
			t.Errorf("%s holds %v", final, names)
		}
		if strings.Contains(strings.Join(list(t, parent), " "), durable.TempPrefix) {
			t.Errorf("left behind: %v", list(t, parent))
		}
	}
}

func TestStageRefusesWhatIsTaken(t *testing.T) {
	parent := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(parent, "full", "x"), 0o755))
	must(t, os.WriteFile(filepath.Join(parent, "file"), nil, 0o600))
	must(t, os.Symlink("full", filepath.Join(parent, "link")))
	for _, name := range []string{"full", "file", "link", "missing/deep"} {
		if s, err := Stage(filepath.Join(parent, name)); err == nil {
			t.Errorf("Stage(%s) succeeded: %s", name, s.Dir)
		}
	}
}

func TestStageLoserTouchesNothing(t *testing.T) {
	final := filepath.Join(t.TempDir(), "b")
	first, err := Stage(final)
	must(t, err)
	second, err := Stage(final)
	must(t, err)
	must(t, os.WriteFile(first.Config(), []byte("first"), 0o600))
	must(t, os.WriteFile(second.Config(), []byte("second"), 0o600))
	must(t, first.Publish(context.Background()))
	if err := second.Publish(context.Background()); err == nil {
		t.Error("the second Publish succeeded")
	}
	must(t, second.Discard())
	got, err := os.ReadFile(filepath.Join(final, ConfigFile))
	if err != nil || string(got) != "first" {
		t.Errorf("config.json is %q, %v, want that of the first", got, err)
	}
}

func TestStageSweepsTheDead(t *testing.T) {
	parent := t.TempDir()
	live, err := Stage(filepath.Join(parent, "live"))
	must(t, err)
	must(t, os.WriteFile(live.Config(), nil, 0o600))
	dead := filepath.Join(parent, stagePrefix+"dead")
	must(t, os.MkdirAll(filepath.Join(dead, "x"), 0o700))
	next, err := Stage(filepath.Join(parent, "next"))
	must(t, err)
	if exists(dead) || !exists(live.Config()) {
		t.Errorf("dead is there: %v, live is there: %v", exists(dead), exists(live.Config()))
	}
	must(t, next.Discard())
	must(t, live.Discard())
	if names := list(t, parent); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestRemoveAllDeepAndHostile(t *testing.T) {
	parent := t.TempDir()
	outside := filepath.Join(parent, "outside")
	must(t, os.WriteFile(outside, []byte("x"), 0o600))
	top := filepath.Join(parent, "top")
	must(t, os.Mkdir(top, 0o700))
	fd, err := unix.Open(top, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	must(t, err)
	for range 3000 {
		must(t, unix.Mkdirat(fd, "d", 0o700))
		must(t, unix.Symlinkat(outside, fd, "link"))
		next, err := unix.Openat(fd, "d", unix.O_DIRECTORY|unix.O_RDONLY, 0)
		must(t, err)
		must(t, unix.Close(fd))
		fd = next
	}
	must(t, unix.Close(fd))
	must(t, RemoveAll(top))
	if exists(top) || !exists(outside) {
		t.Errorf("top is there: %v, outside is there: %v", exists(top), exists(outside))
	}
	must(t, RemoveAll(top))
	must(t, RemoveAll(filepath.Join(parent, "no", "where")))
}

func TestRemoveCanBeBegunAgain(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	b := &Bundle{Dir: filepath.Join(t.TempDir(), "b")}
	must(t, os.MkdirAll(b.Rootfs(), 0o700))
	must(t, b.WriteState(&State{}))
	// A mount makes the removal fail half-way.
	if err := unix.Mount("tmpfs", b.Rootfs(), "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(b.Rootfs(), unix.MNT_DETACH) })
	if err := b.Remove(); err == nil {
		t.Error("Remove over a mount succeeded")
	}
	if _, err := b.State(); err != nil {
		t.Errorf("after a failed removal it is no bundle any more: %v", err)
	}
	must(t, unix.Unmount(b.Rootfs(), 0))
	must(t, b.Remove())
	must(t, b.Remove())
	if exists(b.Dir) {
		t.Error("the bundle is still there")
	}
}

func TestRemoveEmptiedSparesWhatIsThere(t *testing.T) {
	b := &Bundle{Dir: filepath.Join(t.TempDir(), "b")}
	if b.Emptied() {
		t.Error("what is not there passes for an emptied bundle")
	}
	must(t, os.Mkdir(b.Dir, 0o700))
	if !b.Emptied() {
		t.Error("an empty directory is not taken for an emptied bundle")
	}
	must(t, os.WriteFile(b.Config(), nil, 0o600))
	if b.Emptied() {
		t.Error("a bundle with a config.json passes for an emptied one")
	}
	if err := b.RemoveEmptied(); err == nil || !exists(b.Config()) {
		t.Errorf("RemoveEmptied of a bundle = %v, config.json is there: %v", err, exists(b.Config()))
	}
	must(t, b.Remove())
	must(t, b.RemoveEmptied())
}

func TestRemoveAllSparesMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	parent := t.TempDir()
	inner := filepath.Join(parent, "top", "inner")
	must(t, os.MkdirAll(inner, 0o700))
	if err := unix.Mount("tmpfs", inner, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(inner, unix.MNT_DETACH) })
	kept := filepath.Join(inner, "kept")
	must(t, os.WriteFile(kept, nil, 0o600))
	if err := RemoveAll(filepath.Join(parent, "top")); !errors.Is(err, unix.EBUSY) {
		t.Errorf("RemoveAll over a mount = %v, want EBUSY", err)
	}
	if !exists(kept) {
		t.Error("the mounted file system was emptied")
	}
}

// What is mounted in a bundle is not the bundle's.
func TestRemoveStopsAtMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	b := &Bundle{Dir: filepath.Join(t.TempDir(), "b")}
	elsewhere := t.TempDir() // on the same device
	kept := filepath.Join(elsewhere, "kept")
	must(t, os.WriteFile(kept, nil, 0o600))
	for _, at := range []string{b.Rootfs(), filepath.Join(b.Dir, "a", "deep")} {
		must(t, os.MkdirAll(at, 0o700))
		must(t, unix.Mount(elsewhere, at, "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
		if err := b.Remove(); !errors.Is(err, unix.EBUSY) {
			t.Errorf("Remove() with a mount on %s = %v, want EBUSY", at, err)
		}
		if _, err := os.Stat(kept); err != nil {
			t.Fatalf("Remove() went through the mount on %s: %v", at, err)
		}
		must(t, unix.Unmount(at, 0))
	}
	must(t, b.Remove())
}
