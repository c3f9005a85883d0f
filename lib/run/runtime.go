package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/startup"
	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// Runtime is an OCI runtime, and how it is to be called.
type Runtime struct {
	// Path is the absolute path of the program.
	Path string `json:"path"`
	// Args are the global arguments, before the subcommand: what --runtime-arg
	// gave, --root, --systemd-cgroup.
	Args []string `json:"args,omitempty"`
	// State is its state directory, which holds a directory per container.
	State string `json:"state,omitempty"`
}

// The runtimes that differ from runc in some way.
const (
	kindRunc  = "runc"
	kindCrun  = "crun"
	kindRunsc = "runsc"
	kindYouki = "youki"
)

// Name is the base name of the program.
func (r Runtime) Name() string { return filepath.Base(r.Path) }

// kind tells from the name which runtime it is; what is unknown is taken to
// behave as runc does.
func (r Runtime) kind() string {
	for _, kind := range []string{kindCrun, kindRunsc, kindYouki} {
		if strings.Contains(r.Name(), kind) {
			return kind
		}
	}
	return kindRunc
}

// asksSystemd reports whether the runtime has systemd make the cgroups.
func (r Runtime) asksSystemd() bool { return slices.Contains(r.Args, "--systemd-cgroup") }

// Command is what a person would type for the subcommand.
func (r Runtime) Command(words ...string) []string {
	return append(append([]string{r.Name()}, r.Args...), words...)
}

// callLimit bounds a call of the runtime. A frozen cgroup lets kill and delete
// hang for ever (runc issue 3132).
const callLimit = 60 * time.Second

// call is one run of the runtime.
type call struct {
	words []string
	// stdio are the streams that a container inherits; nil means /dev/null,
	// and stderr caught for the message.
	stdin, stdout, stderr *os.File
	// extra are the descriptors from 3 on.
	extra []*os.File
	// log is the file for the runtime's own log; empty for none.
	log string
	// patient lets the runtime's timers be late: see slack.Patient.
	patient bool
	// brief has a runtime that is a Go program spend nothing on what pays only
	// for longer ones: see briefEnv.
	brief bool
	// started is told of the process, before it can have been reaped.
	children *children
}

// failure is a call of the runtime that did not succeed.
type failure struct {
	runtime Runtime
	verb    string
	// text is the runtime's own message, without its frame.
	text string
	// err is how the process ended.
	err error
}

func (f *failure) Error() string {
	text := f.text
	if text == "" {
		text = f.err.Error()
	}
	return fmt.Sprintf("%s %s: %s", f.runtime.Name(), f.verb, text)
}

func (f *failure) Unwrap() error { return f.err }

// do runs the call. Its error is a *failure when the runtime ran.
func (r Runtime) do(ctx context.Context, c call) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	args := append([]string{}, r.Args...)
	if c.log != "" {
		args = append([]string{"--log", c.log, "--log-format", "json"}, args...)
	}
	cmd := exec.CommandContext(ctx, r.Path, append(args, c.words...)...)
	// What the container inherits must be no pipe that this process copies
	// from: *os.File values are handed over as they are, nil is /dev/null.
	if c.stdin != nil {
		cmd.Stdin = c.stdin
	}
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	caught, err := memFile("stderr")
	if err != nil {
		return err
	}
	defer caught.Close()
	cmd.Stderr = caught
	if c.stderr != nil {
		cmd.Stderr = c.stderr
	}
	cmd.ExtraFiles = c.extra
	cmd.Env = runtimeEnv(os.Environ())
	if c.brief {
		cmd.Env = briefEnv(cmd.Env)
	}
	// A process group of its own: Ctrl-C is for this process to pass on, not
	// for the runtime to be killed by, half-way.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	verb := c.words[0]
	inTime := slack.Punctual
	if c.patient {
		inTime = slack.Patient
	}
	if err := inTime(func() error { return c.children.start(cmd) }); err != nil {
		return fmt.Errorf("start the runtime %s: %w", r.Path, err)
	}
	err = cmd.Wait()
	c.children.forget(cmd)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("gave no answer within %s: %w", callLimit, context.Cause(ctx))
	}
	text := lastError(c.log)
	if text == "" {
		text = printed(caught, 0)
	}
	return &failure{runtime: r, verb: verb, text: text, err: err}
}

// runtimeEnv leaves out what is addressed to this process: the runtime would
// take the sockets for its own, and a hook that calls this toolkit is no monitor.
func runtimeEnv(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", startup.Lean:
		default:
			kept = append(kept, e)
		}
	}
	return kept
}

// briefEnv adds what makes a Go program that lives for 50 ms cheaper by a tenth:
// it neither wakes a second processor nor collects its first megabytes. What
// the user has set goes before it. The container does not see it: its variables
// are those of config.json.
func briefEnv(env []string) []string {
	for _, setting := range []string{"GOMAXPROCS=1", "GOGC=400"} {
		name, _, _ := strings.Cut(setting, "=")
		if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			env = append(env, setting)
		}
	}
	return env
}

// maxLog bounds what is read of a runtime's messages.
const maxLog = 1 << 20

// lastError finds the last message of level error in the JSON log.
func lastError(path string) string {
	if path == "" {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLog))
	if err != nil {
		return ""
	}
	var last string
	for line := range bytes.Lines(data) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) == nil && (entry.Level == "error" || entry.Level == "fatal") && entry.Msg != "" {
			last = entry.Msg
		}
	}
	return last
}

// printed is what the runtime printed to the file from an offset on, in one
// line.
func printed(f *os.File, from int64) string {
	data, err := io.ReadAll(io.NewSectionReader(f, from, maxLog))
	if err != nil {
		return ""
	}
	return strings.Join(strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// memFile is a file without a name.
func memFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// deleteForce removes the container from the runtime, whatever its state. That
// there is none is no error.
func (r Runtime) deleteForce(ctx context.Context, id string, ch *children) error {
	err := r.do(ctx, call{words: []string{"delete", "--force", id}, children: ch})
	var f *failure
	if errors.As(err, &f) && f.saysMissing() {
		return nil
	}
	return err
}
