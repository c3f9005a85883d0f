package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gsConfig is the image behind the captured files of podman and umoci.
const gsConfig = `{
  "created": "2026-01-01T00:00:00.123456789Z", "author": "Gs <gs@x>", "architecture": "amd64", "os": "linux",
  "config": {
    "User": "alice", "ExposedPorts": {"8080/tcp": {}, "53/udp": {}}, "Env": ["FOO=bar", "PATH=/usr/local/bin:/usr/bin:/bin"],
    "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["id"], "Volumes": {"/data": {}}, "WorkingDir": "/app",
    "Labels": {"com.example.a": "b", "org.opencontainers.image.title": "gs"}, "StopSignal": "SIGQUIT", "Healthcheck": {"Test": ["CMD", "true"]}
  },
  "rootfs": {"type": "layers", "diff_ids": []}
}`

const (
	gsPasswd = "root:x:0:0:root:/root:/bin/sh\n# a comment\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:100::/home/bob:/bin/sh\n"
	gsGroup  = "root:x:0:root\nwheel:x:10:alice,bob\nvideo:x:44:alice\nusers:x:100:\nkvm:x:78:bob\nalice:x:1000:\n"
)

// fixedHost is a machine that no test depends on: root, cgroup v1, the
// capabilities of which SYS_RESOURCE is missing.
func fixedHost() *Host {
	h := &Host{
		Arch: "amd64", UIDMap: []IDRange{{0, 0, 1<<32 - 1}}, GIDMap: []IDRange{{0, 0, 1<<32 - 1}}, Mqueue: true, SwapLimit: true, ResolvConf: true,
		Limits:  map[string]Limit{"RLIMIT_NOFILE": {1024, 20000}, "RLIMIT_NPROC": {1000, 1000}, "RLIMIT_CORE": {0, 1<<64 - 1}},
		Getenv:  func(name string) (string, bool) { return "from-host", strings.HasPrefix(name, "COPIED") },
		Environ: func() []string { return []string{"COPIED_B=from-host", "COPIED_A=from-host", "OTHER=x"} },
	}
	for _, c := range capabilities {
		if c != "CAP_SYS_RESOURCE" {
			h.Bounding = append(h.Bounding, c)
		}
	}
	return h
}

// tree makes a rootfs of files (name to content), directories (name ending in
// a slash) and links (content beginning with "-> ").
func tree(t testing.TB, files map[string]string) *Rootfs {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		target, isLink := strings.CutPrefix(content, "-> ")
		switch {
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(full, 0o755))
		case isLink:
			must(t, os.Symlink(target, full))
		default:
			must(t, os.WriteFile(full, []byte(content), 0o755))
		}
	}
	rootfs, err := OpenRootfs(dir)
	must(t, err)
	t.Cleanup(func() { must(t, rootfs.Close()) })
	return rootfs
}

func gsTree(t testing.TB) *Rootfs {
	return tree(t, map[string]string{"etc/passwd": gsPasswd, "etc/group": gsGroup, "app/": "", "data/": "", "bin/sh": "#!/bin/true\n", "tmp/": "", "bin/id": "x"})
}

func gsInput(t testing.TB) Input {
	t.Helper()
	img, err := ParseImage([]byte(gsConfig))
	must(t, err)
	return Input{Image: img, Root: "rootfs", Rootfs: gsTree(t), Host: fixedHost()}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, text string) *Document {
	t.Helper()
	doc, err := Parse([]byte(text))
	must(t, err)
	return doc
}

func ptr[T any](v T) *T { return &v }
