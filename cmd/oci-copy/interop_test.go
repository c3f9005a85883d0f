package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The other tools of the field read what oci-copy writes, and it reads what
// they write. Each is started from its package, below a directory of its own.

// busybox is a layout with an image that runs, tag "bb".
func busybox(t *testing.T) string {
	t.Helper()
	from := filepath.Join("..", "..", "..", "shared", "images", "busybox")
	if _, err := os.Stat(from); err != nil {
		t.Skip("../shared/images/busybox is not there")
	}
	dir := filepath.Join(t.TempDir(), "bb")
	mustCopy(t, "oci:"+from+":latest", "oci:"+dir+":bb")
	return dir
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

// withPolicy keeps the policy of the host out.
func withPolicy(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(path, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_POLICY_JSON", path)
}

func TestSkopeo(t *testing.T) {
	skopeo := program(t, "skopeo", "skopeo")
	withPolicy(t)
	dir, _ := sampleLayout(t)
	work := t.TempDir()
	theirs := func(args ...string) {
		mustRun(t, skopeo, append([]string{"--insecure-policy", "copy", "-q"}, args...)...)
	}
	for _, ref := range []string{"oci:" + work + "/ours:x", "oci-archive:" + work + "/ours.tar:x", "docker-archive:" + work + "/ours-docker.tar:a/b:1", "dir:" + work + "/ours-dir"} {
		mustCopy(t, "oci:"+dir+":one", ref)
		theirs(ref, "dir:"+t.TempDir())
	}
	for _, ref := range []string{"oci:" + work + "/theirs:x", "oci-archive:" + work + "/theirs.tar:x", "docker-archive:" + work + "/theirs-docker.tar:a/b:1", "dir:" + work + "/theirs-dir"} {
		theirs("oci:"+dir+":one", ref)
		mustCopy(t, ref, "oci:"+filepath.Join(t.TempDir(), "l")+":x")
	}
	// From the same source, both make the same directory.
	mustRun(t, "diff", "-r", work+"/ours-dir", work+"/theirs-dir")
}

// From one image in one format to the other, both make the same manifest.
func TestSkopeoConverts(t *testing.T) {
	skopeo := program(t, "skopeo", "skopeo")
	withPolicy(t)
	dir, _ := sampleLayout(t)
	for _, format := range []string{"oci", "v2s2"} {
		ours, theirs := filepath.Join(t.TempDir(), "d"), filepath.Join(t.TempDir(), "d")
		mustCopy(t, "--format", format, "oci:"+dir+":one", "dir:"+ours)
		mustRun(t, skopeo, "--insecure-policy", "copy", "-q", "--format", format, "oci:"+dir+":one", "dir:"+theirs)
		a, b := mustRun(t, "jq", "-cS", ".", ours+"/manifest.json"), mustRun(t, "jq", "-cS", ".", theirs+"/manifest.json")
		// An OCI manifest may repeat its media type, and newer writers do.
		strip := strings.NewReplacer(`,"mediaType":"`+ispec.MediaTypeImageManifest+`"`, "")
		if strip.Replace(a) != strip.Replace(b) {
			t.Errorf("--format %s: ours %s theirs %s", format, a, b)
		}
	}
}

func TestUmoci(t *testing.T) {
	umoci := program(t, "umoci", "umoci")
	needRoot(t)
	dir := busybox(t)
	store := filepath.Join(t.TempDir(), "store")
	mustCopy(t, "oci:"+dir+":bb", "oci:"+store+":bb")
	bundle := filepath.Join(t.TempDir(), "bundle")
	mustRun(t, umoci, "unpack", "--image", store+":bb", bundle)
	if _, err := os.Stat(filepath.Join(bundle, "rootfs", "bin", "busybox")); err != nil {
		t.Error(err)
	}
	mustRun(t, umoci, "config", "--image", store+":bb", "--tag", "theirs", "--config.user", "1:1")
	mustCopy(t, "oci:"+store+":theirs", "oci-archive:"+filepath.Join(t.TempDir(), "a.tar"))
	mustRun(t, umoci, "gc", "--layout", store)
	mustCopy(t, "oci:"+store+":bb", "oci:"+store+":again")
}

func TestPodman(t *testing.T) {
	podman := program(t, "podman", "podman")
	needRoot(t)
	dir, work := busybox(t), t.TempDir()
	args := func(rest ...string) []string {
		return append([]string{"--root", work + "/c", "--runroot", work + "/r", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"}, rest...)
	}
	mustCopy(t, "oci:"+dir+":bb", "docker-archive:"+work+"/d.tar:local/bb:1")
	if out := mustRun(t, podman, args("load", "-i", work+"/d.tar")...); !strings.Contains(out, "local/bb:1") {
		t.Errorf("podman load: %s", out)
	}
	mustCopy(t, "oci:"+dir+":bb", "oci-archive:"+work+"/o.tar:bb")
	mustRun(t, podman, args("pull", "-q", "oci-archive:"+work+"/o.tar")...)
	// Podman makes a name of the path, which may have no capitals.
	lower := filepath.Join(shortDir(t), "bb")
	mustCopy(t, "oci:"+dir+":bb", "oci:"+lower+":bb")
	mustRun(t, podman, args("pull", "-q", "oci:"+lower+":bb")...)

	store := "containers-storage:[vfs@" + work + "/c+" + work + "/r]localhost/stored:1"
	buildStore(t, dir, store)
	if out := mustRun(t, podman, args("images", "-q", "localhost/stored:1")...); out == "" {
		t.Error("podman does not see the image in its store")
	}

	p := newPKI(t)
	host := startRegistry(t, program(t, "docker-registry", "docker-registry"), p, "")
	mustCopy(t, "--cert-dir", p.dir, "oci:"+dir+":bb", "docker://"+host+"/bb:1")
	mustRun(t, podman, args("pull", "-q", "--cert-dir", p.dir, host+"/bb:1")...)
	mustRun(t, podman, args("save", "-q", "--format", "docker-archive", "-o", work+"/saved.tar", host+"/bb:1")...)
	mustCopy(t, "docker-archive:"+work+"/saved.tar", "oci:"+work+"/back:bb")
	mustRun(t, podman, args("save", "-q", "--format", "oci-archive", "-o", work+"/saved-oci.tar", host+"/bb:1")...)
	mustCopy(t, "oci-archive:"+work+"/saved-oci.tar", "oci:"+work+"/back:oci")
	mustRun(t, podman, args("push", "-q", "--cert-dir", p.dir, host+"/bb:1", host+"/pushed:1")...)
	mustCopy(t, "--cert-dir", p.dir, "docker://"+host+"/pushed:1", "oci:"+work+"/back:pushed")
}

// buildStore copies into Podman's store and back. The store starts the binary
// anew, so that it has to be the real one.
func buildStore(t *testing.T, dir, store string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "oci-copy")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	mustRun(t, binary, "oci:"+dir+":bb", store)
	mustRun(t, binary, store, "oci:"+filepath.Join(t.TempDir(), "x")+":y")
}

func TestContainerd(t *testing.T) {
	containerd := program(t, "containerd", "containerd")
	ctr := program(t, "ctr", "containerd")
	needRoot(t)
	dir, work := busybox(t), t.TempDir()
	socket := shortDir(t) + "/c.sock"
	start(t, func() bool { _, err := os.Stat(socket); return err == nil }, containerd,
		"--root", work+"/root", "--state", work+"/state", "--address", socket)
	mustCopy(t, "oci:"+dir+":bb", "oci-archive:"+work+"/o.tar:docker.io/library/ours:1")
	mustRun(t, ctr, "-a", socket, "images", "import", work+"/o.tar")
	mustCopy(t, "oci:"+dir+":bb", "docker-archive:"+work+"/d.tar:docker.io/library/ours:2")
	mustRun(t, ctr, "-a", socket, "images", "import", work+"/d.tar")
	out := mustRun(t, ctr, "-a", socket, "images", "ls", "-q")
	for _, name := range []string{"docker.io/library/ours:1", "docker.io/library/ours:2"} {
		if !strings.Contains(out, name) {
			t.Errorf("ctr images ls: %s, want %s in it", out, name)
		}
	}
	mustRun(t, ctr, "-a", socket, "images", "export", work+"/exported.tar", "docker.io/library/ours:1")
	mustCopy(t, "oci-archive:"+work+"/exported.tar", "oci:"+work+"/back:bb")
}

func TestDocker(t *testing.T) {
	dockerd := program(t, "dockerd", "docker.io")
	docker := program(t, "docker", "docker.io")
	containerd := program(t, "containerd", "containerd")
	needRoot(t)
	withPolicy(t)
	dir, work, short := busybox(t), t.TempDir(), shortDir(t)
	exists := func(path string) func() bool { return func() bool { _, err := os.Stat(path); return err == nil } }
	start(t, exists(short+"/c.sock"), containerd, "--root", work+"/croot", "--state", short+"/cstate", "--address", short+"/c.sock")
	host := "unix://" + short + "/d.sock"
	start(t, exists(short+"/d.sock"), dockerd, "--containerd", short+"/c.sock", "--data-root", work+"/docker", "--exec-root", short+"/exec",
		"-H", host, "--iptables=false", "--bridge=none", "--pidfile", work+"/d.pid", "--storage-driver", "vfs")
	for range 100 {
		if out := mustRun(t, "sh", "-c", docker+" -H "+host+" info >/dev/null 2>&1 && echo up || sleep 0.2"); strings.Contains(out, "up") {
			break
		}
	}
	mustCopy(t, "oci:"+dir+":bb", "docker-archive:"+work+"/d.tar:ours:1")
	if out := mustRun(t, docker, "-H", host, "load", "-i", work+"/d.tar"); !strings.Contains(out, "ours:1") {
		t.Errorf("docker load: %s", out)
	}
	mustCopy(t, "--dest-daemon-host", host, "oci:"+dir+":bb", "docker-daemon:ours:2")
	if out := mustRun(t, docker, "-H", host, "images", "--format", "{{.Repository}}:{{.Tag}}"); !strings.Contains(out, "ours:2\n") {
		t.Errorf("docker images: %s", out)
	}
	mustRun(t, docker, "-H", host, "save", "-o", work+"/saved.tar", "ours:1")
	mustCopy(t, "docker-archive:"+work+"/saved.tar", "oci:"+work+"/back:saved")
	mustCopy(t, "--src-daemon-host", host, "docker-daemon:ours:1", "oci:"+work+"/back:daemon")
	if runtime.GOARCH == "amd64" {
		if out := mustRun(t, docker, "-H", host, "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "ours:1", "echo", "it runs"); !strings.Contains(out, "it runs") {
			t.Errorf("docker run: %s", out)
		}
	}
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
