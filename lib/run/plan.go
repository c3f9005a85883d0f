package run

import (
	"io"
	"os"
	"path/filepath"
	"time"
)

// Plan is everything that is decided before a container starts. It is handed
// to the monitor as JSON.
type Plan struct {
	// Record is the container as it will be recorded.
	Record Record `json:"record"`
	// BundleDir is the directory that is given to the runtime, when Config is
	// empty; else a directory is made for Config.
	BundleDir string `json:"bundleDir"`
	Config    []byte `json:"config,omitempty"`
	// RunRoot is the directory of run state.
	RunRoot string `json:"runRoot"`
	// Log says where the output of a detached container goes.
	Log LogPlan `json:"log"`
	// PreserveFDs is how many descriptors from 3 on the program gets.
	PreserveFDs int `json:"preserveFDs,omitempty"`
	// Timeout ends the program after so long; 0 never.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Grace is the time between the stop signal and SIGKILL.
	Grace time.Duration `json:"grace"`
	// Replace: who has claimed the ID since it was vacated is replaced, too.
	Replace bool `json:"replace,omitempty"`
	// NotifySocket is where readiness is reported (sd_notify(3)); "" nowhere.
	NotifySocket string `json:"notifySocket,omitempty"`
}

// keeps reports whether the runtime's state is left when the container has
// ended: the state of a detached container is for others to look at and to
// delete, as that of "runc run --detach" is.
func (p *Plan) keeps() bool { return p.Record.Detached && !p.Record.Remove }

// BundleDir is the directory that the runtime is given for the plan.
func (s *Store) BundleDir(p *Plan) string {
	if p.Config != nil {
		return filepath.Join(s.Dir(p.Record.ID), bundleDir)
	}
	return p.BundleDir
}

// Streams are the descriptors of a container.
type Streams struct {
	// Stdin, Stdout and Stderr are handed to the container as they are, and
	// not copied. With a terminal they are what is copied to and from it.
	Stdin, Stdout, Stderr *os.File
	// Output takes what comes out of a terminal, in the place of Stdout.
	Output io.Writer
	// Attach lets others connect to the terminal.
	Attach bool
	// TTY is the terminal whose size and mode are passed on; nil without one.
	TTY *os.File
	// Extra are the descriptors from 3 on.
	Extra []*os.File
	// Handed are closed here once the container has them.
	Handed []*os.File
}

// Opener opens the streams, when the container's directory is there; done is
// called when the program has ended and its output is complete.
type Opener func() (streams Streams, done func(), err error)

// Inherit is the Opener of streams that are there already.
func Inherit(streams Streams) Opener {
	return func() (Streams, func(), error) { return streams, func() {}, nil }
}

// Events is what the caller of Supervise wants to be told. All are optional.
type Events struct {
	// Warn prints a warning.
	Warn func(format string, args ...any)
	// Started is called when the program has been started; an error ends the
	// container again.
	Started func(pid int) error
	// Undo undoes what the bundle records, for --rm.
	Undo func(bundle string) error
}

func (e Events) warn(format string, args ...any) {
	if e.Warn != nil {
		e.Warn(format, args...)
	}
}
