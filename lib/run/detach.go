package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/startup"
	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// The hidden first arguments with which the tool executes itself. No container
// can have such an ID.
const (
	// MonitorWord makes it a Monitor.
	MonitorWord = "@monitor"
	// JanitorWord makes it a Janitor.
	JanitorWord = "@janitor"
)

// The descriptors of a monitor.
const (
	planFD   = 3
	reportFD = 4
	extraFD  = 5
)

// report is what a monitor says, once: that the program runs, or why not.
type report struct {
	Pid    int      `json:"pid,omitempty"`
	Error  string   `json:"error,omitempty"`
	Hints  []string `json:"hints,omitempty"`
	Status int      `json:"status,omitempty"`
	// Text is the runtime's own message.
	Text string `json:"text,omitempty"`
	// Taken: the error is ErrTaken.
	Taken bool `json:"taken,omitempty"`
}

// reported is an error that a monitor has reported.
type reported struct {
	message, text string
	cause         error
}

func (r *reported) Error() string { return r.message }
func (r *reported) Unwrap() error { return r.cause }

// Detach starts the container of the plan in the care of a monitor of its own:
// this program, executed again under the name self in a session of its own,
// with nothing inherited but the extra descriptors. It returns when the program
// has been started, with its pid.
func Detach(self string, plan Plan, extra []*os.File) (int, error) {
	reports, far, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make a pipe: %w", err)
	}
	defer reports.Close()
	cmd, err := again(self, MonitorWord, plan, append([]*os.File{far}, extra...))
	if err != nil {
		return 0, errors.Join(err, far.Close())
	}
	err = errors.Join(slack.Punctual(cmd.Start), far.Close())
	if err != nil {
		return 0, fmt.Errorf("start the monitor: %w", err)
	}
	var r report
	if err := json.NewDecoder(reports).Decode(&r); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it died")
		}
		return 0, fmt.Errorf("start the container: no word from the monitor: %w", err)
	}
	if r.Error == "" {
		return r.Pid, cmd.Process.Release()
	}
	// It has cleaned up when it is gone.
	_ = cmd.Wait()
	return 0, r.err()
}

func (r report) err() error {
	told := &reported{message: r.Error, text: r.Text}
	if r.Taken {
		told.cause = ErrTaken
	}
	var err error = told
	for _, h := range r.Hints {
		err = fault.Hint(err, "%s", h)
	}
	return fault.WithStatus(r.Status, err)
}

// again prepares this program to run once more, with the plan as descriptor 3.
func again(self, word string, plan Plan, files []*os.File) (*exec.Cmd, error) {
	data, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	handed, err := memFile("plan")
	if err != nil {
		return nil, err
	}
	if _, err := handed.WriteAt(data, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("hand over the plan: %w", err), handed.Close())
	}
	return &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{self, word},
		// Out of the user's directory, so that it can be unmounted.
		Dir:         "/",
		Env:         append(os.Environ(), startup.Lean+"=1"),
		ExtraFiles:  append([]*os.File{handed}, files...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}, nil
}

// readPlan reads the plan that again handed over.
func readPlan() (Plan, error) {
	f := os.NewFile(planFD, "plan")
	defer f.Close()
	var plan Plan
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 64<<20))
	if err == nil {
		err = json.Unmarshal(data, &plan)
	}
	if err != nil {
		return plan, fmt.Errorf("read the plan: %w", err)
	}
	return plan, nil
}
