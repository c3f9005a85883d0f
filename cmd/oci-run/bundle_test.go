package main

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// baseConfig is a config.json that all runtimes understand.
const baseConfig = `{
  "ociVersion": "1.0.2",
  "process": {
    "terminal": false,
    "user": {"uid": 0, "gid": 0},
    "args": ["sh"],
    "env": ["PATH=/bin", "TERM=dumb"],
    "cwd": "/",
    "capabilities": {
      "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"],
      "effective": ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"],
      "permitted": ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"]
    },
    "noNewPrivileges": true
  },
  "root": {"path": "rootfs"},
  "hostname": "test",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]}
  ],
  "linux": {
    "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}]
  }
}
`

var applets = []string{
	"sh", "true", "false", "cat", "echo", "sleep", "ls", "ps", "kill", "id", "env", "pwd", "head", "yes", "stty", "tty", "dd", "grep", "wc", "touch", "trap", "nc", "readlink", "mkdir", "printf", "seq", "chmod",
}

// findBusybox returns a static busybox.
func findBusybox() (string, error) {
	for _, name := range []string{"busybox", "/bin/busybox", "busybox.static"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		f, err := elf.Open(path)
		if err != nil {
			continue
		}
		static := true
		for _, p := range f.Progs {
			static = static && p.Type != elf.PT_INTERP
		}
		if err := f.Close(); err != nil {
			return "", err
		}
		if static {
			return path, nil
		}
	}
	return "", fmt.Errorf("no static busybox: apt-get install busybox-static")
}

// makeBundle makes a bundle that a runtime can run as root.
func makeBundle(dir string) error {
	busybox, err := findBusybox()
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "rootfs", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), data, 0o755); err != nil {
		return err
	}
	for _, applet := range applets {
		if err := os.Symlink("busybox", filepath.Join(bin, applet)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), []byte(baseConfig), 0o644)
}

// testBundle is makeBundle for Go tests.
func testBundle(t *testing.T) string {
	t.Helper()
	if _, err := findBusybox(); err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := makeBundle(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// editConfig sets the member at a path of names with dots between; an empty
// value deletes it, and a "+" at the end of the path appends to a list.
func editConfig(file, path, value string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	names := strings.Split(path, ".")
	at := doc
	for _, name := range names[:len(names)-1] {
		next, ok := at[name].(map[string]any)
		if !ok {
			next = make(map[string]any)
			at[name] = next
		}
		at = next
	}
	last := names[len(names)-1]
	appending := strings.HasSuffix(last, "+")
	last = strings.TrimSuffix(last, "+")
	switch {
	case value == "":
		delete(at, last)
	default:
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			return fmt.Errorf("%s: %w", value, err)
		}
		if appending {
			list, _ := at[last].([]any)
			list = append(list, v)
			v = list
		}
		at[last] = v
	}
	if data, err = json.MarshalIndent(doc, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
