package confine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/confine"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == confine.Argument {
		os.Exit(confine.Serve(os.Stdin, misbehave))
	}
	os.Exit(m.Run())
}

// misbehave does what the job says, and reports how each attempt ended.
func misbehave(_ context.Context, raw json.RawMessage, send func(any)) (any, error) {
	var job struct{ Do, Outside string }
	if err := json.Unmarshal(raw, &job); err != nil {
		return nil, err
	}
	switch job.Do {
	case "fail":
		return nil, fault.Hint(fault.Refused("this is refused"), "try another")
	case "panic":
		panic("on purpose")
	case "wait":
		send("waiting")
		<-make(chan struct{})
	}
	out := map[string]string{}
	for name, attempt := range attempts(job.Outside) {
		send(name)
		out[name] = fmt.Sprint(attempt())
	}
	return out, nil
}

// attempts are ways to change something outside, and one to change something
// inside.
func attempts(outside string) map[string]func() error {
	victim := filepath.Join(outside, "victim")
	return map[string]func() error{
		"inside": func() error { return os.WriteFile("made", []byte("x"), 0o600) },
		"create": func() error { return os.WriteFile(filepath.Join(outside, "new"), nil, 0o600) },
		"write": func() error {
			f, err := os.OpenFile(victim, os.O_WRONLY, 0)
			if err == nil {
				_ = f.Close()
			}
			return err
		},
		"chmod":   func() error { return os.Chmod(victim, 0o777) },
		"chown":   func() error { return os.Lchown(victim, 1, 1) },
		"utimes":  func() error { return os.Chtimes(victim, time.Unix(1, 0), time.Unix(1, 0)) },
		"xattr":   func() error { return unix.Setxattr(victim, "user.x", []byte("x"), 0) },
		"remove":  func() error { return os.Remove(victim) },
		"rename":  func() error { return os.Rename(victim, "stolen") },
		"link":    func() error { return os.Link(victim, "linked") },
		"mkdir":   func() error { return os.Mkdir(filepath.Join(outside, "dir"), 0o700) },
		"mount":   func() error { return unix.Mount("tmpfs", ".", "tmpfs", 0, "") },
		"remount": func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") },
		"setattr": func() error {
			return unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		},
		"unshare": func() error { return unix.Unshare(unix.CLONE_NEWNS) },
		"exec":    func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
		"socket":  func() error { _, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
		"capabilities": func() error {
			if confine.RaceDetector {
				return nil
			}
			status, err := os.ReadFile("/proc/self/status")
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(status)) {
				// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_ADMIN, MKNOD, SETFCAP
				const makesFiles = 1<<0 | 1<<1 | 1<<3 | 1<<4 | 1<<21 | 1<<27 | 1<<31
				var set uint64
				if n, _ := fmt.Sscanf(line, "CapEff: %x", &set); n == 1 && set&^makesFiles != 0 {
					return fmt.Errorf("has capabilities %#x", set)
				}
			}
			return nil
		},
		"descriptors": func() error {
			entries, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				return err
			}
			for _, e := range entries {
				target, err := os.Readlink("/proc/self/fd/" + e.Name())
				if err == nil && strings.HasPrefix(target, outside) {
					return fmt.Errorf("inherited %s", target)
				}
			}
			return nil
		},
	}
}

// allowed are the attempts that shall work.
var allowed = []string{"inside", "descriptors", "capabilities"}

func TestWall(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("v"), 0o640); err != nil {
		t.Fatal(err)
	}
	var before, after unix.Stat_t
	if err := unix.Stat(victim, &before); err != nil {
		t.Fatal(err)
	}
	// A descriptor of the parent must not be the child's.
	f, err := os.Open(outside)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var told []string
	walled := true
	child := confine.Child{
		Name: "test", Dir: dir, Stderr: os.Stderr,
		Message: func(raw json.RawMessage) { told = append(told, string(raw)) },
		NoWall:  func(error) { walled = false },
	}
	var got map[string]string
	if err := child.Run(context.Background(), map[string]string{"Outside": outside}, &got); err != nil {
		t.Fatal(err)
	}
	if !walled {
		t.Skip("the kernel does not let this user make the namespace")
	}
	for name, result := range got {
		if ok := result == "<nil>"; ok != slices.Contains(allowed, name) {
			t.Errorf("%s: %s", name, result)
		}
	}
	if len(got) == 0 || len(told) != len(got) {
		t.Errorf("%d attempts, %d messages", len(got), len(told))
	}
	if err := unix.Stat(victim, &after); err != nil || before != after {
		t.Errorf("the victim was %v, is %v (%v)", before, after, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err != nil {
		t.Error(err)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	child := confine.Child{Name: "test", Dir: t.TempDir()}
	err := child.Run(context.Background(), map[string]string{"Do": "fail"}, nil)
	if !errors.Is(err, fault.ErrRefused) || err.Error() != "this is refused" || !slices.Equal(fault.Hints(err), []string{"try another"}) {
		t.Errorf("Run = %v, hints %q", err, fault.Hints(err))
	}
}

func TestCrashIsAnError(t *testing.T) {
	var stderr strings.Builder
	child := confine.Child{Name: "test", Dir: t.TempDir(), Stderr: &stderr}
	err := child.Run(context.Background(), map[string]string{"Do": "panic"}, nil)
	if err == nil || !strings.Contains(err.Error(), "without an answer") || !strings.Contains(stderr.String(), "on purpose") {
		t.Errorf("Run = %v, stderr %q", err, &stderr)
	}
}

func TestStop(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	boom := errors.New("boom")
	child := confine.Child{Name: "test", Dir: t.TempDir(), Message: func(json.RawMessage) { cancel(boom) }}
	if err := child.Run(ctx, map[string]string{"Do": "wait"}, nil); !errors.Is(err, boom) {
		t.Errorf("Run = %v, want %v", err, boom)
	}
}

// A process that was started ahead does the first job, behind the same wall,
// and the next job gets another one.
func TestAhead(t *testing.T) {
	ahead := confine.StartAhead(context.Background(), "test", os.Stderr)
	defer ahead.Close()
	outside := t.TempDir()
	for range 2 {
		dir := t.TempDir()
		child := confine.Child{Name: "test", Dir: dir, Ahead: ahead, Stderr: os.Stderr, NoWall: func(err error) { t.Skip(err) }}
		if err := os.WriteFile(filepath.Join(outside, "victim"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := child.Run(context.Background(), map[string]string{"Outside": outside}, &got); err != nil {
			t.Fatal(err)
		}
		for name, result := range got {
			if ok := result == "<nil>"; ok != slices.Contains(allowed, name) {
				t.Errorf("%s: %s", name, result)
			}
		}
	}
}

func TestAheadUnused(t *testing.T) {
	ahead := confine.StartAhead(context.Background(), "test", os.Stderr)
	ahead.Close()
	var status unix.WaitStatus
	if pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("wait4 = %d, %v: a process is left", pid, err)
	}
}

// What was started ahead is killed like any other.
func TestAheadStop(t *testing.T) {
	ahead := confine.StartAhead(context.Background(), "test", os.Stderr)
	defer ahead.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	boom := errors.New("boom")
	child := confine.Child{Name: "test", Dir: t.TempDir(), Ahead: ahead, Message: func(json.RawMessage) { cancel(boom) }}
	if err := child.Run(ctx, map[string]string{"Do": "wait"}, nil); !errors.Is(err, boom) {
		t.Errorf("Run = %v, want %v", err, boom)
	}
}

func TestDirectoryMustExist(t *testing.T) {
	child := confine.Child{Name: "test", Dir: filepath.Join(t.TempDir(), "nosuch")}
	if err := child.Run(context.Background(), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run = %v, want that it does not exist", err)
	}
}
