package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leakRuns is how often TestLeaks kills something; OCI_RUN_LEAKS sets another
// number, such as 200.
const leakRuns = 24

// processesOf finds the processes that have the ID on their command line, and
// those of the containers that records name.
func processesOf(id string) []int {
	var pids []int
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte(id)) {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// victims are the processes that can be killed: the tool, the runtime, and
// what the container's record names.
func victims(id string) []int {
	pids := processesOf(id)
	if data, err := os.ReadFile("/run/oci-plumbing/containers/" + id + "/pid"); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
			pids = append(pids, pid)
			if parent := parentOf(pid); parent > 1 && parent != os.Getpid() && isOurs(parent) {
				pids = append(pids, parent)
			}
		}
	}
	return pids
}

func parentOf(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

func isOurs(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.HasPrefix(line, []byte(name+"\x00@monitor"))
}

// TestLeaks kills the tool, the monitor, the runtime or the container at random
// moments. What is left must be shown by --list and go by --delete.
func TestLeaks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	if testing.Short() {
		t.Skip("long")
	}
	runs := leakRuns
	if word := os.Getenv("OCI_RUN_LEAKS"); word != "" {
		var err error
		if runs, err = strconv.Atoi(word); err != nil {
			t.Fatal(err)
		}
	}
	rt := runtimes(t)[0]
	dir, exe := testBundle(t), binary(t)
	prefix := fmt.Sprintf("leak%d-", os.Getpid())
	t.Cleanup(func() { sweep(t, prefix) })
	for i := range runs {
		id := fmt.Sprintf("%s%d.", prefix, i) + "z"
		args := []string{"-q", "--runtime", rt.path, "-b", dir, id}
		args = append(args, [][]string{nil, {"--detach"}, {"--rm"}, {"--rm", "--detach"}}[i%4]...)
		cmd := exec.Command(exe, append(args, "--", "sleep", "0.3")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		if pids := victims(id); len(pids) > 0 {
			_ = unix.Kill(pids[rand.IntN(len(pids))], unix.SIGKILL)
		}
		_ = cmd.Wait()
	}
	// The programs end, and janitors and monitors have done their work.
	settled := func() bool { return len(processesOf(prefix)) == 0 }
	for deadline := time.Now().Add(60 * time.Second); !settled() && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
		deleteAll(t, exe, prefix)
	}
	deleteAll(t, exe, prefix)
	for _, pid := range processesOf(prefix) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		t.Errorf("process %d is left: %q %v", pid, line, err)
	}
	for _, pattern := range []string{"/run/oci-plumbing/containers/" + prefix + "*", "/run/runc/" + prefix + "*", "/sys/fs/cgroup/" + prefix + "*", "/sys/fs/cgroup/*/" + prefix + "*", "/sys/fs/cgroup/*/*/" + prefix + "*", "/sys/fs/cgroup/*/*/*/" + prefix + "*"} {
		left, err := filepath.Glob(pattern)
		if err != nil || len(left) > 0 {
			t.Errorf("left: %q %v", left, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(prefix)) {
		t.Errorf("mounts are left: %v", err)
	}
}

// deleteAll deletes what --list shows of the test's containers.
func deleteAll(t *testing.T, exe, prefix string) {
	t.Helper()
	out, err := exec.Command(exe, "--list").Output()
	if err != nil {
		t.Errorf("oci-run --list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		id := strings.Fields(line)[0]
		var exit *exec.ExitError
		// A monitor may have been faster.
		if out, err := exec.Command(exe, "--delete", id).CombinedOutput(); errors.As(err, &exit) && !strings.Contains(string(out), "there is no container") {
			t.Errorf("oci-run --delete %s: %s", id, out)
		}
	}
}

// TestMany starts 50 containers at once.
func TestMany(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	if testing.Short() {
		t.Skip("long")
	}
	rt := runtimes(t)[0]
	dir, exe := testBundle(t), binary(t)
	prefix := fmt.Sprintf("many%d-", os.Getpid())
	t.Cleanup(func() { sweep(t, prefix) })
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			out, err := exec.Command(exe, "-q", "--runtime", rt.path, "-b", dir, prefix+strconv.Itoa(i), "--", "sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i)).CombinedOutput()
			var exit *exec.ExitError
			code := 0
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			}
			if code != i || string(out) != fmt.Sprintln(i) {
				t.Errorf("container %d: status %d, output %q", i, code, out)
			}
		})
	}
	wg.Wait()
	if out, err := exec.Command(exe, "--list").Output(); err != nil || bytes.Contains(out, []byte(prefix)) {
		t.Errorf("left: %s %v", out, err)
	}
}

// TestMonitorKilled: neither the container nor its log is lost, and its status
// is unknown, not 0.
func TestMonitorKilled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	rt := runtimes(t)[0]
	dir, exe := testBundle(t), binary(t)
	id := fmt.Sprintf("orphan%d", os.Getpid())
	t.Cleanup(func() { sweep(t, id) })
	if out, err := exec.Command(exe, "-q", "--runtime", rt.path, "-b", dir, id, "-d", "--", "sh", "-c", "sleep 1; echo after").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile("/run/oci-plumbing/containers/" + id + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(parentOf(pid), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, "--list").Output()
	if err != nil || !strings.Contains(string(out), id) || !strings.Contains(string(out), "running") {
		t.Errorf("--list: %s %v, want it running", out, err)
	}
	wait := exec.Command(exe, "--wait", id)
	if out, err := wait.CombinedOutput(); err == nil || wait.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "is unknown") {
		t.Errorf("--wait: %s %v, want 125 and unknown", out, err)
	}
	if out, err := exec.Command(exe, "--logs", id).Output(); err != nil || string(out) != "after\n" {
		t.Errorf("--logs: %q %v, want all of it", out, err)
	}
	if out, err := exec.Command(exe, "--delete", id).CombinedOutput(); err != nil {
		t.Errorf("--delete: %v: %s", err, out)
	}
}

// TestLogReaderStalls: who follows the log and does not read holds up nobody.
// A gigabyte is written where the container does so itself; through the monitor
// as much as OCI_LOG_SIZE says.
func TestLogReaderStalls(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	through := int64(16 << 20)
	if text := os.Getenv("OCI_LOG_SIZE"); text != "" {
		var err error
		if through, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	raw := int64(1 << 30)
	if testing.Short() {
		raw = 64 << 20
	}
	for form, size := range map[string]int64{"raw": raw, "json": through, "cri": through} {
		t.Run(form, func(t *testing.T) { logToStalledReader(t, form, size) })
	}
}

func logToStalledReader(t *testing.T, form string, size int64) {
	rt := runtimes(t)[0]
	dir, exe := testBundle(t), binary(t)
	id := fmt.Sprintf("stall%d-%s", os.Getpid(), form)
	t.Cleanup(func() { sweep(t, id) })
	log := filepath.Join(t.TempDir(), "log")
	// Lines of a kilobyte: the log's own words about each are not the matter.
	program := fmt.Sprintf("sleep 0.3; yes %01023d | head -c %d", 7, size)
	if form == "raw" {
		program = fmt.Sprintf("sleep 0.3; dd if=/dev/zero bs=1048576 count=%d 2>/dev/null", size>>20)
	}
	words := []string{"-q", "--runtime", rt.path, "-b", dir, id, "-d", "--container-log", log, "--container-log-format", form}
	if form != "raw" {
		words = append(words, "--container-log-size", "0") // what is rotated away the reader misses
	}
	if out, err := exec.Command(exe, append(words, "--", "sh", "-c", program)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	reader := exec.Command(exe, "--logs", "-f", id)
	out, err := reader.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(exe, "--wait", id).CombinedOutput(); err != nil {
		t.Errorf("--wait: %v: %s", err, out)
	}
	n, err := io.Copy(io.Discard, out)
	if err != nil || n < size || form == "raw" && n != size {
		t.Errorf("%d bytes of log, %v, want %d", n, err, size)
	}
	if err := reader.Wait(); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command(exe, "--delete", id).CombinedOutput(); err != nil {
		t.Errorf("--delete: %v: %s", err, out)
	}
}
