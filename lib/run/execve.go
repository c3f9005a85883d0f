package run

import (
	"os"
	"time"
)

// execWait bounds how long a signal waits for the program to be executed.
const execWait = 5 * time.Second

// executed reports whether the first process is the program already, and no
// longer the runtime's own code, which a signal would kill with a status that
// nobody understands (runc PR 5189). What cannot be seen counts as yes.
func (rec *Record) executed() bool {
	if rec.Initial == "" || rec.Runtime.kind() == kindRunsc {
		return true
	}
	now, err := os.Readlink(procPath(rec.Process.Pid, "exe"))
	return err != nil || now != rec.Initial
}

// awaitProgram waits until the first process is the program: who is told that
// the container runs looks at it next, or sends it a signal. A program that is
// the runtime's own cannot be told from it, so the wait has an end.
func (rec *Record) awaitProgram(limit time.Duration) {
	for deadline := time.Now().Add(limit); !(rec.executed() && rec.hasArguments()) && time.Now().Before(deadline); {
		time.Sleep(500 * time.Microsecond)
	}
}

// hasArguments reports whether execve(2) is over: it replaces the executable
// first, and for a moment the process has no command line.
func (rec *Record) hasArguments() bool {
	line, err := os.ReadFile(procPath(rec.Process.Pid, "cmdline"))
	return err != nil || len(line) > 0
}
