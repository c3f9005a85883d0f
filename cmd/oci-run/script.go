package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/run"
)

const undoWhy = "what the bundle records goes: its mounts, the last one first, its changes, and it"

// script prints, with -n, a script that does the same. A shell cannot become
// the parent of the container's process, so that it leaves create, start, wait
// and delete to the runtime's run.
func (s *starter) script() error {
	if err := s.scriptable(); err != nil {
		return err
	}
	clean, err := s.cleanCommands()
	if err != nil {
		return err
	}
	var steps []explain.Step
	if s.Bool("replace") {
		steps = append(steps, s.replaceStep())
	}
	if s.Bool("rm") && !s.Bool("replace") && s.Operand(0) != "" {
		steps = append(steps, s.vacantStep())
	}
	if clean != nil {
		steps = append(steps, explain.Step{
			Action: "clean up at the end", Command: "clean_up() {\n" + strings.Join(clean, "\n") + "\n}\ntrap clean_up EXIT\ntrap : HUP INT TERM",
			Why: "also when the start fails, and after a signal, which is for the runtime to pass on",
		})
	}
	if s.plan.Config != nil {
		steps = append(steps, explain.Step{
			Action: "make a bundle for the changed config", Command: changedBundle(string(s.plan.Config)),
			Why: "flags, or the lack of a terminal, have changed it; its paths are absolute",
		})
	}
	steps = append(steps, s.logSteps()...)
	steps = append(steps, s.runStep(clean == nil))
	if s.plan.Record.Detached {
		steps = append(steps, s.recordStep(clean != nil))
	}
	for _, step := range steps {
		if err := s.Steps().Step(step); err != nil {
			return err
		}
	}
	return nil
}

// scriptable refuses what is done by the monitor of a detached container, or
// by the record of one: a script has neither.
func (s *starter) scriptable() error {
	detached := s.plan.Record.Detached
	for _, c := range []struct {
		asked bool
		what  string
	}{
		{s.IsSet("stop-signal") && s.plan.Timeout == 0, "--stop-signal: oci-run --stop does not know its container"},
		{detached && s.plan.Record.Remove, "--detach with --rm: nobody waits for the end"},
		{detached && s.plan.Timeout > 0, "--detach with --timeout: nobody waits for the end"},
		{detached && s.plan.Record.PidFile != "", "--detach with --pid-file: nobody removes the file at the end"},
		{detached && s.plan.Record.Terminal, "--detach with a terminal: nobody holds its other end"},
		{detached && s.plan.Log.Format != run.LogRaw, "--container-log-format " + s.plan.Log.Format + ": nobody writes it"},
		{detached && s.plan.Log.Target == run.LogJournald, "--container-log journald: a shell has no stream to it"},
		{detached && os.Getenv("NOTIFY_SOCKET") != "", "--detach with NOTIFY_SOCKET: nobody hands on what the program says"},
		{detached && s.Bool("json"), "the record of --json: only the runtime learns the pid"},
	} {
		if c.asked {
			return fault.Usage("a script of --dry-run cannot do %s", c.what)
		}
	}
	return nil
}

// vacantStep spares a bundle that the container which has the ID may run from.
func (s *starter) vacantStep() explain.Step {
	state := s.runtimeWords("state", s.id)
	return explain.Step{
		Action: "look whether the ID is taken", Why: "its container may run from the bundle that is to be undone",
		Command: "if " + state + " >/dev/null 2>&1; then\n  echo " + explain.Quote("container ID "+s.id+" is taken") + " >&2\n  exit " + strconv.Itoa(run.StatusFailed) + "\nfi",
	}
}

// cleanCommands are what a script has to do at its end, however that comes; nil
// for nothing.
func (s *starter) cleanCommands() ([]string, error) {
	var clean []string
	if s.plan.Timeout > 0 {
		// timeout(1) kills its child, the runtime, whose container lives on.
		clean = append(clean, "  [ $? != 137 ] || "+s.runtimeWords("delete", "--force", s.id))
	}
	if s.plan.Config != nil {
		clean = append(clean, `  rm -rf -- "${bundle-}"`)
	}
	if s.plan.Record.PidFile != "" {
		clean = append(clean, "  rm -f -- "+explain.Quote(s.plan.Record.PidFile))
	}
	undo, err := s.undoCommands()
	for line := range strings.Lines(undo) {
		clean = append(clean, "  "+strings.TrimSuffix(line, "\n"))
	}
	return clean, err
}

// undoCommands do what undo does; none without --rm or a record of the bundle.
func (s *starter) undoCommands() (string, error) {
	dir := s.input.recorded
	if !s.Bool("rm") || dir == "" {
		return "", nil
	}
	state, err := (&bundle.Bundle{Dir: dir}).State()
	if errors.Is(err, fault.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var lines []string
	for _, m := range slices.Backward(state.Mounts) {
		if err := insideBundle(dir, m.Target); err != nil {
			return "", err
		}
		target := explain.Quote(filepath.Join(dir, m.Target))
		lines = append(lines, "! mountpoint -q "+target+" || umount -l "+target)
	}
	return strings.Join(append(lines, "rm -rf --one-file-system -- "+explain.Quote(dir)), "\n"), nil
}

// changedBundle writes the config by a here-document, whose end is a line that
// the config, being one line of JSON, does not have.
func changedBundle(config string) string {
	return "bundle=$(mktemp -d)\ncat >\"$bundle/config.json\" <<'END'\n" + strings.TrimSuffix(config, "\n") + "\nEND"
}

// logFile is where a script has the output of a detached container go. The
// directory of run state is the tool's, to which it would be half a container.
func (s *starter) logFile() string {
	switch log := s.plan.Log.Target; log {
	case run.LogNone:
		return os.DevNull
	case s.store.DefaultLog(s.id):
		return filepath.Join(s.plan.RunRoot, s.id+".log")
	default:
		return log
	}
}

func (s *starter) logSteps() []explain.Step {
	if !s.plan.Record.Detached || s.plan.Log.Target == run.LogNone {
		return nil
	}
	file := explain.Quote(s.logFile())
	command := "mkdir -p -m 700 -- " + explain.Quote(s.plan.RunRoot) + "\n" + "if ! [ -e " + file + " ]; then\n  (umask 077 && : >" + file + ")"
	if uid, gid := s.plan.Log.UID, s.plan.Log.GID; uid > 0 || gid > 0 {
		command += "\n  chown -- " + strconv.Itoa(uid) + ":" + strconv.Itoa(gid) + " " + file
	}
	return []explain.Step{{
		Action: "make the log", Command: command + "\nfi",
		Why: "the program writes it itself, and may open it again by the name /dev/stdout",
	}}
}

// runStep runs the container. Where nothing is to be done after it the shell
// becomes the runtime, which then gets the signals.
func (s *starter) runStep(last bool) explain.Step {
	rec := s.plan.Record
	words := []string{"run"}
	if rec.Detached {
		words = append(words, "--detach")
	}
	if rec.PidFile != "" {
		words = append(words, "--pid-file", rec.PidFile)
	}
	command := s.timeout() + s.runtimeWords(append(words, s.preserveWords()...)...) + " --bundle "
	if s.plan.Config != nil {
		command += `"$bundle"`
	} else {
		command += explain.Quote(s.plan.BundleDir)
	}
	command += " " + explain.Quote(rec.ID) + s.redirections()
	if last && !rec.Detached {
		command = "exec " + command
	}
	if s.listen > 0 {
		command = "unset LISTEN_FDS LISTEN_PID LISTEN_FDNAMES # the config has them\n" + command
	}
	return explain.Step{
		Action: "create, start, wait for and delete the container", Command: command,
		Why: "a shell cannot wait for the container's process, which is no child of its own; the runtime's run can", Ref: "runtime-spec runtime.md",
	}
}

func (s *starter) runtimeWords(words ...string) string {
	runtime := s.plan.Record.Runtime
	return explain.Quote(slices.Concat([]string{runtime.Path}, runtime.Args, words)...)
}

// timeout is the call of timeout(1) before the runtime's run.
func (s *starter) timeout() string {
	if s.plan.Timeout == 0 {
		return ""
	}
	sig := strconv.Itoa(s.plan.Record.StopSignal)
	if name := unix.SignalName(unix.Signal(s.plan.Record.StopSignal)); name != "" {
		sig = strings.TrimPrefix(name, "SIG")
	}
	words := []string{"timeout", "--foreground", "--preserve-status", "-s", sig}
	if s.plan.Grace > 0 {
		words = append(words, "-k", seconds(s.plan.Grace))
	} else {
		words[len(words)-1] = "KILL" // to -k, 0 is never
	}
	return explain.Quote(append(words, seconds(s.plan.Timeout))...) + " "
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// redirections give the program the input and output that oci-run gives it.
func (s *starter) redirections() string {
	switch {
	case s.plan.Record.Detached:
		return " </dev/null >>" + explain.Quote(s.logFile()) + " 2>&1"
	case !s.input.stdinUsed || s.Bool("stdin"):
		return ""
	case s.term.on:
		return " </dev/tty"
	default:
		return " </dev/null"
	}
}

// recordStep prints the ID, as --detach does, when all went well.
func (s *starter) recordStep(cleans bool) explain.Step {
	end := `\n`
	if s.Bool("null") {
		end = `\0`
	}
	command := "printf '%s" + end + "' " + explain.Quote(s.id)
	if cleans {
		command = "trap - EXIT HUP INT TERM\n" + command
	}
	return explain.Step{
		Action: "print the ID", Command: command,
		Why: "the container stays until " + s.plan.Record.Runtime.Name() + " delete; its output is in " + s.logFile(),
	}
}
