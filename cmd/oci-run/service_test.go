package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// notify is a program that knows sd_notify(3), for a container: the test binary
// itself, which is static as long as it does not import net.
func notify() {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		err = unix.Sendto(fd, []byte("READY=1\nSTATUS=up\nMAINPID=1"), 0, &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(7)
}

// TestNotify stands in for systemd: readiness and the exit status come through,
// whatever the runtime does about NOTIFY_SOCKET itself.
func TestNotify(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	for i, rt := range runtimes(t) {
		if rt.name == "runsc" {
			continue // its sandbox has no way to a socket of the host
		}
		t.Run(rt.name, func(t *testing.T) {
			dir, exe := testBundle(t), binary(t)
			program, err := os.ReadFile(exe)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "rootfs", "bin", "notify"), program, 0o755); err != nil {
				t.Fatal(err)
			}
			address := filepath.Join(t.TempDir(), "notify.sock")
			manager, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(manager)
			if err := unix.Bind(manager, &unix.SockaddrUnix{Name: address}); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe, "-q", "--runtime", rt.path, "-b", dir, fmt.Sprintf("notify%d-%d", os.Getpid(), i), "--", "notify")
			cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+address)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Fatalf("%v: %s, want status 7", err, out)
			}
			if err := unix.SetsockoptTimeval(manager, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
				t.Fatal(err)
			}
			told := func() []string {
				buf := make([]byte, 4096)
				n, err := unix.Read(manager, buf)
				for errors.Is(err, unix.EINTR) { // a socket with a timeout is not read again by itself
					n, err = unix.Read(manager, buf)
				}
				if err != nil {
					t.Error(err)
					return []string{"THE END"}
				}
				return strings.Split(string(buf[:n]), "\n")
			}
			if got := told(); !slices.Equal(got, []string{"READY=1", "STATUS=up"}) {
				t.Errorf("the manager was told %q, want READY=1 and STATUS=up", got)
			}

			// A script leaves that to the runtime, which hands on the readiness.
			dry := exec.Command(exe, slices.Concat([]string{"-n"}, cmd.Args[1:])...)
			dry.Env = cmd.Env
			script, err := dry.Output()
			if err != nil {
				t.Fatal(err)
			}
			heard := make(chan []string, 1)
			go func() {
				var all []string
				for last := ""; last != "THE END"; { // to read is to close what BARRIER=1 brings, which is waited for
					lines := told()
					last = lines[0]
					all = append(all, lines...)
				}
				heard <- all
			}()
			sh := exec.Command("sh", "-c", string(script))
			sh.Env = cmd.Env
			if out, err := sh.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Errorf("the script: %v: %s, want status 7", err, out)
			}
			if err := unix.Sendto(manager, []byte("THE END"), 0, &unix.SockaddrUnix{Name: address}); err != nil {
				t.Fatal(err)
			}
			if got := <-heard; !slices.Contains(got, "READY=1") {
				t.Errorf("the manager was told %q by the script, want READY=1", got)
			}
		})
	}
}

// TestOutOfMemory: the kernel's kill is told, in the foreground and by --list.
func TestOutOfMemory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	rt := runtimes(t)[0]
	dir, exe := testBundle(t), binary(t)
	if err := editConfig(filepath.Join(dir, "config.json"), "linux.resources", `{"memory":{"limit":16777216,"swap":16777216}}`); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("oom%d", os.Getpid())
	t.Cleanup(func() { sweep(t, id) })
	// dd has a buffer of the size of a block.
	const eat = "dd if=/dev/zero of=/dev/null bs=100M count=1 & wait $!; exit 9"
	if err := os.MkdirAll(filepath.Join(dir, "rootfs", "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "--runtime", rt.path, "-b", dir, id, "--", "sh", "-c", eat)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "memory") && strings.Contains(string(out), "create:") {
		t.Skipf("no memory cgroup here: %s", out)
	}
	if cmd.ProcessState.ExitCode() != 9 || !strings.Contains(string(out), "out of memory") {
		t.Errorf("%v: %s, want status 9 and out of memory", err, out)
	}
	if out, err := exec.Command(exe, "-q", "--runtime", rt.path, "-b", dir, id, "--detach", "--", "sh", "-c", eat).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, _ := exec.Command(exe, "--wait", id).CombinedOutput(); !strings.Contains(string(out), "out of memory") {
		t.Errorf("--wait: %s, want out of memory", out)
	}
	if out, err := exec.Command(exe, "--list", "--json").Output(); err != nil || !strings.Contains(string(out), `"exitStatus":9,"oom":true`) {
		t.Errorf("--list: %s %v, want oom", out, err)
	}
	if out, err := exec.Command(exe, "--delete", id).CombinedOutput(); err != nil {
		t.Errorf("--delete: %v: %s", err, out)
	}
}

// TestOutOfMemoryInAScope: systemd removes the counters with the last process.
func TestOutOfMemoryInAScope(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	if _, err := os.Stat("/run/systemd/private"); err != nil {
		t.Skip("systemd does not run here: scripts/vm -r Scope cmd/oci-run")
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		t.Skip("the hierarchy is not the unified one: scripts/vm -r Scope cmd/oci-run")
	}
	for _, rt := range runtimes(t) {
		if rt.name == "runsc" {
			continue // the kernel counts the sandbox, not the program
		}
		t.Run(rt.name, func(t *testing.T) {
			dir, exe := testBundle(t), binary(t)
			config := filepath.Join(dir, "config.json")
			id := fmt.Sprintf("scope%d-%s", os.Getpid(), rt.name)
			t.Cleanup(func() { sweep(t, id) })
			for field, value := range map[string]string{
				"linux.resources":   `{"memory":{"limit":16777216,"swap":16777216}}`,
				"linux.cgroupsPath": `"system.slice:oci:` + id + `"`,
			} {
				if err := editConfig(config, field, value); err != nil {
					t.Fatal(err)
				}
			}
			for command, want := range map[string]string{
				"tail /dev/zero":                `"exitStatus":137,"oom":true`,
				"tail /dev/zero & wait; exit 9": `"exitStatus":9,"oom":true`,
				"exit 3":                        `"exitStatus":3`,
				"kill -9 $$":                    `"exitStatus":0`, // PID 1 is deaf to it
			} {
				if out, err := exec.Command(exe, "-q", "--runtime", rt.path, "-b", dir, id, "--detach", "--", "sh", "-c", command).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", command, err, out)
				}
				_ = exec.Command(exe, "--wait", id).Run() // its status is in the list
				out, err := exec.Command(exe, "--list", "--json").Output()
				if err != nil || !strings.Contains(string(out), want) || strings.Contains(string(out), "oom") != strings.Contains(want, "oom") {
					t.Errorf("%s: --list: %s %v, want %s", command, out, err, want)
				}
				if out, err := exec.Command(exe, "--delete", id).CombinedOutput(); err != nil {
					t.Errorf("--delete: %v: %s", err, out)
				}
			}
		})
	}
}

// TestExampleUnit has systemd itself read the example.
func TestExampleUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze")
	}
	unit, err := os.ReadFile("../../scripts/examples/oci-run/web.service")
	if err != nil {
		t.Fatal(err)
	}
	// The program need not be installed where the example has it.
	text := strings.ReplaceAll(string(unit), "/usr/local/bin/oci-run", "/bin/true")
	text = strings.ReplaceAll(text, "Documentation=man:oci-run(1)\n", "")
	file := filepath.Join(t.TempDir(), "web.service")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
}
