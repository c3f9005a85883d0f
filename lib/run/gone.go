package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// gone reports whether the program of the runtime is not there any more: it
// was uninstalled, or stood on a disk that is not mounted.
func (r Runtime) gone() bool {
	_, err := os.Stat(r.Path)
	return errors.Is(err, fs.ErrNotExist)
}

// destroyAlone does what can be done of the work of a runtime that is gone:
// it ends the container, and removes the cgroups and the files by which the
// runtime knew it. Its hooks for the end are not run.
func (r Runtime) destroyAlone(rec *Record) error {
	if err := rec.end(); err != nil {
		return fmt.Errorf("delete container %s without its runtime, %s, which is gone: %w", rec.ID, r.Path, err)
	}
	if err := rec.removeCgroups(); err != nil {
		return err
	}
	for _, path := range r.traces(rec.ID) {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the state of container %s: %w", rec.ID, err)
		}
	}
	return nil
}

// traces are the files by which the runtime knows the container.
func (r Runtime) traces(id string) []string {
	if r.State == "" {
		return nil
	}
	if r.kind() == kindRunsc {
		return r.runscTraces(id)
	}
	return []string{filepath.Join(r.State, id)}
}

// runscTraces are not a directory, but files: ID_sandbox:ID.state.
func (r Runtime) runscTraces(id string) []string {
	entries, err := os.ReadDir(r.State)
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), id+"_sandbox") {
			found = append(found, filepath.Join(r.State, e.Name()))
		}
	}
	return found
}

// end kills the first process, and waits a while until it is dead.
func (rec *Record) end() error {
	p := rec.Process
	for deadline := time.Now().Add(callLimit); p.alive(); time.Sleep(10 * time.Millisecond) {
		if err := p.signal(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return p.stillAlive(err)
		}
		if err := thaw(rec.Cgroups); time.Now().After(deadline) {
			return p.stillAlive(errors.Join(errNoEnd, err))
		}
	}
	return nil
}

var errNoEnd = errors.New("it does not end")

func (p process) stillAlive(cause error) error {
	return fault.Hint(fmt.Errorf("kill process %d: %w", p.Pid, cause), "end it with: kill -KILL %d, as its user or as root", p.Pid)
}
