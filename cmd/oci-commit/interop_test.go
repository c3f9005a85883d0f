package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// need skips a test that lacks a program.
func need(t *testing.T, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("needs %s: apt-get install %s", program, install)
	}
	return path
}

// busyboxImage makes an image of a static busybox with nothing but our tools,
// changes it through a bundle, and returns the layout with the tag "new": its
// command prints the changed file.
func busyboxImage(t *testing.T) string {
	t.Helper()
	needRoot(t)
	busybox := need(t, "busybox", "busybox-static")
	dir := shortDir(t) // podman takes no capitals in the path of a layout
	tree := filepath.Join(dir, "tree")
	for _, d := range []string{"bin", "etc", "proc", "dev", "sys", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(tree, d), 0o755))
	}
	data, err := os.ReadFile(busybox)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(tree, "bin/busybox"), data, 0o755))
	for _, applet := range []string{"sh", "cat", "ls", "test", "echo"} {
		must(t, os.Symlink("busybox", filepath.Join(tree, "bin", applet)))
	}
	must(t, os.WriteFile(filepath.Join(tree, "etc/passwd"), []byte("root:x:0:0::/:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(tree, "etc/gone"), []byte("x"), 0o644))
	layout := filepath.Join(dir, "img")
	mustCommit(t, "--from", "scratch", "--env", "PATH=/bin", "--cmd", "sh", tree, "oci:"+layout+":base")
	bundle := filepath.Join(dir, "bundle")
	runOut(t, tool(t, "oci-unpack"), "oci:"+layout+":base", bundle)
	r := rootfs{t, filepath.Join(bundle, "rootfs")}
	r.write("etc/motd", "made by oci-commit\n")
	r.remove("etc/gone")
	r.link("etc/motd", "etc/motd.link")
	mustCommit(t, "--cmd", `["cat","/etc/motd.link"]`, "--label", "org.example.test=yes", bundle, "oci:"+layout+":new")
	return layout
}

const motd = "made by oci-commit"

func TestSkopeoReadsOurs(t *testing.T) {
	skopeo := need(t, "skopeo", "skopeo")
	layout := busyboxImage(t)
	var image struct{ Labels map[string]string }
	must(t, json.Unmarshal([]byte(runOut(t, skopeo, "inspect", "oci:"+layout+":new")), &image))
	if image.Labels["org.example.test"] != "yes" {
		t.Errorf("skopeo inspect tells the labels %v", image.Labels)
	}
	runOut(t, skopeo, "--insecure-policy", "copy", "oci:"+layout+":new", "dir:"+t.TempDir())
}

func TestUmociUnpacksOurs(t *testing.T) {
	umoci := need(t, "umoci", "umoci")
	layout := busyboxImage(t)
	theirs, ours := filepath.Join(t.TempDir(), "theirs"), filepath.Join(t.TempDir(), "ours")
	runOut(t, umoci, "unpack", "--image", layout+":new", theirs)
	runOut(t, tool(t, "oci-unpack"), "oci:"+layout+":new", ours)
	compareTrees(t, "umoci", describeTree(t, theirs+"/rootfs", epoch), describeTree(t, ours+"/rootfs", epoch))
}

// TestUmociBundles: we commit umoci's bundles, it goes on from there, and so
// do we after it.
func TestUmociBundles(t *testing.T) {
	umoci := need(t, "umoci", "umoci")
	layout := busyboxImage(t)
	bundle := t.TempDir() + "/bundle"
	runOut(t, umoci, "unpack", "--image", layout+":new", bundle)
	inTurns(t, umoci, layout, bundle)
}

// TestUmociRepacksOurBundles: the same in a bundle that oci-unpack has made.
func TestUmociRepacksOurBundles(t *testing.T) {
	umoci := need(t, "umoci", "umoci")
	layout := busyboxImage(t)
	bundle := t.TempDir() + "/bundle"
	runOut(t, tool(t, "oci-unpack"), "oci:"+layout+":new", bundle)
	before := len(diffIDs(t, layout, "new"))
	runOut(t, umoci, "repack", "--image", layout+":same", bundle)
	if n := len(diffIDs(t, layout, "same")); n != before {
		t.Errorf("umoci repack found changes in a new bundle: %d layers, want %d", n, before)
	}
	inTurns(t, umoci, layout, bundle)
}

// inTurns has both tools commit changes of the bundle, one behind the other.
func inTurns(t *testing.T, umoci, layout, bundle string) {
	t.Helper()
	r := rootfs{t, bundle + "/rootfs"}
	r.write("etc/ours", "1")
	mustCommit(t, bundle, "oci:"+layout+":one")
	before := len(diffIDs(t, layout, "one"))
	runOut(t, umoci, "repack", "--image", layout+":nothing", bundle)
	if n := len(diffIDs(t, layout, "nothing")); n != before {
		t.Errorf("umoci repack found changes behind our commit: %d layers, want %d", n, before)
	}
	r.write("etc/theirs", "2")
	r.remove("etc/motd")
	r.touch("etc/theirs", stamp) // umoci 0.4 rounds times up
	r.touch("etc", stamp)
	runOut(t, umoci, "repack", "--refresh-bundle", "--image", layout+":two", bundle)
	if diff := runCommit(t, "--diff", "--from", "oci:"+layout+":two", bundle); diff.stdout != "" || diff.status != 0 {
		t.Errorf("behind umoci's repack we find %q %s", diff.stdout, diff.stderr)
	}
	r.write("etc/ours", "3")
	mustCommit(t, bundle, "oci:"+layout+":three")
	again := t.TempDir() + "/again"
	runOut(t, tool(t, "oci-unpack"), "oci:"+layout+":three", again)
	now := time.Now().Unix()
	compareTrees(t, "the round", describeTree(t, again+"/rootfs", now), describeTree(t, bundle+"/rootfs", now))
}

func TestPodmanRunsOurs(t *testing.T) {
	podman := need(t, "podman", "podman")
	layout := busyboxImage(t)
	dir := t.TempDir()
	base := []string{"--root", dir + "/c", "--runroot", dir + "/r", "--cgroup-manager", "cgroupfs", "--runtime", "runc"}
	podmanOut := func(args ...string) string { return runOut(t, podman, append(base, args...)...) }
	t.Cleanup(func() { _ = exec.Command(podman, append(base, "rmi", "-af")...).Run() })
	id := podmanOut("pull", "-q", "oci:"+layout+":new")
	got := podmanOut("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", id)
	if got != motd {
		t.Errorf("podman run prints %q, want %q", got, motd)
	}
}

func TestBuildahMountsOurs(t *testing.T) {
	buildah := need(t, "buildah", "buildah")
	layout := busyboxImage(t)
	dir := t.TempDir()
	base := []string{"--root", dir + "/c", "--runroot", dir + "/r", "--storage-driver", "overlay"}
	buildahOut := func(args ...string) string { return runOut(t, buildah, append(base, args...)...) }
	t.Cleanup(func() { _ = exec.Command(buildah, append(base, "rm", "-a")...).Run() })
	container := buildahOut("from", "oci:"+layout+":new")
	mount := buildahOut("mount", container)
	data, err := os.ReadFile(mount + "/etc/motd.link")
	if err != nil || string(data) != motd+"\n" {
		t.Errorf("in buildah's mount: %q, %v", data, err)
	}
	if _, err := os.Lstat(mount + "/etc/gone"); err == nil {
		t.Error("buildah shows a file that we deleted")
	}
	buildahOut("umount", container)
}

// daemon starts a program that runs until the end of the test.
func daemon(t *testing.T, socket, program string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	for range 600 {
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("%s does not answer on %s:\n%s", program, socket, text)
}

// shortDir is for sockets, whose paths are bounded to 107 bytes, and for those
// who are particular about names.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "oci")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestContainerdRunsOurs(t *testing.T) {
	containerd, ctr := need(t, "containerd", "containerd"), need(t, "ctr", "containerd")
	skopeo := need(t, "skopeo", "skopeo")
	layout := busyboxImage(t)
	dir := shortDir(t)
	socket := dir + "/c.sock"
	daemon(t, socket, containerd, "--root", dir+"/root", "--state", dir+"/state", "--address", socket, "-l", "error")
	const image = "docker.io/library/ours:1"
	runOut(t, skopeo, "--insecure-policy", "copy", "oci:"+layout+":new", "oci-archive:"+dir+"/a.tar:"+image)
	runOut(t, ctr, "-a", socket, "images", "import", dir+"/a.tar")
	id := fmt.Sprintf("oci-commit-%d", os.Getpid())
	if got := runOut(t, ctr, "-a", socket, "run", "--rm", image, id); got != motd {
		t.Errorf("ctr run prints %q, want %q", got, motd)
	}
}

func TestDockerRunsOurs(t *testing.T) {
	containerd, dockerd, docker := need(t, "containerd", "containerd"), need(t, "dockerd", "docker.io"), need(t, "docker", "docker.io")
	skopeo := need(t, "skopeo", "skopeo")
	layout := busyboxImage(t)
	dir := shortDir(t)
	daemon(t, dir+"/c.sock", containerd, "--root", dir+"/root", "--state", dir+"/state", "--address", dir+"/c.sock", "-l", "error")
	daemon(t, dir+"/d.sock", dockerd, "--containerd", dir+"/c.sock", "--data-root", dir+"/docker", "--exec-root", dir+"/exec",
		"-H", "unix://"+dir+"/d.sock", "--iptables=false", "--bridge=none", "--pidfile", dir+"/d.pid", "-l", "error")
	runOut(t, skopeo, "--insecure-policy", "copy", "oci:"+layout+":new", "docker-archive:"+dir+"/a.tar:ours:1")
	runOut(t, docker, "-H", "unix://"+dir+"/d.sock", "load", "-i", dir+"/a.tar")
	got := runOut(t, docker, "-H", "unix://"+dir+"/d.sock", "run", "--rm", "--network", "none", "ours:1")
	if strings.TrimSpace(got) != motd {
		t.Errorf("docker run prints %q, want %q", got, motd)
	}
}
