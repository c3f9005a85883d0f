package spec

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func TestLookupUser(t *testing.T) {
	rootfs := tree(t, map[string]string{
		"etc/passwd": gsPasswd + "1001:x:0:0::/:/bin/sh\n+nis::::::\nshort:x:5\nbig:x:4294967296:0::/:\nneg:x:-1:0::/:\ntwice:x:7:7::/:\ntwice:x:0:0::/:\r\n" +
			"dos:x:8:8::/:/bin/sh\r\nlong:x:9:9:" + strings.Repeat("x", maxAccountLine) + ":/:\nlast:x:11:12::/:",
		"etc/group": gsGroup + "spaced:x:55:alice , carol\n",
	})
	for _, tt := range []struct {
		spec string
		mode UserGroups
		want Identity
		err  string
	}{
		{spec: "", want: Identity{0, 0, []uint32{0}}},
		{spec: "0", want: Identity{0, 0, []uint32{0}}},
		{spec: "root", want: Identity{0, 0, []uint32{0}}},
		{spec: "root:", want: Identity{0, 0, []uint32{0}}},
		{spec: "1000", want: Identity{1000, 1000, []uint32{1000}}},
		{spec: "1000", mode: GroupsDocker, want: Identity{1000, 1000, []uint32{1000, 10, 44, 55}}},
		{spec: "1000:", want: Identity{1000, 1000, []uint32{1000}}},
		{spec: "1000:10", want: Identity{1000, 10, []uint32{10}}},
		{spec: "4242", want: Identity{4242, 0, []uint32{0}}},
		{spec: "4242:77", want: Identity{4242, 77, []uint32{77}}},
		{spec: "alice", want: Identity{1000, 1000, []uint32{1000, 10, 44, 55}}},
		{spec: "alice:10", want: Identity{1000, 10, []uint32{10}}},
		{spec: "bob:wheel", want: Identity{1001, 10, []uint32{10}}},
		{spec: ":wheel", want: Identity{0, 10, []uint32{10}}},
		{spec: "2147483647", want: Identity{2147483647, 0, []uint32{0}}},
		// Digits are an id even where passwd has a login name of this form (CVE-2026-46680).
		{spec: "1001", want: Identity{1001, 100, []uint32{100}}},
		{spec: "twice", want: Identity{7, 7, []uint32{7}}},
		{spec: "dos", want: Identity{8, 8, []uint32{8}}},
		{spec: "last", want: Identity{11, 12, []uint32{12}}},
		{spec: "long", err: "not in etc/passwd"},
		{spec: "short", err: "not in etc/passwd"},
		{spec: "+nis", err: "neither a name"},
		{spec: "big", err: "outside 0 to"},
		{spec: "neg", err: "is not an id"},
		{spec: "2147483648", err: "outside 0 to"},
		{spec: "9223372036854775808", err: "outside 0 to"},
		{spec: "1000:4294967295", err: "outside 0 to"},
		{spec: "-1", err: "neither a name"},
		{spec: "+0", err: "neither a name"},
		{spec: "0x0", err: "neither a name"},
		{spec: "1e3", err: "neither a name"},
		{spec: " bob", err: "no login or group name"},
		{spec: "bob\nroot", err: "no login or group name"},
		{spec: "1:2:3", err: "no login or group name"},
		{spec: ":", err: "neither a user nor a group"},
		{spec: "a\x00b", err: "NUL"},
		{spec: "\xff", err: "UTF-8"},
		{spec: "nosuch", err: "not in etc/passwd"},
		{spec: "bob:nosuch", err: "not in etc/group"},
	} {
		mode := tt.mode
		if mode == "" {
			mode = GroupsSpec
		}
		got, err := LookupUser(rootfs, tt.spec, mode)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, fault.ErrRefused) {
				t.Errorf("LookupUser(%q) = %v, %v, want a refusal with %q", tt.spec, got, err, tt.err)
			}
			continue
		}
		if err != nil || !cmp.Equal(got, tt.want) {
			t.Errorf("LookupUser(%q, %s) = %v, %v, want %v", tt.spec, mode, got, err, tt.want)
		}
	}
}

func TestLookupUserWithoutRootfs(t *testing.T) {
	got, err := LookupUser(nil, "5:6", GroupsSpec)
	if want := (Identity{5, 6, []uint32{6}}); err != nil || !cmp.Equal(got, want) {
		t.Errorf("LookupUser(nil, 5:6) = %v, %v, want %v", got, err, want)
	}
	if _, err := LookupUser(nil, "alice", GroupsSpec); !errors.Is(err, fault.ErrUsage) {
		t.Errorf("LookupUser(nil, alice) = %v, want a usage error", err)
	}
}

// The account files of an image may be links: inside the rootfs they are
// followed, and none leads out of it (CVE-2019-14271, containerd issue 12683).
func TestAccountFilesAreLinks(t *testing.T) {
	host := filepath.Join(t.TempDir(), "passwd")
	must(t, os.WriteFile(host, []byte("canary:x:31337:31337::/:\n"), 0o644))
	dots := strings.Repeat("../", 30)
	for _, tt := range []struct {
		name  string
		files map[string]string
		user  string
		found bool
	}{
		{"absolute to the host", map[string]string{"etc/passwd": "-> " + host}, "canary", false},
		{"relative to the host", map[string]string{"etc/passwd": "-> " + dots + strings.TrimPrefix(host, "/")}, "canary", false},
		{"etc itself", map[string]string{"etc": "-> " + filepath.Dir(host)}, "canary", false},
		{"absolute inside", map[string]string{"etc/passwd": "-> /nix/passwd", "nix/passwd": gsPasswd}, "alice", true},
		{"dots inside", map[string]string{"etc/passwd": "-> " + dots + "nix/passwd", "nix/passwd": gsPasswd}, "alice", true},
		{"loop", map[string]string{"etc/passwd": "-> passwd"}, "alice", false},
	} {
		_, err := LookupUser(tree(t, tt.files), tt.user, GroupsSpec)
		if found := err == nil; found != tt.found {
			t.Errorf("%s: LookupUser = %v, want found %v", tt.name, err, tt.found)
		}
	}
}

// A FIFO would block the open, a device could act on it, and a file without
// end would fill the memory.
func TestAccountFilesAreNotRegular(t *testing.T) {
	rootfs := tree(t, map[string]string{"etc/": ""})
	name := filepath.Join(rootfs.Path(), "etc/passwd")
	must(t, unix.Mkfifo(name, 0o644))
	if _, err := LookupUser(rootfs, "bob", GroupsSpec); err == nil || !strings.Contains(err.Error(), "a FIFO") {
		t.Errorf("LookupUser with a FIFO = %v, want a refusal", err)
	}
	must(t, os.Remove(name))
	must(t, os.Mkdir(name, 0o755))
	if _, err := LookupUser(rootfs, "bob", GroupsSpec); err == nil || !strings.Contains(err.Error(), "a directory") {
		t.Errorf("LookupUser with a directory = %v, want a refusal", err)
	}
	must(t, os.Remove(name))
	must(t, os.WriteFile(name, nil, 0o644))
	must(t, os.Truncate(name, 1<<40))
	if _, err := LookupUser(rootfs, "bob", GroupsSpec); err == nil || !strings.Contains(err.Error(), "exceeds") {
		t.Errorf("LookupUser with a file of 1 TiB = %v, want a refusal", err)
	}
}

func TestTooManyGroups(t *testing.T) {
	var group strings.Builder
	for i := range maxGroups + 1 {
		group.WriteString("g:x:" + itoa(i+1) + ":bob\n")
	}
	rootfs := tree(t, map[string]string{"etc/passwd": gsPasswd, "etc/group": group.String()})
	if _, err := LookupUser(rootfs, "bob", GroupsSpec); err == nil || !strings.Contains(err.Error(), "more than 65536 groups") {
		t.Errorf("LookupUser = %v, want a refusal", err)
	}
}

// Lines are not looked at one by one, so the search is compared with one that
// does, in files of some buffers' length.
func TestLookupFindsTheLine(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "ab", "b", "a:b", "7", "07", "x", "#a", "+a", ""}
	for range 8 {
		var passwd, group strings.Builder
		all := []string{"none"}
		for passwd.Len() < 200<<10 {
			name, id := names[random.IntN(len(names))]+itoa(random.IntN(2000)), itoa(random.IntN(2000))
			if strings.Trim(name, "abx0123456789") == "" && strings.IndexByte("abx", name[0]) >= 0 {
				all = append(all, name)
			}
			pad := strings.Repeat("p", random.IntN(1+random.IntN(1000)))
			ends := []string{"\n", "\r\n", "\n\n"}[random.IntN(3)]
			passwd.WriteString(name + ":x:" + id + ":1:" + pad + ends)
			group.WriteString(name + ":" + pad + ":" + id + ":u" + id + ",u" + itoa(random.IntN(2000)) + ends)
		}
		rootfs := tree(t, map[string]string{"etc/passwd": passwd.String(), "etc/group": group.String()})
		for range 100 {
			name := all[random.IntN(len(all))]
			want, found := firstField(group.String(), name)
			if got, err := LookupGroup(rootfs, name); (err == nil) != found || found && itoa(int(got)) != want {
				t.Fatalf("LookupGroup(%q) = %v, %v, want %q, %v", name, got, err, want, found)
			}
			want, found = firstField(passwd.String(), name)
			if got, err := LookupUser(rootfs, name, GroupsSpec); (err == nil) != found || found && itoa(int(got.UID)) != want {
				t.Fatalf("LookupUser(%q) = %v, %v, want %q, %v", name, got, err, want, found)
			}
			user := "u" + itoa(random.IntN(2000))
			if got, err := groupsOf(rootfs, user); err != nil || !cmp.Equal(got, memberships(group.String(), user)) {
				t.Fatalf("groupsOf(%q) = %v, %v, want %v", user, got, err, memberships(group.String(), user))
			}
		}
	}
}

// firstField returns the third field of the first line of that name.
func firstField(text, name string) (string, bool) {
	for line := range strings.Lines(text) {
		if fields := strings.Split(line, ":"); fields[0] == name {
			return fields[2], true
		}
	}
	return "", false
}

func memberships(text, user string) (groups []uint32) {
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if strings.ContainsAny(line[:1], "#+") || len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), user) {
			continue
		}
		if id, err := strconv.Atoi(fields[2]); err == nil && !slices.Contains(groups, uint32(id)) {
			groups = append(groups, uint32(id))
		}
	}
	return groups
}

// Whatever the files of an image hold, a look-up takes little memory.
func TestLookupTakesLittleMemory(t *testing.T) {
	names := strings.Repeat("somebody,", 600_000)
	for name, files := range map[string]map[string]string{
		"a group of 5 MB":          {"etc/passwd": gsPasswd, "etc/group": "big:x:5:" + names + "\nwheel:x:10:bob\n"},
		"a passwd line of 5 MB":    {"etc/passwd": "x:" + names + "\n" + gsPasswd, "etc/group": "wheel:x:10:bob\n"},
		"a group file of 5 MB":     {"etc/passwd": gsPasswd, "etc/group": strings.Repeat("g:x:5:somebody\n", 350_000) + "wheel:x:10:bob\n"},
		"lines that nearly fit in": {"etc/passwd": gsPasswd, "etc/group": strings.Repeat("g:x:5:"+names[:maxGroupLine-10]+"\n", 5) + "wheel:x:10:bob\n"},
	} {
		rootfs := tree(t, files)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		id, err := LookupUser(rootfs, "bob", GroupsSpec)
		runtime.ReadMemStats(&after)
		if want := (Identity{1001, 100, []uint32{100, 10}}); err != nil || !cmp.Equal(id, want) {
			t.Errorf("%s: LookupUser = %v, %v, want %v", name, id, err, want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 6<<20 {
			t.Errorf("%s: the look-up took %d bytes", name, took)
		}
	}
}

func FuzzLookupUser(f *testing.F) {
	for _, s := range []string{"", "0", "alice", "1000:10", ":wheel", "a:b:c", "-1", "0x0", "1e3"} {
		f.Add(s, gsPasswd, gsGroup)
	}
	f.Add("x", "x:y:1:2\n", "::::::::\nx:x:1:x,x,,")
	f.Fuzz(func(t *testing.T, user, passwd, group string) {
		rootfs := tree(t, map[string]string{"etc/passwd": strings.TrimPrefix(passwd, "-> "), "etc/group": strings.TrimPrefix(group, "-> ")})
		id, err := LookupUser(rootfs, user, GroupsDocker)
		if err != nil {
			return
		}
		if id.UID > maxID || id.GID > maxID {
			t.Errorf("LookupUser(%q) = %v, beyond %d", user, id, maxID)
		}
		if len(id.Groups) == 0 || id.Groups[0] != id.GID {
			t.Errorf("LookupUser(%q) = %v, the primary group is not the first", user, id)
		}
		if id.UID == 0 && !strings.HasPrefix(user, "0") && user != "" && user[0] != ':' && !strings.Contains(passwd, ":0") {
			t.Errorf("LookupUser(%q) = root, out of nothing", user)
		}
	})
}
